"""Bad input: a clear error within seconds, with what to try, and a device left as it was."""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import json
import math
import re
import socket
import ssl
import tarfile
from pathlib import Path

import pytest

import holdfast
from holdfast import _core, exceptions

from conftest import RunSuite
from peers import command, free_port, saying


def expect(kind: type[exceptions.HoldfastError], address: str, says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        holdfast.connect(address, insecure=True, dial_timeout=1.5)
    assert caught.value.hint
    assert address in str(caught.value)


def test_an_unknown_host() -> None:
    expect(exceptions.UnknownHost, "no-such-host.invalid", "does not resolve")


def test_a_closed_port() -> None:
    expect(exceptions.Unreachable, f"127.0.0.1:{free_port()}", "refused")


def test_a_port_of_a_web_server() -> None:
    with saying(lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as address:
        expect(exceptions.NotGrpc, address, "not with gRPC")


def test_a_port_that_says_something_else() -> None:
    with saying(lambda client: client.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")) as address:
        expect(exceptions.NotGrpc, address, "not with gRPC")


def test_a_port_that_never_answers() -> None:
    with saying(lambda _: None) as address:
        expect(exceptions.Unreachable, address, "does not answer|nothing answers")


def test_tls_where_plaintext_was_asked(device: holdfast.Device, archive: Path) -> None:
    image = device.containerz.deploy(archive)
    device.containerz.start("tls", image=image, ports={60061: 60061})
    address = device.address.rpartition(":")[0] + ":60061"
    expect(exceptions.ConnectError, address, "TLS|closed the connection")


def test_plaintext_where_tls_was_asked(device: holdfast.Device) -> None:
    port = int(device.address.rpartition(":")[2])
    with pytest.raises(exceptions.PlaintextExpected, match="HTTP/2 in plaintext"):
        device.ping_container(port, timeout=3)


def test_a_port_takes_connections_whatever_it_serves(device: holdfast.Device) -> None:
    with saying(lambda _: None) as address:
        device.connect_container(int(address.rpartition(":")[2]), host="127.0.0.1", timeout=3)


def test_a_proxy_with_nobody_behind_it_takes_no_connections(device: holdfast.Device) -> None:
    with saying(lambda client: client.close()) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(exceptions.Unreachable, match="closes the connection that it took"):
            device.connect_container(port, host="127.0.0.1", timeout=3)
    with pytest.raises(exceptions.Unreachable, match="refused"):
        device.connect_container(port, host="127.0.0.1", timeout=3)


def test_tls_to_the_container_is_really_tls(device: holdfast.Device, archive: Path) -> None:
    image = device.containerz.deploy(archive)
    device.containerz.start("tls", image=image, ports={60061: 60061})
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host = device.address.rpartition(":")[0]
    with socket.create_connection((host, 60061), timeout=5) as plain, context.wrap_socket(plain) as encrypted:
        assert encrypted.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("address", ["", "host:", "host:0", "host:99999", "http://host", "[::1"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(exceptions.InvalidArgumentError) as caught:
        holdfast.connect(address, insecure=True)
    assert caught.value.hint


def test_wrong_credentials(chassis_of_test: holdfast.Emulator) -> None:
    with (
        chassis_of_test.failpoint("gnmi.Subscribe", "9*error[UNAUTHENTICATED](bad password)"),
        holdfast.connect(chassis_of_test.address, insecure=True, username="admin", password="s3cret-word") as dut,
        pytest.raises(exceptions.Unauthenticated, match="bad password") as caught,
    ):
        dut.control_processors()
    assert caught.value.hint
    assert "s3cret-word" not in str(caught.value) + repr(caught.value) + repr(dut) + str(dut.timeline)


def test_a_password_without_a_name_is_refused() -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match="without a username") as caught:
        holdfast.connect("127.0.0.1:1", insecure=True, password="s3cret-word")
    assert "s3cret-word" not in str(caught.value)


def test_a_password_no_header_can_carry() -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match="metadata") as caught:
        holdfast.connect("127.0.0.1:1", insecure=True, username="a", password="s3cret\nword")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ("roles.single", "one control processor"),
        ("roles.none", "no control processor"),
        ("roles.two_primaries", "more than one control processor is PRIMARY"),
    ],
)
def test_roles_that_no_test_can_use(
    point: str, says: str, chassis_of_test: holdfast.Emulator, device: holdfast.Device
) -> None:
    with chassis_of_test.failpoint(point, "9999*error(x)"):
        with pytest.raises(exceptions.RolesError, match=says) as caught:
            device.switchover()
        assert caught.value.hint
    assert chassis_of_test.active == "Supervisor1"


def broken_archives(folder: Path, good: bytes) -> dict[str, tuple[Path, str]]:
    """Archives that are none, by what is wrong with them."""

    def write(name: str, content: bytes) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    def tar(name: str, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as made:
            for info, content in entries:
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
        return write(name, buffer.getvalue())

    link = tarfile.TarInfo("inside")
    link.type, link.linkname = tarfile.SYMTYPE, "../../etc/shadow"
    hard = tarfile.TarInfo("inside")
    hard.type, hard.linkname = tarfile.LNKTYPE, "../etc/shadow"
    lying = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    lying.size = 1 << 40
    altered = bytearray(good)
    altered[len(good) // 2] ^= 1
    packed = gzip.compress(good, 1)
    return {
        "missing": (folder / "absent.tar", "No such file"),
        "empty": (write("empty.tar", b""), "is empty"),
        "a folder": (folder, "is a folder"),
        "no tar": (write("text.tar", b"hello, world\n" * 100), "is no tar"),
        "zeros": (write("zeros.tar", bytes(10240)), "is no tar archive, or an empty one"),
        "no image": (tar("other.tar", (tarfile.TarInfo("a.txt"), b"x")), "no image archive"),
        "cut short": (write("cut.tar", good[: len(good) // 2]), "cut short"),
        "cut at the end": (write("end.tar", good[: -1024 - 512]), "cut short"),
        "gzip, cut short": (write("cut.tar.gz", packed[: len(packed) // 2]), "cut short|damaged"),
        "altered": (write("altered.tar", bytes(altered)), "another digest|damaged"),
        "leaving its folder": (tar("up.tar", (tarfile.TarInfo("../../etc/passwd"), b"x")), "leaves the archive"),
        "a size that lies": (write("lie.tar", lying.tobuf() + bytes(4096)), "cut short"),
        "absolute": (tar("abs.tar", (tarfile.TarInfo("/etc/passwd"), b"x")), "no image archive"),
        "a link out": (tar("link.tar", (link, b"")), "leads out"),
        "a hard link out": (tar("hard.tar", (hard, b"")), "leads out"),
        "zstd": (write("z.tar", b"\x28\xb5\x2f\xfd" + bytes(100)), "zstd"),
    }


BROKEN = (
    "missing", "empty", "a folder", "no tar", "zeros", "no image", "cut short", "cut at the end", "gzip, cut short",
    "altered", "leaving its folder", "a size that lies", "absolute", "a link out", "a hard link out", "zstd",
)  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_an_archive_that_is_none(what: str, device: holdfast.Device, archive: Path, tmp_path: Path) -> None:
    path, says = broken_archives(tmp_path, archive.read_bytes())[what]
    with pytest.raises(exceptions.ImageError, match=says):
        device.containerz.deploy(path)
    assert device.containerz.images() == ()


def test_what_is_no_archive_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "secrets.txt"
    path.write_text("s3cret-word\n" * 100)
    with pytest.raises(exceptions.ImageError) as caught:
        holdfast.Archive.open(path)
    assert "s3cret-word" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["bad", "no.such=1*off", "gnmi.Get=1*of"])
def test_failpoints_that_make_no_sense_are_named(text: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", failpoints=text)
    assert run.exit_code != 0
    assert "failpoint" in run.output
    assert "InvalidArgumentError" in run.output
    assert "Traceback" not in run.output


def test_a_gzip_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    info = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    info.size = 1 << 30
    with gzip.open(path, "wb", compresslevel=9) as packed:
        packed.write(info.tobuf())
        for _ in range(400):
            packed.write(bytes(1 << 20))
    with pytest.raises(exceptions.ImageError, match="unpacks to more than"):
        holdfast.Archive.open(path)


def test_an_archive_without_a_tag_wants_one(device: holdfast.Device, archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "untagged.tar"
    with tarfile.open(archive) as good, tarfile.open(path, "w") as made:
        for info in good:
            content = good.extractfile(info).read()  # type: ignore[union-attr]
            if info.name in ("manifest.json", "index.json"):
                content = content.replace(b'["cntrsrv_image:latest"]', b"null")
                content = content.replace(b'"io.containerd.image.name":"cntrsrv_image:latest",', b"")
                info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    with pytest.raises(exceptions.ImageError, match="no tag"):
        device.containerz.deploy(path)
    assert device.containerz.deploy(path, retag="given:v1").name == "given"


def test_an_archive_larger_than_the_devices_space(archive: Path) -> None:
    with holdfast.emulator(space=1000) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        with pytest.raises(exceptions.ResourceExhausted, match="are free") as caught:
            dut.containerz.deploy(archive)
        assert caught.value.hint
        assert dut.containerz.images() == ()


def test_a_plaintext_device_says_so_to_tls(run_suite: RunSuite, chassis_of_test: holdfast.Emulator) -> None:
    run = run_suite("-k", "cntr3", "--dut", chassis_of_test.address)
    assert run.exit_code == 3
    assert "--dut-insecure" in run.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--dut-deadline", "rebot=5s"), "no step 'rebot'"),
        (("--dut-deadline", "reboot=soon"), "STEP=TIME"),
        (("--dut-port", "x"), "--dut-port"),
        (("--dut-judge", "nobody"), "procedure or depth"),
        (("--dut-image", "absent.tar"), "absent.tar"),
        (("--dut", "127.0.0.1:1", "--dut-password-file", "absent"), "--dut-password-file: absent does not exist"),
        (("--dut", "127.0.0.1:1", "--dut-token-file", "absent"), "--dut-token-file: absent does not exist"),
        (
            ("--dut", "127.0.0.1:1", "--dut-key-password-file", "absent"),
            "--dut-key-password-file: absent does not exist",
        ),
        (("--dut-insecure", "--dut-ca", "absent"), "--dut-insecure is plaintext, and --dut-ca is for TLS"),
        (("--dut", "127.0.0.1:1", "--dut-ca", "absent"), "--dut-ca: absent does not exist"),
        (("--dut", "127.0.0.1:1", "--dut-cert", "absent"), "--dut-cert: absent does not exist"),
        (("--dut", "127.0.0.1:1", "--dut-key", "absent"), "--dut-key: absent does not exist"),
        (("--dut-platform", "amd64"), "--dut-platform amd64: write OS/ARCH, such as linux/arm64"),
        (("--dut-failpoint-file", "absent.json"), "--dut-failpoint-file absent.json: No such file"),
        (("--dut-artifacts", "/proc/none"), "--dut-artifacts /proc/none: "),
        (("--dut-profile", "arista-oes"), "--dut-profile: there is no profile 'arista-oes'; one of arista-eos"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_anything_happens(
    options: tuple[str, ...], says: str, run_suite: RunSuite
) -> None:
    run = run_suite("-k", "cntr3", *options)
    assert run.exit_code == 4, run.output
    assert says in run.output
    assert "Traceback" not in run.output


def _no_images(place: Path, whole: Path) -> dict[str, tuple[Path, str]]:
    """Files that hold no image, or not one, and what is said of each."""
    junk, empty, short = place / "junk.tar", place / "none.tar", place / "short.tar"
    junk.write_text("junk\n")
    empty.touch()
    short.write_bytes(whole.read_bytes()[:5000])
    (place / "folder").mkdir()
    several = place / "several.tar"
    rows = [image_row("one:1", b"1"), image_row("two:2", b"2")]
    with tarfile.open(several, "w") as tar:
        for name, content in {file: content for _, files in rows for file, content in files.items()}.items():
            add(tar, name, content)
        add(tar, "manifest.json", json.dumps([row for row, _ in rows]).encode())
    return {
        "junk": (junk, "is no tar archive"),
        "empty": (empty, "is empty"),
        "short": (short, "is cut short"),
        "folder": (place / "folder", "is a folder"),
        "several": (several, "holds 2 images (one:1 for linux/amd64, two:2 for linux/amd64)"),
    }


def image_row(name: str, mark: bytes) -> tuple[dict[str, object], dict[str, bytes]]:
    """A row of manifest.json, and the files that it names."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        add(tar, "mark", mark)
    layer = content.getvalue()
    diff = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    told = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]}}
    config = json.dumps(told).encode()
    file, folder = f"{hashlib.sha256(config).hexdigest()}.json", hashlib.sha256(layer).hexdigest()
    row = {"Config": file, "RepoTags": [name], "Layers": [f"{folder}/layer.tar"]}
    return row, {file: config, f"{folder}/layer.tar": layer}


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("kind", ["junk", "empty", "short", "folder", "several"])
def test_what_is_no_image_is_refused_before_the_first_test(
    kind: str, run_suite: RunSuite, tmp_path: Path, archive: Path
) -> None:
    file, says = _no_images(tmp_path, archive)[kind]
    run = run_suite("-k", "cntr3_1", "--dut-image", str(file))
    assert run.exit_code == 4, run.output
    (line,) = [line for line in run.output.splitlines() if "--dut-image" in line]
    assert says in line
    assert str(file) in line
    assert "; " in line, "what to try"
    assert run.cases == {}
    assert "Traceback" not in run.output


def test_a_users_own_test_of_what_is_no_image_does_not_begin(run_suite: RunSuite, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "test_mine.py").write_text("def test_mine(image):\n    assert image\n")
    (tmp_path / "junk.tar").write_text("junk\n")
    run = run_suite("test_mine.py", "--dut-image", str(tmp_path / "junk.tar"))
    assert run.exit_code == 4, run.output
    assert "is no tar archive" in run.output
    assert run.cases == {}


def test_the_second_of_two_addresses_is_found(chassis_of_test: holdfast.Emulator) -> None:
    addresses = f"127.0.0.1:{free_port()},{chassis_of_test.address}"
    with holdfast.connect(addresses, insecure=True) as dut:
        assert len(dut.control_processors()) == 2
        dut.switchover(redundant=True)


def test_an_unreachable_device_ends_the_run_at_once(run_suite: RunSuite) -> None:
    address = f"127.0.0.1:{free_port()}"
    run = run_suite("-k", "cntr3", "--dut", address, "--dut-insecure")
    assert run.exit_code == 3
    assert address in run.output
    assert "try:" in run.output
    assert run.cases == {}, "none was begun: each would dial anew"


def test_left_overs_of_an_aborted_run_are_named_and_left_alone(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, run_suite: RunSuite, tmp_path: Path
) -> None:
    labels = {"holdfast.run": "0123456789", "holdfast.machine": "another"}
    device.containerz.create_volume("holdfast-0123456789-volume", labels=labels)
    device.containerz.create_volume("mine")
    run = run_suite("-k", "cntr3", "--dut", chassis_of_test.address, "--dut-insecure")
    assert run.exit_code == 3, run.output
    assert "holdfast-0123456789-volume" in run.output
    assert "clean --from-elsewhere --yes" in run.output
    assert {volume.name for volume in device.containerz.volumes()} == {"holdfast-0123456789-volume", "mine"}
    dut = ("--dut", chassis_of_test.address, "--dut-insecure")
    done = command(tmp_path, *dut, "clean", "--from-elsewhere", "--yes")
    assert done.returncode == 0, done.stderr
    assert "from elsewhere" in done.stdout
    assert {volume.name for volume in device.containerz.volumes()} == {"mine"}


def test_a_second_run_at_the_same_time_is_refused(
    chassis_of_test: holdfast.Emulator, run_suite: RunSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdfast import journal

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    held = journal.lock(chassis_of_test.address)
    try:
        run = run_suite("-k", "cntr3", "--dut", chassis_of_test.address, "--dut-insecure")
    finally:
        held.release()
    assert run.exit_code == 3, run.output
    assert "another run uses this device" in run.output


# --- Numbers without room -----------------------------------------------------------------------------------------

STUBS = Path(__file__).parent.parent / "python" / "holdfast" / "_core.pyi"
# What stands in for arguments that are asked for beside the number, by their types.
_OTHERS: dict[str, object] = {"int": 1, "bytes": b"x", "_Seconds": 1.0}
Numbered = tuple[str, str, str, dict[str, object]]


def _numbered() -> list[Numbered]:
    """Each argument of the stubs that is a number: its class and method, its name, and what must be given beside it."""
    found = []
    for each in ast.parse(STUBS.read_text()).body:
        for method in each.body if isinstance(each, ast.ClassDef) and each.name in ROOMS else ():
            if not isinstance(method, ast.FunctionDef):
                continue
            kinds = {one.arg: ast.unparse(one.annotation or one) for one in method.args.args + method.args.kwonlyargs}
            wanted = [one.arg for one in method.args.args[1 : len(method.args.args) - len(method.args.defaults)]]
            both = zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)
            wanted += [one.arg for one, default in both if default is None]
            beside = {name: _OTHERS.get(kinds[name], "x") for name in wanted}
            numbers = [name for name, kind in kinds.items() if re.fullmatch(NUMBER, kind)]
            found += [(each.name, method.name, name, beside) for name in numbers]
    return found


NUMBER = r"int( \| None)?|Mapping\[int, int\] \| None"
ROOMS = {
    "Device": lambda dut, _: dut,
    "Containerz": lambda dut, _: dut.containerz,
    "System": lambda dut, _: dut.system,
    "File": lambda dut, _: dut.file,
    "Healthz": lambda dut, _: dut.healthz,
    "Gnmi": lambda dut, _: dut.gnmi,
    "Emulator": lambda _, chassis: chassis,
}


@pytest.mark.parametrize(
    ("room", "method", "argument", "beside"), _numbered(), ids=lambda it: it if isinstance(it, str) else ""
)
@pytest.mark.parametrize("number", [-(2**70), 2**70, 10**5000], ids=["small", "large", "endless"])
def test_a_number_without_room_is_refused_in_words(
    number: int,
    room: str,
    method: str,
    argument: str,
    beside: dict[str, object],
    chassis: holdfast.Emulator,
    device: holdfast.Device,
) -> None:
    """Python's own word for it, OverflowError, says neither of what nor what there is room for."""
    given = beside | {argument: {number: 1} if argument == "ports" else number}
    with pytest.raises(exceptions.InvalidArgumentError, match=r"is out of range|is no TCP port"):
        getattr(ROOMS[room](device, chassis), method)(**given)


@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_a_port_is_a_port(port: int, device: holdfast.Device) -> None:
    for asked in (
        lambda: device.ping_container(port),
        lambda: device.containerz.start("x", image="x:1", ports={port: 1}),
        lambda: device.containerz.start("x", image="x:1", ports={1: port}),
    ):
        with pytest.raises(exceptions.InvalidArgumentError, match=f"{port} is no TCP port: give a number from 1"):
            asked()


def test_the_seed_of_terms_has_room_or_words() -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match="is out of range"):
        _core.parse_terms("off", seed=-1)


# --- Values that JSON has no word for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "Out of range float"),
        ({"a": [math.inf]}, "Out of range float"),
        ({1, 2}, "not JSON serializable"),
        (2**64, "more than 64 bits"),
        ({"a": [(1, -(2**63) - 1)]}, "more than 64 bits"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_sent_is_named_by_its_path(value: object, says: str, device: holdfast.Device) -> None:
    """2**64 went out as 1.8446744073709552e19."""
    with pytest.raises(exceptions.InvalidArgumentError, match=f"/system/config/hostname: .*{says}"):
        device.gnmi.set(update={"/system/config/hostname": value})


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), True])
def test_a_number_of_64_bits_is_sent_as_it_is(number: int, device: holdfast.Device) -> None:
    assert device.gnmi.set(update={"/system/config/hostname": {"a": [number]}}).operations
