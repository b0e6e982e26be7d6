"""The command `holdfast`.

Exit codes: 0, 1 (the device said no), 2 (usage), 3 (unreachable, or outcome unknown).
"""

from __future__ import annotations

import functools
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast._version import __version__
from holdfast.exceptions import ConnectError, HoldfastError, InvalidArgumentError, OutcomeUnknown, Timeout
from holdfast.options import environment_flag
from holdfast.secret import Secret, first_line, from_environment
from holdfast.storage import commands

if TYPE_CHECKING:
    from holdfast import Device, Tls
    from holdfast.cni import Chain
    from holdfast.failpoint import Failpoints
    from holdfast.testbed import Target

SUITES = ("cntr1", "cntr2", "cntr3", "midway", "cni", "torpedo")
_SECRET_FILE = click.Path(exists=True, dir_okay=False)
# Options with a value that pytest's are named like.
_TEXTS = (
    "dut_username",
    "dut_password_file",
    "dut_ca",
    "dut_cert",
    "dut_key",
    "dut_key_password_file",
    "dut_server_name",
    "dut_profile",
    "dut_gnoi",
    "dut_container_host",
)


class _Group(click.Group):
    """Turns our errors into one line of what and one of what to try, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HoldfastError as error:
            click.echo(f"holdfast: {error.message}", err=True)
            click.echo(f"try: {error.hint or 'holdfast --help'}", err=True)
            ctx.exit(_exit_code(error))
        except KeyboardInterrupt:
            ctx.exit(130)


def _exit_code(error: HoldfastError) -> int:
    if isinstance(error, ConnectError | OutcomeUnknown | Timeout):
        return 3
    return 2 if isinstance(error, InvalidArgumentError) else 1


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="holdfast")
@click.option("--dut", metavar="HOST[:PORT][,HOST…]", help="The device; several addresses: one for each supervisor.")
@click.option("--testbed", multiple=True, type=click.Path(exists=True, dir_okay=False), help="A file with devices.")
@click.option("--device", metavar="NAME", help="Which device of the testbed.")
@click.option("--dut-profile", metavar="NAME", help="The vendor's ways: a name, or a YAML file.")
@click.option("--dut-gnoi", metavar="HOST[:PORT]", help="Where gNOI is served, if not where gNMI is.")
@click.option("--dut-container-host", metavar="HOST", help="Where containers' ports are, if not on the device.")
@click.option("--dut-insecure", is_flag=True, help="Plaintext gRPC instead of TLS.")
@click.option("--dut-ca", metavar="FILE", help="Who signs the device's certificate (PEM).")
@click.option("--dut-cert", metavar="FILE", help="Our certificate, for a device that wants one (PEM).")
@click.option("--dut-key", metavar="FILE", help="Its key; HOLDFAST_KEY_PASSWORD opens an encrypted one.")
@click.option(
    "--dut-key-password-file",
    type=_SECRET_FILE,
    help="A file whose first line opens the key.",
)
@click.option("--dut-server-name", metavar="NAME", help="What the device's certificate is for.")
@click.option("--dut-skip-verify", is_flag=True, help="TLS with whoever answers.")
@click.option("--dut-username", metavar="NAME", help="Who logs in; the password comes from HOLDFAST_PASSWORD.")
@click.option("--dut-password-file", type=_SECRET_FILE, help="A file whose first line is the password.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Fail the thing under a container; prove that the container and its data held."""
    ctx.obj = options


