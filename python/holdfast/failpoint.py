"""The fault language, and the failpoints of an emulated device.

`1*error(message)->2*delay(100)` is containerd's language; ours adds probabilities (`5%`), terms without a count,
several actions one after the other (`delay(1s)+error[UNAVAILABLE](busy)`), and more actions: `error[CODE](…)`,
`delay(1s..2s)`, `pause`, `drop`, `hang`, `crash`, `exit(N)`, `corrupt(…)`, `return{…}`, `print(…)`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from holdfast._core import FailpointTerms, parse_terms
from holdfast.exceptions import ExpectationFailed, InvalidArgumentError, Timeout, Unreachable

__all__ = [
    "ArmedFailpoint",
    "Failpoint",
    "FailpointTerms",
    "Failpoints",
    "control",
    "parse",
    "read_environment",
    "read_file",
]

SOCKET = "control.sock"
# What the far end of a control socket may take beyond the wait that it was asked for, in seconds.
ANSWER_TIME = 10.0


def parse(text: str, strict: bool = False, *, seed: int = 0, name: str = "") -> FailpointTerms:
    """Read terms: an object with `str()` and `fire()`, which evaluates one hit and moves the counts on.

    With `strict`, what containerd's own language does not know is refused. `seed` and `name` decide the draws of terms
    with a probability. Raises `ValueError`, worded as containerd words it.

    >>> terms = parse("2*off->1*error(full)")
    >>> [str(terms.fire()) for _ in range(3)]
    ['off', 'off', 'error(full)']
    >>> str(terms)
    '0*off->0*error(full)'
    """
    return parse_terms(text, strict=strict, seed=seed, name=name)


def read_environment(text: str) -> list[tuple[str, str]]:
    """Read `HOLDFAST_FAILPOINTS`: one `name=terms` a line."""
    pairs = []
    for line in text.splitlines():
        if line.strip():
            name, equals, terms = line.strip().partition("=")
            if not equals:
                raise InvalidArgumentError(f"failpoint {line.strip()!r}: no terms", hint="write NAME=TERMS")
            pairs.append((name, terms))
    return pairs


def read_file(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Read a JSON file: one object, `{"name": "terms"}`. Raises `InvalidArgumentError`."""
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"{os.fspath(path)}: {error.strerror}", hint="name a file that is there") from None
    except ValueError as error:
        raise InvalidArgumentError(f"{os.fspath(path)}: {error}", hint='write {"NAME": "TERMS"}') from None
    if not isinstance(held, dict) or not all(isinstance(terms, str) for terms in held.values()):
        raise InvalidArgumentError(f"{os.fspath(path)}: no object of names and terms", hint='write {"NAME": "TERMS"}')
    return list(held.items())


class ArmedFailpoint:
    """An armed failpoint as it stands: its `name`, what is left of its `terms`, its `hits`."""

    def __init__(self, name: str, terms: str, hits: int) -> None:
        self.name = name
        self.terms = terms
        self.hits = hits

    def __repr__(self) -> str:
        return f"<failpoint {self.name}={self.terms}, {self.hits} hits>"


class _Registry(Protocol):
    """Where failpoints are armed: a chassis of this process, or another's control socket."""

    def arm(self, name: str, terms: str) -> None: ...
    def disarm(self, name: str) -> int: ...
    def hits(self, name: str) -> int: ...
    def release(self, name: str) -> None: ...
    def reached(self, name: str, times: int, timeout: float) -> None: ...
    def armed(self) -> list[tuple[str, str, int]]: ...


class Failpoint:
    """A failpoint that was armed for a while."""

    def __init__(self, registry: _Registry, name: str) -> None:
        self._registry = registry
        self._disarmed_hits: int | None = None
        self.name = name

    @property
    def hits(self) -> int:
        """How often a term of it fired since it was armed."""
        return self._registry.hits(self.name) if self._disarmed_hits is None else self._disarmed_hits

    def wait_reached(self, timeout: float = 10, *, times: int = 1) -> None:
        """Wait until it was hit `times` times, `timeout` seconds at most. Raises `Timeout`."""
        self._registry.reached(self.name, times, timeout)

    def release(self) -> None:
        """Let the calls that wait at a `pause` go on."""
        self._registry.release(self.name)

    def _disarm(self) -> None:
        self._disarmed_hits = self._registry.disarm(self.name)

    def __repr__(self) -> str:
        return f"<Failpoint {self.name}>"


