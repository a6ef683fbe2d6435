"""docs/reliability.md promises tests by name: each must exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^\| (?P<failure>[^|]+) \| (?P<tests>[^|]+) \|$", re.MULTILINE)
NAME = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)


def rows() -> dict[str, str]:
    """The table's rows: failure and what is said of its tests."""
    table = PAGE.read_text(encoding="utf-8").partition("| failure | tests |")[2]
    return {row["failure"]: row["tests"] for row in ROW.finditer(table)}


def test_every_test_that_the_page_names_exists() -> None:
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in DEFINED.findall(path.read_text("utf-8"))
    }
    named = {name for tests in rows().values() for name in NAME.findall(tests)}
    assert len(named) >= len(rows()) / 2
    assert named <= defined, sorted(named - defined)


def test_every_failure_has_a_test_or_the_reason_why_not() -> None:
    assert len(rows()) >= 40
    bare = [failure for failure, tests in rows().items() if not NAME.search(tests) and not tests.strip().endswith(".")]
    assert not bare
