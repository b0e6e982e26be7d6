"""The same requests by pygnmi, a client that knows nothing of ours, and by holdfast: the same answers.

What differs between the two is theirs to word: pygnmi gives the protobuf messages' fields, holdfast gives leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import holdfast
from holdfast import Change, Extension, SubscribedPath
from holdfast.exceptions import HoldfastError

grpc = pytest.importorskip("grpc", reason="pip install grpcio")
pygnmi_client = pytest.importorskip("pygnmi.client", reason="pip install pygnmi")

# pygnmi's thread tells that its channel was closed by dying of it, at a moment of its own.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Exception in thread .*enqueue_updates:pytest.PytestUnhandledThreadExceptionWarning"
)
LIMIT = 20
CLOCK = "/system/state/current-datetime"
BOOT = "/system/state/boot-time"
HOSTNAME = "/system/config/hostname"
NANOSECONDS = 20_000_000


def connected(chassis: holdfast.Emulator, **more: Any) -> Any:
    host, _, port = chassis.address.rpartition(":")
    return pygnmi_client.gNMIclient(target=(host, int(port)), username="admin", password="admin", insecure=True, **more)


@pytest.fixture
def pygnmi(chassis_of_test: holdfast.Emulator) -> Iterator[Any]:
    with connected(chassis_of_test) as client:
        yield client


def values(answer: dict[str, Any]) -> dict[str, Any]:
    """What pygnmi's answer to a Get has, by full paths."""
    found = {}
    for notification in answer["notification"]:
        for update in notification.get("update", []):
            path = "/".join(part for part in (notification["prefix"], update["path"]) if part)
            found[f"/{path}"] = update.get("val")
    return found


@pytest.mark.parametrize("kind", ["all", "config", "state", "operational"])
@pytest.mark.parametrize("encoding", ["json", "json_ietf", "proto"])
def test_get_by_type_and_encoding(kind: str, encoding: str, pygnmi: Any, device: holdfast.Device) -> None:
    theirs = values(pygnmi.get(path=["/system"], datatype=kind, encoding=encoding))
    ours = device.gnmi.get("/system", type=kind.upper(), encoding=encoding.upper())  # type: ignore[arg-type]
    assert {leaf.path for leaf in ours} == set(theirs)
    assert theirs
    moving = CLOCK
    assert {leaf.path: leaf.value for leaf in ours if leaf.path != moving} == {
        path: value for path, value in theirs.items() if path != moving
    }


def test_get_below_a_prefix_and_of_a_target(pygnmi: Any, device: holdfast.Device) -> None:
    answer = pygnmi.get(prefix="/system/state", path=["boot-time"], target="r7", encoding="proto")
    ours = device.gnmi.get("boot-time", prefix="/system/state", target="r7", encoding="PROTO")
    assert values(answer) == {leaf.path: leaf.value for leaf in ours} == {BOOT: ours[0].value}
    assert answer["notification"][0]["timestamp"] > 0
    assert ours[0].timestamp > 0
    assert ours[0].target == "r7"


@pytest.mark.parametrize("encoding", ["ascii", "bytes"])
def test_an_encoding_that_is_refused(encoding: str, pygnmi: Any, device: holdfast.Device) -> None:
    with pytest.raises(ValueError, match="not in supported encodings"):  # it asks the device for none that it lacks
        pygnmi.get(path=[BOOT], encoding=encoding)
    with pytest.raises(HoldfastError, match="is not supported"):
        device.gnmi.get(BOOT, encoding=encoding.upper())  # type: ignore[arg-type]


def test_set_in_all_its_parts(pygnmi: Any, device: holdfast.Device) -> None:
    request: dict[str, Any] = {
        "delete": ["motd-banner"],
        "replace": [("ntp", {"enabled": True})],
        "update": [("hostname", "r7"), ("login-banner", "hi")],
    }
    answer = pygnmi.set(prefix="/system/config", encoding="json_ietf", **request)
    ours = device.gnmi.set(prefix="/system/config", **request)
    assert [(each["op"], f"/system/config/{each['path']}") for each in answer["response"]] == [
        (each.op, each.path) for each in ours.operations
    ]
    assert answer["prefix"] == "system/config"
    assert ours.prefix == "/system/config"
    assert answer["timestamp"] > 0
    assert ours.timestamp > answer["timestamp"]
    assert device.gnmi.get(HOSTNAME)[0].value == "r7"


def test_the_difference_that_a_set_makes(chassis_of_test: holdfast.Emulator, device: holdfast.Device) -> None:
    with connected(chassis_of_test, show_diff="get") as pygnmi:
        _, difference = pygnmi.set(update=[(HOSTNAME, "theirs")], encoding="json_ietf")
    assert [tuple(line) for line in difference] == [("-", HOSTNAME, "emulated"), ("+", HOSTNAME, "theirs")]
    done = device.gnmi.set(update={HOSTNAME: "ours"}, compare=True)
    assert done.changes == (Change(HOSTNAME, "theirs", "ours"),)
    assert str(done.changes[0]).splitlines() == [f'- {HOSTNAME}: "theirs"', f'+ {HOSTNAME}: "ours"']


def test_an_extension_that_is_refused(pygnmi: Any, device: holdfast.Device) -> None:
    arbitration = {"election_id": {"high": 0, "low": 7}, "role": {"id": "lab"}}
    with pytest.raises(pygnmi_client.gNMIException, match="supported"):
        pygnmi.set(update=[(HOSTNAME, "x")], encoding="json", extension={"master_arbitration": arbitration})
    with pytest.raises(HoldfastError, match="supported"):
        device.gnmi.set(update={HOSTNAME: "x"}, extensions=[Extension.of({"master_arbitration": arbitration})])
    assert device.gnmi.get(HOSTNAME)[0].value == "emulated"


