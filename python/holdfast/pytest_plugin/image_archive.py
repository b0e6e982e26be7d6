"""`--dut-image` and `--author-update-image`: a file that is no image archive is refused before the first test."""

from __future__ import annotations

import pytest

from holdfast.exceptions import ImageError
from holdfast.pytest_plugin import options

# The archives that were looked at, so that each is read once.
CHECKED = pytest.StashKey[set[str]]()


def check(config: pytest.Config) -> None:
    """Raise `pytest.UsageError` where one of them names something that holds no image, or several to choose from."""
    if hasattr(config, "workerinput"):
        return
    checked = config.stash.setdefault(CHECKED, set())
    for option in ("dut-image", "author-update-image"):
        given = options.value(config, option)
        if given is not None and given not in checked:
            _check(option, given, options.value(config, "dut-platform"))
            checked.add(given)


def _check(option: str, given: str, platform: str | None) -> None:
    from holdfast import Archive

    try:
        Archive.open(given).image(platform)
    except ImageError as error:
        hint = error.advice("pytest")
        what = f"--{option}: {error.message}"  # which names the file
        raise pytest.UsageError(f"{what}; {hint}" if hint else what) from None
