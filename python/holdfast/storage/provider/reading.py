"""Reading a provider file: each key by the table, and then what they say together."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.exceptions import InvalidArgumentError
from holdfast.storage import concealed, fleet
from holdfast.storage.provider import document, keys, secret_files
from holdfast.storage.provider.document import Place
from holdfast.storage.provider.file import ProviderFile
from holdfast.storage.provider.keys import Key
from holdfast.storage.provider.kinds import no_key

SHIPPED = Path(__file__).parent.parent / "providers"
# What a Kubernetes takes from the class of its volumes, and from objects that the class names.
_OF_A_CLASS = (
    "provider.mount_flags", "provider.filesystem_options", "provider.mount_group", "provider.secrets",
    "provider.secrets_file",
)  # fmt: skip


def read(given: str, *, runner: str | None = None) -> ProviderFile:
    """Read a provider file, or a shipped one by its name; `InvalidArgumentError` says what is wrong and in which line.

    `runner` is the kind of runner, instead of the file's. What the file names is relative to its own folder.
    """
    path = Path(given)
    if not path.is_file():
        path = SHIPPED / f"{given}.yaml"
    if "\0" in given or not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise InvalidArgumentError(f"{given}: there is no such file", hint=f"give a file, or one of: {shipped}")
    root = document.load(path, given)
    mask = concealed.mask({"": root.plain()}, {})
    try:
        found, secrets = _File(root, path.resolve().parent, runner).read()
    except InvalidArgumentError as error:
        hint = None if error.hint is None else mask.hide(error.hint)
        raise InvalidArgumentError(mask.hide(error.message), hint=hint) from None
    return replace(found, mask=concealed.mask({"": root.plain()}, secrets))


class _File:
    """A file under way: its values by their keys, and where each stands."""

    def __init__(self, root: Place, folder: Path, runner: str | None) -> None:
        self.root = root
        self.folder = folder
        self.values: dict[str, Any] = {}
        self.places: dict[str, Place] = {}
        self.secrets: list[Mapping[str, str]] = []
        self.runner = runner
        self.lab = "namespaces"

    def read(self) -> tuple[ProviderFile, dict[str, str]]:
        parts = self.root.items()
        for name, place in parts.items():
            if name not in keys.PARTS:
                raise no_key(self.root, name, place, keys.PARTS, _part_of(name))
        if "provider" not in parts:
            raise self.root.wrong("has no key 'provider'", "docs/storage.md has an example")
        held = {part: place.items() for part, place in parts.items()}
        self._read(held, {"provider": "kind", "lab": "kind"})
        self.lab = self.values.get("lab.kind", "namespaces")
        self._read(held, {})
        self._require(parts)
        if self.runner is not None:
            self.values["runner.kind"] = self.runner
        labs = {"hosts": self._on_hosts, "cluster": self._in_cluster, "namespaces": self._in_namespaces}
        found = labs[self.lab](self._common())
        every = enumerate(self.secrets)
        return found, {f"{number} {key}": value for number, each in every for key, value in each.items()}

    def _read(self, held: Mapping[str, Mapping[str, Place]], first: Mapping[str, str]) -> None:
        """Each key, or only those that decide what others may be."""
        for part, places in held.items():
            for name, place in places.items():
                if first and first.get(part) != name:
                    continue
                if name not in keys.names(part):
                    raise no_key(held_place(self.root, part), name, place, keys.names(part), _part_of(name, part))
                key = self._key(part, name, place)
                self.places[key.path] = place
                self.values[key.path] = key.kind.read(place)

    def _key(self, part: str, name: str, place: Place) -> Key:
        """The row of the table that is for this lab and this protocol."""
        kind = self.values.get("provider.kind")
        rows = [key for key in keys.of_part(part) if key.name == name]
        here = [key for key in rows if key.is_for(None, self.lab)]
        what = "faults" if part == "faults" else place.where
        if not here:
            raise self._elsewhere(what, place, rows[0])
        found = next((key for key in here if key.is_for(kind, self.lab)), None)
        if found is None:
            other = "a CSI driver" if kind == "csi" else "a plugin of Docker"
            raise place.error(f"{what}: {other} has none", f"leave it out: it is for kind: {here[0].protocol}")
        if not found.offered:
            raise place.error(f"{what} is not offered by this version", "leave it out")
        return found

    def _elsewhere(self, what: str, place: Place, key: Key) -> Exception:
        """That a key is for another kind of lab than the file's."""
        if self.lab == "namespaces":
            others = " or ".join("a cluster" if lab == "cluster" else lab for lab in key.labs)
            return place.error(f"{what} is for {others}; the lab of namespaces has its own")
        if key.labs == ("namespaces",):
            where = "on hosts" if self.lab == "hosts" else "in a cluster"
            return place.error(f"{what}: {where} it runs already", "leave it out")
        if self.lab == "cluster":
            return place.error(f"{what}: in a cluster its StorageClass and its kubelets decide that", "leave it out")
        return place.error(f"{what} is for {' or '.join(key.labs)}", "leave it out")

    def _require(self, parts: Mapping[str, Place]) -> None:
        kind = self.values.get("provider.kind")
        for key in keys.KEYS:
            if key.required and key.is_for(kind, self.lab) and key.path not in self.values:
                hint = "a plugin that runs already is one of hosts: lab: {kind: hosts, …}"
                runs = key.name == "start" and "provider.socket" in self.values
                place = parts.get(key.part, self.root)
                raise place.error(f"{key.part} has no key {key.name!r}", hint if runs else f"it {_says(key)}")

    def _common(self) -> ProviderFile:
        value: Callable[..., Any] = self.values.get
        provider = "provider."
        name = value(provider + "name", Path(self.root.file).stem)
        secrets = self._secrets("provider.secrets_file")
        by_rpc = [call for call in value(provider + "calls", {}) if call not in keys.CALLS]
        if by_rpc and value(provider + "kind") == "docker-plugin":
            raise self._wrong(
                "provider.calls", f"provider: calls: {by_rpc[0]} is an RPC of CSI", f"give {' or '.join(keys.CALLS)}"
            )
        return ProviderFile(
            path=self.root.file,
            folder=self.folder,
            kind=value(provider + "kind"),
            name=name,
            driver=value(provider + "driver", name),
            version_command=self._command("provider.version") or "",
            parameters=value(provider + "parameters", {}),
            refuses_unknown_parameters=value(provider + "refuses_unknown_parameters", False),
            minimum=value(provider + "minimum"),
            sizes=value(provider + "sizes", ()),
            calls=value(provider + "calls", {}),
            mount_flags=value(provider + "mount_flags", ()),
            filesystem_options=value(provider + "filesystem_options", {}),
            mount_group=value(provider + "mount_group"),
            topology=value(provider + "topology", True),
            fencing=value(provider + "fencing", "none"),
            shared=None if value(provider + "scope") is None else value(provider + "scope") == "global",
            filesystems=frozenset(value(provider + "filesystems", ())),
            access_modes=frozenset(value(provider + "access_modes", ("SINGLE_NODE_WRITER",))),
            secrets=secrets,
            call_secrets=self._call_secrets(secrets),
            controller_socket=value(provider + "controller", {}).get("socket"),
            tools=tuple(
                str(self.folder / tool) if tool.startswith("./") else tool for tool in value(provider + "tools", ())
            ),
            runner=value("runner.kind", "own"),
            recovery=value("runner.recovery"),
            workload=value("runner.workload"),
            manager=value("runner.manager"),
        )

    def _in_namespaces(self, found: ProviderFile) -> ProviderFile:
        value = self.values.get
        if found.runner == "kubernetes" and found.kind != "csi":
            raise self._wrong(
                "runner.kind", "runner: kubernetes is for CSI drivers", "a plugin of Docker: runner: docker"
            )
        for key in _OF_A_CLASS if found.runner == "kubernetes" else ():
            if key in self.values:
                raise self._wrong(
                    key,
                    f"{key.replace('.', ': ')}: the class of the lab's own Kubernetes has none",
                    "leave it out, or bring the driver to a cluster of your own, whose class has them",
                )
        controller = value("provider.controller", {}).get("start")
        return replace(
            found,
            nodes=value("lab.nodes", 3),
            start=self._command("provider.start") or "",
            server=self._command("provider.server"),
            environment=concealed.Secrets(value("provider.environment", {})),
            ready=self._command("provider.ready"),
            socket=self._socket(value("provider.socket")),
            controller_start=None if controller is None else _filled(controller),
        )

    def _on_hosts(self, found: ProviderFile) -> ProviderFile:
        value = self.values.get
        if found.runner in ("own", "kubernetes"):
            raise self._wrong(
                "lab.kind", f"lab: hosts do not go with the runner {found.runner}", "give runner: {kind: docker}"
            )
        if found.runner == "swarm" and found.manager is None:
            hint = "give the engine that manages the Swarm"
            raise self._wrong("runner.kind", "runner has no key 'manager'", hint)
        if found.runner != "swarm" and found.manager is not None:
            raise self._wrong("runner.manager", "runner: manager is for the runner swarm")
        if "start" in value("provider.controller", {}):
            raise self._wrong("provider.controller", "provider: controller: start: on hosts it runs already")
        lab = {name: self.values[f"lab.{name}"] for name in fleet.KEYS if f"lab.{name}" in self.values}
        commands = {key.name: self.values[key.path] for key in keys.of_part("faults") if key.path in self.values}
        try:
            hosts = fleet.check(lab, commands, value("provider.sockets", ""))
        except InvalidArgumentError as error:
            raise self._wrong("lab.nodes", error.message, error.hint) from None
        return replace(found, hosts=hosts)

    def _in_cluster(self, found: ProviderFile) -> ProviderFile:
        value: Callable[..., Any] = self.values.get
        if found.kind != "csi":
            raise self._wrong("provider.kind", "lab: kind: cluster is for CSI drivers", "give kind: csi")
        if found.runner != "kubernetes" and ("runner.kind" in self.values or self.runner is not None):
            hint = "give runner: {kind: kubernetes}"
            raise self._wrong("runner.kind", f"lab: a cluster does not go with the runner {found.runner}", hint)
        if "lab.nodes" in self.values and "lab.selector" in self.values:
            raise self._wrong("lab.selector", "lab has both nodes and selector", "give one of them")
        commands = {key.name: self.values[key.path] for key in keys.of_part("faults") if key.path in self.values}
        cluster = fleet.Cluster(
            kubeconfig=self._kubeconfig(value("lab.kubeconfig")),
            context=value("lab.context"),
            storage_class=value("lab.storage_class"),
            nodes=value("lab.nodes", ()),
            selector=value("lab.selector", None if "lab.nodes" in self.values else ""),
            image=value("lab.image", "busybox:stable"),
            tester=value("lab.tester"),
            commands=commands,
            agents=value("lab.node_access") == "daemonset",
        )
        given = {name: self.values[f"lab.{name}"] for name in keys.OF_AGENTS if f"lab.{name}" in self.values}
        if given and not cluster.agents:
            name = next(iter(given))
            raise self._wrong(f"lab.{name}", f"lab: {name} is for node_access: daemonset", "give that too")
        return replace(found, runner="kubernetes", cluster=replace(cluster, **given))

    def _kubeconfig(self, given: str | None) -> str:
        """The file's, from its folder; else what kubectl takes, which may be several."""
        if given is not None:
            return str(self.folder / Path(given).expanduser())
        usual = os.environ.get("KUBECONFIG", "").strip(os.pathsep)
        return usual or str(Path.home() / ".kube" / "config")

    def _wrong(self, path: str, message: str, hint: str | None = None) -> InvalidArgumentError:
        return self.places.get(path, self.root).error(message, hint)

    def _command(self, path: str) -> str | None:
        command = self.values.get(path)
        return None if command is None else _filled(command)

    def _socket(self, given: str | None) -> str | None:
        """An address as it is; a path, which may have {node} and {folder} in it, from the file's folder."""
        is_path = given is not None and "://" not in given and not given.startswith(("/", "{"))
        return f"{self.folder}/{str(given).removeprefix('./')}" if is_path else given

    def _secrets(self, path: str) -> dict[str, str]:
        if path not in self.values:
            return concealed.Secrets()
        found = secret_files.read(self.places[path], self.values[path], self.folder)
        self.secrets.append(found)
        return found

    def _call_secrets(self, every: dict[str, str]) -> dict[str, dict[str, str]]:
        files: Mapping[str, str] = self.values.get("provider.secrets", {})
        found: dict[str, dict[str, str]] = dict.fromkeys(keys.SECRET_CALLS, every)
        for call, name in files.items():
            found[call] = secret_files.read(self.places["provider.secrets"].items()[call], name, self.folder)
            self.secrets.append(found[call])
        return found


def _filled(command: str) -> str:
    return command.replace("{python}", shlex.quote(sys.executable))


def held_place(root: Place, part: str) -> Place:
    """Where a part of the file is."""
    return root.items()[part]


def _part_of(name: str, part: str = "") -> str:
    """Which other part of the file has a key of this name."""
    return next((each for each in keys.PARTS if each != part and name in keys.names(each)), "")


def _says(key: Key) -> str:
    return f"says: {key.help}"