def _device(ctx: click.Context) -> Device:
    import holdfast

    options = ctx.obj
    if options["testbed"]:
        return _of_testbed(options).connect()
    address = options["dut"] or os.environ.get("HOLDFAST_DUT")
    if not address:
        raise click.UsageError("which device? Give --dut HOST[:PORT] or --testbed FILE before the command.")
    ways = {
        "profile": options["dut_profile"] or os.environ.get("HOLDFAST_DUT_PROFILE") or "auto",
        "gnoi": options["dut_gnoi"],
        "container_host": options["dut_container_host"],
    }
    password = _secret(options["dut_password_file"], "HOLDFAST_PASSWORD")
    username = options["dut_username"] or os.environ.get("HOLDFAST_DUT_USERNAME")
    password = password if username else None  # without a name, it is sent nowhere
    tls = _tls(options)
    if _flag(options, "dut_insecure"):
        if tls != holdfast.Tls():
            raise click.UsageError("--dut-insecure is plaintext, and the other options are for TLS: give one of them.")
        return holdfast.connect(address, insecure=True, username=username, password=password, **ways)
    if tls.skip_verify:
        click.echo(f"holdfast: NOT VERIFIED: whoever answers at {address} is trusted (--dut-skip-verify)", err=True)
    return holdfast.connect(address, tls=tls, username=username, password=password, **ways)


def _of_testbed(options: Mapping[str, Any]) -> Target:
    from holdfast import testbed

    if options["dut"]:
        raise click.UsageError("--dut and --testbed both say where the device is: give one of them.")
    targets = [target for target in testbed.read(*options["testbed"]) if not target.emulated]
    wanted = [target for target in targets if options["device"] in (None, target.name)]
    if len(wanted) != 1:
        names = ", ".join(target.name for target in targets) or "none that is not emulated"
        raise click.UsageError(f"which device of the testbed? Give --device NAME; there is {names}.")
    return wanted[0]


def _tls(options: Mapping[str, Any]) -> Tls:
    import holdfast

    def given(name: str) -> str | None:
        return options[name] or os.environ.get(f"HOLDFAST_{name.upper()}") or None

    return holdfast.Tls(
        ca=given("dut_ca"),
        cert=given("dut_cert"),
        key=given("dut_key"),
        key_password=_secret(options["dut_key_password_file"], "HOLDFAST_KEY_PASSWORD") if given("dut_key") else None,
        server_name=given("dut_server_name"),
        skip_verify=_flag(options, "dut_skip_verify"),
    )


def _flag(options: Mapping[str, Any], name: str) -> bool:
    return bool(options[name]) or environment_flag(f"HOLDFAST_{name.upper()}")


