"""The provider file: who is qualified, who runs the tasks, and where."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import choices
from holdfast.exceptions import InvalidArgumentError
from holdfast.storage import concealed, fleet

if TYPE_CHECKING:
    from holdfast import _core

SHIPPED = Path(__file__).parent / "providers"
ACCESS_MODES = choices.words(choices.VolumeAccess)
# What each part of the file may say.
_KEYS = {
    "": ("provider", "runner", "lab", "faults"),
    "provider": (
        "kind", "name", "driver", "version", "scope", "start", "sockets", "server", "parameters", "fencing",
        "filesystems", "access_modes", "secrets_file", "tools",
    ),
    "runner": ("kind", "manager"),
    "lab": ("kind", *fleet.KEYS),
    "faults": fleet.COMMANDS,
}  # fmt: skip
_KINDS = {
    "provider": ("csi", "docker-plugin"),
    "fencing": ("driver", "csi-addons", "none"),
    "scope": ("local", "global"),
    "runner": choices.words(choices.StorageRunner),
    "lab": ("namespaces", "hosts"),
}
# What the runners but our own need on this machine.
_ENGINE_TOOLS = ("dockerd", "containerd", "runc")
# After the environment that a command may begin with.
_OWN_FOLDER = re.compile(r"^((?:\w+=\S*\s+)*)\./")
# What this version can do of that; the rest says so.
_OFFERED = {"fencing": ("driver", "none")}


@dataclass(frozen=True, repr=False)
class ProviderFile:
    """A provider, checked. `start` and `server` are commands with {socket}, {node}, {folder}, {control}, {storage}.

    Where there are `hosts`, a plugin runs there already, and their engines call it `driver`.
    """

    path: str
    kind: str
    start: str = ""
    driver: str = ""
    # Docker's protocol tells neither; the version is what this command prints first.
    name: str = ""
    version_command: str = ""
    server: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    fencing: str = "none"
    # Whether other nodes have a Docker plugin's volumes too; None where its own word counts.
    shared: bool | None = None
    filesystems: frozenset[str] = frozenset()
    access_modes: frozenset[str] = frozenset(("SINGLE_NODE_WRITER",))
    # Never shown, and neither is what else of the file is secret.
    secrets: dict[str, str] = field(default_factory=concealed.Secrets)
    mask: _core.Mask | None = None
    tools: tuple[str, ...] = ()
    runner: str = "own"
    # Of a Swarm of hosts; the address of an engine that manages it.
    manager: str | None = None
    nodes: int = 3
    hosts: fleet.Hosts | None = None

    def __repr__(self) -> str:
        return f"ProviderFile({self.path!r}, {self.kind}, runner {self.runner})"  # commands may have secrets in them

    def hide(self, text: str) -> str:
        """The same text without what of the file is secret."""
        return text if self.mask is None else self.mask.hide(text)

    def version(self) -> str:
        """What its version command prints first; empty where there is none."""
        if not self.version_command:
            return ""
        try:
            words = shlex.split(self.version_command)
            done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise InvalidArgumentError(self.hide(f"provider: version: {error}")) from None
        return (self.hide(done.stdout).splitlines() or [""])[0]

    def lacks(self) -> list[str]:
        """Why it cannot run here, a line each; empty where it can."""
        from holdfast import _core

        lab = _core.storage_lab_lacks() if self.hosts is None else None
        lacking = [why for why in (lab,) if why is not None]
        engines = _ENGINE_TOOLS if self.runner != "own" and self.hosts is None else ()
        tools = (*self.tools, *engines)
        return lacking + [f"{tool} is missing: install it" for tool in tools if shutil.which(tool) is None]


def read(given: str, *, runner: str | None = None) -> ProviderFile:
    """Read a provider file, or a shipped one by its name; `InvalidArgumentError` says what is wrong.

    `runner` is the kind of runner, instead of the file's.
    """
    path = Path(given)
    if not path.is_file():
        path = SHIPPED / f"{given}.yaml"
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise InvalidArgumentError(f"{given}: there is no such file", hint=f"give a file, or one of: {shipped}")
    mask = None
    try:
        held = dict(_load(path))
        mask = concealed.mask(held, {})
        if runner is not None:
            held["runner"] = {**_mapping("runner", held.get("runner", {})), "kind": runner}
        found = _check(given, held, path.resolve().parent)
    except InvalidArgumentError as error:
        message, hint = error.message, error.hint
        if mask is not None:
            message, hint = mask.hide(message), None if hint is None else mask.hide(hint)
        raise InvalidArgumentError(f"{given}: {message}", hint=hint) from None
    return replace(found, mask=concealed.mask(held, found.secrets))


def _load(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        # its own words show the line, which may have a secret in it
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise InvalidArgumentError(f"it is no YAML: {error.problem}{line}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"it is no YAML: {' '.join(str(error).split())}") from None
    return _mapping("", held)


def _mapping(where: str, held: Any) -> Mapping[str, Any]:
    what = where or "the file"
    if not isinstance(held, dict):
        raise InvalidArgumentError(f"{what} must be keys and values", hint="docs/storage.md has an example")
    for key in held:
        if key not in _KEYS[where]:
            near = get_close_matches(str(key), _KEYS[where], n=1)
            hint = f"the nearest is {near[0]!r}" if near else f"one of: {', '.join(_KEYS[where])}"
            raise InvalidArgumentError(f"{what} has no key {key!r}", hint=hint)
    return held


def _choice(what: str, value: Any) -> str:
    if value not in _KINDS[what]:
        raise InvalidArgumentError(f"{what}: {value!r}", hint=f"one of: {', '.join(_KINDS[what])}")
    if what in _OFFERED and value not in _OFFERED[what]:
        offered = ", ".join(_OFFERED[what])
        raise InvalidArgumentError(f"{what}: {value} is not offered by this version", hint=f"it offers: {offered}")
    return str(value)


def _texts(what: str, held: Any) -> dict[str, str]:
    if not isinstance(held, dict) or not all(isinstance(value, (str, int)) for value in held.values()):
        raise InvalidArgumentError(f"{what} must be keys with texts")
    return {str(key): str(value) for key, value in held.items()}


def _words(what: str, held: Any, known: tuple[str, ...] = ()) -> list[str]:
    if not isinstance(held, list) or not all(isinstance(value, str) for value in held):
        raise InvalidArgumentError(f"{what} must be a list of words")
    for word in held:
        if known and word not in known:
            raise InvalidArgumentError(f"{what}: {word!r}", hint=f"of: {', '.join(known)}")
    return held


def _command(what: str, held: Any, folder: Path) -> str:
    """A command as it is run on a node, where the working directory is another: `./` is the provider file's folder."""
    if not isinstance(held, str) or not held.strip():
        raise InvalidArgumentError(f"{what} must be a command")
    command = held.strip().replace("{python}", sys.executable)
    return _OWN_FOLDER.sub(lambda found: f"{found[1]}{folder}/", command)


