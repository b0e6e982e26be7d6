"""`cni-bridge-fp` itself, as a runtime starts it, with stand-ins for bridge that check what they are given."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.cni import plugin

from conftest import wait_until
from stepping import Stepped

CONF_PATH = "failpoint.cni.containerd.io/confpath"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")

# Says that it ran and what it was given, then succeeds.
RECORDING = """#!/bin/sh
printf '%s\\n' "$CNI_COMMAND" >> "$RECORD"
cat > "$RECORD.stdin"
[ "$CNI_COMMAND" = ADD ] && printf '{"cniVersion": "1.0.0", "ips": []}'
echo "bridge says hello" >&2
exit 0
"""


class Bench:
    """A folder with the plugin's surroundings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.executable = plugin.path()
        self.conf = folder / "failpoints.json"
        self.record = folder / "record"
        self.plugins = folder / "bin"
        self.plugins.mkdir()
        self.bridge(RECORDING)

    def bridge(self, script: str, mode: int = 0o755) -> None:
        path = self.plugins / "bridge"
        path.write_text(script)
        path.chmod(mode)

    def environment(self, command: str, **more: str) -> dict[str, str]:
        given = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": "/run/netns/none",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(self.plugins),
            "RECORD": str(self.record),
            "PATH": os.environ["PATH"],
        }
        return {key: value for key, value in {**given, **more}.items() if value != "-"}

    def config(self, **more: Any) -> dict[str, Any]:
        annotations = {"io.kubernetes.cri.pod-annotations": {CONF_PATH: str(self.conf)}}
        return {"cniVersion": "1.0.0", "name": "net", "type": "cni-bridge-fp", "runtimeConfig": annotations, **more}

    def run(
        self, command: str = "ADD", *, stdin: bytes | None = None, timeout: float = 30, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.executable],
            input=json.dumps(self.config()).encode() if stdin is None else stdin,
            env=self.environment(command, **environment),
            cwd=self.folder,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    def stepped(self, command: str = "ADD", *, stdin: bytes | None = None, **environment: str) -> Stepped:
        """The same, stopped at its first instruction."""
        given = json.dumps(self.config()).encode() if stdin is None else stdin
        return Stepped([self.executable], stdin=given, env=self.environment(command, **environment), cwd=self.folder)

    def fails(self, text: str | bytes | Mapping[str, str], **options: Any) -> dict[str, Any]:
        """Run it with this failpoint file; the error that it answers with. The file stays as it was."""
        written = json.dumps(dict(text)) if isinstance(text, Mapping) else text
        self.conf.write_bytes(written if isinstance(written, bytes) else written.encode())
        done = self.run(**options)
        assert self.conf.read_bytes() == (written if isinstance(written, bytes) else written.encode())
        return self.error(done)

    @staticmethod
    def error(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
        assert done.returncode == 1, done
        told = json.loads(done.stdout)
        assert isinstance(told, dict)
        return told

    def ran(self) -> list[str]:
        return self.record.read_text().split() if self.record.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_error_is_answered_to_the_letter(bench: Bench) -> None:
    bench.conf.write_text('{"cmdAdd":"1*error(x)"}')
    done = bench.run()
    assert (done.returncode, done.stdout) == (1, b'{\n    "code": 999,\n    "msg": "x"\n}')
    assert bench.ran() == []
    assert bench.conf.read_text() == '{"cmdAdd":"0*error(x)"}'
    again = bench.run()
    assert (again.returncode, json.loads(again.stdout)) == (0, {"cniVersion": "1.0.0", "ips": []})
    assert again.stderr == b"bridge says hello\n"
    assert bench.ran() == ["ADD"]


def test_bridge_is_given_the_configuration_unchanged(bench: Bench) -> None:
    bench.conf.write_text("{}")
    stdin = b"  " + json.dumps(bench.config(mine=[1, {"a": 1.50}])).encode() + b"\n\n"
    assert bench.run(stdin=stdin).returncode == 0
    assert (bench.folder / "record.stdin").read_bytes() == stdin


def test_a_panic_ends_as_a_go_program_does(bench: Bench) -> None:
    bench.conf.write_text('{"cmdDel":"1*panic(x)"}')
    done = bench.run("DEL")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"panic: x\n\n")
    assert bench.conf.read_text() == '{"cmdDel":"0*panic(x)"}'


