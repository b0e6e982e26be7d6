"""No file imports another that imports it back, however far around: of Python, and of each crate of Rust."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / "python"
RUST = [ROOT / "src", *sorted((ROOT / "crates").glob("*/src"))]


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle of imports, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def python_module(file: Path) -> str:
    return ".".join(file.relative_to(PYTHON).with_suffix("").parts).removesuffix(".__init__")


def test_python_has_no_circle_of_imports() -> None:
    """Those inside of functions count; not those for types alone, which nothing runs."""
    files = {python_module(file): file for file in PYTHON.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        imported = graph.setdefault(module, set())
        for name, names in python_imports(ast.parse(file.read_text(encoding="utf-8"))):
            found = {f"{name}.{each}" for each in names} & set(files)
            imported |= found or ({name} & set(files))
        imported.discard(module)
    assert len(graph) > 50
    assert circle(graph) == []


def python_imports(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((each.name, []) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [each.name for each in node.names]
        else:
            yield from python_imports(node)


@pytest.mark.parametrize("folder", RUST, ids=lambda folder: folder.parent.name)
def test_a_crate_has_no_circle_of_imports(folder: Path) -> None:
    """What a module hands on (`pub use`) is imported from where it is written."""
    files = {rust_module(file.relative_to(folder)): file for file in folder.rglob("*.rs") if file.name != "tests.rs"}
    sources = {module: rust_source(file) for module, file in files.items()}
    handed_on = {
        (*module, path[-1]): resolved(path[:-1] + path[-1:], module, files)
        for module, source in sources.items()
        for path in rust_uses(source, public=True)
    }
    graph = {
        "::".join(module): {
            "::".join(found)
            for path in (*rust_uses(source, public=False), *rust_paths(source))
            if (found := origin(path, module, files, handed_on)) not in (None, module)
        }
        for module, source in sources.items()
    }
    assert circle(graph) == []


Module = tuple[str, ...]


def rust_module(file: Path) -> Module:
    parts = file.with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts


def rust_source(file: Path) -> str:
    """Without its tests and comments."""
    code = re.split(r"\n#\[cfg\(test\)\]\n(?:pub(?:\(\w+\))? )?mod ", file.read_text(encoding="utf-8"))[0]
    return re.sub(r"//.*", "", code)


def rust_uses(source: str, *, public: bool) -> Iterator[Module]:
    for found in re.finditer(r"^\s*(pub(?:\([^)]*\))? )?use ([^;]+);", source, re.MULTILINE):
        if bool(found[1]) == public:
            yield from (tuple(path.split("::")) for path in rust_tree(re.sub(r"\s+", " ", found[2])))


def rust_tree(text: str) -> Iterator[str]:
    """The paths of `a::{b, c::{d, e}}`."""
    start, _, inside = text.partition("{")
    if not inside:
        yield text.partition(" as ")[0].strip()
        return
    depth, part = 0, ""
    for letter in inside.rstrip()[:-1] + ",":
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            if part.strip():
                yield from (start.strip() + rest for rest in rust_tree(part.strip()))
            part = ""
        else:
            part += letter


def rust_paths(source: str) -> Iterator[Module]:
    """Paths that are written where they are used."""
    without_uses = re.sub(r"\buse [^;]+;", "", source)
    yield from (tuple(path.split("::")) for path in re.findall(r"\b(?:crate|super)(?:::\w+)+", without_uses))


def resolved(path: Module, module: Module, files: Mapping[Module, Path]) -> Module | None:
    """The module that a path leads into, with what remains of it left out."""
    first, rest = path[0], path[1:]
    if first == "crate":
        base: Module = ()
    elif first == "self":
        base = module
    elif first == "super":
        base = module[:-1]
        while rest and rest[0] == "super":
            base, rest = base[:-1], rest[1:]
    elif (*module, first) in files:
        base, rest = module, path
    else:
        return None  # another crate's
    while rest and (*base, rest[0]) in files:
        base, rest = (*base, rest[0]), rest[1:]
    return base


def origin(
    path: Module, module: Module, files: Mapping[Module, Path], handed_on: Mapping[Module, Module | None]
) -> Module | None:
    found = resolved(path, module, files)
    seen = set()
    while found is not None and (*found, path[-1]) in handed_on and found not in seen:
        seen.add(found)
        found = handed_on[(*found, path[-1])]
    return found
