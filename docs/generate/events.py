"""The page of events: names from `awa.telemetry.events`, fields from where each is emitted, levels from its log."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import awa
from awa.engine.rescue import Rescued
from awa.telemetry import events as telemetry_events
from awa.telemetry.log import LEVELS
from docs.generate.markdown import code, document, table

MEANINGS = {
    "insert.jobs": "This process inserted jobs. Emitted before the transaction commits.",
    "seal.batches": "Newly committed jobs were routed into batches.",
    "seal.restored": "The sealing ledger came from another cluster, as after a restore. A new one begins; "
    "restored jobs that the other cluster had not sealed are sealed in steps, beside new jobs.",
    "seal.resealed": "All restored jobs have been sealed; `jobs` of them had not been.",
    "seal.ids_behind": "The sequence of job ids was behind ids in use (`at`), as after a switch-over by logical "
    "replication or a restore without its value, and was moved up. Jobs that were inserted meanwhile are looked for "
    "and sealed. An insert may have failed, or a job may have got the id of an older one.",
    "seal.stopped": "A transaction has held the sealer's lock for some seconds: jobs that are committed stay where no "
    "worker finds them until it ends. `held_by` names it. Said again each minute.",
    "claim.locked": "For some seconds a worker has seen no batches but such as other transactions have locked "
    "(cancels, say, that are not committed). `held_by` names the transactions that may have. Said again each minute.",
    "run.finished": "A job's handler returned or raised. A warning when the job is to be retried or has failed, "
    "unless it had been cancelled, or given to others, while it ran (`void`): what came of it counts no more.",
    "run.timed_out": "A job's time is up: `JobTimeout` is raised in its handler, and after the grace "
    "its worker is killed.",
    "run.cancelled": "A running job has been cancelled; its handler may see it, and after the grace "
    "its worker is killed.",
    "run.transaction_left_open": "A handler ended and left the transaction open in which it had called "
    "`job.complete()`. Its worker ends, so that the transaction is rolled back; the job is retried.",
    "settle.jobs": "Outcomes were recorded; `by` says for whom, if not by the worker itself.",
    "settle.refused": "Outcomes were refused, because the jobs were no longer in the worker's lease: cancelled, or "
    "given to others, or recorded already by a try whose answer was lost with the connection. "
    "A warning unless the worker knew that (`expected`).",
    "settle.row_missing": "Jobs were claimed whose rows in `awa.job_log` somebody has deleted; nobody can run them, "
    "and they count as failed.",
    "settle.stand_in": "The server refused to store what a job came to (`error` says why). `kept` says what was "
    "stored in its place; the other jobs of its lease were settled as usual.",
    "promote.jobs": "Deferred jobs were due and are ready now.",
    "rescue.jobs": "The lease of a dead worker was taken apart.",
    "rescue.node": "A node missed three heartbeats; the leases of its workers are being taken apart.",
    "rescue.crash_loop": "Jobs of one kind keep killing their workers: so many in the last ten minutes (`window_s`). "
    "Said at the third, and at each doubling from there.",
    "retire.segment": "A segment of the log was dropped.",
    "retire.postponed": "A lock was not to be had within 50 ms; the leader tries again at the next round.",
    "retire.overflow": "Ids have run past the last segment, and new ones cannot be attached for now. Nothing is lost: "
    "the default partition takes the jobs. End the long transaction that has used `awa.job_log`.",
    "retire.refused": "A segment was about to be dropped, but some of its jobs are nowhere. It is kept, and they "
    "are looked for and sealed. Where nobody has loaded rows into `awa.job_log` while Awa worked, this is a defect of "
    "Awa: please report it.",
    "control.cancelled": "Somebody cancelled a job.",
    "control.expired": "Jobs that were not started by their `expires_at` were cancelled, by the leader or by the "
    "worker that had them.",
    "control.retried": "Somebody had finished jobs run again.",
    "control.discarded": "Somebody threw failed jobs away.",
    "control.hastened": "A scheduled or retryable job was made due at once.",
    "control.paused": "This process paused a queue.",
    "control.resumed": "This process let a paused queue go on.",
    "dlq.moved": "Failed jobs became dead letters: because their queue has that, or by hand.",
    "dlq.retried": "Dead letters were made ready to run again.",
    "dlq.purged": "Dead letters were thrown away, by hand or because their retention has passed.",
    "lead.elected": "This node is the leader now.",
    "lead.lost": "This node is no longer the leader.",
    "lead.queue_paused": "The leader sees a queue that is paused: workers take no jobs from it.",
    "lead.queue_resumed": "The leader sees that a queue is not paused any more.",
    "lead.unknown_kind": "Jobs are ready that no live node can run.",
    "database.connected": "The database can be reached again.",
    "database.lost": "A connection broke, or could not be made; it is tried again with growing pauses.",
    "database.locked": "A session of Awa (`who`, its `application_name`) has waited for a lock for more than a "
    "second; `held_by` names the sessions that hold it. Said again when the holders change.",
    "worker.started": "A worker process was forked.",
    "worker.start_failed": "A function given to `client.on_worker_start` (`hook`) has raised, or has "
    "taken longer than `start_timeout_s`. The worker ends; another is started after a pause, which grows as long as "
    "that does not help.",
    "worker.ready": "A worker has signed in and begins to claim.",
    "worker.recycled": "A worker has reached `max_jobs` or `max_memory_mb`, or its handlers have left hardly a file "
    "descriptor free, or have closed one that the worker itself needs (`reason`: jobs, memory, descriptors, or a "
    "sentence); a fresh one takes its place.",
    "worker.exited": "A worker process has ended. `how` says in which way; `job` is the one it was in.",
    "worker.killed": "A worker that was to be killed has ended: its job would not end, its slot of the board was "
    "damaged, or the drain time was over (`why`). If it could still say where it was, that is stored with the attempt.",
    "worker.damaged": "A worker's slot of the board held what no worker writes (`cell`, `value`, `why`): a handler, or "
    "a library it uses, has written to memory that is not its own. The worker is killed; its job has spent an attempt.",
    "supervisor.ready": "The application is loaded, the database has the right schema, the node has signed in.",
    "supervisor.signal": "The supervisor received a signal.",
    "supervisor.reloaded": "A new forkserver has loaded the application; the workers are being replaced.",
    "supervisor.reload_failed": "The application could not be loaded anew. `goes_on` says what runs meanwhile.",
    "supervisor.draining": "The supervisor was told to end. Running `jobs` may finish for `at_most_s` seconds.",
    "supervisor.giving_up": "A thread of the supervisor hangs or has died (`reason`). It drains, gives its jobs back "
    "and exits with code 74; one whose main thread hangs sends no heartbeat any more, and exits a little later.",
    "supervisor.stopped": "The supervisor has signed out.",
    "supervisor.warning": "Something about the application that will cause trouble, such as threads started at import.",
    "supervisor.declared_dead": "This node had been declared dead and has signed in anew.",
    "supervisor.service_failed": "Something in the supervisor failed and is tried again.",
}

INTRODUCTION = """
Awa says what happens as *events*: a name, "verb.noun", and some fields. The supervisor and its workers write them to
standard error, one line each, as text or as JSON (`--log-format`). The least severe level that is written is
`--log-level`.
"""

IN_CODE = """
## In your own process