@pytest.mark.parametrize("command", ["DEL", "CHECK"])
def test_del_and_check_print_nothing(bench: Bench, command: str) -> None:
    bench.conf.write_text('{"cmdDel":"1*off","cmdCheck":"1*delay(1)"}')
    done = bench.run(command)
    assert (done.returncode, done.stdout) == (0, b"")
    assert bench.ran() == [command]


def test_without_a_failpoint_file_bridge_is_run_at_once(bench: Bench) -> None:
    for config in (
        {"name": "net"},
        {"name": "net", "runtimeConfig": {"io.kubernetes.cri.pod-annotations": {CONF_PATH: ""}}},
        {"name": "net", "runtimeConfig": {"io.kubernetes.cri.pod-annotations": None}},
    ):
        assert bench.run(stdin=json.dumps(config).encode()).returncode == 0
    assert bench.ran() == ["ADD"] * 3


def test_the_file_and_its_path(bench: Bench) -> None:
    error = bench.error(bench.run())
    assert error["code"] == 999
    assert error["msg"] == f"failed to open confPath {bench.conf}: open {bench.conf}: no such file or directory"
    config = bench.config()
    config["runtimeConfig"]["io.kubernetes.cri.pod-annotations"][CONF_PATH] = "x/y"
    error = bench.error(bench.run(stdin=json.dumps(config).encode()))
    assert error == {"code": 999, "msg": "failpoint confPath(x/y) is required to be absolute"}


def test_what_the_file_says_wrongly(bench: Bench) -> None:
    error = bench.fails("{bad")
    assert error["code"] == 999
    # The original shows what it read, which may be any file of root's: tests_py/test_cni_hostile.py.
    assert error["msg"].startswith(f"failed to unmarshal failpoint conf {bench.conf}: ")
    error = bench.fails({"cmdAdd": "1*eror(x)"})
    assert error["msg"] == "failed to parse failpoint 1*eror(x): invalid type format: eror(x)"
    assert bench.fails('{"cmdAdd":"1*off"} x')["code"] == 999
    assert bench.fails(b'{"cmdAdd":"\xff"}')["code"] == 999
    assert bench.fails('{"cmdAdd":["1*off"]}')["code"] == 999
    assert bench.ran() == []


def test_a_failpoint_file_that_is_large_or_deeply_nested(bench: Bench) -> None:
    for more in ('"' + "x" * 10_000_000 + '"', "[" * 50_000 + "]" * 50_000):
        bench.conf.write_text(f'{{"cmdAdd":"1*off","mine":{more}}}')
        assert bench.run().returncode == 0
        assert bench.conf.read_text() == f'{{"cmdAdd":"0*off","mine":{more}}}'
    terms = "->".join(["1*off"] * 100_000)
    bench.conf.write_text(f'{{"cmdAdd":"{terms}"}}')
    assert bench.run().returncode == 0
    error = bench.fails({"cmdAdd": "->".join(["1*off"] * 100_000) + "->"})
    assert len(error["msg"]) < 5_000
    assert "bytes" in bench.fails('{"mine":"' + "x" * 17_000_000 + '"}')["msg"]


def test_without_bridge_the_count_is_used(bench: Bench) -> None:
    bench.conf.write_text('{"cmdAdd":"2*off"}')
    other = bench.folder / "other"
    done = bench.run(CNI_PATH=f"{other}:{bench.folder}/more")
    error = bench.error(done)
    assert error == {"code": 999, "msg": f'failed to find plugin "bridge" in path [{other} {bench.folder}/more]'}
    assert bench.conf.read_text() == '{"cmdAdd":"1*off"}'


