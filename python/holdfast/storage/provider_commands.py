"""`holdfast provider`."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import click

from holdfast import choices, progress
from holdfast.exceptions import InvalidArgumentError
from holdfast.exit_codes import DONE, FAILED


@click.group()
def provider() -> None:
    """Storage providers to qualify."""


@provider.command("check")
@click.argument("file")
@click.option("--runner", type=click.Choice(choices.words(choices.StorageRunner)), help="Instead of the file's.")
@click.option("--start/--no-start", default=True, help="Start the plugin on one node of a lab (as root), and ask it.")
@click.option("--timeout", metavar="TIME", help="For the plugin to answer, instead of the file's (30s).")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def check(file: str, runner: str | None, start: bool, timeout: str | None, as_json: bool) -> None:
    """Try what a provider file names, and say of each scenario whether it would run, and why not.

    Commands, tools, sockets and files are looked for; the plugin is started on one node of a lab of its own and asked
    what it can do, or the plugins on hosts are asked. No volume is made, no fault is done, and nothing is left over.
    """
    from holdfast.storage.plan import plan
    from holdfast.storage.provider import read, trying

    found = read(file, runner=runner)
    limit = None if timeout is None else _seconds(timeout)
    with progress.during(f"trying what {file} names"):
        trial = trying.try_out(found, start=start, timeout=limit)
    most = 0 if trial.plugin is None else trial.plugin.max_volumes
    planned = list(plan(found, trial.capabilities, trial.lacks, most))
    if not trial.is_good:
        mended = "would run, once what is wrong is right"
        planned = [(name, title, re.sub(r"^runs\b", mended, verdict)) for name, title, verdict in planned]
    if as_json:
        facts = {
            "file": file,
            "tried": [asdict(each) for each in trial.tried],
            "plugin": None if trial.plugin is None else asdict(trial.plugin),
            "scenarios": [{"name": name, "title": title, "verdict": verdict} for name, title, verdict in planned],
        }
        click.echo(json.dumps(facts, indent=2))
    else:
        for each in trial.tried:
            click.echo(str(each))
        for line in [] if trial.plugin is None else trial.plugin.lines():
            click.echo(f"    {line}")
        for name, title, verdict in planned:
            click.echo(f"{name:<4} {title:<30} {verdict}")
    sys.exit((DONE if trial.is_good else FAILED).command)


@provider.command("init")
@click.option("--socket", metavar="ADDRESS", help="Of a plugin that runs: unix:///PATH, tcp://HOST:PORT, .spec, .json.")
@click.option("--start", metavar="COMMAND", help="Starts a plugin, as `start` in the file: with {socket}, {node}, …")
@click.option("-o", "--output", metavar="FILE", default="provider.yaml", show_default=True, help="What to write.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--timeout", default="30s", show_default=True, metavar="TIME", help="For the plugin to answer.")
def init(socket: str | None, start: str | None, output: str, force: bool, timeout: str) -> None:
    """Ask a plugin what it can do, and write a provider file with that in its comments.

    Whether it is a CSI driver or a Docker volume plugin is found out. It is asked for words alone: no volume is made.
    What --start starts is ended again.
    """
    from holdfast.storage.provider.draft import draft
    from holdfast.storage.provider.introduction import introduce
    from holdfast.storage.provider.starting import ask_started

    if (socket is None) == (start is None):
        raise click.UsageError("give --socket of a plugin that runs, or --start with the command that starts one")
    path = Path(output)
    if path.exists() and not force:
        raise InvalidArgumentError(f"{output} is there", hint="give another -o FILE, or --force to write over it")
    if not path.absolute().parent.is_dir():
        raise InvalidArgumentError(f"{output}: there is no folder {path.absolute().parent}")
    folder, seconds = path.absolute().parent, _seconds(timeout)
    with progress.during("asking the plugin", seconds):
        if socket is not None:
            address = str(Path(socket).absolute()) if "://" not in socket else socket
            found = introduce(address, timeout=seconds)
        else:
            found = ask_started(str(start), folder, timeout=seconds)
    with path.open("w" if force else "x", encoding="utf-8") as file:
        file.write(draft(found, start=start or "", file=output))
    for line in found.lines():
        click.echo(line)
    click.echo(f"written: {output}; next: holdfast provider check {output}")


@provider.command("manifest")
@click.option(
    "--account", default="default/holdfast", show_default=True, metavar="NAMESPACE/NAME", help="The service account."
)
@click.option("--node-access", is_flag=True, help="With what node_access: daemonset needs.")
def manifest(account: str, node_access: bool) -> None:
    """Print what a run needs of a Kubernetes as YAML for its administrator: a ClusterRole, and who gets it."""
    from holdfast.storage import rights

    if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9.-]+", account):
        raise InvalidArgumentError(f"--account {account!r}", hint="NAMESPACE/NAME, such as default/holdfast")
    click.echo(rights.manifest(account, node_access), nl=False)


@provider.command("schema")
def schema() -> None:
    """Print the JSON schema of a provider file, for an editor."""
    from holdfast.storage.provider import schema as schemas

    click.echo(schemas.written(), nl=False)


def _seconds(time: str) -> float:
    from holdfast import deadlines

    try:
        return deadlines.seconds(time)
    except ValueError as error:
        raise click.UsageError(f"--timeout {time}: {error}") from None
