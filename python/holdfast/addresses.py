"""Where a device is, as far as caution needs to know."""

from __future__ import annotations

# As IANA has it.
GNMI_PORT = 9339


def hosts(address: str) -> list[str]:
    """The hosts of `HOST[:PORT][,HOST…]`."""
    found = []
    for part in address.split(","):
        text = part.strip()
        if text.startswith("["):
            found.append(text[1:].partition("]")[0])
        elif text.count(":") > 1:
            found.append(text)
        else:
            found.append(text.partition(":")[0])
    return found


def joined(host: str, port: int) -> str:
    """`HOST:PORT`, with brackets around an IPv6 address.

    >>> joined("fd01::1", 9339)
    '[fd01::1]:9339'
    """
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def port(address: str) -> int:
    """The (first) port of `HOST[:PORT][,HOST…]`: gNMI's own, if none is given."""
    written = written_port(address)
    return GNMI_PORT if written is None else written


def written_port(address: str) -> int | None:
    """The same; None, if none is given."""
    first = address.partition(",")[0].strip()
    _, colon, last = first.rpartition(":")
    written = colon and last.isdigit() and (first.startswith("[") or first.count(":") == 1)
    return int(last) if written else None
