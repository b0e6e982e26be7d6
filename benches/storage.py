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

SECONDS = 1.5
ROUNDS = 5
# Records in what is preallocated at once.
STEP = 4096


def appended(folder: Path) -> tuple[float, float]:
    """Bytes a second, each 4 KiB made safe: appending in what is preallocated, and dd over a file that is there.

    In turns, since a disk is not as fast all the time: the medians of those.
    """
    rounds = [(_appended_once(folder / f"{number}"), _copied_once(folder / "peer")) for number in range(ROUNDS)]
    (folder / f"{ROUNDS - 1}").rename(folder / "ledger")
    (folder / f"{ROUNDS - 1}.acknowledged").rename(folder / "acknowledgements")
    ours, theirs = zip(*rounds, strict=True)
    return sorted(ours)[ROUNDS // 2], sorted(theirs)[ROUNDS // 2]


def _appended_once(file: Path) -> float:
    """By the writer's clock, from the first record of a preallocated step to its last."""
    acknowledged = file.with_suffix(".acknowledged")
    with acknowledged.open("wb") as output:
        words = ["timeout", f"{SECONDS}", str(ledger.executable()), "write", str(file), "--run", "ab"]
        subprocess.run(words, stdout=output, check=False)
    lines = acknowledged.read_text().splitlines()[:-1]
    times = [int(line.split()[-1]) for line in lines if line.startswith("acknowledged")]
    step = times[1 : min(len(times), STEP)]
    return (len(step) - 1) * 4096 / (step[-1] - step[0]) * 1e9


def _copied_once(peer: Path) -> float:
    with peer.open("wb") as file:  # as much on the disk as a step
        file.write(bytes(STEP * 4096))
        os.fsync(file.fileno())
    words = ["dd", "if=/dev/zero", f"of={peer}", "bs=4k", "oflag=direct,dsync", "conv=notrunc", f"count={STEP}"]
    copied = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"(\d+) bytes .* copied, ([\d.e-]+) s", copied.stderr)
    assert found is not None, copied.stderr
    return int(found[1]) / float(found[2])


def verified(folder: Path) -> tuple[float, float]:
    """Seconds to compare that file with its acknowledgements, and for sha256sum to read it."""
    file, acknowledgements = folder / "ledger", folder / "acknowledgements"
    lines = [line for line in acknowledgements.read_text().splitlines(keepends=True) if line.endswith("\n")]
    acknowledgements.write_text("".join(lines))
    ours = [str(ledger.executable()), "verify", str(file), "--acknowledgements", str(acknowledgements)]
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
