"""Network namespaces with a name, made and looked into with iproute2."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from holdfast import waiting
from holdfast.exceptions import HoldfastError

# How the names of namespaces begin that a test makes, and not a container runtime.
OWN = "hf-"
# What a command of iproute2 or iptables may take, in seconds.
PATIENCE = 20


class NetworkNamespace:
    """A network namespace; a context manager that deletes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path("/run/netns") / name

    @classmethod
    def create(cls, name: str) -> NetworkNamespace:
        """Make it, with its loopback up. Raises `HoldfastError`."""
        _run(["ip", "netns", "add", name])
        made = cls(name)
        made.run(["ip", "link", "set", "lo", "up"])
        return made

    def delete(self) -> None:
        """Delete it, if it is there."""
        if self.path.exists():
            _run(["ip", "netns", "delete", self.name])

    def command(self, words: Sequence[str]) -> list[str]:
        """The words that run a command inside, in the same process."""
        return ["nsenter", f"--net={self.path}", *words]

    def run(self, words: Sequence[str]) -> str:
        """Run a command inside; what it prints. Raises `HoldfastError`."""
        return _run(self.command(words))

    def links(self) -> list[Mapping[str, Any]]:
        """The interfaces inside, as `ip -json -details link` tells of them, all at one moment."""
        told = waiting.until(lambda: _whole(self.command(["ip", "-json", "-details", "link"])), PATIENCE)
        if told is None:
            raise HoldfastError(f"{self!r}: its interfaces change too fast to be listed")
        found: list[Mapping[str, Any]] = json.loads(told)
        return found

    def addresses(self, interface: str) -> list[str]:
        """The global addresses of an interface inside, with their prefix lengths."""
        links = json.loads(self.run(["ip", "-json", "address", "show", "dev", interface]) or "[]")
        return [
            f"{held['local']}/{held['prefixlen']}"
            for link in links
            for held in link.get("addr_info", ())
            if held.get("scope") == "global"
        ]

    def __enter__(self) -> NetworkNamespace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()

    def __repr__(self) -> str:
        return f"<NetworkNamespace {self.name}>"


def _run(words: Sequence[str]) -> str:
    return _done(words).stdout


def _whole(words: Sequence[str]) -> str | None:
    """What a command of iproute2 prints; None where the kernel's list changed while it was read: some may lack."""
    done = _done(words)
    return None if "Dump was interrupted" in done.stderr else done.stdout or "[]"


def _done(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HoldfastError(f"{' '.join(words)}: {error}", hint="install iproute2, util-linux and iptables") from None
    if done.returncode != 0:
        raise HoldfastError(
            f"{' '.join(words)}: {done.stderr.strip()}", hint="this needs root" if os.geteuid() != 0 else None
        )
    return done
