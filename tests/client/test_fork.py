"""A forked child opens its own connections, and never uses, closes or finalises its parent's."""

import gc
import os
import subprocess
import sys
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
        theirs = in_child(lambda: (backend(client), client.insert({}, kind="dict").id)[0])
        assert theirs.isdecimal(), theirs
        assert int(theirs) != before
    assert backend(client) == before
    assert len(client.list_jobs()) == 3


def test_closing_the_client_in_the_child_leaves_the_parents_connection_alone(client: Client) -> None:
    before = backend(client)
    assert in_child(lambda: (client.insert({}, kind="dict").id, client.close(), gc.collect())[0]).isdecimal()
    assert backend(client) == before


ORDERLY_END = """
import os, sys, awa
client = awa.Client()
client.insert({}, kind="dict")
with client.transaction() as tx, client.transaction() as other:
    before = tx.connection.info.backend_pid
    tx.insert({}, kind="dict")
    child = os.fork()
    if not child:
        client.insert({}, kind="dict")
        sys.exit(0)  # through both blocks, and through all an interpreter does at its end
    assert os.waitpid(child, 0)[1] == 0
    assert tx.connection.info.backend_pid == before
    tx.insert({}, kind="dict")
assert len(client.list_jobs()) == 4
"""


def test_an_orderly_end_of_the_child_says_nothing_over_the_parents_sockets(database: str) -> None:
    """Not even where the child was forked inside a transaction, whose block it leaves as it ends."""
    done = subprocess.run(
        [sys.executable, "-c", ORDERLY_END],
        check=False,
        env={**os.environ, "DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_parent_and_children_insert_at_the_same_time(client: Client) -> None:
    client.insert({}, kind="dict")
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            try:
                for n in range(50):
                    client.insert({"n": n}, kind="dict")
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    for n in range(50):
        client.insert({"n": n}, kind="dict")
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(client.list_jobs(limit=1000)) == 251


def test_a_fork_while_other_threads_use_every_connection_does_not_hang_the_child(database: str) -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            client.insert({}, kind="dict")

    with Client(database, max_connections=2) as client:
        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        said = [in_child(lambda: client.insert({}, kind="dict").id) for _ in range(10)]
        stop.set()
        for thread in threads:
            thread.join()
    assert all(each.isdecimal() for each in said), said


def test_a_grandchild_is_a_child_too(client: Client) -> None:
    client.insert({}, kind="dict")
    assert in_child(
        lambda: (client.insert({}, kind="dict"), in_child(lambda: client.insert({}, kind="dict").id))[1]
    ).isdecimal()
    assert len(client.list_jobs()) == 3


def test_a_client_closed_before_the_fork_is_closed_in_the_child(database: str) -> None:
    client = Client(database)
    client.insert({}, kind="dict")
    client.close()
    assert in_child(lambda: client.insert({}, kind="dict")).startswith("DatabaseError: this client has been closed")


def test_a_client_of_a_pool_opens_its_own_connections_in_the_child(database: str) -> None:
    with psycopg_pool.ConnectionPool(database, min_size=1, max_size=2, kwargs={"connect_timeout": 7}) as pool:
        client = Client(pool)
        client.insert({}, kind="dict")
        before = backend(client)
        theirs = in_child(lambda: (backend(client), client.insert({}, kind="dict"))[0])
        assert theirs.isdecimal(), theirs
        assert int(theirs) != before
        assert in_child(client.close) == "None"
        assert len(client.list_jobs()) == 2


def test_a_client_of_a_connection_refuses_in_the_child(connect: Any) -> None:
    callers: psycopg.Connection[Any] = connect()
    client = Client(callers)
    client.insert({}, kind="dict")
    for use in (lambda: client.insert({}, kind="dict"), client.list_jobs, lambda: client.transaction().__enter__()):
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
            client.insert({}, kind="dict")
        assert in_child(client.migrate) == "[1]"
        assert client.insert({}, kind="dict").id == 1
