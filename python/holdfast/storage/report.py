"""The qualification table: provider, version, environment, scenario, verdict, and what it rests on."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from holdfast import lab_words, visible
from holdfast._version import __version__
from holdfast.exceptions import HoldfastError, LabError, SchedulerError
from holdfast.pytest_plugin import artifacts, options, reasons
from holdfast.pytest_plugin.reasons import Reasons
from holdfast.render import lines
from holdfast.render.terminal import Paint
from holdfast.results import Unchecked
from holdfast.storage.account import ScenarioInconclusive, ScenarioNotRun
from holdfast.storage.scenario import Scenario
from holdfast.verdicts import FAIL, INCONCLUSIVE, NOT_CHECKED, PASS, PROCEDURE, CaseRecord, Outcome, Step

NAMES = {
    "T1": "dynamic volumes",
    "T2": "uneven mounts",
    "T3": "plugin down",
    "T4": "plugin down, task dies",
    "T5": "node powered off",
    "T6": "create with plugin down",
    "T7": "node partitioned",
    "T8": "storage partitioned",
    "T9": "runtime crash",
    "T10": "runtime crash, live restore",
    "T11": "expansion under write",
    "T12": "snapshot under write",
    "T13": "clone under write",
    "T14": "block volumes",
    "T15": "statistics",
    "T21": "kubelet down, task ends",
    "T22": "kubelet down",
    "T23": "control plane down",
    "T24": "drain under write",
    "T25": "StatefulSet's node partitioned",
}
# What a scenario's verdict is as a step's outcome.
OUTCOMES: dict[str, Outcome] = {
    "Pass": PASS,
    "Fail": FAIL,
    "Fail (scheduler)": FAIL,
    "Inconclusive": INCONCLUSIVE,
    "NotRun": NOT_CHECKED,
}
# What people read of a verdict: the words of all suites and of pages. NotRun is what is looked for in a table, and
# what a file of results (`torpedo.json`, `torpedo.md`, JUnit) says stays as it is.
SHOWN = {"Pass": PASS, "Fail": FAIL, "Fail (scheduler)": f"{FAIL} (scheduler)", "Inconclusive": INCONCLUSIVE}
# What a case keeps of what was measured.
MEASURED = ("recovery", "acknowledged", "lost", "altered", "stale")
HEAD = "| scenario | verdict | recovery | records | lost | altered | stale | reason |"


class ScenarioOutcome:
    """A scenario and how it ended."""

    KEY = pytest.StashKey["ScenarioOutcome"]()

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.verdict = "Pass"
        self.reason = ""
        # All that is to say of a failure, where the reason is its first line alone.
        self.words = ""

    def judge(self, error: BaseException | None) -> None:
        """Take the verdict from what a scenario raised."""
        if error is not None:
            self.reason = _reason(error, self.scenario.folder)
            self.words = str(error) or self.reason
        if isinstance(error, ScenarioNotRun):
            self.verdict = "NotRun"
        elif isinstance(error, (ScenarioInconclusive, LabError)):
            self.verdict = "Inconclusive"
        elif error is not None:
            self._blame(error)

    def _blame(self, error: BaseException) -> None:
        """Who is to blame is said of a lab that is whole; else nothing can be said."""
        trouble = self.scenario.trouble()
        whose = "Fail (scheduler)" if _is_the_schedulers(error) else "Fail"
        self.verdict = whose if trouble is None else "Inconclusive"
        if trouble is not None:
            self.reason = self.words = f"{trouble}; and so: {self.reason}"

    def properties(self, variant: str) -> list[tuple[str, object]]:
        """What the report carries of it."""
        account, provider = self.scenario.account, self.scenario.provider
        recovery = "" if account.recovery is None else f"{account.recovery:.3f}"
        own = self.scenario.own_time
        events = [
            f"{event.at:8.3f} s  {event.kind:8} {lab_words.of(event.kind, event.text)}"
            for event in self.scenario.lab.timeline()
        ]
        return [
            ("torpedo", self.scenario.name),
            ("variant", variant),
            ("verdict", self.verdict),
            ("reason", self.reason),
            ("provider", provider.name),
            ("provider_version", provider.version),
            ("emulated", provider.emulated),
            ("runner", self.scenario.runner or provider.runner),
            ("recovery", recovery),
            ("seconds", f"{own.whole:.3f}"),
            ("own_seconds", f"{own.seconds():.3f}"),
            ("acknowledged", str(account.acknowledged)),
            ("lost", str(account.lost)),
            ("altered", str(account.altered)),
            ("stale", str(account.stale)),
            ("faults", json.dumps(account.faults)),
            ("not_checked", json.dumps([str(each) for each in self.not_checked()])),
            ("calls", json.dumps([asdict(each) for each in self.scenario.lab.calls()])),
            ("timeline", "\n".join(events[-60:])),
        ]

    def not_checked(self) -> list[Unchecked]:
        """What was not looked at; among it failpoints that showed nothing, since no call came by them."""
        hits = self.scenario.lab.failpoint_hits()
        unreached = [
            Unchecked(f"the failpoint {name}", "it was armed and never reached") for name in hits if not hits[name]
        ]
        return [*self.scenario.account.not_checked, *unreached]


def _is_the_schedulers(error: BaseException | None) -> bool:
    """Whether what failed is that who schedules tasks did not do its part, so that the provider was not asked."""
    while error is not None:
        if isinstance(error, SchedulerError):
            return True
        error = error.__cause__
    return False


def scenario_of(item: pytest.Item) -> str:
    """Which scenario a test is, as its mark says: T1 to T15, T21 to T25."""
    mark = item.get_closest_marker("torpedo")
    assert mark is not None, f"{item.nodeid} has no mark torpedo(scenario)"
    return str(mark.args[0])


def _reason(error: BaseException, folder: str = "") -> str:
    """What is said of a failure in one line, the same whatever folder its lab had."""
    text = error.message if isinstance(error, HoldfastError) else str(error)
    line = next(iter(text.splitlines()), "") or type(error).__name__
    return line.replace(folder, "…") if folder else line


def annotate(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Make the verdict the test's outcome, let the report carry it, and keep it as a case."""
    outcome = item.stash.get(ScenarioOutcome.KEY, None)
    if outcome is None and call.when == "setup" and call.excinfo is not None:
        row = _without_a_lab(item, report, call.excinfo.value)
        report.user_properties.extend(row.items())
        item.user_properties.extend(row.items())  # JUnit takes them from the teardown's report
        if report.skipped:
            report.longrepr = (str(item.path), item.location[1] or 0, f"NotRun: {row['reason']}")
        keep(item, report, row)
    if outcome is None or call.when != "call":
        return
    outcome.judge(call.excinfo.value if call.excinfo else None)
    properties = outcome.properties(_variant(item))
    report.user_properties.extend(properties)
    item.user_properties.extend(properties)  # JUnit takes them from the teardown's report
    if outcome.verdict == "NotRun":
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"NotRun: {outcome.reason}")
    elif outcome.verdict in ("Fail", "Fail (scheduler)", "Inconclusive"):
        timeline = dict(outcome.properties(""))["timeline"]
        report.longrepr = f"{SHOWN[outcome.verdict]}: {outcome.words}\n\ntimeline:\n{timeline}"
    artifacts.keep_timeline(item, outcome.scenario.lab.timeline())
    keep(item, report, dict(properties), outcome.not_checked(), call.duration)


