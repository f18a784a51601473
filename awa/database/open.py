"""Opens connections the way the engine needs them, and explains why one could not be opened."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import psycopg
from psycopg import conninfo
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.json import set_json_loads

from awa.database import replication_role
from awa.database.dsn import resolve
from awa.database.guarded import guarded
from awa.database.prepared import OwnConnection
from awa.database.session import ENCODING, INTRODUCE, INTRODUCE_SHARED, refuse_encoding
from awa.database.timeout import BoundedConnection
from awa.errors import DatabaseError

CONNECT_TIMEOUT_S = 10

_WITH_DRIVER: Final = re.compile(r"postgres(?:ql)?(\+\w+)://", re.IGNORECASE)

# A connection that has been given up may be alive at the other end, with a transaction half said that has locked our
# lease: the server is to end it when it hears no more for as long as we would wait ourselves. In the middle of a
# pipeline it does not count as idle, so the whole transaction is limited as well, where the server knows that (17).
_NOT_FOR_EVER = b"""
    select set_config(name, wanted.ms::text, false)
    from (values ('idle_in_transaction_session_timeout', %(idle)s::int), ('transaction_timeout', %(all)s::int))
      as wanted (name, ms)
    join pg_settings using (name)
    where not setting::int between 1 and wanted.ms"""

# Left to itself the server plans a prepared statement again for the first five times, and goes on so where it takes the
# result for cheaper than it is to plan: 1.5 ms for a settle, 4 ms for a seal, several times that after a job that has
# emptied the processor's caches. A plan that is made once must suit tables that were empty then and have filled since:
# it is kept on indexes.
_PLAN_ONCE = b"""
    select set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
           set_config('enable_bitmapscan', 'off', false), set_config('jit', 'off', false)"""


def connect(
    dsn: str,
    *,
    role: str,
    autocommit: bool = True,
    response_timeout_s: float | None = None,
    patience_max: float = 1.0,
    plan_once: bool = False,
    is_shared: bool = False,
) -> psycopg.Connection[Any]:
    """Open a connection for the process or thread called `role` (shown in pg_stat_activity).

    `response_timeout_s`: the longest wait for an answer on it, in seconds (see `BoundedConnection`), and the longest
    its server waits in the middle of a transaction; None: for ever. `patience_max`: how many times longer a transaction
    may take, and with `longer_timeout` an answer. `plan_once`: its user prepares few statements and repeats them for
    ever, so the server is to plan each once, for whatever parameters, and on indexes. `is_shared`: the application gets
    it lent for statements of its own, so it keeps the settings that role and database give it, and Awa's statements go
    by way of `guarded`; left out, it has Awa's settings (see `session`), with each transaction if a pooler is between.
    JSON columns come back as raw bytes: the codec decodes them straight into the handler's type.
    Raises `DatabaseError` that names the server (never the password) and says what to check.
    """
    target = target_of(dsn)
    connection = prepared(
        target,
        lambda: _opened(target, role, response_timeout_s),
        autocommit=autocommit,
        response_timeout_s=response_timeout_s,
        patience_max=patience_max,
        plan_once=plan_once,
        is_shared=is_shared,
    )
    return guarded(connection) if is_pooled(connection) and not is_shared else connection


def target_of(dsn: str) -> str:
    """Return what libpq is to be told for a DSN. Raises DatabaseError for one that cannot be read."""
    target = resolve(dsn)
    parsed(target)
    return target


def prepared(
    target: str,
    open_one: Callable[[], psycopg.Connection[Any]],
    *,
    autocommit: bool = True,
    response_timeout_s: float | None = None,
    patience_max: float = 1.0,
    plan_once: bool = False,
    is_shared: bool = False,
) -> psycopg.Connection[Any]:
    """Return the connection to `target` that `open_one` opens, as the engine needs it; see `connect`."""
    with ExitStack() as failing:
        try:
            connection = open_one()
            failing.callback(connection.close)
            refuse_encoding(connection.info.parameter_status("server_encoding"), describe(target))
            introduction = INTRODUCE_SHARED if is_shared else INTRODUCE
            try:
                introduced = connection.execute(introduction, {"pid": connection.info.backend_pid}).fetchone()
            except psycopg.errors.InsufficientPrivilege as error:  # of all that it sets, one takes a right
                raise replication_role.refusal(connection, describe(target)) from error
            if introduced is not None and not introduced[0] and introduced[1] != "origin":
                raise replication_role.refusal(connection, describe(target))
            connection.autocommit = autocommit
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            set_json_loads(_raw, connection)
            connection.adapters.register_loader("jsonb", _RawText)  # as above, in half the time
            if introduced is None or not introduced[0]:
                connection.prepare_threshold = None  # the next transaction may be another server's, which knows of none
            else:
                _set_up(connection, plan_once, response_timeout_s, patience_max)
        except psycopg.Error as error:
            raise cannot_connect(target, error) from error
        failing.pop_all()
    return connection


def _set_up(
    connection: psycopg.Connection[Any], plan_once: bool, response_timeout_s: float | None, patience_max: float
) -> None:
    """Set what holds for the whole session."""
    if plan_once:
        connection.execute(_PLAN_ONCE)
    if response_timeout_s is not None:
        idle_ms = round(response_timeout_s * 1000)
        connection.execute(_NOT_FOR_EVER, {"idle": idle_ms, "all": round(idle_ms * patience_max)})


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Return whether one of our connections goes through a pooler, as PgBouncer, which says it is a process that it is
    not.

    It may lend us another of its connections for each transaction: nothing is prepared over it then, whatever `execute`
    is told, and what is set for a session or listened to belongs to another session with the next transaction.
    """
    return connection.prepare_threshold is None


