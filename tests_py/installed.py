"""Installs holdfast from a folder of wheels as a stranger does, and runs the main job: `nox -s dist_installed`.

python tests_py/installed.py FOLDER                        # for each Python that this machine has
python tests_py/installed.py FOLDER 3.12 testing/arm64     # for one, and in a Debian without Rust and gcc

A Debian (`oldstable`, `stable`, `testing`, …, with `/arm64` for that machine, under qemu-user) is made by debootstrap,
or is there already where its folder is given. It is entered by chroot, as root. pip may reach its index; the tests run
in a network of their own, with nothing in reach: root makes it, or anybody in a user namespace, where the kernel lets
anybody have one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
COMPILERS = ("cargo", "rustc", "gcc", "cc", "clang")
# A Debian's Python, and what pip verifies its index with; no compiler comes with them.
PACKAGES = "python3-venv,ca-certificates"
# Debian's architectures, and their machines as a kernel calls them.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# Enters a network of its own.
OFFLINE = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--net")


@dataclass(frozen=True)
class Place:
    """Where holdfast is installed: commands begin with `enter`, and see the folder `root` as /."""

    name: str
    python: str
    root: Path = Path("/")
    enter: tuple[str, ...] = ()

    def run(self, *command: str, folder: str, offline: bool = False) -> str:
        """Its output; ends with it where it fails."""
        environment = {
            "HOME": folder,
            "LANG": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            **{key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_"))},
        }
        script = 'cd "$0" && exec "$@"'
        line = [*self.enter, "/bin/sh", "-c", script, folder, *command]
        if offline:
            line = [*OFFLINE, "/bin/sh", "-c", 'ip link set lo up && exec "$@"', "sh", *line]
        done = subprocess.run(
            line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{self.name}: {' '.join(command)}: exit code {done.returncode}\n{done.stdout[-8000:]}")
        return done.stdout


def installed(place: Place, wheels: Path) -> str:
    """A row: what was chosen of the folder, and what the main job came to."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-", dir=place.root / "tmp"))
    try:
        shutil.copytree(wheels, folder / "wheels")
        (folder / "empty").mkdir()
        inside = f"/{folder.relative_to(place.root)}"
        place.run(place.python, "-m", "venv", "venv", folder=inside)
        pip = ("venv/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        # Itself from the folder alone: an index may have another project of that name.
        name = next(wheels.glob("*.whl")).name.partition("-")[0]
        own = ("--no-index", "--no-deps", "--only-binary", ":all:", "--find-links", "wheels", name)
        place.run(*pip, *own, folder=inside)
        place.run(*pip, name, folder=inside)  # is there; what it depends on is not
        place.run("venv/bin/python", "-m", "pip", "check", folder=inside)
        about = place.run("venv/bin/python", "-c", ABOUT, name, folder=inside).split()
        began = time.monotonic()
        said = place.run("../venv/bin/pytest", "-k", "cntr3", folder=f"{inside}/empty", offline=True)
        (passed,) = re.findall(r"^=+ (8 passed.*?) in ", said, re.MULTILINE) or [""]
        if not passed:
            raise SystemExit(f"{place.name}: not 8 passed:\n{said[-4000:]}")
        return f"| {place.name} | {' | '.join(about)} | {passed} | {time.monotonic() - began:.0f} s |"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


ABOUT = """
import importlib.metadata, platform, sys
wheel = importlib.metadata.distribution(sys.argv[1]).read_text("WHEEL")
tag = next(line.split()[1] for line in wheel.splitlines() if line.startswith("Tag:"))
print(platform.python_version(), platform.machine(), "-".join(platform.libc_ver()) or "musl", tag)
"""


def interpreters() -> Iterator[tuple[str, Place]]:
    """The Pythons of this machine by version, as PATH and pyenv have them; the first of each."""
    folders = [Path(each) for each in os.environ["PATH"].split(os.pathsep)]
    folders += sorted((Path.home() / ".pyenv" / "versions").glob("*/bin"))
    for version in PYTHONS:
        for folder in folders:
            python = folder / f"python{version}"
            command = [str(python), "-c", "import ensurepip, venv"]
            if python.is_file() and subprocess.run(command, capture_output=True, check=False).returncode == 0:
                yield version, Place(f"this machine, Python {version}", str(python))
                break


@contextmanager
def made(suite: str, architecture: str) -> Iterator[Path]:
    """A minimal Debian with Python, which goes away at the end."""
    root = Path(tempfile.mkdtemp(prefix="holdfast-debian-"))
    is_own = MACHINES.get(architecture) == os.uname().machine
    try:
        # with mounts of its own, so that what it mounts is not there when the folder is removed
        command = ["unshare", "--mount", "debootstrap", f"--arch={architecture}", "--variant=minbase"]
        command += [f"--include={PACKAGES}", *([] if is_own else ["--foreign"]), suite, str(root)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"debootstrap {suite}: exit code {done.returncode}\n{done.stdout[-3000:]}")
        if not is_own:
            unpack(root)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def unpack(root: Path) -> None:
    """Unpack what was downloaded for another machine, and set up nothing: by qemu-user that takes over 15 minutes, and
    Python needs none of it.
    """
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(root)], check=True)
    for file in ("passwd", "group"):
        shutil.copyfile(root / f"usr/share/base-passwd/{file}.master", root / f"etc/{file}")
    shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")


def debian(root: Path) -> Place:
    """The Debian in a folder, ready for pip."""
    for compiler in COMPILERS:
        if shutil.which(compiler, path=os.pathsep.join(str(root / each) for each in ("usr/bin", "usr/local/bin"))):
            raise SystemExit(f"{root} has {compiler}")
    for file in ("/etc/resolv.conf", "/etc/pip.conf", os.environ.get("PIP_CERT", "")):
        if file and Path(file).is_file():
            (root / file[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, root / file[1:])
    # mounts and processes of its own here too
    prepare = f'mount -t proc proc "{root}/proc" && mount --rbind /dev "{root}/dev" && exec chroot "{root}" "$@"'
    enter = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", prepare, "sh")
    release = dict(
        re.findall(r'^(\w+)="?([^"\n]*)', (root / "etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
    )
    name = f"{release['NAME'].removesuffix(' GNU/Linux')} {release.get('VERSION_CODENAME', '')}".strip()
    return Place(name, "/usr/bin/python3", root, enter)


def main() -> int:
    """A row for each place, as it is done."""
    wheels = Path(sys.argv[1]).resolve()
    own = dict(interpreters())
    asked = sys.argv[2:] or list(own)
    print(
        "| where | Python | machine | C library | wheel | main job | time |", "|---|---|---|---|---|---|---|", sep="\n"
    )
    for name in asked:
        if name in PYTHONS:
            if name not in own:
                raise SystemExit(f"this machine has no Python {name}")
            print(installed(own[name], wheels), flush=True)
        elif name.startswith("/"):
            print(installed(debian(Path(name)), wheels), flush=True)
        else:
            suite, _, architecture = name.partition("/")
            with made(suite, architecture or "amd64") as root:
                print(installed(debian(root), wheels), flush=True)
    for missing in [] if sys.argv[2:] else [version for version in PYTHONS if version not in own]:
        print(f"this machine has no Python {missing}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
