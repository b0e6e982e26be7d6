"""What ADD said, kept until DEL: a runtime's memory of its attachments, between processes too.

Source: the CNI specification 1.1.0, section 2 (DEL and CHECK get the result of ADD) and section 4 of libcni's
documentation (results are cached by network, container and interface).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from holdfast import journal
from holdfast.exceptions import CniError

_KIND = "holdfast.cni/1"
_SUFFIX = ".json"
# The longest that a kept attachment may be, in bytes; what is longer is none of ours.
_LONGEST = 16 << 20
_REMEDY = "remove it: DEL works without, as far as plugins do"


@dataclass(frozen=True)
class Attachment:
    """A container's interface on a network, as ADD made it, and all that DEL has to be told again."""

    network: str
    container: str
    interface: str
    # The path of the container's network namespace.
    namespace: str
    # The named network namespace that plugins run in; empty where they run in the process' own.
    host: str = ""
    # The last plugin's answer to ADD.
    result: Mapping[str, Any] = field(default_factory=dict)
    # By capability, what plugins that have it are told in runtimeConfig.
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    # CNI_ARGS.
    arguments: str = ""


class Kept:
    """A folder of attachments, for this user alone. Names of files say nothing: a container may be called anything."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._given = None if folder is None else Path(folder)

    @property
    def folder(self) -> Path:
        """Where they are; this machine's state folder of holdfast unless another was given."""
        return self._given if self._given is not None else journal.folder() / "cni"

    def prepare(self) -> None:
        """See that something can be kept, before anything is made that has to be. Raises `CniError`."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.lstat()
        except OSError as error:
            raise CniError(f"{self.folder}: {error.strerror}", hint="set XDG_STATE_HOME to a folder of yours") from None
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise CniError(f"{self.folder} is no folder of this user's", hint="remove it, or set XDG_STATE_HOME")
        if stat.S_IMODE(found.st_mode) != 0o700:
            self.folder.chmod(0o700)

    def get(self, network: str, container: str, interface: str, host: str = "") -> Attachment | None:
        """The attachment of that name; None where none is kept. Raises `CniError` where it cannot be read."""
        return _read(self._file(network, container, interface, host))

    def put(self, attachment: Attachment) -> None:
        """Keep one, whole or not at all, in the place of an earlier one of its name. Raises `CniError`."""
        target = self._file(attachment.network, attachment.container, attachment.interface, attachment.host)
        self.prepare()
        try:
            with tempfile.NamedTemporaryFile("w", dir=self.folder, prefix=".", delete=False, encoding="utf-8") as draft:
                try:
                    json.dump({"kind": _KIND, **asdict(attachment)}, draft)
                    draft.close()
                    Path(draft.name).replace(target)
                except BaseException:
                    Path(draft.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise CniError(f"the result of ADD cannot be kept: {target}: {error.strerror}") from None

    def forget(self, network: str, container: str, interface: str, host: str = "") -> None:
        """Keep it no longer, if it is kept."""
        with suppress(FileNotFoundError):
            self._file(network, container, interface, host).unlink()

    def of(self, network: str, host: str = "") -> Iterator[Attachment]:
        """Those of a network, by container and interface. What cannot be read is none of them."""
        found = []
        for file in self.folder.glob(f"*{_SUFFIX}"):
            with suppress(CniError):
                found.append(_read(file))
        yield from sorted(
            (each for each in found if each is not None and (each.network, each.host) == (network, host)),
            key=lambda each: (each.container, each.interface),
        )

    def _file(self, *key: str) -> Path:
        return self.folder / (hashlib.sha256(json.dumps(key).encode()).hexdigest() + _SUFFIX)


def _read(file: Path) -> Attachment | None:
    """What a file keeps. It is opened as what it must be, a regular file: nothing else is waited for or followed."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CniError(f"{file}: {error.strerror}", hint=_REMEDY) from None
    held: Any = None
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            held = json.loads(os.read(descriptor, _LONGEST))
    except (ValueError, OSError):
        held = None
    finally:
        os.close(descriptor)
    if not isinstance(held, dict) or held.pop("kind", None) != _KIND:
        raise CniError(f"{file} keeps no result of ADD", hint=_REMEDY)
    try:
        return Attachment(**held)
    except TypeError:
        raise CniError(f"{file} is of another version", hint=_REMEDY) from None
