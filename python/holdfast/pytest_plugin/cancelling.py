"""SIGTERM, by which CI systems cancel a run: it ends the run as Ctrl-C does, so that devices are given back."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

import pytest

_NAME = "holdfast-cancelling"


def install(config: pytest.Config) -> None:
    """Heed SIGTERM until this run ends; not where somebody else does, nor where no signal is ever heard."""
    hears = threading.current_thread() is threading.main_thread()
    if hears and not config.pluginmanager.has_plugin(_NAME) and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        config.pluginmanager.register(Cancelling(), _NAME)


def was_interrupted(config: pytest.Config) -> bool:
    """Whether Ctrl-C or SIGTERM ends this test, whose clean-up is on its way out, or ended all of them."""
    if isinstance(sys.exc_info()[1], KeyboardInterrupt):
        return True
    session = config.pluginmanager.get_plugin("session")
    return getattr(session, "exitstatus", None) == pytest.ExitCode.INTERRUPTED


class Cancelling:
    """The handler, in each process of a run, and it alone."""

    def __init__(self) -> None:
        self._is_cancelled = False
        signal.signal(signal.SIGTERM, self._cancel)

    def _cancel(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_cancelled:
            return  # whoever ends a process and its group tells it twice: what is being given back goes on
        self._is_cancelled = True
        raise KeyboardInterrupt("SIGTERM")

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """The run is over."""
        if signal.getsignal(signal.SIGTERM) == self._cancel:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
