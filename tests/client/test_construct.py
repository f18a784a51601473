"""Making a client: what it is made from, that it connects late, and how it says what is wrong."""

import subprocess
import sys
import traceback
from typing import Any

import psycopg
import psycopg_pool
import pytest

from awa import AsyncClient, AwaError, Client, DatabaseError, SchemaNotMigrated, SchemaTooNew, ValidationError
from awa.database.open import describe
from awa.database.source import source_of
from tests.client.kinds import SendEmail
from tests.fixtures.waiting import until

NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nowhere"


def backends(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and application_name = 'awa client'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_nothing_is_connected_before_the_first_use(database: str) -> None:
    client = Client(database)
    client.task(SendEmail)(print)
    with client:
        assert backends(database) == 0
        client.list_jobs()
        assert backends(database) == 1
    until(lambda: backends(database) == 0, message="the client's connection is closed")


def test_connections_come_from_a_url_or_from_a_source_and_not_from_both() -> None:
    source = source_of(NOWHERE, 1)
    assert Client(source=source).dsn == NOWHERE
    for kind in (Client, AsyncClient):
        with pytest.raises(ValidationError, match="both database_url and source were given"):
            kind(NOWHERE, source=source)


def test_making_a_client_for_a_server_that_is_away_is_no_error() -> None:
    assert Client(NOWHERE).dsn == NOWHERE


def test_an_unreachable_server_is_named_and_its_password_is_not() -> None:
    with pytest.raises(
        DatabaseError, match=r"database nowhere at 127\.0\.0\.1:1 as nobody.*Check that the server"
    ) as e:
        Client(NOWHERE).insert({}, kind="dict")
    assert "secret" not in str(e.value)


def test_a_database_that_does_not_exist_is_named(superuser_dsn: str) -> None:
    with pytest.raises(DatabaseError, match="database no_such_thing at .*does not exist.*create"):
        Client(superuser_dsn.replace("/postgres?", "/no_such_thing?")).list_jobs()


UNREADABLE = [
    "nonsense",
    "mysql://localhost/x",
    "postgresql://localhost/x?no_such_option=1",
    "postgresql+psycopg://joe:s3cret@h/x",
    "postgre://joe:s3cret@h/x",
    "postgresql://joe:s3cr%zzet@h/x",
    "postgresql://joe:s3cret@[::1/x",
    "postgresql://joe:a@s3cret@h/x",
    "postgresql://joe:s3cret/b@h/x",
    "postgresql://joe:1/s3cret@h/x",
    "host=h password=a s3cret",
]


@pytest.mark.parametrize("dsn", UNREADABLE)
def test_a_url_that_is_none_is_refused_at_the_first_use_and_nowhere_quoted(dsn: str) -> None:
    for use in (Client(dsn).list_jobs, Client(dsn).migrate, Client(dsn).work):
        with pytest.raises(DatabaseError, match="the database URL cannot be read: write postgresql://user:") as caught:
            use()
        told = "".join(traceback.format_exception(caught.value))
        assert "s3cret" not in told
        assert "s3cr%zzet" not in told
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert describe(dsn) == "the given database URL"


def test_a_pool_made_from_such_a_url_is_not_quoted_either() -> None:
    pool = psycopg_pool.ConnectionPool("postgre://joe:s3cret@h/x", open=False)
    with pytest.raises(DatabaseError, match="cannot be read") as caught:
        Client(pool)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_sqlalchemys_form_of_a_url_is_known() -> None:
    with pytest.raises(DatabaseError, match=r"\"\+psycopg\" is SQLAlchemy's form: leave it out$"):
        Client("postgresql+psycopg://joe:s3cret@h/x").list_jobs()


def test_the_sentences_of_libpq_end() -> None:
    with pytest.raises(DatabaseError, match=r"Connection refused\. Is the server running .*\? Check that the server"):
        Client(NOWHERE).list_jobs()


def test_the_environment_names_the_database_where_the_application_does_not(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    monkeypatch.setenv("DATABASE_URL", database)
    assert client.dsn == database
    assert client.list_jobs() == []
    client.close()


def test_without_any_database_the_error_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    client = Client()
    assert client.dsn is None
    for use in (client.list_jobs, client.work, client.migrate, lambda: client.insert({}, kind="dict")):
        with pytest.raises(DatabaseError, match="DATABASE_URL"):
            use()


@pytest.mark.parametrize("source", [5, b"postgresql://", object(), ["x"], psycopg.AsyncConnection])
def test_only_urls_connections_and_pools_make_a_client(source: Any) -> None:
    with pytest.raises(ValidationError, match="URL, a psycopg.Connection or a psycopg_pool.ConnectionPool"):
        Client(source)


def test_an_async_pool_makes_no_client() -> None:
    pool = psycopg_pool.AsyncConnectionPool(open=False)
    with pytest.raises(ValidationError, match="AsyncConnectionPool"):
        Client(pool)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, -1, True, "3", 2.0])
