"""`--dut-image`: an archive that is none is refused before the first test."""

from __future__ import annotations

import pytest

from holdfast.exceptions import ImageError
from holdfast.pytest_plugin import options

# The archive that was looked at, so that it is read once.
CHECKED = pytest.StashKey[str]()


def check(config: pytest.Config) -> None:
    """Raise `pytest.UsageError` where `--dut-image` names something that holds no image, or more than one."""
    given = options.value(config, "dut-image")
    if given is None or config.stash.get(CHECKED, None) == given or hasattr(config, "workerinput"):
        return
    from holdfast import Archive

    try:
        found = Archive.open(given).images
    except ImageError as error:
        raise _unusable(given, error.message.removeprefix(f"{given}: "), error.hint) from None
    if len(found) != 1:
        names = ", ".join(str(name) for image in found for name in image.names) or "none of them has a name"
        raise _unusable(given, f"holds {len(found)} images ({names})", "`docker save` one image by itself")
    config.stash[CHECKED] = given


def _unusable(file: str, what: str, hint: str | None) -> pytest.UsageError:
    return pytest.UsageError(f"--dut-image {file}: {what}; {hint}" if hint else f"--dut-image {file}: {what}")
