"""What is set for a queue: reading it, changing it, and that it takes effect."""

from typing import Any

import pytest

from awa import Client, QueuePolicy, ValidationError
from tests.fixtures.postgres import both_servers


def test_a_queue_nobody_has_configured_has_the_defaults(client: Client) -> None:
    assert client.queue_policy("new") == QueuePolicy("new", 300, False, 60, None, None, None)
    client.insert({}, kind="dict", queue="used")
    client.queue_stats()  # which seals: from then on the queue has a row
    assert client.queue_policy("used") == QueuePolicy("used")


@both_servers
def test_only_what_is_given_changes(client: Client) -> None:
    assert client.configure_queue("q", dlq=True, retention_dlq_h=0.5) == QueuePolicy("q", dlq=True, retention_dlq_h=0.5)
    changed = client.configure_queue("q", deadline=0, ageing=5, retention_completed_h=1, retention_failed_h=0)
    assert changed == client.queue_policy("q") == QueuePolicy("q", 0, True, 5, 1.0, 0.0, 0.5)
    assert client.configure_queue("q") == changed
    assert client.configure_queue("q", dlq=False).dlq is False
    client.pause_queue("q")
    back = client.configure_queue("q", deadline="default", ageing="default", retention_completed_h="default")
    assert back == QueuePolicy("q", retention_failed_h=0.0, retention_dlq_h=0.5)
    assert client.queue_stats()[0].paused


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"deadline": -1}, "deadline is -1; it must be a whole number from 0 to 2147483"),
        ({"deadline": 1.5}, "deadline is 1.5; it must be a whole number"),
        ({"deadline": True}, "deadline is True"),
        ({"dlq": 1}, "dlq is 1; it must be True or False"),
        ({"ageing": "soon"}, "ageing is 'soon'"),
        ({"retention_dlq_h": float("nan")}, "retention_dlq_h is nan; it must be a number of hours from 0 to 87600"),
        ({"retention_failed_h": -0.1}, "retention_failed_h is -0.1"),
    ],
)
def test_what_cannot_be_set_is_named_and_nothing_changes(client: Client, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        client.configure_queue("q", **{"retention_completed_h": 9, **given})
    assert client.queue_policy("q") == QueuePolicy("q")
    with pytest.raises(ValidationError, match="queue '' is not a name"):
        client.configure_queue("")
