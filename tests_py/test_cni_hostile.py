"""`cni-bridge-fp` runs as root: what a user cannot get from it who may write the folder of its failpoint file.

Source: what an unprivileged user of a node has in his hands there: links, fifos, locks, leases, and time.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_cni_plugin import CONF_PATH, Bench

from holdfast.cni import FailpointFile

from conftest import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is about what root does for another user")

USER = 65534
OTHER = 65533
SECRET = "correct-horse-battery-staple"


class Node:
    """A folder of root's with something secret in it, and one of a user's, where a pod's failpoint file lies."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.roots = self.folder("roots", 0, folder)
        self.theirs = self.folder("theirs", USER, folder)
        self.bench = Bench(self.folder("bench", 0, folder))
        self.conf = self.bench.conf = self.theirs / "failpoints.json"
        # The kind of file that the plugin would take for its own, and rewrite, if it ever got there.
        self.canary = self.roots / "failpoints.json"
        self.canary.write_text(json.dumps({"cmdAdd": f"100000*error({SECRET})", "mine": SECRET}))
        self.canary.chmod(0o600)
        self._before = self._canary()

    @staticmethod
    def folder(name: str, owner: int, where: Path, mode: int = 0o755) -> Path:
        folder = where / name
        folder.mkdir()
        folder.chmod(mode)
        os.chown(folder, owner, owner)
        return folder

    @staticmethod
    def file(path: Path, text: str | None = None, owner: int = USER, mode: int = 0o644) -> Path:
        path.write_text('{"cmdAdd":"100000*error(theirs)"}' if text is None else text)
        os.chown(path, owner, owner)
        path.chmod(mode)
        return path

    @staticmethod
    def link(path: Path, target: Path | str, owner: int = USER) -> Path:
        path.symlink_to(target)
        os.chown(path, owner, owner, follow_symlinks=False)
        return path

    def _canary(self) -> tuple[str, int, int, int, int]:
        found = self.canary.stat()
        return self.canary.read_text(), found.st_ino, found.st_mode, found.st_uid, found.st_mtime_ns

    def add(
        self,
        conf: Path | str | None = None,
        *,
        config: dict[str, Any] | None = None,
        at: int = 0,
        does: Callable[[], None] | None = None,
        **environment: str,
    ) -> str:
        """The message of the error that ADD ends with, or nothing. Nothing of the canary is in what it prints.

        At its `at`th system call it stands still, and `does` is done; `ended` says whether it has fewer.
        """
        held = self.bench.config(**(config or {}))
        held["runtimeConfig"]["io.kubernetes.cri.pod-annotations"][CONF_PATH] = str(conf or self.conf)
        stdin = json.dumps(held).encode()
        if does is None:
            done = self.bench.run(stdin=stdin, **environment)
        else:
            with self.bench.stepped(stdin=stdin, **environment) as process:
                self.ended = not process.step(at)
                does()
                done = process.end()
        assert SECRET.encode() not in done.stdout + done.stderr
        assert done.returncode in (0, 1), done
        self.said = done.stderr.decode()
        answer = json.loads(done.stdout)
        self.code = answer.get("code", 0)
        return str(answer.get("msg", ""))

    def check(self) -> None:
        assert self._canary() == self._before
        assert [path.name for path in self.roots.iterdir()] == [self.canary.name]


@pytest.fixture
def node() -> Iterator[Node]:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-cni-", dir="/tmp"))
    try:
        node = Node(folder)
        yield node
        node.check()
    finally:
        shutil.rmtree(folder)


