"""How a device is trusted, and what it is shown."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from holdfast.secret import Secret

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Tls:
    """TLS to a device; files are PEM or DER.

    `ca` holds the certificates of who signs devices, or a device's very own (the system's if none is given): one that
    was named is trusted until it expires, for the names in it, or for any where it has none (SAN). `cert` and `key` are
    ours, where the device wants one, and `key_password` opens an encrypted key (PKCS #8). `server_name` is what the
    device's certificate must be for, in place of the address' host. `skip_verify` trusts whoever answers, whatever the
    certificate; that it has the certificate's key is still checked, and a warning says so where that cannot be.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    key_password: str | Secret | None = field(default=None, repr=False)
    server_name: str | None = None
    skip_verify: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_password", Secret.of(self.key_password))
