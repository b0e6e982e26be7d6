"""Every exception, made to happen by what it is about; a class that nothing here raises is a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import holdfast
from holdfast import _core, cni, exceptions, exit_codes, journal, storage, testbed
from holdfast.exceptions import HoldfastError
from holdfast.storage import leftovers, provider

from peers import free_port, saying

Cause = Callable[[Path], object]
CAUSES: dict[type[HoldfastError], Cause] = {}


def causes(error: type[HoldfastError]) -> Callable[[Cause], Cause]:
    def keep(cause: Cause) -> Cause:
        assert error not in CAUSES, error
        CAUSES[error] = cause
        return cause

    return keep


def leaves(error: type[HoldfastError]) -> set[type[HoldfastError]]:
    """What has no class below it; the others are for `except`."""
    below = [kind for kind in error.__subclasses__() if kind.__module__ == exceptions.__name__]
    return {error} if not below else set().union(*map(leaves, below))


LEAVES = sorted(leaves(HoldfastError), key=lambda error: error.__name__)


def test_each_exception_has_a_cause_here() -> None:
    assert set(LEAVES) == CAUSES.keys()


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_an_exception_happens(error: type[HoldfastError], tmp_path: Path) -> None:
    with pytest.raises(error) as caught:
        CAUSES[error](tmp_path)
    assert type(caught.value) is error
    assert caught.value.message
    if issubclass(error, exceptions.RpcError):
        assert (caught.value.code, caught.value.operation) == (error.STATUS, "Containerz.CreateVolume")


# --- Reaching a device --------------------------------------------------------------------------------------------


@contextmanager
def encrypted(tls: bool | str = True, quirk: str | None = None) -> Iterator[tuple[str, holdfast.Tls]]:
    with holdfast.emulator(tls=tls, quirks=[quirk] if quirk else []) as chassis:
        assert chassis.tls is not None
        yield chassis.address, chassis.tls


@causes(exceptions.InvalidArgumentError)
def arguments_that_exclude_each_other(_: Path) -> None:
    holdfast.connect("127.0.0.1", insecure=True, tls=holdfast.Tls())


@causes(exceptions.UnknownHost)
def a_name_of_nobody(_: Path) -> None:
    holdfast.connect("no-such-host.invalid", insecure=True)


@causes(exceptions.Unreachable)
def a_closed_port(_: Path) -> None:
    holdfast.connect(f"127.0.0.1:{free_port()}", insecure=True, dial_timeout=0.5)


@causes(exceptions.NotGrpc)
def a_port_of_something_else(_: Path) -> None:
    with saying(lambda client: client.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")) as address:
        holdfast.connect(address, insecure=True)


@causes(exceptions.TlsExpected)
def plaintext_to_tls(_: Path) -> None:
    with encrypted() as (address, _tls):
        holdfast.connect(address, insecure=True)


@causes(exceptions.PlaintextExpected)
def tls_to_plaintext(_: Path) -> None:
    with holdfast.emulator() as chassis:
        holdfast.connect(chassis.address, tls=holdfast.Tls())


def a_wrong_certificate(quirk: str, _: Path) -> None:
    with encrypted(quirk=quirk) as (address, tls):
        holdfast.connect(address, tls=tls)


causes(exceptions.CertificateExpired)(partial(a_wrong_certificate, "certificate-expired"))
causes(exceptions.CertificateNotYetValid)(partial(a_wrong_certificate, "certificate-not-yet-valid"))
causes(exceptions.CertificateForAnotherName)(partial(a_wrong_certificate, "certificate-for-another-name"))


@causes(exceptions.CertificateUntrusted)
def a_signer_of_nobodys(_: Path) -> None:
    with encrypted() as (address, _tls):
        holdfast.connect(address)


@causes(exceptions.ClientCertificateRefused)
def no_certificate_of_ours(_: Path) -> None:
    with encrypted("mutual") as (address, tls):
        holdfast.connect(address, tls=replace(tls, cert=None, key=None))


@causes(exceptions.TlsHandshakeFailed)
def an_alert_of_the_device(_: Path) -> None:
    with saying(lambda client: client.sendall(b"\x15\x03\x03\x00\x02\x02\x46")) as address:
        holdfast.connect(address, tls=holdfast.Tls(skip_verify=True))


@causes(exceptions.ProxyRefused)
def a_proxy_with_rules(_: Path) -> None:
    with saying(lambda client: client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")) as address:
        holdfast.connect("192.0.2.1", insecure=True, proxy=f"http://{address}")


@causes(exceptions.ProxyUnreachable)
def no_proxy_there(_: Path) -> None:
    holdfast.connect("192.0.2.1", insecure=True, proxy=f"http://127.0.0.1:{free_port()}", dial_timeout=0.5)


# --- Asking it ----------------------------------------------------------------------------------------------------

# Ends a wait for what never comes; what must come before it gets the usual time.
SHORT = 0.5


@contextmanager
def failing(*armed: tuple[str, str], **deadlines: float) -> Iterator[holdfast.Device]:
    with (
        holdfast.emulator() as chassis,
        holdfast.connect(chassis.address, insecure=True, deadlines=deadlines) as dut,
    ):
        for failpoint, terms in armed:
            chassis.arm(failpoint, terms)
        yield dut


def an_answer_of(status: str, _: Path) -> None:
    with failing(("containerz.CreateVolume", f"error[{status}](no)")) as dut:
        dut.containerz.create_volume("v")


for error in leaves(exceptions.RpcError):
    causes(error)(partial(an_answer_of, error.STATUS))


@causes(exceptions.Timeout)
def no_answer_in_time(_: Path) -> None:
    with failing(("containerz.ListVolume", "hang")) as dut:
        dut.containerz.volumes(timeout=0.2)


@causes(exceptions.OutcomeUnknown)
def a_device_that_dies_of_a_request(_: Path) -> None:
    with failing(("containerz.CreateVolume", "1*panic(dies)")) as dut:
        dut.containerz.create_volume("v", timeout=5)  # it is looked for until then


@causes(exceptions.ExpectationFailed)
def an_image_that_is_not_there(_: Path) -> None:
    with failing(verification=SHORT) as dut:
        dut.containerz.expect_image("absent:latest")


@causes(exceptions.RolesError)
def a_device_with_one_control_processor(_: Path) -> None:
    with failing(("roles.single", "error(x)"), settle=0.1) as dut:
        dut.switchover()


# --- Failing it over, and rebooting it ----------------------------------------------------------------------------


@causes(exceptions.SwitchoverNotReady)
def a_standby_that_is_never_ready_again(_: Path) -> None:
    with failing(("switchover.ready_stuck", "1*error(x)")) as dut:
        dut.switchover()
        with holdfast.connect(dut.address, insecure=True, deadlines={"ready": SHORT}) as impatient:
            impatient.switchover()


@causes(exceptions.SwitchoverRefused)
def a_refused_switchover(_: Path) -> None:
    with failing(("system.SwitchControlProcessor", "error[INTERNAL](no)")) as dut:
        dut.switchover()


@causes(exceptions.SwitchoverUnimplemented)
def a_device_without_switchovers(_: Path) -> None:
    with failing(("system.SwitchControlProcessor", "error[UNIMPLEMENTED](no)")) as dut:
        dut.switchover()


@causes(exceptions.SwitchoverIgnored)
def a_switchover_in_words_alone(_: Path) -> None:
    with failing(("switchover.ignored", "error(x)"), start=SHORT) as dut:
        dut.switchover()


@causes(exceptions.SwitchoverReversed)
def a_switchover_undone(_: Path) -> None:
    with failing(("switchover.reversed", "1*error(x)")) as dut:
        dut.switchover(redundant=True)


@causes(exceptions.SwitchoverUnproven)
def a_switchover_without_a_witness(_: Path) -> None:
    with failing(("switchover.claimed", "1*error(x)"), start=SHORT) as dut:
        dut.switchover()


@causes(exceptions.SwitchoverNeverBack)
def a_switchover_that_nobody_takes_over(_: Path) -> None:
    with failing(("switchover.take_over", "drop"), switchover=SHORT) as dut:
        dut.switchover()


@causes(exceptions.SwitchoverNeverRedundant)
def a_standby_that_never_comes_back(_: Path) -> None:
    with failing(("switchover.never_redundant", "1*error(x)"), redundant=SHORT) as dut:
        dut.switchover(redundant=True)


@causes(exceptions.RebootRefused)
def a_refused_reboot(_: Path) -> None:
    with failing(("system.Reboot", "error[INTERNAL](no)")) as dut:
        dut.reboot()


@causes(exceptions.RebootUnimplemented)
def a_device_without_reboots(_: Path) -> None:
    with failing(("system.Reboot", "error[UNIMPLEMENTED](no)")) as dut:
        dut.reboot()


@causes(exceptions.RebootIgnored)
def a_reboot_in_words_alone(_: Path) -> None:
    with failing(("reboot.ignored", "error(x)"), start=SHORT) as dut:
        dut.reboot()


@causes(exceptions.RebootPartial)
def a_reboot_of_one_control_processor(_: Path) -> None:
    with failing(("reboot.one_card", "error(x)"), redundant=SHORT) as dut:
        dut.reboot()


@causes(exceptions.RebootNeverBack)
def a_reboot_without_an_end(_: Path) -> None:
    with failing(("reboot.boot", "hang"), reboot=SHORT) as dut:
        dut.reboot()


# --- Beside the device --------------------------------------------------------------------------------------------


@causes(exceptions.ImageError)
def a_file_that_is_no_archive(folder: Path) -> None:
    file = folder / "image.tar"
    file.write_bytes(b"no archive at all")
    with failing() as dut:
        dut.containerz.deploy(file)


@causes(exceptions.TestbedError)
def a_testbed_without_devices(folder: Path) -> None:
    file = folder / "lab.yaml"
    file.write_text("devices: {}\n")
    testbed.read(file)


@causes(exceptions.DeviceOccupied)
def two_runs_on_one_device(_: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    held = journal.lock(address)
    try:
        journal.lock(address)
    finally:
        held.release()


@causes(exceptions.CniError)
def a_plugin_that_is_not_there(folder: Path) -> None:
    chain = cni.Chain({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "absent"}]}, [folder])
    chain.add("c", "/nowhere")


# --- What a test itself stands on ---------------------------------------------------------------------------------

HOSTS = """
provider: {{kind: docker-plugin, name: acme}}
runner: {{kind: docker}}
lab:
  kind: hosts
  tester: 127.0.0.1
  nodes:
    alpha: {{address: 127.0.0.1, engine: "unix://{folder}/alpha.sock"}}
    beta: {{address: 127.0.0.1, engine: "unix://{folder}/beta.sock"}}
