"""The pytest plugin: the shipped suites, their options, and fixtures for users' own tests.

A run that has nothing to do with devices pays for this file and `options.py` alone.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.pytest_plugin import options

if TYPE_CHECKING:
    from holdfast import Device, Emulator
    from holdfast.pytest_plugin.case import Case
    from holdfast.pytest_plugin.pair import Pair
    from holdfast.pytest_plugin.run import ImageUnderTest, Run
    from holdfast.testbed import Target


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cntr1(number, title): a case of the CNTR-1 test plan (container lifecycle)")
    config.addinivalue_line("markers", "cntr2(number, title): a case of the CNTR-2 test plan (container connectivity)")
    config.addinivalue_line(
        "markers", "cntr3(number, title): a case of the CNTR-3 test plan (container supervisor failover)"
    )
    config.addinivalue_line("markers", "midway(name): a failover in the middle of something")
    config.addinivalue_line("markers", "midway_seeds: once for each of --midway-seed")
    config.addinivalue_line("markers", "author(name, title): what an image of one's own promises")
    config.addinivalue_line("markers", "cni(name): a scenario of a pod whose network fails")
    config.addinivalue_line("markers", "disruptive: fails over or reboots the device under test")
    config.addinivalue_line("markers", "torpedo(scenario): a scenario of a storage provider for stateful containers")
    config.addinivalue_line("markers", "torpedo_runner(name): a scenario of this runner's alone")
    _begin_elsewhere(config)
    options.check(config)
    if options.value(config, "testbed") or options.value(config, "dut-inner"):
        from holdfast.pytest_plugin import targets

        targets.check(config)
    if options.is_active(config):
        from holdfast.pytest_plugin import image_archive, plugin, report, reserved, soak

        image_archive.check(config)
        plugin.check(config)
        report.install(config, devices=True)
        soak.install(config)
        reserved.install(config)
    elif _has_scenarios(config):
        from holdfast.pytest_plugin import report

        report.install(config, devices=False)
    if "torpedo" in options.wanted_suites(config) or options.names_suite_file(config, options.SUITES / "torpedo"):
        from holdfast.storage import report as storage_report

        storage_report.install(config)


def _begin_elsewhere(config: pytest.Config) -> None:
    """What workers of pytest-xdist on other machines take, there and here."""
    specs = " ".join(config.getoption("tx", None) or ())
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if not (worker.get("holdfast_remote") if worker is not None else "ssh=" in specs or "socket=" in specs):
        return
    from holdfast.pytest_plugin import elsewhere

    elsewhere.prepare(config)
    elsewhere.begin(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(elsewhere.Home(config), "holdfast-elsewhere")


def pytest_unconfigure(config: pytest.Config) -> None:
    elsewhere = sys.modules.get("holdfast.pytest_plugin.elsewhere")
    if elsewhere is not None:
        elsewhere.end(config)


def _has_scenarios(config: pytest.Config) -> bool:
    """Whether this run is of suites that need no device under test."""
    return any(
        name in options.wanted_suites(config) or options.names_suite_file(config, options.SUITES / name)
        for name in ("cni", "torpedo")
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    if "cni" not in options.wanted_suites(config):
        return None
    from holdfast.suites.cni import network

    return f"holdfast: {network.describe(config)}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker what only the command line may allow, and whose run it belongs to."""
    if options.is_active(node.config) or _has_scenarios(node.config):
        from holdfast.pytest_plugin import artifacts, cancelling, elsewhere, not_run, reserved, rounds

        cancelling.install(node.config)
        rounds.tell(node)
        reserved.tell(node)
        elsewhere.tell(node)
        node.workerinput["holdfast_artifacts"] = artifacts.place(node.config)
        node.workerinput["holdfast_session"] = artifacts.session(node.config)
        not_run.tell(node)
    node.workerinput["holdfast_command_line"] = [str(word) for word in node.config.invocation_params.args]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if not options.is_active(config):
        return None
    from holdfast.pytest_plugin import scheduling

    return scheduling.scheduler(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test on every device of a testbed, and as often as `--dut-repeat` or `--dut-for` says."""
    if "holdfast_run" not in metafunc.fixturenames:
        return
    from holdfast.pytest_plugin import plans, rounds, targets

    if numbers := rounds.collected(metafunc.config):
        metafunc.fixturenames.append(rounds.PARAMETER)
        metafunc.parametrize(rounds.PARAMETER, numbers, ids=map(plans.round_name, numbers), scope="session")
    if metafunc.definition.get_closest_marker("midway_seeds"):
        seeds = options.midway_seeds(metafunc.config)
        metafunc.parametrize("window", [f"seed{seed}" for seed in seeds], scope="session")
    known = targets.of(metafunc.config)
    if len(known) > 1:
        names = [target.name for target in known]
        metafunc.parametrize("holdfast_target", known, ids=names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    ending = sys.modules.get("holdfast.pytest_plugin.ending")  # which a run without devices does not load
    if ending is not None and isinstance(excinfo.value, ending.Ended):
        excinfo.value.say_once()


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Let a shipped case be rerun by its node id, inside a virtual environment too."""
    if options.names_suite_file(config, options.SUITES) and (
        collection_path in options.SUITES.parents or options.SUITES in collection_path.parents
    ):
        return False
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if options.SUITES not in module_path.parents:
        return None
    from holdfast.pytest_plugin.suite import SuiteModule

    return SuiteModule.from_parent(parent, path=module_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = options.wanted_suites(config)
    if wanted:
        from holdfast.pytest_plugin import suite

        suite.add(session, items, [options.SUITES / name for name in wanted])
    options.leave_out_other_runners(config, items)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if any("holdfast_run" in getattr(item, "fixturenames", ()) for item in session.items):
        from holdfast.pytest_plugin import image_archive, plugin

        image_archive.check(session.config)
        plugin.check(session.config)
    if options.value(session.config, "dut-for"):
        from holdfast.pytest_plugin import rounds, scheduling

        rounds.of(session.config).collect(session.items, partial(scheduling.scope, session.config))
    plans = [name for name in ("dut-plan", "torpedo-plan") if options.flag(session.config, name)]
    if plans:
        from holdfast.exceptions import HoldfastError
        from holdfast.pytest_plugin import ending, plan, storage_plan

        try:
            for name in plans:
                (plan if name == "dut-plan" else storage_plan).show(session.config, session.items)
        except HoldfastError as error:
            ending.refuse(session.config, error, begun=True)
        ending.succeed(session.config)
    ours = [item for item in session.items if options.is_ours(item)]
    if ours and not session.config.option.collectonly:
        from holdfast.pytest_plugin import cancelling, waits

        waits.install(session.config)
        cancelling.install(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """The loop of a process without workers where rounds go on for a time; else pytest's own, or xdist's."""
    if not options.value(session.config, "dut-for") or session.config.option.collectonly or session.testsfailed:
        return None
    from holdfast.pytest_plugin import not_run, rounds

    is_worker = hasattr(session.config, "workerinput")
    if is_worker or not_run.shares_out(session.config) or not rounds.is_timed(session.config):
        return None
    rounds.of(session.config).loop(session)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    if options.value(item.config, "dut-for"):
        from holdfast.pytest_plugin import rounds

        rounds.of(item.config).enter(item)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "holdfast_run" in getattr(item, "fixturenames", ()):
        from holdfast.pytest_plugin import not_run

        not_run.skip(item)
    if item.get_closest_marker("disruptive"):
        from holdfast.pytest_plugin.run import skip_unless_allowed

        skip_unless_allowed(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    outcome = yield
    if "holdfast_case" in getattr(item, "fixturenames", ()):
        from holdfast.pytest_plugin.case import judge

        judge(item)
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    about_device = "holdfast_run" in getattr(item, "fixturenames", ())
    if about_device and call.excinfo is not None:
        from holdfast.exceptions import word_for

        word_for(call.excinfo.value, "pytest")
    made = yield
    if about_device and call.excinfo is not None:
        from holdfast.pytest_plugin.case import shorten
        from holdfast.pytest_plugin.run import FAILED

        shorten(call.excinfo.value, made)
        item.stash[FAILED] = made.failed
    if "holdfast_case" in getattr(item, "fixturenames", ()):
        from holdfast.pytest_plugin import artifacts, not_run
        from holdfast.pytest_plugin.case import annotate

        artifacts.note_reason(made, call)
        not_run.note(item, made)
        artifacts.note_began(item, call)
        annotate(item, call, made)
        artifacts.keep_end(item, made)
    if item.get_closest_marker("torpedo"):
        from holdfast.pytest_plugin import artifacts
        from holdfast.storage import report as storage_report

        artifacts.note_began(item, call)
        storage_report.annotate(item, call, made)
    if options.SUITES / "cni" in item.path.parents:
        from holdfast.pytest_plugin import artifacts, scenarios

        artifacts.note_reason(made, call)
        artifacts.note_began(item, call)
        scenarios.annotate_cni(item, call, made)
    if getattr(item.config, "workerinput", {}).get("holdfast_remote"):
        from holdfast.pytest_plugin import elsewhere

        elsewhere.pack(item, made)
    return made


@pytest.fixture(scope="session")
def holdfast_target(request: pytest.FixtureRequest) -> Target:
    """The device that this run is about."""
    from holdfast.pytest_plugin import targets

    found: Target = getattr(request, "param", None) or targets.of(request.config)[0]
    return found


@pytest.fixture(scope="session")
def holdfast_run(request: pytest.FixtureRequest, holdfast_target: Target) -> Iterator[Run]:
    """This run: its id, its device, what it made there."""
    from holdfast.pytest_plugin import run as runs

    run = runs.begin(request.config, holdfast_target)
    try:
        yield run
    finally:
        for name in run.unhit():
            request.config.issue_config_time_warning(
                pytest.PytestWarning(f"failpoint {name} was armed and never hit"), stacklevel=2
            )
        run.end()


@pytest.fixture
def holdfast_dut(request: pytest.FixtureRequest, holdfast_run: Run) -> Iterator[Device]:
    """A connected device, clean before and after."""
    from holdfast.pytest_plugin import case

    device = holdfast_run.begin_test(request.node)
    yield device
    case.end_test(holdfast_run, request.node)


@pytest.fixture
def holdfast_pair(request: pytest.FixtureRequest, holdfast_run: Run) -> Iterator[Pair]:
    """The device under test and another that it has a link to, both clean before and after."""
    from holdfast.pytest_plugin import pair

    with pair.beside(request, holdfast_run) as both:
        yield both


@pytest.fixture
def holdfast_image(holdfast_run: Run) -> ImageUnderTest:
    """The image under test: `name`, `tag`, `id`, `archive`, and how to run it."""
    return holdfast_run.image


@pytest.fixture
def holdfast_case(request: pytest.FixtureRequest, holdfast_run: Run) -> Case:
    """Keeps a case's two verdicts."""
    from holdfast.pytest_plugin.case import Case

    case = Case(holdfast_run)
    request.node.stash[Case.KEY] = case
    return case


@pytest.fixture
def dut(holdfast_dut: Device) -> Device:
    """A connected device, clean before and after: the emulated one, or `--dut`."""
    return holdfast_dut


@pytest.fixture(scope="session")
def dut_session(holdfast_run: Run) -> Device:
    """The same device for as long as you like: wrap it in a fixture of the scope that you want, and clean up there.

    What is made through it and is still there when the run ends is removed then.
    """
    return holdfast_run.device_of_session


@pytest.fixture
def image(holdfast_image: ImageUnderTest) -> ImageUnderTest:
    """The image under test: `name`, `tag`, `id`, `archive`."""
    return holdfast_image


@pytest.fixture(scope="session")
def testbed(request: pytest.FixtureRequest, holdfast_run: Run) -> tuple[str, ...]:
    """The addresses of the devices under test; of an emulated one, that of the device of this test."""
    from holdfast.pytest_plugin import targets

    return tuple(target.address or holdfast_run.address for target in targets.of(request.config))


@pytest.fixture
def chassis(holdfast_run: Run) -> Iterator[Emulator]:
    """The emulated device behind `dut`; skips on a real one.

    A failpoint that a test armed is disarmed after it, and fails it if it was never hit.
    """
    emulated = holdfast_run.chassis
    if emulated is None:
        pytest.skip("needs an emulated device of this process' own, and another is named")
    before = {armed.name for armed in emulated.armed()}
    yield emulated
    own = [armed.name for armed in emulated.armed() if armed.name not in before]
    unhit = [name for name in own if emulated.disarm(name) == 0]
    if unhit:
        pytest.fail(f"failpoint {', '.join(unhit)} was armed and never hit", pytrace=False)
