"""Is a device fit for the tests? Each finding says what was looked at, what was seen, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from holdfast import Device, leftovers, profiles, services
from holdfast.exceptions import HoldfastError, Unimplemented
from holdfast.services import CONTAINERZ, GNMI, SYSTEM, Services

# Certificates and tokens stop working where clocks differ by more.
SKEW = timedelta(minutes=5)
# How long one look may take, in seconds.
LOOK = 10.0
PAIR = "two control processors, one primary"


@dataclass(frozen=True)
class Finding:
    """What one look found; `fit` is None where the device gives no means to look."""

    what: str
    fit: bool | None
    seen: str
    hint: str | None = None


def examine(reach: Callable[[], Device]) -> Iterator[Finding]:
    """Look at a device from the outside in; what cannot be reached is not looked at further."""
    try:
        dut = reach()
    except HoldfastError as error:
        yield Finding("reachable", False, error.message, error.advice("command"))
        return
    with dut:
        yield Finding("reachable", True, dut.address)
        try:
            served = services.of(dut, timeout=LOOK)
        except HoldfastError as error:
            yield Finding("logs in", False, error.message, error.advice("command"))
            return
        yield Finding("logs in", True, _version(dut, served))
        yield _services(dut, served)
        seen = {}
        for what, (needs, look) in _LOOKS.items():
            lack = served.lack(*needs)
            seen[what] = found = Finding(what, None, lack) if lack else _looked(what, look, dut)
            yield found
        yield _suites(served, seen)


def _looked(what: str, look: Callable[[Device], Finding], dut: Device) -> Finding:
    try:
        return look(dut)
    except HoldfastError as error:
        return Finding(what, False, error.message, error.advice("command"))


def _version(dut: Device, served: Services) -> str:
    if GNMI not in served.there:
        return dut.address
    try:
        return f"gNMI {dut.gnmi.capabilities(timeout=LOOK).version}"
    except Unimplemented:
        return "gNMI, which does not tell its version"


def _services(dut: Device, served: Services) -> Finding:
    """Containerz is what all suites need; of what else is not there, a line for each says what it costs."""
    there, lack = ", ".join(served.there) or "none", served.lack(GNMI, SYSTEM, CONTAINERZ)
    if not lack:
        return Finding("services", True, there)
    fit = None if CONTAINERZ in served.there else False
    hint = f"serve {' and '.join(served.absent)} there, or name the port of gNOI where that is another (--dut-gnoi)"
    return Finding("services", fit, f"{there}; {lack}", (fit is False and _configuration(dut)) or hint)


def to_configure(dut: Device) -> str:
    """What a vendor's device wants to be configured first; empty where it serves Containerz or nobody knows."""
    try:
        served = services.of(dut, CONTAINERZ, timeout=LOOK)
    except HoldfastError:
        return ""
    return "" if CONTAINERZ in served.there else _configuration(dut)


def _configuration(dut: Device) -> str:
    """What a vendor's device without Containerz wants to be configured first; empty where nothing is known of that."""
    try:
        profile = profiles.recognise(profiles.shown(dut, timeout=LOOK))
    except HoldfastError:
        return ""
    missing, lines = profile.configuration("PORT")
    return missing and (
        f"profile {profile.name} would configure: {missing}; a run of tests with --dut-configure does; or do it by "
        f"hand: {lines} (PORT is the container's)"
    )


def _roles(dut: Device) -> Finding:
    found = dut.control_processors(timeout=LOOK)
    seen = ", ".join(f"{cp.name} {cp.role}" for cp in found) or "no control processor with a redundant-role"
    primaries = sum(cp.role == "PRIMARY" for cp in found)
    hint = {
        0: "a device with two supervisors that gNMI shows is needed: is redundancy configured, has it booted?",
        1: None if len(found) == 2 else "insert the second supervisor, or wait until it has booted",
    }.get(primaries, "two supervisors believe to be in charge: mend the device's redundancy first")
    return Finding(PAIR, hint is None, seen, hint)


def _ready(dut: Device) -> Finding:
    reported = [cp.ready for cp in dut.control_processors(timeout=LOOK) if cp.ready is not None]
    if not reported:
        return Finding("ready for a switchover", None, "the device has no switchover-ready")
    hint = None if all(reported) else "wait until the standby is in step; look at why it is not where that never comes"
    return Finding("ready for a switchover", all(reported), "yes" if all(reported) else "no", hint)


def _clock(dut: Device) -> Finding:
    skew = abs(dut.system.time(timeout=LOOK) - datetime.now(timezone.utc))
    hint = None if skew < SKEW else "set the device's clock, or give it NTP"
    return Finding("gNOI System, and its clock", skew < SKEW, f"{skew.total_seconds():.1f} s apart", hint)


def _containerz(dut: Device) -> Finding:
    images, containers = dut.containerz.images(timeout=LOOK), dut.containerz.containers(timeout=LOOK)
    volumes = dut.containerz.volumes(timeout=LOOK)
    seen = f"{len(images)} images, {len(containers)} containers, {len(volumes)} volumes"
    return Finding(CONTAINERZ, True, seen)


def _clean(dut: Device) -> Finding:
    seen = leftovers.survey(dut)
    here, far = seen.by(leftovers.HERE), seen.by(leftovers.ELSEWHERE)
    alone = map(leftovers.left_alone, seen.by(leftovers.UNKNOWN))
    listed = [str(found) for found in (*here, *far)] or ["nothing", *alone]
    command = f"holdfast --dut … clean {'--from-elsewhere ' if far else ''}--yes"
    hint = f"remove them: {command}" if here or far else None
    return Finding("nothing of an earlier run", hint is None, ", ".join(listed), hint)


def _space(_dut: Device) -> Finding:
    return Finding("room for an image", None, "gNOI has no means to ask; a Deploy that has none is refused")


def _suites(served: Services, seen: Mapping[str, Finding]) -> Finding:
    """Which suites the rest allows."""
    if not seen[CONTAINERZ].fit:
        return Finding("suites", False, "none can run: all of them need gNOI Containerz 0.2")
    if lack := served.lack(GNMI, SYSTEM):
        lacking = [f"{case}: {why}" for case, needs in _NEEDS.items() if (why := served.lack(*needs))]
        return Finding("suites", True, f"CNTR-1 and CNTR-2 can run; not checked of them is {'; '.join(lacking)}; "
            f"CNTR-3 and midway cannot: {lack}")  # fmt: skip
    one = "CNTR-1 and CNTR-2 can run; CNTR-3 and midway cannot"
    pair = seen[PAIR]
    if pair.fit is False:
        return Finding("suites", True, f"{one}: {pair.seen}; of CNTR-3, the cold reboot (3.8) alone is checked")
    return Finding("suites", True, "CNTR-1, CNTR-2, CNTR-3 and midway can run")


# What of CNTR-1 and CNTR-2 needs more than Containerz.
_NEEDS = {"the cold reboot (1.8)": (SYSTEM,), "the container's call of its device's gNMI (2.2)": (GNMI,)}
# What is looked at, and the services that takes.
_LOOKS: dict[str, tuple[tuple[str, ...], Callable[[Device], Finding]]] = {
    PAIR: ((GNMI,), _roles),
    "ready for a switchover": ((GNMI,), _ready),
    "gNOI System, and its clock": ((SYSTEM,), _clock),
    CONTAINERZ: ((), _containerz),
    "nothing of an earlier run": ((CONTAINERZ,), _clean),
    "room for an image": ((), _space),
}
