"""The tables that other languages test their keys against hold what Awa makes, row by row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from blake3 import blake3

from awa.job.codec.canonical import canonical
from awa.job.ordering_key import key_hash, mixed, partition_of
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "reference" / "unique-keys.md"
KEYS = {"(no bytes)": b"", "bytes 00 to 0f": bytes(range(16))}
"""What has no text of its own."""


def rows(header: str) -> Iterator[list[str]]:
    """Yield the cells of the table with this header, without their backticks."""
    table = PAGE.read_text().partition(f"| {header} |\n")[2].partition("\n\n")[0]
    for line in table.splitlines()[1:]:
        yield [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def test_numbers() -> None:
    found = list(rows("number | canonical"))
    assert len(found) == 15
    for number, text in found:
        assert canonical(json.loads(number)).decode() == text


def test_unique_keys() -> None:
    found = list(rows("kind | queue | args | period | key"))
    assert len(found) == 21
    for kind, queue, args, period, key in found:
        parts = [kind.encode()]
        if queue != "–":
            parts.append(queue.encode())
        if args != "–":
            parts.append(canonical(json.loads(args)))
        if period != "–":
            parts.append(int(period).to_bytes(8, "little", signed=True))
        assert blake3(b"\0".join(parts)).hexdigest()[:32] == key, (kind, queue, args, period)


def test_partitions() -> None:
    found = list(rows("key | h | x | of 2 | of 4 | of 16"))
    assert len(found) == 6
    for name, bits, stirred, *places in found:
        key = KEYS.get(name, name.encode())
        assert f"{key_hash(key):016x}" == bits
        assert f"{mixed(key_hash(key)):016x}" == stirred
        assert [str(partition_of(key, count)) for count in (2, 4, 16)] == places


def test_the_formula_is_the_one_in_use() -> None:
    """The drawing of the partition formula has the constants of the code."""
    source = (ROOT / "awa" / "job" / "ordering_key.py").read_text().lower().replace("0x", "")
    constants = re.findall(r"\b[0-9a-f]{12,20}\b", PAGE.read_text().partition("## Partitions")[2].partition("| key")[0])
    assert len(constants) == 5
    assert all(constant in source for constant in constants)
