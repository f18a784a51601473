"""Jobs that a Flask application inserts while a session of SQLAlchemy has a transaction open."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask, abort
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from awa import AwaError, ValidationError
from awa.errors import DatabaseError
from awa.integrations.flask import Awa
from tests.integrations.test_flask_extension import with_driver

pytestmark = pytest.mark.postgres

NULL_POOL = {"poolclass": NullPool}


class Shop:
    """An application with one table, on the test's database."""

    def __init__(self, dsn: str, **config: Any) -> None:
        self.app = Flask("shop")
        self.app.config.update(
            {"SQLALCHEMY_DATABASE_URI": with_driver(dsn), "SQLALCHEMY_ENGINE_OPTIONS": NULL_POOL, **config}
        )
        self.db = SQLAlchemy(self.app)
        self.jobs = Awa(self.app)
        self.jobs.task(kind="note", queue="notes")(lambda job: None)

    def view(self, function: Callable[[], Any]) -> int:
        """Call a function as a view, in a request of its own; return the status of the answer."""
        self.app.view_functions["view"] = function
        if "view" not in {rule.endpoint for rule in self.app.url_map.iter_rules()}:
            self.app.add_url_rule("/", "view", function)
        self.app.view_functions["view"] = function
        return self.app.test_client().get("/").status_code

    def add_order(self) -> None:
        self.db.session.execute(text("insert into orders default values"))

    def stored(self) -> tuple[int, int]:
        """How many orders and jobs there are."""
        dsn = self.jobs.client_of(self.app).dsn
        with psycopg.connect(str(dsn)) as connection:
            row = connection.execute("select (select count(*) from orders), (select count(*) from awa.jobs)").fetchone()
        assert row is not None
        return int(row[0]), int(row[1])


@pytest.fixture
def shop(database: str) -> Iterator[Shop]:
    with psycopg.connect(database) as connection:
        connection.execute("create table orders (id bigint generated always as identity)")
    made = Shop(database)
    yield made
    made.jobs.close()


def test_a_request_that_commits_keeps_both(shop: Shop) -> None:
    def order() -> str:
        shop.add_order()
        job = shop.jobs.insert({}, kind="note")
        assert job.queue == "notes"
        assert shop.jobs.insert_many([{}, {}], kind="note").inserted == 2
        assert shop.stored() == (0, 0), "nothing is there before the commit"
        shop.db.session.commit()
        return "done"

    assert shop.view(order) == 200
    assert shop.stored() == (1, 3)


