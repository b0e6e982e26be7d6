"""A volume plugin of Docker in a few lines, for the lab: a volume is a folder of `--data`, bound where it is mounted.

Run as a process of its own on each node. Healthy as it stands; each `--manner` is one way in which real ones are
otherwise. What is mounted it reads from the kernel; for whom, from a file beside its socket.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import select
import signal
import socketserver
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from holdfast import waiting

MANNERS = (
    # healthy ones
    "local", "forks", "daemonises", "another socket", "two sockets", "tells of nothing", "small letters",
    "drops connections", "takes its time", "knows no lists",
    # broken ones
    "trusts its database", "unmounts all", "ids are a set", "forgets counts", "leaves a mount", "outlives kill",
    "prints a lot", "cannot remove", "keeps what it removed", "tidies up when asked", "lists nothing",
    "hangs behind its mounts",
)  # fmt: skip


def mounted(path: Path) -> int:
    """How often something is mounted there."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return sum(line.split(" ")[1] == str(path) for line in lines)


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


class Plugin:
    def __init__(self, folder: Path, data: Path, manner: str) -> None:
        self.mounts, self.data, self.manner = folder / "mounts", data, manner
        if "FOLDERS" in os.environ:  # where each node has its mounts: the same place, by its path
            self.mounts = Path(os.environ["FOLDERS"])
        self.state = folder / "state.json"
        self.held: dict[str, dict[str, int]] = {}
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        # Calls that came once, by method and volume.
        self.met: set[tuple[str, str]] = set()
        if manner != "forgets counts" and self.state.exists():
            self.held = json.loads(self.state.read_text(encoding="utf-8"))

    def is_first(self, method: str, name: str) -> bool:
        """Whether nobody called that for a volume before."""
        first = (method, name) not in self.met
        self.met.add((method, name))
        return first

    def keep(self) -> None:
        self.state.write_text(json.dumps(self.held), encoding="utf-8")

    def volume(self, name: str) -> Path:
        if not name or not (self.data / name).is_dir():
            raise KeyError(f"there is no volume {name!r}")
        return self.data / name

    def answer(self, method: str, asked: dict[str, Any]) -> dict[str, Any]:
        what, name, caller = method.rpartition(".")[2], asked.get("Name", ""), asked.get("ID", "")
        scope = "local" if self.manner == "local" else "global"
        told: dict[str, Any] = {
            "Activate": {"Implements": ["VolumeDriver"]},
            "Capabilities": {"Capabilities": {"Scope": scope}},
            "List": {"Volumes": self.listed()},
            "Path": {"Mountpoint": str(self.mounts / name)},
        }.get(what, {})
        match what:
            case "Create":
                (self.data / name).mkdir(parents=True, exist_ok=True)
            case "Remove" if self.manner == "cannot remove":
                raise RuntimeError("it is in use")
            case "Remove" if self.manner == "keeps what it removed":
                pass
            case "Remove":
                for file in self.volume(name).iterdir():
                    file.unlink()
                self.volume(name).rmdir()
            case "Get" if self.manner == "tells of nothing" and not (self.data / name).is_dir():
                pass  # no volume, and no error either
            case "Get":
                told = {"Volume": {"Name": self.volume(name).name}}
            case "Mount":
                told = {"Mountpoint": str(self.mount(self.volume(name), caller))}
            case "Unmount":
                self.unmount(self.volume(name), caller)
        return {**told, "Err": ""}

    def listed(self) -> list[dict[str, str]]:
        """Each volume, and where it is mounted, as far as is known."""
        if self.manner == "lists nothing":
            return []
        names = [each.name for each in self.data.iterdir() if each.is_dir()]
        known = [name for name in names if (self.mounts / f"{name}.mounted").exists()]
        return [{"Name": name, "Mountpoint": str(self.mounts / name) if name in known else ""} for name in names]

    def mount(self, volume: Path, caller: str) -> Path:
        path, held = self.mounts / volume.name, self.held.setdefault(volume.name, {})
        path.mkdir(parents=True, exist_ok=True)
        there = bool(held) if self.manner == "forgets counts" else bool(mounted(path))
        if self.manner in ("trusts its database", "tidies up when asked"):
            there = (self.mounts / f"{volume.name}.mounted").exists()
        if there and self.manner == "hangs behind its mounts":
            self.servers[volume.name].send_signal(signal.SIGSTOP)
        if not there:
            held.clear()
            if self.manner == "hangs behind its mounts":
                self.serve(volume, path)
            else:
                run("mount", "--bind", str(volume), str(path))
            (self.mounts / f"{volume.name}.mounted").touch()
            if self.manner == "leaves a mount":
                run("mount", "-t", "tmpfs", "tmpfs#left", "/mnt")
        held[caller] = 1 if self.manner == "ids are a set" else held.get(caller, 0) + 1
        self.keep()
        return path

    def serve(self, volume: Path, path: Path) -> None:
        """A file system of a process of its own."""
        words = ("rclone", "mount", "--config", "/dev/null", "--vfs-cache-mode", "full", "--cache-dir")
        self.servers[volume.name] = subprocess.Popen((*words, str(self.state.parent / "cache"), str(volume), str(path)))
        if not waiting.until(lambda: bool(mounted(path)), 20):
            raise RuntimeError(f"{path} is not mounted")

    def unmount(self, volume: Path, caller: str) -> None:
        path, held = self.mounts / volume.name, self.held.setdefault(volume.name, {})
        if self.manner == "unmounts all":
            run("umount", "-l", str(path))
            held.clear()
        elif caller in held:
            held[caller] -= 1
            if not held[caller]:
                del held[caller]
            if not held and (mounted(path) or self.manner == "trusts its database"):
                if volume.name in self.servers:
                    self.servers.pop(volume.name).kill()
                run("umount", *(["--lazy"] if self.manner == "hangs behind its mounts" else []), str(path))
            if not held:
                (self.mounts / f"{volume.name}.mounted").unlink(missing_ok=True)
        self.keep()


