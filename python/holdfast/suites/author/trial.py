"""A container of the image under test with a volume of its own, through one case."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from holdfast import Archive, Device, waiting
from holdfast.deadlines import seconds
from holdfast.exceptions import ExpectationFailed, HoldfastError
from holdfast.pytest_plugin import options
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.ledger import ANSWER, Ledger
from holdfast.pytest_plugin.run import ImageUnderTest, Run
from holdfast.suites.author.commands import SHOWN, run_command, skip_unless_processes_run
from holdfast.suites.looks import ABSENT, ANSWERING, LOOK, RUNNING, STOPPED, look_connection, look_container, settled
from holdfast.suites.made import AskedContainer
from holdfast.suites.steps import RECORDS, create_volume, deploy

# The longest that a container is let run before it is killed, in seconds. Short times are the likelier ones: it is on
# its way up that a container has most to lose.
LONGEST = 3.0
# The label in which an emulated device with real containers tells what one ended with.
EXIT_CODE = "holdfast.exit-code"
# How long a stop may take beyond its grace, in seconds: what the device needs for itself.
LEEWAY = 20.0


@dataclass(frozen=True)
class Asked:
    """What `--author-…` says."""

    check: str | None
    mount: str
    grace: float
    kills: int
    failovers: int
    size: str
    growth: int
    seed: str

    @staticmethod
    def of(run: Run) -> Asked:
        """With what holds where nothing is said."""
        mount, grace, kills, failovers, growth = (
            options.author(run.config, name) for name in ("mount", "grace", "kills", "failovers", "growth")
        )
        return Asked(
            check=options.value(run.config, "author-check"),
            mount=mount,
            grace=seconds(grace),
            kills=int(kills),
            failovers=int(failovers),
            size=options.value(run.config, "author-size") or f"du -sk {mount}",
            growth=int(growth),
            seed=options.value(run.config, "dut-seed") or "0",
        )


class Trial:
    """Starts it, kills it, stops it, and asks whether its data can be read."""

    def __init__(self, case: Case, dut: Device, image: ImageUnderTest, what: str) -> None:
        self._case = case
        self._dut = dut
        self.image = image
        self.asked = Asked.of(case.run)
        self.name = case.run.fresh_name(what)
        self.volume = case.run.fresh_name(f"{what}-volume")
        self.ledger = Ledger(case.run, dut, image.port)
        self._random = random.Random(f"author {what} {self.asked.seed}")  # noqa: S311 - equal seeds, equal moments
        self._container: AskedContainer | None = None

    def prepare(self, *others: ImageUnderTest) -> None:
        """The image, others beside it, and the volume are on the device, and what it runs are its processes."""
        skip_unless_processes_run(self._case, self._dut, self.image)
        with self._case.procedure("deploy the image and create a volume"):
            for image in (self.image, *others):
                deploy(self._dut, image)
            create_volume(self._case, self._dut, self.volume)

    def start(self, *, restart: str = "NONE") -> None:
        """Start it on its volume. Without a restart policy, for one that ends by itself is to be seen."""
        volumes = {self.volume: self.asked.mount}
        self._container = AskedContainer(self.name, self.image, volumes, restart=restart)
        self._container.start(self._dut)

    def come_up(self) -> None:
        """Start it; it runs, and answers."""
        self.start()
        self.expect_up()

    def come_back(self) -> None:
        """Another on the same volume, in the place of the one that there was."""
        self.remove()
        self.come_up()

    def update_to(self, image: ImageUnderTest) -> None:
        """UpdateContainer, with all else as it was."""
        assert self._container is not None, "start it first"
        self._container.update_to(self._dut, str(image))
        self._container = replace(self._container, image=image)
        self.image = image

    def expect_up(self, other: str | None = None) -> None:
        """It runs (or another of the image does), goes on running, and its port answers: with Ping where it is the
        wheel's own, else at all. What it logged last is told where not.
        """
        name = other or self.name
        try:
            self._expect_up(name)
        except ExpectationFailed as error:
            if last := self._last_words(name):
                raise ExpectationFailed(f"{error.message}; its log ends with: {last}") from error
            raise

    def _last_words(self, name: str) -> str:
        try:
            lines = self._dut.containerz.logs(name, timeout=max(ANSWER, self._case.run.limits["start"]))
        except HoldfastError:
            return ""
        return " | ".join([line.strip() for line in lines if line.strip()][-SHOWN:])

    def _expect_up(self, name: str) -> None:
        self._dut.containerz.expect_container(name)
        if self._case.run.unreachable:
            return
        self._case.run.configuring.before_dialling(self.image.port)
        if self._case.run.image_pings:
            self._dut.expect_answer(self.image.port)
        else:
            settled(self._case, lambda: look_connection(self._dut, self.image.port), (ANSWERING,))

    def write(self) -> None:
        """Records that its ledger acknowledges, where it has one; an image of one's own writes as it does."""
        if self.asked.check is None:
            self.ledger.write(RECORDS)

    def kill_at_random(self) -> float:
        """Let it run until a moment drawn by seed, and kill it then; after how many seconds. It must not end before."""
        self._dut.containerz.expect_container(self.name, watch=0)
        with self.ledger.writing():
            return self._kill_after_a_moment(self._runs)

    def kill_on_the_way_up(self) -> float:
        """Start it anew on its volume, and kill it at a moment drawn by seed, whatever it has come to by then."""
        self.remove()
        self.start()
        return self._kill_after_a_moment(self._has_not_ended)

    def _kill_after_a_moment(self, lives: Callable[[], bool]) -> float:
        after = LONGEST * self._random.random() ** 2
        if waiting.watch(lives, after, look=LOOK) is not None:
            raise ExpectationFailed(f"it ended by itself: {look_container(self._dut, self.name)}")
        self.kill()
        return after

    def _has_not_ended(self) -> bool:
        return look_container(self._dut, self.name) not in (STOPPED, ABSENT)

    def exit_code(self) -> int | None:
        """What it ended with, where the device tells: an emulated one with real containers does, in a label."""
        labels = next((row.labels for row in self._dut.containerz.containers() if row.name == self.name), {})
        told = labels.get(EXIT_CODE, "")
        return int(told) if told.isdigit() else None

    def _runs(self) -> bool:
        return look_container(self._dut, self.name) == RUNNING

    def kill(self) -> None:
        """StopContainer by force: SIGKILL."""
        self._dut.containerz.stop(self.name, force=True)
        self._expect_stopped()

    def stop(self) -> float:
        """StopContainer without force: SIGTERM, and after the device's grace SIGKILL. How many seconds it took."""
        begin = time.monotonic()
        self._dut.containerz.stop(self.name, timeout=self.asked.grace + LEEWAY)
        self._expect_stopped()
        return time.monotonic() - begin

    def timed_kill(self) -> float:
        """`kill`, and how many seconds it took."""
        begin = time.monotonic()
        self.kill()
        return time.monotonic() - begin

    def _expect_stopped(self) -> None:
        settled(self._case, lambda: look_container(self._dut, self.name), (STOPPED, ABSENT), watch=0)

    def remove(self) -> None:
        """The container is gone, and its volume stays."""
        self._dut.containerz.remove(self.name, force=True, missing_ok=True)

    def expect_readable(self) -> None:
        """Its data can be read: by its own check, while it is stopped, or by what its ledger acknowledged. It runs
        before and after.
        """
        if self.asked.check is None:
            try:
                self.ledger.compare()
            except NotChecked as why:
                if self.image.retag is None:
                    raise
                raise NotChecked(f"{why}, and no --author-check says how to read its data") from None
            return
        policy = self._container.restart if self._container is not None else "NONE"
        self.stop()
        self.remove()
        volumes = {self.volume: self.asked.mount}
        ended = run_command(self._case, self._dut, self.image, self.asked.check, volumes)
        if ended.code != 0:
            raise ExpectationFailed(f"its check ended with {ended.code}: {ended.shown}")
        self.start(restart=policy)
        self.expect_up()

    def size(self) -> float:
        """How much its volume holds, by `--author-size`; of the wheel's own container, its records."""
        if self.image.retag is None:
            return len(self._dut.read_records(self.image.port, timeout=ANSWER))
        volumes = {self.volume: f"{self.asked.mount}:ro"}
        ended = run_command(self._case, self._dut, self.image, self.asked.size, volumes)
        found = next((word for line in ended.lines for word in line.split() if word.isdigit()), None)
        if ended.code != 0 or found is None:
            raise NotChecked(f"--author-size tells no size: it ended with {ended.code}: {ended.shown}")
        return int(found)


def newer_image(run: Run) -> ImageUnderTest:
    """Another version of the image under test: `--author-update-image`, or another of the wheel's own.
    `NotChecked` where there is none.
    """
    given = options.value(run.config, "author-update-image")
    if given is None:
        if run.image.retag is not None:
            raise NotChecked("no --author-update-image names another version of the image")
        return run.image_to_update
    image = run.image
    return replace(
        image,
        tag=f"{image.tag}-newer",
        id=Archive.open(given).image(image.platform).id,
        archive=given,
        retag=f"{image.name}:{image.tag}-newer",
        shown=None,
    )
