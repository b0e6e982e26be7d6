"""What CI's definitions, the metadata and CONTRIBUTING say of versions and sessions is what there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast._version import DISTRIBUTION as DISTRIBUTION_NAME

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GITLAB = ROOT / ".gitlab-ci.yml"
NOXFILE = (ROOT / "noxfile.py").read_text(encoding="utf-8")
SESSIONS = set(re.findall(r"^@nox\.session.*\ndef (\w+)\(", NOXFILE, re.MULTILINE))
METADATA = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
# What `.ci/run -s` is given, a variable aside.
ASKED = re.compile(r"(?:\.ci/(?:run|as_root)|nox) -s ((?:\w+ ?)+)")


def held(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def matrices(value: Any) -> list[dict[str, Any]]:
    """All that is called `matrix` in a definition, as a list of mappings."""
    if isinstance(value, list):
        return [each for item in value for each in matrices(item)]
    if not isinstance(value, dict):
        return []
    own = value.get("matrix", [])
    return [*(own if isinstance(own, list) else [own]), *matrices(list(value.values()))]


def sessions_of(file: Path) -> set[str]:
    named = {name for words in ASKED.findall(file.read_text(encoding="utf-8")) for name in words.split()}
    for matrix in matrices(held(file)):
        values = {key.lower(): value for key, value in matrix.items()}.get("session", [])
        named |= set(values if isinstance(values, list) else [values])
    return named


@pytest.mark.parametrize("file", [*WORKFLOWS, GITLAB], ids=lambda file: file.name)
def test_ci_asks_for_sessions_that_there_are(file: Path) -> None:
    named = sessions_of(file)
    assert named or file.name == "release.yml"
    assert named - SESSIONS == set()


def test_contributing_lists_every_session() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"`\.ci/run -s lint` \((.*?)\) does one part", text, re.DOTALL)
    assert {"lint", *re.findall(r"`(\w+)`", listed)} == SESSIONS


def test_ci_runs_every_session_that_nox_does_by_itself_once() -> None:
    """`.ci/run` gives them an order of its own, for what only compiles is built beside tests."""
    (default,) = re.findall(r"^nox\.options\.sessions = \[(.*?)^\]", NOXFILE, re.DOTALL | re.MULTILINE)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    told = re.findall(r'^"\$nox" --sessions (.*?) \|\|', script, re.MULTILINE)
    told += re.findall(r"builds\+?=\((.*?)\)", script)
    named = [name for words in told for name in words.split()]
    assert sorted(named) == sorted([*re.findall(r'"(\w+)"', default), "rust_build", "kubernetes_build"])


def test_pages_are_looked_at_in_a_browser_by_each_run_of_ci() -> None:
    (default,) = re.findall(r"^nox\.options\.sessions = \[(.*?)^\]", NOXFILE, re.DOTALL | re.MULTILINE)
    assert '"page",' in default


def test_every_python_that_the_metadata_names_is_tried() -> None:
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", METADATA)
    oldest = re.findall(r'requires-python = ">=(3\.\d+)"', METADATA)
    assert named[:1] == oldest
    for file in (ROOT / ".github" / "workflows" / "ci.yml", GITLAB):
        tried = [matrix[key] for matrix in matrices(held(file)) for key in ("python", "PYTHON") if key in matrix]
        assert tried == [named], file.name
    wheels = [
        matrix["python"] for matrix in matrices(held(ROOT / ".github/workflows/wheels.yml")) if "python" in matrix
    ]
    assert wheels == [[named[0], named[-1]]]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_an_action_is_pinned_by_its_commit_and_says_its_version(file: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", file.read_text(encoding="utf-8"))
    for action, version in used:
        own = action.startswith("./")
        assert own or (re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action) and version.startswith(" # v")), action


def test_a_requirement_is_pinned_where_it_is_asked_for() -> None:
    folder = ROOT / "requirements"
    for source in folder.glob("*.in"):
        lines = [line for line in source.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
        asked = {re.split(r"[\[<>=~]", line)[0].strip().lower() for line in lines}
        pinned = re.findall(
            r"^([\w.-]+)(?:\[[\w,]+\])?==", source.with_suffix(".txt").read_text(encoding="utf-8"), re.MULTILINE
        )
        assert asked <= {name.lower() for name in pinned}, source.name
    installed = set(re.findall(r'(?:install_locked\(session, |locked=)"(\w+)"', NOXFILE))
    assert installed <= {file.stem for file in folder.glob("*.txt")}


# What says by which name an index knows holdfast: metadata that are asked for, names of packed files, pip's arguments.
DISTRIBUTION = re.compile(
    r"""(?:^name\ =|\bDISTRIBUTION\b\ ?[=:]|(?:version|distribution)\()\ ?"?holdfast"?\)?(?:$|\ \#)
    |\bholdfast-(?:\*|…|X\.Y\.Z)
    |\bpip["' ,]+(?:install|download)\b[^\n`]*["\ ]holdfast(?![\w./-])""",
    re.MULTILINE | re.VERBOSE,
)
# Tests' own examples, and what tells of a time that was.
NO_PLACE = re.compile(r"^(?:tests_py/test_\w+\.py|CHANGELOG\.md|Cargo\.toml)$")


def test_releasing_lists_every_place_that_names_the_distribution() -> None:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False).stdout
    if not listed:
        pytest.skip("these are no files of a repository")
    kinds = {".py", ".toml", ".yml", ".yaml", ".md", ".sh", ".rs", ".ipynb", ""}
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in listed.splitlines()
        if (ROOT / name).is_file() and (ROOT / name).suffix in kinds and not NO_PLACE.match(name)
    }
    found = {name for name, text in texts.items() if DISTRIBUTION.search(text)}
    table = texts["RELEASING.md"].partition("| where the distribution's name stands |")[2].partition("\n\n")[0]
    assert found == set(re.findall(r"^ *\| `([^`]+)`", table, re.MULTILINE))


def test_the_version_is_asked_of_the_distribution_that_is_packed() -> None:
    (named,) = re.findall(r'^\[project\]\nname = "(.+)"$', METADATA, re.MULTILINE)
    assert named == DISTRIBUTION_NAME


def test_releasing_makes_the_labels_that_the_issue_forms_give() -> None:
    forms = [file for file in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if file.stem != "config"]
    given = {label for file in forms for label in held(file)["labels"]}
    text = (ROOT / "RELEASING.md").read_text(encoding="utf-8")
    (made,) = re.findall(r"for label in ([\w ]+); do gh label create", text)
    there = {"bug", "documentation", "duplicate", "enhancement", "invalid", "question", "wontfix"}  # GitHub's own
    assert given - there == set(made.split())


def test_ci_is_one_check_of_all_its_jobs() -> None:
    """`main` is protected by it, and a release asks about it: a job that it forgets could fail unseen."""
    jobs = held(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    assert set(jobs["ci"]["needs"]) == set(jobs) - {"ci"}
    assert jobs["ci"]["if"] == "always()"
    (step,) = jobs["ci"]["steps"]
    assert step["run"].count("success") == len(jobs["ci"]["needs"])


def test_dependabot_looks_where_there_is_something() -> None:
    kinds = {"cargo": "Cargo.toml", "npm": "package.json", "gomod": "go.mod"}
    for update in held(ROOT / ".github" / "dependabot.yml")["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            wanted = kinds.get(update["package-ecosystem"])
            assert wanted is None or (ROOT / folder.strip("/") / wanted).is_file(), folder
