"""What Django's own tests ask of a backend (tests/tasks of Django, tests of django-tasks), in our words, of ours.

Covered: what a backend says it supports; enqueueing with arguments, by coroutine, later, by priority and into a queue;
refusals (unknown queue, priority out of range, a naive run_after, arguments that are not JSON, functions that are not
of a module, a context that is not the first argument); results: by id, of another task, of none; refreshed; the value,
errors and their classes; attempts and context; signals and what they carry; `check`.
"""

from datetime import datetime, timedelta, timezone

from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.db import transaction
from django.test import TransactionTestCase

from awa.integrations.django import client
from awa.integrations.django.backend import AwaBackend, urgency
from tests.django.site.shop import django_tasks_here as here
from tests.django.site.shop.django_tasks_here import exceptions, framework, signals

default = framework.default_task_backend


class Heard(list):
    """What a signal has sent."""

    def __init__(self, signal):
        super().__init__()
        self.signal = signal

    def __enter__(self):
        self.signal.connect(self._hear)
        return self

    def __exit__(self, *_):
        self.signal.disconnect(self._hear)

    def _hear(self, sender, task_result, **_):
        self.append((sender, task_result.id, str(task_result.status)))


class Undone(Exception):
    pass


def done(result):
    """Run what is due; return the result as it is then."""
    client.work()
    result.refresh()
    return result


class Enqueueing(TransactionTestCase):
    def test_what_it_supports(self):
        assert isinstance(framework.task_backends["default"], AwaBackend)
        assert default.supports_defer
        assert default.supports_async_task
        assert default.supports_get_result
        assert default.supports_priority

    def test_a_result_tells_of_the_task(self):
        result = here.add.enqueue(1, b=2)
        assert (result.task, result.args, result.kwargs, result.backend) == (here.add, [1], {"b": 2}, "default")
        assert (result.status, result.is_finished, result.attempts) == ("READY", False, 0)
        assert result.enqueued_at is not None
        assert (result.started_at, result.finished_at, result.last_attempted_at, result.errors) == (
            None,
            None,
            None,
            [],
        )
        with self.assertRaisesMessage(ValueError, "not finished"):
            _ = result.return_value
        job = client.get_job(int(result.id))
        assert (job.kind, job.queue, job.priority, job.max_attempts) == ("django.tasks", "default", 2, 1)

    def test_it_is_part_of_the_transaction(self):
        with self.assertRaises(Undone), transaction.atomic():
            result = here.add.enqueue(1)
            assert default.get_result(result.id).status == "READY"
            raise Undone
        with self.assertRaises(exceptions.TaskResultDoesNotExist):
            default.get_result(result.id)

    def test_coroutines_enqueue_and_look(self):
        async def whole():
            result = await here.add.aenqueue(3)
            same = await here.add.aget_result(result.id)
            await same.arefresh()
            return result, same

        result, same = async_to_sync(whole)()
        assert same == result

    def test_later(self):
        at = datetime.now(timezone.utc) + timedelta(hours=1)
        result = here.add.using(run_after=at).enqueue(1)
        assert client.get_job(int(result.id)).run_at == at
        assert str(client.get_job(int(result.id)).state) == "scheduled"
        assert default.get_result(result.id).task.run_after == at
        with self.assertRaises(here.InvalidTask):
            here.add.using(run_after=datetime(2030, 1, 1))

    def test_priorities(self):
        given = {100: 1, 50: 1, 49: 2, 0: 2, -1: 3, -50: 3, -51: 4, -100: 4}
        assert {priority: urgency(priority) for priority in given} == given
        result = here.add.using(priority=-60).enqueue(1)
        assert client.get_job(int(result.id)).priority == 4
        assert default.get_result(result.id).task.priority == -60
        for wrong in (101, -101, 3.1):
            with self.assertRaises(here.InvalidTask):
                here.add.using(priority=wrong)

    def test_queues(self):
        result = here.mail.enqueue("hine")
        job = client.get_job(int(result.id))
        assert (job.queue, job.priority) == ("email", 1)
        assert default.get_result(result.id).task == here.mail
        with self.assertRaises(here.InvalidTask):
            here.add.using(queue_name="nobody's")

    def test_refusals(self):
        with self.assertRaises(TypeError):
            here.add.enqueue(object())
        for wrong in (lambda: None, int, "text"):
            with self.assertRaises((here.InvalidTask, TypeError)):
                here.task(wrong)
        with self.assertRaises(here.InvalidTask):
            here.task(takes_context=True)(here.plain)

    def test_options_of_the_backend(self):
        job = client.get_job(int(here.stubborn.enqueue().id))
        assert (job.max_attempts, job.timeout) == (2, 30.0)

    def test_checks(self):
        assert run_checks() == []


