"""`holdfast provider check` and `init`: real plugins of both protocols, asked, and gone afterwards."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast import _core, waiting
from holdfast.exceptions import HoldfastError, InvalidArgumentError
from holdfast.storage import plan
from holdfast.storage.provider import read
from holdfast.storage.provider.introduction import introduce
from holdfast.storage.provider.trying import first_word, look_for

from conftest import isolated
from peers import command

HERE = Path(__file__).parent
PYTHON = shlex.quote(sys.executable)
DRIVER = f"{PYTHON} {HERE / 'talkative_driver.py'} {{socket_path}}"
SMALL = f"{PYTHON} {HERE / 'small_plugin.py'} --socket {{socket_path}} --folder {{folder}} --data {{folder}}/data"
in_lab = pytest.mark.skipif(bool(_core.storage_lab_lacks()), reason=str(_core.storage_lab_lacks()))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: the path of a socket has 107 bytes, and is in a folder below."""
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        yield Path(folder)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """This process works there, and looks anew where temporary files go."""
    came_from = Path.cwd()
    os.chdir(folder)
    tempfile.tempdir = None
    try:
        yield
    finally:
        os.chdir(came_from)
        tempfile.tempdir = None


def holdfast(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, with temporary files of its own, so that whatever it leaves is seen."""
    own = folder / "tmp"
    own.mkdir(exist_ok=True)
    with working_in(folder):
        done = command(folder, "provider", *words, TMPDIR=str(own), **environment)
    assert list(own.iterdir()) == [], "left over"
    assert "Traceback" not in done.stderr, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def running(marker: str) -> list[str]:
    """The processes whose command line has that in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found += [words] if marker in words else []
    return found


@contextmanager
def served(folder: Path, *words: str, at: Path | None = None) -> Iterator[None]:
    """A plugin that runs already."""
    log = folder / "plugin.log"
    with log.open("wb") as printed:
        process = subprocess.Popen([sys.executable, *words], stdout=printed, stderr=printed)
    try:
        there = waiting.until(lambda: (at is None or at.exists()) if at else log.stat().st_size > 0, 60)
        assert there, log.read_text()
        yield
    finally:
        process.kill()
        process.wait()


def test_init_asks_a_driver_that_runs(tmp_path: Path) -> None:
    at = tmp_path / "csi.sock"
    with served(tmp_path, str(HERE / "talkative_driver.py"), str(at), "plain", at=at):
        done = holdfast(tmp_path, "init", "--socket", f"unix://{at}", "-o", "mine.yaml")
        assert done.returncode == 0, done.stderr
        assert "CSI driver talkative.example 1.10" in done.stdout
        written = (tmp_path / "mine.yaml").read_text()
        for said in ("kind: csi", "talkative.example 1.10", "CREATE_DELETE_VOLUME", "EXPAND_VOLUME: T11", "7 volumes"):
            assert said in written, written
        again = holdfast(tmp_path, "init", "--socket", "csi.sock", "-o", "mine.yaml")
        assert again.returncode == 2
        assert "mine.yaml is there" in again.stderr
        assert (tmp_path / "mine.yaml").read_text() == written
        forced = holdfast(tmp_path, "init", "--socket", "csi.sock", "-o", "mine.yaml", "--force")
        assert forced.returncode == 0, forced.stderr
    with pytest.raises(InvalidArgumentError, match="provider has no key 'start'"):
        read(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("manner", ["plain", "hostile", "silent", "unready"])
def test_init_starts_a_driver_and_ends_it(manner: str, tmp_path: Path) -> None:
    command = f"exec {DRIVER} {manner} --of {tmp_path.name}"
    done = holdfast(tmp_path, "init", "--start", command.replace(" --of ", " # "), "-o", "mine.yaml")
    assert done.returncode == 0, done.stderr
    assert running(f"{tmp_path}/tmp/holdfast-ask") == []
    held = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    assert set(held) == {"provider", "runner", "lab"}
    assert set(held["provider"]) == {"kind", "start", "fencing"}
    assert held["provider"]["start"].startswith("exec ")
    assert read(str(tmp_path / "mine.yaml")).kind == "csi"
    for name in ("secrets", "publish-secrets"):
        (tmp_path / name).write_text("key=value\n")
    text = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "all.yaml").write_text(re.sub(r"^  # ([a-z_]+: .* # )", r"  \1", text, flags=re.MULTILINE))
    every = read(str(tmp_path / "all.yaml"))
    assert (every.minimum, every.topology, every.parameters) == (1 << 30, False, {"type": "fast"})
    if manner == "silent":
        assert "got no answer: " in done.stdout
        assert "I say nothing" in (tmp_path / "mine.yaml").read_text()
    if manner == "unready":
        assert "not ready" in done.stdout


@pytest.mark.parametrize("told", ["-", "plugin.spec", "plugin.json"])
def test_init_finds_a_docker_plugin_over_tcp(told: str, tmp_path: Path) -> None:
    file = tmp_path / told
    words = (
        str(HERE / "tcp_plugin.py"),
        str(tmp_path),
        str(tmp_path / "data"),
        "0",
        told if told == "-" else str(file),
    )
    with served(tmp_path, *words):
        address = (tmp_path / "plugin.log").read_text().strip() if told == "-" else told
        done = holdfast(tmp_path, "init", "--socket", address, "-o", "mine.yaml")
        assert done.returncode == 0, done.stderr
        held = yaml.safe_load((tmp_path / "mine.yaml").read_text())
        assert held["provider"]["kind"] == "docker-plugin"
        assert "scope of its volumes: global" in done.stdout


@pytest.mark.parametrize("line", ["{}", "exec {}", "{} --manner forks", "({}) &", "{} --manner daemonises"])
def test_init_by_docker_plugin_on_a_unix_socket(line: str, tmp_path: Path) -> None:
    if "daemon" in line and os.geteuid():
        pytest.skip("without root, who leaves its process group is not found again")
    done = holdfast(tmp_path, "init", "--start", line.format(SMALL), "-o", "mine.yaml")
    assert done.returncode == 0, done.stderr
    assert running(f"{tmp_path}/tmp/holdfast-ask") == []
    assert read(str(tmp_path / "mine.yaml")).kind == "docker-plugin"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--start", "echo I cannot; exit 3"), "exit code 3"),
        (("--start", "./no-such-driver"), "exit code 127"),
        (("--start", "yes | head -c 100000000 >&2; exit 1"), "exit code 1"),
        (("--start", "sleep 60", "--timeout", "1s"), "it made no socket"),
        (("--socket", "unix:///no/such.sock"), "No such file"),
        (("--socket", "silent.sock", "--timeout", "1s"), "neither CSI"),
        (("--socket", "https://127.0.0.1:1"), "https://127.0.0.1:1: asking the plugin: Connection refused"),
        (("--socket", "npipe:////./pipe"), "of no kind that is known"),
        (("--socket", "empty.spec"), "empty.spec"),
        ((), "give --socket of a plugin that runs, or --start"),
        (("--socket", "x", "-o", "no/such/folder/mine.yaml"), "there is no folder"),
    ],
)
def test_init_says_what_went_wrong_and_writes_nothing(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "empty.spec").write_text("")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        done = holdfast(tmp_path, "init", *words)
    assert done.returncode in (1, 2, 3), done.stderr
    assert said in done.stderr
    assert len(done.stderr) < 8000
    assert not (tmp_path / "provider.yaml").exists()


