"""What a storage lab did and saw, in words of the field: its timeline has some of them as programs do.

One table for all places where people read it. What is not in it stays as it is.
"""

from __future__ import annotations

import re
from typing import Protocol

from holdfast import visible

PARTS = {
    "Plugin": "the plugin",
    "Server": "the storage server",
    "Runtime": "the container runtime",
    "Kubelet": "the kubelet",
    "ApiServer": "the API server",
    "Etcd": "etcd",
}
NETWORKS = {"All": "all networks", "Storage": "the storage network", "Control": "the control network"}
# What was done to a node, and how it is with the node as long as that lasts.
_WHOLE = {
    "PowerOff": ("cut the power", "power off"),
    "PowerOn": ("bring the power back", "power on"),
    "Heal": ("bring all networks back", "all networks back"),
    "Drain": ("drain the tasks", "tasks drained"),
    "Uncordon": ("allow tasks again", "tasks allowed again"),
    "LiveRestore(true)": ("switch live restore on", "live restore on"),
    "LiveRestore(false)": ("switch live restore off", "live restore off"),
}
_OF_PARTS = {
    "Stop": ("stop {}", "{} stopped"),
    "Kill": ("kill {}", "{} killed"),
    "Hang": ("make {} hang", "{} hangs"),
    "Start": ("start {}", "{} started"),
}


def _bare(words: str) -> str:
    return words.removeprefix("the ")


HARM = {
    **_WHOLE,
    **{f"Cut({code})": (f"cut {words}", f"{_bare(words)} cut") for code, words in NETWORKS.items()},
    **{
        f"{code}({part})": (done.format(words), lasts.format(_bare(words)))
        for code, (done, lasts) in _OF_PARTS.items()
        for part, words in PARTS.items()
    },
}
# The same harm, as options and accounts of scenarios name it: kill_plugin.
_BY_NAME = {re.sub(r"(?<=[a-z])(?=[A-Z])|[(]", "_", code).lower().rstrip(")"): code for code in HARM}
_BY_NAME |= {
    "cut": "Cut(All)",
    "live_restore_on": "LiveRestore(true)",
    "live_restore_off": "LiveRestore(false)",
}
_DONE = re.compile(r"(?P<code>\w+(?:\(\w+\))?)(?P<where> on .*)", re.DOTALL)
_KNOWN_LOST = re.compile(r"know that (?P<node>\S+) is lost(?P<rest>.*)", re.DOTALL)
_JUDGED = re.compile(r"(?P<what>.*: )(?P<records>\d+) acknowledged, (?P<findings>\d+) findings", re.DOTALL)


class Event(Protocol):
    """Something on a timeline (`holdfast.results.Event`)."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102


def done(text: str) -> str:
    """What was done to a node, where it stands: `Kill(Plugin) on node1`, `kill_plugin on node1 at 0.30 s`.

    >>> done("Kill(Plugin) on node1"), done("power_off on node1 at 0.30 s"), done("remove v-1")
    ('kill the plugin on node1', 'cut the power on node1 at 0.30 s', 'remove v-1')
    """
    found = _DONE.fullmatch(text)
    code = _BY_NAME.get(found["code"], found["code"]) if found else ""
    return f"{HARM[code][0]}{found['where']}" if found and code in HARM else text


def lasting(code: str) -> str:
    """How it is with a node, as long as that harm lasts.

    >>> lasting("Kill(Plugin)"), lasting("Melt")
    ('plugin killed', 'Melt')
    """
    return HARM[code][1] if code in HARM else code


def of(kind: str, text: str) -> str:
    """What an event of such a kind says.

    >>> of("judge", "v-1: 24 acknowledged, 1 findings"), of("storage", "know that node1 is lost")
    ('v-1: 24 records acknowledged, 1 finding', 'wait until node1 is known to be lost')
    """
    if kind == "judge" and (judged := _JUDGED.fullmatch(text)):
        records, findings = (_counted(judged[name], name.removesuffix("s")) for name in ("records", "findings"))
        return f"{judged['what']}{records} acknowledged, {findings}"
    if kind != "storage":
        return text
    if lost := _KNOWN_LOST.fullmatch(text):
        return f"wait until {lost['node']} is known to be lost{lost['rest']}"
    return done(text)


def line(event: Event) -> str:
    """An event as a line of evidence: as it says of itself, in these words."""
    shown = visible.line(event.text)
    return str(event).replace(shown, of(event.kind, shown), 1)


def _counted(count: str, what: str) -> str:
    return f"{count} {what}" if count == "1" else f"{count} {what}s"
