"""What was made is what was asked for: what a device lists of it, and what a container sees of itself.

What was asked for must be there; what is listed beyond it is the device's own. A field that the device does not list is
not checked. Each `…_as_asked` adds its steps to a case: they are `depth`, for the plans ask for little of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast import Device, _core
from holdfast.choices import VolumeDriver
from holdfast.exceptions import ExpectationFailed, HoldfastError
from holdfast.journal import NAME_LABEL
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.ledger import MOUNT, VARIABLES, Ledger
from holdfast.pytest_plugin.run import ImageUnderTest, Run
from holdfast.results import Container, Volume, same_id

# A variable that each thing is asked to have, with its own name, as a run's label NAME_LABEL: no other has that value.
NAME_VARIABLE = f"{VARIABLES}NAME"
# Under which the run keeps what the device was seen to list.
_LISTED = "what the device lists"
# An id as lists shorten it, which may as well be a name.
_SHORT_ID = re.compile(r"[0-9a-f]{12,64}")


@dataclass(frozen=True)
class AskedContainer:
    """What a start or an update asks for: a container of `image`, reached on `port`."""

    name: str
    image: ImageUnderTest
    volumes: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    # None for the image's own.
    port_or_own: int | None = None
    # Where nobody said which, and the plan does.
    network: str = ""
    restart: str = "ALWAYS"

    @property
    def port(self) -> int:
        """Where it is reached."""
        return self.port_or_own or self.image.port

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it is given."""
        return {NAME_VARIABLE: self.name, **self.variables}

    def start(self, dut: Device) -> None:
        """StartContainer."""
        dut.containerz.start(self.name, image=self.image, **self._parameters())

    def update_to(self, dut: Device, image: str) -> None:
        """UpdateContainer, which keeps everything but the image."""
        dut.containerz.update(self.name, image=image, **self._parameters())

    def _parameters(self) -> dict[str, Any]:
        command, ports = self.image.published_on(self.port, explicit=bool(self.network))
        return {
            "command": command,
            "ports": ports,
            "network": self.image.network or self.network,
            "volumes": dict(self.volumes),
            "environment": self.environment,
            "restart": self.restart,
        }


@dataclass(frozen=True)
class AskedVolume:
    """What CreateVolume asks for. `driver` is `local`, `custom`, or None for the device's own choice."""

    name: str
    driver: VolumeDriver | None
    options: Mapping[str, str]

    @staticmethod
    def of(run: Run, name: str) -> AskedVolume:
        """A volume as `--dut-volume-driver` and `--dut-volume-option` say."""
        options = run.volume_options
        return AskedVolume(name, run.volume_driver or ("custom" if options else None), options)

    def create(self, dut: Device, *, look_first: bool = True) -> None:
        """CreateVolume; the device must say the name that was asked for. Without `look_first` one that is there
        is asked for too.
        """
        options = dict(self.options)
        made = dut.containerz.create_volume(self.name, driver=self.driver, options=options, look_first=look_first)
        if made != self.name:
            raise ExpectationFailed(f"the volume {self.name} was asked for, and the device made {made}")


def image_as_sent(case: Case, dut: Device, image: ImageUnderTest) -> None:
    """The image is listed by its name, its tag and one of its digests."""
    with case.depth("it is the image that was sent"):
        dut.containerz.expect_image(image, watch=0)


def container_as_asked(case: Case, dut: Device, asked: AskedContainer, *, what: str = "the container") -> None:
    """The image, the labels, and what the container sees of itself: which image, its variables, its volume."""
    with case.depth(f"{what} is of the image that was asked for"):
        expect_image_listed(dut, asked.image, _container(dut, asked.name).image)
    with case.depth(f"{what} has the labels that were asked for"):
        expect_labels(case, dut, asked.name, _container(dut, asked.name).labels)
    with case.depth(f"{what} sees itself as it was asked for"):
        _expect_seen(case, dut, asked)


def note_unlisted(case: Case) -> None:
    """What no list carries, and no container sees, cannot be compared; ports answer, and a reboot shows the policy."""
    case.leave_out("the container's command and network", "ListContainer does not carry them")


def volume_as_asked(case: Case, dut: Device, asked: AskedVolume) -> None:
    """The driver, the options, the labels."""
    with case.depth("the volume has the driver that was asked for"):
        expect_driver(asked, _volume(dut, asked.name))
    with case.depth("the volume has the options that were asked for"):
        found = _volume(dut, asked.name)
        if asked.options:
            expect_listed(case, f"options of a volume with the driver {found.driver}", found.options)
        expect_options(asked, found)
    with case.depth("the volume has the labels that were asked for"):
        found = _volume(dut, asked.name)
        if dut.labels_refused is None:
            expect_listed(case, "labels of a volume", found.labels)
        expect_labels(case, dut, asked.name, found.labels)


