"""A chain of CNI plugins, run as a container runtime runs it.

Source: the CNI specification 1.1.0, sections 3 (execution) and 4 (delegation).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from holdfast import visible
from holdfast.cni import versions
from holdfast.cni.kept import Attachment, Kept
from holdfast.cni.namespace import NetworkNamespace
from holdfast.exceptions import CniError, InvalidArgumentError

# The longest that a plugin may take unless it is told otherwise, in seconds.
PATIENCE = 60.0
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
# Under which name a plugin is told at GC which attachments are in use.
VALID_ATTACHMENTS = "cni.dev/valid-attachments"
# What a runtime tells a plugin in its environment.
_OF_A_RUNTIME = frozenset(
    ("CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH", "CNI_NETNS_OVERRIDE")
)

Result = dict[str, Any]


@dataclass(frozen=True)
class NotAsked:
    """A plugin that was not asked for a command, and why; as text a line."""

    plugin: str
    command: str
    why: str

    def __str__(self) -> str:
        return f"{self.plugin}: {self.command} was not asked for: {self.why}"


class Chain:
    """A network configuration list, and the folders that its plugins lie in.

    `host` is the network namespace that plugins run in; this process's own if none is given. `results` is the folder
    in which the result of ADD is kept for CHECK and DEL, between processes too; one of this user's state folder if
    none is given.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any] | str | os.PathLike[str],
        path: Sequence[str | os.PathLike[str]],
        *,
        host: NetworkNamespace | None = None,
        results: str | os.PathLike[str] | None = None,
    ) -> None:
        self.configuration = read(configuration)
        self.path = [os.fspath(folder) for folder in path]
        self.host = host
        self._kept = Kept(results)

    @property
    def name(self) -> str:
        """The network's name."""
        return str(self.configuration.get("name", ""))

    @cached_property
    def version(self) -> str:
        """The version of the specification that the chain is run by; of several, the highest that all plugins speak."""
        return versions.chosen(self.configuration, lambda: [self._speaks(kind) for kind in self._kinds])

    def not_asked(self, command: str) -> str | None:
        """Why a runtime does not ask this chain for a command (CHECK, GC or STATUS); None where it does."""
        if self._is_disabled(command):
            return f"the configuration has {_disabling(command)}"
        since = versions.SINCE.get(command, versions.UNSAID)
        if not versions.at_least(self.version, since):
            return f"the configuration is of cniVersion {self.version}, and {command} came with {since}"
        return None

    def _is_disabled(self, command: str) -> bool:
        return str(self.configuration.get(_disabling(command), "")).lower() == "true"

    def add(self, container: str, namespace: str | os.PathLike[str], **options: Any) -> Result:
        """ADD: every plugin in turn, each with the result of the one before it; the last result, which is kept.

        `options`: `interface` ("eth0"), `annotations` (a pod's, for plugins with that capability), `capabilities`
        (by name, for plugins that have it: runtimeConfig), `arguments` (CNI_ARGS), `timeout` in seconds. Raises
        `CniError`.
        """
        result: Result | None = None
        asked = _Asked(self._attachment(container, namespace), **options)
        self._kept.prepare()
        for plugin in self.configuration["plugins"]:
            result = self._ask("ADD", plugin, asked, result)
        self._kept.put(replace(asked.attachment, result=result or {}))
        return result or {}

    def delete(self, container: str, namespace: str | os.PathLike[str], **options: Any) -> None:
        """DEL: every plugin from the last to the first, with what ADD said where that is kept. Raises `CniError`.

        Of the `options`, as of `add`, those that are left out are the ones that ADD was given.
        """
        self._delete(_Asked(self._attachment(container, namespace), **options))

    def check(self, container: str, namespace: str | os.PathLike[str], **options: Any) -> None:
        """CHECK: every plugin in turn, with what ADD said. Raises `CniError`, also where CHECK is not asked for.

        Of the `options`, as of `add`, those that are left out are the ones that ADD was given.
        """
        why = self.not_asked("CHECK")
        if why is not None:
            raise CniError(f"CHECK is not asked for: {why}")
        asked = _Asked(self._attachment(container, namespace), **options)
        kept = self._kept_of(asked)
        if kept is None:
            raise CniError(
                f"no result of ADD is kept of {container!r} on {self.name!r}, interface {asked.attachment.interface}",
                hint="CHECK is for what was added, and not deleted since",
            )
        asked.remember(kept)
        for plugin in self.configuration["plugins"]:
            self._ask("CHECK", plugin, asked, dict(kept.result))

    def attachments(self) -> list[Attachment]:
        """What was added to the network, and not deleted since, as far as it is kept."""
        return list(self._kept.of(self.name, self._host_name))

    def gc(
        self,
        valid: Iterable[tuple[str, str]] | None = None,
        *,
        annotations: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> list[NotAsked]:
        """GC: DEL of each kept attachment that is not in use, then every plugin, told which ones are.

        `valid`: containers with their interfaces; those that are kept and whose network namespace is there unless
        given. `annotations` and `timeout` (seconds for each plugin) as of `add`. What plugins were not asked, and why.
        A plugin that fails ends nothing: `CniError` in the end.
        """
        why = self.not_asked("GC")
        if why is not None and self._is_disabled("GC"):
            return [NotAsked(kind, "GC", why) for kind in self._kinds]
        kept = self.attachments()
        alive = [(each.container, each.interface) for each in kept if Path(each.namespace).exists()]
        used = set(alive if valid is None else valid)
        failures: list[CniError] = []
        for each in kept:
            if (each.container, each.interface) not in used:
                _collect(failures, self._delete, _Asked(each, interface=each.interface, timeout=timeout))
        in_use = [{"containerID": container, "ifname": interface} for container, interface in sorted(used)]
        asked = _Asked(None, annotations=annotations, timeout=timeout)
        silent = self._ask_each("GC", why, asked, failures, {VALID_ATTACHMENTS: in_use})
        _raise(failures)
        return silent

    def status(self, *, annotations: Mapping[str, str] | None = None, timeout: float = PATIENCE) -> list[NotAsked]:
        """STATUS: every plugin, whether it can serve an ADD now. What plugins were not asked, and why.

        `annotations` and `timeout` (seconds for each plugin) as of `add`.
        Raises `CniError` of the plugins that cannot (50: not at all; 51: not as it should be).
        """
        failures: list[CniError] = []
        asked = _Asked(None, annotations=annotations, timeout=timeout)
        silent = self._ask_each("STATUS", self.not_asked("STATUS"), asked, failures, {})
        _raise(failures)
        return silent

    @property
    def _kinds(self) -> list[str]:
        return [str(plugin["type"]) for plugin in self.configuration["plugins"]]

    @property
    def _host_name(self) -> str:
        return self.host.name if self.host is not None else ""

    def _attachment(self, container: str, namespace: str | os.PathLike[str]) -> Attachment:
        return Attachment(self.name, container, "", os.fspath(namespace), host=self._host_name)

    def _kept_of(self, asked: _Asked) -> Attachment | None:
        wanted = asked.attachment
        return self._kept.get(wanted.network, wanted.container, wanted.interface, wanted.host)

    def _delete(self, asked: _Asked) -> None:
        kept = self._kept_of(asked)
        if kept is not None:
            asked.remember(kept)
        gets_result = kept is not None and versions.at_least(self.version, versions.DEL_GETS_RESULT)
        for plugin in reversed(self.configuration["plugins"]):
            self._ask("DEL", plugin, asked, dict(kept.result) if kept is not None and gets_result else None)
        wanted = asked.attachment
        self._kept.forget(wanted.network, wanted.container, wanted.interface, wanted.host)

    def _ask_each(
        self, command: str, why: str | None, asked: _Asked, failures: list[CniError], more: Mapping[str, Any]
    ) -> list[NotAsked]:
        """Ask each plugin that speaks a version with `command`, whatever the others answer; the rest, and why not."""
        silent = []
        for plugin in self.configuration["plugins"]:
            kind = str(plugin["type"])
            speaks = () if why is not None else self._speaks(kind)
            if why is None and self.version in speaks:
                _collect(failures, self._ask, command, plugin, asked, None, more)
            else:
                other = f"of the plugin's versions none is {self.version}: {visible.line(', '.join(speaks))}"
                silent.append(NotAsked(kind, command, why or other))
        return silent

    def _speaks(self, kind: str) -> Collection[str]:
        """The versions that a plugin says it speaks; the first one alone where it does not know the question."""
        stdin = {"cniVersion": versions.SPOKEN[-1]}
        # Plugins of early versions want these whatever they are asked.
        early = {"CNI_CONTAINERID": "none", "CNI_NETNS": "/none", "CNI_IFNAME": "none"}
        try:
            done = self._run(kind, "VERSION", stdin, early, PATIENCE)
            spoken = json.loads(done.stdout)["supportedVersions"] if done.returncode == 0 else None
        except (ValueError, KeyError, TypeError):
            spoken = None
        return [str(each) for each in spoken] if isinstance(spoken, list) else [versions.UNSAID]

    def _ask(
        self,
        command: str,
        plugin: Mapping[str, Any],
        asked: _Asked,
        before: Result | None,
        more: Mapping[str, Any] | None = None,
    ) -> Result:
        kind = str(plugin["type"])
        stdin = {**self._configuration_of(plugin, asked, before), **(more or {})}
        done = self._run(kind, command, stdin, asked.environment(), asked.timeout)
        if done.returncode != 0:
            raise _failure(kind, command, done)
        if command != "ADD":
            return {}
        try:
            result = json.loads(done.stdout)
        except ValueError:
            result = None
        if not isinstance(result, dict):
            raise CniError(f"{kind}: {command} succeeded with no result: {done.stdout[:200]!r}", number=6)
        return result

    def _run(
        self, kind: str, command: str, stdin: Mapping[str, Any], given: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        executable = self._find(kind)
        words = [str(executable)] if self.host is None else self.host.command([str(executable)])
        environment = {**_inherited(), **given, "CNI_COMMAND": command, "CNI_PATH": os.pathsep.join(self.path)}
        try:
            return subprocess.run(
                words,
                input=json.dumps(stdin).encode(),
                env=environment,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CniError(f"{kind}: no answer to {command} within {timeout} s") from None
        except OSError as error:
            raise CniError(f"{kind}: {command}: it cannot be started: {error.strerror}") from None

    def _find(self, plugin: str) -> Path:
        if "/" in plugin or plugin in ("", ".", ".."):
            raise CniError(f"{plugin!r} is no plugin's type: it is the name of a file, without a folder")
        for folder in self.path:
            if (Path(folder) / plugin).is_file():
                return Path(folder) / plugin
        raise CniError(f"there is no plugin {plugin!r} in {os.pathsep.join(self.path)}")

    def _configuration_of(self, plugin: Mapping[str, Any], asked: _Asked, before: Result | None) -> Result:
        wanted = {name for name, on in (plugin.get("capabilities") or {}).items() if on}
        given = {name: value for name, value in asked.capabilities().items() if name in wanted}
        built = {key: value for key, value in plugin.items() if key != "capabilities"}
        built.update(name=self.name, cniVersion=self.version)
        if given:
            built["runtimeConfig"] = given
        if before is not None:
            built["prevResult"] = before
        return built


class _Asked:
    """What plugins are asked about: an attachment, with what a runtime tells them of it; none for GC and STATUS."""

    def __init__(
        self,
        attachment: Attachment | None,
        *,
        interface: str = "eth0",
        annotations: Mapping[str, str] | None = None,
        capabilities: Mapping[str, Any] | None = None,
        arguments: str | None = None,
        timeout: float = PATIENCE,
    ) -> None:
        self.timeout = timeout
        self._is_of_network = attachment is None
        self._says = {"annotations": annotations is not None, "arguments": arguments is not None}
        self._says["capabilities"] = capabilities is not None
        given = {**(capabilities or {}), **({ANNOTATIONS: dict(annotations)} if annotations else {})}
        base = attachment or Attachment("", "", "", "")
        self.attachment = replace(base, interface=interface, capabilities=given, arguments=arguments or "")

    def remember(self, kept: Attachment) -> None:
        """Take from what ADD was given what is not said now."""
        given = dict(self.attachment.capabilities)
        for name, value in kept.capabilities.items():
            if not self._says["annotations" if name == ANNOTATIONS else "capabilities"]:
                given.setdefault(name, value)
        arguments = self.attachment.arguments if self._says["arguments"] else kept.arguments
        self.attachment = replace(self.attachment, capabilities=given, arguments=arguments)

    def capabilities(self) -> Mapping[str, Any]:
        return self.attachment.capabilities

    def environment(self) -> dict[str, str]:
        if self._is_of_network:
            return {}
        return {
            "CNI_CONTAINERID": self.attachment.container,
            "CNI_NETNS": self.attachment.namespace,
            "CNI_IFNAME": self.attachment.interface,
            "CNI_ARGS": self.attachment.arguments,
        }


def _inherited() -> dict[str, str]:
    """This process' environment without what a runtime that started it may have told it."""
    return {key: value for key, value in os.environ.items() if key not in _OF_A_RUNTIME}


def _disabling(command: str) -> str:
    """What a configuration calls that a command is not asked for."""
    return f"disable{command if command == 'GC' else command.capitalize()}"


def _collect(failures: list[CniError], ask: Any, *what: Any) -> None:
    try:
        ask(*what)
    except CniError as error:
        failures.append(error)


def _raise(failures: Sequence[CniError]) -> None:
    """The failure, or one that tells of all."""
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise CniError(
            "; ".join(error.message for error in failures), details="\n".join(filter(None, _details(failures)))
        )


def _details(failures: Sequence[CniError]) -> list[str]:
    return [error.details for error in failures]


def read(configuration: Mapping[str, Any] | str | os.PathLike[str]) -> Mapping[str, Any]:
    """A network configuration list, from a file or as it is held; of a .conf, a list of that one plugin.

    Raises `InvalidArgumentError`.
    """
    if isinstance(configuration, Mapping):
        held: Any = configuration
    else:
        try:
            held = json.loads(Path(configuration).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(f"{os.fspath(configuration)}: {error}") from None
    if isinstance(held, dict) and "plugins" not in held and "type" in held:
        of_the_list = ("name", "cniVersion", "cniVersions", "disableCheck", "disableGC")
        kept = {key: held[key] for key in of_the_list if key in held}
        held = {**kept, "plugins": [held]}  # a .conf file: one plugin
    plugins = held.get("plugins") if isinstance(held, Mapping) else None
    named = isinstance(plugins, list) and all(isinstance(plugin, Mapping) and "type" in plugin for plugin in plugins)
    if not plugins or not named:
        raise InvalidArgumentError("no network configuration list: it has no plugins, or one without a type")
    return dict(held)


def addresses(result: Mapping[str, Any]) -> list[str]:
    """The addresses that a result of ADD tells of, with their prefix lengths, in the form of any version."""
    found = [each.get("address") for each in result.get("ips") or () if isinstance(each, Mapping)]
    early = (result.get("ip4"), result.get("ip6"))  # until 0.2.0
    found += [each.get("ip") for each in early if isinstance(each, Mapping)]
    return [str(each) for each in found if each]


def routes(result: Mapping[str, Any]) -> list[str]:
    """The destinations of the routes that a result of ADD tells of, in the form of any version."""
    early = (result.get("ip4"), result.get("ip6"))
    held = [*(result.get("routes") or ()), *(route for each in early if each for route in each.get("routes") or ())]
    return [str(route["dst"]) for route in held if isinstance(route, Mapping) and route.get("dst")]


def _failure(plugin: str, command: str, done: subprocess.CompletedProcess[bytes]) -> CniError:
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and "msg" in answer:
        return CniError(f"{plugin}: {answer['msg']}", number=answer.get("code"), details=answer.get("details", ""))
    end = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
    words = done.stderr.decode(errors="replace").strip() or "no error message"
    return CniError(f"{plugin}: {command} {end}: {words.splitlines()[0]}")
