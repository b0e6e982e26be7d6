"""`holdfast cni`: the CNI plugin that fails as it is told to, and chains run by hand."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.shared import Group, SharedOptions, done, pairs

if TYPE_CHECKING:
    from holdfast.cni import Chain


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


def _attachment(work: Callable[[Chain, str, str, dict[str, Any]], None]) -> Callable[..., None]:
    """A command that does `work` with a chain, a container, its namespace, and how it is attached."""

    @functools.wraps(work)
    def command(
        configuration: str,
        container: str,
        namespace: str,
        host: str | None,
        path: str,
        annotations: Sequence[str],
        interface: str,
        timeout: float,
    ) -> None:
        from holdfast.cni import Chain, NetworkNamespace

        annotated = pairs(annotations, "--annotation", "=")
        chain = Chain(configuration, path.split(os.pathsep), host=NetworkNamespace(host) if host else None)
        work(chain, container, namespace, {"interface": interface, "annotations": annotated, "timeout": timeout})

    decorated: Callable[..., None] = command
    for decorate in (
        click.option("--timeout", type=float, default=60, show_default=True, help="Seconds for each plugin."),
        click.option("--interface", default="eth0", show_default=True, help="What the pod calls it."),
        click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Of the pod."),
        click.option(
            "--path", default="/opt/cni/bin", show_default=True, metavar="DIR[:DIR]", help="Where plugins are."
        ),
        click.option("--host", metavar="NAME", help="The named network namespace that plugins run in."),
        click.argument("namespace", type=click.Path()),
        click.argument("container"),
        click.argument("configuration", type=click.Path(dir_okay=False)),
    ):
        decorated = decorate(decorated)
    return decorated


@cni.command("add")
@_attachment
def cni_add(chain: Chain, container: str, namespace: str, options: dict[str, Any]) -> None:
    """Run a chain's ADD as a runtime does; prints the result.

    CONFIGURATION is a network configuration list, NAMESPACE a path such as /run/netns/NAME.
    """
    click.echo(json.dumps(chain.add(container, namespace, **options), indent=2))


@cni.command("delete")
@_attachment
def cni_delete(chain: Chain, container: str, namespace: str, options: dict[str, Any]) -> None:
    """Run a chain's DEL as a runtime does."""
    chain.delete(container, namespace, **options)
