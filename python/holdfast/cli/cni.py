"""`holdfast cni`: the CNI plugin that fails as it is values to, and chains run by hand."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.shared import Group, SharedOptions, done, pairs

if TYPE_CHECKING:
    from holdfast.cni import Chain, NotAsked


@click.group(cls=Group)
def cni() -> None:
    """The CNI plugin cni-bridge-fp."""


@cni.command("path")
@click.pass_obj
def cni_path(given: SharedOptions) -> None:
    """Where the plugin lies that the wheel brings."""
    from holdfast.cni import plugin

    done(given, str(plugin.path()), path=plugin.path())


@cni.command("install")
@click.argument("folder", type=click.Path())
@click.pass_obj
def cni_install(given: SharedOptions, folder: str) -> None:
    """Put the plugin into a CNI bin folder, such as /opt/cni/bin."""
    from holdfast.cni import plugin

    installed = plugin.install(folder)
    done(given, f"installed {installed}", path=installed)


_OF_CHAINS = (
    click.option("--timeout", type=float, default=60, show_default=True, help="Seconds for each plugin."),
    click.option(
        "--results",
        type=click.Path(file_okay=False),
        help="Where results of ADD are kept for CHECK and DEL; this user's state folder.",
    ),
    click.option("--path", default="/opt/cni/bin", show_default=True, metavar="DIR[:DIR]", help="Where plugins are."),
    click.option("--host", metavar="NAME", help="The named network namespace that plugins run in."),
)
_OF_ATTACHMENTS = (
    click.option("--interface", default="eth0", show_default=True, help="What the pod calls it."),
    click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Of the pod."),
    click.option(
        "--capability",
        "capabilities",
        multiple=True,
        metavar="NAME=JSON",
        help='For plugins that have it, such as portMappings=[{"hostPort": 8080, "containerPort": 80}].',
    ),
    click.option("--arguments", metavar="KEY=VALUE;...", help="CNI_ARGS."),
    click.argument("namespace", type=click.Path()),
    click.argument("container"),
)
_CONFIGURATION = click.argument("configuration", type=click.Path(dir_okay=False))


def _chain(configuration: str, path: str, host: str | None, results: str | None) -> Chain:
    from holdfast.cni import Chain, NetworkNamespace

    return Chain(configuration, path.split(os.pathsep), host=NetworkNamespace(host) if host else None, results=results)


def _decorated(command: Callable[..., None], decorators: Sequence[Callable[[Any], Any]]) -> Callable[..., None]:
    for decorate in decorators:
        command = decorate(command)
    return command


def _attachment(work: Callable[[Chain, str, str, dict[str, Any]], None]) -> Callable[..., None]:
    """A command that does `work` with a chain, a container, its namespace, and how it is attached."""

    @functools.wraps(work)
    def command(
        configuration: str,
        container: str,
        namespace: str,
        annotations: Sequence[str],
        capabilities: Sequence[str],
        arguments: str | None,
        interface: str,
        timeout: float,
        **of_chain: Any,
    ) -> None:
        options = {
            "interface": interface,
            "annotations": pairs(annotations, "--annotation", "=") or None,
            "capabilities": _capabilities(capabilities) or None,
            "arguments": arguments,
            "timeout": timeout,
        }
        work(_chain(configuration, **of_chain), container, namespace, options)

    return _decorated(command, (*_OF_CHAINS, *_OF_ATTACHMENTS, _CONFIGURATION))


def _capabilities(texts: Sequence[str]) -> dict[str, Any]:
    values = pairs(texts, "--capability", "=", "NAME=JSON")
    return {name: _json(f"--capability {name}", text) for name, text in values.items()}


def _json(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: no JSON: {error}") from None


def _network(work: Callable[..., None]) -> Callable[..., None]:
    """A command that does `work` with a chain and the rest of its options."""

    @functools.wraps(work)
    def command(configuration: str, path: str, host: str | None, results: str | None, **others: Any) -> None:
        work(_chain(configuration, path, host, results), **others)

    return _decorated(command, (*_OF_CHAINS, _CONFIGURATION))


@cni.command("add")
@_attachment
def cni_add(chain: Chain, container: str, namespace: str, options: dict[str, Any]) -> None:
    """Run a chain's ADD as a runtime does; prints the result, and keeps it for CHECK and DEL.

    CONFIGURATION is a network configuration list, NAMESPACE a path such as /run/netns/NAME.
    """
    click.echo(json.dumps(chain.add(container, namespace, **options), indent=2))


@cni.command("delete")
@_attachment
def cni_delete(chain: Chain, container: str, namespace: str, options: dict[str, Any]) -> None:
    """Run a chain's DEL as a runtime does: with what ADD said, and was values, unless you say otherwise."""
    chain.delete(container, namespace, **options)


@cni.command("check")
@_attachment
def cni_check(chain: Chain, container: str, namespace: str, options: dict[str, Any]) -> None:
    """Run a chain's CHECK as a runtime does, with what ADD said; for cniVersion 0.4.0 and later."""
    chain.check(container, namespace, **options)


@cni.command("gc")
@click.option(
    "--valid",
    multiple=True,
    metavar="CONTAINER/INTERFACE",
    help="In use; all that are kept and whose network namespace is there, unless given.",
)
@_network
def cni_gc(chain: Chain, valid: Sequence[str], timeout: float) -> None:
    """Run a chain's GC as a runtime does: DEL of what is no longer in use, then GC of each plugin that knows it."""
    used = [(name, interface) for name, _, interface in (each.rpartition("/") for each in valid)]
    if any(not name or not interface for name, interface in used):
        raise click.UsageError("--valid: write CONTAINER/INTERFACE")
    _tell(chain.gc(used or None, timeout=timeout))


@cni.command("status")
@_network
def cni_status(chain: Chain, timeout: float) -> None:
    """Ask each plugin of a chain that knows STATUS whether it can serve an ADD now; for cniVersion 1.1.0."""
    _tell(chain.status(timeout=timeout))


def _tell(not_asked: Sequence[NotAsked]) -> None:
    for each in not_asked:
        click.echo(f"holdfast: {each}", err=True)
