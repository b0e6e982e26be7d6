"""A chain of CNI plugins, run as a container runtime runs it.

Source: the CNI specification 1.0.0, sections 3 (execution) and 4 (delegation).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.cni.namespace import NetworkNamespace
from holdfast.exceptions import CniError, InvalidArgumentError

# The longest that a plugin may take unless it is told otherwise, in seconds.
PATIENCE = 60.0
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"

Result = dict[str, Any]


class Chain:
    """A network configuration list, and the folders that its plugins lie in.

    `host` is the network namespace that plugins run in; this process's own if none is given.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any] | str | os.PathLike[str],
        path: Sequence[str | os.PathLike[str]],
        *,
        host: NetworkNamespace | None = None,
    ) -> None:
        self.configuration = _read(configuration)
        self.path = [os.fspath(folder) for folder in path]
        self.host = host
        self._results: dict[tuple[str, str], Result] = {}

    @property
    def name(self) -> str:
        """The network's name."""
        return str(self.configuration.get("name", ""))

    def add(self, container: str, namespace: str | os.PathLike[str], **options: Any) -> Result:
        """ADD: every plugin in turn, each with the result of the one before it; the last result.

        `options`: `interface` ("eth0"), `annotations` (a pod's, for plugins with that capability), `arguments`
        (CNI_ARGS), `timeout` in seconds. Raises `CniError`.
        """
        result: Result | None = None
        attachment = _Attachment(container, os.fspath(namespace), **options)
        for plugin in self.configuration["plugins"]:
            result = self._ask("ADD", plugin, attachment, result)
        self._results[container, attachment.interface] = result or {}
        return result or {}

    def delete(self, container: str, namespace: str | os.PathLike[str], **options: Any) -> None:
        """DEL: every plugin from the last to the first. Raises `CniError`."""
        attachment = _Attachment(container, os.fspath(namespace), **options)
        result = self._results.get((container, attachment.interface))
        for plugin in reversed(self.configuration["plugins"]):
            self._ask("DEL", plugin, attachment, result)
        self._results.pop((container, attachment.interface), None)

    def check(self, container: str, namespace: str | os.PathLike[str], **options: Any) -> None:
        """CHECK: every plugin in turn, with the last result of ADD. Raises `CniError`."""
        attachment = _Attachment(container, os.fspath(namespace), **options)
        result = self._results.get((container, attachment.interface))
        for plugin in self.configuration["plugins"]:
            self._ask("CHECK", plugin, attachment, result)

    def _ask(self, command: str, plugin: Mapping[str, Any], attachment: _Attachment, before: Result | None) -> Result:
        executable = self._find(str(plugin["type"]))
        words = [str(executable)] if self.host is None else self.host.command([str(executable)])
        stdin = json.dumps(self._configuration_of(plugin, attachment, before)).encode()
        environment = {**os.environ, **attachment.environment(command), "CNI_PATH": os.pathsep.join(self.path)}
        try:
            done = subprocess.run(
                words, input=stdin, env=environment, capture_output=True, timeout=attachment.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise CniError(f"{plugin['type']}: no answer to {command} within {attachment.timeout} s") from None
        if done.returncode != 0:
            raise _failure(str(plugin["type"]), command, done)
        if command != "ADD":
            return {}
        try:
            result = json.loads(done.stdout)
        except ValueError:
            result = None
        if not isinstance(result, dict):
            raise CniError(f"{plugin['type']}: {command} succeeded with no result: {done.stdout[:200]!r}", number=6)
        return result

    def _find(self, plugin: str) -> Path:
        for folder in self.path:
            if (Path(folder) / plugin).is_file():
                return Path(folder) / plugin
        raise CniError(f"there is no plugin {plugin!r} in {os.pathsep.join(self.path)}")

    def _configuration_of(self, plugin: Mapping[str, Any], attachment: _Attachment, before: Result | None) -> Result:
        wanted = {name for name, on in plugin.get("capabilities", {}).items() if on}
        given = {name: value for name, value in attachment.capabilities.items() if name in wanted}
        built = {key: value for key, value in plugin.items() if key != "capabilities"}
        built.update(name=self.name, cniVersion=self.configuration.get("cniVersion", "0.1.0"))
        if given:
            built["runtimeConfig"] = given
        if before is not None:
            built["prevResult"] = before
        return built


class _Attachment:
    """A container's interface on the network."""

    def __init__(
        self,
        container: str,
        namespace: str,
        *,
        interface: str = "eth0",
        annotations: Mapping[str, str] | None = None,
        arguments: str = "",
        timeout: float = PATIENCE,
    ) -> None:
        self.interface = interface
        self.timeout = timeout
        self.capabilities = {ANNOTATIONS: dict(annotations)} if annotations else {}
        self._given = {
            "CNI_CONTAINERID": container,
            "CNI_NETNS": namespace,
            "CNI_IFNAME": interface,
            "CNI_ARGS": arguments,
        }

    def environment(self, command: str) -> dict[str, str]:
        return {**self._given, "CNI_COMMAND": command}


def _read(configuration: Mapping[str, Any] | str | os.PathLike[str]) -> Mapping[str, Any]:
    if isinstance(configuration, Mapping):
        held: Any = configuration
    else:
        try:
            held = json.loads(Path(configuration).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(f"{os.fspath(configuration)}: {error}") from None
    if isinstance(held, dict) and "plugins" not in held and "type" in held:
        kept = {key: held[key] for key in ("name", "cniVersion") if key in held}
        held = {**kept, "plugins": [held]}  # a .conf file: one plugin
    plugins = held.get("plugins") if isinstance(held, Mapping) else None
    named = isinstance(plugins, list) and all(isinstance(plugin, Mapping) and "type" in plugin for plugin in plugins)
    if not plugins or not named:
        raise InvalidArgumentError("no network configuration list: it has no plugins, or one without a type")
    return dict(held)


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