class Failpoints:
    """Arms and disarms the failpoints of an emulated device."""

    def __init__(self, registry: _Registry) -> None:
        self._registry = registry

    def arm(self, name: str, terms: str) -> None:
        """Arm a failpoint until `disarm`. Raises `InvalidArgumentError`, which names the nearest name."""
        self._registry.arm(name, terms)

    def arm_file(self, path: str | os.PathLike[str]) -> None:
        """Arm all failpoints of a JSON file: `{"name": "terms"}`."""
        for name, terms in read_file(path):
            self.arm(name, terms)

    def disarm(self, name: str) -> int:
        """Disarm a failpoint and release who waits there; how often it was hit."""
        return self._registry.disarm(name)

    def hits(self, name: str) -> int:
        """How often a term of a failpoint fired since it was armed."""
        return self._registry.hits(name)

    def release(self, name: str) -> None:
        """Let the calls that wait at a `pause` go on."""
        self._registry.release(name)

    def wait_reached(self, name: str, timeout: float = 10, *, times: int = 1) -> None:
        """Wait until a failpoint was hit `times` times, `timeout` seconds at most. Raises `Timeout`."""
        self._registry.reached(name, times, timeout)

    def armed(self) -> tuple[ArmedFailpoint, ...]:
        """All failpoints that are armed."""
        return tuple(ArmedFailpoint(*row) for row in self._registry.armed())

    @contextmanager
    def failpoint(self, name: str, terms: str, *, may_stay_unhit: bool = False) -> Iterator[Failpoint]:
        """Arm a failpoint for a while. One that was never hit fails, since it proved nothing.

        >>> with chassis.failpoint("containerz.CreateVolume", "1*error[ABORTED](busy)") as armed:
        ...     try:
        ...         dut.containerz.create_volume("data")
        ...     except holdfast.exceptions.Aborted:
        ...         armed.hits
        1
        """
        self._registry.arm(name, terms)
        armed = Failpoint(self._registry, name)
        try:
            yield armed
        finally:
            armed._disarm()
        if armed.hits == 0 and not may_stay_unhit:
            raise ExpectationFailed(f"failpoint {name} was armed and never hit", hint="or say may_stay_unhit=True")


def control(where: str | os.PathLike[str]) -> Failpoints:
    """The failpoints of an emulated device in another process.

    `where` is its state folder (`holdfast emulate --state DIR`), or the control socket that it printed. Raises
    `Unreachable`.
    """
    return Failpoints(_Remote(Path(where)))


class _Remote:
    """A control socket: a line of JSON asks, a line of JSON answers."""

    def __init__(self, where: Path) -> None:
        self._path = where / SOCKET if where.is_dir() else where
        self._ask("armed")

    def arm(self, name: str, terms: str) -> None:
        self._ask("arm", name=name, terms=terms)

    def disarm(self, name: str) -> int:
        return int(self._ask("disarm", name=name))

    def hits(self, name: str) -> int:
        return int(self._ask("hits", name=name))

    def release(self, name: str) -> None:
        self._ask("release", name=name)

    def reached(self, name: str, times: int, timeout: float) -> None:
        self._ask("reached", timeout, name=name, times=times, seconds=timeout)

    def armed(self) -> list[tuple[str, str, int]]:
        return [(name, terms, hits) for name, terms, hits in self._ask("armed")]

    def _ask(self, what: str, patience: float = 0, **arguments: Any) -> Any:
        request = json.dumps({"do": what, **arguments}).encode() + b"\n"
        try:
            with _connected(self._path, patience + ANSWER_TIME) as stream:
                stream.sendall(request)
                with stream.makefile("rb") as answers:
                    line = answers.readline()
            answer = json.loads(line)
        except (OSError, ValueError) as error:
            hint = "is that emulated device running? `holdfast emulate` prints its control socket"
            raise Unreachable(f"{self._path}: {error}", hint=hint) from None
        if "error" in answer:
            kind = Timeout if answer["error"]["timeout"] else InvalidArgumentError
            raise kind(answer["error"]["message"], hint=answer["error"]["hint"])
        return answer["ok"]


@contextmanager
def _connected(path: Path, timeout: float) -> Iterator[socket.socket]:
    """Connect by way of the open folder: a socket's own path may have no more than 107 bytes."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(socket.socket(socket.AF_UNIX))
        stream.settimeout(timeout)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, folder)
        short = Path(f"/proc/self/fd/{folder}")
        stream.connect(str(short / path.name if short.exists() else path))
        yield stream
