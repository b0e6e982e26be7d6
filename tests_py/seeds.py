"""`nox -s seeds`: the suites on healthy emulated devices whose timings and oddities are drawn by seed: no false alarm.

`seeds.py 17` goes through seed 17 alone and shows what it drew; `seeds.py 0-199` through all of them. What draws a
healthy device for other runs is here too: midway.py has another case on the same ones.
"""

from __future__ import annotations

import os
import platform
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

from holdfast import _core, profiles
from holdfast._version import __version__

from defects import PATIENT

PAGE = Path(__file__).parent.parent / "docs" / "false-alarms.md"
TEXT = """# No false alarms

Written by `nox -s seeds` on {date} with holdfast {version} ({machine}): the suites on healthy emulated devices, whose
timings and oddities are drawn by seed (outages of 0.05 to 3 s, load, boot and reboot times, slow, empty and partial
lists, one address or one for each control processor, IPv4 and IPv6, gNOI apart, closed or silent outages, each quirk on
or off, rude triggers, combined cases, vendors; CNTR-1 and CNTR-2 also where one control processor shows, or none).

**Seeds {first} to {last}: {runs} runs, {verdicts} verdicts, 0 failures.**

A seed is gone through again with `python tests_py/seeds.py SEED`.
"""
# Under which midway.py writes its part of the page.
AT_RANDOM = "\n## Failovers at random moments\n"
# Suites at a time: they wait more than they work.
WORKERS = 8
# Quirks of a device that serves less: drawn apart, where there is something left to judge.
LESS = ("containerz-alone",)
# On one with older names nothing is left to judge: test_services.py has it.
NOTHING = ("older-containerz",)
# Quirks that are another test's, as containers ask for Capabilities; and those that exclude one another.
ELSEWHERE = (
    "certificate-",
    "containerz-needs-cli",
    "port-filtered",
    "cli-lost-unless-saved",
    "capabilities-",
    "requests-limited",  # the limits of the emulated device's steps are too short for one so slow
    *LESS,
    *NOTHING,
)
# Without Get there is nothing to ask in a Subscribe's place.
NO_GET = ("get-refused",)
EXCLUSIVE = (
    ("name-only", "full-path-only"),
    ("json-ietf-only", "json-ietf-refused"),  # nothing would be left to speak
    ("origin-refused", "origin-required"),
    ("no-subscribe", "get-refused"),
    ("once-refused", "get-refused"),
    ("once-stays-open", "once-ends-without-sync"),  # nobody could tell when it has told all
    ("once-ends-cancelled", "once-ends-without-sync"),  # or whether
    ("boot-time-in-seconds", "boot-time-in-milliseconds"),
    ("no-component-type", "extra-components"),  # nobody could tell which cards count
    ("lockstep-only", "rare-progress"),  # nobody could send a second chunk
)
# Ways in which gNMI is asked and answers, and in which gNOI takes paths.
WAYS = (
    "json-ietf-refused", "proto-refused", "capabilities-unimplemented", "origin-refused", "origin-required",
    "wildcards-refused", "wildcards-not-found", "wildcards-unimplemented", "wildcards-internal", "wildcards-empty",
    "absent-leaf-refused", "get-refused", "once-refused", "sync-after-each-update", "sync-first", "once-stays-open",
    "once-ends-without-sync", "once-ends-cancelled", "half-close-cancels", "one-notification", "json-containers",
    "path-origin-refused", "keyed-element-only", "path-form-not-found", "path-form-internal", "path-form-unimplemented",
    "path-form-precondition",
)  # fmt: skip
# What gNOI File and Healthz leave out, or tell in another way.
FILES = (
    "file-unimplemented", "healthz-unimplemented", "folder-stat-unimplemented", "folder-stat-itself", "bare-file-names",
    "no-file-times", "no-file-hash", "standby-files-hidden", "no-core-folder", "old-cores",
)  # fmt: skip
# When a device says that it booted, and how slowly it tells what a ONCE asks for.
TOLD_LATE = (
    "slow-once", "boot-time-in-seconds", "boot-time-in-milliseconds", "boot-time-late", "boot-time-zero",
    "boot-time-unset", "standby-inactive",
)  # fmt: skip
# How lists write the names of images and containers.
NAMES = ("names-behind-one-id", "tag-behind-name", "digests-for-names", "linked-names")
# What a device takes no more of, or not yet, and what it tells nobody who asks as usual.
REFUSALS = (
    "target-required", "loose-types", "subscribe-hangs-after-switchover", "subscribe-ends-after-switchover",
    "changes-aborted-at-first", "changes-fail-at-first", "labels-refused",
)  # fmt: skip
# Roles that are away for a moment, and answers in older or other forms.
FORMS = ("role-unset", "older-form", "plugin-config-rewritten")
SLOW = ("containerz.ListImage", "containerz.ListContainer", "containerz.ListVolume", "gnmi.Subscribe")
PLACES = ("auto", "auto", "auto,auto", "[::1]:0")


