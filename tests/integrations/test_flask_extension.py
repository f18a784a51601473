"""The Flask extension as an application uses it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, current_app, g, has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from awa import AwaError, Client, JobState, ValidationError
from awa.integrations.flask import Awa
from tests.tree.test_import_light import heavy, loaded_by

pytestmark = pytest.mark.postgres

PSYCOPG = "postgresql+psycopg://"
Make = Callable[..., Flask]


def with_driver(dsn: str) -> str:
    return dsn.replace("postgresql://", PSYCOPG, 1)


@pytest.fixture
def make(database: str) -> Make:
    """Makes an application on the test's database."""

    def make(name: str = "shop", **config: Any) -> Flask:
        app = Flask(name)
        app.config.update({"AWA_DATABASE_URL": database, **config})
        return app

    return make


def done(client: Client, args: Any = None, **options: Any) -> Any:
    """Insert a job, run it, return it."""
    job = client.insert(args or {}, **options)
    client.work()
    return client.get_job(job.id)


def test_it_is_the_applications_extension_and_does_what_a_client_does(make: Make) -> None:
    app = make()
    awa = Awa(app)
    assert app.extensions["awa"] is awa

    @awa.task(queue="mail")
    def send(job: Any) -> str:
        return "sent"

    with awa.transaction() as tx:
        job = tx.insert({}, kind="send")
    assert job.queue == "mail"
    assert awa.insert({}, kind="send").queue == "mail"
    assert awa.insert_many([{}], kind="send").inserted == 1
    assert awa.work() == 3
    assert awa.get_job(job.id).result == "sent"
    with pytest.raises(AttributeError, match="neither Awa nor awa.Client has 'sent_many'"):
        awa.sent_many()


def test_tasks_may_be_registered_before_and_after_there_is_an_application(make: Make) -> None:
    awa = Awa()
    awa.task(kind="early")(lambda job: "early")
    app = make()
    awa.init_app(app)
    awa.task(kind="late")(lambda job: "late")
    assert awa.client.registry.kinds == ["early", "late"]
    assert (done(awa.client, kind="early").result, done(awa.client, kind="late").result) == ("early", "late")


def test_each_job_has_an_application_context_of_its_own(make: Make) -> None:
    app = make()
    awa = Awa(app)
    torn_down: list[Any] = []
    app.teardown_appcontext(torn_down.append)

    @awa.task()
    def look(job: Any) -> list[Any]:
        before = getattr(g, "mark", None)
        g.mark = "left behind"
        return [current_app.name, before]

    @awa.task()
    async def look_async(job: Any) -> list[Any]:
        return look(job)  # type: ignore[no-any-return]

    @awa.task()
    def fail(job: Any) -> None:
        raise LookupError("why")

    for kind in ("look", "look", "look_async"):
        assert done(awa.client, kind=kind).result == ["shop", None]
    assert torn_down == [None] * 3
    assert done(awa.client, kind="fail").state is JobState.Retryable
    assert isinstance(torn_down[3], LookupError)
    assert not has_app_context()
    with app.app_context():
        g.mark = "the caller's"
        assert done(awa.client, kind="look").result == ["shop", None]
        assert g.mark == "the caller's"


def test_applications_of_one_extension_have_clients_of_their_own(make: Make, database: str) -> None:
    awa = Awa()
    awa.task(kind="where")(lambda job: current_app.name)
    one, other = make("one"), make("other")
    awa.init_app(one)
    awa.init_app(other)
    with pytest.raises(AwaError, match="serves 2 applications, and none is the current one"):
        awa.insert({}, kind="where")
    for app in (one, other):
        with app.app_context():
            assert awa.client is awa.client_of(app)
            assert done(awa.client, kind="where").result == app.name
    assert awa.client_of(one) is not awa.client_of(other)
    del other, app
    gc.collect()
    assert awa.client is awa.client_of(one)


def test_an_application_that_is_gone_leaves_nothing(make: Make) -> None:
    awa = Awa()
    app = make()
    awa.init_app(app)
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None
    with pytest.raises(AwaError, match=r"no application yet: call init_app\(app\)"):
        awa.get_job(1)


def test_misuse_is_refused(make: Make) -> None:
    app = make()
    awa = Awa(app)
    for other in (awa, Awa()):
        with pytest.raises(AwaError, match="the application 'shop' has an Awa already"):
            other.init_app(app)
    stranger = make("stranger")
    with stranger.app_context(), pytest.raises(AwaError, match="'stranger' was not initialised with this Awa"):
        awa.insert({}, kind="x")
    with pytest.raises(ValidationError, match="takes a scoped_session"):
        awa.add_session(sessionmaker())


def test_the_command_line_is_not_loaded_by_a_web_process() -> None:
    loaded = loaded_by("from flask import Flask\nfrom awa.integrations.flask import Awa\nAwa(Flask('shop'))")
    assert [name for name in heavy(loaded) if name.partition(".")[0] != "click"] == []
    assert "sqlalchemy" not in loaded
    assert not [name for name in loaded_by("import awa") if name.partition(".")[0] == "flask"]