Subscribe to see what the client in your process does. The function is called in the thread that caused the event, so it
should be quick; if it raises, that is logged and does no harm.

```python
from awa.telemetry import events

seen = []
stop = events.subscribe(lambda event, fields: seen.append((event, fields)))
events.emit(events.INSERT_JOBS, jobs=3)
stop()
assert seen == [("insert.jobs", {"jobs": 3})]
```
"""


def page() -> str:
    """Return the page."""
    fields = emitted()
    rows = (
        (code(event), _level(event), ", ".join(map(code, fields[event])), MEANINGS.get(event, ""))
        for event in events()
        if event in fields
    )
    listing = table(("event", "level", "fields", "meaning"), rows)
    return document("Log events", INTRODUCTION, listing, _silent(fields), IN_CODE)


def _silent(fields: dict[str, list[str]]) -> str:
    names = [code(event) for event in events() if event not in fields]
    listed = ", ".join(names)
    return f"Named in `awa.telemetry.events` already, and not emitted by this release: {listed}." if names else ""


def events() -> list[str]:
    """Return every event's name, in the order in which they are defined."""
    return [value for name, value in vars(telemetry_events).items() if name.isupper() and isinstance(value, str)]


def emitted() -> dict[str, list[str]]:
    """Return the events that some code emits, each with its fields."""
    found: dict[str, list[str]] = {}
    for path in sorted(Path(awa.__file__).parent.rglob("*.py")):
        for name, fields in _emits(ast.parse(path.read_text(encoding="utf-8"))):
            known = found.setdefault(getattr(telemetry_events, name), [])
            known += [field for field in fields if field not in known]
    return found


def _emits(tree: ast.Module) -> list[tuple[str, list[str]]]:
    """The events a file names in or beside a call of `emit`, with the keywords of that call."""
    return [
        (name, _fields(call))
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _is_emit(call)
        for name in _names(call, tree)
    ]


def _is_emit(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "emit"


def _names(call: ast.Call, tree: ast.Module) -> list[str]:
    """The event of a call; for one in a variable, all events that are assigned to it."""
    event = call.args[0] if call.args else None
    if isinstance(event, ast.Name):
        values = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == event.id for t in node.targets)
        ]
        return [name for value in values for name in _constants(value)]
    return _constants(event) if event is not None else []


def _constants(node: ast.AST) -> list[str]:
    return [
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "events"
    ]


def _fields(call: ast.Call) -> list[str]:
    names = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    spread = any(keyword.arg is None for keyword in call.keywords)
    return names + (list(Rescued._fields) if spread else [])  # the only record that is emitted whole


def _level(event: str) -> str:
    return logging.getLevelName(LEVELS.get(event, logging.INFO)).lower()
