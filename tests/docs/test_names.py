"""Names in the prose are names there are: options, environment variables, make targets, events, exceptions."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import click
import pytest

import awa
from awa.cli.supervise import main as awa_supervisor
from awa.integrations.flask import config
from awa.settings import SETTINGS
from docs.generate import commands, errors, events
from tests.docs.blocks import ROOT, blocks, pages, prose

OTHER_PROGRAMS = {
    "--check", "--strict", "--now", "--preload", "--database", "--faults", "--every", "--heartbeat", "--bind", "--full",
    "--rounds",
}  # fmt: skip
"""Options in the pages that are not Awa's: of the generator, mypy, systemctl, gunicorn, Django, chaos, benchmarks."""
OTHER_VARIABLES = {"AWA_PG_BIN", "AWA_TEST_PG", "AWA_WAKE"} | set(config.OPTIONS)
"""Environment variables that are no settings, and keys of a Flask application's configuration."""

_SPAN = re.compile(r"`([^`\n]+)`")
each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def spans(page: Path) -> list[str]:
    return _SPAN.findall(prose(page))


def code_of(page: Path) -> str:
    """All that is code on a page: its spans, and its blocks that are not drawings or output."""
    return "\n".join([*spans(page), *(block.text for block in blocks(page) if block.language != "text")])


def options() -> set[str]:
    tree = [command for _, command in commands.walk()]
    own = {name for command in [*tree, awa_supervisor] for param in command.params for name in param.opts}
    return own | {name for command in tree for name in command.get_help_option_names(click.Context(command))}


@each_page
def test_options_exist(page: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", code_of(page)))
    assert named - options() - OTHER_PROGRAMS == set()


@each_page
def test_environment_variables_exist(page: Path) -> None:
    named = set(re.findall(r"\bAWA_[A-Z_]+\b", code_of(page)))
    assert named - {setting.env for setting in SETTINGS} - OTHER_VARIABLES == set()


@pytest.mark.parametrize("variable", sorted(OTHER_VARIABLES))
def test_variables_that_are_no_settings_are_read_somewhere(variable: str) -> None:
    sources = [*(ROOT / "awa").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    assert any(variable in path.read_text() for path in sources if path != Path(__file__))


@each_page
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {name for span in spans(page) for name in re.findall(r"^make ([a-z]+)", span)} <= targets


def test_every_folder_of_tests_is_described() -> None:
    described = set(re.findall(r"^\| `tests/(\w+)/`", (ROOT / "docs" / "contributing.md").read_text(), re.MULTILINE))
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders == described


@each_page
def test_events_exist(page: Path) -> None:
    verbs = "|".join({event.partition(".")[0] for event in events.events()})
    named = {span for span in spans(page) if re.fullmatch(rf"(?:{verbs})\.[a-z_]+", span)}
    assert named <= set(events.events())


@each_page
def test_names_of_the_package_exist(page: Path) -> None:
    tables = {
        "jobs",
        "attempts",
        "body",
        *re.findall(r"create (?:table|view|function|type|sequence) awa\.(\w+)", schema()),
    }
    named = {name for span in spans(page) for name in re.findall(r"\bawa\.(\w+)", span)}
    modules = {path.stem for path in (ROOT / "awa").iterdir()} | {"service"}  # awa.service: a systemd unit
    assert named - tables - modules - set(awa.__all__) == set()


@each_page
def test_exceptions_exist(page: Path) -> None:
    known = {each.__name__ for each in errors.classes()} | set(vars(builtins))
    wanted = re.compile(r"[A-Z]\w+(?:Error|Conflict|NotFound|NotMigrated|TooNew)")
    assert {span for span in spans(page) if wanted.fullmatch(span)} <= known


def schema() -> str:
    return (ROOT / "sql" / "schema.sql").read_text()
