"""docs/explanation/faults.md: every row names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "explanation" / "faults.md"
ROW = re.compile(r"^\| (?!fault |---)(.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[`(test_\w+)`\]\(\.\./\.\./(tests/[\w/]+\.py)\)")


def test_every_row_links_to_a_test_that_is_there() -> None:
    rows = [row.split(" | ") for row in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))]
    assert len(rows) > 40
    for row in rows:
        assert len(row) == 4, row
        links = LINK.findall(row[3])
        assert links, f"no test in the row {row[0]!r}"
        for name, path in links:
            assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"
