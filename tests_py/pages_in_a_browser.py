"""`nox -s page`: pages of real runs in a headless Chromium, light and dark, at three widths: axe-core finds nothing.

Nothing may be wider than the screen, either, nor may anything be fetched. `--pictures DIR` keeps what was seen.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Request, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (400, 800, 1400)
SCHEMES = ("light", "dark")
# Pages by name, and what makes them: what fails and what passes, of devices and of storage.
RUNS = {
    "cntr3-failing": (
        "-k", "cntr3_1 or cntr3_2 or cntr3_4", "--dut-failpoint", "load.container.lost=1*error(x)",
        "--dut-deadline", "verification=1s",
    ),
    "cntr3-passing": ("-k", "cntr3_1 or cntr3_7"),
    "torpedo-failing": (
        "-k", "torpedo_1_ or torpedo_5_", "--torpedo-failpoint", "storage.create.parameters_ignored=error(x)",
    ),
    "torpedo-passing": ("-k", "torpedo_3_ or torpedo_7_"),
    "soak-failing": (
        "-k", "cntr3_1 or cntr3_5", "--dut-repeat", "4", "--dut-failpoint", "load.image.lost=1*off->1*error(x)",
        "--dut-deadline", "verification=1s",
    ),
}  # fmt: skip
# So many runs go on at once.
AT_ONCE = 3
# What a reader may have opened.
OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
RULES = "axe.run({resultTypes: ['violations']})"


def made(folder: Path) -> Iterator[Path]:
    """The page of each run; several go on side by side, for they wait more than they work."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        yield from pool.map(lambda name: _made(folder, name), RUNS)


def _made(folder: Path, name: str) -> Path:
    page = folder / f"{name}.html"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *RUNS[name]]
    command += ["--dut-soak-report" if name.startswith("soak") else "--dut-report", str(page)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    expected = 1 if name.endswith("failing") else 0
    if done.returncode != expected:
        sys.exit(f"{name}: pytest ended with {done.returncode}, and not with {expected}:\n{done.stdout}{done.stderr}")
    return page


def findings(browser: Browser, file: Path, width: int, scheme: Any, axe: str, pictures: Path | None) -> Iterator[str]:
    """What is wrong with a page on such a screen."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    fetched: list[str] = []

    def note(request: Request) -> None:
        fetched.append(request.url)

    page.on("request", note)
    page.goto(file.as_uri())
    if pictures is not None:
        page.screenshot(path=pictures / f"{file.stem}-{width}-{scheme}.png", full_page=True)
    page.evaluate(OPEN_ALL)
    wide = page.evaluate(TOO_WIDE)
    if wide > 0:
        yield f"{wide} pixels wider than the screen"
    page.evaluate(axe)
    for found in page.evaluate(RULES)["violations"]:
        yield f"{found['id']}: {found['help']}: {len(found['nodes'])} times, at first {found['nodes'][0]['html']}"
    yield from (f"fetched {url}" for url in fetched if url != file.as_uri())
    context.close()


def main() -> int:
    """All pages on all screens; the number of findings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js of the npm package axe-core")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    executable = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if executable is None:
        sys.exit("there is no Chromium: apt-get install chromium")
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    axe = given.axe.read_text(encoding="utf-8")
    wrong, looked = 0, 0
    with tempfile.TemporaryDirectory(prefix="holdfast-pages-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for file in made(Path(folder)):
            for width in WIDTHS:
                for scheme in SCHEMES:
                    looked += 1
                    for finding in findings(browser, file, width, scheme, axe, given.pictures):
                        wrong += 1
                        print(f"{file.stem}, {width} pixels, {scheme}: {finding}")
        browser.close()
    print(f"{looked} looks at {len(RUNS)} pages: {wrong} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
