"""A forked child opens its own connections, and never uses, closes or finalises its parent's."""

import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import psycopg_pool
import pytest

from awa import Client, SchemaNotMigrated

pytestmark = [
    pytest.mark.processes,
    # That a pool of the caller's has threads, and that some tests fork beside a thread, is the point of them.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def in_child(task: Callable[[], object], *, leave: Callable[[], object] = lambda: os._exit(0)) -> str:
    """Run a function in a forked child; return what it returned, or the exception, as text. `leave` ends the child."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            said = str(task())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os.close(writer)
        leave()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, said
    return said


def backend(client: Client) -> int:
    with client.transaction() as tx:
        return tx.connection.info.backend_pid


def test_the_child_has_a_connection_of_its_own_and_the_parent_keeps_its(client: Client) -> None:
    before = backend(client)
    for _ in range(3):
        theirs = in_child(lambda: (backend(client), client.insert({}).id)[0])
        assert theirs.isdecimal(), theirs
        assert int(theirs) != before
    assert backend(client) == before
    assert len(client.list_jobs()) == 3


def test_what_ends_the_child_leaves_the_parents_connection_alone(client: Client) -> None:
    """Not even closing the client, collecting garbage or an orderly exit says goodbye over the parent's socket."""

    def close_all() -> str:
        client.insert({})
        client.close()
        gc.collect()
        return "closed"

    def orderly_exit() -> None:
        # As much of an interpreter's end as a test can have without running pytest's own.
        for name in list(vars(client)):
            delattr(client, name)
        gc.collect()
        os._exit(0)

    before = backend(client)
    assert in_child(close_all) == "closed"
    assert in_child(lambda: "nothing", leave=orderly_exit) == "nothing"
    assert backend(client) == before
    client.insert({})


def test_parent_and_children_insert_at_the_same_time(client: Client) -> None:
    client.insert({})
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            try:
                for n in range(50):
                    client.insert({"n": n})
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    for n in range(50):
        client.insert({"n": n})
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(client.list_jobs(limit=1000)) == 251


def test_a_fork_while_other_threads_use_every_connection_does_not_hang_the_child(database: str) -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            client.insert({})

    with Client(database, max_connections=2) as client:
        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        said = [in_child(lambda: client.insert({}).id) for _ in range(10)]
        stop.set()
        for thread in threads:
            thread.join()
    assert all(each.isdecimal() for each in said), said


def test_a_grandchild_is_a_child_too(client: Client) -> None:
    client.insert({})
    assert in_child(lambda: (client.insert({}), in_child(lambda: client.insert({}).id))[1]).isdecimal()
    assert len(client.list_jobs()) == 3


def test_a_client_closed_before_the_fork_is_closed_in_the_child(database: str) -> None:
    client = Client(database)
    client.insert({})
    client.close()
    assert in_child(lambda: client.insert({})).startswith("DatabaseError: this client has been closed")


def test_a_client_of_a_pool_opens_its_own_connections_in_the_child(database: str) -> None:
    with psycopg_pool.ConnectionPool(database, min_size=1, max_size=2, kwargs={"connect_timeout": 7}) as pool:
        client = Client(pool)
        client.insert({})
        before = backend(client)
        theirs = in_child(lambda: (backend(client), client.insert({}))[0])
        assert theirs.isdecimal(), theirs
        assert int(theirs) != before
        assert in_child(client.close) == "None"
        assert len(client.list_jobs()) == 2


def test_a_client_of_a_connection_refuses_in_the_child(connect: Any) -> None:
    callers: psycopg.Connection[Any] = connect()
    client = Client(callers)
    client.insert({})
    for use in (lambda: client.insert({}), client.list_jobs, lambda: client.transaction().__enter__()):
        said = in_child(use)
        assert said.startswith(f"DatabaseError: this client was made from a connection of process {os.getpid()}"), said
        assert "Make a client from a database URL or a pool" in said
    assert in_child(client.close) == "None"
    assert callers.execute("select 1").fetchone() == (1,)


def test_work_in_a_child(client: Client) -> None:
    client.task(kind="one")(lambda job: None)
    client.insert({}, kind="one")
    assert in_child(client.work) == "1"


def test_what_the_parent_found_wrong_the_child_looks_at_anew(empty_database: str) -> None:
    with Client(empty_database) as client:
        with pytest.raises(SchemaNotMigrated):
            client.insert({})
        assert in_child(client.migrate) == "[1]"
        assert client.insert({}).id == 1
