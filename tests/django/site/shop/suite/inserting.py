"""Jobs and rows in one transaction."""

import psycopg
from django.db import DatabaseError as DjangoError
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase

import awa
from awa.integrations.django import client
from awa.integrations.django.address import dsn_of
from tests.django.site.shop.models import Order
from tests.django.site.shop.tasks import SendReceipt


def committed() -> list[int]:
    """What others see: the jobs that are there for good."""
    with psycopg.connect(dsn_of("default")) as other:
        return [row[0] for row in other.execute("select id from awa.job_log order by id")]


def sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute(SESSIONS)
        return cursor.fetchone()[0]


SESSIONS = """select count(*) from pg_stat_activity
              where datname = current_database() and backend_type = 'client backend'"""


class Undone(Exception):
    pass


class InTransactions(TransactionTestCase):
    def test_a_job_is_there_when_the_block_has_committed(self):
        with transaction.atomic():
            order = Order.objects.create(customer="Hine")
            job = client.insert(SendReceipt(order.pk))
            assert job.id not in committed()
        assert job.id in committed()

    def test_a_block_that_raises_leaves_no_job(self):
        with self.assertRaises(Undone), transaction.atomic():
            job = client.insert(SendReceipt(1))
            raise Undone
        assert job.id not in committed()

    def test_a_savepoint_takes_its_jobs_back_and_leaves_the_others(self):
        with transaction.atomic():
            first = client.insert(SendReceipt(1))
            with self.assertRaises(Undone), transaction.atomic():
                second = client.insert(SendReceipt(2))
                raise Undone
            third = client.insert(SendReceipt(3))
        assert {first.id, third.id} <= set(committed())
        assert second.id not in committed()

    def test_what_is_no_alias_is_refused_with_those_there_are(self):
        with self.assertRaisesRegex(TypeError, "'nope' is no alias of a database .*; there are .*'default'"):
            client.insert(SendReceipt(1), connection="nope")

    def test_outside_of_a_block_a_job_is_committed_at_once(self):
        assert client.insert(SendReceipt(1)).id in committed()

    def test_many_jobs_join_the_block_too(self):
        with self.assertRaises(Undone), transaction.atomic():
            undone = client.insert_many([SendReceipt(n) for n in range(5)])
            raise Undone
        done = client.insert_many([SendReceipt(n) for n in range(5)])
        assert not set(undone.ids) & set(committed())
        assert set(done.ids) <= set(committed())

    def test_it_takes_one_statement_and_no_second_connection(self):
        with transaction.atomic():
            Order.objects.count()
            before = sessions()
            with self.assertNumQueries(1):
                client.insert(SendReceipt(1), priority=1, tags=["a"], metadata={"n": 1}, run_at="2030-01-01T00:00:00Z")
            assert sessions() == before

    def test_a_unique_conflict_breaks_no_block(self):
        held = client.insert({}, kind="once", unique_opts={"on_conflict": "skip"})
        with transaction.atomic():
            with self.assertRaises(awa.UniqueConflict) as refused:
                client.insert({}, kind="once", unique_opts={})
            assert refused.exception.job_id == held.id
            assert client.insert({}, kind="once", unique_opts={"on_conflict": "skip"}).id == held.id
            order = Order.objects.create(customer="Hine")
        assert Order.objects.filter(pk=order.pk).exists()

    def test_another_connection_can_be_named(self):
        with transaction.atomic():
            job = client.insert(SendReceipt(1), connection="default")
            assert job.id not in committed()
        assert job.id in committed()
        with self.assertRaisesRegex(TypeError, "SQLite"):
            client.insert(SendReceipt(1), connection="lite")

    def test_a_broken_block_refuses_in_awas_words(self):
        with self.assertRaises(Undone), transaction.atomic():
            with self.assertRaises(DjangoError), connection.cursor() as cursor:
                cursor.execute("select 1/0")
            with self.assertRaisesRegex(awa.DatabaseError, "could not insert a job"):
                client.insert(SendReceipt(1))
            raise Undone

    def test_handlers_use_the_orm(self):
        order = Order.objects.create(customer="Hine")
        job = client.insert(SendReceipt(order.pk), queue="alone")
        client.work(["alone"])
        order.refresh_from_db()
        assert order.receipts == 1
        assert client.get_job(job.id).result == {"customer": "Hine"}


class InOneTransaction(TestCase):
    def test_the_jobs_of_a_test_are_seen_in_it(self):
        job = client.insert(SendReceipt(1), metadata={"n": [1, None]})
        seen = client.get_job(job.id)
        assert (seen.kind, seen.queue, seen.max_attempts) == ("send_receipt", "email", 3)
        assert (seen.args, seen.metadata) == ({"order": 1}, {"n": [1, None]})
        assert seen.created_at == job.created_at
        assert seen.created_at.tzinfo is not None
        assert [each.id for each in client.list_jobs(queue="email")] == [job.id]
        assert client.attempts(job.id) == []

    def test_options_arrive(self):
        job = client.insert(
            {"a": [1, 2.5, None, "ā"]},
            kind="unknown",
            queue="q",
            priority=4,
            max_attempts=7,
            timeout=1.5,
            tags=["a", 'b"\\'],
            run_at="2030-01-01T00:00:00+13:00",
        )
        seen = client.get_job(job.id)
        assert seen == job
        assert (seen.tags, seen.timeout) == (["a", 'b"\\'], 1.5)
        assert str(seen.state) == "scheduled"

    def test_a_transaction_is_djangos(self):
        with self.assertRaisesRegex(awa.AwaError, "atomic"):
            client.transaction().__enter__()

    def test_work_inside_a_test_is_refused_with_what_to_use(self):
        job = client.insert(SendReceipt(1))
        with self.assertRaisesRegex(
            awa.AwaError, "inside a transaction on the database 'default'.*TransactionTestCase"
        ):
            client.work(["email"])
        assert connection.in_atomic_block
        assert str(client.get_job(job.id).state) == "available"

    async def test_in_async_code_django_says_to_go_to_a_thread(self):
        from asgiref.sync import sync_to_async
        from django.core.exceptions import SynchronousOnlyOperation

        with self.assertRaises(SynchronousOnlyOperation):
            client.insert(SendReceipt(1))
        job = await sync_to_async(client.insert)(SendReceipt(1))
        assert (await sync_to_async(client.get_job)(job.id)).id == job.id
