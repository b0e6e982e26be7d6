"""`holdfast storage`, `holdfast lab` and `holdfast ledger`."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from holdfast import progress
from holdfast.cli.shared import nothing_left
from holdfast.exit_codes import DONE, FAILED

if TYPE_CHECKING:
    from holdfast import _core

# For the lab's Kubernetes to come up, in seconds.
START = 180.0


@click.group()
def storage() -> None:
    """The emulated storage provider."""


@storage.command("serve")
@click.option("--csi", type=click.Path(file_okay=False), help="A folder for CSI sockets, NODE.sock each.")
@click.option("--docker", type=click.Path(file_okay=False), help="A folder for Docker volume plugins' sockets instead.")
@click.option("--nodes", default="node1,node2,node3", show_default=True, metavar="A,B,…", help="A plugin on each.")
@click.option("--failpoint", "failpoints", multiple=True, metavar="NAME=TERMS", help="Arm a failpoint.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the failpoints' chance.")
def serve(csi: str | None, docker: str | None, nodes: str, failpoints: Sequence[str], seed: int) -> None:
    """An EMULATED storage provider, until Ctrl-C or SIGTERM. Nothing is mounted: targets are empty folders."""
    from holdfast import failpoint
    from holdfast import storage as rooms

    if csi and docker:
        raise click.UsageError("--csi and --docker are two faces: give one of them")
    names = [name.strip() for name in nodes.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise click.UsageError("--nodes wants names, each another: --nodes A,B")
    armed = dict(failpoint.read_environment("\n".join(failpoints)))
    armed.update(failpoint.read_environment(os.environ.get("HOLDFAST_STORAGE_FAILPOINTS", "")))
    with tempfile.TemporaryDirectory(prefix="holdfast-storage-") as own:
        folder, face = (docker, "docker") if docker else (csi or own, "csi")
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        click.echo("EMULATED storage provider", err=True)
        sockets = [f"{face} {name} unix://{os.path.abspath(folder)}/{name}.sock" for name in names]  # noqa: PTH100
        served = (face, folder)
        _until_interrupted(
            lambda: rooms.emulated(nodes=names, failpoints=armed, seed=seed, served=served),
            "\n".join([*sockets, "serving"]),
        )


def _until_interrupted(start: Callable[[], _core.StorageLab | _core.StorageService], what: str) -> None:
    """Serve until Ctrl-C or SIGTERM; `what` is printed once it does."""
    ends = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread starts, so that none of them takes these
    service = start()
    click.echo(what)
    sys.stdout.flush()
    signal.sigwait(ends)
    service.close()


@storage.command("server")
@click.option("--listen", required=True, metavar="ADDRESS:PORT", help="CSI's controller, over TCP.")
@click.option("--exports", required=True, metavar="ADDRESS", help="Where the volumes' data is served.")
@click.option("--folder", required=True, type=click.Path(file_okay=False), help="Where the volumes are kept.")
def server(listen: str, exports: str, folder: str) -> None:
    """The server of the lab's own driver: a file and an nbdkit for each volume."""
    from holdfast import _core

    _until_interrupted(lambda: _core.storage_server(listen, exports, folder), f"serving on {listen}")


@storage.command("plugin")
@click.option("--endpoint", required=True, metavar="unix:///PATH", help="CSI's identity, controller and node.")
@click.option("--nodeid", required=True, metavar="NAME", help="The node that it is on.")
@click.option("--server", required=True, metavar="ADDRESS:PORT", help="The driver's server.")
@click.option("--folder", required=True, type=click.Path(file_okay=False), help="For what it needs to mount volumes.")
def plugin(endpoint: str, nodeid: str, server: str, folder: str) -> None:
    """The plugin of the lab's own driver on a node. It mounts: as root."""
    from holdfast import _core

    socket = endpoint.removeprefix("unix://")
    _until_interrupted(
        lambda: _core.storage_plugin(socket, nodeid, server, folder, timeout=30), f"serving on {endpoint}"
    )


@click.group()
def lab() -> None:
    """The lab: the devices of a testbed, and where storage providers are qualified."""


@lab.command("up")
@click.argument("what", type=click.Choice(["kubernetes"]))
@click.option("--provider", default="nbd", show_default=True, metavar="NAME|FILE", help="Whose driver it has.")
@click.option(
    "--start", type=click.FloatRange(min=1), default=START, show_default=True, help="For all to come up, in s."
)
def up(what: str, provider: str, start: float) -> None:
    """A Kubernetes of nodes on this machine, with a provider's driver, until Ctrl-C or SIGTERM. Linux, as root.

    Prints how kubectl reaches it. Nothing of it is left when this command ends.
    """
    from holdfast.storage import standing

    ends = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread starts, so that none of them takes these
    with standing.stand(standing.readable(provider, what), start=start, longer=_longer(start)) as lab:
        for line in standing.introduce(lab):
            click.echo(line)
        sys.stdout.flush()
        signal.sigwait(ends)


