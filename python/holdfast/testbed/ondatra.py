"""Ondatra: featureprofiles' static bindings (`openconfig.testing.Binding`) and the testbeds (`ondatra.Testbed`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from holdfast import _core, addresses
from holdfast.exceptions import TestbedError
from holdfast.testbed.target import Target
from holdfast.testbed.textproto import Message, TextprotoError, parse
from holdfast.tls import Tls

BINDING, TESTBED = "openconfig.testing.Binding", "ondatra.Testbed"
PROFILES = {"ARISTA": "arista-eos", "CISCO": "cisco-iosxr", "JUNIPER": "juniper-junos", "NOKIA": "nokia-srlinux"}
# Fields of a binding that say something of other services or of traffic generators, which these tests do not use.
FOREIGN = ("ates", "links", "config", "ports", "ssh", "gnsi", "p4rt", "ixnetwork", "otg", "gnpsi")


def read(files: Sequence[Path]) -> tuple[list[Target], list[str]]:
    """The devices of a binding, those alone that a testbed asks for if one is given, and what is not heeded."""
    parsed = [(file, _parsed(file)) for file in files]
    bindings = [(file, message) for file, message in parsed if _is_binding(message)]
    testbeds = [message for _, message in parsed if not _is_binding(message)]
    if len(bindings) != 1:
        what = "there is no binding among them" if not bindings else "there are several bindings"
        raise TestbedError(
            f"{', '.join(map(str, files))}: {what}",
            hint="a testbed alone says which devices are wanted, a binding says where they are",
        )
    (file, binding), wanted = bindings[0], {d.text("id"): d for t in testbeds for d in t.messages("duts")}
    if binding.flag("dynamic"):
        raise TestbedError(
            f"{file}: a dynamic binding reserves its devices by a service of Ondatra's", hint="give a static one"
        )
    ignored = [
        f"{path}: {line}"
        for path, message in parsed
        for line in _unknown(message, BINDING if _is_binding(message) else TESTBED)
    ]
    targets = []
    for device in binding.messages("duts"):
        asked = wanted.get(device.text("id"))
        if wanted and asked is None:
            continue
        targets.append(_target(file, binding, device, (asked and asked.text("vendor")) or device.text("vendor")))
    missing = sorted(str(known) for known in set(wanted) - {device.text("id") for device in binding.messages("duts")})
    if missing:
        raise TestbedError(f"{file}: the testbed asks for {', '.join(missing)}, which the binding does not have")
    return targets, ignored


def _parsed(file: Path) -> Message:
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, TextprotoError, UnicodeDecodeError) as error:
        raise TestbedError(f"{file}: {error}") from None


def _is_binding(message: Message) -> bool:
    """Both are lists of devices; only a binding's say how they are reached."""
    reached = {"name", "options", "gnmi", "gnoi", "ssh", "config"}
    devices = [field.name for device in message.messages("duts") for field in device.fields]
    return bool(reached & set(devices)) or message.text("dynamic") is not None or bool(message.messages("options"))


def _unknown(message: Message, kind: str) -> Iterator[str]:
    known = dict(_core.message_fields(kind))
    for field in message.fields:
        if field.name not in known:
            yield f"line {field.line}: {field.name!r} is no field of {kind}, and is ignored"
        elif isinstance(field.value, Message) and known[field.name] and field.name not in FOREIGN:
            yield from _unknown(field.value, str(known[field.name]))


class _Options:
    """Dial options: a service's go before its device's, and those before the whole binding's."""

    def __init__(self, binding: Message, device: Message, service: str) -> None:
        self._layers = [*device.messages(service), *device.messages("options"), *binding.messages("options")]

    def text(self, name: str) -> str | None:
        return next((text for layer in self._layers if (text := layer.text(name))), None)

    def flag(self, name: str) -> bool:
        return any(layer.flag(name) for layer in self._layers)


def _target(file: Path, binding: Message, device: Message, vendor: str | None) -> Target:
    gnmi, gnoi = _Options(binding, device, "gnmi"), _Options(binding, device, "gnoi")
    name = device.text("id") or device.text("name")
    host = device.text("name")
    address, services = gnmi.text("target") or host, gnoi.text("target") or host
    if not name or not address:
        raise TestbedError(f"{file}: a device has no id, or no name and no target to dial")
    timeout = gnmi.text("timeout")
    gribi = next((target for each in device.messages("gribi") if (target := each.text("target"))), None)
    return Target(
        name=name,
        address=address,
        gnoi=services if services != address else None,
        username=gnmi.text("username"),
        password=gnmi.text("password"),
        insecure=gnmi.flag("insecure"),
        tls=None if gnmi.flag("insecure") else _tls(gnmi, file.parent),
        profile=PROFILES.get(vendor or "", "auto"),
        dial_timeout=float(timeout) if timeout and float(timeout) > 0 else None,
        gribi_port=None if gribi is None else addresses.written_port(gribi),
    )


def _tls(options: _Options, folder: Path) -> Tls:
    def file(name: str) -> Path | None:
        given = options.text(name)
        return None if given is None else folder / Path(given).expanduser()

    mutual = options.flag("mutual_tls")
    return Tls(
        ca=file("trust_bundle_file"),
        cert=file("cert_file") if mutual else None,
        key=file("key_file") if mutual else None,
        skip_verify=options.flag("skip_verify"),
    )