@contextmanager
def as_user(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Python that runs as a user without rights. It prints a line when it is ready, and is killed in the end."""
    # Imported before, because a user may have no access to root's Python.
    lose_rights = (
        f"import fcntl, os, random, signal, sys, time; os.setgroups([]); os.setgid({USER}); os.setuid({USER})\n"
    )
    command = [sys.executable, "-c", lose_rights + program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


# Turns `where` from what is his into a link to what is root's and back, whenever it is told to.
SWAPPING = """
where, target, folder = sys.argv[1], sys.argv[2], sys.argv[3] == "folder"
draft, kept = where + ".draft", where + ".kept"
text = '{"cmdAdd":"100000*error(theirs)"}'
def put():
    if folder:
        os.rename(kept, where)
    else:
        with open(draft, "w") as file:
            file.write(text)
        os.replace(draft, where)
def take():
    if folder:
        os.rename(where, kept)
    os.symlink(target, draft)
    os.replace(draft, where)
print("ready", flush=True)
for line in sys.stdin:
    if line == "take\\n":
        take()
    else:
        if folder:
            os.unlink(where)
        put()
    print("done", flush=True)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_path_that_is_swapped_for_a_link_at_any_system_call(node: Node, kind: str) -> None:
    """For a link, or back again for what is his."""
    if kind == "file":
        swapped, target = node.file(node.conf), node.canary
    else:
        swapped, target = node.folder("folder", USER, node.theirs), node.roots
        node.conf = node.file(swapped / "failpoints.json")
    with as_user(SWAPPING, swapped, target, kind) as process:

        def swap(word: str) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        answers, moment = set(), 0
        while moment is not None:
            answers.add(node.add(at=moment, does=lambda: swap("take")))
            answers.add(node.add(at=moment, does=lambda: swap("put")))
            moment = None if node.ended else moment + 1
    assert "theirs" in answers
    assert any(f"of user {USER} is not followed" in answer for answer in answers)
    for path in node.theirs.rglob("*"):
        assert path.is_symlink() or path.lstat().st_uid == USER, path


@pytest.mark.parametrize("there", [True, False])
def test_a_link_of_a_users_does_not_tell_what_is_there(node: Node, there: bool) -> None:
    node.link(node.theirs / "link", node.roots)
    node.link(node.conf, node.canary if there else node.roots / "nothing")
    for path in (node.conf, node.theirs / "link" / node.canary.name, node.theirs / "link" / "no" / "thing"):
        why = "is not followed: it does not lead to a file of that user's"
        assert node.add(path).endswith(why)


def test_a_users_own_link_to_his_own_file_is_followed(node: Node) -> None:
    real = node.file(node.folder("real", USER, node.theirs) / "real.json")
    node.link(node.theirs / "folder", "real")
    node.link(node.conf, "folder/real.json")
    assert node.add() == "theirs"
    assert node.conf.is_symlink()
    assert json.loads(real.read_text()) == {"cmdAdd": "99999*error(theirs)"}
    assert real.stat().st_uid == USER


def test_a_link_of_roots_in_a_users_folder_is_not_followed(node: Node) -> None:
    """Where hard links are not protected, a user can bring one there."""
    node.link(node.conf, node.canary, owner=0)
    assert "is not followed" in node.add()


def test_a_link_in_a_folder_that_others_may_write_is_not_followed(node: Node) -> None:
    folder = node.folder("everybodys", 0, node.theirs, mode=0o777)
    node.link(folder / "link", node.canary, owner=0)
    assert "not only its owner may write its folder" in node.add(folder / "link")
    folder.chmod(0o1777)
    mine = node.file(node.theirs / "mine.json")
    (folder / "link").unlink()
    node.link(folder / "link", mine)
    assert node.add(folder / "link") == "theirs"


def test_a_hard_link_to_a_file_of_roots(node: Node) -> None:
    """What was root's stays root's to read, and the file itself stays as it is."""
    other = node.roots.parent / "other.json"
    node.file(other, '{"cmdAdd":"5*error(x)"}', owner=0, mode=0o600)
    node.conf.hardlink_to(other)
    assert node.add() == "x"
    assert json.loads(other.read_text()) == {"cmdAdd": "5*error(x)"}
    found = node.conf.stat()
    assert (found.st_uid, found.st_mode & 0o7777) == (0, 0o600)


def test_a_users_words_do_not_become_a_file_of_roots(node: Node) -> None:
    node.file(node.conf, owner=0, mode=0o666)
    assert "it is root's but others may write it" in node.add()
    assert node.conf.read_text() == '{"cmdAdd":"100000*error(theirs)"}'
    assert [path.name for path in node.theirs.iterdir()] == [node.conf.name]
    node.conf.chmod(0o644)
    assert node.add() == "theirs"
    assert node.conf.stat().st_uid == 0


def test_no_right_of_the_owner_comes_with_the_new_file(node: Node) -> None:
    for owner in (0, USER):
        node.file(node.conf, owner=owner, mode=0o6755)
        assert node.add() == "theirs"
        found = node.conf.stat()
        assert (found.st_uid, found.st_mode & 0o7777) == (owner, 0o755)


def test_an_access_control_list_is_kept(node: Node) -> None:
    """Without it the group would have what the list gives to one user."""
    entries = ((1, 6, -1), (2, 6, OTHER), (4, 0, -1), (16, 6, -1), (32, 0, -1))  # tag, rights, whose
    held = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + rights.to_bytes(2, "little") + (whose & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, rights, whose in entries
    )
    node.file(node.conf)
    try:
        os.setxattr(node.conf, "system.posix_acl_access", held)
    except OSError as error:
        pytest.skip(f"no access control lists in {node.theirs}: {error}")
    before = node.conf.stat().st_mode
    assert node.add() == "theirs"
    assert os.getxattr(node.conf, "system.posix_acl_access") == held
    assert node.conf.stat().st_mode == before


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder"])
def test_what_is_no_regular_file(node: Node, kind: str) -> None:
    """At the path, and at the names of what the plugin makes beside it, which it does not stumble over."""

    def make(path: Path) -> None:
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
        elif kind == "folder":
            path.mkdir()
        else:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(path))

    make(node.conf)
    assert node.add().endswith("is a directory" if kind == "folder" else "is not a regular file")
    node.conf.rmdir() if kind == "folder" else node.conf.unlink()
    node.file(node.conf)
    for name in ("failpoints.json.lock", ".failpoints.json.lock", ".failpoints.json.cni-bridge-fp"):
        make(node.theirs / name)
    assert node.add() == "theirs"
    make(node.theirs / ".failpoints.json.cni-bridge-fp.lock")
    if kind == "folder":
        assert "failpoints.json.cni-bridge-fp.lock is in the way" in node.add()
    else:
        assert node.add() == "theirs"


