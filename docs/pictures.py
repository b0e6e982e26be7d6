"""`nox -s pictures`: the pictures of README and docs, each of a real run on the emulated device.

The terminal is drawn by rich; pages and notebooks are drawn by a headless Chromium, where there is one.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import holdfast

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
# Scenarios that a slow machine does not disturb.
STORAGE = " or ".join(f"torpedo_{number}_" for number in (1, 2, 4, 5, 7, 15))
NOTEBOOKS = HERE.parent / "examples" / "notebooks"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What nobody needs to see of pytest's header.
LEFT_OUT = ("platform ", "rootdir", "plugins", "asyncio", "cachedir")
# What a picture has of a path: what is in the package, and nothing of whose machine it is.
ELSEWHERE = re.compile(r"(?:[\w.~-]*/)+(?=holdfast/suites/)")
# The run of the tutorial whose page it shows, as that has it.
FAILING = re.compile(r"<!-- fails -->\n```sh\n(.*?)\n```", re.DOTALL)
# Its failover by hand, and what shows itself in a notebook.
BY_HAND = re.compile(r"^## A failover by hand\n.*?<!-- run -->\n```python\n(.*?)\n```", re.DOTALL | re.MULTILINE)
SHOWN = "failover"
# Where rich has a browser fetch a font from: a picture fetches nothing.
FETCHED = re.compile(r',\s*url\("https?://[^"]*"\)(?: format\("[^"]*"\))?')


def run(folder: Path, *options: str) -> str:
    """What a suite prints, in colour."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=yes", *options]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "PYTEST_"))}
    environment = {**kept, "XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "100"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


def terminal(folder: Path) -> None:
    """README's first screen."""
    from rich.console import Console
    from rich.text import Text

    printed = run(folder, "-k", "cntr3")
    lines = [ELSEWHERE.sub("", line) for line in printed.splitlines() if not line.startswith(LEFT_OUT)]
    console = Console(record=True, width=104, file=Path(os.devnull).open("w", encoding="utf-8"))
    console.print(Text("$ pytest -k cntr3", style="bold"))
    console.print(Text.from_ansi("\n".join(lines)))
    drawn = console.export_svg(title="holdfast on the emulated device")
    (PICTURES / "run.svg").write_text(FETCHED.sub("", drawn), encoding="utf-8")


def timeline() -> None:
    """A switchover's timeline, by itself."""
    with holdfast.emulator(outage=1.0) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        (PICTURES / "timeline.svg").write_text(dut.switchover(redundant=True).timeline.svg(), encoding="utf-8")


def tutorial() -> list[str]:
    """The words of the tutorial's run that fails, after `pytest`."""
    (command,) = FAILING.findall((HERE / "tutorial.md").read_text(encoding="utf-8"))
    program, *words = shlex.split(command)
    if program != "pytest" or words[-2:] != ["--dut-report", "run.html"]:
        raise SystemExit(f"docs/tutorial.md shows another command: {command}")
    return words


def tutorial_cells() -> list[str]:
    """The cells of the tutorial's failover by hand: its code as it stands there, and what shows the failover."""
    (code,) = BY_HAND.findall((HERE / "tutorial.md").read_text(encoding="utf-8"))
    return [code, SHOWN]


def reports(folder: Path, browser: Any) -> None:
    """The page of the tutorial's run, and those of whole runs with a defect in them, of a device and of storage."""
    run(folder, *tutorial())
    draw(browser, folder / "run.html", "tutorial", height=1500)
    defect = ("--dut-failpoint", "load.container.lost=1*error(x)", "--dut-deadline", "verification=1s")
    run(folder, "-k", "cntr3", *defect, "--dut-report", "run.html")
    draw(browser, folder / "run.html", "report", width=1400, height=1500)
    draw(browser, folder / "run.html", "report-dark", width=800, height=1400, dark=True)
    draw(browser, folder / "run.html", "report-narrow", width=400, height=1400)
    run(folder, "-k", STORAGE, "--torpedo-failpoint", "storage.attach.zero_tail=error(x)", "--dut-report", "run.html")
    draw(browser, folder / "run.html", "report-storage", height=1700)


def notebooks(folder: Path, browser: Any) -> None:
    """The notebook of a failover by hand that is among the examples, and that of the tutorial, executed."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    read = nbformat.read(NOTEBOOKS / "a_failover_by_hand.ipynb", as_version=4)
    draw(browser, executed(folder, read), "notebook", height=1700)
    own = new_notebook(cells=[new_code_cell(source) for source in tutorial_cells()])
    draw(browser, executed(folder, own), "tutorial-notebook", height=850)


def executed(folder: Path, notebook: Any) -> Path:
    """Its page, once all of it has run."""
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    page = folder / "notebook.html"
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    return page


def draw(browser: Any, file: Path, name: str, *, width: int = 1000, height: int, dark: bool = False) -> None:
    """The beginning of a page as a PNG."""
    size = {"width": width, "height": height}
    page = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")
    page.goto(file.as_uri())
    page.screenshot(path=PICTURES / f"{name}.png")
    page.close()


def main() -> int:
    """All of them."""
    executable = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory(prefix="holdfast-pictures-") as place:
        terminal(Path(place))
        timeline()
        if executable is None:
            print("NOT DRAWN: reports and notebooks: there is no Chromium (apt-get install chromium)")
            return 0
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            reports(Path(place), browser)
            notebooks(Path(place), browser)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