def provider_file(folder: Path, start: str, more: str = "", kind: str = "csi") -> str:
    path = folder / "mine.yaml"
    path.write_text(f"provider:\n  kind: {kind}\n  start: {json.dumps(start)}\n{more}")
    return str(path)


@in_lab
def test_check_starts_the_plugin_on_one_node_and_asks_it(tmp_path: Path) -> None:
    done = holdfast(tmp_path, "check", provider_file(tmp_path, SMALL, kind="docker-plugin"), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert [each for each in told["tried"] if each["ok"] is False] == []
    assert told["plugin"]["protocol"] == "docker-plugin"
    verdicts = {each["name"]: each["verdict"] for each in told["scenarios"]}
    assert verdicts["T5"] == "runs"
    assert "fencing: none" in verdicts["T7"]
    assert "does not have the capability Expand" in verdicts["T11"]
    assert running(f"{tmp_path}/tmp/") == []


@pytest.mark.parametrize("start", ["./no-such-driver {socket}", "exit 3"])
def test_check_does_not_say_that_what_cannot_start_runs(start: str, tmp_path: Path) -> None:
    done = holdfast(tmp_path, "check", provider_file(tmp_path, start), "--json")
    assert done.returncode == 1, done.stdout
    told = json.loads(done.stdout)
    verdicts = {each["name"]: each["verdict"] for each in told["scenarios"]}
    assert verdicts["T1"] == "would run, once what is wrong is right"
    assert verdicts["T7"].startswith("NotRun: ")
    assert not any(verdict.startswith("runs") for verdict in verdicts.values())


@in_lab
def test_check_says_what_a_node_has_too_little_room_for(tmp_path: Path) -> None:
    script = shlex.quote(json.dumps({"ways": {"most": 4}}))
    start = f"{PYTHON} {HERE / 'scripted_driver.py'} {{socket}} {{node}} {{folder}}/volumes {script}"
    done = holdfast(tmp_path, "check", provider_file(tmp_path, start), "--json")
    assert done.returncode == 0, done.stdout
    verdicts = {each["name"]: each["verdict"] for each in json.loads(done.stdout)["scenarios"]}
    assert verdicts["T1"] == "NotRun: a node takes 4 volumes at most, and this needs 5"
    assert (verdicts["T2"], verdicts["T3"]) == ("runs", "runs")


@in_lab
@pytest.mark.parametrize(
    "line",
    ["MODE=a {}", "test -d {{folder}} && {}", "test -f ./mine.yaml && . './an env' && exec {}", "if :; then {}; fi"],
)
def test_check_starts_any_shell_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "an env").write_text("MODE=a\n")
    file = provider_file(tmp_path, line.format(SMALL), "  ready: test -S {socket_path}\n", kind="docker-plugin")
    done = holdfast(tmp_path, "check", file)
    assert done.returncode == 0, done.stdout
    assert "ok: the plugin on one node" in done.stdout
    assert running(f"{tmp_path}/tmp/") == []