def test_bridges_own_error_is_passed_on(bench: Bench) -> None:
    bench.conf.write_text("{}")
    bench.bridge('#!/bin/sh\necho \'{"cniVersion":"1.0.0","code":11,"msg":"later","details":"d"}\'; exit 1')
    assert bench.error(bench.run()) == {"code": 11, "msg": "later", "details": "d"}


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("#!/bin/sh\necho garbage", 6, "no JSON object"),
        ("#!/bin/sh\nexit 0", 6, "no JSON object"),
        ("#!/bin/sh\nprintf '[1]'", 6, "no JSON object"),
        ("#!/bin/sh\nkill -9 $$", 999, "was killed by signal 9"),
        ("#!/bin/sh\nexit 3", 999, "exit code 3"),
        ("#!/bin/sh\necho no JSON; exit 1", 999, "no JSON"),
        ("#!/nowhere/interpreter\n", 999, "failed to run"),
        ("neither script nor program", 999, "failed to run"),
    ],
)
def test_a_bridge_that_misbehaves(bench: Bench, script: str, code: int, words: str) -> None:
    bench.conf.write_text('{"cmdAdd":"1*off"}')
    bench.bridge(script)
    error = bench.error(bench.run())
    assert error["code"] == code
    assert words in error["msg"]


def test_a_bridge_that_is_no_executable(bench: Bench) -> None:
    bench.conf.write_text("{}")
    bench.bridge(RECORDING, 0o644)
    assert "failed to run" in bench.error(bench.run())["msg"]


def test_cni_path_with_relative_and_empty_parts(bench: Bench) -> None:
    bench.conf.write_text("{}")
    assert bench.run(CNI_PATH="::nowhere::bin").returncode == 0
    assert bench.error(bench.run(CNI_PATH=":nowhere:"))["msg"] == 'failed to find plugin "bridge" in path [nowhere]'
    assert bench.error(bench.run(CNI_PATH=""))["code"] == 4


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CNI_CONTAINERID": "-", "CNI_NETNS": "-"}, "[CNI_CONTAINERID,CNI_NETNS]"),
        ({"CNI_PATH": "-"}, "[CNI_PATH]"),
        ({"CNI_CONTAINERID": "a/b"}, "containerID"),
        ({"CNI_IFNAME": "x" * 16}, "too long"),
        ({"CNI_IFNAME": "a b"}, "whitespace"),
        ({"CNI_IFNAME": ".."}, "interface name"),
        ({"CNI_COMMAND": "GROW"}, "unknown CNI_COMMAND: GROW"),
    ],
)
def test_the_environment_is_checked_before_a_count_is_used(
    bench: Bench, environment: dict[str, str], words: str
) -> None:
    error = bench.fails('{"cmdAdd":"1*off"}', **environment)
    assert error["code"] == 4
    assert words in error["msg"]


@pytest.mark.parametrize(
    ("stdin", "code"),
    [
        (b"", 6),
        (b"{", 6),
        (b"{} {}", 6),
        (b'{"name": "\xff"}', 6),
        (b"[" * 100_000, 6),
        (b'{"cniVersion": "1.0.0"}', 7),
        (b'{"cniVersion": "1.0.0", "name": "a/b"}', 7),
        (b'{"cniVersion": "9.9", "name": "net"}', 1),
        (b'{"cniVersion": 1, "name": "net"}', 6),
    ],
)
def test_the_configuration_is_checked_before_a_count_is_used(bench: Bench, stdin: bytes, code: int) -> None:
    assert bench.fails('{"cmdAdd":"1*off"}', stdin=stdin)["code"] == code


def test_a_configuration_of_10_mb_and_one_that_is_deeply_nested(bench: Bench) -> None:
    bench.conf.write_text("{}")
    for more in ("x" * 10_000_000, "deep"):
        text = json.dumps(bench.config(mine=more)).replace('"deep"', "[" * 50_000 + "]" * 50_000)
        assert bench.run(stdin=text.encode()).returncode == 0
        assert (bench.folder / "record.stdin").read_text() == text


def test_version_and_no_command(bench: Bench) -> None:
    done = bench.run("VERSION", CNI_PATH="-", CNI_CONTAINERID="-", CNI_NETNS="-", CNI_IFNAME="-")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["supportedVersions"] == ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    assert bench.ran() == []
    done = bench.run("-")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"cni-bridge-fp" in done.stderr
    assert b"1.1.0" in done.stderr


