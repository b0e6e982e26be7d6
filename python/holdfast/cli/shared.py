"""What all commands share: the device they are about, how they show what they found, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from holdfast import exit_codes, options, visible
from holdfast.exceptions import HoldfastError, Unimplemented

if TYPE_CHECKING:
    from holdfast import Device

Function = TypeVar("Function", bound=Callable[..., Any])
# By which command a kind of thing is listed.
_LISTED = {"container": "containers", "volume": "volumes", "image": "images"}
# Of the command alone: what it is about, and how it shows it.
DEVICE_OPTIONS = tuple(option for option in options.ALL if option.command)


class SharedOptions:
    """What was said before the command or after it; what was left out is read from the environment."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        # The device that was reached, once one was.
        self.reached: Device | None = None

    def value(self, name: str) -> Any:
        """An option's value, by its name in the table; None where nobody said it. Raises `InvalidArgumentError`."""
        option = options.BY_NAME[name]
        if self._typed(name):
            said = self.said[option.key]
            if option.kind == "text" and not option.secret:
                option.checked(said, f"--{name}")
            return option.hidden(said)
        if any(self._typed(other) for other in options.contrary(name)):
            return None  # what is typed goes before the environment, whatever that says to the contrary
        return option.hidden(option.from_environment())

    def _typed(self, name: str) -> bool:
        return self.said.get(options.BY_NAME[name].key) not in (None, (), [], False)

    @property
    def device(self) -> str | None:
        """Which device of the testbed."""
        said: str | None = self.said["device"]
        return said

    @property
    def debug(self) -> bool:
        """Whether each RPC is shown on standard error."""
        return bool(self.said["debug"])

    @property
    def as_json(self) -> bool:
        """Whether a program reads it."""
        return bool(self.said["as_json"])


def _click_option(option: options.Option, **more: Any) -> click.Option:
    help_text = f"{option.help[0].upper()}{option.help[1:]}. [{option.variable}]"
    kinds: dict[str, dict[str, Any]] = {"flag": {"is_flag": True}, "list": {"multiple": True}}
    shown = kinds.get(option.kind, {}) | ({} if option.kind == "flag" else {"metavar": option.shows})
    return click.Option([f"--{option.name}", option.key], help=help_text, **shown, **more)


def device_options(**more: Any) -> list[click.Option]:
    """The options of `holdfast` itself: which device a command is about, and for whom it shows what it found."""
    return [
        *(_click_option(option, **more) for option in DEVICE_OPTIONS),
        click.Option(
            ["--device"],
            metavar="NAME",
            help="Which device of the testbed; where a command asks several: NAME,NAME, tag:WORD or all.",
            **more,
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="For programs.", **more),
        click.Option(["--debug"], is_flag=True, help="Show each RPC on standard error, without secrets.", **more),
    ]


def _take(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """What stands after the command goes before what stood in front of it."""
    given = ctx.find_object(SharedOptions)
    if given is not None and value not in (None, (), False):
        given.said[str(parameter.name)] = value


class _LateOptions(click.Command):
    """Takes the options of `holdfast` itself too, unless it has one of that name."""

    def __init__(self, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        own = {name for parameter in self.params for name in parameter.opts}
        late = device_options(hidden=True, expose_value=False, callback=_take)
        self.params += [option for option in late if not own & set(option.opts)]
        self.epilog = self.epilog or "What `holdfast --help` says of the device, TLS and --json may stand here too."


class Command(_LateOptions):
    """A command about a device, or with something to show."""


class Group(_LateOptions, click.Group):
    """Commands below a noun."""

    command_class = Command


class RootGroup(click.Group):
    """Turns our errors into what, what to try, and an exit code; lists commands by what they are for."""

    def __init__(self, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        self.headings: dict[str, list[str]] = {}

    def add_commands(self, heading: str, commands: Iterable[click.Command]) -> None:
        """Add commands below a heading of the help."""
        for command in commands:
            self.add_command(command)
            self.headings.setdefault(heading, []).append(str(command.name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands below their headings, in the order in which they were added."""
        widest = max(len(name) for names in self.headings.values() for name in names)
        for heading, names in self.headings.items():
            with formatter.section(heading):
                shown = [self.get_command(ctx, name) for name in names]
                limit = formatter.width - 6 - widest
                formatter.write_dl([(str(it.name), it.get_short_help_str(limit)) for it in shown if it is not None])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except HoldfastError as error:
            complain(error, advice=_to_configure(error, ctx.find_object(SharedOptions)))
            ctx.exit(exit_codes.ending_of(error).command)
        except KeyboardInterrupt:
            ctx.exit(exit_codes.INTERRUPTED.command)


def complain(error: HoldfastError, name: str = "", advice: str | None = None) -> None:
    """Say what is wrong, and what to try: `advice` before all else. `name` is of the device it is about, of several."""
    before = f"{name}: " if name else ""
    click.echo(f"holdfast: {before}{visible.lines(error.message)}", err=True)
    if advice := advice or error.advice("command") or _listing(error):
        click.echo(f"try: {visible.lines(advice)}", err=True)


def _to_configure(error: HoldfastError, given: SharedOptions | None) -> str | None:
    """What a vendor's device without Containerz wants to be configured first, as far as its profile knows."""
    device = given.reached if given else None
    if device is None or not isinstance(error, Unimplemented) or not (error.operation or "").startswith("Containerz."):
        return None
    from holdfast import doctor

    return doctor.to_configure(device) or None


def _listing(error: HoldfastError) -> str | None:
    """Where what was named is not there: the command that shows what is."""
    command = _LISTED.get(error.subject or "")
    return f"`holdfast {command}` shows what is there" if command else None


def written(value: object) -> str:
    """What JSON has no kind for: times as ISO 8601 has them, with a T."""
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def plain(value: Any) -> Any:
    """What JSON can hold of what a call returned."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


def show(given: SharedOptions, rows: Iterable[Any], columns: dict[str, Callable[[Any], object]]) -> None:
    """A table for people, JSON for programs."""
    rows = tuple(rows)
    if given.as_json:
        click.echo(json.dumps(plain(rows), default=written, indent=2))
        return
    cells = [list(columns)] + [[visible.line(str(cell(row))) for cell in columns.values()] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for line in cells:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def nothing_left(what: str) -> None:
    """Of clean-up that has nothing to do: a line for people. Programs read an empty list."""
    click.echo(f"holdfast: {visible.line(what)}", err=True)


def done(given: SharedOptions, what: str, **facts: Any) -> None:
    """A line for people, facts for programs."""
    click.echo(json.dumps(facts, default=written) if given.as_json else visible.lines(what))


def output_option(default: str) -> Callable[[Function], Function]:
    """`-o FILE`: where a command writes what it makes."""
    written = click.Path(dir_okay=False)
    return click.option("-o", "--output", default=default, show_default=True, type=written, help="Where to write it.")


def pairs(texts: Sequence[str], option: str, separator: str, shape: str | None = None) -> dict[str, str]:
    """What came as `A:B`, several times; `shape` names its halves."""
    found = {}
    for text in texts:
        key, between, value = text.partition(separator)
        if not between or not key or not value:
            raise click.UsageError(f"{option} {text}: write {shape or f'A{separator}B'}")
        found[key] = value
    return found
