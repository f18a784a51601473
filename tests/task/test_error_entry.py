"""What is stored of an exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa.task.error_entry import ERROR_MESSAGE_BYTES_MAX, ERROR_TRACEBACK_BYTES_MAX, describe
from awa.task.outcome import decide_error


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc
    except BaseException as caught:
        return caught


def test_the_text_is_the_name_the_message_and_where_it_happened() -> None:
    head, place, source = describe(raised(ValueError("bad input"))).splitlines()
    assert head == "ValueError: bad input"
    assert place.startswith(f'  File "{__file__}", line ')
    assert place.endswith(", in raised")
    assert source == "    raise exc"


def test_a_nested_class_is_named_with_what_it_is_in() -> None:
    class Inner(Exception):
        pass

    assert describe(Inner("x")) == f"{Inner.__qualname__}: x"


def dive(depth: int) -> None:
    if depth == 0:
        raise ValueError("deep")
    dive(depth - 1)


def test_a_deep_traceback_keeps_its_last_ten_lines() -> None:
    with pytest.raises(ValueError, match="deep") as caught:
        dive(50)
    lines = describe(caught.value).splitlines()
    assert lines[:2] == ["ValueError: deep", "  [47 frames truncated]"]
    assert len(lines) == 12
    assert lines[-1] == '    raise ValueError("deep")'


def test_a_long_message_is_cut_and_the_traceback_survives() -> None:
    text = describe(raised(ValueError("ā" * 100_000)))
    assert f"… [cut: 200012 bytes, the first {ERROR_MESSAGE_BYTES_MAX} are kept]" in text
    assert text.endswith("    raise exc")
    assert len(text.encode()) < ERROR_MESSAGE_BYTES_MAX + ERROR_TRACEBACK_BYTES_MAX + 200


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_exception_that_cannot_be_printed_is_still_recorded() -> None:
    assert describe(Rude()) == "Rude: <no message: __str__ raised RuntimeError>"


@given(st.text())
def test_whatever_the_message_the_entry_is_fit_for_jsonb(message: str) -> None:
    payload = decide_error(ValueError(message + "\0\ud800"), 1, 25).payload
    assert payload is not None
    assert "\0" not in json.loads(payload)["error"]
    assert json.loads(payload)["error"].encode()
    assert json.loads(payload)["error"].endswith("\\x00\\ud800")


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_source_in_a_file_whose_name_is_not_text() -> None:
    code = (
        "import awa.task.outcome as o\n"
        "try: exec(compile('1/0', b'\\xff.py'.decode(errors='surrogateescape'), 'exec'))\n"
        "except Exception as e: print(o.decide_error(e, 1, 2).payload.decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "\\udcff.py" in json.loads(done.stdout)["error"]


class Bomb(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


def test_a_message_that_exits_does_not_take_the_worker_along() -> None:
    assert describe(Bomb()) == "Bomb: <no message: __str__ raised SystemExit>"


def test_the_name_of_a_type_is_cut() -> None:
    endless = type("N" * 100_000, (Exception,), {})
    assert describe(endless("short")) == f"{'N' * 200}: short"
    payload = decide_error(endless("short"), 1, 1).payload
    assert payload is not None
    assert json.loads(payload)["type"] == "N" * 200
