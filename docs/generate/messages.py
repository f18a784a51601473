"""The page of messages: what Awa says, why, and what to do."""

from __future__ import annotations

import ast
import logging
import re

from awa.telemetry import events as telemetry_events
from awa.telemetry.log import LEVELS
from docs.generate import events
from docs.generate.collecting import PACKAGE, Message, messages
from docs.generate.markdown import code, document, table
from docs.generate.remedies import CLAIMS, EVENTS, INTERNAL, remedy_of

INTRODUCTION = """
Every text that Awa raises or prints as an error, by the exception that bears it; `…` stands for what it fills in. Below
are the log lines that ask for something. [Exceptions](errors.md) says what each class means, and
[Log events](events.md) has all events.

Messages of `SQL` are raised by the functions of the database; a client raises them as `ValidationError`,
`UniqueConflict` or `DatabaseError`.
"""
CLAIM = re.compile(
    r"\b(nothing|none) (was|were|is|has|has been)? ?(changed?|inserted|written|committed|started)\b"
    r"|\b(was|is|were) rolled back\b|%s rolled back with it|is left as it was",
    re.IGNORECASE,
)
"""A text that says what has not happened."""
_RAISED_TO_WARNING = (telemetry_events.RUN_FINISHED, telemetry_events.WORKER_EXITED)


def page() -> str:
    """Return the page."""
    sections = []
    for name in sorted({message.raises for message in shown()}, key=str.lower):
        rows = sorted((_row(message) for message in shown() if message.raises == name), key=lambda row: row[0].lower())
        sections.append(f"## {name}\n\n" + table(("message", "cause", "what to do"), rows))
    alarms = ((code(name), events.MEANINGS[name], EVENTS.get(name, "")) for name in alarming())
    return document(
        "Messages", INTRODUCTION, *sections, "## Log lines\n\n" + table(("event", "cause", "what to do"), alarms)
    )


def shown() -> list[Message]:
    """Return the messages for users."""
    return [message for message in messages() if message.raises not in INTERNAL]


def without_remedy() -> list[str]:
    """Return the messages that no entry of `remedies.REMEDIES` fits."""
    return [f"{each.module}: {each.raises}: {each.text}" for each in shown() if remedy_of(each) is None]


def alarming() -> list[str]:
    """Return the events that are warnings or errors, at least sometimes, and that some code emits."""
    emitted = events.emitted()
    severe = {event for event, level in LEVELS.items() if level >= logging.WARNING} | set(_RAISED_TO_WARNING)
    return [event for event in events.events() if event in severe and event in emitted]


def claims() -> list[str]:
    """Return the texts in the package that say what has not happened."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in prose
            and CLAIM.search(node.value)
        ]
    return found


def unproven() -> list[str]:
    """Return the claims that `remedies.CLAIMS` names no test for."""
    return [text for text in claims() if not any(part in text for part in CLAIMS)]


def _row(message: Message) -> tuple[str, str, str]:
    found = remedy_of(message)
    text = re.sub(
        r"([\\*_<>\[\]])", r"\\\1", message.text.strip().replace("`", "'")
    )  # as it is read, not as it is formatted
    return (text, found.cause if found else "", found.remedy if found else "")
