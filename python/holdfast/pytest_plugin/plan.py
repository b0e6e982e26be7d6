"""`--dut-plan`: which failovers and reboots the chosen tests bring, and how long they may take, before any of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from holdfast.pytest_plugin import not_run, options, plans, rounds, targets


@dataclass(frozen=True)
class PlannedDisruption:
    """What a test, or several that share it, does to a device."""

    name: str
    switchovers: int
    reboots: int
    known: bool = True

    def longest(self, limits: Mapping[str, float]) -> float:
        """Its limits together, in seconds."""
        switchover = limits["ready"] + limits["switchover"] + limits["redundant"]
        return self.switchovers * switchover + self.reboots * (limits["reboot"] + limits["redundant"])

    def __str__(self) -> str:
        if not self.known:
            return "disruptive, and does not say how"
        counts = ((self.switchovers, "switchover"), (self.reboots, "cold reboot"))
        return " and ".join(f"{count} {what}{'s' * (count > 1)}" for count, what in counts if count)


def line_writer(config: pytest.Config) -> Callable[[str], None]:
    """What writes a line where pytest writes its own."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return print if reporter is None else reporter.write_line


def show(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Print the plan."""
    from holdfast import _core

    reasons = {target.name: not_run.why(config, target) for target in targets.of(config)}
    known = [target for target in targets.of(config) if reasons[target.name] is None]
    emulated = [targets.surely_emulated(config, target) for target in known]
    limits = _core.deadlines(emulated=all(emulated), real_containers=options.runs_real_containers(config))
    limits.update(dict(options.deadline(text) for text in options.value(config, "dut-deadline") or ()))
    goes = {
        target.name: targets.is_allowed(config, target) or says_emulated
        for target, says_emulated in zip(known, emulated, strict=True)
    }
    timed = rounds.is_timed(config)  # of which one round is told
    here = [item for item in items if targets.of_item(item) in known and not (timed and plans.round_of(item) == 2)]
    disruptions = {found: targets.of_item(item).name for item in here if (found := _of(item)) is not None}
    where = ", ".join("the EMULATED device" if not target.name else target.name for target in known) or "no device"
    write = line_writer(config)
    in_all = _in_all([disruption for disruption, name in disruptions.items() if goes[name]], limits)
    again = f"; that is one round, and they go on {rounds.words(config)}" if timed else ""
    write(f"plan for {where}: {in_all}{again}")
    for disruption, name in disruptions.items():
        time = f"at most {_time(disruption.longest(limits))}{'' if goes[name] else ', if it were allowed'}"
        write(f"  {disruption.name:<20} {disruption!s:<40} {time}")
    for why in filter(None, reasons.values()):
        write(f"NotRun: {why}")
    for name in (name for name, is_allowed in goes.items() if not is_allowed):
        own = _in_all([disruption for disruption, where in disruptions.items() if where == name], limits)
        write(f"not allowed on {name}, so its cases skip: say --dut-allow-disruption, and it is {own}")
    write("nothing was done: leave out --dut-plan to run the tests")


def _in_all(disruptions: Sequence[PlannedDisruption], limits: Mapping[str, float]) -> str:
    """How many of each, and how long they may take together."""
    switchovers, reboots = sum(d.switchovers for d in disruptions), sum(d.reboots for d in disruptions)
    longest = sum(disruption.longest(limits) for disruption in disruptions)
    what = str(PlannedDisruption("", switchovers, reboots))
    return f"{what or 'no failover'}, at most {_time(longest)}"


def _of(item: pytest.Item) -> PlannedDisruption | None:
    if item.get_closest_marker("disruptive") is None or item.get_closest_marker("skip") is not None:
        return None
    case = plans.plan_of(item)
    if case is None:
        return PlannedDisruption(item.name, 0, 0, known=False)
    name = str(case.kwargs.get("shared") or case.args[0])
    switchovers = _count(item.config, case.kwargs.get("switchovers", 0))
    procedure = getattr(getattr(item, "function", None), "holdfast_procedure", None)
    if options.flag(item.config, "dut-combine") and procedure is not None and procedure.combines:
        name, switchovers = "combined", _most_switchovers(item)
    where = getattr(getattr(item, "callspec", None), "id", "")
    return PlannedDisruption(f"{name} {where}".strip(), switchovers, case.kwargs.get("reboots", 0))


def _count(config: pytest.Config, said: int | str) -> int:
    """How many failovers a marker says; a name is that of `--author-NAME`."""
    return said if isinstance(said, int) else int(options.author(config, said))


def _most_switchovers(item: pytest.Item) -> int:
    """What the cases that share switchovers need together: as many as the one of them that needs most."""
    cases = (other.get_closest_marker("cntr3") for other in item.session.items)
    return max(int(case.kwargs.get("switchovers", 0)) for case in cases if case is not None)


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