"""


@causes(exceptions.LabError)
def a_host_without_an_engine(folder: Path) -> None:
    file = folder / "hosts.yaml"
    file.write_text(HOSTS.format(folder=folder), encoding="utf-8")
    storage.hosts(provider.read(str(file)), timeout=1)


@causes(exceptions.SchedulerError)
def a_pod_on_a_node_that_kubernetes_gives_no_volume(_: Path) -> None:
    file = provider.read("nbd", runner="kubernetes")
    lacking = file.lacks()
    if lacking:
        pytest.skip("; ".join(lacking))
    with temporary_lab(file) as lab:
        volume = lab.create("node1", lab.run_name(), 64 << 20, timeout=60)
        first = lab.run(volume, "node1", stage="idle", timeout=60)
        lab.run(volume, "node2", stage="idle", timeout=15)
        assert first.failed is None


@contextmanager
def temporary_lab(file: provider.ProviderFile) -> Iterator[_core.StorageLab]:
    """A lab that is gone after that."""
    folder = leftovers.make()
    try:
        lab = storage.lab(file, folder, timeout=180)
        try:
            yield lab
        finally:
            lab.close()
    finally:
        leftovers.remove(folder)


# --- What callers get wrong, and how others may catch it ------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda dut: dut.gnmi.get("/a[b"), "a[b"),
        (lambda dut: dut.gnmi.set(update={"/a[b=": 1}), "a[b="),
        (lambda dut: dut.containerz.images(timeout=-1), "no duration"),
        (lambda dut: dut.containerz.start("x", image="i:1", restart="SOMETIMES"), "ALWAYS"),
        (lambda dut: dut.containerz.start("x", image="i:1", location="MOON"), "PRIMARY"),
        (lambda dut: dut.containerz.start("x", image="a b"), "a b"),
        (lambda dut: dut.containerz.create_volume("x", driver="tape"), "tape"),
    ],
)
def test_an_argument_that_makes_no_sense_is_an_error_of_ours(
    ask: Callable[[holdfast.Device], object], says: str, device: holdfast.Device
) -> None:
    with pytest.raises(exceptions.InvalidArgumentError) as caught:
        ask(device)
    assert isinstance(caught.value, ValueError)
    assert says in str(caught.value)


def test_a_deadline_that_passed_is_pythons_timeout_too() -> None:
    for kind in (exceptions.Timeout, exceptions.DeadlineExceeded):
        error = kind("too late", device="r1", hint="wait longer", after=1.5)
        assert isinstance(error, TimeoutError)
        assert (error.device, error.after, error.hint) == ("r1", 1.5, "wait longer")
        assert str(error) == "too late\n  try: wait longer"


def test_each_status_has_a_name_and_words_of_its_own() -> None:
    statuses = leaves(exceptions.RpcError)
    assert len({status.STATUS for status in statuses}) == len(statuses) == 16
    for status in statuses:
        assert status.STATUS.replace("_", "") == status.__name__.upper()
        assert status.STATUS not in str(status.__doc__)


def test_an_error_ends_a_command_by_what_it_says() -> None:
    ends = {error: exit_codes.ending_of(error("x")) for error in LEAVES}
    assert {error for error, end in ends.items() if end == exit_codes.USAGE} == {
        exceptions.InvalidArgumentError, exceptions.ImageError, exceptions.TestbedError,
    }  # fmt: skip
    assert ends[exceptions.Unreachable] == ends[exceptions.OutcomeUnknown] == exit_codes.NO_DEVICE
    assert ends[exceptions.NotFound] == ends[exceptions.SwitchoverIgnored] == exit_codes.FAILED
    for codes in ([end.command for end in exit_codes.ALL], [end.pytest for end in exit_codes.ALL]):
        assert len(set(codes)) == len(codes)


def test_an_error_has_its_reason_apart_from_where_and_after_how_long(device: holdfast.Device) -> None:
    refusals = []
    for _ in range(2):
        with pytest.raises(exceptions.NotFound) as caught:
            device.containerz.stop("none")
        refusals.append(caught.value)
    one, other = refusals
    assert one.reason == other.reason == 'Containerz.StopContainer: NOT_FOUND: there is no container "none"'
    assert one.device_message == 'there is no container "none"'
    assert holdfast.exceptions.Timeout("late").device_message is None
    assert one.message == f"{device.name}: {one.reason} (after {one.after:.2f} s)"
    assert one.without_device() == f"{one.reason} (after {one.after:.2f} s)"
    ours = exceptions.InvalidArgumentError("x.yaml: no", hint="look")
    assert (ours.reason, ours.without_device(), str(ours)) == ("x.yaml: no", str(ours), "x.yaml: no\n  try: look")


@pytest.mark.parametrize(
    ("ask", "subject"),
    [
        (lambda dut: dut.containerz.stop("none"), "container"),
        (lambda dut: dut.containerz.logs("none"), "container"),
        (lambda dut: dut.containerz.remove_volume("none"), "volume"),
        (lambda dut: dut.containerz.remove_image("none:v1"), "image"),
        (lambda dut: dut.containerz.start("x", image="none:v1"), "image"),
        (lambda dut: dut.containerz.start("x", image="none:v1", volumes={"none": "/data"}), "volume"),
        (lambda dut: dut.containerz.remove_plugin("none"), "plugin"),
        (lambda dut: dut.gnmi.get("/none"), None),
    ],
)
def test_what_is_not_there_is_told_as_data(
    ask: Callable[[holdfast.Device], object], subject: str | None, device: holdfast.Device
) -> None:
    with pytest.raises(exceptions.NotFound) as caught:
        ask(device)
    assert caught.value.subject == subject


def test_what_calls_return_can_be_named() -> None:
    from holdfast import results

    named = [value for value in vars(results).values() if isinstance(value, type)]
    own = {kind.__name__ for kind in named if kind.__module__ == results.__name__}
    assert own <= set(holdfast.__all__)
    assert all(getattr(holdfast, name) is getattr(results, name) for name in own)