def _check(given: str, held: Mapping[str, Any], folder: Path) -> ProviderFile:
    provider = _mapping("provider", held.get("provider"))
    runner = _mapping("runner", held.get("runner", {}))
    lab = _mapping("lab", held.get("lab", {}))
    name = str(provider.get("name", Path(given).stem))
    found = ProviderFile(
        path=given,
        kind=_choice("provider", provider.get("kind")),
        name=name,
        driver=str(provider.get("driver", name)),
        version_command=str(provider.get("version", "")),
        parameters=_texts("provider: parameters", provider.get("parameters", {})),
        fencing=_choice("fencing", provider.get("fencing", "none")),
        shared=_choice("scope", provider["scope"]) == "global" if "scope" in provider else None,
        filesystems=frozenset(_words("provider: filesystems", provider.get("filesystems", []))),
        access_modes=frozenset(
            _words("provider: access_modes", provider.get("access_modes", ["SINGLE_NODE_WRITER"]), ACCESS_MODES)
        ),
        secrets=_secrets(provider.get("secrets_file")),
        tools=tuple(_words("provider: tools", provider.get("tools", []))),
        runner=_choice("runner", runner.get("kind", "own")),
        manager=str(runner["manager"]) if "manager" in runner else None,
    )
    faults = _texts("faults", _mapping("faults", held.get("faults", {})))
    if _choice("lab", lab.get("kind", "namespaces")) == "hosts":
        return _on_hosts(found, provider, lab, faults)
    return _in_namespaces(found, provider, lab, faults, folder)


def _in_namespaces(
    found: ProviderFile, provider: Mapping[str, Any], lab: Mapping[str, Any], faults: Mapping[str, str], folder: Path
) -> ProviderFile:
    nodes = lab.get("nodes", 3)
    if not isinstance(nodes, int) or not 2 <= nodes <= 16:
        raise InvalidArgumentError(f"lab: nodes: {nodes!r}", hint="give 2 to 16: every failover takes two")
    given = [key for key, there in (("faults", faults), ("runner: manager", found.manager)) if there]
    given += ["provider: sockets"] if "sockets" in provider else []
    given += [f"lab: {key}" for key in fleet.KEYS if key != "nodes" and key in lab]
    if given:
        raise InvalidArgumentError(f"{given[0]} is for hosts; the lab of namespaces has its own")
    if "start" not in provider:
        raise InvalidArgumentError("provider has no key 'start'", hint="say how the plugin on a node is started")
    server = _command("provider: server", provider["server"], folder) if "server" in provider else None
    return replace(found, nodes=nodes, start=_command("provider: start", provider["start"], folder), server=server)


def _on_hosts(
    found: ProviderFile, provider: Mapping[str, Any], lab: Mapping[str, Any], faults: Mapping[str, str]
) -> ProviderFile:
    if found.runner == "own":
        raise InvalidArgumentError("lab: hosts do not go with the runner own", hint="give runner: {kind: docker}")
    if ("sockets" in provider) != (found.kind == "csi"):
        raise InvalidArgumentError(
            "provider: sockets: a CSI driver on hosts needs them, and a plugin of Docker has none",
            hint="sockets: tcp://{address}:10000",
        )
    for key in ("start", "server"):
        if key in provider:
            raise InvalidArgumentError(f"provider: {key}: on hosts it runs already", hint="leave it out")
    if found.runner == "swarm" and found.manager is None:
        raise InvalidArgumentError("runner has no key 'manager'", hint="give the engine that manages the Swarm")
    if found.runner != "swarm" and found.manager is not None:
        raise InvalidArgumentError("runner: manager is for the runner swarm")
    return replace(found, hosts=fleet.check(lab, faults, str(provider.get("sockets", ""))))


def _secrets(file: Any) -> dict[str, str]:
    """KEY=VALUE a line, from a file of its own. No frame that raises holds what is in it: debuggers show frames."""
    if file is None:
        return concealed.Secrets()
    try:
        found = _pairs(Path(file))
    except OSError as error:
        raise InvalidArgumentError(f"provider: secrets_file: {error}") from None
    except UnicodeDecodeError:
        found = None  # its words have bytes of the file in them
    if found is None:
        raise InvalidArgumentError("provider: secrets_file: each line must be KEY=VALUE")
    return found


def _pairs(file: Path) -> concealed.Secrets | None:
    pairs = [line.partition("=") for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not all(separator for _, separator, _ in pairs):
        return None
    return concealed.Secrets((key.strip(), value) for key, _, value in pairs)
