"""Rules of producers: transactions that insert jobs, in every way a transaction can end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from awa.engine.insert import NewJob, insert, insert_many
from tests.properties.model import ModelJob
from tests.properties.world import KINDS, QUEUES, Producer, World, pick

JOBS_MAX = 80
"""Jobs of one run of the machine: enough for several segments, few enough to be looked at after each step."""

producers = st.integers(0, 2)
new_jobs = st.builds(
    NewJob,
    queue=st.sampled_from(QUEUES),
    kind=st.sampled_from(KINDS),
    priority=st.sampled_from((1, 2)),
    max_attempts=st.sampled_from((25, 1, 2)),
    run_at=st.sampled_from((None, timedelta(hours=-1), timedelta(days=1))).map(
        lambda delta: delta and datetime.now(timezone.utc) + delta
    ),
    args=st.just(b"{}"),
    metadata=st.none(),
    tags=st.none(),
)


class Producing(World):
    """What producers do."""

    @precondition(lambda self: len(self.model.jobs) < JOBS_MAX)
    @rule(number=producers, job=new_jobs)
    def insert(self, number: int, job: NewJob) -> None:
        """Insert one job: in the producer's transaction, or in one of its own."""
        producer = self.producers[number]
        self._inserted(producer, [insert(producer.connection, job).id], job)

    @precondition(lambda self: len(self.model.jobs) < JOBS_MAX)
    @rule(number=producers, job=new_jobs, jobs=st.integers(1, 12))
    def insert_many(self, number: int, job: NewJob, jobs: int) -> None:
        """Insert a handful by COPY."""
        producer = self.producers[number]
        with producer.connection.transaction():
            ids = insert_many(producer.connection, [job] * jobs)
            self._inserted(producer, ids, job)

    @rule(number=producers)
    def begin_transaction(self, number: int) -> None:
        """Open a transaction, or a savepoint in the one there is."""
        producer = self.producers[number]
        if producer.open:
            producer.connection.execute(f"savepoint s{len(producer.parts)}".encode())
            producer.parts.append([])
        else:
            producer.connection.execute("begin")
            producer.open = True

    @precondition(lambda self: any(producer.open for producer in self.producers))
    @rule(number=producers)
    def take_id(self, number: int) -> None:
        """Take an id long before it is used."""
        producer = self._open(number)
        (taken,) = producer.connection.execute("select nextval('awa.job_id')").fetchone() or ()
        producer.taken.append(taken)

    @precondition(lambda self: any(producer.taken for producer in self.producers))
    @rule(number=producers, job=new_jobs)
    def insert_with_taken_id(self, number: int, job: NewJob) -> None:
        """Use an id taken before."""
        producer = pick([producer for producer in self.producers if producer.taken], number)
        taken = producer.taken.pop(0)
        producer.connection.execute(
            "insert into awa.job_log (id, queue, kind, priority, max_attempts, run_at) values (%s, %s, %s, %s, %s, %s)",
            [taken, job.queue, job.kind, job.priority, job.max_attempts, job.run_at],
        )
        self._inserted(producer, [taken], job)

    @precondition(lambda self: any(len(producer.parts) > 1 for producer in self.producers))
    @rule(number=producers)
    def rollback_to_savepoint(self, number: int) -> None:
        """Undo what came after the last savepoint."""
        producer = pick([producer for producer in self.producers if len(producer.parts) > 1], number)
        self.model.forget(producer.parts.pop())
        producer.connection.execute(f"rollback to savepoint s{len(producer.parts)}".encode())

    @precondition(lambda self: any(producer.open for producer in self.producers))
    @rule(number=producers)
    def commit(self, number: int) -> None:
        """Commit."""
        producer = self._open(number)
        producer.connection.execute("commit")
        self.model.commit(producer.ids)
        producer.end()

    @precondition(lambda self: any(producer.open for producer in self.producers))
    @rule(number=producers)
    def rollback(self, number: int) -> None:
        """Roll back, or lose the connection's transaction, which is the same."""
        producer = self._open(number)
        producer.connection.execute("rollback")
        self.model.forget(producer.ids)
        producer.end()

    @precondition(lambda self: any(producer.open for producer in self.producers))
    @rule(number=producers)
    def prepare_transaction(self, number: int) -> None:
        """Leave the transaction to a transaction manager."""
        producer = self._open(number)
        name = f"p{len(self.model.jobs)}_{len(self.prepared)}_{number}_{self.dsn[-20:-10]}"
        producer.connection.execute(f"prepare transaction '{name}'".encode())
        self.prepared[name] = producer.ids
        producer.end()

    @precondition(lambda self: self.prepared)
    @rule(number=producers, commits=st.booleans())
    def finish_prepared(self, number: int, commits: bool) -> None:
        """The transaction manager decides."""
        name = pick(list(self.prepared), number)
        ids = self.prepared.pop(name)
        if commits:
            self.engine.execute(f"commit prepared '{name}'".encode())
            self.model.commit(ids)
        else:
            self.engine.execute(f"rollback prepared '{name}'".encode())
            self.model.forget(ids)

    def _open(self, number: int) -> Producer:
        return pick([producer for producer in self.producers if producer.open], number)

    def _inserted(self, producer: Producer, ids: list[int], job: NewJob) -> None:
        """Note new jobs with the transaction they belong to, which the server tells."""
        rows = producer.connection.execute(
            "select id, xid::text::bigint from awa.job_log where id = any(%s) order by id", [ids]
        ).fetchall()
        assert [row[0] for row in rows] == sorted(ids)
        later = job.run_at is not None and job.run_at > datetime.now(timezone.utc)
        for job_id, xid in rows:
            self.model.jobs[job_id] = ModelJob(job_id, job.queue, job.kind, job.priority, job.max_attempts, later, xid)
        if producer.open:
            producer.parts[-1] += ids
        else:
            self.model.commit(ids)