class Results(TransactionTestCase):
    def test_a_value(self):
        result = done(here.add.enqueue(1, b=2))
        assert (result.status, result.return_value, result.is_finished, result.attempts) == ("SUCCESSFUL", 3, True, 1)
        assert result.enqueued_at <= result.started_at <= result.finished_at
        assert result.last_attempted_at == result.started_at
        assert done(here.nothing.enqueue()).return_value is None
        assert done(here.soon.enqueue("now")).return_value == "now"

    def test_an_error(self):
        result = done(here.fail.enqueue("it broke"))
        assert (result.status, result.attempts) == ("FAILED", 1)
        (error,) = result.errors
        assert error.exception_class is ValueError
        assert error.traceback.startswith("Traceback (most recent call last):\n  File ")
        assert "in fail" in error.traceback
        assert error.traceback.endswith("\nValueError: it broke\n")
        with self.assertRaisesMessage(ValueError, "failed"):
            _ = result.return_value

    def test_a_task_of_newer_code_is_put_aside_and_not_spent(self):
        result = here.add.enqueue(1)
        known = here.add
        del here.add
        try:
            with self.assertLogs("awa.django", "WARNING") as logs:
                assert client.work() == 1
        finally:
            here.add = known
        (said,) = logs.output
        assert f"job {result.id} is a task that this worker cannot import" in said
        assert "django_tasks_here.add" in said
        job = client.get_job(int(result.id))
        assert (str(job.state), job.attempt, job.errors) == ("scheduled", 0, [])
        assert 0 < (job.run_at - datetime.now(timezone.utc)).total_seconds() < 60
        result.refresh()
        assert (result.status, result.attempts) == ("READY", 0)

    def test_a_task_that_lacks_a_module_it_needs_itself_fails(self):
        result = done(here.lacks.enqueue())
        assert (result.status, result.errors[0].exception_class) == ("FAILED", ModuleNotFoundError)

    def test_errors_of_other_classes(self):
        assert done(here.fail_ours.enqueue()).errors[0].exception_class is here.OurError
        assert done(here.leave.enqueue()).errors[0].exception_class is SystemExit

    def test_a_value_that_is_no_json_fails_the_task(self):
        result = done(here.odd.enqueue())
        assert result.status == "FAILED"
        assert result.errors[0].exception_class is TypeError

    def test_a_context(self):
        result = done(here.attempt.enqueue())
        assert result.return_value == [1, result.id, "RUNNING"]

    def test_attempts(self):
        result = done(here.second_time.enqueue())
        assert (result.status, result.attempts, len(result.errors)) == ("READY", 1, 1)
        while not result.is_finished:
            done(result)
        assert (result.status, result.attempts, result.return_value[0]) == ("SUCCESSFUL", 2, 2)
        assert result.started_at < result.last_attempted_at

    def test_a_cancelled_one_has_failed(self):
        result = here.add.enqueue(1)
        client.cancel(int(result.id))
        result.refresh()
        assert result.status == "FAILED"
        assert issubclass(result.errors[0].exception_class, Exception)

    def test_by_id(self):
        result = here.add.enqueue(1)
        assert here.add.get_result(result.id) == result
        with self.assertRaises(exceptions.TaskResultMismatch):
            here.fail.get_result(result.id)
        other = client.insert({}, kind="not a task")
        for unknown in ("123456789", "nonsense", "-1", str(other.id), "9" * 30):
            with self.assertRaises(exceptions.TaskResultDoesNotExist):
                default.get_result(unknown)
        with self.assertRaises(exceptions.TaskResultDoesNotExist):
            framework.task_backends["stubborn"].get_result(result.id)


class Signals(TransactionTestCase):
    def test_a_good_end(self):
        with Heard(signals.task_enqueued) as enqueued:
            result = here.add.enqueue(1)
        with Heard(signals.task_started) as started, Heard(signals.task_finished) as finished:
            done(result)
        assert enqueued == [(AwaBackend, result.id, "READY")]
        assert (AwaBackend, result.id, "RUNNING") in started
        assert (AwaBackend, result.id, "SUCCESSFUL") in finished

    def test_a_bad_end(self):
        result = here.fail.enqueue("x")
        with Heard(signals.task_finished) as finished:
            done(result)
        assert (AwaBackend, result.id, "FAILED") in finished

    def test_an_attempt_that_is_not_the_last_finishes_nothing(self):
        result = here.stubborn.enqueue()
        with Heard(signals.task_finished) as finished:
            done(result)
            assert finished == []
            while not result.is_finished:
                done(result)
        assert finished == [(AwaBackend, result.id, "FAILED")]
