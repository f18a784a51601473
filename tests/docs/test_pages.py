"""Every code block of every page does what the page says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest

from awa import embedded
from awa.database.schema import chain
from tests.docs.blocks import LANGUAGES, NOT_RUN, ROOT, blocks, pages, prose
from tests.docs.story import Story, matches
from tests.fixtures.postgres import ensure_logins

BLOCKS_NOT_RUN_MAX = 2
SETUP = Path(__file__).with_name("setup")
"""What a page takes for granted, tables (.sql) or a jobs.py (.py), and how its story goes on (.after.py)."""
EXAMPLES = ROOT / "docs" / "examples"
READER = "reporting"
"""A role that pages grant rights to. Awa's own roles are there, too: the pages' owner may not create any."""

TOLD = [page for page in pages() if any(block.language != "text" for block in blocks(page))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def setup_of(page: Path, suffix: str) -> Path:
    return SETUP / f"{name_of(page).replace('/', '-').removesuffix('.md')}{suffix}"


@pytest.fixture
def story(page: Path, tmp_path: Path, empty_database: str, server: embedded.Server) -> Iterator[Story]:
    home = server.path.parent / f"docs-{token_hex(4)}"
    with ExitStack() as ending:
        told = Story(tmp_path, empty_database, f"embedded://{home}", blocks(page))
        ending.callback(told.end)
        yield told


@pytest.fixture
def reader(superuser_dsn: str, server: embedded.Server) -> None:
    ensure_logins(server)
    with psycopg.connect(superuser_dsn, autocommit=True) as admin, suppress(psycopg.errors.DuplicateObject):
        admin.execute(f"create role {READER}")


@pytest.mark.processes
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("page", TOLD, ids=name_of)
def test_blocks_of_the_page(page: Path, story: Story) -> None:
    prepare(page, story)
    for block in blocks(page):
        story.tell(block)
    if (sequel := setup_of(page, ".after.py")).exists():
        story.run_script(sequel)


def prepare(page: Path, story: Story) -> None:
    """Bring about what the page takes for granted: Awa's schema too, unless the page installs it, and the example that
    it is the page of."""
    if EXAMPLES in page.parents:
        shutil.copytree(page.parent, story.directory, dirs_exist_ok=True)
    with psycopg.connect(story.database) as connection:
        if not any(block.language == "bash" and "awa migrate" in block.text for block in blocks(page)):
            chain.migrate(connection)
        if (tables := setup_of(page, ".sql")).exists():
            connection.execute(tables.read_bytes())
    if (jobs := setup_of(page, ".py")).exists():
        (story.directory / "jobs.py").write_bytes(jobs.read_bytes())


def test_every_block_has_a_language_we_know() -> None:
    assert [block.where for page in pages() for block in blocks(page) if block.language not in LANGUAGES] == [], (
        "see tests/docs/blocks.py for what a block may be"
    )


def test_hardly_a_block_is_left_out() -> None:
    left_out = {block.where: block.not_run for page in pages() for block in blocks(page) if block.not_run is not None}
    assert len(left_out) <= BLOCKS_NOT_RUN_MAX, left_out
    assert all(left_out.values()), "the reason is missing"
    noted = sum(prose(page).count(f"\n{NOT_RUN}") for page in pages())
    assert noted == len(left_out), "a note stands behind no block"


def test_setup_belongs_to_a_page() -> None:
    known = {setup_of(page, suffix) for page in pages() for suffix in (".sql", ".py", ".after.py")}
    assert {path for path in SETUP.iterdir() if path.is_file()} <= known


def test_an_ellipsis_in_output_stands_for_anything() -> None:
    assert matches("a … d\ne", "a b c d\n e")
    assert not matches("a … d", "a b c")
    assert not matches("a.c", "abc")
