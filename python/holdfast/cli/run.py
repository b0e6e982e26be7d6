"""`holdfast run`: a suite, without pytest's magic."""

from __future__ import annotations

from pathlib import Path

import click

from holdfast.cli.shared import DEVICE_OPTIONS, SharedOptions

SUITES = ("cntr1", "cntr2", "cntr3", "midway", "cni", "torpedo")


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("suite", type=click.Choice(SUITES))
@click.pass_context
def run(ctx: click.Context, suite: str) -> None:
    """Run a suite; all further options are pytest's."""
    import pytest

    import holdfast

    path = Path(holdfast.__file__).parent / "suites" / suite
    ctx.exit(int(pytest.main([str(path), *_words(ctx.obj), *ctx.args])))


def _words(given: SharedOptions) -> list[str]:
    """What was said before the command, as pytest wants it; pytest itself reads the environment."""
    words = []
    for option in DEVICE_OPTIONS:
        said = given.said[option.key]
        if option.kind == "flag":
            words += [f"--{option.name}"] if said else []
        else:
            values = said if option.kind == "list" else [said] * (said is not None)
            words += [f"--{option.name}={value}" for value in values]
    return words
