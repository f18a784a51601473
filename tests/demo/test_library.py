"""Which files are analysed."""

from pathlib import Path

from awa.demo import library


def test_the_standard_library_has_many_files_and_none_that_was_installed() -> None:
    files = library.source_files(library.root())
    assert len(files) > 500
    assert "json/decoder.py" in files
    assert files == sorted(set(files))
    assert not [file for file in files if "site-packages" in file or not file.endswith(".py")]


def test_directories_of_installed_and_compiled_files_are_left_out(tmp_path: Path) -> None:
    for name in ("a.py", "b.txt", "sub/c.py", "site-packages/d.py", "sub/__pycache__/e.py", "dist-packages/f.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert library.source_files(tmp_path) == ["a.py", "sub/c.py"]


def test_the_largest_files_come_in_the_order_they_had(tmp_path: Path) -> None:
    for name, size in (("a", 10), ("b", 30), ("c", 20), ("d", 40)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert library.largest(tmp_path, ["a", "b", "c", "d"], 2) == ["b", "d"]
    assert library.largest(tmp_path, ["a", "b"], 10) == ["a", "b"]
