"""The options of an insert stand wherever one can insert, so that editors and help() show them: always the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from awa import Client
from awa.job.options import OPTION_NAMES, check_options

WAYS = (Client.insert, Client.insert_many, Client.insert_many_copy, Client.enqueue_many_copy)
OWN = {"self", "args", "jobs", "opts", "connection", "session"}
"""What is no option of a job."""


def options(way: Callable[..., Any]) -> dict[str, tuple[Any, str]]:
    """Return the default and type of each option, in order."""
    parameters = inspect.signature(way).parameters.values()
    return {each.name: (each.default, each.annotation) for each in parameters if each.name not in OWN}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_insert_has_the_same_options(way: Callable[..., Any]) -> None:
    assert list(options(way).items()) == list(options(Client.insert).items())


def test_they_are_those_that_are_checked() -> None:
    defaults = {name: default for name, (default, _) in options(Client.insert).items()}
    assert defaults == check_options.__kwdefaults__
    assert tuple(defaults) == OPTION_NAMES


def test_every_option_is_told_of() -> None:
    told = inspect.getdoc(Client.insert) or ""
    assert [name for name in OPTION_NAMES if f"\n    {name}: " not in told] == []
