"""A first provider file, from what a plugin says of itself.

What it says is data: every text of it stands in a comment of one line.
"""

from __future__ import annotations

import re

import yaml

from holdfast import visible
from holdfast.storage.provider import keys
from holdfast.storage.provider.introduction import Introduction

# What a capability of CSI means for the scenarios.
_MEANS = {
    "CONTROLLER_SERVICE": "volumes are made and removed by calls",
    "VOLUME_ACCESSIBILITY_CONSTRAINTS": "not every node can have every volume: see topology below",
    "GROUP_CONTROLLER_SERVICE": "group snapshots, which no scenario asks for",
    "SNAPSHOT_METADATA_SERVICE": "metadata of snapshots, which no scenario asks for",
    "ONLINE_EXPANSION": "volumes grow while they are in use: T11",
    "OFFLINE_EXPANSION": "volumes grow while no task has them: T11",
    "CREATE_DELETE_VOLUME": "T1 to T10 can make volumes",
    "PUBLISH_UNPUBLISH_VOLUME": "volumes are attached before they are mounted; T7 and T8 take them away by that",
    "LIST_VOLUMES": "what is there after a refusal is looked at",
    "LIST_VOLUMES_PUBLISHED_NODES": "what is still attached at the end is looked at",
    "GET_CAPACITY": "where it tells of a minimum_volume_size, no volume is asked to be smaller",
    "CREATE_DELETE_SNAPSHOT": "T12",
    "LIST_SNAPSHOTS": "no scenario asks for it",
    "CLONE_VOLUME": "T13",
    "EXPAND_VOLUME": "T11",
    "SINGLE_NODE_MULTI_WRITER": "T1 and T2 mount a volume for two tasks of one node",
    "STAGE_UNSTAGE_VOLUME": "volumes are staged once on a node, and published for each task",
    "GET_VOLUME_STATS": "T15",
    "VOLUME_CONDITION": "T15 looks at the condition",
}
_HEAD = """\
# Written by `holdfast provider init`. Next: `holdfast provider check {file}` says what would run, and
# `pytest -k torpedo --provider {file}` runs it. All keys: docs/storage.md, or `holdfast provider schema`.
"""


def draft(found: Introduction, *, start: str, file: str) -> str:
    """The text of a provider file. `start` is the shell line that starts the plugin; empty where that is not known."""
    lines = [_HEAD.format(file=_comment(file)), "provider:", f"  kind: {found.protocol}"]
    lines += _csi(found) if found.is_csi else _docker(found)
    lines += ["", *_start(start)]
    lines += _fencing(found)
    lines += _csi_keys(found) if found.is_csi else []
    lines += [
        "  # parameters: {type: fast}        # of each volume; {volume} in one becomes its name",
        "  # secrets_file: secrets           # KEY=VALUE a line, beside this file; never shown",
        "  # tools: [mkfs.ext4]              # what must be installed on this machine",
        "runner: {kind: own}                 # or docker, or swarm: then T9 runs, and under docker T10",
        "lab: {kind: namespaces, nodes: 3}   # or hosts of your own: docs/storage.md",
    ]
    return "\n".join(lines) + "\n"


def _start(start: str) -> list[str]:
    if start:
        return ["  # Starts the plugin on each node of the lab, as root.", f"  start: {_quoted(start)}"]
    return [
        "  # TODO: how the plugin is started on each node of the lab, as root; it must serve on {socket}.",
        "  # start: ./my-plugin --endpoint={socket} --nodeid={node}",
    ]


def _fencing(found: Introduction) -> list[str]:
    why = "driver, if the driver cuts off the node that a volume is taken from: then T7 and T8 run"
    if found.is_csi and "PUBLISH_UNPUBLISH_VOLUME" in found.controller:
        return [f"  fencing: none                     # {why}, by ControllerUnpublishVolume"]
    return [f"  fencing: none                     # {why}"]


def _csi(found: Introduction) -> list[str]:
    lines = [f"  # It says that it is {_comment(found.name)} {_comment(found.version)}".rstrip()]
    if found.ready is False:
        lines.append("  # It says that it is not ready yet.")
    for title, words in (("plugin", found.plugin), ("controller", found.controller), ("node", found.node)):
        lines.append(f"  # Of its {title}: {'nothing' if not words else ''}".rstrip())
        lines += [f"  #   {_comment(word)}: {_MEANS.get(word, 'no scenario asks for it')}" for word in words]
    if "CONTROLLER_SERVICE" not in found.plugin:
        lines.append("  #   It has no controller, so nobody can make volumes: T1 to T15 are NotRun.")
    lines += [f"  # {_comment(question)} got no answer: {_comment(why)}" for question, why in found.unanswered]
    if found.max_volumes > 0:
        lines.append(f"  # A node takes {found.max_volumes} volumes at most.")
    for key, value in found.topology:
        lines.append(f"  # Its node is at {_comment(key)}={_comment(value)}.")
    return lines


def _docker(found: Introduction) -> list[str]:
    lines = [
        f"  name: {_quoted('my plugin')}                 # what the table calls it: the protocol tells no name",
        "  # version: my-plugin --version    # a command that prints its version",
        f"  # It implements {_comment(', '.join(found.plugin))}.",
    ]
    if found.scope == "local":
        lines.append("  # It says that its volumes are local: T4, T5, T7 and T8, which move one away, are NotRun.")
    elif found.scope != "global":
        lines.append("  # It does not say that other nodes have its volumes too, so they count as local.")
    if found.scope != "global":
        lines.append("  # scope: global                   # if other nodes have them all the same")
    lines += [f"  # {_comment(question)} got no answer: {_comment(why)}" for question, why in found.unanswered]
    return lines


def _csi_keys(found: Introduction) -> list[str]:
    """What a driver cannot say of itself, for whoever knows it, as far as this version offers it."""
    offered = {key.name for key in keys.of_part("provider") if key.offered}
    lines = [
        ("filesystems", "[ext4]", "that a volume may be asked for"),
        ("access_modes", "[SINGLE_NODE_WRITER]", "that a volume may be asked for"),
        ("refuses_unknown_parameters", "true", "if a parameter that it does not know is an error"),
        ("minimum", "1GiB", "the smallest volume that it makes, if it rounds up or refuses less"),
        ("sizes", "[1GiB, 2GiB]", "that T1 asks for"),
        ("calls", "{default: 10s, CreateVolume: 60s}", "how long it may take"),
        ("controller", "{start: ./my-controller}", "if there is one for all nodes"),
        ("mount_flags", "[noatime]", "of each volume"),
        ("secrets", "{node_publish: publish-secrets}", "files for one kind of call"),
    ]
    if found.topology or "VOLUME_ACCESSIBILITY_CONSTRAINTS" in found.plugin:
        lines.append(("topology", "false", "if CreateVolume shall not say on which node the volume is wanted"))
    return [f"  # {f'{name}: {value}':<31} # {what}" for name, value, what in lines if name in offered]


def _quoted(text: str) -> str:
    """A text as YAML reads it back, on one line whatever is in it."""
    written = yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=True)
    return str(written).strip()


def _comment(text: str) -> str:
    """A text that stays in its comment: on one line, and short."""
    return re.sub(r"\s+", " ", visible.line(text)[:200]).strip()