def test_what_is_put_in_the_place_of_the_lock(node: Node) -> None:
    lock = node.theirs / ".failpoints.json.cni-bridge-fp.lock"
    roots = node.roots.parent / "roots-lock"
    node.file(roots, "held", owner=0, mode=0o600)
    for put in (
        lambda: node.link(lock, node.canary),
        lambda: lock.hardlink_to(node.canary),
        lambda: lock.hardlink_to(roots),
        lambda: node.file(lock, owner=OTHER, mode=0o600),
        lambda: node.file(lock, owner=0, mode=0o644),
    ):
        node.file(node.conf)
        put()
        assert node.add() == "theirs"
        assert not os.path.lexists(lock)
    assert roots.read_text() == "held"


READING = """
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX) if sys.argv[2] == "flock" else fcntl.lockf(file, fcntl.LOCK_SH)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("kind", ["flock", "fcntl"])
def test_a_lock_of_a_reader_keeps_nobody_waiting(node: Node, kind: str) -> None:
    """Of a file in a folder of root's, which anybody may read."""
    folder = node.folder("public", 0, node.theirs)
    conf = node.file(folder / "failpoints.json", owner=0)
    with as_user(READING, conf, kind):
        assert node.add(conf) == "theirs"


def test_a_lock_that_is_never_let_go(node: Node) -> None:
    """Who may write the folder can hold it; the plugin gives up in the end, says why, and has used no count."""
    node.file(node.conf)
    lock = node.file(node.theirs / ".failpoints.json.cni-bridge-fp.lock", "", mode=0o600)
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert f"is locked by {lock.name}: another process holds it" in node.add()
        assert node.code == 11
        assert node.conf.read_text() == '{"cmdAdd":"100000*error(theirs)"}'
    assert node.add() == "theirs"
    assert not lock.exists()


def test_a_lease_that_is_never_let_go(node: Node) -> None:
    node.file(node.conf)
    leasing = """
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], "r+")
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
signal.pause()
"""
    with as_user(leasing, node.conf):
        assert "has a lease on it" in node.add()
        assert node.code == 11
    assert node.add() == "theirs"