def plugin_as_asked(case: Case, dut: Device, instance: str, config: str) -> None:
    """The configuration."""
    with case.depth("the plugin has the configuration that was asked for"):
        listed = next((row.config for row in dut.containerz.plugins() if row.instance_name == instance), "")
        expect_listed(case, "configuration of a plugin", listed.strip())
        expect_configuration(config, listed)


def expect_listed(case: Case, what: str, listed: object) -> None:
    """A device that listed `what` once in this run lists it now: only of one that never does nothing can be said."""
    known: set[str] = case.run.shared.setdefault(_LISTED, set())
    if listed:
        known.add(what)
    elif what in known:
        raise ExpectationFailed(f"no {what} is listed, and of another it was")


def expect_image_listed(dut: Device, image: ImageUnderTest, listed: str) -> None:
    """What a container's row names as its image is `image`. `NotChecked` where the row does not tell."""
    if not listed:
        raise NotChecked("the device lists no image of it")
    name, tag, digest = _core.image_written(listed)
    if not tag and not digest and _SHORT_ID.fullmatch(name):
        name, digest = "", name
    rows = dut.containerz.images()
    known = [row for row in rows if digest and row.has_id(digest)]
    if digest and (same_id(digest, image.id) or any(row.has_id(image.id) for row in known)):
        return
    of_its_name = bool(name) and _core.same_image_name(name, image.name)
    if known and not (tag and any(row.may_be(image.name, image.tag) for row in known)):
        other = f"{known[0].name}:{known[0].tag}" if known[0].tags else "another image"
        raise ExpectationFailed(f"{image} was asked for, and {listed} is listed, which is {other}")
    if of_its_name and tag == image.tag:
        return
    if tag and any(row.may_be(name, tag) and row.has_id(image.id) for row in rows):
        return  # another name of the same image
    if not name:
        raise NotChecked(f"the device lists {listed}" + (", and no image of that digest" if digest else ""))
    if of_its_name and not tag:
        raise NotChecked(f"the device lists {listed}, without a tag")
    raise ExpectationFailed(f"{image} was asked for, and {listed} is listed")


def names_image(dut: Device, image: ImageUnderTest, listed: str) -> bool:
    """Whether a container's row means the image. `NotChecked` where it does not tell."""
    try:
        expect_image_listed(dut, image, listed)
    except ExpectationFailed:
        return False
    return True


def expect_driver(asked: AskedVolume, volume: Volume) -> None:
    """The driver that was asked for, by whatever name the device calls it: a custom one has a name of its own."""
    if asked.driver is None:
        raise NotChecked("no driver was asked for")
    if not volume.driver:
        raise NotChecked("the device lists no driver")
    local = volume.driver.lower().removeprefix("ds_").partition(":")[0] == "local"  # Docker names a plugin with its tag
    if local != (asked.driver == "local"):
        raise ExpectationFailed(f"the volume was made with the driver {asked.driver}, and has {volume.driver}")


def expect_options(asked: AskedVolume, volume: Volume, *, by_plan: bool = False) -> None:
    """The options that were asked for. `by_plan`: the plan wants them listed by a device that lists drivers."""
    wanted = _listed_options(asked)
    if not wanted:
        raise NotChecked("no options were asked for")
    if not volume.options and not (by_plan and volume.driver):
        raise NotChecked("the device lists no options")
    for names, value in wanted:
        found = next((volume.options[name] for name in names if name in volume.options), None)
        if found is None or _plain(names[0], found) != _plain(names[0], value):
            raise ExpectationFailed(
                f"the volume was made with the options {dict(asked.options)}, and has {volume.options}"
            )


def _listed_options(asked: AskedVolume) -> list[tuple[tuple[str, ...], str]]:
    """Each by the names under which it may be listed: a local volume's are mount's, or the contract's own."""
    if asked.driver != "local":
        return [((name,), value) for name, value in asked.options.items()]
    given = [
        (("device", "mountpoint"), asked.options.get("mountpoint", "")),
        (("o", "options"), asked.options.get("options", "")),
    ]
    return [(names, value) for names, value in given if value]


def _plain(name: str, value: str) -> object:
    """Mount's options in any order, a path with or without a slash at its end."""
    if name == "o":
        return frozenset(part.strip() for part in value.split(","))
    return (value.rstrip("/") or "/") if name == "device" else value


