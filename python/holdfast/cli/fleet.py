"""Many emulated devices of one process: where each listens, whether it may open so many files, and their testbed."""

from __future__ import annotations

import itertools
import json
import re
import resource
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.exceptions import InvalidArgumentError
from holdfast.verdicts.store import write_whole

if TYPE_CHECKING:
    from holdfast import Emulator

# Where they listen unless it is said: each has an address of its own there, for its containers' ports are on it.
NETWORK = "127.1.0.0/16:9339"
# By its first line a testbed of ours is known, which may be written over.
MARK = "# Written by `holdfast emulate`: devices that are there for as long as it runs."
# Open files: of the process itself with a client or two, and of a device while it is tested. Measured.
_OWN, _TESTED = 64, 24
_PORT = 65535


@dataclass(frozen=True)
class _Place:
    """A part of `--listen`: networks have as many addresses as devices may be."""

    said: str
    network: IPv4Network | IPv6Network
    port: int
    is_network: bool

    def addresses(self) -> Iterable[str]:
        """`IP:PORT` of one device after another."""
        hosts = self.network.hosts()
        return (f"[{host}]:{self.port}" if host.version == 6 else f"{host}:{self.port}" for host in hosts)

    def room(self) -> int:
        """How many devices it has addresses for."""
        bits = self.network.max_prefixlen - self.network.prefixlen
        if bits < 2:
            return int(self.network.num_addresses)
        # that of the network itself, and in IPv4 that of all of it
        return int(self.network.num_addresses) - (2 if self.network.version == 4 else 1)


def is_network(listen: str) -> bool:
    """Whether `--listen` has room for more than one device."""
    return "/" in listen


def addresses(listen: str, count: int) -> list[str]:
    """What each device listens on, as `holdfast.emulator` takes it. Raises `InvalidArgumentError`."""
    parts = [part.strip() for part in listen.split(",")]
    if len(parts) > 2:
        raise InvalidArgumentError(f"--listen {listen}: a device has one address or two", hint="IP/PREFIX:PORT")
    if not is_network(listen):
        if count == 1:
            return [listen]
        raise InvalidArgumentError(
            f"--listen {listen}: that is one device, and --count {count}",
            hint=f"each has an address of its own: give a network, such as --listen {NETWORK}",
        )
    places = [_place(part) for part in parts]
    for place in places:
        if place.room() < count:
            raise InvalidArgumentError(
                f"--listen {place.said}: a network of {place.room()} addresses for devices, and --count {count}",
                hint="give a larger one, such as 127.1.0.0/16, or a smaller count",
            )
    if len(places) == 2 and places[0].port == places[1].port != 0 and _overlap(places[0], places[1]):
        raise InvalidArgumentError(
            f"--listen {listen}: these are the same addresses",
            hint="the two addresses of a device differ: give two networks, or two ports",
        )
    each = (itertools.islice(place.addresses(), count) for place in places)
    return [",".join(of_one) for of_one in zip(*each, strict=True)]


def _overlap(one: _Place, other: _Place) -> bool:
    if isinstance(one.network, IPv4Network):
        return isinstance(other.network, IPv4Network) and one.network.overlaps(other.network)
    return isinstance(other.network, IPv6Network) and one.network.overlaps(other.network)