def draw(seed: int) -> tuple[str, ...]:
    """The options that a seed stands for."""
    chance = random.Random(seed)
    words = _device(chance, seed)
    return (*_cases(chance, words, random.Random(f"what {seed} lacks")), f"--dut-seed={seed}")


def draw_midway(seed: int) -> tuple[str, ...]:
    """The same device for the history of a seed, a failover at a random moment. A healthy one is right in the end,
    however slow the machine is.
    """
    chance = random.Random(seed)
    words = _device(chance, seed)
    chosen = ["-vv", "-k", "midway_random", f"--midway-seed={seed}", *PATIENT, "--dut-deadline=verification=30s"]
    return (*_failed_over(chance, chosen, words), f"--dut-seed={seed}")


def _device(chance: random.Random, seed: int) -> list[str]:
    """The emulated device of a seed: its timings, its quirks, its healthy failpoints."""
    given = [f"outage={chance.uniform(0.05, 3):.3f}s", f"load={chance.uniform(0, 1):.3f}s"]
    given += [f"boot={chance.uniform(0.05, 2):.3f}s", f"reboot={chance.uniform(0.05, 2):.3f}s"]
    given += [f"replication={chance.uniform(0, 0.1):.3f}s", f"black-hole={chance.choice(('yes', 'no'))}"]
    place = chance.choice(PLACES)
    given.append(f"listen={place}")
    if chance.random() < 0.2:
        given.append("gnoi-port=0")
    drawn_apart = (*WAYS, *FILES, *NAMES, *TOLD_LATE, *FORMS, *REFUSALS)
    oddities = [name for name, _ in _core.quirk_names() if not name.startswith(ELSEWHERE) and name not in drawn_apart]
    quirks = {name for name in oddities if chance.random() < 0.3}
    ways = random.Random(f"the ways of {seed}")
    quirks |= {name for name in WAYS if not name.startswith(ELSEWHERE) and ways.random() < 0.1}
    files = random.Random(f"the files of {seed}")
    quirks |= {name for name in FILES if files.random() < 0.2}
    names = random.Random(f"the names of {seed}")
    quirks |= {name for name in NAMES if names.random() < 0.2}
    late = random.Random(f"what {seed} tells late")
    quirks |= {name for name in TOLD_LATE if late.random() < 0.2}
    forms = random.Random(f"the forms of {seed}")
    quirks |= {name for name in FORMS if forms.random() < 0.2}
    refusals = random.Random(f"the refusals of {seed}")
    quirks |= {name for name in REFUSALS if refusals.random() < 0.1}
    if quirks & set(NO_GET):
        quirks -= {"subscribe-hangs-after-switchover", "subscribe-ends-after-switchover"}
    for pair in EXCLUSIVE:
        quirks -= {(chance if not set(pair) & set(WAYS) else ways).choice(pair)} if quirks >= set(pair) else set()
    quirks -= {"inner-address"} if place != "auto" else set()
    given += [f"quirk={name}" for name in sorted(quirks)]
    words = [f"--dut-emulator={text}" for text in given]
    if place.startswith("[::1]"):  # which all seeds share, and with it the ports of their containers
        words.append(f"--dut-port={61_000 + 2 * seed % 4000}")
    for site in SLOW:
        if chance.random() < 0.2:
            words.append(f"--dut-failpoint={site}=30%delay({chance.randint(1, 200)}ms)")
    for lists in ("load.lists_empty", "load.lists_partial"):
        if chance.random() < 0.3:
            words.append(f"--dut-failpoint={lists}=error(x)")
    return words


