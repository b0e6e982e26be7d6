"""A step of a case: what was looked at, for which verdict, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from holdfast import visible

Kind: TypeAlias = Literal["procedure", "depth"]
Outcome: TypeAlias = Literal["pass", "FAIL", "not checked", "inconclusive"]

PROCEDURE: Final = "procedure"
DEPTH: Final = "depth"

PASS: Final = "pass"  # noqa: S105 - a verdict
FAIL: Final = "FAIL"
NOT_CHECKED: Final = "not checked"
INCONCLUSIVE: Final = "inconclusive"

KINDS: tuple[Kind, ...] = (PROCEDURE, DEPTH)
OUTCOMES: tuple[Outcome, ...] = (PASS, FAIL, NOT_CHECKED, INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Step:
    """`words` say why the outcome is not `pass`.

    `kind` is the verdict that it belongs to: `procedure`, what the plan asks, or `depth`, what lies beyond it.
    `seconds` are from when the device was last asked to fail over, or the case began, until the outcome was known.
    `reason` is of a failure what two failures for one reason have in common: no address, no time, no advice. It is
    empty where `words` are no more than that.
    """

    kind: Kind
    name: str
    outcome: Outcome = PASS
    words: str = ""
    seconds: float = 0.0
    reason: str = ""

    @property
    def line(self) -> str:
        """Its name, and why it did not pass."""
        words = f"{INCONCLUSIVE}, {self.words}" if self.outcome == INCONCLUSIVE else self.words
        return f"{self.name}: {words}" if words else self.name

    def __str__(self) -> str:
        return visible.lines(f"{self.kind}: {self.line}")