def test_other_invocations_are_waited_for_longer_than_a_user(node: Node) -> None:
    node.file(node.conf)
    lock = node.file(node.theirs / ".failpoints.json.cni-bridge-fp.lock", "", owner=0, mode=0o600)
    with lock.open("r+") as held, ThreadPoolExecutor() as threads:
        fcntl.flock(held, fcntl.LOCK_EX)
        asked = threads.submit(node.add)
        with pytest.raises(StillRunning):
            asked.result(timeout=3)
        fcntl.flock(held, fcntl.LOCK_UN)
        assert asked.result(timeout=30) == "theirs"


def test_a_file_that_has_no_end(node: Node) -> None:
    node.file(node.conf)
    os.truncate(node.conf, 1 << 40)
    assert "has more than the 16777216 bytes that are read" in node.add()
    # What the kernel makes up while it is read has no size.
    assert "failed to unmarshal failpoint conf" in node.add("/proc/kallsyms")
    assert "failed to" in node.add("/proc/kmsg")


@pytest.mark.parametrize(
    "text",
    [
        f"root:{SECRET}:19000:0:99999:7:::\n",
        f'"{SECRET}"',
        f'["{SECRET}"]',
        f'{{"cmdAdd": "1*off"}} {SECRET}',
        f'{{"cmdAdd": {{"password": "{SECRET}"}}}}',
        f'{{"{SECRET}"}}',
        "31337",
    ],
)
def test_nothing_of_a_file_that_is_no_failpoint_file_is_told(node: Node, text: str) -> None:
    node.file(node.conf, text, owner=0, mode=0o600)
    message = node.add()
    assert message.startswith(f"failed to unmarshal failpoint conf {node.conf}: ")
    assert "31337" not in message


def test_terms_are_told_in_part_and_harmlessly(node: Node) -> None:
    node.file(node.conf, json.dumps({"cmdAdd": "1*\x1b[2J" + "x" * 100_000}))
    message = node.add()
    assert message.startswith(r"failed to parse failpoint 1*\u{1b}[2J")
    assert len(message) < 2_000


@pytest.mark.parametrize("by", ["environment", "configuration", "both"])
def test_only_under_the_folder_that_the_administrator_allows(node: Node, by: str) -> None:
    inside, outside = node.theirs / "allowed", node.theirs / "allowed-not"
    for folder in (inside, outside):
        node.file(node.folder(folder.name, USER, node.theirs) / "failpoints.json")
    node.link(inside / "out", outside)
    root = str(inside)
    config = {"confRoot": root} if by != "environment" else {}
    environment = {"HOLDFAST_CNI_CONF_ROOT": root} if by == "environment" else {}
    if by == "both":
        environment = {"HOLDFAST_CNI_CONF_ROOT": str(node.theirs)}

    def add(path: Path | str) -> str:
        return node.add(path, config=config, **environment)

    assert add(inside / "failpoints.json") == "theirs"
    assert add(inside / "none").endswith("no such file or directory")
    told = set()
    for path in ("/etc/shadow", "/etc/none", outside / "failpoints.json", f"{inside}/../allowed-not/failpoints.json"):
        told.add(add(path).rpartition(f"{path}: ")[2])
    assert all(words.startswith(f"is not under {node.theirs}") for words in told)
    assert len(told) == (2 if by == "both" else 1)
    assert f"is not under {root}, which " in add(inside / "out" / "failpoints.json")
    assert "is not followed" in node.add(inside / "out" / "none")


def test_an_allowed_folder_that_cannot_be_had_allows_nothing(node: Node) -> None:
    node.file(node.conf)
    for root, why in (("relative", "required to be absolute"), (f"{node.theirs}/none", "no such file or directory")):
        assert why in node.add(HOLDFAST_CNI_CONF_ROOT=root)
        assert node.code == 7
        assert why in node.add(config={"confRoot": root})
    assert node.conf.read_text() == '{"cmdAdd":"100000*error(theirs)"}'
    assert node.add(HOLDFAST_CNI_CONF_ROOT="") == "theirs"


def test_a_pause_is_announced_by_a_file_of_its_own(node: Node) -> None:
    node.file(node.conf, '{"cmdAdd":"pause(20ms)->error(x)"}')
    plugin = node.bench.executable
    for target in (node.canary, node.theirs / "made"):
        script = f'ln -s "{target}" "{node.conf}.cmdAdd.$$.reached" && exec "{plugin}"'
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            input=json.dumps(node.bench.config()).encode(),
            env=node.bench.environment("ADD"),
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done
    assert [path.name for path in node.theirs.iterdir()] == [node.conf.name]