@in_lab
def test_check_tells_what_a_plugin_printed_that_ended_at_once(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("key=planted-secret\n")
    more = "  secrets_file: secrets\n"
    file = provider_file(tmp_path, "echo I cannot start with planted-secret; exit 3", more)
    done = holdfast(tmp_path, "check", file, "--timeout", "5s")
    assert done.returncode == 1
    assert "I cannot start with ***" in done.stdout
    assert "planted-secret" not in done.stdout + done.stderr
    assert "T1 " in done.stdout


@in_lab
def test_check_finds_a_plugin_of_the_other_protocol(tmp_path: Path) -> None:
    done = holdfast(tmp_path, "check", provider_file(tmp_path, SMALL), "--timeout", "5s")
    assert done.returncode == 1
    assert "wrong: the plugin on one node" in done.stdout


@pytest.mark.parametrize(
    ("start", "more", "said"),
    [
        ("./driver", "", "driver: No such file or directory: what begins with ./ is beside the provider file"),
        ("A=1 exec no-such-program --x", "", "there is no program no-such-program in PATH"),
        ("./plain", "", "may not be run: chmod +x"),
        ("./folder --x", "", "is no file"),
        ("sh -c true", "  server: ./server\n", "provider: server: "),
        ("sh -c true", "  tools: [no-such-tool]\n", "no-such-tool is missing"),
    ],
)
def test_check_looks_for_what_the_file_names(start: str, more: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder").mkdir()
    done = holdfast(tmp_path, "check", provider_file(tmp_path, start, more))
    assert done.returncode == 1, done.stdout
    assert said in done.stdout
    assert any(word in done.stdout for word in ("not tried: the plugin: it is not started", "this machine"))


def test_check_starts_nothing_where_it_may_not(tmp_path: Path) -> None:
    started = tmp_path / "started"
    done = holdfast(tmp_path, "check", provider_file(tmp_path, f"touch {started}; ./driver"), "--no-start")
    assert "not tried: the plugin: --no-start" in done.stdout
    assert not started.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="it gives up root")
def test_check_without_root_says_what_it_did_not_try(tmp_path: Path) -> None:
    file = provider_file(tmp_path, "sh -c true")
    # all is read in before: nobody else may look into the folders of this user's Python
    script = "import os, sys, yaml\nfrom holdfast import _core\nfrom holdfast.storage.provider import read, trying\n"
    script += "found = read(sys.argv[1])\nos.setgid(65534); os.setuid(65534)\n"
    script += "print(*trying.try_out(found).tried, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, timeout=60, check=False)
    assert "it needs root" in done.stdout, done.stderr
    assert "not tried: the plugin" in done.stdout


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("A=1 B='x y' ./driver --x", "./driver"),
        ("exec driver", "driver"),
        ("env A=1 driver", "driver"),
        ("cd /x && ./driver", "cd"),
        ("driver>log 2>&1", "driver"),
        ("(driver)", "("),
        ("$DRIVER --x", "$DRIVER"),
        ("'a b/driver' x", "a b/driver"),
        ("driver 'x", "driver"),
        ("A=1", None),
        ("{folder}/driver", "{folder}/driver"),
    ],
)
def test_the_first_program_of_a_line(command: str, word: str | None, tmp_path: Path) -> None:
    assert first_word(command) == word
    assert look_for("start", command, tmp_path).what == "start"


