"""Ending a run before its end, with a reason that is said once."""

from __future__ import annotations

from typing import NoReturn

import pytest

from holdfast.exceptions import HoldfastError, word_for
from holdfast.exit_codes import DONE, NO_DEVICE, USAGE, ending_of


class Ended(pytest.exit.Exception):  # type: ignore[name-defined,misc]
    """A run that ends here. pytest would say why at its end, as of Ctrl-C; at its beginning it says so at once too."""

    def __init__(self, config: pytest.Config, message: str, code: int, *, said: bool) -> None:
        super().__init__(message, code)
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")
        self._said = said

    def say_once(self) -> None:
        """Say why, unless it was said, and have pytest keep quiet of it."""
        if self._reporter is None:
            return
        self._reporter._keyboardinterrupt_memo = None
        if not self._said:
            self._reporter.ensure_newline()
            self._reporter.write_line(str(self.msg), red=True)


def refuse(config: pytest.Config, error: HoldfastError | pytest.UsageError, *, begun: bool) -> NoReturn:
    """End the run for what befell the one device there is. `begun`: whether pytest's session has."""
    word_for(error, "pytest")
    usage = isinstance(error, pytest.UsageError) or ending_of(error) == USAGE
    message = f"holdfast: {type(error).__name__}: {error}"
    raise Ended(config, message, (USAGE if usage else NO_DEVICE).pytest, said=not begun)


def succeed(config: pytest.Config) -> NoReturn:
    """End the run: all is said."""
    raise Ended(config, "", DONE.pytest, said=True)
