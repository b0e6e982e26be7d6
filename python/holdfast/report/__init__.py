"""Reports of runs, from what `--dut-artifacts` kept: a page for people, and what changed from one run to another.

report = holdfast.report.read("artifacts")
report.write("run.html")
holdfast.report.compare("before", "after")
"""

from holdfast.report.account import RunAccount, read
from holdfast.report.comparison import Change, Comparison, compare
from holdfast.verdicts import CaseRecord

# Its earlier name.
CaseAccount = CaseRecord

__all__ = ["CaseAccount", "CaseRecord", "Change", "Comparison", "RunAccount", "compare", "read"]