def test_max_connections_is_a_number_from_one(count: Any) -> None:
    with pytest.raises(ValidationError, match="max_connections"):
        Client("postgresql://", max_connections=count)


def test_a_database_without_the_schema_says_so(empty_database: str) -> None:
    client = Client(empty_database)
    for use in (lambda: client.insert({}, kind="dict"), client.list_jobs, client.work, client.queue_stats):
        with pytest.raises(SchemaNotMigrated, match="awa migrate"):
            use()
    assert client.migrate() == [1]
    assert client.migrate() == []
    assert client.insert({}, kind="dict").id == 1
    client.close()


def test_on_the_callers_connection_a_missing_schema_says_so_too(empty_database: str, connect: Any) -> None:
    client = Client(connect(empty_database))
    for use in (
        lambda: client.insert({}, kind="dict"),
        lambda: client.insert_many([{}], kind="dict"),
        client.list_jobs,
        client.queue_stats,
    ):
        with pytest.raises(SchemaNotMigrated, match="awa migrate"):
            use()


def test_a_schema_newer_than_this_release_is_left_alone(database: str, connection: psycopg.Connection[Any]) -> None:
    connection.execute("insert into awa.schema_version (version) values (9999)")
    client = Client(database)
    for use in (lambda: client.insert({}, kind="dict"), client.list_jobs, client.work, client.migrate):
        with pytest.raises(SchemaTooNew, match="9999.*newer release"):
            use()
    client.close()
    assert connection.execute("select count(*) from awa.job_log").fetchone() == (0,)


def test_a_closed_client_says_that_it_is_closed(database: str) -> None:
    client = Client(database)
    client.insert({}, kind="dict")
    client.close()
    client.close()
    transaction = client.transaction()
    for use in (
        client.list_jobs,
        client.work,
        client.migrate,
        lambda: client.insert({}, kind="dict"),
        transaction.__enter__,
    ):
        with pytest.raises(DatabaseError, match="closed"):
            use()


def test_task_returns_the_function_and_remembers_it() -> None:
    client = Client("postgresql://")

    def send(job: object) -> None: ...

    assert client.task(SendEmail, queue="email")(send) is send
    task = client.registry.get("send_email")
    assert task is not None
    assert (task.handler, task.queue, task.args_type) == (send, "email", SendEmail)


def test_task_without_parentheses_is_caught() -> None:
    def send_email(job: object) -> None: ...

    with pytest.raises(ValidationError, match=r"send_email lacks its parentheses: @client.task\(\)"):
        Client("postgresql://").task(send_email)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\ud800", 5])
def test_names_of_tasks_are_checked(name: Any) -> None:
    client = Client("postgresql://")
    with pytest.raises(ValidationError, match="queue .*is not a name"):
        client.task(SendEmail, queue=name)(print)
    with pytest.raises(ValidationError, match="kind .*is not a name"):
        client.task(SendEmail, kind=name)(print)


def test_every_public_name_is_there_and_nothing_else() -> None:
    import awa

    for name in awa.__all__:
        assert getattr(awa, name) is not None
    assert dir(awa) == sorted(awa.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        awa.nothing  # noqa: B018
    with pytest.raises(ImportError):
        exec("from awa import nothing")


def test_the_names_written_for_type_checkers_are_those_found_at_run_time() -> None:
    import ast

    import awa

    assert awa.__file__ is not None
    with open(awa.__file__) as file:
        tree = ast.parse(file.read())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    written = {(each.module, name.name) for each in guarded.body for name in getattr(each, "names", [])}
    assert written == {(home, name) for name, home in awa._HOME_OF.items()}


def test_every_exception_is_an_awa_error() -> None:
    from awa import errors

    own = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    import awa

    assert all(issubclass(each, AwaError) and getattr(awa, each.__name__) is each for each in own)


def test_star_import_works_in_a_fresh_interpreter() -> None:
    code = "from awa import *; assert Client.__name__ == 'Client'; assert JobState.Failed == 5"
    subprocess.run([sys.executable, "-c", code], check=True)
