"""One model of verdicts for every suite: a case has steps, and its verdicts follow from them.

`step` is what was looked at and what came of it, `case` what is known of a case, `store` how that is kept on disk.
"""

from holdfast.verdicts.case import CaseRecord, counted, outcome_of, verdict_of
from holdfast.verdicts.step import DEPTH, FAIL, INCONCLUSIVE, NOT_CHECKED, PASS, PROCEDURE, Kind, Outcome, Step

__all__ = [
    "DEPTH",
    "FAIL",
    "INCONCLUSIVE",
    "NOT_CHECKED",
    "PASS",
    "PROCEDURE",
    "CaseRecord",
    "Kind",
    "Outcome",
    "Step",
    "counted",
    "outcome_of",
    "verdict_of",
]
