"""One operation on a device: `holdfast roles`, `images`, `deploy`, `switchover` and the like."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import click

from holdfast import progress, visible
from holdfast.choices import RemoteProtocol, VolumeDriver, words
from holdfast.cli import reach
from holdfast.cli.shared import Command, SharedOptions, done, pairs, plain, show

# Where the wheel's test container listens.
CNTRSRV = 60061


def _roles(given: SharedOptions) -> None:
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda cp: cp.name,
        "ROLE": lambda cp: cp.role,
        "READY": lambda cp: {True: "yes", False: "no", None: "not reported"}[cp.ready],
        "SOFTWARE": lambda cp: cp.software_version or "",
    }
    show(given, reach.device(given).control_processors(), columns)


@click.command("roles", cls=Command)
@click.pass_obj
def roles_command(given: SharedOptions) -> None:
    """The control processors and their roles."""
    _roles(given)


@click.command("control-processors", cls=Command)
@click.pass_obj
def control_processors_command(given: SharedOptions) -> None:
    """The control processors and their roles."""
    _roles(given)


@click.command(cls=Command)
@click.pass_obj
def images(given: SharedOptions) -> None:
    """The images."""
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row.name,
        "TAGS": lambda row: ",".join(row.tags),
        "ID": lambda row: row.id,
    }
    show(given, reach.device(given).containerz.images(), columns)


@click.command(cls=Command)
@click.pass_obj
def containers(given: SharedOptions) -> None:
    """The containers."""
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row.name,
        "IMAGE": lambda row: row.image,
        "STATUS": lambda row: row.status,
    }
    show(given, reach.device(given).containerz.containers(), columns)


@click.command(cls=Command)
@click.pass_obj
def volumes(given: SharedOptions) -> None:
    """The volumes."""
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row.name,
        "DRIVER": lambda row: row.driver,
        "OPTIONS": lambda row: ",".join(f"{key}={value}" for key, value in row.options.items()),
    }
    show(given, reach.device(given).containerz.volumes(), columns)


@click.command(cls=Command)
@click.argument("file", type=click.Path())
@click.option("--retag", metavar="NAME:TAG", help="Another name, written into the archive on its way.")
@click.option("--platform", metavar="OS/ARCH", help="Which image of an archive that has several.")
@click.option("--replace", is_flag=True, help="The name may move from another image.")
@click.option("--lockstep", is_flag=True, help="One chunk at a time.")
@click.option("--plugin", is_flag=True, help="The file is a plugin's tar.")
@click.pass_obj
def deploy(
    given: SharedOptions,
    file: str,
    retag: str | None,
    platform: str | None,
    replace: bool,
    lockstep: bool,
    plugin: bool,
) -> None:
    """Bring an image archive to the device."""
    sent = reach.device(given).containerz.deploy(
        file, retag=retag, platform=platform, replace=replace, lockstep=lockstep, is_plugin=plugin
    )
    done(given, f"deployed {sent.name}:{sent.tag} {sent.id}", name=sent.name, tag=sent.tag, id=sent.id)


@click.command("deploy-remote", cls=Command)
@click.argument("url")
@click.argument("name", metavar="NAME:TAG")
@click.option(
    "--protocol",
    type=click.Choice(words(RemoteProtocol), case_sensitive=False),
    help="How the device fetches it; by how the URL begins if none is given.",
)
@click.pass_obj
def deploy_remote(given: SharedOptions, url: str, name: str, protocol: RemoteProtocol | None) -> None:
    """Have the device fetch an image archive from a URL by itself."""
    with reach.asking(given, f"deploy-remote {name}") as device:
        device.containerz.deploy_remote(name, url, protocol=protocol or _protocol_of(url))
    done(given, f"deployed {name} from {url}", deployed=name, url=url)


def _protocol_of(url: str) -> RemoteProtocol:
    scheme = url.partition("://")[0].upper() if "://" in url else ""
    if scheme in words(RemoteProtocol):
        return cast("RemoteProtocol", scheme)
    known = ", ".join(f"{protocol.lower()}://" for protocol in words(RemoteProtocol))
    raise click.UsageError(
        f"{url!r} does not say by which protocol it is fetched: begin it with one of {known}, or give --protocol"
    )


@click.command("remove-image", cls=Command)
@click.argument("name")
@click.option("--force", is_flag=True, help="Also one that a container uses.")
@click.pass_obj
def remove_image(given: SharedOptions, name: str, force: bool) -> None:
    """Remove an image, by NAME:TAG."""
    reach.device(given).containerz.remove_image(name, force=force)
    done(given, f"removed image {name}", removed=name)


@click.command(cls=Command)
@click.argument("name")
@click.option("--image", "image_name", required=True, metavar="NAME:TAG", help="The image, which is on the device.")
@click.option("--command", default="", help="What to run instead of the image's own command.")
@click.option("--port", "ports", multiple=True, metavar="OUTSIDE:INSIDE", help="A published port, in docker's order.")
@click.option("--volume", "mounts", multiple=True, metavar="VOLUME:PATH", help="A volume, and where it is seen.")
@click.option("--env", "environment", multiple=True, metavar="KEY=VALUE", help="A variable of its environment.")
@click.option("--network", default="", help="The device's network for it; the host's if none is given.")
@click.option(
    "--restart",
    default="ALWAYS",
    show_default=True,
    metavar="POLICY",
    help="When it is started again: ALWAYS, NONE, UNLESS_STOPPED or ON_FAILURE:ATTEMPTS.",
)
@click.pass_obj
def start(
    given: SharedOptions,
    name: str,
    image_name: str,
    command: str,
    ports: Sequence[str],
    mounts: Sequence[str],
    environment: Sequence[str],
    network: str,
    restart: str,
) -> None:
    """Start a container."""
    published = _published(ports)
    volumes, variables = pairs(mounts, "--volume", ":"), pairs(environment, "--env", "=")
    with reach.asking(given, f"start {name}") as device:
        started = device.containerz.start(
            name,
            image=image_name,
            command=command,
            ports=published,
            volumes=volumes,
            environment=variables,
            network=network,
            restart=restart,
        )
    done(given, f"started {started}", started=started)


def _published(texts: Sequence[str]) -> dict[int, int]:
    """Inside to outside, of what came in docker's order."""
    found = {}
    for outside, inside in pairs(texts, "--port", ":", "OUTSIDE:INSIDE").items():
        if not (outside.isdigit() and inside.isdigit()):
            raise click.UsageError(f"--port {outside}:{inside}: write numbers, OUTSIDE:INSIDE")
        if int(outside) == CNTRSRV != int(inside):
            raise click.UsageError(
                f"--port {outside}:{inside}: it is OUTSIDE:INSIDE, as with docker, and the test container serves "
                f"{CNTRSRV} inside: write {inside}:{outside}"
            )
        found[int(inside)] = int(outside)
    return found


