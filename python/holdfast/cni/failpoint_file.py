"""The failpoint file of `cni-bridge-fp`: what fails, by the plugin's commands."""

from __future__ import annotations

import json
import os
from pathlib import Path

ANNOTATION = "failpoint.cni.containerd.io/confpath"


class FailpointFile:
    """`{"cmdAdd": "1*error(x)"}`, in a file that a pod's annotation names."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def annotations(self) -> dict[str, str]:
        """What a pod says to be met by these failpoints."""
        return {ANNOTATION: str(self.path)}

    def write(self, **points: str) -> None:
        """Replace what it says: `cmdAdd="1*error(x)"`, and so on."""
        draft = self.path.with_name(f".{self.path.name}.draft")
        draft.write_text(json.dumps(points), encoding="utf-8")
        draft.replace(self.path)

    def left(self, point: str) -> str:
        """What is left of a point's terms."""
        return str(json.loads(self.path.read_text(encoding="utf-8")).get(point, ""))
