"""What tests of the engine do again and again: insert jobs, sign a worker in, claim, settle, ask where a job is."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from awa.database.statements import statement
from awa.engine import nodes as engine_nodes
from awa.engine import retire
from awa.engine.claim import FROM_THE_START, Claimed, LaneRequest, claim, lanes
from awa.engine.insert.bulk import insert_many
from awa.engine.insert.single import Envelope, NewJob, Unique, insert
from awa.engine.seal import seal_all
from awa.job.attempt import Settlement
from awa.job.model import JobState

Connection = psycopg.Connection[Any]

KIND = "work"
COST_US = 1000.0
"""What these tests pretend that a job costs: a budget of n jobs is n times this."""
EPOCH_US = 1_700_000_000_000_000


def new(*, args: bytes = b"{}", unique: Unique | None = None, **said: Any) -> NewJob:
    """A job of kind "work" in queue "default", but for what is said of it."""
    return NewJob(
        args, Envelope(**{"queue": "default", "kind": KIND, "priority": 2, "max_attempts": 25, **said}), unique
    )


def add(connection: Connection, jobs: int = 1, **fields: Any) -> list[int]:
    """Insert jobs in a transaction of their own (or the one that is open); return their ids."""
    if jobs == 1:
        return [insert(connection, new(**fields)).id]
    with connection.transaction():
        ids = insert_many(connection, [new(**fields)] * jobs).ids
    return [job for job in ids if job is not None]


def add_unsealed(connection: Connection, jobs: int, queue: str = "default") -> list[int]:
    """Insert many jobs in a way that leaves all of them to a seal; return their ids."""
    query = "insert into awa.job_log (queue, kind) select %s, %s from generate_series(1, %s) returning id"
    return sorted(job for (job,) in connection.execute(query, [queue, KIND, jobs]))


def add_sealed(connection: Connection, jobs: int = 1, **fields: Any) -> list[int]:
    """Insert jobs and seal them."""
    ids = add(connection, jobs, **fields)
    seal_all(connection)
    return ids


def sign_in(connection: Connection, name: str = "node") -> int:
    """Sign a node with one worker in; return the worker."""
    worker = engine_nodes.register_worker(connection, engine_nodes.register_node(connection, name))
    assert worker is not None
    return worker


def wants(connection: Connection, *kinds: str, queues: Sequence[str] | None = None) -> list[LaneRequest]:
    """How a worker would claim from the very beginning of every lane of these kinds (none given: of "work")."""
    return [LaneRequest(lane.id, FROM_THE_START, COST_US) for lane in lanes(connection, kinds or (KIND,), queues)]


def take(connection: Connection, worker: int, jobs: int = 10_000, *kinds: str, **options: Any) -> Claimed:
    """Claim up to about `jobs` jobs, from however many batches."""
    options = {"batches_max": 64, **options}
    return claim(connection, worker, wants(connection, *kinds), budget_us=jobs * COST_US, **options)


def ids_of(claimed: Claimed) -> list[int]:
    """The jobs claimed, in the order they are to run."""
    return [job for lease in claimed.leases for job in lease.ids]


def outcome(job: int, state: JobState = JobState.Completed, *, delay_us: int = -1, payload: Any = None) -> Settlement:
    """What came of one job."""
    raw = None if payload is None else json.dumps(payload).encode()
    return Settlement(job, state, EPOCH_US, EPOCH_US + 2_500_000, 1_500_000, 4096, delay_us, raw)


def outcomes(jobs: Iterable[int], state: JobState = JobState.Completed) -> list[Settlement]:
    """The same outcome for several jobs."""
    return [outcome(job, state) for job in jobs]


def state(connection: Connection, job: int) -> str | None:
    """The state `awa.jobs` shows; None where it shows no such job."""
    row = connection.execute("select state::text from awa.jobs where id = %s", [job]).fetchone()
    return row[0] if row else None


def places(connection: Connection) -> dict[int, list[str]]:
    """Every place a committed job is in: "ready", "leased", "deferred", "ended", "unsealed". More than one is a bug."""
    rows = connection.execute(
        """
        with spot as (
          select unnest(ids) as id, case when owner is null then 'ready' else 'leased' end as place from awa.batch
          union all select job_id, 'deferred' from awa.deferred
          union all select job_id, 'ended' from (
            select distinct on (job_id) job_id, outcome from awa.every_attempt
            order by job_id, retry_round desc, attempt desc) last where outcome in (3, 5, 6)
        )
        select b.id, coalesce(array_agg(s.place) filter (where s.place is not null), '{unsealed}')
        from awa.stored_job b left join spot s using (id) group by b.id
        """
    )
    return dict(rows.fetchall())


def all_in(connection: Connection, place: str, ids: Iterable[int]) -> bool:
    """Whether each of these jobs is in this place, and in no other."""
    where = places(connection)
    return all(where[job] == [place] for job in ids)


def batches(connection: Connection) -> list[tuple[Any, ...]]:
    """Every batch: (owner, ids, attempts), in the order they would be claimed."""
    return connection.execute("select owner, ids, attempts from awa.batch order by sort_at, id").fetchall()


def small_segments(connection: Connection, ids: int = 100, ahead: int = 3) -> None:
    """Replace the segments of a fresh database by small ones."""
    for (number,) in connection.execute("delete from awa.segment returning id").fetchall():
        connection.execute(sql.SQL("drop table awa.{}, awa.{}").format(
            sql.Identifier(f"job_log_{number}"), sql.Identifier(f"attempt_log_{number}")))  # fmt: skip
    assert retire.extend(connection, ids, ahead) == ahead


def explain(connection: Connection, name: str, wanted: dict[str, Any], *, generic: bool) -> dict[str, Any]:
    """Run the statement `name` of sql/ under EXPLAIN (ANALYZE, BUFFERS, WAL), and return the plan.

    `generic`: with the plan made once for all parameters, which is what a prepared statement ends up with.
    """
    numbered: dict[str, int] = {}
    text = re.sub(
        r"%\((\w+)\)s", lambda match: f"${numbered.setdefault(match[1], len(numbered) + 1)}", statement(name).decode()
    )
    values = sql.SQL(", ").join(sql.Literal(wanted[each]) for each in numbered)
    given = sql.SQL("({})").format(values) if numbered else sql.SQL("")
    mode = "force_generic_plan" if generic else "force_custom_plan"
    connection.execute("select set_config('plan_cache_mode', %s, false)", [mode])
    connection.execute(b"prepare looked_at as " + text.encode())
    try:
        row = connection.execute(
            sql.SQL("explain (analyze, buffers, wal, format json) execute looked_at{}").format(given)
        ).fetchone()
    finally:
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
            connection.execute("deallocate looked_at")
            connection.execute("reset plan_cache_mode")
    assert row is not None
    plan: dict[str, Any] = (json.loads(row[0]) if isinstance(row[0], bytes) else row[0])[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan node and all those below it."""
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


def buffers(plan: dict[str, Any]) -> int:
    """Pages of shared memory a plan looked at."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def entries_read(connection: Connection, index: str) -> int:
    """Entries of an index that have been read so far, dead ones included."""
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        "select idx_tup_read from pg_stat_user_indexes where indexrelname = %s and schemaname = 'awa'", [index]
    ).fetchone()
    assert row is not None
    return int(row[0])


def scans(plan: dict[str, Any], table: str) -> set[tuple[str, str | None]]:
    """How a plan reads a table (or its partitions), of what it executed: (node type, index)."""
    return {
        (node["Node Type"], node.get("Index Name"))
        for node in nodes(plan)
        if re.fullmatch(rf"{table}(_\d+|_default)?", node.get("Relation Name", ""))
        and node["Node Type"] != "ModifyTable"
        and node["Actual Loops"] > 0
    }
