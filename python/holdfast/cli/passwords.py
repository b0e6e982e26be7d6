"""A password that was not given is asked for where somebody sits there to type it, and is never echoed."""

from __future__ import annotations

import getpass
import sys
import warnings

import click

from holdfast import visible
from holdfast.secret import Secret


def asked_for(username: str, where: str) -> Secret | None:
    """The password of a user, from the terminal; None where standard input is none, or nothing was typed."""
    if not sys.stdin.isatty():
        return None
    prompt = visible.line(f"Password of {username} on {where} (none: Enter): ")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return Secret.of(getpass.getpass(prompt, stream=sys.stderr) or None)
    except getpass.GetPassWarning:
        raise click.UsageError(
            "a password is not asked for where it would be seen: give --dut-password-file or HOLDFAST_PASSWORD."
        ) from None
    except EOFError:
        raise click.Abort from None