def test_a_typo_in_a_provider_is_one_line_and_4(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("provider:\n  kind: csi\n  strat: ./driver\n")
    for given, said in ((str(file), "the nearest is 'start'"), ("nbdd", "there is no such file")):
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "torpedo", "--provider", given]
        environment = isolated(tmp_path, {})
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 4, done.stdout
        told = [line for line in done.stderr.splitlines() if line.strip() and "Warning" not in line]
        assert [line for line in told if said in line] == [line for line in told if line.startswith("ERROR:")]
        assert "collected" not in done.stdout


@contextmanager
def answering(folder: Path, *parts: bytes, forever: bytes = b"") -> Iterator[str]:
    """A peer that speaks no protocol: to whatever comes it says that, and then one thing again and again."""
    at = folder / "hostile.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(at))
        listener.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    stream, _ = listener.accept()
                    threading.Thread(target=speak, args=(stream,), daemon=True).start()

        def speak(stream: socket.socket) -> None:
            with stream, suppress(OSError):
                stream.recv(4096)
                stream.sendall(b"".join(parts))
                while forever:
                    stream.sendall(forever)

        threading.Thread(target=serve, daemon=True).start()
        yield f"unix://{at}"
        listener.shutdown(socket.SHUT_RDWR)


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("parts", "forever"),
    [
        ((), b""),
        ((b"SSH-2.0-OpenSSH_9.9\r\n",), b""),
        ((), b"\0" * 65536),
        ((OK,), b"X-More: again\r\n"),
        ((OK, b"Content-Length: 99999999999\r\n\r\n"), b"x" * 65536),
        ((OK, b"Transfer-Encoding: chunked\r\n\r\n"), b"10000\r\n" + b"[" * 65536 + b"\r\n"),
        ((OK, b"Content-Length: 20\r\n\r\n", b'{"Implements"'), b""),
        ((OK, b"Content-Length: 2\r\n\r\n", b"[]"), b""),
        ((OK, b"Content-Length: 100000\r\n\r\n", b"[" * 100000), b""),
        ((OK, b'Content-Length: 26\r\n\r\n{"Implements": ["authz"]}\n'), b""),
        ((OK, b'Content-Length: 23\r\n\r\n{"Implements": "Volume"}'), b""),
        ((b"HTTP/1.1 500 no\r\nContent-Length: 13\r\n\r\n\x1b[2Jplanted\xff\xff",), b""),
        ((b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",), b""),
    ],
)
def test_a_peer_that_is_no_plugin_is_told_of_in_bounds(
    parts: tuple[bytes, ...], forever: bytes, tmp_path: Path
) -> None:
    with answering(tmp_path, *parts, forever=forever) as address, pytest.raises(HoldfastError) as refused:
        introduce(address, timeout=4)
    assert "it speaks neither CSI" in str(refused.value)
    assert len(str(refused.value)) < 2000


def test_check_asks_the_plugins_on_hosts(tmp_path: Path) -> None:
    at = tmp_path / "csi.sock"
    with served(tmp_path, str(HERE / "talkative_driver.py"), str(at), "hostile", at=at), answering(tmp_path) as engine:
        held = {
            "provider": {"kind": "csi", "sockets": f"unix://{tmp_path}/{{node}}.sock", "fencing": "driver"},
            "runner": {"kind": "docker"},
            "lab": {
                "kind": "hosts",
                "tester": "192.0.2.9",
                "nodes": {
                    "csi": {"address": "192.0.2.1", "engine": engine},
                    "gone": {"address": "192.0.2.2", "engine": f"unix://{tmp_path}/gone.sock"},
                },
            },
            "faults": {"cut": "./cut {node}", "heal": "true"},
        }
        (tmp_path / "mine.yaml").write_text(json.dumps(held))
        done = holdfast(tmp_path, "check", "mine.yaml")
    assert done.returncode == 1
    said = done.stdout
    for line in (
        "ok: the engine of csi: ",
        "wrong: the engine of gone: ",
        "ok: the plugin on csi: it answers",
        "wrong: the plugin on gone: ",
        "wrong: faults: cut: ",
        "not tried: the faults: their commands do harm",
        "CSI driver evil\\n  start: ",
    ):
        assert line in said, said
    assert "planted" not in [line.strip() for line in said.splitlines()]
    assert "T5   node powered off               NotRun: the provider file has no command faults: power_off" in said


def scenarios(folder: Path, held: dict[str, Any]) -> dict[str, str]:
    """What a check says of each."""
    (folder / "mine.yaml").write_text(json.dumps(held))
    told = json.loads(holdfast(folder, "check", "mine.yaml", "--json").stdout)
    return {each["name"]: each["verdict"] for each in told["scenarios"]}


def test_what_claims_are_not_asked_for_does_not_run_under_kubernetes() -> None:
    told = {name: verdict for name, _, verdict in plan.plan(read("nbd", runner="kubernetes"))}
    for name, capability in (("T11", "Expand"), ("T12", "Snapshot"), ("T13", "Clone"), ("T15", "Statistics")):
        assert told[name] == f"NotRun: claims and pods are not asked for {capability} by this version"
    assert told["T7"] == "runs"


def on_hosts(engine: str, provider: dict[str, Any]) -> dict[str, Any]:
    nodes = {name: {"address": "192.0.2.1", "engine": engine} for name in ("one", "two")}
    lab = {"kind": "hosts", "tester": "192.0.2.9", "nodes": nodes}
    return {"provider": provider, "runner": {"kind": "docker"}, "lab": lab}


def test_check_on_hosts_says_what_becomes_of_the_features(tmp_path: Path) -> None:
    """What the plugins on all hosts have, and who speaks Docker's protocol has none of."""
    one, two = tmp_path / "one.sock", tmp_path / "two.sock"
    driver = str(HERE / "talkative_driver.py")
    provider = {"kind": "csi", "sockets": f"unix://{tmp_path}/{{node}}.sock"}
    with answering(tmp_path) as engine, served(tmp_path, driver, str(one), "plain", at=one):
        with served(tmp_path, driver, str(two), "plain", at=two):
            both = scenarios(tmp_path, on_hosts(engine, provider))
        docker = scenarios(tmp_path, on_hosts(engine, {"kind": "docker-plugin", "name": "acme"}))
    offered = {name for name in ("T11", "T12", "T13", "T15") if both[name] == "runs"}
    assert offered == {"T11"}, both
    lacking = {name: verdict for name, verdict in both.items() if name in {"T11", "T12", "T13", "T15"} - offered}
    assert all("NotRun: it does not have the capability" in verdict for verdict in lacking.values()), both
    assert both["T14"] == "NotRun: the runner docker gives its tasks no devices"
    for name in ("T11", "T12", "T13", "T15"):
        assert docker[name].startswith("NotRun: it does not have the capability "), docker


@in_lab
def test_check_of_a_driver_without_a_controller_says_that_nothing_runs(tmp_path: Path) -> None:
    done = holdfast(tmp_path, "check", provider_file(tmp_path, f"{DRIVER} node-alone"), "--json")
    told = json.loads(done.stdout)
    assert {each["verdict"][:6] for each in told["scenarios"]} == {"NotRun"}, done.stdout
    assert "CONTROLLER_SERVICE" in told["scenarios"][0]["verdict"] or "controller" in told["scenarios"][0]["verdict"]
