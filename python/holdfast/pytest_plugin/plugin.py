"""The plugin of CNTR-1.7: the wheel's own, or that of `--dut-plugin` and `--dut-plugin-config`."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.pytest_plugin import options

if TYPE_CHECKING:
    from holdfast.pytest_plugin.run import Run


@dataclass(frozen=True)
class PluginUnderTest:
    """A plugin's archive, and what StartPlugin takes as its configuration."""

    archive: Path
    config: str


def of(run: Run) -> PluginUnderTest:
    """The user's, which `check` looked at, or the wheel's own, written into the run's folder."""
    from holdfast import plugin_archive

    archive, config = (options.value(run.config, name) for name in ("dut-plugin", "dut-plugin-config"))
    if archive is not None:
        return PluginUnderTest(Path(archive), Path(config).read_text(encoding="utf-8"))
    own = Path(run.folder) / "plugin.tar"
    plugin_archive.write_archive(own)
    return PluginUnderTest(own, plugin_archive.CONFIG)


def check(config: pytest.Config) -> None:
    """Raise `pytest.UsageError` where one is given without the other, or is not what a device can take."""
    archive, settings = (options.value(config, name) for name in ("dut-plugin", "dut-plugin-config"))
    if archive is None and settings is None:
        return
    if archive is None or settings is None:
        raise pytest.UsageError("--dut-plugin and --dut-plugin-config go together: give both")
    try:
        with tarfile.open(archive) as packed:
            names = [name.removeprefix("./") for name in packed.getnames()]
    except (OSError, tarfile.TarError) as error:
        raise pytest.UsageError(f"--dut-plugin {archive}: {error}; give a tar of the plugin's files") from None
    try:
        json.loads(Path(settings).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--dut-plugin-config {settings}: {error}; give the engine's config.json") from None
    if "rootfs" in {name.partition("/")[0] for name in names}:
        raise pytest.UsageError(
            f"--dut-plugin {archive}: it has rootfs/ in it, and a device unpacks it there itself; "
            "write it with `tar -C rootfs -cf FILE .`"
        )
