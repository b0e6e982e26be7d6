"""gNMI from the shell: `holdfast capabilities`, `get`, `set` and `subscribe`, of one device or several at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from holdfast import visible
from holdfast.choices import DataType, Encoding, StreamMode, words
from holdfast.cli import formats, reach, several
from holdfast.cli.shared import Command, SharedOptions
from holdfast.deadlines import LONGEST
from holdfast.exceptions import InvalidArgumentError
from holdfast.gnmi import Extension, SubscribedPath
from holdfast.results import Updates

if TYPE_CHECKING:
    from holdfast import Device

Function = TypeVar("Function", bound=Callable[..., Any])

MODES = words(StreamMode)


class _Seconds(click.FloatRange):
    """So many seconds, from none to a year."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A number, which NaN is not."""
        length: float = super().convert(value, param, ctx)
        return length if length == length else self.fail(f"{value!r} is no time", param, ctx)  # noqa: PLR0124


SECONDS = _Seconds(0, LONGEST)

_format = click.option(
    "--format",
    "shape",
    type=click.Choice(formats.FORMATS),
    help="How it is shown: flat is a line for each leaf, and the default; --json is --format json.",
)
_extension = click.option(
    "--extension",
    "extensions",
    multiple=True,
    metavar="ID=HEX",
    help="An extension of the request: a registered one's number and message; raw=HEX for all of it, encoded; or its"
    " fields as JSON. May be given several times.",
)


def _enveloped(function: Function) -> Function:
    """What Get, Set and Subscribe have in common."""
    for option in (
        _format,
        _extension,
        click.option(
            "--encoding",
            type=click.Choice(words(Encoding), case_sensitive=False),
            help="Default: one that the device takes.",
        ),
        click.option("--origin", help="Of paths that do not begin with one as ORIGIN:/…; openconfig if none is given."),
        click.option("--target", default="", help="Which device is meant, of several behind one address."),
        click.option("--prefix", metavar="PATH", help="What stands before each path."),
    ):
        function = option(function)
    return function


def _shape(given: SharedOptions, shape: str | None) -> str:
    if given.as_json and shape not in (None, "json"):
        raise click.UsageError(f"--json and --format {shape}: give one of them.")
    return "json" if given.as_json else shape or "flat"


def _extensions(texts: Sequence[str]) -> list[Extension]:
    return [_read_extension(text) for text in texts]


def _read_extension(text: str) -> Extension:
    shape = 'write ID=HEX, raw=HEX, or JSON such as \'{"depth": {"level": 1}}\''
    try:
        if text.startswith("{"):
            return Extension.of(json.loads(text))
        name, digits = text.split("=", 1)
        encoded = bytes.fromhex(digits)
        return Extension(encoded) if name == "raw" else Extension.registered(int(name), encoded)
    except ValueError:
        raise click.UsageError(f"--extension {text}: {shape}") from None


def _one_each(
    given: SharedOptions, shape: str | None, ask: Callable[[Device], Any], plain: Any, lines: Any, **how: Any
) -> None:
    shape = _shape(given, shape)
    replies = several.one_each(reach.places(given, **how), ask)
    formats.show(shape, replies, plain, lines)
    several.fail(replies)


@click.command(cls=Command)
@_extension
@_format
@click.pass_obj
def capabilities(given: SharedOptions, extensions: Sequence[str], shape: str | None) -> None:
    """What gNMI of a device can do: its version, encodings and models."""
    sent = _extensions(extensions)
    _one_each(
        given,
        shape,
        lambda device: device.gnmi.capabilities(extensions=sent),
        formats.capabilities,
        formats.capabilities_lines,
    )


@click.command(cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--type", "kind", type=click.Choice(words(DataType), case_sensitive=False), default="ALL", show_default=True,
    help="Which kind of data.",
)  # fmt: skip
@_enveloped
@click.pass_obj
def get(
    given: SharedOptions,
    /,
    paths: Sequence[str],
    kind: Any,
    extensions: Sequence[str],
    shape: str | None,
    **envelope: Any,
) -> None:
    """Values of gNMI, as they are now (Get).

    A PATH is such as /system/state/boot-time. Of a testbed, all devices are asked unless --device NAME[,NAME…] names
    some.
    """
    envelope["extensions"] = _extensions(extensions)
    _one_each(
        given,
        shape,
        lambda device: device.gnmi.get(list(paths), type=kind, **envelope),
        formats.leaves,
        formats.leaves_lines,
    )


