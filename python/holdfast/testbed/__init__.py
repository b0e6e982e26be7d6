"""Where targets come from: a file of ours, a pyATS testbed, or an Ondatra binding.

>>> text = f"devices: {{r7: {{address: '{chassis.address}', insecure: true}}}}"
>>> written = pathlib.Path("lab.yaml").write_text(text)
>>> for target in holdfast.testbed.read("lab.yaml"):
...     with target.connect() as dut:
...         target.name, len(dut.control_processors())
('r7', 2)

docs/testbeds.md has the formats.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from holdfast.exceptions import TestbedError
from holdfast.secret import Secret, hidden, may_be_quoted
from holdfast.testbed import lab
from holdfast.testbed.target import Target

__all__ = ["Target", "TestbedWarning", "read"]

TEXTPROTO = (".textproto", ".textpb", ".pbtxt", ".txtpb", ".binding", ".testbed")


class TestbedWarning(UserWarning):
    """Something in a testbed is not heeded."""

    __test__ = False


def read(*paths: str | os.PathLike[str]) -> tuple[Target, ...]:
    """The devices of a testbed, in its order: files, or `labgrid://HOST:PORT?TAG=VALUE`.

    An Ondatra binding may come with the testbed it is for. What a file has and this tool does not heed is warned of
    (`TestbedWarning`). Raises `TestbedError`, which says where.
    """
    if any(lab.is_url(path) for path in paths):
        return _of_coordinator(*map(str, paths))
    files = [Path(path) for path in paths]
    ondatra = [file for file in files if file.suffix in TEXTPROTO]
    targets: Sequence[Target]
    ignored: Sequence[str]
    if ondatra and len(ondatra) == len(files):
        from holdfast.testbed import ondatra as reader

        targets, ignored = reader.read(ondatra)
    elif len(files) == 1:
        targets, ignored = _read_yaml(files[0])
    else:
        raise TestbedError(
            f"{', '.join(map(str, files))}: several files only make sense for an Ondatra binding and its testbed",
            hint=f"those end in {', '.join(TEXTPROTO)}",
        )
    for line in ignored:
        warnings.warn(line, TestbedWarning, stacklevel=2)
    if not targets:
        raise TestbedError(f"{files[0]}: there is no device in it that gNMI and gNOI reach")
    return tuple(targets)


def _of_coordinator(url: str, *others: str) -> tuple[Target, ...]:
    """The devices of a labgrid coordinator. Raises `TestbedError`."""
    from holdfast.testbed import places

    if others:
        raise TestbedError(f"{url}, {others[0]}: a coordinator's devices are a testbed of their own: give one of them")
    targets, ignored = places.read(url)
    for line in ignored:
        warnings.warn(line, TestbedWarning, stacklevel=3)
    if not targets:
        raise TestbedError(f"{url}: no place with a GnoiDevice has these tags")
    return tuple(targets)


def _read_yaml(file: Path) -> tuple[Sequence[Target], Sequence[str]]:
    import yaml

    from holdfast.testbed import own, pyats

    hint = "docs/testbeds.md has examples"
    try:
        text = Secret(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TestbedError(f"{file}: {_unreadable(error, quotes=False)}", hint=hint) from None
    try:
        data = hidden(yaml.safe_load(text.reveal()))
    except (yaml.YAMLError, RecursionError) as error:
        raise TestbedError(f"{file}: {_unreadable(error, quotes=may_be_quoted(text.reveal()))}", hint=hint) from None
    devices = data.get("devices") if isinstance(data, dict) else None
    if not isinstance(devices, dict) or not devices:
        raise TestbedError(f"{file}: it has no devices", hint=hint)
    if "testbed" in data or any(isinstance(device, dict) and "connections" in device for device in devices.values()):
        return pyats.read(file, data)
    return own.read(file, data), ()


def _unreadable(error: Exception, *, quotes: bool) -> str:
    """What is wrong and where; of a file that may hold a password nothing that stands there."""
    import yaml

    if quotes or isinstance(error, OSError):
        return str(error)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it is no YAML in UTF-8"
    where = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
    if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError):
        return f"{where}: {error.problem}"
    return f"{where}: this is no plain YAML; a value that begins with *, & or ! needs quotes"