def _cases(chance: random.Random, words: list[str], less: random.Random) -> tuple[str, ...]:
    """Which cases."""
    (suites,) = chance.choices(("cntr3", "cntr3 or midway", "cntr1 or cntr2"), (6, 1, 3))
    chosen = ["-k", suites]
    if "cntr3" not in suites and chance.random() < 0.3:
        words = [*words, f"--dut-failpoint={chance.choice(('roles.single', 'roles.none'))}=error(x)"]
    if "cntr3" not in suites and less.random() < 0.15:
        words = [*words, f"--dut-emulator=quirk={less.choice(LESS)}"]
    if chance.random() < 0.3:
        chosen.append("--dut-combine")
    return _failed_over(chance, chosen, words)


def _failed_over(chance: random.Random, chosen: list[str], words: list[str]) -> tuple[str, ...]:
    """Failed over how; sometimes on a vendor's device, with its own oddities in place of the drawn."""
    if chance.random() < 0.2:
        chosen += ["--dut-trigger", chance.choice(("reboot-active", "kill:supervisor"))]
        if "--dut-emulator=quirk=no-switchover-ready" in words:  # nobody could tell that its standby is there
            words = [word for word in words if word != "--dut-emulator=quirk=standby-inactive"]
    if chance.random() < 0.1:
        vendor = chance.choice([name for name in profiles.testable() if not profiles.load(name).emulator.get("listen")])
        return (*chosen, *words[:6], f"--dut-profile={vendor}", "--dut-configure")
    return (*chosen, *words)


def run(options: Sequence[str]) -> tuple[int, float, str]:
    """The suite with these options, in a process of its own: exit code, seconds, output."""
    with tempfile.TemporaryDirectory(prefix="holdfast-seed-") as folder:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "PYTEST_"))}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options],
            cwd=folder,
            env={**kept, "XDG_STATE_HOME": folder},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return done.returncode, time.monotonic() - began, done.stdout + done.stderr


def go_through(
    seeds: range, drawn: Callable[[int], tuple[str, ...]], workers: int
) -> tuple[dict[int, tuple[int, float, str]], list[int]]:
    """What came of each seed, and which failed; those are shown as they come."""

    def one(seed: int) -> tuple[int, float, str]:
        result = run(drawn(seed))
        if result[0] == 0:
            print(f"seed {seed} passed after {result[1]:.0f} s", flush=True)
        else:
            print(f"seed {seed} fails; again with: pytest {shlex.join(drawn(seed))}\n{result[2]}", flush=True)
        return result

    with ThreadPoolExecutor(max_workers=workers) as pool:
        results = dict(zip(seeds, pool.map(one, seeds), strict=True))
    return results, [seed for seed, (code, _, _) in results.items() if code != 0]


def written() -> dict[str, str]:
    """When, with what and where a part of the page is written."""
    date = str(datetime.now(timezone.utc).date())
    return {
        "date": date,
        "version": __version__,
        "machine": f"Python {platform.python_version()}, {platform.machine()}",
    }


def range_of(text: str) -> range:
    """`17`, or `0-199`."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    """Go through the seeds that were named; 1 where one fails."""
    seeds = range_of(sys.argv[1] if len(sys.argv) > 1 else "0-199")
    results, failed = go_through(seeds, draw, WORKERS)
    verdicts = sum(output.count("\nCNTR-") + output.count("\nmidway ") for _, _, output in results.values())
    print(f"{len(seeds) - len(failed)} passed, {len(failed)} failed")
    if not failed and len(seeds) >= 200:
        _, heading, after = PAGE.read_text(encoding="utf-8").partition(AT_RANDOM)
        own = TEXT.format(**written(), first=seeds[0], last=seeds[-1], runs=len(seeds), verdicts=verdicts)
        PAGE.write_text(own + heading + after, encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
