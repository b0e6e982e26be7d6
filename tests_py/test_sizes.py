"""No product file is over 500 lines without a line in its head that says why."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST = 500
# Among so many first lines.
HEAD = 20
REASON = re.compile(r"^(?://!|#) Long because \w+")


def product_files() -> list[Path]:
    rust = [file for room in (ROOT / "src", *ROOT.glob("crates/*/src")) for file in room.rglob("*.rs")]
    return [*rust, *(file for kind in ("*.py", "*.pyi") for file in (ROOT / "python" / "holdfast").rglob(kind))]


def is_long_without_reason(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) > LONGEST and not any(REASON.match(line) for line in lines[:HEAD])


def test_a_long_file_says_why_in_its_head() -> None:
    files = product_files()
    assert len(files) > 200
    long = {
        file.relative_to(ROOT).as_posix() for file in files if is_long_without_reason(file.read_text(encoding="utf-8"))
    }
    wrong = sorted(long)
    assert wrong == [], f"cut them, or write `//! Long because …` (`# Long because …`) in their first {HEAD} lines"


def test_a_reason_counts_in_the_head_alone() -> None:
    body = "x\n" * LONGEST
    assert is_long_without_reason(body + "x\n")
    assert not is_long_without_reason(body)
    assert not is_long_without_reason("//! A parser.\n//! Long because it is one grammar.\n" + body)
    assert not is_long_without_reason("# Long because it is one table.\n" + body)
    assert is_long_without_reason(body + "# Long because it is one table.\n")
    assert is_long_without_reason("# Long because\n" + body)
