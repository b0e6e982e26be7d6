"""Storage: the ledger against dd and sha256sum, the lab's start, the scenarios on the emulated tier."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from holdfast import ledger, storage
from holdfast.storage import provider

SECONDS = 3


def appended(folder: Path) -> tuple[float, float]:
    """Bytes a second, each made safe 4 KiB at a time: the ledger's writer, and dd over a file as long."""
    file, told = folder / "ledger", folder / "acknowledgements"
    with told.open("wb") as lines:
        writing = [str(ledger.executable()), "write", str(file), "--run", "ab"]
        began = time.monotonic()
        subprocess.run(["timeout", str(SECONDS), *writing], stdout=lines, check=False)
        ours = written(told) * 4096 / (time.monotonic() - began)
    words = ["dd", "if=/dev/zero", f"of={folder / 'peer'}", "bs=4k", "oflag=direct,dsync", "conv=notrunc"]
    with (folder / "peer").open("wb") as peer:  # as long as the ledger, and as much on the disk
        peer.write(bytes(file.stat().st_size))
        os.fsync(peer.fileno())
    copied = subprocess.run([*words, f"count={written(told)}"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+) bytes .* copied, ([\d.e-]+) s", copied.stderr)
    assert found is not None, copied.stderr
    return ours, int(found[1]) / float(found[2])


def written(told: Path) -> int:
    """How many records were acknowledged."""
    return sum(line.startswith("acknowledged") for line in told.read_text().splitlines())


def verified(folder: Path) -> tuple[float, float]:
    """Seconds to compare that file with its acknowledgements, and for sha256sum to read it."""
    file, told = folder / "ledger", folder / "acknowledgements"
    lines = [line for line in told.read_text().splitlines(keepends=True) if line.endswith("\n")]
    told.write_text("".join(lines))
    ours = [str(ledger.executable()), "verify", str(file), "--acknowledgements", str(told)]
    return clocked(ours), clocked(["sha256sum", str(file)])


def clocked(words: list[str]) -> float:
    """The median of five, in seconds."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        times.append(time.monotonic() - began)
    return sorted(times)[2]


def lab_up() -> float:
    """Seconds until three nodes answer."""
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        began = time.monotonic()
        lab = storage.lab(provider.read("nbd"), folder)
        took = time.monotonic() - began
        lab.close()
    return took


def scenarios(folder: Path) -> tuple[float, float]:
    """Seconds that the ten take on the emulated tier, and of T5 beyond its recovery."""
    report = folder / "report.xml"
    words = [sys.executable, "-m", "pytest", "-q", "-k", "torpedo", "-p", "no:cacheprovider", f"--junitxml={report}"]
    began = time.monotonic()
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    for case in ET.parse(report).iter("testcase"):
        properties = {each.get("name"): each.get("value") or "" for each in case.iter("property")}
        if properties["torpedo"] == "T5":
            return took, float(case.get("time", "0")) - float(properties["recovery"])
    raise AssertionError("T5 did not run")
