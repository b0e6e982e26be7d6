"""The fault language: `1*error(message)->2*delay(100)`, with `error[CODE](…)` and `return{…}`."""

from __future__ import annotations

from holdfast._core import FailpointTerms, parse_terms
from holdfast.exceptions import InvalidArgumentError

__all__ = ["FailpointTerms", "parse", "read_environment"]


def parse(text: str, strict: bool = False) -> FailpointTerms:
    """Read terms.

    With `strict`, what containerd's own language does not know is refused. Raises `ValueError`, worded as containerd
    words it.
    """
    terms = parse_terms(text)
    if strict and ("error[" in text or "return{" in text or "return {" in text):
        raise ValueError(f"invalid type format: {text.partition('*')[2]}")
    return terms


def read_environment(text: str) -> list[tuple[str, str]]:
    """Read `HOLDFAST_FAILPOINTS`: one `name=terms` a line."""
    pairs = []
    for line in text.splitlines():
        if line.strip():
            name, equals, terms = line.strip().partition("=")
            if not equals:
                raise InvalidArgumentError(f"failpoint {line.strip()!r}: no terms", hint="write NAME=TERMS")
            pairs.append((name, terms))
    return pairs
