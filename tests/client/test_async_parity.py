"""Whatever the synchronous client and its transaction have, the asynchronous ones have too, said the same way."""

import inspect
from typing import Any

import pytest

from awa import AsyncClient, Client, SyncTransaction, Transaction

PAIRS = [(Client, AsyncClient), (SyncTransaction, Transaction)]
NOT_MIRRORED = {"work"}
"""Running jobs is for workers."""
PLAIN = {"task", "around_jobs", "on_worker_start", "transaction"}
"""Methods that wait for nothing."""


def public(owner: type) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}


def methods() -> list[Any]:
    return [
        pytest.param(one, other, name, id=f"{other.__name__}.{name}")
        for one, other in PAIRS
        for name in sorted(public(other))
        if inspect.isfunction(getattr(other, name))
    ]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_neither_has_a_name_that_the_other_lacks(one: type, other: type) -> None:
    attributes = {name for name, _ in inspect.getmembers(one("") if one is Client else one) if not name.startswith("_")}
    assert attributes - NOT_MIRRORED == public(other)


@pytest.mark.parametrize(("one", "other", "name"), methods())
def test_methods_are_coroutines_with_the_same_signature_and_words(one: type, other: type, name: str) -> None:
    theirs, ours = getattr(one, name), getattr(other, name)
    assert inspect.iscoroutinefunction(ours) == (name not in PLAIN)
    assert inspect.getdoc(ours) == inspect.getdoc(theirs)
    if name != "transaction":
        assert inspect.signature(ours) == inspect.signature(theirs)
    assert ours.__name__ == name


def test_both_are_made_with_the_same_parameters() -> None:
    def parameters(owner: type) -> list[tuple[str, Any]]:
        return [(each.name, each.default) for each in inspect.signature(owner).parameters.values()]

    assert parameters(AsyncClient) == parameters(Client)
