"""A lab that stands for as long as somebody uses it, and not for one scenario."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast import _core, progress, storage, visible
from holdfast.exceptions import HoldfastError, InvalidArgumentError, LabError
from holdfast.progress import spoken
from holdfast.storage import leftovers, logs
from holdfast.storage import provider as providers
from holdfast.storage.provider import ProviderFile


@dataclass(frozen=True)
class Standing:
    """A lab that is up, and where its files are: what runs on a node prints into `FOLDER/NODE`."""

    lab: _core.StorageLab
    folder: Path


def readable(given: str, runner: str | None = None) -> ProviderFile:
    """A provider, by name or file, whose lab can be here; `InvalidArgumentError` where this machine lacks something."""
    provider = providers.read(given, runner=runner)
    if not provider.is_here:
        raise InvalidArgumentError(
            f"{provider.path}: its nodes ({provider.lab}) are up by themselves", hint="give lab: {kind: namespaces}"
        )
    if lacking := provider.lacks():
        raise InvalidArgumentError("; ".join(lacking))
    return provider


@contextmanager
def stand(
    provider: ProviderFile,
    *,
    pace: float = 0.005,
    start: float = 30.0,
    calls: Mapping[str, float] | None = None,
    longer: str = "start=",
) -> Iterator[Standing]:
    """The lab of namespaces that a provider is qualified in, until the end of the block. Linux, as root.

    `start` is for all of it to come up, in seconds, and `longer` what gives it longer; the rest is as in
    `holdfast.storage.lab`. Raises `LabError` where it did not, with what its parts printed.
    """
    try:
        folder = leftovers.make()
    except OSError as error:
        raise LabError(f"the lab has no folder: {error}") from error
    try:
        began = time.monotonic()
        try:
            with progress.during(f"a lab for {provider.name}", start):
                lab = storage.lab(provider, folder, pace=pace, timeout=start, calls=calls)
        except HoldfastError as error:
            printed = logs.tails(folder, provider.hide)
            if time.monotonic() - began < start:
                failure = str(error).replace(str(folder), "…")
                raise LabError(f"the lab did not come up: {failure}\n{printed}") from None
            # what it says to try is for one that has had its time
            last = f"within {spoken(start)}; what it waited for last: {error.message.replace(str(folder), '…')}"
            hint = f"give it longer: {longer}; or look at what its parts printed"
            raise LabError(f"the lab did not come up {last}\n{printed}", hint=hint) from None
        try:
            yield Standing(lab, folder)
        finally:
            lab.close()
    finally:
        leftovers.remove(folder)


def introduce(standing: Standing) -> Iterator[str]:
    """Lines for a terminal: what is there, and how it is reached."""
    provider = standing.lab.provider()
    yield visible.line(f"# {provider.name} {provider.version} on {', '.join(standing.lab.nodes())}")
    yield visible.line(f"# what runs there prints into {standing.folder}; Ctrl-C ends all of it")
    if standing.lab.kubeconfig is not None:
        yield "# its StorageClass is called holdfast"
        yield f"export KUBECONFIG={shlex.quote(str(standing.lab.kubeconfig))}"