def _longer(start: float) -> str:
    return f"--start {max(START, 2 * start):g}"


@lab.command("clean")
@click.option("--yes", is_flag=True, help="Remove them.")
@click.option("--kubeconfig", metavar="FILE", help="What runs left in a Kubernetes of your own, instead of here.")
@click.option("--context", metavar="NAME", help="The context in it, if not its current one.")
@click.option("--from-elsewhere", is_flag=True, help="Of runs on other machines, too: they may be under way.")
@click.option("--engine", metavar="unix:///PATH", help="What emulated devices left in this Docker engine.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=120.0, show_default=True, help="For each run to go, in s."
)
def clean(
    yes: bool, kubeconfig: str | None, context: str | None, from_elsewhere: bool, engine: str | None, timeout: float
) -> None:
    """List the folders that labs left whose pytest was killed; with --yes, remove them. Nothing else can be left here.

    Only folders of this user's are looked at. With --kubeconfig, the namespaces that runs left in that cluster: what
    they did to nodes is undone with them. With --engine, the containers, images and volumes of emulated devices
    (`holdfast emulate --runtime docker`) whose process is no more; nothing else there is touched.
    """
    from holdfast import visible
    from holdfast.storage import leftovers

    if kubeconfig is not None:
        _clean_cluster(kubeconfig, context, yes=yes, from_elsewhere=from_elsewhere, timeout=timeout)
        return
    if engine is not None:
        _clean_engine(engine, yes=yes)
        return
    found = leftovers.find()
    if not found:
        nothing_left("no lab that was killed has left anything here")
    for folder in found:
        click.echo(visible.line(str(folder)))
    stayed = leftovers.remove_all(found) if yes else {}
    for folder, why in stayed.items():
        click.echo(f"holdfast: could not remove {visible.line(f'{folder}: {why}')}", err=True)
    sys.exit((FAILED if stayed else DONE).command)


def _clean_cluster(kubeconfig: str, context: str | None, *, yes: bool, from_elsewhere: bool, timeout: float) -> None:
    from holdfast import _core, journal, scratch, visible

    with progress.during("asking the cluster", timeout):
        runs = _core.storage_cluster_runs(kubeconfig, context, timeout=timeout)
    stayed = False
    if not runs:
        nothing_left("no run has left anything in that cluster")
    for found in runs:
        if not (found.machine or found.process):  # as no run in a cluster of somebody's own is
            click.echo(visible.line(f"{found.namespace}: the lab that this Kubernetes is, since {found.since}"))
            click.echo("    left alone: it ends with its own command, `holdfast lab up kubernetes`, or its test")
            continue
        ours = found.machine == journal.machine()
        whose = "this machine" if ours else f"another machine ({found.machine or 'unnamed'})"
        click.echo(visible.line(f"{found.namespace}: run {found.run[:8]} of {whose}, since {found.since}"))
        if ours and not scratch.is_gone(found.process):
            click.echo("    left alone: it is under way")
        elif not ours and not from_elsewhere:
            click.echo("    left alone: it may be under way there; --from-elsewhere takes it too")
        elif yes:
            with progress.during(f"removing {found.namespace}", timeout):
                why = _ended(kubeconfig, context, found.namespace, timeout)
            stayed = stayed or why is not None
            if why is not None:
                click.echo(f"holdfast: {visible.line(why)}", err=True)
    sys.exit((FAILED if stayed else DONE).command)


def _clean_engine(address: str, *, yes: bool) -> None:
    from holdfast import engine_leftovers, visible

    found = engine_leftovers.find(address)
    if not found:
        nothing_left(f"no emulated device that was killed has left anything in {address}")
    for thing in found:
        click.echo(str(thing))
    with progress.during(f"removing {len(found)} things"):
        stayed = engine_leftovers.remove_all(address, found) if yes else {}
    for name, why in stayed.items():
        click.echo(f"holdfast: could not remove {visible.line(f'{name}: {why}')}", err=True)
    sys.exit((FAILED if stayed else DONE).command)


def _ended(kubeconfig: str, context: str | None, namespace: str, timeout: float) -> str | None:
    """Removes what a run left; why it stays, where it does."""
    from holdfast import _core
    from holdfast.exceptions import HoldfastError

    try:
        _core.storage_cluster_end(kubeconfig, context, namespace, timeout=timeout)
    except HoldfastError as error:
        return str(error.message)
    return None


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def ledger(arguments: Sequence[str]) -> None:
    """Write a ledger on a volume, or compare one with what was acknowledged (docs/ledger.md)."""
    from holdfast import ledger as executable

    executable.run(arguments)
