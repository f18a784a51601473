"""What `--app` may name: a client, or what leads to one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from awa.errors import AppLoadError
from awa.worker.app import load

SOURCE = """
from types import SimpleNamespace
from awa import Client

client = Client("postgresql://named")

@client.task()
def note(job):
    pass

holder = SimpleNamespace(awa_client=client)
web = SimpleNamespace(extensions={"awa": holder})
other = SimpleNamespace(extensions={"admin": holder})
bare = SimpleNamespace(awa_client=Client())

def create_app(name="web"):
    return web

def needs(name):
    return web

def breaks():
    return {}["a"]

def create_nested():
    own = Client()

    @own.task()
    def inner(job):
        pass

    return own

def create_lambda():
    own = Client()
    own.task(kind="l")(lambda job: None)
    return own

class Factory:
    @staticmethod
    def make():
        return holder
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module to load from."""
    (tmp_path / "specified.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "specified"
    sys.modules.pop("specified", None)


@pytest.mark.parametrize("path", ["client", "holder", "web", "create_app()", "Factory.make()"])
def test_it_leads_to_the_client(module: str, path: str) -> None:
    found = load(f"{module}:{path}")
    assert found is sys.modules[module].client
    assert (found.dsn, found.registry.kinds) == ("postgresql://named", ["note"])


def test_handlers_inside_the_factory_are_there_at_every_start(module: str) -> None:
    assert load(f"{module}:create_nested()").registry.kinds == ["inner"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("create_app", "is a function; to have it called, write specified:create_app()"),
        ("other", "is a SimpleNamespace, not an awa.Client, and leads to none"),
        ("needs()", "needs() is called without arguments, and wants some: missing a required argument: 'name'"),
        ("client()", "client is a Client, which cannot be called"),
        ("missing()", "'specified' has no attribute 'missing'"),
        ("bare", "has no tasks: decorate a function with the task(...) of its client in specified"),
        ("create_lambda()", "a lambda has no name"),
    ],
)
def test_what_leads_nowhere_is_refused(module: str, path: str, said: str) -> None:
    with pytest.raises(AppLoadError) as refused:
        load(f"{module}:{path}")
    assert said in str(refused.value)


def test_what_a_factory_raises_is_the_applications(module: str) -> None:
    with pytest.raises(KeyError):
        load(f"{module}:breaks()")
