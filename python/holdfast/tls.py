"""How a device is trusted, and what it is shown."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from holdfast.secret import Secret

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Tls:
    """TLS to a device; all files are PEM.

    `ca` holds the certificates of who signs devices (the system's if none is given); `cert` and `key` are ours, where
    the device wants one, and `key_password` opens an encrypted key (PKCS #8). `server_name` is what the device's
    certificate must be for, in place of the address' host. `skip_verify` trusts whoever answers.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    key_password: str | Secret | None = field(default=None, repr=False)
    server_name: str | None = None
    skip_verify: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_password", Secret.of(self.key_password))
