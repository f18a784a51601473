"""What a page points to is there: files, folders, headings. And nothing in it is about one machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, pages, prose

_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:awa|sql|docs|tests|benchmarks|\.ci)(?:/[\w.<>*-]+)+/?")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MACHINE = re.compile(r"/work\b|/home/(?!you\b)\w+|/root/|/tmp/\w+|/Users/\w+|\.\./shared")
TOP = ("pyproject.toml", "Makefile", "LICENSE", "README.md")

each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = (re.sub(r"[`*]", "", heading).lower() for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in (found["target"] for found in _LINK.finditer(prose(page))):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


@each_page
def test_paths_in_code_spans_exist(page: Path) -> None:
    named = {found for span in _CODE.findall(prose(page)) for found in _PATH.findall(span)}
    missing = {
        path
        for path in named
        if not ({"<", "*"} & set(path) or (ROOT / path).exists() or (page.parent / path).exists())
    }
    assert missing == set()


@each_page
def test_nothing_is_about_one_machine(page: Path) -> None:
    assert _MACHINE.findall(page.read_text()) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = (found["target"].partition("#")[0] for found in _LINK.finditer(prose(page)))
        linked = ((page.parent / target).resolve() for target in targets if target.endswith(".md"))
        ahead += [other for other in linked if other not in reached and other.exists()]
    assert [str(page) for page in pages() if page not in reached] == []