@pytest.mark.parametrize(
    ("config", "given", "dsn"),
    [
        ({"AWA_DATABASE_URL": "postgresql://a"}, "postgresql://b", "postgresql://a"),
        ({"AWA_DATABASE_URL": "postgresql+psycopg://a"}, None, "postgresql://a"),
        (
            {"SQLALCHEMY_DATABASE_URI": "postgresql+psycopg2://u:p%40@h/c?host=/tmp"},
            None,
            "postgresql://u:p%40@h/c?host=/tmp",
        ),
        ({"SQLALCHEMY_DATABASE_URI": "postgres+psycopg://c"}, "postgresql://b", "postgresql://b"),
        ({"SQLALCHEMY_DATABASE_URI": "sqlite:///shop.db"}, None, "postgresql://environment"),
        ({"SQLALCHEMY_DATABASE_URI": None}, None, "postgresql://environment"),
        ({"AWA_DATABASE_URL": "embedded://", "AWA_PROCESSES": 3}, None, "embedded://"),
        ({}, None, "postgresql://environment"),
    ],
)
def test_which_database(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], given: str | None, dsn: str) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment")
    app = Flask("shop")
    app.config.update(config)
    assert Awa(app, database_url=given).client.dsn == dsn


def test_sqlalchemys_url_object_keeps_its_password() -> None:
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = create_engine("postgresql+psycopg://u:secret@h/d").url
    assert Awa(app).client.dsn == "postgresql://u:secret@h/d"


def test_other_options_and_unknown_keys() -> None:
    app = Flask("shop")
    app.config["AWA_MAX_CONNECTIONS"] = 0
    with pytest.raises(ValidationError, match="max_connections is 0"):
        Awa(app, max_connections=3)
    app.config["AWA_MAX_CONNECTIONS"] = 1
    app.config["AWA_DATABASE_URI"] = "postgresql://a"
    with pytest.raises(ValidationError, match=r"has AWA_DATABASE_URI, .* did you mean AWA_DATABASE_URL\?"):
        Awa(app)
    assert "awa" not in app.extensions


def test_sessions_end_with_their_job(make: Make, database: str) -> None:
    """Flask-SQLAlchemy's by the end of the application context, another because it was added."""
    app = make(AWA_DATABASE_URL=None, SQLALCHEMY_DATABASE_URI=with_driver(database))
    db = SQLAlchemy(app)
    own = scoped_session(sessionmaker(create_engine(with_driver(database))))
    awa = Awa(app)
    assert awa.add_session(own) is own
    seen: list[Any] = []

    @awa.task()
    def use(job: Any) -> None:
        for name, session in (("theirs", db.session), ("own", own)):
            session.execute(text(f"create table {name} ()"))
            seen.append(session())
        if job.args.get("fail"):
            raise LookupError("why")

    for args in ({}, {"fail": True}):
        done(awa.client, args, kind="use")
    assert len({id(session) for session in seen}) == 4
    assert not any(session.in_transaction() for session in seen)
    assert not own.registry.has()
    with app.app_context():
        tables = db.session.scalar(text("select count(*) from pg_class where relname in ('theirs', 'own')"))
        assert tables == 0  # rolled back each time
        assert db.engine.pool.checkedout() == 1  # this one
        db.session.remove()
        db.engine.dispose()
    own.get_bind().dispose()


def test_a_job_joins_the_transaction_of_the_session(make: Make, database: str) -> None:
    app = make(AWA_DATABASE_URL=None, SQLALCHEMY_DATABASE_URI=with_driver(database))
    db = SQLAlchemy(app)
    awa = Awa(app)
    awa.task(kind="note")(lambda job: None)
    with app.app_context():
        lost = awa.insert({}, kind="note", session=db.session)
        db.session.rollback()
        kept = awa.insert({}, kind="note", session=db.session)
        db.session.commit()
        db.session.remove()
        db.engine.dispose()
    assert awa.work() == 1
    assert [job.id for job in awa.list_jobs()] == [kept.id]
    assert lost.id != kept.id


def test_flask_awa_is_awa_on_the_applications_database(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    app = make()
    awa = Awa(app)
    job = awa.insert({}, kind="note")
    runner = app.test_cli_runner()
    assert runner.invoke(args=["awa", "migrate"]).output.startswith("Nothing to do: the schema is at version")
    for arguments in (["awa", "--help"], ["awa", "job", "list", "--help"]):
        printed = " ".join(runner.invoke(args=arguments).output.split())
        assert "Left out: AWA_DATABASE_URL or SQLALCHEMY_DATABASE_URI of the application's configuration" in printed
    assert '"note"' in runner.invoke(args=["awa", "job", "show", str(job.id), "--json"]).output
    assert runner.invoke(args=["awa", "job", "show", "99"]).output == "error: job not found: 99\n"
    elsewhere = runner.invoke(args=["awa", "job", "list", "--database-url", "host=/nowhere"])
    assert "cannot connect to database default at /nowhere" in elsewhere.output
    commands = runner.invoke(args=["awa", "--help"]).output
    assert all(f"\n  {name} " in commands for name in ("migrate", "job", "queue", "dlq", "supervisor"))
    assert "--processes N" in runner.invoke(args=["awa", "supervisor", "--help"]).output
    assert "Look after jobs" in runner.invoke(args=["--help"]).output
