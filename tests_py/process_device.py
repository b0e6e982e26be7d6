"""A device for tests whose containers are real processes: gNOI Containerz over `unshare` and `chroot`, all else an
emulated device's.

A switchover kills all that runs, and what should always run is started again from the same volumes, as on a device
that shares them. Containers are in the network of the host. Needs root.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import holdfast
from holdfast import waiting

from peers import served

PACKAGE = "gnoi.containerz"
SERVICE = f"/{PACKAGE}.Containerz/"
CHUNK = 2_000_000
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
RUNNING, STOPPED = 2, 1


@dataclass
class Image:
    """What a container of it begins with."""

    id: str
    names: set[tuple[str, str]]
    files: Path
    command: list[str]
    environment: list[str]


@dataclass
class Container:
    """A process, and whether it is to run."""

    name: str
    image: Image
    image_name: str
    command: list[str]
    environment: list[str]
    volumes: list[tuple[Path, str]]
    always: bool
    labels: dict[str, str]
    place: Path
    wanted: bool = True
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(default_factory=Path)

    @property
    def root(self) -> Path:
        return self.place / "root"

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def begin(self) -> None:
        """Start its process as the first of a PID namespace."""
        mounts = "".join(f"mount --bind '{volume}' '{self.root}{inside}' && " for volume, inside in self.volumes)
        (self.root / "dev").mkdir(exist_ok=True)
        script = f'{mounts}mount --bind /dev "$0/dev" && exec chroot "$0" "$@"'
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*APART, "sh", "-c", script, str(self.root), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(each.split("=", 1) for each in ("PATH=/bin:/usr/bin:/usr/sbin", *self.environment)),
                start_new_session=True,
            )

    def tell(self, number: int) -> None:
        """Send a signal to its first process."""
        if self.process is None:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError, ValueError):
            for child in children.read_text().split():
                os.kill(int(child), number)
                return
        self.process.kill()  # it is not that far yet

    def end(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after the grace; at once where that is 0."""
        if self.process is None:
            return
        if grace:
            self.tell(signal.SIGTERM)
            waiting.until(lambda: not self.runs, grace, look=0.01)
        if self.runs:
            self.tell(signal.SIGKILL)
        self.process.wait(timeout=10)


class Refused(Exception):
    """A status, by name, and its words."""


