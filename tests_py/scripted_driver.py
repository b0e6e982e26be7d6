"""A CSI driver whose volumes are folders that it binds, and that does wrong what a script says; it mounts, as root.

Its words: a socket, its node, a folder for the volumes of all nodes, and the script as JSON: by RPC `hang`, `die`,
`garbage`, `slow` (seconds, once for each volume), `codes` (answered in turn at first; the last one for ever where
`forever` is set), `message`; and `ways`: other things it does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from holdfast import _core, waiting

SOCKET, NODE, FOLDER = sys.argv[1:4]
SCRIPT: dict[str, Any] = json.loads(sys.argv[4])
WAYS: dict[str, Any] = SCRIPT.get("ways", {})
VOLUMES = Path(FOLDER)
Fields = dict[str, Any]
Answer = Callable[[Fields, grpc.ServicerContext], Fields]
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
    return {"capabilities": [{"service": {"type": each}} for each in services]}


def of_controller(_: Fields, __: grpc.ServicerContext) -> Fields:
    offered = ["CREATE_DELETE_VOLUME", *WAYS.get("offers", [])]
    return {"capabilities": [{"rpc": {"type": each}} for each in offered]}


def of_node(_: Fields, __: grpc.ServicerContext) -> Fields:
    return {"node_id": "host" if WAYS.get("one_id") else os.uname().nodename}


def create(request: Fields, context: grpc.ServicerContext) -> Fields:
    volume = WAYS.get("id", "{name}").replace("{name}", request["name"])
    wanted = int(request.get("capacity_range", {}).get("required_bytes", 0))
    if "nonsense" in request.get("parameters", {}) and WAYS.get("nonsense") != "taken late":
        if WAYS.get("nonsense") == "dies":
            os._exit(1)
        waiting.until(lambda: WAYS.get("nonsense") != "hangs", 3600)
        return refuse(context, "INVALID_ARGUMENT", "there is no such parameter")
    if "nonsense" in request.get("parameters", {}):
        waiting.until(lambda: False, 11)
    there = place(volume or "none")
    size = there.with_suffix(".size")
    if size.exists() and int(size.read_text()) < wanted:
        return refuse(context, "ALREADY_EXISTS", "it is there, and smaller")
    if not size.exists():
        there.mkdir(parents=True)
        size.write_text(str(wanted))
        (VOLUMES / f"{request['name']}.asked").write_text(json.dumps(request))
    told = {"volume_id": volume, "capacity_bytes": size.read_text()}
    if WAYS.get("context"):
        told["volume_context"] = {"key": "x" * WAYS["context"]}
    return {"volume": told}


def delete(request: Fields, _: grpc.ServicerContext) -> Fields:
    if WAYS.get("keeps"):
        return {}
    there = place(request["volume_id"])
    subprocess.run(["rm", "-rf", str(there), str(there.with_suffix(".size"))], check=True)
    return {}


def validate(request: Fields, _: grpc.ServicerContext) -> Fields:
    if "unconfirmed" in WAYS:
        return {"message": WAYS["unconfirmed"]}
    return {
        "confirmed": {
            "volume_capabilities": request["volume_capabilities"],
            "parameters": request.get("parameters", {}),
        }
    }


def pages(_: Fields, __: grpc.ServicerContext) -> Fields:
    token = str(asked["ListVolumes", ""]) if WAYS.get("pages") == "ever new" else "again"
    if WAYS.get("lists"):
        sizes = VOLUMES.glob("*.size")
        return {"entries": [{"volume": {"volume_id": bytes.fromhex(each.stem).decode()}} for each in sizes]}
    return {"entries": [], "next_token": token if WAYS.get("pages") else ""}


def attach(request: Fields, context: grpc.ServicerContext) -> Fields:
    held = place(request["volume_id"]).with_suffix(".node")
    if held.exists() and held.read_text() != request["node_id"]:
        return refuse(context, "FAILED_PRECONDITION", f"it is attached to {held.read_text()}")
    held.write_text(request["node_id"])
    return {}


def detach(request: Fields, _: grpc.ServicerContext) -> Fields:
    held = place(request["volume_id"]).with_suffix(".node")
    if held.exists() and held.read_text() == request["node_id"]:
        held.unlink()
    return {}


def publish(request: Fields, context: grpc.ServicerContext) -> Fields:
    target = request["target_path"]
    (VOLUMES / "published.asked").write_text(json.dumps(request))
    os.makedirs(target, exist_ok=True)  # noqa: PTH103
    if not mounted(target):
        subprocess.run(["mount", "--bind", str(place(request["volume_id"])), target], check=True)
    return {}


def unpublish(request: Fields, _: grpc.ServicerContext) -> Fields:
    target = request["target_path"]
    if mounted(target):
        subprocess.run(["umount", target], check=True)
    if os.path.isdir(target):  # noqa: PTH112
        os.rmdir(target)  # noqa: PTH106
    return {}


def nothing(_: Fields, __: grpc.ServicerContext) -> Fields:
    return {}


def can_stage(_: Fields, __: grpc.ServicerContext) -> Fields:
    return {"capabilities": [{"rpc": {"type": "STAGE_UNSTAGE_VOLUME"}}]} if WAYS.get("stages") else {}


METHODS: dict[str, dict[str, Answer]] = {
    "Identity": {"GetPluginInfo": info, "GetPluginCapabilities": plugin, "Probe": nothing},
    "Controller": {
        "ControllerGetCapabilities": of_controller, "CreateVolume": create, "DeleteVolume": delete,
        "ValidateVolumeCapabilities": validate, "ListVolumes": pages, "ControllerPublishVolume": attach,
        "ControllerUnpublishVolume": detach,
    },
    "Node": {
        "NodeGetCapabilities": can_stage, "NodeGetInfo": of_node, "NodePublishVolume": publish,
        "NodeUnpublishVolume": unpublish, "NodeStageVolume": nothing, "NodeUnstageVolume": nothing,
    },
}  # fmt: skip


def by_script(rpc: str, about: str, context: grpc.ServicerContext) -> bytes | None:
    """What the script has for a call; None where the driver does as it should."""
    script = SCRIPT.get(rpc, {})
    with lock:
        count = asked[rpc, about] = asked.get((rpc, about), 0) + 1
        asked.setdefault((rpc, ""), 0)
        if about:
            asked[rpc, ""] += 1
    codes = script.get("codes", [])
    if count <= len(codes) or (codes and script.get("forever")):
        refuse(context, codes[min(count, len(codes)) - 1], script.get("message", "as the script says"))
    if script.get("die"):
        os._exit(1)
    if script.get("hang"):
        waiting.until(lambda: False, 3600)
    if script.get("slow") and count == 1:
        waiting.until(lambda: False, script["slow"])
    return b"\xff\xff\xff garbage" if script.get("garbage") else None


def handler(rpc: str, answer: Answer) -> grpc.RpcMethodHandler:
    package = "csi.v1"

    def call(encoded: bytes, context: grpc.ServicerContext) -> bytes:
        request: Fields = json.loads(_core.message_decoded(f"{package}.{rpc}Request", encoded))
        scripted = by_script(rpc, str(request.get("volume_id", request.get("name", ""))), context)
        if scripted is not None:
            return scripted
        return _core.message_encoded(f"{package}.{rpc}Response", json.dumps(answer(request, context)))

    return grpc.unary_unary_rpc_method_handler(call)


VOLUMES.mkdir(parents=True, exist_ok=True)
version = WAYS.get("version", "v1")
server = grpc.server(futures.ThreadPoolExecutor(64))
for service, methods in METHODS.items():
    if service == "Controller" and not WAYS.get("controller", True):
        continue
    handlers = {name: handler(name, method) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"csi.{version}.{service}", handlers),))
server.add_insecure_port(SOCKET)
server.start()
server.wait_for_termination()