@click.command(cls=Command)
@click.argument("name")
@click.option("--force", is_flag=True, help="Kill it where it does not end by itself.")
@click.pass_obj
def stop(given: SharedOptions, name: str, force: bool) -> None:
    """Stop a container."""
    with reach.asking(given, f"stop {name}") as device:
        device.containerz.stop(name, force=force)
    done(given, f"stopped {name}", stopped=name)


@click.command(cls=Command)
@click.argument("name")
@click.option("--force", is_flag=True, help="Also one that runs.")
@click.pass_obj
def remove(given: SharedOptions, name: str, force: bool) -> None:
    """Remove a container."""
    with reach.asking(given, f"remove {name}") as device:
        device.containerz.remove(name, force=force)
    done(given, f"removed {name}", removed=name)


def _for_the_reader(line: str) -> str:
    """As the container wrote it for a file or a program; harmless for a terminal."""
    return visible.line(line) if sys.stdout.isatty() else line


_resume = click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="What is followed outlives a failover, and a line between says so; else it ends with UNAVAILABLE.",
)


@click.command(cls=Command)
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@_resume
@click.pass_obj
def logs(given: SharedOptions, name: str, follow: bool, resume: bool) -> None:
    """A container's log."""
    containerz = reach.device(given).containerz
    if not follow:
        for line in containerz.logs(name):
            click.echo(json.dumps({"line": line}) if given.as_json else _for_the_reader(line))
        return
    for came in containerz.follow_logs(name, resume=resume):
        if given.as_json and came.resumed:
            click.echo(json.dumps({"resumed": True, "why": came.why, "cut": came.cut}))
        else:
            click.echo(json.dumps({"line": came}) if given.as_json else _for_the_reader(came))


@click.command("create-volume", cls=Command)
@click.argument("name")
@click.option("--driver", type=click.Choice(words(VolumeDriver)), help="The device's own choice if none is given.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the driver's.")
@click.pass_obj
def create_volume(given: SharedOptions, name: str, driver: VolumeDriver | None, options: Sequence[str]) -> None:
    """Create a volume."""
    made = reach.device(given).containerz.create_volume(name, driver=driver, options=pairs(options, "--option", "="))
    done(given, f"created volume {made}", created=made)


@click.command("remove-volume", cls=Command)
@click.argument("name")
@click.option("--force", is_flag=True, help="Also one that is not there, or in use, as far as the device goes along.")
@click.pass_obj
def remove_volume(given: SharedOptions, name: str, force: bool) -> None:
    """Remove a volume and its data."""
    reach.device(given).containerz.remove_volume(name, force=force)
    done(given, f"removed volume {name}", removed=name)


def _confirm(yes: bool, what: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {what}: say --yes")
    click.confirm(f"This will {what}. Go on?", abort=True)


def _away(outage: Any) -> str:
    return "it was never away" if outage is None else f"away for {outage.seconds:.2f} s"


@click.command(cls=Command)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--redundant", is_flag=True, help="Wait until the old primary is back in step.")
@click.pass_obj
def switchover(given: SharedOptions, yes: bool, redundant: bool) -> None:
    """Fail over to the standby, and prove that it happened."""
    device = reach.device(given)
    _confirm(yes, f"fail {device.name} over to its standby")
    limits = device.deadlines()
    limit = limits["ready"] + limits["switchover"] + (limits["redundant"] if redundant else 0)
    moved = device.switchover(redundant=redundant, progress=progress.limited("switchover", limit))
    done(given, f"{moved.origin} -> {moved.target}, {_away(moved.outage)}", **plain(moved))


@click.command(cls=Command)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also where the device would refuse.")
@click.pass_obj
def reboot(given: SharedOptions, yes: bool, force: bool) -> None:
    """Reboot the chassis, cold, and prove that it happened."""
    device = reach.device(given)
    _confirm(yes, f"reboot {device.name}")
    rebooted = device.reboot(force=force, progress=progress.limited("reboot", device.deadlines()["reboot"]))
    done(given, f"rebooted, {_away(rebooted.outage)}", **plain(rebooted))


ALL = (
    roles_command,
    control_processors_command,
    images,
    containers,
    volumes,
    deploy,
    deploy_remote,
    remove_image,
    start,
    stop,
    remove,
    logs,
    create_volume,
    remove_volume,
    switchover,
    reboot,
)
