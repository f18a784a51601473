"""`awa queue configure` and `awa queue policy`."""

import json

from awa import Client
from tests.cli.conftest import Run


def test_a_policy_is_set_and_shown(awa: Run, client: Client) -> None:
    done = awa("queue", "configure", "mail", "--deadline-s", 20, "--dlq", "--retention-dlq-h", 24)
    assert done.output.splitlines() == [
        "queue                  mail",
        "deadline               20",
        "dlq                    true",
        "ageing                 60",
        "retention_completed_h  as the supervisor's setting says",
        "retention_failed_h     as the supervisor's setting says",
        "retention_dlq_h        24.0",
        "serial                 false",
        "block_on_retry         false",
    ]
    assert awa("queue", "policy", "mail").output == done.output
    awa("queue", "configure", "mail", "--no-dlq", "--deadline-s", "default", "--ageing-s", 0)
    assert json.loads(awa("queue", "policy", "mail", "--json").output) == {
        "queue": "mail",
        "deadline": 300,
        "dlq": False,
        "ageing": 0,
        "retention_completed_h": None,
        "retention_failed_h": None,
        "retention_dlq_h": 24.0,
        "serial": False,
        "block_on_retry": False,
    }


def test_what_cannot_be_set_is_refused(awa: Run) -> None:
    assert "--deadline-s" in awa("queue", "configure", "mail", "--deadline-s", -1, code=2).output
    assert "'soon' is not a valid" in awa("queue", "configure", "mail", "--ageing-s", "soon", code=2).output