def _place(said: str) -> _Place:
    """A network and a port. Raises `InvalidArgumentError`."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F.:]+/\d+)\]|([\d.]+/\d+)):(\d{1,5})", said)
    if found is None or int(found[3]) > _PORT:
        hint = f"IP/PREFIX:PORT, such as {NETWORK}; of IPv6 [IP/PREFIX]:PORT"
        raise InvalidArgumentError(f"--listen {said}: that is no network with a port", hint=hint)
    text = found[1] or found[2]
    try:
        return _Place(said, ip_network(text), int(found[3]), is_network=True)
    except ValueError as error:
        raise InvalidArgumentError(f"--listen {said}: {error}", hint=_without_host_bits(text)) from None


def _without_host_bits(text: str) -> str:
    try:
        return f"the network is {ip_network(text, strict=False)}"
    except ValueError:
        return f"such as {NETWORK}"


def names(count: int) -> list[str]:
    """What they are called in the testbed; the order of the names is theirs."""
    return [f"dut{number:0{len(str(count))}d}" for number in range(1, count + 1)]


def make_room(count: int, settings: dict[str, Any], listen: str) -> None:
    """See to it that the process may open the files of so many devices. Raises `InvalidArgumentError` where it may not.

    The limit that is set is the soft one, as far as the hard one allows: who may raise that is not the process itself.
    """
    parts = len(listen.split(","))
    # a listener of each port and what keeps the port, the socket of its failpoints, and the lock of a state folder
    of_one = 2 * parts * (3 + ("gnoi_port" in settings)) + 1 + ("state" in settings)
    needed, wanted = _OWN + count * of_one, _OWN + count * (of_one + _TESTED)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _allows(soft, wanted):
        return
    # a system may refuse what its own hard limit seems to allow, as macOS does
    for asked in (wanted if _allows(hard, wanted) else hard, needed):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (asked, hard))
        except (ValueError, OSError):
            continue
        soft = asked
        break
    if not _allows(soft, needed):
        fits = max((soft - _OWN) // of_one, 0)
        raise InvalidArgumentError(
            f"{count} emulated devices open {needed} files, and this process may open no more than {soft}",
            hint=f"raise the hard limit (ulimit -n {wanted} as root, LimitNOFILE={wanted} of a systemd unit, "
            f"docker run --ulimit nofile={wanted}), or run {fits} at most",
        )


def _allows(limit: int, files: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= files


def claim(file: Path) -> None:
    """Make sure that a testbed can be written there, and that none from before stands there while devices start.

    Raises `InvalidArgumentError`; what this command did not write stays.
    """
    if file.is_symlink() or (file.exists() and not (file.is_file() and _is_ours(file))):
        raise InvalidArgumentError(
            f"--testbed-out {file}: there is something that this command did not write",
            hint="give another name, or remove it",
        )
    try:
        file.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}-"):
            pass
    except OSError as error:
        raise _unwritable(file, error) from None


def _is_ours(file: Path) -> bool:
    """Whether it is a testbed from before, or empty."""
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return opened.readline() in ("", f"{MARK}\n")
    except OSError as error:
        raise _unwritable(file, error) from None


def _unwritable(file: Path, error: OSError) -> InvalidArgumentError:
    return InvalidArgumentError(f"--testbed-out {file}: {error.strerror}", hint="give a file that can be written")


def write_testbed(file: Path, devices: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write the devices, all or none of them. Raises `InvalidArgumentError`."""
    # JSON is YAML, and a device of it one line
    lines = [MARK, "devices:", *(f"  {name}: {json.dumps(fields)}" for name, fields in devices)]
    try:
        write_whole(file, "\n".join([*lines, ""]))
    except OSError as error:
        raise _unwritable(file, error) from None


def fields(chassis: Emulator, settings: dict[str, Any], *, user: str | None) -> dict[str, Any]:
    """A device as a testbed has it."""
    found: dict[str, Any] = {"address": chassis.address}
    if "gnoi_port" in settings:
        found["gnoi"] = chassis.gnoi
    if "profile" in settings:
        found["profile"] = _profile(settings["profile"])
    if not settings.get("tls"):
        found["insecure"] = True
    else:
        folder = Path(settings["certificates"]).resolve()
        files = (("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client-key.pem"))
        found["tls"] = {key: str(folder / name) for key, name in files}
    if user is not None:
        found |= {"username": user, "password_env": "HOLDFAST_PASSWORD"}
    if chassis.container_host is not None:
        found["container_host"] = chassis.container_host
    return found | {"inner": {key: value for key, value in asdict(chassis.inner).items() if value is not None}}


def _profile(name: str) -> str:
    """The same, from wherever the testbed is read."""
    return str(Path(name).resolve()) if Path(name).suffix in (".yaml", ".yml") else name


def of_each(settings: dict[str, Any], listen: Sequence[str]) -> list[dict[str, Any]]:
    """What `holdfast.emulator` is given for each: folders of its own, and chance that draws otherwise."""
    found = []
    for index, (name, address) in enumerate(zip(names(len(listen)), listen, strict=True)):
        own = {**settings, "listen": address, "seed": (settings.get("seed", 0) + index) % 2**64}
        for folder in ("state", "certificates"):
            if settings.get(folder) is not None:
                own[folder] = Path(settings[folder]) / name
        found.append(own)
    return found