@click.command("set", cls=Command)
@click.option("--update", "updates", multiple=True, metavar="PATH=VALUE", help="Merge a value with what is there.")
@click.option("--replace", "replaces", multiple=True, metavar="PATH=VALUE", help="Put it in place of what is there.")
@click.option(
    "--union-replace", "unions", multiple=True, metavar="PATH=VALUE",
    help="All of these together in place of the whole configuration.",
)  # fmt: skip
@click.option("--delete", "deletes", multiple=True, metavar="PATH", help="Take away what is there.")
@click.option("--compare", is_flag=True, help="Read what is touched before and after it, and show what changed.")
@_enveloped
@click.pass_obj
def set_command(
    given: SharedOptions,
    /,
    updates: Sequence[str],
    replaces: Sequence[str],
    unions: Sequence[str],
    deletes: Sequence[str],
    compare: bool,
    extensions: Sequence[str],
    shape: str | None,
    **envelope: Any,
) -> None:
    """Change the configuration by gNMI (Set): all that is given, or nothing of it.

    A VALUE is JSON, or else a text; @FILE takes what is in a file (JSON in *.json, YAML in *.yaml, else a text), and @-
    a text from standard input. With origin cli it is a command line: --update 'cli:/=write memory'. Of a testbed with
    several devices, --device NAME[,NAME…] says which, and --device all means all.
    """
    if not (updates or replaces or unions or deletes):
        raise click.UsageError("what is to be set? Give --update, --replace, --union-replace or --delete.")
    values: dict[str, Any] = {
        "update": [_value(text, "--update") for text in updates],
        "replace": [_value(text, "--replace") for text in replaces],
        "union_replace": [_value(text, "--union-replace") for text in unions],
    }
    envelope["extensions"] = _extensions(extensions)
    _one_each(
        given,
        shape,
        lambda device: device.gnmi.set(**values, delete=list(deletes), compare=compare, **envelope),
        formats.set_result,
        formats.set_result_lines,
        by_name=True,
    )


def _value(text: str, option: str) -> tuple[str, Any]:
    """The path and the value of PATH=VALUE; keys of the path have a = in brackets."""
    inside = escaped = False
    for at, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == "=" and not inside:
            return text[:at], _read_value(text[at + 1 :], option)
        else:
            inside = letter == "[" or (inside and letter != "]")
    raise click.UsageError(f"{option} {text.partition('=')[0]}: write PATH=VALUE")


def _read_value(text: str, option: str) -> Any:
    if text == "@-":
        return sys.stdin.read()
    if text.startswith("@"):
        return _read_file(Path(text[1:]), option)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_file(file: Path, option: str) -> Any:
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            return json.loads(text)
        return yaml.safe_load(text) if file.suffix in (".yaml", ".yml") else text
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        hint = "@FILE reads a value from a file; one that begins with @ itself is written as JSON: '\"@home\"'"
        raise InvalidArgumentError(f"{option} @{file}: {why}", hint=hint) from None
    except (ValueError, yaml.YAMLError):
        # What is in it may be a secret, and is not repeated.
        raise InvalidArgumentError(f"{option} @{file}: it is no {file.suffix[1:].upper()}") from None


@click.command(cls=Command)
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option(
    "--mode", type=click.Choice(MODES, case_sensitive=False), default=MODES[0], show_default=True,
    help="When a value of a PATH is sent.",
)  # fmt: skip
@click.option("--interval", type=SECONDS, metavar="SECONDS", help="From one value to the next, with --mode SAMPLE.")
@click.option("--on-change", "changing", multiple=True, metavar="PATH", help="A further path, in mode ON_CHANGE.")
@click.option(
    "--sample", "sampled", multiple=True, type=(SECONDS, str), metavar="SECONDS PATH", help="One more: SAMPLE."
)
@click.option("--heartbeat", type=SECONDS, metavar="SECONDS", help="Send a value again after so long, changed or not.")
@click.option("--suppress-redundant", is_flag=True, help="Leave samples out that equal the one before.")
@click.option("--updates-only", is_flag=True, help="Leave out what is there at the beginning.")
@click.option("--once", is_flag=True, help="What is there now, and no more (ONCE).")
@click.option("--poll", is_flag=True, help="What is there now, and again for each line of standard input (POLL).")
@click.option("--count", type=click.IntRange(1), metavar="NUMBER", help="End after so many messages of each device.")
@click.option("--qos", type=click.IntRange(0, 63), metavar="DSCP", help="How the device is to mark its packets.")
@click.option(
    "--resume/--no-resume", default=True, show_default=True,
    help="What is followed outlives a failover, and a line between says so; else it ends with UNAVAILABLE.",
)  # fmt: skip
@_enveloped
@click.pass_obj
def subscribe(given: SharedOptions, /, extensions: Sequence[str], shape: str | None, **said: Any) -> None:
    """Values of gNMI and their changes (Subscribe STREAM), until it is interrupted.

    A PATH is such as /system/state/boot-time. Of a testbed, all devices are followed unless --device NAME[,NAME…] names
    some.
    """
    shape = _shape(given, shape)
    said["extensions"] = _extensions(extensions)
    places = reach.places(given)
    ask = _subscription(said, several_devices=len(places) > 1)
    failed: list[several.Reply[Any]] = []
    for reply in several.answers(places, ask):
        if reply.error is not None:
            failed.append(reply)
        elif reply.answer is not None:
            _echo(shape, reply.place.name, reply.answer)
    several.fail(failed)


