"""gNMI as it is asked: kinds of data, prefixes, targets, encodings, origins, extensions, sets, ways to subscribe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast import Change, Extension, Operation, SubscribedPath, aio
from holdfast.exceptions import InvalidArgument, InvalidArgumentError, NotFound, Unimplemented

# How long what must come may take, in seconds.
LIMIT = 20
HOSTNAME = "/system/config/hostname"
CLOCK = "/system/state/current-datetime"
BOOT = "/system/state/boot-time"
SAMPLES = 0.02


def names(leaves: holdfast.Leaves) -> set[str]:
    """The last words of paths."""
    return {leaf.path.rpartition("/")[2] for leaf in leaves}


def test_each_type_of_data_is_read_alone(device: holdfast.Device) -> None:
    everything = names(device.gnmi.get("/system"))
    assert {"hostname", "boot-time", "current-datetime"} <= everything
    configured = device.gnmi.get("/system", type="CONFIG")
    assert [(leaf.path, leaf.value) for leaf in configured] == [(HOSTNAME, "emulated")]
    state = device.gnmi.get("/system", type="STATE")
    assert {leaf.path for leaf in state} >= {"/system/state/hostname", BOOT}
    assert HOSTNAME not in {leaf.path for leaf in state}
    operational = device.gnmi.get("/system", type="OPERATIONAL")
    assert "boot-time" in names(operational)
    assert "hostname" not in names(operational), "it repeats what is configured"
    assert all(leaf.timestamp and leaf.time for leaf in everything_of(device))


def everything_of(device: holdfast.Device) -> holdfast.Leaves:
    return device.gnmi.get("/")


def test_a_prefix_stands_before_each_path_and_comes_back_in_full(device: holdfast.Device) -> None:
    short = device.gnmi.get(["boot-time", "/hostname"], prefix="/system/state")
    assert [leaf.path for leaf in short] == [BOOT, "/system/state/hostname"]
    assert [leaf.path for leaf in device.gnmi.once("hostname", prefix="/system/state")] == ["/system/state/hostname"]
    role = device.gnmi.get("state/redundant-role", prefix="/components/component[name=*]")
    assert sorted(leaf.value for leaf in role) == ["PRIMARY", "SECONDARY"]
    with pytest.raises(NotFound):
        device.gnmi.get("state/hostname", prefix="/system/config")


def test_a_target_is_echoed_to_who_named_it(device: holdfast.Device) -> None:
    assert {leaf.target for leaf in device.gnmi.get(BOOT)} == {""}
    assert {leaf.target for leaf in device.gnmi.get(BOOT, target="r7")} == {"r7"}
    assert {leaf.target for leaf in device.gnmi.once(BOOT, target="r7")} == {"r7"}
    assert device.gnmi.set(update={HOSTNAME: "x"}, target="r7").target == "r7"
    assert device.gnmi.stream(BOOT, target="r7").next(timeout=LIMIT)[0].target == "r7"


@pytest.mark.parametrize("encoding", ["PROTO", "JSON", "JSON_IETF", "json_ietf"])
def test_an_encoding_that_is_served_is_the_one_that_is_asked(encoding: Any, device: holdfast.Device) -> None:
    value = device.gnmi.get(BOOT, encoding=encoding)[0].value
    assert isinstance(value, str if "IETF" in encoding.upper() else int), "JSON_IETF has 64-bit numbers as texts"


@pytest.mark.parametrize("encoding", ["ASCII", "BYTES"])
def test_one_that_is_not_served_is_refused_and_no_other_is_tried(encoding: Any, device: holdfast.Device) -> None:
    for ask in (device.gnmi.get, device.gnmi.once, device.gnmi.stream, device.gnmi.poll):
        with pytest.raises(Unimplemented, match=f"encoding {encoding} is not supported") as refused:
            ask(BOOT, encoding=encoding)
        assert f"encoding {encoding}" in str(refused.value.hint)


def test_an_origin_is_the_default_the_prefixs_or_the_paths(device: holdfast.Device) -> None:
    for origin in ("openconfig", "", None):
        assert device.gnmi.get(BOOT, origin=origin)
        assert device.gnmi.get("boot-time", prefix="/system/state", origin=origin)
    with pytest.raises(InvalidArgument, match="origin eos_native is not supported"):
        device.gnmi.get(BOOT, origin="eos_native")
    with pytest.raises(InvalidArgument, match="origin eos_native is not supported"):
        device.gnmi.get(f"eos_native:{BOOT}")
    with pytest.raises(InvalidArgumentError, match="the origin of all paths is the prefix's"):
        device.gnmi.get("cli:/boot-time", prefix="/system/state")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda gnmi: gnmi.get(BOOT, type="SOME"), "give ALL, CONFIG, STATE or OPERATIONAL"),
        (lambda gnmi: gnmi.get(BOOT, encoding="XML"), "give PROTO, JSON_IETF"),
        (lambda gnmi: gnmi.get(BOOT, prefix="/a[b"), "never closed|no value"),
        (lambda gnmi: gnmi.stream(BOOT, mode="SAMPLE"), "needs interval="),
        (lambda gnmi: gnmi.stream(BOOT, mode="ON_CHANGE", interval=1), "an interval goes with SAMPLE"),
        (lambda gnmi: gnmi.stream(BOOT, suppress_redundant=True), "goes with mode SAMPLE"),
        (lambda gnmi: gnmi.set(update={HOSTNAME: {"a": 1}}, encoding="PROTO"), "PROTO cannot say"),
        (lambda gnmi: gnmi.set(update={HOSTNAME: b"x"}), "JSON_IETF cannot say"),
        (lambda gnmi: gnmi.get(BOOT, extensions=[b"\x0b"]), "no gnmi_ext.Extension"),
        (lambda _: Extension.of({"colour": 1}), 'no field "colour"'),
    ],
)
def test_what_makes_no_sense_is_refused_here(ask: Callable[[Any], object], says: str, device: holdfast.Device) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        ask(device.gnmi)


def test_a_set_says_what_was_done_in_the_devices_order(device: holdfast.Device) -> None:
    done = device.gnmi.set(
        update={"/system/config/login-banner": "hi"},
        replace=[(HOSTNAME, "r7")],
        delete="/system/config/motd-banner",
    )
    assert done.timestamp > 0
    assert done.time is not None
    assert done.changes is None
    assert done.operations == (
        Operation("DELETE", "/system/config/motd-banner"),
        Operation("REPLACE", HOSTNAME),
        Operation("UPDATE", "/system/config/login-banner"),
    )
    assert device.gnmi.get("/system/state/hostname")[0].value == "r7", "state follows what is configured"


def test_a_set_below_a_prefix(device: holdfast.Device) -> None:
    done = device.gnmi.set(update={"hostname": "r8"}, delete=["motd-banner"], prefix="/system/config")
    assert done.prefix == "/system/config"
    assert {operation.path for operation in done.operations} == {HOSTNAME, "/system/config/motd-banner"}
    assert device.gnmi.get(HOSTNAME)[0].value == "r8"


def test_replace_takes_away_what_it_does_not_say_and_update_does_not(device: holdfast.Device) -> None:
    device.gnmi.set(update={"/system/config": {"hostname": "a", "login-banner": "b"}})
    device.gnmi.set(update={"/system/config": {"hostname": "c"}})
    assert names(device.gnmi.get("/system/config")) == {"hostname", "login-banner"}
    device.gnmi.set(replace={"/system/config": {"hostname": "d"}})
    assert names(device.gnmi.get("/system/config")) == {"hostname"}


def test_union_replace_takes_the_whole_configurations_place(device: holdfast.Device) -> None:
    device.gnmi.set(update={"/system/config/login-banner": "old"})
    done = device.gnmi.set(
        union_replace=[("/system/config/hostname", "u"), ("/system/ntp/config/enabled", True), ("cli:/", "ntp on")],
        compare=True,
    )
    assert {operation.op for operation in done.operations} == {"UNION_REPLACE"}
    assert names(device.gnmi.get("/system", type="CONFIG")) == {"hostname", "enabled"}
    assert done.changes == (
        Change(HOSTNAME, "emulated", "u"),
        Change("/system/config/login-banner", "old", None),
        Change("/system/ntp/config/enabled", None, True),
    )
    with pytest.raises(InvalidArgument, match="two values for /system/config/hostname"):
        device.gnmi.set(union_replace=[(HOSTNAME, "x"), ("/system/config", {"hostname": "y"})])
    assert device.gnmi.get(HOSTNAME)[0].value == "u", "a Set that fails changes nothing"


def test_what_changed_is_told_where_it_was_asked(device: holdfast.Device) -> None:
    done = device.gnmi.set(
        update={"hostname": "r9", "login-banner": "hello"}, delete="motd-banner", prefix="/system/config", compare=True
    )
    assert done.changes == (
        Change(HOSTNAME, "emulated", "r9"),
        Change("/system/config/login-banner", None, "hello"),
    )
    assert str(done.changes[0]) == f'- {HOSTNAME}: "emulated"\n+ {HOSTNAME}: "r9"'
    assert device.gnmi.set(update={HOSTNAME: "r9"}, compare=True).changes == ()
    gone = device.gnmi.set(delete="/system/config/login-banner", compare=True)
    assert gone.changes == (Change("/system/config/login-banner", "hello", None),)


def test_nothing_is_set_where_what_is_there_cannot_be_read(
    device: holdfast.Device, chassis_of_test: holdfast.Emulator
) -> None:
    with (
        chassis_of_test.failpoint("gnmi.Get", "error[UNIMPLEMENTED](no type CONFIG here)"),
        pytest.raises(Unimplemented, match=r"nothing was set.*no type CONFIG here"),
    ):
        device.gnmi.set(update={HOSTNAME: "never"}, compare=True)
    assert device.gnmi.get(HOSTNAME)[0].value == "emulated"
    with (
        chassis_of_test.failpoint("gnmi.Get", "1*off->error[PERMISSION_DENIED](not again)"),
        pytest.raises(holdfast.HoldfastError, match="it was set, and what is there now cannot be read"),
    ):
        device.gnmi.set(update={HOSTNAME: "set"}, compare=True)
    assert device.gnmi.get(HOSTNAME)[0].value == "set"


@pytest.mark.parametrize(
    ("encoding", "value", "back"),
    [
        ("JSON", "a", "a"),
        ("JSON_IETF", ["a", "b"], ["a", "b"]),
        ("PROTO", "a", "a"),
        ("PROTO", 7, 7),
        ("PROTO", ["a", "b"], ["a", "b"]),
        ("ASCII", "a", "a"),
        ("BYTES", b"\x00\xff", b"\x00\xff"),
    ],
)
def test_a_value_goes_in_each_encoding(encoding: Any, value: Any, back: Any, device: holdfast.Device) -> None:
    device.gnmi.set(update={"/system/config/x": value}, encoding=encoding)
    assert device.gnmi.get("/system/config/x", encoding="PROTO")[0].value == back


def test_state_and_wildcards_are_not_set(device: holdfast.Device) -> None:
    for path, says in (("/system/state/hostname", "is state"), ("/components/component[name=*]/config/x", "wildcard")):
        with pytest.raises(InvalidArgument, match=says):
            device.gnmi.set(update={HOSTNAME: "x", path: "y"})
    assert device.gnmi.get(HOSTNAME)[0].value == "emulated"


@pytest.mark.parametrize("code", ["UNIMPLEMENTED", "INVALID_ARGUMENT"])
def test_a_device_that_refuses_is_told_as_such(
    code: str, device: holdfast.Device, chassis_of_test: holdfast.Emulator
) -> None:
    kind = Unimplemented if code == "UNIMPLEMENTED" else InvalidArgument
    sampled = SubscribedPath(BOOT, mode="SAMPLE", sample_interval=1, suppress_redundant=True, heartbeat_interval=5)
    asks: list[tuple[str, Callable[[], object], tuple[str, ...]]] = [
        ("gnmi.Set", lambda: device.gnmi.set(union_replace={HOSTNAME: "x"}), ("union_replace",)),
        ("gnmi.Get", lambda: device.gnmi.get(BOOT, type="CONFIG", target="a"), ("type CONFIG", "target a")),
        ("gnmi.Subscribe", lambda: device.gnmi.stream(sampled), ("heartbeat_interval", "suppress_redundant")),
        ("gnmi.Subscribe", lambda: device.gnmi.stream(BOOT, updates_only=True), ("updates_only",)),
        ("gnmi.Capabilities", lambda: device.gnmi.capabilities(extensions=[b""]), ("extensions",)),
    ]
    for site, ask, named in asks:
        with (
            chassis_of_test.failpoint(site, f"error[{code}](its own words)"),
            pytest.raises(kind, match="its own words") as refused,
        ):
            ask()
        assert all(word in str(refused.value.hint) for word in named), refused.value.hint


def told(stream: Iterator[holdfast.Updates], until: Callable[[list[holdfast.Leaf]], bool]) -> list[holdfast.Leaf]:
    """What comes until enough came."""
    came: list[holdfast.Leaf] = []
    while not until(came):
        updates = stream.next(timeout=LIMIT)  # type: ignore[attr-defined]
        assert updates is not None
        came.extend(updates)
    return came


def count(came: list[holdfast.Leaf], path: str) -> int:
    return sum(leaf.path == path for leaf in came)


def test_each_path_is_told_in_its_own_mode(device: holdfast.Device) -> None:
    stream = device.gnmi.stream(
        [
            SubscribedPath(CLOCK, mode="SAMPLE", sample_interval=SAMPLES),
            SubscribedPath(HOSTNAME, mode="ON_CHANGE"),
            BOOT,
        ]
    )
    came = told(stream, lambda came: count(came, CLOCK) >= 5)
    assert count(came, HOSTNAME) == count(came, BOOT) == 1, "they did not change"
    assert len({leaf.value for leaf in came if leaf.path == CLOCK}) >= 5
    device.gnmi.set(update={HOSTNAME: "changed"})
    assert told(stream, lambda came: count(came, HOSTNAME) == 1)[-1].value == "changed"
    device.gnmi.set(delete=HOSTNAME)
    assert told(stream, lambda came: count(came, HOSTNAME) == 1)[-1].value is None, "deleted"


def test_a_heartbeat_tells_what_did_not_change(device: holdfast.Device) -> None:
    stream = device.gnmi.stream([SubscribedPath(BOOT, mode="ON_CHANGE", heartbeat_interval=SAMPLES), HOSTNAME])
    came = told(stream, lambda came: count(came, BOOT) >= 4)
    assert count(came, HOSTNAME) == 1
    assert len({leaf.value for leaf in came if leaf.path == BOOT}) == 1


def test_redundant_samples_are_left_out_and_heartbeats_are_not(device: holdfast.Device) -> None:
    sampled = {"mode": "SAMPLE", "sample_interval": SAMPLES}
    every = device.gnmi.stream([SubscribedPath(path, **sampled) for path in (CLOCK, BOOT)])  # type: ignore[arg-type]
    assert count(told(every, lambda came: count(came, CLOCK) >= 6), BOOT) >= 4
    suppressed = device.gnmi.stream([CLOCK, BOOT], mode="SAMPLE", interval=SAMPLES, suppress_redundant=True)
    assert count(told(suppressed, lambda came: count(came, CLOCK) >= 6), BOOT) == 1
    beating = device.gnmi.stream(
        [CLOCK, BOOT], mode="SAMPLE", interval=SAMPLES, suppress_redundant=True, heartbeat_interval=3 * SAMPLES
    )
    told(beating, lambda came: count(came, BOOT) >= 4)


def test_updates_only_leaves_out_what_is_there(device: holdfast.Device) -> None:
    stream = device.gnmi.stream("/system/config", mode="ON_CHANGE", updates_only=True)
    assert stream.next(timeout=LIMIT) == (), "everything there was has come: nothing"
    device.gnmi.set(update={HOSTNAME: "new"})
    updates = stream.next(timeout=LIMIT)
    assert updates is not None
    assert [(leaf.path, leaf.value) for leaf in updates] == [(HOSTNAME, "new")]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (SubscribedPath(BOOT, mode="SAMPLE", sample_interval=0.001), "every 10 ms at most"),
        (SubscribedPath(BOOT, mode="ON_CHANGE", heartbeat_interval=0.001), "every 10 ms at most"),
        (SubscribedPath(CLOCK, mode="ON_CHANGE"), "not sent ON_CHANGE"),
    ],
)
def test_an_interval_or_a_mode_that_the_device_does_not_have(
    path: SubscribedPath, says: str, device: holdfast.Device
) -> None:
    with pytest.raises(InvalidArgument, match=says) as refused:
        device.gnmi.stream(path).next(timeout=LIMIT)
    assert "the device may not take" in str(refused.value.hint)


def test_an_interval_of_none_is_as_often_as_the_device_can(device: holdfast.Device) -> None:
    stream = device.gnmi.stream(CLOCK, mode="SAMPLE", interval=0)
    told(stream, lambda came: count(came, CLOCK) >= 3)


def test_a_poll_below_a_prefix(device: holdfast.Device) -> None:
    poll = device.gnmi.poll(["hostname"], prefix="/system/state", encoding="JSON", target="r7")
    poll.ask()
    updates = poll.next(timeout=LIMIT)
    assert updates is not None
    assert [(leaf.path, leaf.value, leaf.target) for leaf in updates] == [("/system/state/hostname", "emulated", "r7")]


def test_extensions_go_there_and_come_back(device: holdfast.Device) -> None:
    experiment = Extension.registered(999, b"\x01\x02")
    assert (experiment.id, experiment.msg) == (999, b"\x01\x02")
    for given in (experiment, experiment.encoded):
        assert device.gnmi.capabilities(extensions=[given]).extensions == (experiment,)
        assert device.gnmi.get(BOOT, extensions=[given]).extensions == (experiment,)
        assert device.gnmi.once(BOOT, extensions=[given]).extensions == (experiment,)
        assert device.gnmi.set(update={HOSTNAME: "x"}, extensions=[given]).extensions == (experiment,)
        updates = device.gnmi.stream(BOOT, extensions=[given]).next(timeout=LIMIT)
        assert updates is not None
        assert updates.extensions == (experiment,)
    assert device.gnmi.get(BOOT).extensions == ()
    assert "EID_EXPERIMENTAL" in repr(experiment)


def test_an_extension_that_the_device_does_not_have_is_refused(device: holdfast.Device) -> None:
    arbitration = Extension.of({"master_arbitration": {"election_id": {"high": 0, "low": 7}}})
    assert (arbitration.id, arbitration.msg) == (None, None)
    assert arbitration.fields == {"master_arbitration": {"election_id": {"low": "7"}}}
    of_the_future = Extension(b"\xea\x04\x01x")  # field 77
    assert "not known here" in str(of_the_future)
    for extension in (arbitration, Extension.registered(5, b""), of_the_future):
        with pytest.raises(Unimplemented, match="supported") as refused:
            device.gnmi.set(update={HOSTNAME: "x"}, extensions=[extension])
        assert "extensions" in str(refused.value.hint)


def test_the_same_with_await(chassis_of_test: holdfast.Emulator) -> None:
    experiment = Extension.registered(999, b"x")

    async def ask() -> None:
        async with aio.connect(chassis_of_test.address, insecure=True) as dut:
            configured = await dut.gnmi.get("hostname", type="CONFIG", prefix="/system/config", target="r7")
            assert [(leaf.path, leaf.value, leaf.target) for leaf in configured] == [(HOSTNAME, "emulated", "r7")]
            done = await dut.gnmi.set(update={HOSTNAME: "a"}, compare=True, extensions=[experiment])
            assert done.changes == (Change(HOSTNAME, "emulated", "a"),)
            assert done.extensions == (experiment,)
            stream = await dut.gnmi.stream(
                [SubscribedPath(HOSTNAME, mode="ON_CHANGE", heartbeat_interval=SAMPLES)], updates_only=True
            )
            assert await stream.next(timeout=LIMIT) == ()
            beat = await stream.next(timeout=LIMIT)
            assert beat is not None
            assert [leaf.value for leaf in beat] == ["a"]
            with pytest.raises(Unimplemented):
                await dut.gnmi.once(BOOT, encoding="ASCII")

    asyncio.run(ask())