@pytest.mark.parametrize("command", ["GC", "STATUS"])
def test_gc_and_status_reach_the_delegate(bench: Bench, command: str) -> None:
    point = {"GC": "cmdGc", "STATUS": "cmdStatus"}[command]
    bench.conf.write_text(json.dumps({point: "1*error[50](not now)"}))
    attachments = [{"containerID": "c1", "ifname": "eth0"}]
    stdin = json.dumps(bench.config(cniVersion="1.1.0", **{"cni.dev/valid-attachments": attachments})).encode()
    without = {"CNI_CONTAINERID": "-", "CNI_NETNS": "-", "CNI_IFNAME": "-"}
    assert bench.error(bench.run(command, stdin=stdin, **without)) == {"code": 50, "msg": "not now"}
    done = bench.run(command, stdin=stdin, **without)
    assert (done.returncode, done.stdout, bench.ran()) == (0, b"", [command])
    assert (bench.folder / "record.stdin").read_bytes() == stdin
    bench.bridge('#!/bin/sh\necho \'{"code":51,"msg":"limited"}\'; exit 1')
    assert bench.error(bench.run(command, stdin=stdin, **without))["code"] == 51


@pytest.mark.parametrize(
    ("terms", "code", "output", "ran"),
    [
        ("1*error[11](busy)", 1, {"code": 11, "msg": "busy"}, False),
        ("1*error[EIO](disk)", 1, {"code": 999, "msg": "EIO: disk"}, False),
        ("1*error[UNAVAILABLE]{a) \\} b}", 1, {"code": 999, "msg": "UNAVAILABLE: a) } b"}, False),
        ("exit(7)", 7, None, False),
        ("1*crash", -signal.SIGKILL, None, False),
        ('1*return{"cniVersion":"1.0.0","ips":[]}', 0, {"cniVersion": "1.0.0", "ips": []}, False),
        ("1*print(hello)+delay(1ms..2ms)", 0, {"cniVersion": "1.0.0", "ips": []}, True),
        ("1*pause(20ms)", 0, {"cniVersion": "1.0.0", "ips": []}, True),
        ("0%error(never)", 0, {"cniVersion": "1.0.0", "ips": []}, True),
    ],
)
def test_the_extended_language_in_the_file(
    bench: Bench, terms: str, code: int, output: dict[str, Any] | None, ran: bool
) -> None:
    bench.conf.write_text(json.dumps({"cmdAdd": terms}))
    done = bench.run()
    assert done.returncode == code, done
    assert (json.loads(done.stdout) if done.stdout else None) == output
    assert bench.ran() == (["ADD"] if ran else [])


@pytest.mark.parametrize(
    ("terms", "code"),
    [("1*error(lost)", 1), ("1*corrupt(garbage)", 0), ("1*corrupt(truncate)", 0), ("1*crash", -9), ("1*panic(x)", 2)],
)
def test_faults_after_bridge_has_done_its_work(bench: Bench, terms: str, code: int) -> None:
    bench.conf.write_text(json.dumps({"cmdAddAfter": terms}))
    done = bench.run()
    assert done.returncode == code
    assert bench.ran() == ["ADD"]
    if code == 0:
        assert not done.stdout.endswith(b"}")
    assert json.loads(bench.conf.read_text())["cmdAddAfter"].startswith("0*")


def test_a_corrupted_configuration_reaches_bridge(bench: Bench) -> None:
    bench.conf.write_text('{"cmdAdd":"corrupt(truncate)"}')
    bench.run()
    given = (bench.folder / "record.stdin").read_bytes()
    assert len(given) == len(json.dumps(bench.config())) // 2


def test_a_pause_is_announced_and_released(bench: Bench) -> None:
    bench.conf.write_text('{"cmdAdd":"1*pause(20s)"}')
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(bench.run)
        wait_until(lambda: any(bench.folder.glob("*.cmdAdd.*.reached")))
        assert not asked.done()
        next(bench.folder.glob("*.reached")).unlink()
        assert asked.result(timeout=10).returncode == 0
    assert not any(bench.folder.glob("*.reached"))