def theirs_until(stream: Any, path: str, many: int) -> list[str]:
    """The paths that came over pygnmi's stream until one came so often."""
    came: list[str] = []
    while came.count(path) < many:
        update = stream.get_update(timeout=LIMIT)
        for each in update.get("update", {}).get("update", []):
            prefix = update["update"].get("prefix")
            came.append("/" + "/".join(part for part in (prefix, each["path"]) if part))
    return came


def ours_until(stream: Any, path: str, many: int) -> list[str]:
    """The same over ours."""
    came: list[str] = []
    while came.count(path) < many:
        came += [leaf.path for leaf in stream.next(timeout=LIMIT)]
    return came


def both(
    pygnmi: Any, device: holdfast.Device, paths: list[dict[str, Any]], until: str, **more: Any
) -> tuple[list[str], list[str]]:
    """One STREAM by both, until a path came six times."""
    request = {"subscription": paths, "mode": "stream", "encoding": "proto", **more}
    stream = pygnmi.subscribe2(subscribe=request)
    try:
        theirs = theirs_until(stream, until, 6)
    finally:
        stream.close()
    wanted = [
        SubscribedPath(
            path["path"],
            path["mode"].upper(),
            path["sample_interval"] / 1e9 if "sample_interval" in path else None,
            path["heartbeat_interval"] / 1e9 if "heartbeat_interval" in path else None,
            path.get("suppress_redundant", False),
        )
        for path in paths
    ]
    return theirs, ours_until(device.gnmi.stream(wanted, encoding="PROTO", **more), until, 6)


def test_a_mode_for_each_path(pygnmi: Any, device: holdfast.Device) -> None:
    paths = [
        {"path": CLOCK, "mode": "sample", "sample_interval": NANOSECONDS},
        {"path": BOOT, "mode": "on_change"},
        {"path": HOSTNAME, "mode": "target_defined"},
    ]
    for came in both(pygnmi, device, paths, CLOCK):
        assert (came.count(BOOT), came.count(HOSTNAME)) == (1, 1)


def test_heartbeats(pygnmi: Any, device: holdfast.Device) -> None:
    paths = [
        {"path": BOOT, "mode": "on_change", "heartbeat_interval": NANOSECONDS},
        {"path": HOSTNAME, "mode": "on_change"},
    ]
    for came in both(pygnmi, device, paths, BOOT):
        assert came.count(HOSTNAME) == 1


def test_redundant_samples(pygnmi: Any, device: holdfast.Device) -> None:
    sampled = {"mode": "sample", "sample_interval": NANOSECONDS, "suppress_redundant": True}
    for came in both(pygnmi, device, [{"path": path, **sampled} for path in (CLOCK, BOOT)], CLOCK):
        assert came.count(BOOT) == 1


def test_updates_only(pygnmi: Any, device: holdfast.Device) -> None:
    paths = [
        {"path": CLOCK, "mode": "sample", "sample_interval": NANOSECONDS},
        {"path": BOOT, "mode": "on_change"},
    ]
    for came in both(pygnmi, device, paths, CLOCK, updates_only=True):
        assert came.count(BOOT) == 0


def test_a_poll_and_a_once(pygnmi: Any, device: holdfast.Device) -> None:
    request = {"subscription": [{"path": "boot-time"}], "prefix": "/system/state", "encoding": "proto"}
    once = [each for each in pygnmi.subscribe2(subscribe={**request, "mode": "once"}) if "update" in each]
    boot = device.gnmi.once("boot-time", prefix="/system/state", encoding="PROTO")
    assert [each["update"]["update"][0]["val"] for each in once] == [leaf.value for leaf in boot]
    poll = pygnmi.subscribe2(subscribe={**request, "mode": "poll"})
    try:
        assert poll.get_update(timeout=LIMIT)["update"]["update"][0]["val"] == boot[0].value
    finally:
        poll.close()
    ours = device.gnmi.poll("boot-time", prefix="/system/state", encoding="PROTO")
    ours.ask()
    assert ours.next(timeout=LIMIT)[0].value == boot[0].value  # type: ignore[index]


def test_capabilities(pygnmi: Any, device: holdfast.Device) -> None:
    theirs, ours = pygnmi.capabilities(), device.gnmi.capabilities()
    assert [each.upper() for each in theirs["supported_encodings"]] == list(ours.encodings)
    assert [(each["name"], each["version"]) for each in theirs["supported_models"]] == list(ours.models)
    assert theirs["gnmi_version"] == ours.version


def test_an_origin_stands_once(pygnmi: Any, device: holdfast.Device) -> None:
    assert values(pygnmi.get(prefix="openconfig:system", path=["state/boot-time"], encoding="proto"))
    with pytest.raises(pygnmi_client.gNMIException, match="and not in both"):
        pygnmi.get(prefix="openconfig:system", path=["openconfig:state"], encoding="proto")
    with pytest.raises(HoldfastError, match="the origin of all paths is the prefix's"):  # it is not sent
        device.gnmi.get("openconfig:/state", prefix="/system")
    with pytest.raises(pygnmi_client.gNMIException, match="origin eos_native is not supported"):
        pygnmi.get(path=["eos_native:system"], encoding="proto")
