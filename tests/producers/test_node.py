"""A producer in JavaScript, with the plain `pg` package: its jobs are run here, and its keys are ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import awa
from awa import Client, JobState
from awa.job.codec.canonical import canonical

HERE = Path(__file__).parent
FILES = ("package.json", "producer.mjs", "unique_key.mjs")
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ERR_SOCKET_TIMEOUT")
"""What npm says when it cannot reach its registry."""
INSTALL_S = 300

ARGS: list[dict[str, Any]] = [
    {},
    {"to": "a@b.com", "subject": "Hi"},
    {"emoji": "🎉🚀", "cjk": "日本語テスト", "escapes": '"\\/\b\t\n\f\r\x01\x1f\x7f\u2028é'},
    {"é": 1, "z": 2, "Z": 3, "a": 4, "😀": 5, "\ufffd": 6, "10": 7, "9": 8, "": 9},
    {"n": {"b": [1, 2, {"y": None, "x": True}], "a": False, "empty": [[], {}]}},
    {"i": 0, "negative": -5, "large": 2**53 - 1, "small": -(2**53) + 1},
]
MINE = {"order": 7, "customer": {"name": "Āwhina", "vip": True}}
THEIRS = {"lines": [{"sku": "b", "count": 2}], "order": 8, "note": None}


@pytest.fixture(scope="session")
def producer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the producer and the packages it needs."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("producer")
    for name in FILES:
        shutil.copy(HERE / name, folder)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    if done.returncode and any(code in done.stderr for code in UNREACHABLE):
        pytest.skip(f"npm cannot reach its registry: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return folder


def run(producer: Path, dsn: str, given: dict[str, Any]) -> dict[str, Any]:
    """Run the producer on a database; return what it was told."""
    parts = urlsplit(dsn)
    more = {name: values[0] for name, values in parse_qs(parts.query).items()}
    place = {
        "PGHOST": parts.hostname or more["host"],
        "PGPORT": str(parts.port or more["port"]),
        "PGUSER": parts.username or "",
        "PGDATABASE": parts.path[1:],
    }
    done = subprocess.run(
        ["node", "producer.mjs", json.dumps(given)],
        cwd=producer,
        env={**os.environ, **place},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_producer_in_javascript(producer: Path, database: str, login: Callable[[str], str]) -> None:
    """All in one run, as a member of awa_producer."""
    with Client(database) as client:
        holder = client.insert(THEIRS, kind="charge", unique_opts={"by_args": True})
        told = run(producer, login("awa_producer"), {"args": ARGS, "mine": MINE, "theirs": THEIRS})
        assert told["version"] == 1

        assert told["keys"] == [[canonical(args).decode(), awa.unique_key("k", args).hex()] for args in ARGS]
        assert told["parts"] == awa.unique_key("k", {}, queue="q", period=-1).hex()

        assert told["plain"]["outcome"] == "inserted"
        assert (told["plain"]["state"], told["plain"]["args"]) == ("available", {"name": "Hine"})
        assert (told["delayed"]["state"], told["delayed"]["timeout_ms"]) == ("scheduled", 1500)
        assert told["refused"]["code"] == "23514"
        assert told["refused"]["message"].startswith("kind '' is not a name")

        conflict = {"code": "23505", "constraint": "unique_claim_pkey", "detail": str(holder.id)}
        for name in ("conflict", "conflictInside"):
            assert conflict.items() <= told[name].items(), name
        assert (told["skipped"]["id"], told["skipped"]["outcome"]) == (str(holder.id), "existing")
        with pytest.raises(awa.UniqueConflict) as raised:
            client.insert(MINE, kind="charge", unique_opts={"by_args": True})
        assert raised.value.job_id == int(told["unique"]["id"])

        assert told["rolledBack"]["outcome"] == told["committed"]["outcome"] == "inserted"
        with pytest.raises(awa.JobNotFound):
            client.get_job(int(told["rolledBack"]["id"]))
        assert [row["pos"] for row in told["many"]] == [0, 1, 2]
        assert [row["id"] is None for row in told["many"]] == [False, True, False]

        assert runs(client) == {
            "greeted": ["Hine", "Kiri", "Tama", "one", "two"],
            "charged": [MINE["order"], THEIRS["order"]],
        }
        assert client.get_job(int(told["plain"]["id"])).state == JobState.Completed
        assert client.get_job(int(told["many"][2]["id"])).tags == ["bulk"]


def runs(client: Client) -> dict[str, list[Any]]:
    """Run what is due; return what the handlers were given."""
    greeted: list[str] = []
    charged: list[int] = []

    @client.task(kind="greet")
    def greet(job: Any) -> None:
        greeted.append(job.args["name"])

    @client.task(kind="charge")
    def charge(job: Any) -> None:
        charged.append(job.args["order"])

    client.work()
    return {"greeted": sorted(greeted), "charged": sorted(charged)}
