"""A server that asks for a password: one is enough to be told, and the wrong one is told as that."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from awa import Client, DatabaseError, embedded
from tests.fixtures.run import places


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """The DSN, with its password, of an embedded server that is asked over TCP."""
    # Not in pytest's own directory: the user of a server that root starts may not pass through that.
    path = Path(tempfile.mkdtemp(prefix="awa-ground-", dir=places()[0]))
    path.chmod(0o755)
    with embedded.start(path / "server", port=0) as server:
        yield server.dsn
    shutil.rmtree(path)


def with_password(dsn: str, password: str | None) -> str:
    parts = urlsplit(dsn)
    user = parts.username if password is None else f"{parts.username}:{password}"
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}"))


def test_the_right_password_lets_in(guarded: str) -> None:
    with Client(guarded) as client:
        client.migrate()
        assert client.insert({}, kind="dict").id


@pytest.mark.parametrize("password", ["not-the-one", None])
def test_a_wrong_or_missing_password_is_told_at_once(
    guarded: str, password: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    client = Client(with_password(guarded, password))
    for use in (lambda: client.insert({}, kind="dict"), client.list_jobs, client.migrate, client.work):
        with pytest.raises(DatabaseError, match="Check the user and password in the database URL") as caught:
            use()
        assert urlsplit(guarded).hostname in str(caught.value)  # type: ignore[operator]
        assert "not-the-one" not in str(caught.value)