class Device:
    """The Containerz service."""

    def __init__(self, folder: Path, messages: Callable[[str], Any], chassis: holdfast.Emulator, grace: float) -> None:
        self._folder = folder
        self._messages = messages
        self._chassis = chassis
        self._active = chassis.active
        self._grace = grace
        self._images: list[Image] = []
        self._containers: dict[str, Container] = {}
        self._volumes: dict[str, tuple[Path, dict[str, str]]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """Nothing of it runs on."""
        self._over.set()
        self._keeper.join()
        for container in self._containers.values():
            container.end(0)

    def _keep(self) -> None:
        """What follows a switchover, and the restart policy."""
        while not self._over.wait(0.02):
            with self._lock:
                if self._active != (active := self._chassis.active):
                    self._active = active
                    self._fail_over()
                for container in self._containers.values():
                    if container.wanted and container.always and not container.runs:
                        container.begin()

    def service(self, details: Any) -> Any:
        """The handler of a method: ours, or the emulated device's."""
        import grpc

        method = details.method
        if not method.startswith(SERVICE) or not hasattr(self, name := method.removeprefix(SERVICE)):
            return grpc.stream_stream_rpc_method_handler(partial(self._pass_on, method))
        do = getattr(self, name)

        def answer(requests: Any, context: Any) -> Iterator[Any]:
            try:
                yield from do(requests) if name == "Deploy" else do(next(requests))
            except Refused as refused:
                context.abort(getattr(grpc.StatusCode, refused.args[0]), refused.args[1])

        return grpc.stream_stream_rpc_method_handler(
            answer,
            request_deserializer=self._messages(f"{PACKAGE}.{name}Request").FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _pass_on(self, method: str, requests: Any, context: Any) -> Iterator[bytes]:
        import grpc

        # A connection of its own: one that lost its device waits before it dials again.
        with grpc.insecure_channel(self._chassis.address, [("grpc.use_local_subchannel_pool", 1)]) as behind:
            try:
                yield from behind.stream_stream(method)(requests, metadata=context.invocation_metadata())
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

    def _fail_over(self) -> None:
        """The old active is gone, and the new one starts what should run."""
        for container in self._containers.values():
            container.end(0)
            container.wanted &= container.always

    def _new(self, name: str, /, **fields: Any) -> Any:
        return self._messages(f"{PACKAGE}.{name}")(**fields)

    def Deploy(self, requests: Any) -> Iterator[Any]:  # noqa: N802
        transfer = next(requests).image_transfer
        yield self._new("DeployResponse", image_transfer_ready={"chunk_size": CHUNK})
        content = bytearray()
        for request in requests:
            if request.WhichOneof("request") == "image_transfer_end":
                break
            content += request.content
            yield self._new("DeployResponse", image_transfer_progress={"bytes_received": len(content)})
        self._load(bytes(content), transfer.name, transfer.tag)
        sent = {"name": transfer.name, "tag": transfer.tag, "image_size": len(content)}
        yield self._new("DeployResponse", image_transfer_success=sent)

    def _load(self, content: bytes, name: str, tag: str) -> None:
        with tarfile.open(fileobj=io.BytesIO(content)) as packed:
            read = lambda path: packed.extractfile(path).read()  # type: ignore[union-attr]  # noqa: E731
            listed = json.loads(read("manifest.json"))[0]
            config = read(listed["Config"])
            files = self._folder / f"image-{next(self._numbers)}"
            for layer in listed["Layers"]:
                with tarfile.open(fileobj=io.BytesIO(read(layer))) as unpacked:
                    unpacked.extractall(files, filter="tar")
        how = json.loads(config).get("config", {})
        command = [*(how.get("Entrypoint") or ()), *(how.get("Cmd") or ())]
        own = {tuple(each.rsplit(":", 1)) for each in listed.get("RepoTags") or ()}
        names = {*own, (name, tag)}
        image = Image(f"sha256:{hashlib.sha256(config).hexdigest()}", names, files, command, how.get("Env") or [])
        with self._lock:
            for other in self._images:
                other.names -= image.names
            self._images.append(image)

    def ListImage(self, _: Any) -> Iterator[Any]:  # noqa: N802
        for image in list(self._images):
            for name, tag in sorted(image.names):
                yield self._new("ListImageResponse", id=image.id, image_name=name, tag=tag)

    def RemoveImage(self, request: Any) -> Iterator[Any]:  # noqa: N802
        self._image(request.name, request.tag).names.discard((request.name, request.tag))
        yield self._new("RemoveImageResponse")

    def _image(self, name: str, tag: str) -> Image:
        found = [image for image in self._images if (name, tag or "latest") in image.names]
        if not found:
            raise Refused("NOT_FOUND", f"no image {name}:{tag}")
        return found[0]

    def StartContainer(self, request: Any) -> Iterator[Any]:  # noqa: N802
        with self._lock:
            if request.instance_name in self._containers:
                raise Refused("ALREADY_EXISTS", f"there is a container {request.instance_name}")
            self._start(request)
        yield self._new("StartContainerResponse", start_ok={"instance_name": request.instance_name})

    def _start(self, request: Any) -> None:
        image = self._image(request.image_name, request.tag)
        place = self._folder / f"container-{next(self._numbers)}"
        shutil.copytree(image.files, place / "root", symlinks=True)
        volumes = []
        for volume in request.volumes:
            if volume.name not in self._volumes:
                raise Refused("NOT_FOUND", f"no volume {volume.name}")
            (place / "root" / volume.mount_point.lstrip("/")).mkdir(parents=True, exist_ok=True)
            volumes.append((self._volumes[volume.name][0], volume.mount_point))
        container = Container(
            request.instance_name,
            image,
            f"{request.image_name}:{request.tag or 'latest'}",
            request.cmd.split() or image.command,  # as the reference server does
            [*image.environment, *(f"{key}={value}" for key, value in request.environment.items())],
            volumes,
            request.restart.policy == 1,
            dict(request.labels),
            place,
            log=place / "log",
        )
        container.begin()
        self._containers[container.name] = container

    def ListContainer(self, request: Any) -> Iterator[Any]:  # noqa: N802
        with self._lock:
            for container in list(self._containers.values()):
                status = RUNNING if container.runs else 0 if container.wanted and container.always else STOPPED
                if request.all or status == RUNNING:
                    yield self._new(
                        "ListContainerResponse",
                        id=container.place.name,
                        name=container.name,
                        image_name=container.image_name,
                        status=status,
                        labels=container.labels,
                    )

    def StopContainer(self, request: Any) -> Iterator[Any]:  # noqa: N802
        with self._lock:
            container = self._container(request.instance_name)
            container.wanted = False
            container.end(0 if request.force else self._grace)
        yield self._new("StopContainerResponse")

    def RemoveContainer(self, request: Any) -> Iterator[Any]:  # noqa: N802
        with self._lock:
            container = self._container(request.name)
            if container.runs and not request.force:
                raise Refused("FAILED_PRECONDITION", f"container {request.name} runs")
            container.end(0)
            del self._containers[request.name]
        yield self._new("RemoveContainerResponse")

    def UpdateContainer(self, request: Any) -> Iterator[Any]:  # noqa: N802
        with self._lock:
            self._container(request.instance_name).end(self._grace)
            del self._containers[request.instance_name]
            request.params.instance_name = request.instance_name
            self._start(request.params)
        yield self._new("UpdateContainerResponse", update_ok={"instance_name": request.instance_name})

    def _container(self, name: str) -> Container:
        if name not in self._containers:
            raise Refused("NOT_FOUND", f"no container {name}")
        return self._containers[name]

    def Log(self, request: Any) -> Iterator[Any]:  # noqa: N802
        text = self._container(request.instance_name).log.read_text(encoding="utf-8", errors="replace")
        yield self._new("LogResponse", msg=text)

    def CreateVolume(self, request: Any) -> Iterator[Any]:  # noqa: N802
        place = self._folder / f"volume-{next(self._numbers)}"
        place.mkdir()
        self._volumes[request.name] = (place, dict(request.labels))
        yield self._new("CreateVolumeResponse", name=request.name)

    def ListVolume(self, _: Any) -> Iterator[Any]:  # noqa: N802
        for name, (_, labels) in list(self._volumes.items()):
            yield self._new("ListVolumeResponse", name=name, driver="DS_LOCAL", labels=labels)

    def RemoveVolume(self, request: Any) -> Iterator[Any]:  # noqa: N802
        if request.name not in self._volumes:
            raise Refused("NOT_FOUND", f"no volume {request.name}")
        del self._volumes[request.name]
        yield self._new("RemoveVolumeResponse")


@contextmanager
def processes(folder: Path, messages: Callable[[str], Any], *, grace: float = 2.0) -> Iterator[tuple[str, ...]]:
    """Such a device: what `pytest` is told to reach it."""
    folder.mkdir()
    with holdfast.emulator() as chassis:
        device = Device(folder, messages, chassis, grace)
        try:
            with served(device, workers=32) as address:
                yield "--dut", chassis.address, "--dut-gnoi", address, "--dut-insecure"
        finally:
            device.close()


def executable_layer(files: dict[str, bytes]) -> bytes:
    """A layer whose files can be run."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o755, int(time.time())
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