def expect_labels(case: Case, dut: Device, name: str, listed: Mapping[str, str]) -> None:
    """The run's and the name's, unless the device takes none."""
    if dut.labels_refused is not None:
        raise NotChecked(f"the device takes no labels: {dut.labels_refused}")
    expect_among("labels", {NAME_LABEL: name, **case.run.labels}, listed)


def expect_among(what: str, wanted: Mapping[str, str], listed: Mapping[str, str]) -> None:
    """All of `wanted` is listed, with its values."""
    if not listed:
        raise NotChecked(f"the device does not list its {what}")
    wrong = _wrong(wanted, listed)
    if wrong:
        raise ExpectationFailed(f"{what} were asked for and are not as asked: {wrong}")


def _wrong(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Which are not there, or with another value."""
    wrong_ones = [
        f"{name}={value} is {'missing' if name not in found else repr(found[name])}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    return "; ".join(wrong_ones)


def _expect_seen(case: Case, dut: Device, asked: AskedContainer) -> None:
    """Variables, the image by the variable that ours sets, and the volume where the container's ledger is."""
    if case.run.unasked:
        raise NotChecked(case.run.unasked)
    case.run.configuring.before_dialling(asked.port)
    try:
        seen = Ledger(case.run, dut, asked.port).described()
    except HoldfastError as error:
        if case.run.image_pings is None:
            raise NotChecked(f"the image under test does not describe itself: {error.message}") from None
        raise
    wanted = dict(asked.environment)
    if asked.image.shown is not None:
        wanted[f"{VARIABLES}IMAGE"] = asked.image.shown
    wrong = [_wrong(wanted, seen.environment)]
    places = {place.removesuffix(":ro").removesuffix(":rw").rstrip("/"): place for place in asked.volumes.values()}
    if MOUNT in places:
        writable = not places[MOUNT].endswith(":ro")
        if not seen.mounted:
            wrong.append(f"nothing is mounted at {MOUNT}")
        elif seen.writable != writable:
            wrong.append(f"what is mounted at {MOUNT} can{'not' if writable else ''} be written to")
    if wrong_ones := "; ".join(each for each in wrong if each):
        raise ExpectationFailed(f"as the container sees itself, it is not as asked: {wrong_ones}")


def _container(dut: Device, name: str) -> Container:
    found = [row for row in dut.containerz.containers() if row.is_named(name)]
    if len(found) != 1:
        raise NotChecked(f"it is listed {len(found)} times")
    return found[0]


def _volume(dut: Device, name: str) -> Volume:
    found = [row for row in dut.containerz.volumes() if row.name == name]
    if len(found) != 1:
        raise NotChecked(f"it is listed {len(found)} times")
    return found[0]


def expect_configuration(asked: str, listed: str) -> None:
    """A plugin's configuration holds all that was asked for, as it was written or as the device's engine writes it."""
    if not listed.strip():
        raise NotChecked("the device lists no configuration of it")
    wanted, found = _read(asked), _read(listed)
    if wrong := _difference(found, wanted, "", rewritten=_is_rewritten(found, wanted)):
        raise ExpectationFailed(f"the plugin was started with another configuration than asked for: {wrong}")


def _read(config: str) -> Any:
    """JSON, where it is that."""
    try:
        return json.loads(config)
    except ValueError:
        return config.strip()


def _is_rewritten(found: Any, wanted: Any) -> bool:
    """Whether the device lists what its engine read of it: Docker writes `Entrypoint` for `entrypoint`."""
    if not isinstance(wanted, dict) or not isinstance(found, dict):
        return False
    names = {name.lower() for name in found}
    return any(name.lower() in names and name not in found for name in wanted)


def _difference(found: Any, wanted: Any, where: str, *, rewritten: bool) -> str | None:
    """The first member of `wanted` that `found` has otherwise, or lacks; it may have more.

    `rewritten`: an engine read it into its own record. Names are of any case, what is empty may be null, and a member
    that the engine does not know is not there: all that it knows it lists.
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        known = {name.lower(): value for name, value in found.items()} if rewritten else found
        for name, value in wanted.items():
            key, inner = name.lower() if rewritten else name, f"{where}.{name}" if where else name
            if key not in known and not rewritten:
                return f"{inner} is missing"
            if key in known and (wrong := _difference(known[key], value, inner, rewritten=rewritten)):
                return wrong
        return None
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(found, wanted, strict=True))
        each = (_difference(there, value, f"{where}[{at}]", rewritten=rewritten) for at, (there, value) in pairs)
        return next((wrong for wrong in each if wrong), None)
    if found == wanted or (rewritten and not found and not wanted):
        return None
    return f"{where or 'it'} is {json.dumps(found)}, not {json.dumps(wanted)}"