def test_a_request_that_rolls_back_or_fails_keeps_neither(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    def rolled_back() -> str:
        shop.add_order()
        shop.jobs.insert({}, kind="note")
        shop.db.session.rollback()
        return "done"

    def failed() -> str:
        shop.add_order()
        shop.jobs.insert({}, kind="note")
        raise LookupError("no stock")

    def refused() -> str:
        shop.add_order()
        shop.jobs.insert({}, kind="note")
        abort(409)

    for view, status in ((rolled_back, 200), (failed, 500), (refused, 409)):
        assert shop.view(view) == status
        assert shop.stored() == (0, 0), view.__name__
    assert "never committed" not in caplog.text


def test_jobs_that_a_request_loses_without_a_word_of_its_own_are_told(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def forgetful() -> str:
        shop.db.session.execute(text("select 1"))
        shop.jobs.insert({}, kind="note")
        shop.jobs.insert_many([{}], kind="note")
        return "done"

    def of_a_savepoint() -> str:
        shop.add_order()
        with shop.db.session.begin_nested():
            shop.jobs.insert({}, kind="note")
        return "done"

    for view, told in ((forgetful, "2 jobs were inserted"), (of_a_savepoint, "1 job was inserted")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            shop.view(view)
        assert f"{told} in the transaction of an SQLAlchemy session that was never committed" in caplog.text
        assert "outside_transaction=True" in caplog.text
    assert shop.stored() == (0, 0)


def test_a_savepoint_takes_its_jobs_with_it(shop: Shop) -> None:
    with shop.app.app_context():
        shop.add_order()
        savepoint = shop.db.session.begin_nested()
        shop.jobs.insert({}, kind="note")
        savepoint.rollback()
        shop.jobs.insert({}, kind="note")
        shop.db.session.commit()
    assert shop.stored() == (1, 1)


def test_work_is_refused_before_the_commit(shop: Shop) -> None:
    with shop.app.app_context():
        shop.add_order()
        shop.jobs.insert({}, kind="note")
        with pytest.raises(AwaError, match=r"work\(\) cannot see jobs .*commit the session first"):
            shop.jobs.work()
        shop.db.session.commit()
        assert shop.jobs.work() == 1
        shop.jobs.insert({}, kind="note")
        assert shop.jobs.work(limit=1) == 1


def test_outside_of_a_transaction_a_job_is_there_at_once(shop: Shop) -> None:
    shop.jobs.insert({}, kind="note")
    with shop.app.app_context():
        shop.jobs.insert({}, kind="note")
        assert not shop.db.session().in_transaction()
        shop.jobs.insert_many([{}], kind="note")
        shop.add_order()
        shop.db.session.rollback()
        shop.jobs.insert({}, kind="note")
    assert shop.stored() == (0, 4)


def test_a_job_can_be_kept_out_of_the_transaction(shop: Shop) -> None:
    with shop.app.app_context():
        shop.add_order()
        shop.jobs.insert({}, kind="note", outside_transaction=True)
        shop.jobs.insert_many([{}], kind="note", outside_transaction=True)
        with psycopg.connect(str(shop.jobs.dsn)) as other:
            shop.jobs.insert({}, kind="note", connection=other)
        for named in ({"session": shop.db.session}, {"connection": shop.db.session}):
            with pytest.raises(ValidationError, match="cannot go with connection or session"):
                shop.jobs.insert({}, kind="note", outside_transaction=True, **named)
        shop.db.session.rollback()
    assert shop.stored() == (0, 3)


def test_a_transaction_that_has_failed_takes_no_job(shop: Shop) -> None:
    with shop.app.app_context():
        with pytest.raises(Exception, match="no_such_table"):
            shop.db.session.execute(text("select * from no_such_table"))
        with pytest.raises(DatabaseError, match="could not insert a job"):
            shop.jobs.insert({}, kind="note")
        shop.db.session.rollback()
    assert shop.stored() == (0, 0)


def test_an_added_session_is_joined_too_and_one_of_two_has_to_be_named(shop: Shop, database: str) -> None:
    engine = create_engine(with_driver(database).replace("+psycopg", "+psycopg2"), poolclass=NullPool)
    own = shop.jobs.add_session(scoped_session(sessionmaker(engine)))
    own.execute(text("insert into orders default values"))
    shop.jobs.insert({}, kind="note")
    own.rollback()
    assert shop.stored() == (0, 0)
    own.execute(text("insert into orders default values"))
    with shop.app.app_context():
        shop.add_order()
        with pytest.raises(AwaError, match="2 SQLAlchemy sessions have an open transaction"):
            shop.jobs.insert({}, kind="note")
        shop.jobs.insert({}, kind="note", session=own)
        own.commit()
    own.remove()
    assert shop.stored() == (1, 1)


def test_a_session_of_another_database_is_not_joined(shop: Shop, database: str, empty_database: str) -> None:
    """Nor one whose address looks like another's and is not: both are asked."""
    other = Shop(empty_database, AWA_DATABASE_URL=database)
    same = Shop(f"{database}&application_name=shop", AWA_DATABASE_URL=f"{database}&port=5432")
    for each, orders in ((other, None), (same, (0, 1))):
        with each.app.app_context():
            each.db.session.execute(text("select 1"))
            each.jobs.insert({}, kind="note")
            each.db.session.rollback()
        each.jobs.close()
        if orders is None:
            assert shop.stored() == (0, 1)
    assert shop.stored() == (0, 1), "the second was rolled back with its session"


def test_a_session_with_no_engine_for_a_job_or_another_kind_of_database_is_not_joined(database: str) -> None:
    shop = Shop(database, SQLALCHEMY_DATABASE_URI="sqlite://", AWA_DATABASE_URL=database)
    unbound = shop.jobs.add_session(scoped_session(sessionmaker()))
    with shop.app.app_context():
        shop.db.session.execute(text("select 1"))
        unbound().begin()
        shop.jobs.insert({}, kind="note")
    unbound.remove()
    assert len(shop.jobs.list_jobs()) == 1
    shop.jobs.close()


def test_a_handler_s_jobs_are_part_of_its_transaction(shop: Shop) -> None:
    @shop.jobs.task(kind="take_order")
    def take_order(job: Any) -> None:
        shop.add_order()
        shop.jobs.insert({}, kind="note")
        if job.args["commit"]:
            shop.db.session.commit()

    for commit in (False, True):
        shop.jobs.insert({"commit": commit}, kind="take_order")
    shop.jobs.work(queues=["default"])
    assert shop.stored() == (1, 3)
