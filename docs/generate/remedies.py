"""Why each message is said, and what to do: the data behind `docs/reference/messages.md`.

A message that no entry fits fails a test. Add an entry for it, the narrower the better: entries are tried from the top.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from docs.generate.collecting import Message
from docs.generate.particular import PARTICULAR


class Remedy(NamedTuple):
    """Cause and remedy of the messages that fit."""

    where: str
    """How the module begins: "awa/cli/", "awa/task/registry.py", or "" for any."""
    says: str
    """A part of the text, or ""."""
    cause: str
    remedy: str


def remedy_of(message: Message) -> Remedy | None:
    """Return the first entry that fits; None where there is none."""
    fitting = (each for each in REMEDIES if message.module.startswith(each.where) and each.says in message.text)
    return next(fitting, None)


INTERNAL: Final = {
    "AttributeError": "Python's own protocol of attributes",
    "AssertionError": "a defect of Awa's if it is ever seen",
    "InternalError": "a defect of Awa's if it is ever seen",
    "explain": "makes an EmbeddedError from what a program has printed",
    "BoardDamage": "names a cell; the event worker.damaged says it",
    "LeftOpen": "ends the worker; the event run.transaction_left_open says it",
    "BoardError": "only seen by a worker that was not started by a supervisor",
}
"""What is raised with a text and is no message for a user, with the reason."""

VALUE: Final = "Pass a value within the limits that the message names. Nothing has been sent to the database."
REMEDIES: Final = (
    Remedy("", "cannot be decoded", "A handler's args_type has a type that JSON has no form for.",
           "Change the type, or leave args_type out and take a dict."),
    Remedy("", "args do not fit", "The arguments a job was inserted with are not of the type its handler takes.",
           "Insert the job with such arguments, or deploy a handler that takes both forms."),
    Remedy("", "holds its unique key", "Another job has the same unique key, in a state in which it keeps it.",
           "Use that job, wait for its end, or say on_conflict 'skip' or 'replace'."),
    Remedy("awa/enqueue/results.py", "", "Another job has the same unique key, in a state in which it keeps it.",
           "Use that job, wait for its end, or say on_conflict 'skip' or 'replace'."),
    Remedy("", "holds the unique key", "Another job has the same unique key, in a state in which it keeps it.",
           "Use that job, wait for its end, or say on_conflict 'skip' or 'replace'."),
    Remedy("", "unique key of jobs[", "A job of a bulk insert has a key that is taken, and was not to be left out.",
           "Say on_conflict 'skip' to leave such jobs out, or remove it from the list."),
    *(Remedy(*each) for each in PARTICULAR),
    Remedy("awa/cli/supervise.py", "", "The supervisor has no application to load.",
           "Give --app package.module:client."),
    Remedy("awa/cli/target.py", "", "The command does not know which database it is about.",
           "Give --database-url, or set DATABASE_URL; awa migrate makes an embedded server."),
    Remedy("awa/cli/demo.py", "", "A check at the end of the demo does not hold.",
           "Read the check; report it as a defect."),
    Remedy("awa/cli/scope.py", "", "A command that changes many jobs wants a confirmation.", "Add --yes."),
    Remedy("awa/cli/interruptible.py", "", "The command was ended by Ctrl-C or a signal.", "Start it again."),
    Remedy("awa/cli/", "", "The command was called in a way, or for a job, that does not fit.",
           "Correct the call; --help shows the options, awa job show the state of a job."),
    Remedy("awa/demo/", "", "The demo did not get done what it shows.",
           "Look at what stands behind the message; try again on a machine with less to do."),
    Remedy("awa/bench/", "", "The benchmark's jobs were not run in time.",
           "See what else uses the database, and try again."),
    Remedy("awa/embedded/", "", "The embedded PostgreSQL server cannot be found, made, started or stopped there.",
           "Do what the message ends with; or use the address of a server of your own."),
    Remedy("awa/engine/admin/control.py", "kept moving",
           "The job changed hands at each look, or its insert is not committed.",
           "Try again; commit the insert first."),
    Remedy("awa/engine/admin/dlq.py", "", "What kept the dead letter from running again went away at that moment.",
           "Try again."),
    Remedy("awa/engine/admin/control.py", "", "The state of the job does not allow this step.",
           "See where it stands, by awa job show. Failed and cancelled jobs can be retried, others brought forward or "
           "cancelled."),
    Remedy("awa/client/jobs.py", "of waiting", "The job had not ended when the time to wait for it was over.",
           "Wait for longer, or see why it waits: awa job show."),
    Remedy("awa/client/jobs.py", "result was not stored",
           "The handler returned what JSON cannot hold, or too much of it.",
           "Return less, or the id of a row that holds it."),
    Remedy("awa/database/timeout.py", "", "The server, or something between, does not answer.",
           "Look at the network, the pooler and the server; the call can be repeated."),
    Remedy("awa/database/schema/roles.py", "", "The role that runs awa migrate --roles lacks a right.",
           "Run what the message names, as a role that may."),
    Remedy("awa/database/schema/chain.py", "a lock was not to be had",
           "Another session holds a lock on a table of Awa's.",
           "End the transaction of the session that is named, then repeat the command."),
    Remedy("awa/database/schema/chain.py", "", "The schema in the database is not the one this release works with.",
           "Run awa migrate, or install the newer release; upgrade the server if it is too old."),
    Remedy("awa/database/adapters/", "autocommit",
           "A job is to be completed or inserted over a connection without a transaction.",
           "Begin a transaction on it, or leave the connection out."),
    Remedy("awa/database/", "forked", "A connection made before a fork is used in the child.",
           "Make the client from a database URL or a pool: a child then opens its own connections."),
    Remedy("awa/database/", "", "What was passed as a connection or address cannot be used as one, or has been closed.",
           "Pass what the message names."),
    Remedy("awa/client/client.py", "", "The client was used after close().", "Make another client."),
    Remedy("awa/enqueue/transaction.py", "not known whether", "The connection broke between a commit and its answer.",
           "Look whether what it wrote is there, then repeat it if it is not."),
    Remedy("awa/enqueue/transaction.py", "", "The transaction is over, has failed, or belongs to another process.",
           "Begin another with client.transaction(); an error in it before says what failed."),
    Remedy("awa/client/aio/transaction.py", "", "A transaction is used that has not begun, or is over.",
           "Use it inside `async with`."),
    Remedy("awa/enqueue/inserter.py", "commit", "The connection broke between a commit and its answer.",
           "Look whether the jobs are there, then insert them again if they are not."),
    Remedy("awa/client/aio/", "", "The asynchronous client or transaction is used in a way it does not allow.",
           "Do what the message names."),
    Remedy("awa/task/declared.py", "", "A task is registered that could never work.",
           "Change the declaration, whose place stands in the message."),
    Remedy("awa/task/registry.py", "", "A task is registered in a way that cannot work, or a name is no name.",
           "Change the declaration, or the name."),
    Remedy("awa/client/registrar.py", "", "The decorator is used without parentheses.", "Write @client.task()."),
    Remedy("awa/worker/app.py", "", "The application named by --app cannot be loaded, or has no tasks.",
           "Correct --app, or the module it names."),
    Remedy("awa/worker/completion.py", "", "A job is completed where, or when, it cannot be.",
           "Complete it once, in its handler, in a transaction on its own database; or let the handler return."),
    Remedy("awa/worker/transactions.py", "", "The block of job.transaction() was not left as it has to be.",
           "Use it as a context manager inside the handler, on a connection in no transaction."),
    Remedy("awa/worker/job_context.py", "", "A job is used after its handler has returned.",
           "Let what the handler starts end before it returns."),
    Remedy("awa/worker/inline.py", "", "client.work() cannot go on.", "Do what the message names."),
    Remedy("awa/worker/", "", "A worker cannot go on as it is.", "Do what the message names."),
    Remedy("awa/supervisor/start.py", "", "The supervisor knows no database.",
           "Give --database-url, set DATABASE_URL, or construct the client with an address."),
    Remedy("awa/supervisor/", "", "A part of the supervisor does not have what it needs.", "Report it as a defect."),
    Remedy("awa/integrations/django/", "", "The Django project is not set up for this, or the call does not fit.",
           "Do what the message names; manage.py check finds most of it."),
    Remedy("awa/integrations/flask/", "", "The Flask application is not set up for this, or the call does not fit.",
           "Do what the message names."),
    Remedy("awa/settings.py", "", "A setting is outside what is allowed, or there is none of that name.",
           "Correct the flag or the environment variable that the message names."),
    Remedy("awa/enqueue/wake.py", "environment", "`$AWA_WAKE` has a value that says nothing.",
           "Set it to on or off, or unset it. No client has been made, and nothing has been sent to the database."),
    Remedy("awa/enqueue/wake.py", "", "An option of an insert or of a client is not what it must be.",
           "Pass a value that the message names. Nothing has been sent to the database."),
    Remedy("awa/processes/environment.py", "", "A variable begins with AWA_, and nothing reads it.",
           "Correct its name, or unset it."),
    Remedy("awa/job/kind.py", "", "The kind of a job is not said, or not by an instance of its class.",
           "Pass kind=…, or an instance of the class that the handler takes."),
    Remedy("awa/job/codec/", "", "A value has no form in JSON, is too large, or does not say its kind.",
           "Pass what the message names; large data belongs into a table or file of your own."),
    Remedy("awa/bridge.py", "", "A bridge was called with something it does not take.", "Pass what the message names."),
    Remedy("awa/client/dlq.py", "", "A call about many dead letters is not clear, or a value is not what it must be.",
           "Name a scope, or allow_all=True; correct the value."),
    Remedy("awa/processes/", "", "Processes of Awa's were put together in a way they cannot be.",
           "Start workers through awa-supervisor only."),
    Remedy("awa/job/validate.py", "", "A number, id or name is not what it must be.", VALUE),
    Remedy("awa/backoff.py", "", "A back-off is outside its limits.", VALUE),
    Remedy("awa/job/options.py", "", "An option of an insert is not what it must be.", VALUE),
    Remedy("awa/enqueue/inserter.py", "", "The arguments of an insert exclude each other.", VALUE),
    Remedy("awa/job/model.py", "", "There is no such state.", "Use one of the states that the message names."),
    Remedy("awa/client/jobs.py", "", "A value is not what it must be.", VALUE),
    Remedy("awa/client/queues.py", "", "A value is not what it must be.", VALUE),
    Remedy("awa/job/moments.py", "", "A time cannot be read, or is too far away.", VALUE),
    Remedy("awa/job/ordering_key.py", "", "An ordering key is not what it must be.", VALUE),
    Remedy("awa/task/outcome.py", "", "What a handler returns is not what it must be.", VALUE),
    Remedy("awa/job/partitioned_queue.py", "", "A partitioned queue is described in a way that cannot be.", VALUE),
    Remedy("awa/task/policy.py", "", "A time limit, back-off or other option of a task is not what it must be.", VALUE),
    Remedy("awa/enqueue/prepare.py", "", "The options of a bulk insert are not what they must be.", VALUE),
    Remedy("awa/job/queue_policy.py", "", "A value of a queue's policy is not what it must be.", VALUE),
    Remedy("awa/job/unique/", "", "unique_opts are not what they must be.", VALUE),
    Remedy("sql/", "segments were made", "Ids were taken while segments of the log were being made.",
           "Nothing: the leader comes again."),
    Remedy("sql/", "has moved meanwhile", "The holder of the unique key was being moved in the same instant.",
           "Repeat the insert."),
    Remedy("sql/", "", "A parameter of an SQL function is not what it must be. The statement has no effect.",
           "Pass a value within the limits that the message names."),
)  # fmt: skip

EVENTS: Final = {
    "run.timed_out": "Give the kind a longer timeout, or make the job shorter; the attempt's error has its stack.",
    "run.finished": "Read the error, and awa job show for all attempts.",
    "run.transaction_left_open": "Commit the transaction in the handler, before it returns.",
    "settle.refused": "Nothing, if it is rare: the job was cancelled or given to others, and counts once.",
    "settle.row_missing": "Let no program delete rows of awa.job_log.",
    "settle.stand_in": "Read the job's error: it says what of the outcome the server refused.",
    "seal.restored": "Nothing: it is what happens after a restore.",
    "seal.ids_behind": "Nothing: the sequence has been moved on. Restore sequences with their values.",
    "seal.stopped": "End the session that is named.",
    "claim.locked": "End the transaction that is named.",
    "rescue.jobs": "See how the worker died: worker.exited says it.",
    "rescue.node": "See whether that machine, or its way to the database, is down.",
    "rescue.crash_loop": "Pause the queue, and read the errors of its jobs: awa queue deaths.",
    "retire.refused": "Report it as a defect, with the line.",
    "retire.overflow": "End the long transaction that has used awa.job_log.",
    "dlq.moved": "Read the dead letters: awa dlq list.",
    "lead.unknown_kind": "Start a supervisor that knows the kind and works on the queue, or correct the name.",
    "database.lost": "Nothing, if database.connected follows; else see whether the server is up.",
    "database.locked": "End the transaction that is named.",
    "worker.start_failed": "Mend the function given to on_worker_start; the line says where it failed, or hung.",
    "worker.killed": "Read the stack that is stored with the attempt, and shorten the job.",
    "worker.damaged": "Find what writes into memory that is not its own: a native library of the handler's.",
    "worker.exited": "See how it ended; for want of memory, give it more or limit the job.",
    "supervisor.warning": "Do what it says.",
    "supervisor.declared_dead": "See why the node could not reach the database for so long.",
    "supervisor.giving_up": "Nothing at once: the service manager starts it again. Report what `reason` says.",
    "supervisor.service_failed": "Nothing, if it is rare: it is tried again. Else read the error.",
    "supervisor.reload_failed": "Mend the application, then reload again; the old code goes on.",
}
"""What to do about the events that are warnings or errors; their causes stand in `events.MEANINGS`."""

CLAIMS: Final = {
    "and name it in the database URL. Nothing was changed":
        "tests/trouble/test_sessions.py::test_a_database_in_another_encoding_is_refused",
    "is closed, and what was done over it is rolled back unless it was committed":
        "tests/messages/test_truth.py::test_over_a_closed_connection_nothing_is_kept",
    ". Nothing was changed. Run `awa migrate --roles` as ":
        "tests/messages/test_truth.py::test_roles_that_are_refused_change_nothing",
    "yet. Nothing was changed. Have ": "tests/roles/test_grant.py::test_roles_from_nothing",
    "is too old: Awa needs 14 or newer": "tests/messages/test_truth.py::test_an_old_server_is_left_alone",
    "the database was migrated by a newer": "tests/messages/test_truth.py::test_a_newer_schema_is_left_alone",
    ". Nothing was changed in this transaction":
        "tests/messages/test_truth.py::test_a_lock_that_is_not_had_changes_nothing",
    ". Nothing was inserted, and the transaction can go on":
        "tests/messages/test_truth.py::test_a_taken_key_inserts_nothing",
    ". Nothing was inserted; with on_conflict": "tests/messages/test_truth.py::test_a_taken_key_of_many_inserts_none",
    "a statement in it had failed": "tests/messages/test_truth.py::test_a_failed_transaction_is_rolled_back",
    "the handler had ended before this block did":
        "tests/worker/test_completion.py::test_a_block_in_a_generator_that_is_kept",
    "had left open what job.transaction() gave it":
        "tests/worker/test_completion.py::test_a_transaction_of_the_jobs_own_that_is_forgotten",
    ", so all of it was rolled back. Commit it before returning": "tests/worker/test_completion.py::test_left_open",
    "inserted in the transaction of an SQLAlchemy session that was never committed":
        "tests/integrations/test_flask_sessions.py",
}  # fmt: skip
"""Which test provokes a message that says what has not happened, and looks into the database whether that is true."""