def test_the_hit_log_has_a_line_for_each_invocation(bench: Bench) -> None:
    log = bench.folder / "hits.jsonl"
    bench.conf.write_text('{"cmdAdd":"1*print(hi)+error(x)","cmdDelAfter":"1*error(y)"}')
    stdin = json.dumps(bench.config(hitLog=str(log))).encode()
    for command in ("ADD", "ADD", "DEL"):
        bench.run(command, stdin=stdin)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["command"] for line in lines] == ["ADD", "ADD", "DEL"]
    assert [line["outcome"] for line in lines] == ["error 999: x", "success", "error 999: y"]
    assert lines[0]["fired"] == {"cmdAdd": "print(hi)+error(x)"}
    assert lines[0]["printed"] == ["hi"]
    assert lines[2]["fired"] == {"cmdDelAfter": "error(y)"}
    assert lines[0]["confPath"] == str(bench.conf)


def test_in_a_delay_it_is_found_by_its_name_and_ends_with_its_runtime(bench: Bench) -> None:
    bench.conf.write_text('{"cmdAdd":"1*delay(60000)"}')
    (bench.folder / "stdin").write_text(json.dumps(bench.config()))
    runtime = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; subprocess.run(sys.argv[1], stdin=open('stdin'))",
            bench.executable,
        ],
        cwd=bench.folder,
        env=bench.environment("ADD", CNI_ARGS="K8S_POD_NAME=mine"),
    )
    found: list[Path] = []

    def in_delay() -> bool:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name, environment = (process / "comm").read_text(), (process / "environ").read_bytes()
            except OSError:
                continue
            if name == "cni-bridge-fp\n" and str(bench.record).encode() in environment:
                assert b"CNI_ARGS=K8S_POD_NAME=mine" in environment
                found[:] = [process]
        return bool(found) and bench.conf.read_text() == '{"cmdAdd":"0*delay(60000)"}'

    wait_until(in_delay)
    runtime.kill()
    runtime.wait()
    wait_until(lambda: not found[0].exists(), seconds=2)
    assert bench.ran() == []


def test_no_lock_is_held_during_a_delay(bench: Bench) -> None:
    bench.conf.write_text('{"cmdAdd":"1*delay(3000)"}')
    with ThreadPoolExecutor() as threads:
        delayed = threads.submit(bench.run)
        wait_until(lambda: bench.conf.read_text() == '{"cmdAdd":"0*delay(3000)"}')
        assert bench.run().returncode == 0
        assert not delayed.done()
        assert delayed.result(timeout=30).returncode == 0


@pytest.mark.parametrize(("count", "processes"), [(1, 8), (5, 16)])
def test_counts_are_exact_in_every_round(bench: Bench, count: int, processes: int) -> None:
    bench.bridge("#!/bin/sh\nprintf '{}'")
    stdin = json.dumps(bench.config()).encode()
    for _ in range(30):
        bench.conf.write_text(json.dumps({"cmdAdd": f"{count}*error(x)"}))
        started = [
            subprocess.Popen(
                [bench.executable],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=bench.environment("ADD"),
            )
            for _ in range(processes)
        ]
        for process in started:  # all wait for their configuration, and get it at once
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
            process.stdin = None
        answers = [process.communicate(timeout=60)[0] for process in started]
        failed = [json.loads(answer) for answer in answers if b'"code"' in answer]
        assert failed == [{"code": 999, "msg": "x"}] * count
        assert bench.conf.read_text() == '{"cmdAdd":"0*error(x)"}'


def test_killed_at_any_system_call_the_file_is_whole(bench: Bench) -> None:
    """The file is one of before and after, with nothing lost that it does not know."""
    bench.bridge("#!/bin/sh\nprintf '{}'")
    left, moved, lives = 1000, [], True
    bench.conf.write_text(f'{{"cmdAdd":"{left}*off","mine":[1,2]}}')
    while lives:
        with bench.stepped() as process:
            lives = process.step(len(moved))
        held = bench.conf.read_text()
        assert held in {f'{{"cmdAdd":"{left - used}*off","mine":[1,2]}}' for used in (0, 1)}
        moved.append(0 if f'"{left}*off"' in held else 1)
        left -= moved[-1]
    assert (moved[0], moved[-1]) == (0, 1)
    # The lock and the draft of the last one, perhaps, which the next removes.
    assert len([path for path in bench.folder.iterdir() if "failpoints" in path.name]) <= 3
    assert bench.run().returncode == 0
    assert [path.name for path in bench.folder.iterdir() if "failpoints" in path.name] == ["failpoints.json"]