def _subscription(said: dict[str, Any], *, several_devices: bool) -> Callable[[Device], Iterator[Updates]]:
    """What is asked of each device. Raises `UsageError` for what does not go together."""
    common = {name: said[name] for name in ("prefix", "target", "origin", "encoding", "extensions", "qos")}
    all_paths = [*said["paths"], *said["changing"], *(path for _, path in said["sampled"])]
    if not all_paths:
        raise click.UsageError("which paths? Give PATH, --on-change PATH or --sample SECONDS PATH.")
    if said["once"] and said["poll"]:
        raise click.UsageError("--once and --poll: give one of them.")
    if said["once"]:
        return lambda device: iter((_once(device, all_paths, **common),))
    if said["poll"]:
        if several_devices:
            raise click.UsageError("--poll asks one device: give --device NAME.")
        return lambda device: _polled(device, all_paths, said["count"], resume=said["resume"], **common)
    paths, suppressed = _stream_paths(said), said["updates_only"]
    return lambda device: _counted(
        iter(device.gnmi.stream(paths, updates_only=suppressed, resume=said["resume"], **common)), said["count"]
    )


def _stream_paths(said: dict[str, Any]) -> list[SubscribedPath]:
    mode, interval, heartbeat, suppress = (
        said[name] for name in ("mode", "interval", "heartbeat", "suppress_redundant")
    )
    if said["paths"] and (mode == "SAMPLE") != (interval is not None):
        raise click.UsageError("--interval SECONDS goes with --mode SAMPLE, and that needs it")
    if suppress and not said["sampled"] and mode != "SAMPLE":
        raise click.UsageError("--suppress-redundant goes with --mode SAMPLE or --sample SECONDS PATH")
    plain = [SubscribedPath(path, mode, interval, heartbeat, suppress and mode == "SAMPLE") for path in said["paths"]]
    changing = [SubscribedPath(path, "ON_CHANGE", None, heartbeat) for path in said["changing"]]
    sampled = [SubscribedPath(path, "SAMPLE", every, heartbeat, suppress) for every, path in said["sampled"]]
    return [*plain, *changing, *sampled]


def _once(device: Device, paths: Sequence[str], **how: Any) -> Updates:
    answer = device.gnmi.once(list(paths), **how)
    updates = Updates(answer)
    updates.extensions = answer.extensions
    return updates


def _counted(stream: Iterator[Updates], count: int | None) -> Iterator[Updates]:
    for at, updates in enumerate(stream, 1):
        yield updates
        if at == count:
            return


def _polled(device: Device, paths: Sequence[str], count: int | None, **how: Any) -> Iterator[Updates]:
    stream = device.gnmi.poll(list(paths), **how)
    came = 0
    for _ in _asks():
        stream.ask()
        for updates in stream:
            yield updates
            came += 1
            if came == count:
                return
            if not updates and not updates.resumed:
                break


def _asks() -> Iterator[str]:
    yield ""
    yield from sys.stdin


def _echo(shape: str, name: str, updates: Updates) -> None:
    if shape == "flat":
        before = f"{visible.line(name)}: " if name else ""
        for line in formats.updates_lines(updates):
            click.echo(f"{before}{line}")
        return
    for each in formats.updates(updates):
        row = {"device": name, **each} if name else each
        click.echo(formats.as_json(row, indent=None) if shape == "json" else f"---\n{formats.as_yaml(row)}")


ALL = (capabilities, get, set_command, subscribe)
