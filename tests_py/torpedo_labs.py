"""A lab that does nothing, for what a scenario makes of what a lab tells."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.exceptions import HoldfastError
from holdfast.results import StorageProvider


class ScriptedLab:
    """Notes what it is asked to do (`done`). `fails` has the error of a fault that fails; from `silent_after` on until
    `until` the lab itself is in trouble.
    """

    def __init__(
        self, *, fails: Mapping[str, HoldfastError] | None = None, silent_after: str = "", until: str = ""
    ) -> None:
        self._fails = dict(fails or {})
        self._silent_after, self._until = silent_after, until
        self.done: list[str] = []

    def provider(self) -> StorageProvider:
        return StorageProvider("scripted", "1", frozenset(), "", "kubernetes", tells_unmounts=False)

    def nodes(self) -> list[str]:
        return ["node1", "node2"]

    def busy(self) -> float:
        return 0.0

    def lacks(self, _fault: str) -> None:
        return None

    def inflict(self, _node: str, fault: str, *, timeout: float) -> None:
        assert timeout > 0
        self.done.append(fault)
        if fault in self._fails:
            raise self._fails[fault]

    def wait_ready(self, _node: str, *, timeout: float) -> None:
        assert timeout > 0

    def trouble(self) -> str | None:
        is_silent = self._silent_after in self.done and self._until not in self.done
        return "the API server does not answer" if is_silent else None
