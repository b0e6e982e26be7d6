"""The command line of a run, as it may be kept: without what it says that nobody else may read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

import pytest

HIDDEN = "(hidden)"
# Of these the value alone is hidden: KEY=VALUE, which may also say where the value is.
PAIRS = ("--dut-metadata", "--dut-volume-option")
ELSEWHERE = ("env:", "file:")
# Other plugins' options: a name that says so, unless it is that of a file or of a variable.
SECRET = re.compile(r"--[\w-]*(?:password|passwd|passphrase|secret|token|api-key)(?!\w*[\w-]*(?:file|env))[\w-]*")
USER = re.compile(r"(?<=://)[^/@\s]*(?=@)")


def shown(config: pytest.Config) -> str:
    """The command line of the process that prints, as one types it."""
    worker: dict[str, list[str]] | None = getattr(config, "workerinput", None)
    words = config.invocation_params.args if worker is None else worker.get("holdfast_command_line", [])
    return joined(map(str, words))


def joined(words: Iterable[str]) -> str:
    """The words of a command line as one types them, without secrets."""
    return shlex.join(["pytest", *without_secrets(words)])


def without_secrets(words: Iterable[str]) -> Iterator[str]:
    """The words of a command line, secrets hidden.

    >>> list(without_secrets(["--dut-metadata", "key=abc", "--dut-metadata=key=env:KEY", "--dut-proxy=http://me:pw@host:1"]))
    ['--dut-metadata', 'key=(hidden)', '--dut-metadata=key=env:KEY', '--dut-proxy=http://(hidden)@host:1']
    """
    option = ""
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if equals or not name:
            yield f"{name}{equals}{_hidden(name or option, value)}"
        else:
            yield word
        option = "" if equals or not name else name


def _hidden(option: str, value: str) -> str:
    if option in PAIRS:
        key, equals, given = value.partition("=")
        return value if not equals or given.startswith(ELSEWHERE) else f"{key}{equals}{HIDDEN}"
    return HIDDEN if SECRET.fullmatch(option) else USER.sub(HIDDEN, value)
