"""`--dut-image`: a file that is no image archive is refused before the first test."""

from __future__ import annotations

import pytest

from holdfast.exceptions import ImageError
from holdfast.pytest_plugin import options

# The archive that was looked at, so that it is read once.
CHECKED = pytest.StashKey[str]()


def check(config: pytest.Config) -> None:
    """Raise `pytest.UsageError` where `--dut-image` names something that holds no image, or several to choose from."""
    given = options.value(config, "dut-image")
    if given is None or config.stash.get(CHECKED, None) == given or hasattr(config, "workerinput"):
        return
    from holdfast import Archive

    try:
        Archive.open(given).image(options.value(config, "dut-platform"))
    except ImageError as error:
        hint = error.advice("pytest")
        what = f"--dut-image: {error.message}"  # which names the file
        raise pytest.UsageError(f"{what}; {hint}" if hint else what) from None
    config.stash[CHECKED] = given
