"""Each RPC and its messages, for who looks into what goes to a device and comes back: without secrets."""

from __future__ import annotations

import logging
import sys

LOGGER = logging.getLogger("holdfast.calls")


def log() -> None:
    """Have all calls of this process told to the logger `holdfast.calls`, at level DEBUG, until it ends.

    Of metadata the names are told, of a command line its length, and of JSON what does not look like a secret.
    """
    from holdfast import _core

    LOGGER.setLevel(logging.DEBUG)
    _core.log_calls()


def show() -> None:
    """Have them written to standard error, a line each."""
    if not LOGGER.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        LOGGER.addHandler(handler)
        LOGGER.propagate = False
    log()