def _secret(file: str | None, variable: str) -> Secret | None:
    try:
        return first_line(file) if file else from_environment(variable)
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _show(ctx: click.Context, rows: Iterable[Any], columns: dict[str, Callable[[Any], object]]) -> None:
    """A table for people, JSON for programs."""
    rows = tuple(rows)
    if ctx.obj["as_json"]:
        click.echo(json.dumps(_plain(rows), default=str, indent=2))
        return
    cells = [list(columns)] + [[str(cell(row)) for cell in columns.values()] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for line in cells:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _done(ctx: click.Context, what: str, **facts: Any) -> None:
    click.echo(json.dumps(facts, default=str) if ctx.obj["as_json"] else what)


@main.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("suite", type=click.Choice(SUITES))
@click.pass_context
def run(ctx: click.Context, suite: str) -> None:
    """Run a suite; all further options are pytest's."""
    import pytest

    import holdfast

    path = Path(holdfast.__file__).parent / "suites" / suite
    options = ctx.obj
    given = [f"--dut={options['dut']}"] if options["dut"] else []
    given += [f"--testbed={file}" for file in options["testbed"]]
    for name in ("dut_insecure", "dut_skip_verify"):
        given += [f"--{name.replace('_', '-')}"] if options[name] else []
    for name in _TEXTS:
        given += [f"--{name.replace('_', '-')}={options[name]}"] if options[name] else []
    ctx.exit(int(pytest.main([str(path), *given, *ctx.args])))


@main.command()
@click.option(
    "--listen",
    default="127.0.0.1:9339",
    show_default=True,
    metavar="IP:PORT[,IP:PORT]",
    help="Port 0 takes a free one; two: one for each control processor.",
)
@click.option("--gnoi-port", type=int, help="Serve gNOI on a port of its own; 0 takes a free one.")
@click.option(
    "--inner-gnmi-port", type=int, help="Where its containers dial its gNMI, by TLS; a free one if none is given."
)
@click.option("--inner-gribi-port", type=int, help="The same of its gRIBI.")
@click.option("--profile", default="generic", show_default=True, metavar="NAME", help="Play a vendor's device.")
@click.option("--names", metavar="A,B", help="What the control processors are called.")
@click.option("--outage", metavar="TIME", help="How long a failover takes, such as 2s.")
@click.option("--black-hole", is_flag=True, help="An outage is silence instead of closed sockets.")
@click.option("--failpoint", "failpoints", multiple=True, metavar="NAME=TERMS", help="Arm a failpoint.")
@click.option(
    "--failpoint-file", type=click.Path(dir_okay=False), help='Arm the failpoints of a JSON file: {"NAME": "TERMS"}.'
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the failpoints' chance.")
@click.option("--quirk", "quirks", multiple=True, metavar="NAME", help="An oddity of servers in the field.")
@click.option("--state", type=click.Path(file_okay=False), help="Keep what it stores in this folder.")
@click.option("--tls", type=click.Path(file_okay=False), help="TLS; what a client needs is written into this folder.")
@click.option("--mutual", is_flag=True, help="With --tls: clients must show a certificate.")
@click.option("--user", metavar="NAME", help="Who may log in, with the password in HOLDFAST_PASSWORD.")
def emulate(
    listen: str,
    gnoi_port: int | None,
    inner_gnmi_port: int | None,
    inner_gribi_port: int | None,
    profile: str,
    names: str | None,
    outage: str | None,
    black_hole: bool,
    failpoints: Sequence[str],
    failpoint_file: str | None,
    seed: int,
    quirks: Sequence[str],
    state: str | None,
    tls: str | None,
    mutual: bool,
    user: str | None,
) -> None:
    """An EMULATED dual-supervisor device, until Ctrl-C or SIGTERM."""
    import signal

    import holdfast
    from holdfast import failpoint
    from holdfast.pytest_plugin.options import deadline

    first, _, second = (names or "").partition(",")
    if names and (not second or "," in second):
        raise click.UsageError("--names wants two names: --names A,B")
    if mutual and not tls:
        raise click.UsageError("--mutual goes with --tls DIR")
    pair = (first, second) if names else None
    ends = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before any thread starts, so that none of them takes these
    armed = failpoint.read_environment("\n".join(failpoints))
    armed += failpoint.read_file(failpoint_file) if failpoint_file else []
    armed += failpoint.read_environment(os.environ.get("HOLDFAST_FAILPOINTS", ""))
    chassis = holdfast.emulator(
        listen=listen,
        gnoi_port=gnoi_port,
        inner_gnmi_port=inner_gnmi_port,
        inner_gribi_port=inner_gribi_port,
        profile=profile,
        names=pair,
        outage=deadline(f"outage={outage}")[1] if outage else None,
        black_hole=black_hole,
        quirks=quirks,
        state=state,
        seed=seed,
        tls=("mutual" if mutual else True) if tls else False,
        certificates=tls,
        users={user: from_environment("HOLDFAST_PASSWORD") or ""} if user else None,
    )
    with chassis:
        for name, terms in armed:
            chassis.arm(name, terms)
        click.echo(f"EMULATED device, holdfast {__version__}", err=True)
        click.echo(f"failpoints are armed over {chassis.control}", err=True)
        click.echo(f"its containers dial gNMI on {chassis.inner.gnmi}, gRIBI on {chassis.inner.gribi}", err=True)
        if gnoi_port is not None:
            click.echo(f"gNOI on {chassis.gnoi}", err=True)
        click.echo(f"listening on {chassis.address}")
        sys.stdout.flush()
        signal.sigwait(ends)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("-o", "--output", default="holdfast-report.html", show_default=True, type=click.Path(dir_okay=False))
@click.pass_context
def report(ctx: click.Context, folder: str, output: str) -> None:
    """A page about a run, from the folder that its --dut-artifacts wrote."""
    from holdfast import report as reports

    account = reports.read(folder)
    account.write(output)
    _done(ctx, f"{output}: {len(account.cases)} cases", report=output, cases=len(account.cases))


@main.command()
@click.argument("before", type=click.Path(file_okay=False))
@click.argument("after", type=click.Path(file_okay=False))
@click.pass_context
def compare(ctx: click.Context, before: str, after: str) -> None:
    """What changed from one run to another; exit code 1 where a verdict got worse."""
    from holdfast import report as reports

    found = reports.compare(before, after)
    if ctx.obj["as_json"]:
        click.echo(json.dumps(_plain(found.changes), indent=2))
    else:
        for change in found.changes:
            judged = {True: " (better)", False: " (WORSE)", None: ""}[change.better]
            was, now = (textwrap.shorten(text, 100, placeholder="…") for text in (change.before, change.after))
            click.echo(f"{change.case:<10} {change.what}: {was} -> {now}{judged}")
        click.echo(f"{len(found.changes)} changes" if found.changes else "nothing changed")
    ctx.exit(1 if found.worse else 0)


@main.group()
def cni() -> None:
    """The CNI plugin cni-bridge-fp."""


@cni.command("path")
@click.pass_context
def cni_path(ctx: click.Context) -> None:
    """Where the plugin lies that the wheel brings."""
    from holdfast.cni import plugin

    _done(ctx, str(plugin.path()), path=plugin.path())


@cni.command("install")
@click.argument("folder", type=click.Path())
@click.pass_context
def cni_install(ctx: click.Context, folder: str) -> None:
    """Put the plugin into a CNI bin folder, such as /opt/cni/bin."""
    from holdfast.cni import plugin

    installed = plugin.install(folder)
    _done(ctx, f"installed {installed}", path=installed)


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

        pairs = _pairs(annotations, "--annotation", "=")
        chain = Chain(configuration, path.split(os.pathsep), host=NetworkNamespace(host) if host else None)
        work(chain, container, namespace, {"interface": interface, "annotations": pairs, "timeout": timeout})

    decorated: Callable[..., None] = command
    for decorate in (
        click.option("--timeout", type=float, default=60, show_default=True, help="Seconds for each plugin."),
        click.option("--interface", default="eth0", show_default=True),
        click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Of the pod."),
        click.option("--path", "path", default="/opt/cni/bin", show_default=True, metavar="DIR[:DIR]"),
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


@main.group()
def image() -> None:
    """Image archives."""


@image.command("cntrsrv")
@click.option("-o", "--output", default="cntrsrv.tar", show_default=True, type=click.Path(dir_okay=False))
@click.option("--name", default="cntrsrv_image", show_default=True)
@click.option("--tag", default="latest", show_default=True)
@click.option("--platform", metavar="linux/amd64|linux/arm64", help="This machine's own if none is given.")
@click.pass_context
def image_cntrsrv(ctx: click.Context, output: str, name: str, tag: str, platform: str | None) -> None:
    """Write the test container's archive."""
    from holdfast import Archive, cntrsrv

    cntrsrv.write_archive(output, name=name, tag=tag, platform=platform)
    written = Archive.open(output).images[0]
    _done(ctx, f"{output}: {name}:{tag}, {written.platform}, {written.id}", path=output, id=written.id)


@image.command("plugin")
@click.option("-o", "--output", default="plugin.tar", show_default=True, type=click.Path(dir_okay=False))
@click.option("--platform", metavar="linux/amd64|linux/arm64", help="This machine's own if none is given.")
@click.pass_context
def image_plugin(ctx: click.Context, output: str, platform: str | None) -> None:
    """Write the test plugin's archive, as `docker plugin create` and Deploy take it."""
    from holdfast import plugin_archive

    plugin_archive.write_archive(output, platform=platform)
    _done(ctx, output, path=output)


@image.command("show")
@click.argument("file", type=click.Path())
@click.pass_context
def image_show(ctx: click.Context, file: str) -> None:
    """What is in an archive."""
    from holdfast import Archive

    archive = Archive.open(file)
    if ctx.obj["as_json"]:
        click.echo(json.dumps(_plain(archive), indent=2))
        return
    packed = "gzip" if archive.gzip else "plain"
    click.echo(f"{archive.path}: {archive.layout} layout, {packed}, {archive.size} bytes")
    for held in archive.images:
        click.echo(f"  names     {', '.join(held.names) or 'none'}")
        click.echo(f"  id        {held.id}")
        click.echo(f"  platform  {held.platform}")
        click.echo(f"  command   {' '.join(held.command) or 'none'}")
        for layer in held.layers:
            click.echo(f"  layer     {layer.digest}  {layer.size} bytes")


@main.command("failpoints")
@click.option("--provider", type=click.Choice(("emulator", "cni-bridge-fp", "storage")), help="Those of one provider.")
@click.pass_context
def failpoints_command(ctx: click.Context, provider: str | None) -> None:
    """Every failpoint's name, with a line on each."""
    from holdfast import _core

    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row["name"],
        "PROVIDER": lambda row: row["provider"],
        "WHAT HAPPENS": lambda row: row["help"],
    }
    keys = ("provider", "name", "help")
    rows = [dict(zip(keys, row, strict=True)) for row in _core.failpoint_names() if provider in {None, row[0]}]
    _show(ctx, rows, columns)


@main.group("failpoint")
@click.option(
    "--control", required=True, metavar="PATH", help="An emulated device's state folder, or its control socket."
)
@click.pass_context
def failpoint_group(ctx: click.Context, control: str) -> None:
    """The failpoints of an emulated device that runs in another process."""
    ctx.obj["control"] = control


def _far_failpoints(ctx: click.Context) -> Failpoints:
    from holdfast import failpoint

    return failpoint.control(ctx.obj["control"])


@failpoint_group.command("arm")
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=TERMS…")
@click.pass_context
def failpoint_arm(ctx: click.Context, pairs: Sequence[str]) -> None:
    """Arm failpoints until they are disarmed."""
    from holdfast import failpoint

    armed = failpoint.read_environment("\n".join(pairs))
    for name, terms in armed:
        _far_failpoints(ctx).arm(name, terms)
    _done(ctx, "\n".join(f"armed {name}={terms}" for name, terms in armed), armed=dict(armed))


@failpoint_group.command("disarm")
@click.argument("name")
@click.pass_context
def failpoint_disarm(ctx: click.Context, name: str) -> None:
    """Disarm a failpoint, and say how often it was hit."""
    hits = _far_failpoints(ctx).disarm(name)
    _done(ctx, f"disarmed {name}: {hits} hits", disarmed=name, hits=hits)


@failpoint_group.command("release")
@click.argument("name")
@click.pass_context
def failpoint_release(ctx: click.Context, name: str) -> None:
    """Let go on who waits at a pause."""
    _far_failpoints(ctx).release(name)
    _done(ctx, f"released {name}", released=name)


@failpoint_group.command("list")
@click.pass_context
def failpoint_list(ctx: click.Context) -> None:
    """The failpoints that are armed."""
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row["name"],
        "TERMS": lambda row: row["terms"],
        "HITS": lambda row: row["hits"],
    }
    _show(ctx, [vars(armed) for armed in _far_failpoints(ctx).armed()], columns)


@main.command("quirks")
@click.pass_context
def quirks_command(ctx: click.Context) -> None:
    """Every quirk of the emulated device, with a line on each."""
    from holdfast import _core

    _show(ctx, _core.quirk_names(), {"NAME": lambda row: row[0], "WHAT IT DOES": lambda row: row[1]})


def _roles(ctx: click.Context) -> None:
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda cp: cp.name,
        "ROLE": lambda cp: cp.role,
        "READY": lambda cp: {True: "yes", False: "no", None: "not reported"}[cp.ready],
        "SOFTWARE": lambda cp: cp.software_version or "",
    }
    _show(ctx, _device(ctx).control_processors(), columns)