def test_the_hit_log_is_not_led_astray(node: Node) -> None:
    node.file(node.conf, '{"cmdAdd":"error(x)"}')
    log = node.theirs / "hits.jsonl"
    other = node.file(node.roots.parent / "other", "root's", owner=0, mode=0o600)

    def add() -> str:
        assert node.add(config={"hitLog": str(log)}) == "x"
        return node.said

    for put, why in (
        (lambda: node.link(log, node.canary), "is not followed"),
        (lambda: node.link(log, node.roots / "made"), "is not followed"),
        (lambda: node.link(log, node.canary, owner=0), "is not followed"),
        (lambda: log.hardlink_to(other), "it is a hard link"),
        (lambda: node.file(log, owner=OTHER), "nor the folder's owner"),
        (lambda: os.mkfifo(log), "is not a regular file"),
    ):
        put()
        assert why in add()
        log.unlink()
    assert other.read_text() == "root's"
    assert add() == ""
    assert add() == ""
    assert len(log.read_text().splitlines()) == 2
    log.unlink()
    node.file(log, "")
    assert add() == ""
    assert log.stat().st_uid == USER
    assert len(log.read_text().splitlines()) == 1


def test_counts_are_exact_in_a_users_folder_too(node: Node) -> None:
    node.file(node.conf, '{"cmdAdd":"20*error(x)"}')
    node.bench.bridge("#!/bin/sh\nprintf '{}'")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: node.add(), range(40)))
    assert sorted(answers) == [""] * 20 + ["x"] * 20
    assert [path.name for path in node.theirs.iterdir()] == [node.conf.name]
    assert node.conf.stat().st_uid == USER


def test_a_failpoint_file_that_python_writes_follows_no_link(node: Node) -> None:
    file = FailpointFile(node.conf)
    for name in (".failpoints.json.draft", ".failpoints.json.cni-bridge-fp", "failpoints.json"):
        node.link(node.theirs / name, node.canary)
    file.write(cmdAdd="1*error(new)")
    assert not node.conf.is_symlink()
    assert file.left("cmdAdd") == "1*error(new)"
    node.link(node.theirs / ".failpoints.json.cni-bridge-fp.lock", node.canary)
    with pytest.raises(OSError, match="symbolic link"):
        file.write(cmdAdd="1*error(newer)")


def test_what_python_writes_is_not_lost_to_a_plugin_that_counts(tmp_path: Path) -> None:
    """The plugin stores what is left of what it read, and not over what was written meanwhile."""
    bench = Bench(tmp_path)
    file = FailpointFile(bench.conf)
    file.write(cmdAdd="100000*error(old)")
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(bench.run) for _ in range(60)]
        for number in range(60):
            words = f"{number}-{secrets.token_hex(4)}"
            file.write(cmdAdd=f"100000*error({words})")
            assert words in file.left("cmdAdd")
        for run in running:
            run.result()
    assert words in file.left("cmdAdd")
    assert [path.name for path in tmp_path.glob("*failpoints*")] == ["failpoints.json"]


def test_python_waits_for_the_lock(tmp_path: Path) -> None:
    file = FailpointFile(tmp_path / "failpoints.json")
    lock = tmp_path / ".failpoints.json.cni-bridge-fp.lock"
    with lock.open("w") as held, ThreadPoolExecutor() as threads:
        fcntl.flock(held, fcntl.LOCK_EX)
        written = threads.submit(file.write, cmdAdd="1*off")
        wait_until(lambda: len([fd for fd in Path("/proc/self/fd").iterdir() if _leads_to(fd, tmp_path)]) > 0)
        assert not file.path.exists()
        lock.unlink()
        written.result(timeout=30)
    assert file.left("cmdAdd") == "1*off"
    assert [path.name for path in tmp_path.iterdir()] == ["failpoints.json"]


def _leads_to(descriptor: Path, folder: Path) -> bool:
    try:
        return descriptor.readlink() == folder
    except OSError:
        return False