def test_the_file_keeps_its_mode_owner_and_symlink(bench: Bench) -> None:
    real = bench.folder / "real.json"
    real.write_text('{"mine": 1.0, "cmdAdd": "1*off"}')
    real.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(real, 1234, 4321)
    bench.conf.symlink_to(real)
    assert bench.run().returncode == 0
    assert bench.conf.is_symlink()
    assert real.read_text() == '{"cmdAdd":"0*off","mine":1.0}'
    found = real.stat()
    assert found.st_mode & 0o7777 == 0o604
    assert os.geteuid() != 0 or (found.st_uid, found.st_gid) == (1234, 4321)


def test_a_file_that_is_none(bench: Bench) -> None:
    bench.conf.mkdir()
    assert bench.error(bench.run())["msg"].endswith("is a directory")
    bench.conf.rmdir()
    os.mkfifo(bench.conf)
    assert "not a regular file" in bench.error(bench.run())["msg"]
    bench.conf.unlink()
    bench.conf.symlink_to(bench.conf)
    assert bench.error(bench.run())["msg"].endswith("too many levels of symbolic links")
    bench.conf.unlink()
    bench.conf.symlink_to("/dev/zero")
    assert "not a regular file" in bench.error(bench.run())["msg"]


@ROOT_ONLY
def test_a_file_that_may_not_be_read(bench: Bench) -> None:
    bench.conf.write_text('{"cmdAdd":"1*off"}')
    bench.conf.chmod(0)
    for folder in (bench.folder, *bench.folder.parents):
        if folder != Path("/") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [bench.executable],
        input=json.dumps(bench.config()).encode(),
        env=bench.environment("ADD"),
        capture_output=True,
        user=65534,
        timeout=30,
        check=False,
    )
    assert bench.error(done)["msg"].endswith("permission denied")


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", *options, "holdfast-test", folder], check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=20)


@ROOT_ONLY
def test_on_a_read_only_and_on_a_full_file_system_the_file_stays_as_it_was(bench: Bench) -> None:
    folder = bench.folder / "mounted"
    bench.conf = folder / "failpoints.json"
    with mounted(folder, "-o", "size=64k"):
        bench.conf.write_text('{"cmdAdd":"1*error(x)"}')
        with pytest.raises(OSError, match="No space"):
            (folder / "filling").write_bytes(b"x" * 128_000)
        error = bench.error(bench.run())
        assert error["code"] == 999
        assert "failed to store failpoint conf" in error["msg"]
        assert bench.conf.read_text() == '{"cmdAdd":"1*error(x)"}'
        assert sorted(path.name for path in folder.iterdir()) == ["failpoints.json", "filling"]
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True, timeout=20)
        assert "read-only file system" in bench.error(bench.run())["msg"]
        assert bench.conf.read_text() == '{"cmdAdd":"1*error(x)"}'
    assert bench.ran() == []


def test_replaced_while_it_is_locked(bench: Bench) -> None:
    """Whoever waits for the lock of a file that is replaced meanwhile reads the new one."""
    import fcntl

    bench.conf.write_text('{"cmdAdd":"1*error(old)"}')
    # A file of its own: a lock on the failpoint file itself could be held by anybody who may read that.
    lock = bench.folder / ".failpoints.json.cni-bridge-fp.lock"
    lock.touch(0o600)
    with lock.open() as held, ThreadPoolExecutor() as threads:
        fcntl.flock(held, fcntl.LOCK_EX)
        asked = threads.submit(bench.run)
        wait_until(lambda: _waits_for(bench))
        other = bench.folder / "other"
        other.write_text('{"cmdAdd":"1*error(new)"}')
        other.replace(bench.conf)
        fcntl.flock(held, fcntl.LOCK_UN)
        assert bench.error(asked.result(timeout=30))["msg"] == "new"
    assert not lock.exists()


def _waits_for(bench: Bench) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            open_files = {str(file.readlink()) for file in (process / "fd").iterdir()}
            name = (process / "comm").read_text()
        except OSError:
            continue
        if name == "cni-bridge-fp\n" and str(bench.folder) in open_files:
            return True
    return False