@main.command("roles")
@click.pass_context
def roles_command(ctx: click.Context) -> None:
    """The control processors and their roles."""
    _roles(ctx)


@main.command("control-processors")
@click.pass_context
def control_processors_command(ctx: click.Context) -> None:
    """The control processors and their roles."""
    _roles(ctx)


@main.command()
@click.pass_context
def images(ctx: click.Context) -> None:
    """The images."""
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row.name,
        "TAGS": lambda row: ",".join(row.tags),
        "ID": lambda row: row.id,
    }
    _show(ctx, _device(ctx).containerz.images(), columns)


@main.command()
@click.pass_context
def containers(ctx: click.Context) -> None:
    """The containers."""
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row.name,
        "IMAGE": lambda row: row.image,
        "STATUS": lambda row: row.status,
    }
    _show(ctx, _device(ctx).containerz.containers(), columns)


@main.command()
@click.pass_context
def volumes(ctx: click.Context) -> None:
    """The volumes."""
    columns: dict[str, Callable[[Any], object]] = {
        "NAME": lambda row: row.name,
        "DRIVER": lambda row: row.driver,
        "OPTIONS": lambda row: ",".join(f"{key}={value}" for key, value in row.options.items()),
    }
    _show(ctx, _device(ctx).containerz.volumes(), columns)


