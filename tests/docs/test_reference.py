"""The reference is what the code says: generated pages are fresh, and nothing public is missing."""

from __future__ import annotations

import re
from typing import Any

import click
import psycopg
import pytest

from awa.cli.supervise import main as awa_supervisor
from awa.errors import AwaError
from awa.settings import SETTINGS
from docs.generate import commands, errors, events, python
from docs.generate.__main__ import FOLDER, stale

VIEWS = ("jobs", "attempts", "deaths")


def test_generated_pages_are_what_the_code_says() -> None:
    assert stale() == [], "run python -m docs.generate"


def test_every_setting_is_documented_and_is_an_option() -> None:
    page = (FOLDER / "settings.md").read_text()
    flags = {flag for option in awa_supervisor.params for flag in option.opts}
    for setting in SETTINGS:
        assert f"## `{setting.flag}`" in page
        assert f"`{setting.env}`" in page
        assert setting.flag in flags


def test_every_command_is_documented() -> None:
    headings = set(re.findall(r"^## `(.+)`$", (FOLDER / "cli.md").read_text(), re.MULTILINE))
    assert headings == {path for path, _ in commands.walk()}


def test_every_command_and_option_says_what_it_does() -> None:
    silent = [path for path, command in commands.walk() if not command.help]
    silent += [
        f"{path} {param.name}"
        for path, command in commands.walk()
        for param in command.params
        if isinstance(param, click.Option) and not param.help
    ]
    assert silent == []


def test_every_public_name_is_documented() -> None:
    assert python.public() == python.chaptered()


def test_every_exception_is_documented() -> None:
    page = (FOLDER / "errors.md").read_text()
    assert AwaError in errors.classes()
    assert [each.__name__ for each in errors.classes() if f"`{each.__name__}`" not in page] == []


def test_every_event_is_documented_and_emitted() -> None:
    page = (FOLDER / "events.md").read_text()
    listed = set(re.findall(r"^\| `(\w+\.\w+)`", page, re.MULTILINE))
    assert listed == set(events.emitted()) == set(events.MEANINGS)
    assert [event for event in events.events() if f"`{event}`" not in page] == []


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_of_a_view_is_documented(view: str, connection: psycopg.Connection[Any]) -> None:
    section = (FOLDER / "sql.md").read_text().split(f"## `awa.{view}`")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| `([\w.\[\]]+)` \|", section, re.MULTILINE)
    short = {"timestamp with time zone": "timestamptz"}
    columns = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute "
        "where attrelid = to_regclass(%s) and attnum > 0 order by attnum",
        [f"awa.{view}"],
    )
    assert documented == [(name, short.get(kind, kind)) for name, kind in columns]


def test_views_are_all_that_is_public(connection: psycopg.Connection[Any]) -> None:
    found = connection.execute("select viewname from pg_views where schemaname = 'awa'")
    assert {name for (name,) in found} - {"stored_job", "every_attempt"} == set(VIEWS)