def keep(
    item: pytest.Item,
    report: pytest.TestReport,
    row: dict[str, Any],
    not_checked: Iterable[Unchecked] = (),
    seconds: float = 0.0,
) -> None:
    """Keep a scenario as a case of the one model of verdicts, for pages and comparisons."""
    steps = [Step(PROCEDURE, NAMES[row["torpedo"]], OUTCOMES[row["verdict"]], str(row["reason"]), seconds)]
    steps += [Step(PROCEDURE, each.what, NOT_CHECKED, each.why) for each in not_checked]
    measured = {name: str(row[name]) for name in MEASURED if row[name] != ""}
    measured["faults"] = "; ".join(json.loads(row["faults"])) or "none"
    case = CaseRecord(
        plan_id=_title(row),
        test=item.name,
        device=", ".join(_describe(row)),
        outcome=report.outcome,
        suite="torpedo",
        steps=tuple(steps),
        why=str(row["reason"]) if report.skipped else "",
        facts=measured,
        software=str(row["provider_version"]),
    )
    artifacts.keep_case(item, case)


def install(config: pytest.Config) -> None:
    """Report on this run, in the process that prints."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(config), "holdfast-torpedo-report")
        reasons.install(config)


class Reporter:
    """The table, at the end of a run and in files."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._folder = options.value(config, "torpedo-report")
        self._rows: list[dict[str, Any]] = []

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a scenario's account."""
        found = dict(report.user_properties)
        if "torpedo" in found and (report.when == "call" or (report.when == "setup" and not report.passed)):
            self._rows.append(found)
            if report.failed and isinstance(report.longrepr, str):
                where = f"{_shown(found)}: {visible.line(str(found['reason']))}"
                report.longrepr = Reasons(report.longrepr, where)  # type: ignore[assignment]

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table."""
        if not self._rows:
            return
        self._rows.sort(key=lambda row: (int(row["torpedo"][1:]), row["variant"]))
        terminalreporter.write_sep("=", "holdfast torpedo")
        write = terminalreporter.write_line
        for line in _describe(self._rows[0]):
            for each in lines.unindented(line, lines.width_of_terminal()):
                write(each)
        for line in table(self._rows, self._paint, lines.width_of_terminal()):
            write(line)
        if self._folder:
            for path in write_files(Path(self._folder), self._rows):
                write(f"written: {path}")

    def _paint(self, text: str, failed: bool) -> str:
        return self._config.get_terminal_writer().markup(text, red=True, bold=True) if failed else text


def _variant(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.id) if callspec else ""


def _without_a_lab(item: pytest.Item, report: pytest.TestReport, error: BaseException) -> dict[str, Any]:
    """The row of a scenario that never had a lab."""
    row = dict.fromkeys(("provider", "provider_version", "emulated", "runner", "recovery", "timeline"), "")
    return {
        **row,
        "torpedo": scenario_of(item),
        "variant": _variant(item),
        "verdict": "NotRun" if report.skipped else "Inconclusive",
        "reason": _reason(error),
        **dict.fromkeys(("acknowledged", "lost", "altered", "stale", "seconds", "own_seconds"), "0"),
        **dict.fromkeys(("faults", "not_checked", "calls"), "[]"),
    }


def _describe(row: dict[str, Any]) -> list[str]:
    if not row["provider"]:
        return ["no lab came about"]
    lines = [f"{row['provider']} {row['provider_version']}, runner {row['runner']}"]
    return [*lines, row["emulated"]] if row["emulated"] else lines


def _shown(row: dict[str, Any]) -> str:
    """Its verdict, for people."""
    return SHOWN.get(str(row["verdict"]), str(row["verdict"]))


def _title(row: dict[str, Any]) -> str:
    variant = f" ({row['variant']})" if row["variant"] else ""
    return f"{row['torpedo']} {NAMES[row['torpedo']]}{variant}"


def table(
    rows: Sequence[dict[str, Any]], paint: Paint = lambda text, _: text, width: int | None = None
) -> Iterator[str]:
    """A line for each scenario, and below it why, in `width` columns where that is given; then the calls."""
    word = max(len("verdict"), *(len(_shown(row)) for row in rows))
    numbers = f"{'recovery':>8} {'records':>7} {'lost':>4} {'altered':>7} {'stale':>5}"
    first = lines.first_column([_title(row) for row in rows], word + 1 + len(numbers), width)
    yield f"{'scenario':<{first}} {'verdict':<{word}} {numbers}"
    for row in rows:
        recovery = f"{float(row['recovery']):.2f} s" if row["recovery"] else "-"
        counts = f"{row['acknowledged']:>7} {row['lost']:>4} {row['altered']:>7} {row['stale']:>5}"
        verdict = paint(_shown(row), row["verdict"].startswith("Fail")) + " " * (word - len(_shown(row)))
        yield from lines.row(_title(row), first, f"{verdict} {recovery:>8} {counts}")
        if row["reason"]:
            yield from lines.below(row["reason"], first, width)
        for line in json.loads(row["not_checked"]):
            yield from lines.below(f"not checked: {line}", first, width)
    if own_waiting(rows):
        yield own_waiting(rows)
    for call in calls_of(rows):
        repeated = f", and {call['repeated']} times again" if call["repeated"] else ""
        many = f"{call['calls']} calls{repeated}"
        yield f"{call['name']}: slowest {call['slowest']:.2f} s of {call['limit']:g} s; {many}"


def own_waiting(rows: Sequence[dict[str, Any]]) -> str:
    """How long holdfast itself kept the scenarios of a cluster waiting; empty for other runners."""
    waited = [row for row in rows if row["runner"].startswith("kubernetes") and float(row["seconds"])]
    if not waited:
        return ""
    whole, own = (sum(float(row[name]) for row in waited) for name in ("seconds", "own_seconds"))
    return f"holdfast's own waiting, beyond faults, scheduler and provider: {own:.1f} s of {whole:.0f} s"


def calls_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls of each RPC in all scenarios together: the slowest of them, and how many there were."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        for call in json.loads(row["calls"]):
            known = found.setdefault(call["name"], {**call, "calls": 0, "repeated": 0})
            known["calls"] += call["calls"]
            known["repeated"] += call["repeated"]
            known["slowest"] = max(known["slowest"], call["slowest"])
    return list(found.values())


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table for a list of qualified providers."""
    about = rows[0]
    machine = f"{platform.system()} {platform.release()}, {platform.machine()}"
    said = visible.markdown
    ours = f" {said(about['emulated'])}." if about["emulated"] else ""
    lines = [
        f"## {said(about['provider'])} {said(about['provider_version'])}, runner {said(about['runner'])}",
        "",
        f"holdfast {__version__}, {machine}.{ours}",
        "",
        HEAD,
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        recovery = f"{float(row['recovery']):.2f} s" if row["recovery"] else ""
        cells = (
            _title(row),
            row["verdict"],
            recovery,
            row["acknowledged"],
            row["lost"],
            row["altered"],
            row["stale"],
            said(row["reason"]),
        )
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    if own_waiting(rows):
        lines += ["", f"{own_waiting(rows)}."]
    faults = [(_title(row), "; ".join(json.loads(row["faults"]))) for row in rows if row["faults"] != "[]"]
    if faults:
        lines += [
            "",
            "Faults, from the scenario's beginning on:",
            "",
            *(f"- {title}: {said(found)}" for title, found in faults),
        ]
    calls = calls_of(rows)
    if calls:
        lines += ["", "| call | limit | slowest | calls | again |", "|---|---|---|---|---|"]
        lines += [
            f"| {call['name']} | {call['limit']:g} s | {call['slowest']:.2f} s | {call['calls']} | {call['repeated']} |"
            for call in calls
        ]
    unchecked = [(row["torpedo"], line) for row in rows for line in json.loads(row["not_checked"])]
    if unchecked:
        lines += ["", *(f"- {name}: not checked: {said(line)}" for name, line in unchecked)]
    return "\n".join(lines) + "\n"


def write_files(folder: Path, rows: list[dict[str, Any]]) -> list[Path]:
    """The table as Markdown, and everything as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    table, data = folder / "torpedo.md", folder / "torpedo.json"
    table.write_text(markdown(rows), encoding="utf-8")
    decoded = [{**row, **{name: json.loads(row[name]) for name in ("faults", "not_checked", "calls")}} for row in rows]
    data.write_text(json.dumps({"holdfast": __version__, "scenarios": decoded}, indent=2) + "\n", encoding="utf-8")
    return [table, data]
