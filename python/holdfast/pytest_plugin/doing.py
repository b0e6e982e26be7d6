"""What a run is doing right now, for whoever watches: its step, and what was seen of its device last."""

from __future__ import annotations

from dataclasses import dataclass

# A step as a run notes it begins like this.
STEPS = ("procedure: ", "depth: ", "failover: ")


@dataclass
class Doing:
    """`step` is the one that it is at, empty before the first; `seen` is of a failover alone.

    It is as light as it looks: a timeline of a long run takes too long to be read each second.
    """

    step: str = ""
    seen: str = ""

    def begin(self) -> None:
        """A test begins."""
        self.step = self.seen = ""

    def note(self, text: str) -> None:
        """Something was noted, which may be a step."""
        if text.startswith(STEPS):
            self.step, self.seen = text, ""

    def __call__(self, _seconds: float, what: str) -> None:
        """As `progress` of a failover tells it."""
        self.seen = what