@main.command()
@click.argument("file", type=click.Path())
@click.option("--retag", metavar="NAME:TAG", help="Another name, written into the archive on its way.")
@click.option("--replace", is_flag=True, help="The name may move from another image.")
@click.option("--lockstep", is_flag=True, help="One chunk at a time.")
@click.option("--plugin", is_flag=True, help="The file is a plugin's tar.")
@click.pass_context
def deploy(ctx: click.Context, file: str, retag: str | None, replace: bool, lockstep: bool, plugin: bool) -> None:
    """Bring an image archive to the device."""
    sent = _device(ctx).containerz.deploy(file, retag=retag, replace=replace, lockstep=lockstep, is_plugin=plugin)
    _done(ctx, f"deployed {sent.name}:{sent.tag} {sent.id}", name=sent.name, tag=sent.tag, id=sent.id)


@main.command("remove-image")
@click.argument("name")
@click.option("--force", is_flag=True)
@click.pass_context
def remove_image(ctx: click.Context, name: str, force: bool) -> None:
    """Remove an image, by NAME:TAG."""
    _device(ctx).containerz.remove_image(name, force=force)
    _done(ctx, f"removed image {name}", removed=name)


def _pairs(texts: Sequence[str], option: str, separator: str) -> dict[str, str]:
    found = {}
    for text in texts:
        key, between, value = text.partition(separator)
        if not between or not key or not value:
            raise click.UsageError(f"{option} {text}: write A{separator}B")
        found[key] = value
    return found


