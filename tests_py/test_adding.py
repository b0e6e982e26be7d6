"""docs/adding.md: each diff applies to this tree, changes as many files as it says, and does what it is for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import holdfast
from holdfast import failpoint

from conftest import RunSuite, isolated

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "adding.md"
EXAMPLE = re.compile(
    r"<!-- files: (?P<files>\d+)(?:, of the tests: (?P<tests>\d+))? -->\n```diff\n(?P<diff>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Compiled, and large: a copy of the package has links to them.
COMPILED = ("_core.abi3.so", "_bin")
QUICK = ("--dut-deadline", "absence=200ms", "--dut-deadline", "watch=100ms", "--dut-deadline", "verification=1500ms")

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git, which applies the diffs")


@dataclass(frozen=True)
class Addition:
    """A section of the page."""

    title: str
    files: int
    of_tests: int
    diff: str

    @property
    def paths(self) -> list[str]:
        """What the diff changes."""
        return re.findall(r"^diff --git a/\S+ b/(\S+)$", self.diff, re.MULTILINE)


def read_page() -> dict[str, Addition]:
    rows = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        (found,) = EXAMPLE.finditer(section)
        rows[title] = Addition(title, int(found["files"]), int(found["tests"] or 0), found["diff"])
    return rows


ADDITIONS = read_page()


def apply(addition: Addition, folder: Path, *options: str) -> None:
    """`git apply` in a folder, which need not be a repository."""
    done = subprocess.run(
        ["git", "apply", *options, "-"], cwd=folder, input=addition.diff, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"docs/adding.md, {addition.title}: write its diff anew: {done.stderr}"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package alone, in a folder like the checkout; the folder."""
    source, copy = ROOT / "python" / "holdfast", tmp_path / "tree" / "python" / "holdfast"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*COMPILED, "__pycache__"))
    for name in COMPILED:
        compiled = Path(holdfast.__file__).parent / name
        if compiled.exists():
            (copy / name).symlink_to(compiled)
    return tmp_path / "tree"


def on_the_copy(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(folder / "python")}


def python(folder: Path, *words: str) -> str:
    """What Python prints with the copied package."""
    environment = isolated(folder, on_the_copy(folder))
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_row_of_the_table_has_its_section_and_its_number() -> None:
    table = re.findall(r"^\| \[([^\]]+)\]\(#[^)]+\) \| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {title.lower(): addition.files for title, addition in ADDITIONS.items()}
    assert {title.lower(): int(files) for title, files in table} == told
    assert len(told) == 6


@pytest.mark.parametrize("addition", ADDITIONS.values(), ids=list(ADDITIONS))
def test_a_diff_applies_to_this_tree(addition: Addition) -> None:
    apply(addition, ROOT, "--check")


@pytest.mark.parametrize("addition", ADDITIONS.values(), ids=list(ADDITIONS))
def test_a_diff_changes_as_many_files_as_the_page_says(addition: Addition) -> None:
    of_tests = [path for path in addition.paths if path.startswith("tests_py/")]
    assert (len(addition.paths) - len(of_tests), len(of_tests)) == (addition.files, addition.of_tests)


def test_the_case_is_collected_and_passes(package: Path, run_suite_apart: RunSuite) -> None:
    apply(ADDITIONS["A CNTR case"], package, "--include=python/*")
    run = run_suite_apart("-k", "cntr3_9", *QUICK, **on_the_copy(package))
    assert run.exit_code == 0, run.output
    assert run.cases["9"].properties["plan_id"] == "CNTR-3.9"


def test_the_defect_is_caught_by_the_case_that_its_row_says(run_suite: RunSuite) -> None:
    """Its row has a failpoint and terms, which are armed here as they are: nothing is compiled."""
    diff = ADDITIONS["A defect of the emulated device"].diff
    ((site, terms),) = re.findall(r'^\+.*At::Failpoint\("([^"]+)", "([^"]+)"\)', diff, re.MULTILINE)
    ((verdict, reason),) = re.findall(r'^\+ +Defect\("[^"]+", \w+\("[^"]+"\), "(\w+)", "([^"]+)"', diff, re.MULTILINE)
    (case,) = re.findall(r'^\+ +cases=\("(\w+)",\)', diff, re.MULTILINE)
    failpoint.parse(terms)
    run = run_suite("-k", case, *QUICK, failpoints=f"{site}={terms}")
    assert run.exit_code == 1, run.output
    (found,) = run.cases.values()
    assert found.properties[verdict] == "FAIL"
    assert reason in found.properties["failures"]


def test_the_vendor_is_listed_and_recognised(package: Path) -> None:
    addition = ADDITIONS["A vendor"]
    apply(addition, package, "--include=python/*")
    ((software, name),) = re.findall(
        r'^\+ +\(control_processors\("([^"]+)", .*\), "([^"]+)"\),$', addition.diff, re.MULTILINE
    )
    script = (
        "from holdfast import profiles\nfrom holdfast.results import ControlProcessor\n"
        f"says = ControlProcessor('A', 'PRIMARY', None, None, None, {software!r})\n"
        "print(profiles.names(), profiles.recognise([says]).name)\n"
    )
    listed, _, recognised = python(package, "-c", script).strip().rpartition(" ")
    assert recognised == name
    assert name in listed


def test_the_option_is_shown_and_used(package: Path, run_suite_apart: RunSuite, tmp_path: Path) -> None:
    addition = ADDITIONS["An option"]
    apply(addition, package)
    (name,) = re.findall(r'^\+ +_flag\("([^"]+)"', addition.diff, re.MULTILINE)
    usual, without = tmp_path / "usual", tmp_path / "without"
    run = run_suite_apart("-k", "cntr1_2", *QUICK, "--dut-artifacts", str(usual), **on_the_copy(package))
    assert run.exit_code == 0, run.output
    run = run_suite_apart("-k", "cntr1_2", *QUICK, f"--{name}", "--dut-artifacts", str(without), **on_the_copy(package))
    assert run.exit_code == 0, run.output
    assert list(usual.rglob("*.log"))
    assert list(without.rglob("verdict.json"))
    assert not list(without.rglob("*.log"))
    assert f"--{name}" in run_suite_apart("--help", **on_the_copy(package)).output


def test_the_rpc_is_in_both_halves_of_the_stub(package: Path) -> None:
    apply(ADDITIONS["An RPC"], package, "--include=python/*")
    stub = (package / "python" / "holdfast" / "_core.pyi").read_text(encoding="utf-8")
    assert stub.count("def locate(") == 2


def test_the_storage_provider_is_taken_by_its_kind(package: Path) -> None:
    apply(ADDITIONS["A kind of storage provider"], package, "--include=python/*")
    (package / "mine.yaml").write_text("provider: {kind: folders, start: exec sleep infinity}\n")
    script = "from holdfast.storage import provider\nprint(provider.read('mine.yaml').kind)\n"
    assert python(package, "-c", script).strip() == "folders"
