"""Nornir 3: a connection plugin called `holdfast`, and tasks over it.

    from holdfast.integrations import nornir as holdfast_tasks

    nr.run(holdfast_tasks.deploy, archive="cntrsrv.tar")
    nr.run(holdfast_tasks.switchover)

A host's `hostname`, `port`, `username` and `password` say where it is and who logs in; `extras` of its connection
options called `holdfast` are keyword arguments of `holdfast.connect` (`insecure`, `profile`, …; `tls` as a mapping).
A task that fails carries the exception of holdfast; its result is what the call returned. What it is about is called
`container`, `volume`, `image`: `name` is Nornir's word for the task itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nornir.core.task import Result, Task

from holdfast import connect
from holdfast.secret import Secret, hidden
from holdfast.tls import Tls

if TYPE_CHECKING:
    from holdfast import Device

NAME = "holdfast"


class Connection:
    """What Nornir opens on a host's first task, and closes at the end (entry point `nornir.plugins.connections`)."""

    connection: Device

    def open(
        self,
        hostname: str | None,
        username: str | None,
        password: str | Secret | None,
        port: int | None,
        platform: str | None,
        extras: Mapping[str, Any] | None = None,
        configuration: object = None,
    ) -> None:
        """Reach the device. Raises what `holdfast.connect` raises."""
        del platform, configuration  # the device says itself which vendor's it is
        password, extras = Secret.of(password), hidden(extras or {})
        settings = dict(extras)
        if isinstance(settings.get("tls"), Mapping):
            settings["tls"] = Tls(**settings["tls"])
        host = f"[{hostname}]" if hostname and ":" in hostname else str(hostname)
        address = f"{host}:{port}" if port else host
        self.connection = connect(address, username=username, password=password, **{"profile": "auto", **settings})

    def close(self) -> None:
        """End the session."""
        self.connection.close()


def _ask(task: Task, call: Callable[[Device], Any], *, changed: bool = False) -> Result:
    """What a call on the host's device returned, as Nornir wants it."""
    return Result(host=task.host, result=call(task.host.get_connection(NAME, task.nornir.config)), changed=changed)


def control_processors(task: Task) -> Result:
    """The control processors and their roles."""
    return _ask(task, lambda dut: dut.control_processors())


def deploy(task: Task, archive: str | os.PathLike[str], **options: Any) -> Result:
    """Bring an image archive to the device: `Containerz.deploy`."""
    return _ask(task, lambda dut: dut.containerz.deploy(archive, progress=False, **options), changed=True)


def images(task: Task) -> Result:
    """The images."""
    return _ask(task, lambda dut: dut.containerz.images())


def remove_image(task: Task, image: str, **options: Any) -> Result:
    """Remove an image: `Containerz.remove_image`."""
    return _ask(task, lambda dut: dut.containerz.remove_image(image, **options), changed=True)


def start(task: Task, container: str, **options: Any) -> Result:
    """Start a container: `Containerz.start`."""
    return _ask(task, lambda dut: dut.containerz.start(container, **options), changed=True)


def containers(task: Task) -> Result:
    """The containers."""
    return _ask(task, lambda dut: dut.containerz.containers())


def stop(task: Task, container: str, **options: Any) -> Result:
    """Stop a container: `Containerz.stop`."""
    return _ask(task, lambda dut: dut.containerz.stop(container, **options), changed=True)


def remove(task: Task, container: str, **options: Any) -> Result:
    """Remove a container: `Containerz.remove`."""
    return _ask(task, lambda dut: dut.containerz.remove(container, **options), changed=True)


def create_volume(task: Task, volume: str, **options: Any) -> Result:
    """Create a volume: `Containerz.create_volume`."""
    return _ask(task, lambda dut: dut.containerz.create_volume(volume, **options), changed=True)


def remove_volume(task: Task, volume: str, **options: Any) -> Result:
    """Remove a volume: `Containerz.remove_volume`."""
    return _ask(task, lambda dut: dut.containerz.remove_volume(volume, **options), changed=True)


def switchover(task: Task, **options: Any) -> Result:
    """Fail the active control processor, and return once the new one serves: `Device.switchover`."""
    return _ask(task, lambda dut: dut.switchover(**options), changed=True)


def reboot(task: Task, **options: Any) -> Result:
    """Reboot the chassis, cold: `Device.reboot`."""
    return _ask(task, lambda dut: dut.reboot(**options), changed=True)


def expect_image(task: Task, image: str, **options: Any) -> Result:
    """Fails unless the image is there: `Containerz.expect_image`."""
    return _ask(task, lambda dut: dut.containerz.expect_image(image, **options))


def expect_container(task: Task, container: str, **options: Any) -> Result:
    """Fails unless the container runs: `Containerz.expect_container`."""
    return _ask(task, lambda dut: dut.containerz.expect_container(container, **options))


def expect_volume(task: Task, volume: str, **options: Any) -> Result:
    """Fails unless the volume is there: `Containerz.expect_volume`."""
    return _ask(task, lambda dut: dut.containerz.expect_volume(volume, **options))


def expect_answer(task: Task, port: int, **options: Any) -> Result:
    """Fails unless the container on a port answers: `Device.expect_answer`."""
    return _ask(task, lambda dut: dut.expect_answer(port, **options))
