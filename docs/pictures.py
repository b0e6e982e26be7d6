"""`nox -s pictures`: the pictures of README and docs, each of a real run on the emulated device.

The terminal is drawn by rich; pages and notebooks are drawn by a headless Chromium, where there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import holdfast

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
NOTEBOOKS = HERE.parent / "examples" / "notebooks"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What nobody needs to see of pytest's header.
LEFT_OUT = ("platform ", "rootdir", "plugins", "asyncio", "cachedir")


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
    lines = [line for line in printed.splitlines() if not line.startswith(LEFT_OUT)]
    console = Console(record=True, width=104, file=Path(os.devnull).open("w", encoding="utf-8"))
    console.print(Text("$ pytest -k cntr3", style="bold"))
    console.print(Text.from_ansi("\n".join(lines)))
    console.save_svg(str(PICTURES / "run.svg"), title="holdfast on the emulated device")


def timeline() -> None:
    """A switchover's timeline, by itself."""
    with holdfast.emulator(outage=1.0) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        (PICTURES / "timeline.svg").write_text(dut.switchover(redundant=True).timeline.svg(), encoding="utf-8")


def report(folder: Path, browser: str) -> None:
    """A report of a run with a defect in it."""
    page = folder / "run.html"
    defect = ("--dut-failpoint", "load.container.lost=1*error(x)", "--dut-deadline", "verification=1s")
    run(folder, "-k", "cntr3", "--dut-report", str(page), "--dut-emulator", "outage=1s", *defect)
    draw(browser, page, "report", 1500)


def notebook(folder: Path, browser: str) -> None:
    """The notebook of a failover by hand, executed."""
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    read = nbformat.read(NOTEBOOKS / "a_failover_by_hand.ipynb", as_version=4)
    NotebookClient(read, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    page = folder / "notebook.html"
    page.write_text(HTMLExporter().from_notebook_node(read)[0], encoding="utf-8")
    draw(browser, page, "notebook", 1700)


def draw(browser: str, page: Path, name: str, height: int) -> None:
    """A page as a PNG."""
    size = f"--window-size=1000,{height}"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size)
    picture = PICTURES / f"{name}.png"
    subprocess.run([browser, *options, f"--screenshot={picture}", page.as_uri()], capture_output=True, check=True)


def main() -> int:
    """All of them."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory(prefix="holdfast-pictures-") as place:
        terminal(Path(place))
        timeline()
        if browser is None:
            print("NOT DRAWN: report and notebook: there is no Chromium (apt-get install chromium)")
            return 0
        report(Path(place), browser)
        notebook(Path(place), browser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
