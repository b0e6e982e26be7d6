"""The shipped suites as pytest sees them: collected whatever the folder, its ini file or its virtual environment."""

from __future__ import annotations

from pathlib import Path

import pytest


class SuiteModule(pytest.Module):
    """A shipped module: its tests are called `test_…`, whatever `python_functions` says."""

    def funcnamefilter(self, name: str) -> bool:
        """Whether `name` is a test's."""
        return name.startswith("test_")

    def classnamefilter(self, _name: str) -> bool:
        """No classes."""
        return False


def add(session: pytest.Session, items: list[pytest.Item], folders: list[Path]) -> None:
    """Add the suites' items to those that were collected, once."""
    known = {item.nodeid for item in items}
    for folder in folders:
        for path in sorted(folder.glob("test_*.py")):
            module = SuiteModule.from_parent(session, path=path, nodeid=_node_id(session, path))
            items.extend(item for item in session.genitems(module) if item.nodeid not in known)


def _node_id(session: pytest.Session, path: Path) -> str:
    """What `pytest` takes to run a case again: below the root folder if it lies there, else in full."""
    root = session.config.rootpath
    return (path.relative_to(root) if root in path.parents else path).as_posix()
