"""A hundred claims and writers at once, on the lab's own Kubernetes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from holdfast import waiting
from holdfast._core import StorageLab, StorageTask
from holdfast.storage import kubernetes, standing

WRITERS = 100
# Of each volume, in bytes.
SIZE = 16 << 20
# From one write of a task to the next, in seconds: two hundred writes a second in all, each made safe.
PACE = 0.5
# So many are brought up side by side: whoever asks for each looks again and again.
AT_ONCE = 12
# They write side by side for so long, in seconds.
TOGETHER = 30.0
# For one of them to come to be, in seconds.
PATIENCE = 300.0


@dataclass(frozen=True)
class Crowd:
    """Seconds until all of them wrote, the latest acknowledgement since then, and how many there were."""

    up: float
    latest: float
    acknowledged: int


def lacks() -> str | None:
    """Why it cannot be measured here."""
    return kubernetes.lacks()


def crowd() -> Crowd:
    """One writer on each claim, spread over the nodes, and what the slowest of them waits for an acknowledgement."""
    with standing.stand(standing.readable("nbd", "kubernetes"), pace=PACE, start=180) as made:
        lab, nodes = made.lab, made.lab.nodes()
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = list(pool.map(lambda number: _writer(lab, nodes[number % len(nodes)], number), range(WRITERS)))
        up = time.monotonic() - began
        before = [task.acknowledged for task in tasks]
        waiting.until(lambda: any(task.failed for task in tasks), TOGETHER, look=1.0)
        failed = [task.failed for task in tasks if task.failed]
        assert not failed, failed[:3]
        latest = max(task.longest_pause(since) for task, since in zip(tasks, before, strict=True))
        many = sum(task.acknowledged - since for task, since in zip(tasks, before, strict=True))
        return Crowd(up, latest, many)


def _writer(lab: StorageLab, node: str, number: int) -> StorageTask:
    volume = lab.create(node, f"crowd-{number}", SIZE, filesystem="ext4", timeout=PATIENCE)
    task = lab.run(volume, node, timeout=PATIENCE)
    task.wait_acknowledged(2, timeout=PATIENCE)
    return task