@main.command()
@click.argument("name")
@click.option("--image", "image_name", required=True, metavar="NAME:TAG")
@click.option("--command", default="", help="What to run instead of the image's own command.")
@click.option("--port", "ports", multiple=True, metavar="INSIDE:OUTSIDE", help="A published port.")
@click.option("--volume", "mounts", multiple=True, metavar="VOLUME:PATH", help="A volume, and where it is seen.")
@click.option("--env", "environment", multiple=True, metavar="KEY=VALUE")
@click.option("--network", default="")
@click.option("--restart", default="ALWAYS", show_default=True, metavar="POLICY")
@click.pass_context
def start(
    ctx: click.Context,
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
    pairs = _pairs(ports, "--port", ":")
    if not all(text.isdigit() for pair in pairs.items() for text in pair):
        raise click.UsageError("--port wants numbers: INSIDE:OUTSIDE")
    started = _device(ctx).containerz.start(
        name,
        image=image_name,
        command=command,
        ports={int(inside): int(outside) for inside, outside in pairs.items()},
        volumes=_pairs(mounts, "--volume", ":"),
        environment=_pairs(environment, "--env", "="),
        network=network,
        restart=restart,
    )
    _done(ctx, f"started {started}", started=started)


@main.command()
@click.argument("name")
@click.option("--force", is_flag=True)
@click.pass_context
def stop(ctx: click.Context, name: str, force: bool) -> None:
    """Stop a container."""
    _device(ctx).containerz.stop(name, force=force)
    _done(ctx, f"stopped {name}", stopped=name)


@main.command()
@click.argument("name")
@click.option("--force", is_flag=True)
@click.pass_context
def remove(ctx: click.Context, name: str, force: bool) -> None:
    """Remove a container."""
    _device(ctx).containerz.remove(name, force=force)
    _done(ctx, f"removed {name}", removed=name)


@main.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True)
@click.pass_context
def logs(ctx: click.Context, name: str, follow: bool) -> None:
    """A container's log."""
    containerz = _device(ctx).containerz
    for line in containerz.follow_logs(name) if follow else containerz.logs(name):
        click.echo(json.dumps({"line": line}) if ctx.obj["as_json"] else line)


