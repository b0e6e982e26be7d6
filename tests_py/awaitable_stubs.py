"""Writes the awaitable half of _core.pyi from the blocking half: `class AsyncX` is `class X`, awaited.

usage: awaitable_stubs.py [--check]     --check writes nothing, and fails where the file is not what would be written
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

STUBS = Path(__file__).parent.parent / "python" / "holdfast" / "_core.pyi"
PREFIX = "Async"
# What these give is there at once.
NOT_AWAITED = {"Containerz.follow_logs", "Device.note"}
# How `async with` and `async for` call what `with` and `for` do; of those, an iterator alone is not awaited.
ASYNCHRONOUS = {
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "__iter__": "__aiter__",
    "__next__": "__anext__",
}
# Notebooks show what is there without waiting.
BLOCKING_ALONE = {"_repr_html_"}


def written(text: str) -> str:
    """The stubs with each awaitable class anew."""
    classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    twins = {name.removeprefix(PREFIX): node for name, node in classes.items() if name.startswith(PREFIX)}
    lines = text.splitlines()
    for name, twin in sorted(twins.items(), key=lambda item: -item[1].lineno):
        lines[twin.lineno - 1 : twin.end_lineno] = awaitable(classes[name], set(twins)).splitlines()
    return formatted("\n".join(lines) + "\n")


def awaitable(blocking: ast.ClassDef, twins: set[str]) -> str:
    """The class's text, from its blocking twin."""
    methods = [node for node in blocking.body if isinstance(node, ast.FunctionDef) and node.name not in BLOCKING_ALONE]
    head = f"class {PREFIX}{blocking.name}:\n    {quoted(f'As `{blocking.name}`, to be awaited.')}\n\n"
    return head + "\n".join(method(blocking.name, node, twins) for node in methods)


def method(of: str, node: ast.FunctionDef, twins: set[str]) -> str:
    """A method or property of the class; a result that has an awaitable twin is that."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    result = ast.unparse(node.returns) if node.returns else "None"
    result = PREFIX + result if result in twins else result
    if "property" not in decorators and node.name != "__iter__" and f"{of}.{node.name}" not in NOT_AWAITED:
        result = f"Awaitable[{result}]"
    lines = [f"@{decorator}" for decorator in decorators]
    lines.append(f"def {ASYNCHRONOUS.get(node.name, node.name)}({ast.unparse(node.args)}) -> {result}:")
    lines.append("    " + (quoted(f"As `{of}.{node.name}`.") if ast.get_docstring(node) else "..."))
    return "".join(f"    {line}\n" for line in lines)


def quoted(words: str) -> str:
    """A docstring."""
    return f'"""{words}"""'


def formatted(text: str) -> str:
    """As ruff formats it, with the project's settings."""
    command = ["ruff", "format", "--stdin-filename", str(STUBS), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=STUBS.parent).stdout


def main(arguments: list[str]) -> str | None:
    """What is wrong, if anything is."""
    if arguments not in ([], ["--check"]):
        return __doc__
    text = STUBS.read_text(encoding="utf-8")
    wanted = written(text)
    if arguments and text != wanted:
        return f"{STUBS}: its awaitable half is not what its blocking half makes of it: run {Path(__file__).name}"
    if text != wanted:
        STUBS.write_text(wanted, encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