def _opened(target: str, role: str, response_timeout_s: float | None) -> psycopg.Connection[Any]:
    if response_timeout_s is None:
        return OwnConnection.connect(target, **options(target, role), autocommit=True)
    connection = BoundedConnection.connect(target, **options(target, role), autocommit=True)
    connection.response_timeout_s = response_timeout_s
    return connection


def dsn_of(connection: psycopg.BaseConnection[Any], **changed: Any) -> str:
    """Return the DSN by which `connection` was made, with its password, and with the parameters given changed."""
    info = connection.info
    return conninfo.make_conninfo(info.dsn, **{"password": info.password or None, **changed})


def options(dsn: str, role: str) -> dict[str, Any]:
    """Return parameters the DSN does not set itself: name, time-out, and keepalives that notice a dead peer; and the
    encoding, which neither the DSN nor the environment may choose."""
    wanted: dict[str, Any] = {
        "application_name": f"awa {role}",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    given = parsed(dsn)
    chosen = {name: value for name, value in wanted.items() if name not in given}
    return {**chosen, "client_encoding": ENCODING}


def parsed(dsn: str) -> dict[str, Any]:
    """Return the parameters a DSN sets.

    Raises DatabaseError for one that cannot be read. libpq's own words quote what it could not read, which is often
    the password: they are neither shown nor kept as the cause.
    """
    try:
        given = conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        given = None
    if given is None or _is_misread(dsn, given):
        raise DatabaseError(_unreadable(dsn))
    return given


def cannot_connect(dsn: str, error: Exception) -> DatabaseError:
    """Return the exception for a server that did not let us in."""
    text = _sentences(str(error))
    return DatabaseError(f"cannot connect to {describe(dsn)}: {text} {_advice(text)}")


def describe(dsn: str) -> str:
    """Return a DSN without its password, for messages and logs."""
    try:
        given = parsed(dsn)
    except DatabaseError:
        return "the given database URL"
    place = given.get("host") or given.get("hostaddr") or "the default socket"
    port = f":{given['port']}" if given.get("port") else ""
    user = f" as {given['user']}" if given.get("user") else ""
    return f"database {given.get('dbname') or 'default'} at {place}{port}{user}"


def _is_misread(dsn: str, given: dict[str, Any]) -> bool:
    """Return whether a part of the password was taken for a host, port or database: it has an unescaped @, / or ?."""
    _, is_url, rest = dsn.partition("://")
    authority, _, name = rest.partition("?")[0].partition("/")
    ports = str(given.get("port") or "").replace(",", "")
    return bool(is_url) and (authority.count("@") > 1 or "@" in name or not (ports.isdigit() or ports == ""))


def _unreadable(dsn: str) -> str:
    driver = _WITH_DRIVER.match(dsn)
    hint = f'. "{driver[1]}" is SQLAlchemy\'s form: leave it out' if driver else ""
    return (
        "the database URL cannot be read: write postgresql://user:password@host/name with special characters "
        f"percent-encoded{hint}"
    )


def _sentences(text: str) -> str:
    """Return libpq's lines as sentences on one line."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return " ".join(line if line.endswith((".", "?", "!", ":", ",")) else f"{line}." for line in lines if line)


def _advice(text: str) -> str:
    if "password authentication failed" in text or "no password supplied" in text:
        return "Check the user and password in the database URL."
    if "does not exist" in text:
        return "Check the database and user name in the database URL, or create them."
    if "too many clients" in text or "remaining connection slots" in text:
        return "The server has no free connections: lower --processes or raise max_connections."
    return "Check that the server runs and that the database URL names it."


class _RawText(Loader):
    """Leaves jsonb that comes as text as it is."""

    def load(self, data: Buffer) -> bytes:
        """Return it."""
        return bytes(data)


def _raw(data: str | bytes) -> Any:
    return data if isinstance(data, bytes) else data.encode()