@main.command("create-volume")
@click.argument("name")
@click.option("--driver", type=click.Choice(("local", "custom")))
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE")
@click.pass_context
def create_volume(ctx: click.Context, name: str, driver: str | None, options: Sequence[str]) -> None:
    """Create a volume."""
    made = _device(ctx).containerz.create_volume(name, driver=driver, options=_pairs(options, "--option", "="))
    _done(ctx, f"created volume {made}", created=made)


@main.command("remove-volume")
@click.argument("name")
@click.option("--force", is_flag=True)
@click.pass_context
def remove_volume(ctx: click.Context, name: str, force: bool) -> None:
    """Remove a volume and its data."""
    _device(ctx).containerz.remove_volume(name, force=force)
    _done(ctx, f"removed volume {name}", removed=name)


def _confirm(yes: bool, what: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {what}: say --yes")
    click.confirm(f"This will {what}. Go on?", abort=True)


def _away(outage: Any) -> str:
    return "it was never away" if outage is None else f"away for {outage.seconds:.2f} s"


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--redundant", is_flag=True, help="Wait until the old primary is back in step.")
@click.pass_context
def switchover(ctx: click.Context, yes: bool, redundant: bool) -> None:
    """Fail over to the standby, and prove that it happened."""
    device = _device(ctx)
    _confirm(yes, f"fail {device.name} over to its standby")
    moved = device.switchover(redundant=redundant)
    _done(ctx, f"{moved.origin} -> {moved.target}, {_away(moved.outage)}", **_plain(moved))


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True)
@click.pass_context
def reboot(ctx: click.Context, yes: bool, force: bool) -> None:
    """Reboot the chassis, cold, and prove that it happened."""
    device = _device(ctx)
    _confirm(yes, f"reboot {device.name}")
    rebooted = device.reboot(force=force)
    _done(ctx, f"rebooted, {_away(rebooted.outage)}", **_plain(rebooted))


@main.command()
@click.option("--yes", is_flag=True, help="Remove it.")
@click.pass_context
def clean(ctx: click.Context, yes: bool) -> None:
    """List what earlier runs left on the device; with --yes, remove it."""
    from holdfast import journal

    device = _device(ctx)
    left = journal.left_overs(device)
    made = journal.made(device.address)
    columns: dict[str, Callable[[Any], object]] = {
        "RUN": lambda row: row.run,
        "KIND": lambda row: row.kind,
        "NAME": lambda row: f"{row.name}:{row.tag}" if row.tag else row.name,
        "MADE": lambda row: made.get(row.tag or row.name, "from elsewhere"),
    }
    _show(ctx, left, columns)
    if yes and left:
        stayed = journal.clean(device, None)
        if not stayed:
            journal.forget(device.address)
        for line in stayed:
            click.echo(f"holdfast: could not remove {line}", err=True)
        ctx.exit(1 if stayed else 0)


@main.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Is this device fit for the tests? Each line says what to do when it is not."""
    from holdfast import doctor as surgery

    findings = list(surgery.examine(lambda: _device(ctx)))
    if ctx.obj["as_json"]:
        click.echo(json.dumps(_plain(tuple(findings)), indent=2))
    else:
        for found in findings:
            verdict = {True: "fit", False: "UNFIT", None: "not checked"}[found.fit]
            click.echo(f"{verdict:<12} {found.what:<38} {found.seen}")
            if found.hint:
                click.echo(f"{'':<12} try: {found.hint}")
    reached = findings[0].fit
    ctx.exit(3 if not reached else int(any(found.fit is False for found in findings)))


main.add_command(commands.storage)
main.add_command(commands.provider)
main.add_command(commands.lab)
main.add_command(commands.ledger)


if __name__ == "__main__":
    main()
