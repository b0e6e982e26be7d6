"""One driver three ways: csi-sanity asks it call by call, holdfast's own runner and a Kubernetes run tasks on it.

`three_ways.py CSI_SANITY` holds the section of docs/providers.md true that says so, with `write` it writes it anew. The
verdicts of the two runners are those of the page's own tables, which `providers.py` holds true. Linux, as root.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from providers import PAGE, tables_of

from holdfast.storage import provider, standing

DRIVER = "nbd"
TITLE = "nbd.storage.holdfast three ways"
HEAD = f"""{TITLE}

The same driver, asked call by call by csi-sanity 5.6.0 (specifications that passed, of those that are about what the
driver claims), and under tasks by holdfast's own runner and by a Kubernetes (the verdicts of the tables on this page).
A dash: that way does not look there. csi-sanity kills nothing and judges no data; under a Kubernetes some calls come in
another order, and some never.

| what is looked at | csi-sanity | own runner | Kubernetes |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """What is looked at: by which of csi-sanity's specifications, as their names begin, and by which scenarios."""

    what: str
    asked: tuple[str, ...]
    scenarios: tuple[str, ...]


ROWS = (
    Row("what it says of itself", ("GetPlugin", "Probe", "ControllerGetCapabilities", "NodeGetCap", "NodeGetInfo"), ()),
    Row(
        "volumes are made, listed and removed (T1)",
        ("CreateVolume", "DeleteVolume", "ValidateVolumeCapabilities", "ListVolumes", "GetCapacity"),
        ("T1",),
    ),
    Row("attached and detached (T2)", ("ControllerPublish", "ControllerUnpublish", "volume lifecycle"), ("T2",)),
    Row("mounted and unmounted (T2)", ("NodePublish", "NodeUnpublish", "NodeStage", "NodeUnstage", "should"), ("T2",)),
    Row("made larger (T11)", ("ExpandVolume", "NodeExpandVolume"), ("T11",)),
    Row(
        "snapshots (T12)",
        ("CreateSnapshot", "DeleteSnapshot", "ListSnapshots", "CreateVolume should .* source snapshot"),
        ("T12",),
    ),
    Row("copies (T13)", ("CreateVolume should .* source volume",), ("T13",)),
    Row("devices (T14)", (), ("T14",)),
    Row("statistics (T15)", ("NodeGetVolumeStats", "ControllerGetVolume "), ("T15",)),
    *(Row(f"{what} ({scenario})", (), (scenario,)) for scenario, what in (
        ("T3", "the plugin is down, tasks go on"),
        ("T4", "the plugin is down, a task dies"),
        ("T5", "a node loses its power"),
        ("T6", "a volume is made while the plugin is down"),
        ("T7", "a node is cut off"),
        ("T8", "the storage network is cut"),
        ("T9", "the runtime crashes"),
        ("T10", "the runtime crashes, tasks live on"),
        ("T21", "the kubelet is dead while a task ends"),
        ("T22", "the kubelet is dead under tasks"),
        ("T23", "the control plane is dead under tasks"),
        ("T24", "a node is drained"),
        ("T25", "the node of a StatefulSet's pod is cut off"),
    )),
)  # fmt: skip


def asked(executable: str) -> list[tuple[str, str]]:
    """Each of csi-sanity's specifications by its name, and what came of it with the driver."""
    with (
        standing.stand(provider.read(DRIVER), pace=0.05, start=120.0) as made,
        tempfile.TemporaryDirectory(prefix="holdfast-three-ways-") as folder,
    ):
        words = [
            executable,
            f"--csi.endpoint=unix://{made.folder}/{made.lab.nodes()[0]}/plugin.sock",
            f"--csi.mountdir={folder}/mount",
            f"--csi.stagingdir={folder}/staging",
            f"--ginkgo.json-report={folder}/report.json",
            f"--csi.testvolumesize={16 << 20}",
            f"--csi.testvolumeexpandsize={32 << 20}",
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        report = Path(folder) / "report.json"
        if not report.exists():
            raise SystemExit(f"csi-sanity ended with {done.returncode}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
        (suite,) = json.loads(report.read_text(encoding="utf-8"))
    specifications = suite["SpecReports"]
    return [
        (" ".join([*(each["ContainerHierarchyTexts"] or ()), each["LeafNodeText"]]), each["State"])
        for each in specifications
        if each["LeafNodeType"] == "It"
    ]


# The states of csi-sanity's specifications that say nothing of the driver.
NOT_RUN = ("skipped", "pending")
# What csi-sanity puts before the name of an RPC.
PREFIX = re.compile(r"^((Identity|Node|Controller) Service )?(\[[^]]*\] )?")


def row_of(name: str) -> Row | None:
    """The row that one of csi-sanity's specifications is of: that whose word says most of it."""
    subject = re.sub(r"^(\w+) \[Controller Server\]", r"\1", PREFIX.sub("", name))

    def said(row: Row) -> int:
        found = (re.match(word, subject) for word in row.asked)
        return max((len(each[0]) for each in found if each), default=0)

    best = max(ROWS, key=said)
    return best if said(best) else None


def counted(row: Row, found: Sequence[tuple[str, str]]) -> str:
    """How many passed, of those that ran; what did not by its name."""
    ran = [(name, state) for name, state in found if row_of(name) == row and state not in NOT_RUN]
    failed = [name for name, state in ran if state != "passed"]
    if not ran:
        return "-"
    return f"{len(ran) - len(failed)} of {len(ran)}" + "".join(f"; fails: {PREFIX.sub('', name)}" for name in failed)


def judged(row: Row, verdicts: Mapping[str, str]) -> str:
    """What a runner's table says of a row's scenarios; each verdict once."""
    found = [verdict for title, verdict in verdicts.items() if title.split(" ")[0] in row.scenarios]
    return ", ".join(dict.fromkeys(found)) or "-"


def section(found: Sequence[tuple[str, str]], page: str) -> str:
    """The section, of what csi-sanity found and the page's own tables."""
    tables = tables_of(page)

    def of(runner: str) -> dict[str, str]:
        held = [each for title, each in tables.items() if re.match(rf"nbd\..*, runner {runner}\b", title)]
        if len(held) != 1:
            raise SystemExit(f"{PAGE} has {len(held)} tables of nbd under the runner {runner}, and needs one")
        return held[0]

    strays = [name for name, state in found if row_of(name) is None and state not in NOT_RUN]
    if strays:
        raise SystemExit(f"no row has these of csi-sanity's specifications: {', '.join(strays)}")
    own, kubernetes = of("own"), of("kubernetes")
    rows = (f"| {row.what} | {counted(row, found)} | {judged(row, own)} | {judged(row, kubernetes)} |" for row in ROWS)
    return HEAD + "\n".join(rows) + "\n"


def main(words: Sequence[str]) -> int:
    executable, *more = words
    page = PAGE.read_text(encoding="utf-8")
    head, *parts = page.split("\n## ")
    made = section(asked(executable), page)
    if "write" in more:
        others = [part.rstrip("\n") + "\n" for part in parts if not part.startswith(TITLE)]
        PAGE.write_text("\n## ".join([head, *sorted([*others, made])]), encoding="utf-8")
        return 0
    listed = next((part for part in parts if part.startswith(TITLE)), "")
    if listed.strip() == made.strip():
        print(f"{TITLE}: as listed")
        return 0
    print(f"{TITLE}: listed as\n{listed}\nand is\n{made}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
