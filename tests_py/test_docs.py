"""What README and docs show: commands run, or say why not; links lead somewhere; errors that are quoted exist."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from holdfast import _core, testbed
from holdfast.storage import provider
from holdfast.testbed import places

from conftest import isolated
from defects import CATALOGUE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CONTAINERLAB = ROOT / "examples" / "containerlab"
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the comment before it."""

    page: str
    number: int
    mark: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def blocks(file: Path) -> list[Block]:
    found = enumerate(BLOCK.finditer(file.read_text(encoding="utf-8")), 1)
    return [Block(file.stem, number, each["mark"] or "", each["language"], each["text"]) for number, each in found]


PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
RUN = [block for page in PAGES for block in blocks(page) if block.mark == "run"]
FILES = [block for page in PAGES for block in blocks(page) if block.language == "yaml"]


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """As somebody who copies it; warnings that pytest has for its neighbours are no matter."""
    command = ["bash", "-e", "-c", block.text] if block.language == "sh" else [sys.executable, "-c", block.text]
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**isolated(folder, {}), "PATH": tools}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.parametrize("block", RUN, ids=str)
def test_what_is_shown_runs(block: Block, tmp_path: Path) -> None:
    done = run(block, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", FILES, ids=str)
def test_a_file_that_is_shown_is_taken(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what reads it: a testbed, a provider file, a CI system with what it keeps (Nornir: tests_frameworks)."""
    monkeypatch.setenv("LAB_PASSWORD", "secret")
    file = tmp_path / "shown.yaml"
    file.write_text(block.text)
    held = yaml.safe_load(block.text)
    if "devices" in held:
        assert [target.name for target in testbed.read(file)] == list(held["devices"])
    elif "provider" in held:
        assert provider.read(str(file)).kind == held["provider"]["kind"]
    elif "failover" in held:
        assert_kept(held["failover"]["script"], held["failover"]["artifacts"]["paths"], tmp_path)
    elif "steps" in held:
        pytest_step, upload = held["steps"]
        assert_kept(pytest_step["run"], upload["with"]["path"].splitlines(), tmp_path)
    elif any("GnoiDevice" in group for group in held.values()):
        shown = [places.target(block.page, name, each["GnoiDevice"], {}, "lab:20408") for name, each in held.items()]
        assert [target.name for target in shown] == list(held)
    else:
        assert [list(host["connection_options"]) for host in held.values()] == [["holdfast"]]


def assert_kept(command: str, kept: list[str], folder: Path) -> None:
    done = run(Block("ci", 0, "run", "sh", command), folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path for path in kept if not (folder / path).exists()] == []


def test_the_failing_run_of_the_tutorial_writes_its_page(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(DOCS / "tutorial.md") if block.mark == "fails"]
    done = run(block, tmp_path)
    assert done.returncode != 0
    assert "no container" in done.stdout
    assert "<!DOCTYPE html>" in (tmp_path / "run.html").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_says_whether_it_is_run(page: Path) -> None:
    for block in blocks(page):
        known = block.mark in ("run", "fails") or block.mark.startswith("not run: ")
        assert known or block.language not in ("sh", "python"), f"{block}: {block.text}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        assert link.startswith("http") or (page.parent / link).exists(), link


def test_errors_that_are_quoted_exist() -> None:
    sources = [*ROOT.glob("src/**/*.rs"), *ROOT.glob("crates/*/src/**/*.rs"), *ROOT.glob("python/holdfast/**/*.py")]
    said = re.sub(r"\\\n\s*", "", "\n".join(file.read_text(encoding="utf-8") for file in sources))
    quoted = re.findall(r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(quoted) > 15
    assert [text for text in quoted if text not in said] == []


def test_the_fixtures_in_readme_run(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(ROOT / "README.md") if "def test_my_image_survives" in block.text]
    (tmp_path / "test_mine.py").write_text(block.text)
    done = run(Block("README", 0, "run", "sh", "pytest -q test_mine.py"), tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_testbed_of_the_topology_is_of_its_nodes() -> None:
    topology = yaml.safe_load((CONTAINERLAB / "dual-supervisor.clab.yml").read_text())
    named = {node: f"clab-{topology['name']}-{node}" for node in topology["topology"]["nodes"]}
    assert {target.name: target.address for target in testbed.read(CONTAINERLAB / "lab.yaml")} == named


def test_the_recipe_of_the_container_image_starts_what_it_says(tmp_path: Path) -> None:
    """The entry point alone, on free ports: no registry gives this machine its base image."""
    recipe = (CONTAINERLAB / "Containerfile").read_text()
    entry = re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", recipe, re.MULTILINE)
    words = [word for line in entry for word in re.findall(r'"([^"]*)"', line)]
    assert words[:2] == ["holdfast", "emulate"]
    free = {"9340": "0", "9341": "0", "0.0.0.0:9339": "127.0.0.1:0"}
    command = [sys.executable, "-m", "holdfast.cli", *(free.get(word, word) for word in words[1:])]
    process = subprocess.Popen(
        command, env=isolated(tmp_path, {}), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline().startswith("listening on 127.0.0.1:")
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_the_track_record_names_quirks_tests_and_sessions_that_there_are() -> None:
    text = (DOCS / "track-record.md").read_text(encoding="utf-8")
    assert set(re.findall(r"quirk=([\w-]+)", text)) <= {name for name, _ in _core.quirk_names()}
    for file, word in re.findall(r"pytest (tests_py/\w+\.py)(?: -k (\w+))?", text):
        assert word in (ROOT / file).read_text(encoding="utf-8"), (file, word)
    sessions = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert all(f"\ndef {name}(" in sessions for name in re.findall(r"nox -s (\w+)", text))


def test_each_step_beside_the_go_suite_is_there_with_what_shows_it() -> None:
    page = (DOCS / "go-suite.md").read_text(encoding="utf-8").partition("## Step by step")[2]
    rows = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    suites = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "python/holdfast/suites").rglob("*.py"))
    tests = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests_py").glob("*.py"))
    defects = {defect.name for defect in CATALOGUE}
    assert len(rows) > 30
    for _, _, step, shown in rows:
        for title in re.findall(r"\*([^*]+)\*", step):
            assert f'"{title}"' in suites, title
        named = shown.strip()
        if step.strip().startswith("not done"):
            assert not named, step
        else:
            assert named in defects or f"def {named.strip('`')}(" in tests, shown


FIRST_SCREENS = (ROOT / "README.md", DOCS / "index.md")


def test_readme_and_the_site_begin_with_the_same_three_sentences() -> None:
    said = []
    for page in FIRST_SCREENS:
        paragraph = page.read_text(encoding="utf-8").split("\n\n")[2]
        plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(paragraph.split()))
        said.append(re.split(r"(?<=\.) (?=[A-Z])|(?<=\.) (?=holdfast)", plain))
    assert said[0] == said[1]
    assert len(said[0]) == 3, said[0]


@pytest.mark.parametrize("page", FIRST_SCREENS, ids=lambda page: page.stem)
def test_the_wheel_is_the_first_way_to_install_and_the_sources_the_second(page: Path) -> None:
    wheel, sources = [block for block in blocks(page) if block.language == "sh"][:2]
    assert re.search(r"pip install chosen/\*\.whl(?=\W)", wheel.text)
    assert "not on PyPI yet" in wheel.mark
    assert re.search(r"pip install \.(?=\W)", sources.text)
    text = page.read_text(encoding="utf-8")
    assert text.index("**not on PyPI yet**") < text.index(sources.text), "said where people see it, too"


@pytest.mark.parametrize("page", FIRST_SCREENS, ids=lambda page: page.stem)
def test_of_a_folder_of_wheels_the_first_command_takes_the_one_for_this_machine(page: Path, tmp_path: Path) -> None:
    """As `nox -s dist` leaves them, sources too. pip's index is one that nobody answers at, so it is not asked."""
    own = "py3-none-any"
    others = ("manylinux2014_s390x", "musllinux_1_2_s390x", "macosx_11_0_ppc", "win_arm64")
    for tag in (own, *(f"cp310-abi3-{platform}" for platform in others)):
        with zipfile.ZipFile(tmp_path / f"holdfast-0.1.0-{tag}.whl", "w") as packed:
            packed.writestr(
                "holdfast-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: holdfast\nVersion: 0.1.0\n"
            )
            packed.writestr(
                "holdfast-0.1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
            )
    (tmp_path / "holdfast-0.1.0.tar.gz").touch()
    (line,) = re.findall(r"^pip download .*$", blocks(page)[0].text, re.MULTILINE)
    command = ["bash", "-c", f"{shlex.quote(sys.executable)} -m {line}"]
    environment = {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in (tmp_path / "chosen").iterdir()] == [f"holdfast-0.1.0-{own}.whl"]


# By its name alone, so from PyPI; the first screens warn of it.
FROM_PYPI = re.compile(
    r"""pip install (?:-\S+ )*["']?holdfast(?![-\w./])(?!` must wait)(?!`, which installs another)"""
)
TOLD = [
    *dict.fromkeys([*PAGES, *sorted(ROOT.glob("*.md"))]),
    *(
        file
        for folder in ("python", "examples", "src", "crates")
        for file in sorted((ROOT / folder).rglob("*.[pr][ys]"))
    ),
]


@pytest.mark.parametrize("file", TOLD, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_tells_to_install_another_project_that_has_the_name_on_pypi(file: Path) -> None:
    assert FROM_PYPI.findall(" ".join(file.read_text(encoding="utf-8").split())) == []


def test_the_reference_names_classes_as_users_do() -> None:
    """`holdfast._core` is where they are, and nothing that anybody imports."""
    shown = re.split(r"^::: ", (DOCS / "reference.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    own = [entry for entry in shown if "._core." in entry.partition("\n")[0]]
    assert len(own) == 6
    for entry in own:
        heads = re.findall(r"^ {6}(?:heading|toc_label): (.*)$", entry, re.MULTILINE)
        assert len(heads) == 2, entry
        assert all("_core" not in head and head.startswith("holdfast.Device") for head in heads), entry


def test_the_picture_of_the_tutorial_is_of_its_own_run() -> None:
    """`nox -s pictures` runs what the page says, and the page shows what came of that."""
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    (block,) = [block for block in blocks(DOCS / "tutorial.md") if block.mark == "fails"]
    assert shlex.join(["pytest", *pictures.tutorial()]) == shlex.join(shlex.split(block.text))
    shown = (DOCS / "tutorial.md").read_text(encoding="utf-8").partition(block.text)[2]
    assert LINK.findall(shown)[0] == "pictures/tutorial.png"
    (by_hand,) = [block for block in blocks(DOCS / "tutorial.md") if "dut.switchover()" in block.text]
    code, last = pictures.tutorial_cells()
    assert code.strip() == by_hand.text.strip()
    assert f"`{last}` shows itself" in shown
    shown = shown.partition(by_hand.text)[2]
    assert LINK.findall(shown)[0] == "pictures/tutorial-notebook.png"


@pytest.mark.parametrize("picture", sorted((DOCS / "pictures").glob("*.svg")), ids=lambda picture: picture.stem)
def test_no_picture_shows_whose_machine_drew_it_or_fetches_anything(picture: Path) -> None:
    shown = "".join(ET.fromstring(picture.read_text(encoding="utf-8")).itertext())
    assert re.findall(r"https?://(?!www\.w3\.org/|www\.textualize\.io)", picture.read_text(encoding="utf-8")) == []
    assert re.findall(r"\.\./|/(?:home|root|tmp|work|usr|opt|Users)/|site-packages", shown) == []


def test_nothing_in_python_opens_a_url() -> None:
    """As docs/decisions/0010 says: what is reached is what somebody named, by the core."""
    opens = re.compile(
        r"\b(?:urlopen|urlretrieve|build_opener)\b|\b(?:import|from) (?:http\.client|requests|httpx|aiohttp)\b"
    )
    files = sorted((ROOT / "python" / "holdfast").rglob("*.py"))
    assert [str(file) for file in files if opens.search(file.read_text(encoding="utf-8"))] == []