def in_small_letters(answer: Any) -> Any:
    """An answer as an engine reads it too, whose JSON asks for no case of a key's letters."""
    if isinstance(answer, list):
        return [in_small_letters(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    return {key.lower(): "GLOBAL" if key == "Scope" else in_small_letters(value) for key, value in answer.items()}


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    plugin: Plugin


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        plugin, method = self.server.plugin, self.path.lstrip("/")
        if plugin.manner == "drops connections" and plugin.is_first(method, asked.get("Name", "")):
            self.close_connection = True  # as a worker that was replaced meanwhile
            return
        if plugin.manner == "knows no lists" and method in ("VolumeDriver.List", "VolumeDriver.Capabilities"):
            self.send_error(404, "page not found")
            return
        if plugin.manner == "takes its time" and method == "VolumeDriver.Mount" and plugin.is_first(method, ""):
            waiting.until(lambda: False, 12)
        try:
            status, answer = 200, plugin.answer(method, asked)
        except (KeyError, OSError, RuntimeError) as error:
            status, answer = 500, {"Err": str(error)}
        body = json.dumps(answer).encode()
        if plugin.manner == "small letters":
            status, body = 200, json.dumps(in_small_letters(answer)).encode() + b"\n{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "the engine"

    def log_message(self, *_: object) -> None:
        pass


def serve(path: Path, plugin: Plugin) -> None:
    path.unlink(missing_ok=True)
    with Server(str(path), Handler) as server:
        server.plugin = plugin
        if plugin.manner == "two sockets":
            path.with_suffix(".other").unlink(missing_ok=True)
            other = Server(str(path.with_suffix(".other")), Handler)
            other.plugin = plugin
            threading.Thread(target=other.serve_forever, daemon=True).start()
        if plugin.manner == "another socket":
            threading.Thread(target=serve_anew, args=(path, server), daemon=True).start()
        server.serve_forever()


def serve_anew(path: Path, before: Server) -> None:
    """The socket's file becomes another again and again; whoever is connected stays so."""
    for number in itertools.count():
        beside = path.with_suffix(f".{number}")
        beside.unlink(missing_ok=True)
        server = Server(str(beside), Handler)
        server.plugin = before.plugin
        threading.Thread(target=server.serve_forever, daemon=True).start()
        beside.rename(path)
        waiting.until(lambda: False, 0.2)


def leave() -> None:
    """As a daemon: an orphan in a session of its own."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)


def outlive(folder: Path) -> None:
    """Another like it, outside of its control group and without its environment, serves as soon as it is dead."""
    again = folder / "again"
    if again.exists():
        return
    again.touch()
    if os.fork():
        return
    for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        if (root / "cgroup.procs").exists():
            (root / "cgroup.procs").write_text("0", encoding="utf-8")
            break
    os.setsid()
    arguments = [sys.executable, *sys.argv, "--after", str(os.getppid())]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    os.execve(sys.executable, arguments, kept)


def wait_for_the_end_of(process: int) -> None:
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(process)], [], [])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--manner", choices=("healthy", *MANNERS), default="healthy")
    parser.add_argument("--after", type=int, help="serve once this process has ended")
    given = parser.parse_args()
    given.data.mkdir(parents=True, exist_ok=True)
    plugin = Plugin(given.folder, given.data, given.manner)
    if given.manner == "daemonises":
        leave()
    if given.manner == "forks":  # a master, and a worker that serves
        worker = os.fork()
        if worker:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            os.waitpid(worker, 0)
            return
    if given.manner == "outlives kill":  # whoever watches over it is no process of its own
        outlive(given.folder)
    if given.after is not None:
        wait_for_the_end_of(given.after)
    if given.manner == "prints a lot":
        for _ in range(64):
            sys.stdout.write("x" * (1 << 20) + "\n")
    serve(given.socket, plugin)


if __name__ == "__main__":
    main()
