"""A CSI driver whose volumes are folders that it binds, and that does wrong what a script says; it mounts, as root.

Its words: a socket, its node, a folder for the volumes of all nodes, and the script as JSON: by RPC `hang`, `die`,
`garbage`, `slow` (seconds, once for each volume, or `always`), `codes` (answered in turn at first; the last one for
ever where `forever` is set; where `sources` is, for volumes made from something alone), `message`; and `ways`: what
else it does.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import grpc

from holdfast import _core, choices, waiting

SOCKET, NODE, FOLDER = sys.argv[1:4]
SCRIPT: dict[str, Any] = json.loads(sys.argv[4])
WAYS: dict[str, Any] = SCRIPT.get("ways", {})
VOLUMES = Path(FOLDER)
Fields = dict[str, Any]
Answer = Callable[[Fields, grpc.ServicerContext], Fields]
ACCESS_MODES = choices.words(choices.VolumeAccess)
# What a bind mount takes of its own.
BIND_FLAGS = ("noatime", "nodev", "noexec", "nosuid", "nodiratime")
asked: dict[tuple[str, str], int] = {}
lock = threading.Lock()


def mounted(path: str) -> bool:
    return any(line.split(" ")[1] == path for line in Path("/proc/self/mounts").read_text().splitlines())


def refuse(context: grpc.ServicerContext, code: str, why: str) -> Fields:
    context.abort(grpc.StatusCode[code], why)
    return {}


def place(volume: str) -> Path:
    return VOLUMES / volume.encode().hex()[:200]


def info(_: Fields, __: grpc.ServicerContext) -> Fields:
    return {"name": "scripted", "vendor_version": "1.0"}


def plugin(_: Fields, __: grpc.ServicerContext) -> Fields:
    services = ["CONTROLLER_SERVICE"] if WAYS.get("controller", True) else []
    services += WAYS.get("plugin_offers", [])
    offered: list[Fields] = [{"service": {"type": each}} for each in services]
    if WAYS.get("online"):
        offered.append({"volume_expansion": {"type": "ONLINE"}})
    return {"capabilities": offered}


def of_controller(_: Fields, __: grpc.ServicerContext) -> Fields:
    offered = ["CREATE_DELETE_VOLUME", *WAYS.get("offers", [])]
    return {"capabilities": [{"rpc": {"type": each}} for each in offered]}


def of_node(_: Fields, __: grpc.ServicerContext) -> Fields:
    told = {
        "node_id": "host" if WAYS.get("one_id") else os.uname().nodename,
        "max_volumes_per_node": WAYS.get("most", 0),
    }
    return told | ({"accessible_topology": {"segments": {"host": NODE}}} if WAYS.get("place") else {})


def by_name(name: str) -> str:
    """The id of a volume; one that only this process knows, where it has nothing but its memory."""
    volume: str = WAYS.get("id", "{name}").replace("{name}", name)
    return f"{volume}-{os.getpid()}" if WAYS.get("memory") else volume


def conflict(request: Fields, size: Path, made_from: Path) -> tuple[str, str] | None:
    """Why a volume cannot be made like that."""
    source, wanted = request.get("volume_content_source"), int(request["capacity_range"]["required_bytes"])
    if source and not WAYS.get("restores_from", 0) <= wanted <= WAYS.get("restores_to", wanted):
        return "OUT_OF_RANGE", "a copy is as large as its source"
    if "no_devices" in WAYS and "block" in request["volume_capabilities"][0]:
        return WAYS["no_devices"], "no devices here"
    if not size.exists():
        return None
    if int(size.read_text()) < wanted:
        return "ALREADY_EXISTS", "it is there, and smaller"
    if json.loads(made_from.read_text()) != source and WAYS.get("source") != "of the first":
        return "ALREADY_EXISTS", "it is there, and made from something else"
    return None


def create(request: Fields, context: grpc.ServicerContext) -> Fields:
    volume = by_name(request["name"])
    if request["volume_capabilities"][0]["access_mode"]["mode"] not in WAYS.get("modes", ACCESS_MODES):
        return refuse(context, "INVALID_ARGUMENT", "no volume is for that here")
    wanted = int(request.get("capacity_range", {}).get("required_bytes", 0))
    if "nonsense" in request.get("parameters", {}) and WAYS.get("nonsense") not in ("taken", "taken late"):
        if WAYS.get("nonsense") == "dies":
            os._exit(1)
        waiting.until(lambda: WAYS.get("nonsense") != "hangs", 3600)
        if WAYS.get("nonsense") == "leaves":
            place(f"left-{request['name']}").with_suffix(".size").write_text(str(wanted))
        return refuse(context, "INVALID_ARGUMENT", "there is no such parameter")
    if "nonsense" in request.get("parameters", {}) and WAYS["nonsense"] == "taken late":
        waiting.until(lambda: False, 11)
    there = place(volume or "none")
    size, made_from = there.with_suffix(".size"), there.with_suffix(".from")
    source = request.get("volume_content_source")
    if (refusal := conflict(request, size, made_from)) is not None:
        return refuse(context, *refusal)
    if not size.exists():
        fill(there, source)
        made_from.write_text(json.dumps(source))
        there.with_suffix(".maker").write_text(NODE)
        size.write_text(str(wanted // 2 if source and WAYS.get("restored") == "smaller" else wanted))
        (VOLUMES / f"{request['name']}.asked").write_text(json.dumps(request))
    return {"volume": described(volume, request["name"], size, source)}


def described(volume: str, name: str, size: Path, source: Fields | None) -> Fields:
    """A volume that was made, as it is told of."""
    told = {"volume_id": volume, "capacity_bytes": WAYS.get("capacity", size.read_text())}
    if source:
        told |= {"none": {}, "foreign": {"content_source": FOREIGN}}.get(
            WAYS.get("told", ""), {"content_source": source}
        )
    if WAYS.get("context"):
        told["volume_context"] = {"key": "x" * WAYS["context"]}
    if WAYS.get("contexts") and (WAYS["contexts"] == "always" or asked["CreateVolume", name] == 1):
        told["volume_context"] = {"pool": "first"}
    if WAYS.get("place"):
        host = NODE if WAYS["place"] == "own" else WAYS["place"]
        told["accessible_topology"] = [{"segments": {"host": host}}]
    return told


# ptrace(2), waitpid(2)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WAIT_FOR_THREADS = 0x4206, 0x4207, 17, 0x40000000
FOREIGN = {"snapshot": {"snapshot_id": "of somebody else"}}


@contextmanager
def still(folder: Path) -> Iterator[None]:
    """Whoever has a file of a volume open stands still meanwhile, and who waits for its end does not notice."""
    files = {(found.stat().st_dev, found.stat().st_ino) for found in folder.iterdir()}
    threads = []
    for process in Path("/proc").glob("[0-9]*"):
        for opened in process.glob("fd/*"):
            with suppress(OSError):  # it is closed, or its process is gone
                about = opened.stat()
                if (about.st_dev, about.st_ino) in files:
                    threads += [int(thread.name) for thread in process.glob("task/*")]
                    break
    kernel = ctypes.CDLL(None, use_errno=True)
    held = []
    try:
        for thread in threads:
            if kernel.ptrace(PTRACE_SEIZE, thread, 0, 0) == 0 and kernel.ptrace(PTRACE_INTERRUPT, thread, 0, 0) == 0:
                held.append(thread)
                os.waitpid(thread, WAIT_FOR_THREADS)
        yield
    finally:
        for thread in held:
            kernel.ptrace(PTRACE_DETACH, thread, 0, 0)


def fill(there: Path, source: Fields | None) -> None:
    """A new volume, with what it is made from."""
    kind, named = next(iter(source.items())) if source else ("", {})
    if not kind or WAYS.get("source") == "ignored":
        there.mkdir(parents=True)
        if WAYS.get("holds"):  # whatever was asked for
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={WAYS['holds']}", "tmpfs", str(there)], check=True)
    elif kind == "snapshot":
        subprocess.run(["cp", "-a", str(kept(named["snapshot_id"])), str(there)], check=True)
    else:
        with still(place(named["volume_id"])):
            subprocess.run(["cp", "-a", str(place(named["volume_id"])), str(there)], check=True)


def kept(snapshot: str) -> Path:
    return VOLUMES / f"{snapshot}.snapshot"


def snapshot(request: Fields, context: grpc.ServicerContext) -> Fields:
    name, volume = request["name"], request["source_volume_id"]
    if WAYS.get("snapshots") == "unused" and place(volume).with_suffix(".used").exists():
        return refuse(context, "FAILED_PRECONDITION", "it is in use")
    identity = name + (f"-{asked['CreateSnapshot', name]}" if WAYS.get("snapshot_id") == "changes" else "")
    there, about = kept(identity), VOLUMES / f"{name}.about"
    if about.exists() and json.loads(about.read_text())["source_volume_id"] != volume:
        return refuse(context, "ALREADY_EXISTS", "it is of another volume")
    if not there.exists():
        with still(place(volume)):
            subprocess.run(["cp", "-a", str(place(volume)), str(there)], check=True)
    if not about.exists():
        taken = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        about.write_text(json.dumps({"source_volume_id": volume, "creation_time": taken}))
    times = asked["CreateSnapshot", name]
    told = {
        "snapshot_id": identity,
        "ready_to_use": times > WAYS.get("settles", 0),
        "size_bytes": str(WAYS.get("snapshot_bytes", 0)),
        **json.loads(about.read_text()),
    }
    if WAYS.get("creation_time") == "changes":
        told["creation_time"] = f"2001-01-01T00:{times:02}:00Z"
    late = WAYS.get("creation_time") == "late" and not told["ready_to_use"]
    for field in [*WAYS.get("omits", []), *(["creation_time"] if late else [])]:
        told.pop(field, None)
    return {"snapshot": told}


def forget(request: Fields, context: grpc.ServicerContext) -> Fields:
    there = kept(request["snapshot_id"])
    if not there.exists() and WAYS.get("gone") == "refused":
        return refuse(context, "NOT_FOUND", "there is no such snapshot")
    subprocess.run(["rm", "-rf", str(there), str(VOLUMES / f"{request['snapshot_id']}.about")], check=True)
    return {}


def expand(request: Fields, context: grpc.ServicerContext) -> Fields:
    size = place(request["volume_id"]).with_suffix(".size")
    there, wanted = int(size.read_text()), int(request["capacity_range"]["required_bytes"])
    if wanted < there and WAYS.get("smaller") == "refused":
        return refuse(context, "OUT_OF_RANGE", "nothing becomes smaller here")
    if wanted <= there and WAYS.get("expanded_again") == "refused":
        return refuse(context, "ALREADY_EXISTS", "it is as large as that")
    size.write_text(str(max(there, wanted)))
    told = str(int(size.read_text()) // 2) if WAYS.get("expanded") == "less" else size.read_text()
    return {"capacity_bytes": told, "node_expansion_required": WAYS.get("required", False)}


def expand_here(request: Fields, context: grpc.ServicerContext) -> Fields:
    if not mounted(request["volume_path"]):
        return refuse(context, "NOT_FOUND", "it is not mounted there")
    (VOLUMES / "expanded.asked").write_text(json.dumps(request))
    wanted = int(request["capacity_range"]["required_bytes"])
    return {"capacity_bytes": str(wanted // 2 if WAYS.get("expanded_here") == "less" else wanted)}


def statistics(request: Fields, context: grpc.ServicerContext) -> Fields:
    if not mounted(request["volume_path"]):
        return refuse(context, "NOT_FOUND", "it is not mounted there")
    found = os.statvfs(request["volume_path"])
    told: Fields = {
        "unit": "BYTES",
        "total": str(found.f_blocks * found.f_frsize),
        "used": str(
            (found.f_blocks - found.f_bfree + found.f_blocks // WAYS.get("reserved", 1 << 60)) * found.f_frsize
        ),
        "available": str(found.f_bavail * found.f_frsize),
        **WAYS.get("counts", {}),
    }
    usage = {field: value for field, value in told.items() if field not in WAYS.get("omits", [])}
    answer: Fields = {"usage": [usage, *WAYS.get("counts_too", [])] if WAYS.get("counted", True) else []}
    if "condition" in WAYS:
        answer["volume_condition"] = WAYS["condition"]
    return answer


def delete(request: Fields, context: grpc.ServicerContext) -> Fields:
    if WAYS.get("keeps"):
        return {}
    there = place(request["volume_id"])
    sources = [json.loads(each.read_text())["source_volume_id"] for each in VOLUMES.glob("*.about")]
    if WAYS.get("snapshots") == "need their source" and request["volume_id"] in sources:
        return refuse(context, "FAILED_PRECONDITION", "it has snapshots")
    if WAYS.get("copies") == "go with their source":
        empty_copies(request["volume_id"])
    subprocess.run(["rm", "-rf", str(there), str(there.with_suffix(".size"))], check=True)
    return {}


def empty_copies(volume: str) -> None:
    """What was made from a volume is gone with it."""
    for file in VOLUMES.glob("*.from"):
        made_from = json.loads(file.read_text()) or {}
        if made_from.get("volume", {}).get("volume_id") == volume:
            subprocess.run(["find", str(file.with_suffix("")), "-type", "f", "-delete"], check=True)
    for file in VOLUMES.glob("*.about"):
        if json.loads(file.read_text())["source_volume_id"] == volume:
            subprocess.run(["find", str(kept(file.stem)), "-type", "f", "-delete"], check=True)


def validate(request: Fields, _: grpc.ServicerContext) -> Fields:
    if "unconfirmed" in WAYS:
        return {"message": WAYS["unconfirmed"]}
    (mine,) = request["volume_capabilities"]
    other = {**mine, "access_mode": {"mode": "SINGLE_NODE_READER_ONLY"}}
    told = {"none": [], "another": [other], "the mode": [{"access_mode": mine["access_mode"]}]}
    capabilities = told.get(WAYS.get("confirms", ""), [mine])
    return {"confirmed": {"volume_capabilities": capabilities, "parameters": request.get("parameters", {})}}


def listed_before(size: Path) -> bool:
    """Whether it is not the first list since a volume was made; from then on it is not."""
    seen = size.with_suffix(".seen")
    there = seen.exists()
    seen.touch()
    return there


def pages(request: Fields, context: grpc.ServicerContext) -> Fields:
    token = str(asked["ListVolumes", ""]) if WAYS.get("pages") == "ever new" else "again"
    if not WAYS.get("lists"):
        return {"entries": [], "next_token": token if WAYS.get("pages") else ""}
    sizes = [each for each in VOLUMES.glob("*.size") if WAYS["lists"] != "late" or listed_before(each)]
    if WAYS["lists"] == "own":
        sizes = [each for each in sizes if each.with_suffix(".maker").read_text() == NODE]
    names = sorted(bytes.fromhex(each.stem).decode() for each in sizes)
    if WAYS["lists"] == "with others'":
        names += [f"of-somebody-else-{number}" for number in range(asked["ListVolumes", ""])]
    entries = [{"volume": {"volume_id": name}, "status": {"published_node_ids": held_by(name)}} for name in names]
    most, begin = int(request.get("max_entries", 0)), int(request.get("starting_token") or 0)
    if not begin:
        asked["lists begun", ""] = asked.get(("lists begun", ""), 0) + 1
    elif WAYS.get("pages") == "for a while" and asked["lists begun", ""] < 3:
        return refuse(context, "ABORTED", "the volumes have changed since the list began")
    end = begin + (most or WAYS.get("page", len(entries) or 1))
    shown = entries[begin : end + 1] if most and WAYS.get("pages") == "too large" else entries[begin:end]
    if most and WAYS.get("pages") == "with gaps":
        shown = shown[1:]
    return {"entries": shown, "next_token": str(end) if end < len(entries) else ""}


def volume_of(request: Fields, context: grpc.ServicerContext) -> Fields:
    volume = request["volume_id"]
    if not place(volume).with_suffix(".size").exists() and WAYS.get("volume") != "gone too":
        return refuse(context, "NOT_FOUND", "there is no such volume")
    status = {"published_node_ids": held_by(volume)}
    return {"volume": {"volume_id": "another" if WAYS.get("volume") == "another" else volume}, "status": status}


def snapshots_of(request: Fields, _: grpc.ServicerContext) -> Fields:
    entries = []
    for file in sorted(VOLUMES.glob("*.about")):
        about = {"snapshot_id": file.stem, "ready_to_use": True, **json.loads(file.read_text())}
        if file.stem == request.get("snapshot_id", file.stem) or WAYS.get("lists_snapshots") == "all":
            entries.append({"snapshot": about})
    return {"entries": [] if WAYS.get("lists_snapshots") == "none" else entries}


def held_by(volume: str) -> list[str]:
    """The nodes that a list tells of."""
    held = place(volume).with_suffix(".node")
    return [*([held.read_text()] if held.exists() else []), *WAYS.get("also_held_by", [])]


def attach(request: Fields, context: grpc.ServicerContext) -> Fields:
    held = place(request["volume_id"]).with_suffix(".node")
    mode = request["volume_capability"]["access_mode"]["mode"]
    unheard_of = request.get("readonly") and "PUBLISH_READONLY" not in WAYS.get("offers", [])
    if unheard_of or mode not in WAYS.get("modes", ACCESS_MODES):
        return refuse(context, "INVALID_ARGUMENT", f"nothing is attached for {mode}, or for reading alone, here")
    alone = WAYS.get("alone") or not mode.startswith("MULTI_NODE")
    if alone and held.exists() and held.read_text() != request["node_id"]:
        return refuse(context, "FAILED_PRECONDITION", f"it is attached to {held.read_text()}")
    others = [other for other in VOLUMES.glob("*.node") if other != held and other.read_text() == request["node_id"]]
    if WAYS.get("most") and len(others) >= WAYS["most"]:
        return refuse(context, "RESOURCE_EXHAUSTED", "the node has as many volumes as it takes")
    readers = held.with_suffix(".readers")
    there = held.exists() and held.read_text() == request["node_id"]
    if there and readers.exists() != request.get("readonly", False):
        return refuse(context, "ALREADY_EXISTS", "it is attached there in another way")
    held.write_text(request["node_id"])
    if request.get("readonly"):
        readers.touch()
    first = asked["ControllerPublishVolume", request["volume_id"]] == 1
    if WAYS.get("publish_context") == "always" or (WAYS.get("publish_context") == "once" and first):
        return {"publish_context": {"device": "/dev/sdx"}}
    return {}


def detach(request: Fields, _: grpc.ServicerContext) -> Fields:
    held = place(request["volume_id"]).with_suffix(".node")
    if held.exists() and held.read_text() == request["node_id"]:
        held.unlink()
        held.with_suffix(".readers").unlink(missing_ok=True)
    return {}


def stage(request: Fields, _: grpc.ServicerContext) -> Fields:
    at = request["staging_target_path"]
    staged(request["volume_id"]).write_text(at)
    if not mounted(at):
        subprocess.run(["mount", "--bind", str(place(request["volume_id"])), at], check=True)
    return {}


def staged(volume: str) -> Path:
    """The file that says where this node has a volume staged."""
    return place(volume).with_suffix(f".{NODE}")


def unstage(request: Fields, _: grpc.ServicerContext) -> Fields:
    if mounted(request["staging_target_path"]):
        subprocess.run(["umount", request["staging_target_path"]], check=True)
    return {}


def publish(request: Fields, context: grpc.ServicerContext) -> Fields:
    target = request["target_path"]
    if request.get("readonly") and WAYS.get("readonly") == "refused":
        return refuse(context, "INVALID_ARGUMENT", "nothing is read-only here")
    (VOLUMES / "published.asked").write_text(json.dumps(request))
    os.makedirs(target, exist_ok=True)  # noqa: PTH103
    if not mounted(target):
        source = request["staging_target_path"] if WAYS.get("stages") else str(bound(request["volume_id"]))
        if WAYS.get("binds") != "nothing":
            subprocess.run(["mount", "--bind", source, target], check=True)
        flags = request["volume_capability"].get("mount", {}).get("mount_flags", [])
        flags = [flag for flag in flags if flag in BIND_FLAGS and WAYS.get("flags") != "ignored"]
        mode = request["volume_capability"]["access_mode"]["mode"]
        ignored = WAYS.get("readonly") == "ignored" or ("READER" in mode and WAYS.get("readers") == "write")
        if request.get("readonly") and not ignored:
            flags.append("ro")
        if flags:
            subprocess.run(["mount", "-o", ",".join(["remount", "bind", *flags]), target], check=True)
        place(request["volume_id"]).with_suffix(".used").touch()
    return {}


def bound(volume: str) -> Path:
    """What a task gets of a volume."""
    own, binds = place(volume), WAYS.get("binds", "it")
    if binds == "a new one":  # each time
        own = own.with_suffix(f".{asked['NodePublishVolume', volume]}.{NODE}")
        own.mkdir(exist_ok=True)
    elif binds == "one of the node":
        own = own.with_suffix(f".{NODE}.copy")
        if not own.exists():
            subprocess.run(["cp", "-a", str(place(volume)), str(own)], check=True)
    elif binds == "one for all":
        own = VOLUMES / "all"
        own.mkdir(exist_ok=True)
    return own


def unpublish(request: Fields, _: grpc.ServicerContext) -> Fields:
    target = request["target_path"]
    if WAYS.get("unpublishes") == "and empties":
        subprocess.run(["find", str(place(request["volume_id"])), "-type", "f", "-delete"], check=True)
    if WAYS.get("unpublishes") == "and cuts":
        for file in place(request["volume_id"]).glob("*.ledger"):
            os.truncate(file, 4096)
    place(request["volume_id"]).with_suffix(".used").unlink(missing_ok=True)
    if mounted(target):
        subprocess.run(["umount", target], check=True)
    if WAYS.get("unpublishes") == "what is staged too" and mounted(staged(request["volume_id"]).read_text()):
        subprocess.run(["umount", staged(request["volume_id"]).read_text()], check=True)
    if os.path.isdir(target) and not WAYS.get("leaves_paths"):  # noqa: PTH112
        os.rmdir(target)  # noqa: PTH106
    return {}


def nothing(_: Fields, __: grpc.ServicerContext) -> Fields:
    return {}


def can(_: Fields, __: grpc.ServicerContext) -> Fields:
    offered = [*(["STAGE_UNSTAGE_VOLUME"] if WAYS.get("stages") else []), *WAYS.get("node_offers", [])]
    return {"capabilities": [{"rpc": {"type": each}} for each in offered]}


METHODS: dict[str, dict[str, Answer]] = {
    "Identity": {"GetPluginInfo": info, "GetPluginCapabilities": plugin, "Probe": nothing},
    "Controller": {
        "ControllerGetCapabilities": of_controller, "CreateVolume": create, "DeleteVolume": delete,
        "ValidateVolumeCapabilities": validate, "ListVolumes": pages, "ControllerPublishVolume": attach,
        "ControllerUnpublishVolume": detach, "ControllerExpandVolume": expand, "CreateSnapshot": snapshot,
        "DeleteSnapshot": forget, "ListSnapshots": snapshots_of, "ControllerGetVolume": volume_of,
    },
    "Node": {
        "NodeGetCapabilities": can, "NodeGetInfo": of_node, "NodePublishVolume": publish,
        "NodeUnpublishVolume": unpublish, "NodeStageVolume": stage, "NodeUnstageVolume": unstage,
        "NodeExpandVolume": expand_here, "NodeGetVolumeStats": statistics,
    },
}  # fmt: skip


def by_script(rpc: str, about: str, request: Fields, context: grpc.ServicerContext) -> bytes | None:
    """What the script has for a call; None where the driver does as it should."""
    script = SCRIPT.get(rpc, {})
    with lock:
        count = asked[rpc, about] = asked.get((rpc, about), 0) + 1
        asked.setdefault((rpc, ""), 0)
        if about:
            asked[rpc, ""] += 1
    codes = script.get("codes", [])
    if script.get("sources") and "volume_content_source" not in request:
        return None
    if count <= len(codes) or (codes and script.get("forever")):
        refuse(context, codes[min(count, len(codes)) - 1], script.get("message", "as the script says"))
    if script.get("die"):
        os._exit(1)
    if script.get("hang"):
        waiting.until(lambda: False, 3600)
    if script.get("slow") and (count == 1 or script.get("always")):
        waiting.until(lambda: False, script["slow"])
    return b"\xff\xff\xff garbage" if script.get("garbage") else None


def handler(rpc: str, answer: Answer) -> grpc.RpcMethodHandler:
    package = "csi.v1"

    def call(encoded: bytes, context: grpc.ServicerContext) -> bytes:
        request: Fields = json.loads(_core.message_decoded(f"{package}.{rpc}Request", encoded))
        about = next((str(request[key]) for key in ("volume_id", "name", "snapshot_id") if key in request), "")
        scripted = by_script(rpc, about, request, context)
        if scripted is not None:
            return scripted
        return _core.message_encoded(f"{package}.{rpc}Response", json.dumps(answer(request, context)))

    return grpc.unary_unary_rpc_method_handler(call)


VOLUMES.mkdir(parents=True, exist_ok=True)
waiting.until(lambda: False, WAYS.get("serves_after", 0))
version = WAYS.get("version", "v1")
server = grpc.server(futures.ThreadPoolExecutor(64))
for service, methods in METHODS.items():
    if service == "Controller" and WAYS.get("controller", True) in (False, "said"):
        continue
    handlers = {name: handler(name, method) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"csi.{version}.{service}", handlers),))
server.add_insecure_port(SOCKET)
server.start()
server.wait_for_termination()
