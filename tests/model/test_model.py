"""The model holds, and each mistake put into it is found. `make model` looks at the large ones as well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.model.spin import MODEL, check, missing
from tests.model.variants import VARIANTS, Variant

ROOT = MODEL.parents[2]
FILES = sorted(MODEL.parent.glob("*.pml"))
SECONDS = 240.0
"""A few on an idle machine, and more on a busy one."""
SMALL = [variant for variant in VARIANTS if not variant.is_large]


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("variant", SMALL, ids=lambda variant: variant.name)
def test_the_model_comes_to_its_verdict(variant: Variant, tmp_path: Path) -> None:
    verdict = check(variant, tmp_path, SECONDS)
    assert verdict.violated == variant.violates, verdict.trail


def test_some_that_hold_are_tried_and_every_mistake() -> None:
    assert {variant.name for variant in SMALL if variant.violates is None} == {"outcomes", "bulk"}
    assert {variant for variant in VARIANTS if variant.violates} <= set(SMALL)


def test_every_file_that_is_named_exists() -> None:
    named = {name for file in FILES for name in re.findall(r"\b(?:sql|awa)/[\w/]+\.(?:sql|py)", file.read_text())}
    assert {"sql/seal/seal.sql", "sql/claim/claim.sql", "sql/settle/settle.sql", "sql/rescue/rescue.sql"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_every_mistake_the_model_knows_is_tried() -> None:
    known = {name for file in FILES for name in re.findall(r"\bBROKEN_\w+", file.read_text())}
    assert known == {define for variant in VARIANTS for define in variant.defines if define.startswith("BROKEN_")}
