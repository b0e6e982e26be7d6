"""Robot Framework: keywords in plain words.

Library    holdfast.integrations.robot.HoldfastLibrary
"""

from __future__ import annotations

from typing import Any

from robot.api import logger
from robot.api.deco import keyword, library

import holdfast
from holdfast import cntrsrv
from holdfast.results import Container, ControlProcessor, Image, Rows, Shown, Switchover, Volume
from holdfast.secret import Secret, from_environment, hidden
from holdfast.testbed import settings


@library(scope="GLOBAL", version=holdfast.__version__, auto_keywords=False)
class HoldfastLibrary:
    """Containers on devices with two control processors: deploy, start, fail over, and see what came through.

    Connect first, with `Connect To Device` or `Connect To Emulated Device`; all other keywords are about the device
    that was connected to last, or that `Switch Device` chose. Times are in seconds. A keyword that expects
    something waits for it and then watches that it stays; it fails with what was seen instead, and the log has the
    timeline of a failover as a picture.
    """

    def __init__(self) -> None:
        self._devices: dict[str, holdfast.Device] = {}
        self._emulators: list[holdfast.Emulator] = []
        self._current: str | None = None
        self._before: dict[str, Container | Volume] = {}

    @property
    def dut(self) -> holdfast.Device:
        """The device of the moment, for libraries built on this one."""
        if self._current is None:
            raise AssertionError("no device is connected: use `Connect To Device` first")
        return self._devices[self._current]

    @keyword
    def connect_to_device(
        self,
        address: str,
        alias: str | None = None,
        username: str | None = None,
        password: str | Secret | None = None,
        insecure: bool = False,
        profile: str = "auto",
        *,
        token: str | Secret | None = None,
        **fields: Any,
    ) -> str:
        """Connects to ``address`` (``HOST[:PORT]``), and returns its alias. ``insecure`` is plaintext gRPC.

        Without ``password`` it is the environment variable ``HOLDFAST_PASSWORD``. Every field that a testbed says of
        how to reach a device may be named too, with a dot where it is below another: ``gnoi=HOST:PORT``,
        ``proxy=URL``, ``tls.ca=FILE``, ``metadata.KEY=env:VARIABLE``, ``silence=5s``, ``deadlines.reboot=20m``.
        """
        password, token, fields = Secret.of(password), Secret.of(token), hidden(fields)
        if username and not {"password_env", "password_file"} & set(fields):
            password = password or from_environment("HOLDFAST_PASSWORD")
        given = {"address": address, "username": username, "insecure": insecure, "profile": profile, **fields}
        where = f"Connect To Device {address}"
        return self._keep(alias, settings.connect(where, given, password=password, token=token))

    @keyword
    def connect_to_emulated_device(self, alias: str | None = None, profile: str = "generic") -> str:
        """Powers an EMULATED device on, in this process, and connects to it. It ends with `Disconnect`."""
        chassis = holdfast.emulator(profile=profile)
        self._emulators.append(chassis)
        options: dict[str, Any] = {"gnoi": chassis.gnoi} if chassis.gnoi != chassis.address else {}
        return self._keep(alias, holdfast.connect(chassis.address, insecure=True, profile=profile, **options))

    def _keep(self, alias: str | None, dut: holdfast.Device) -> str:
        self._current = alias or dut.name
        self._devices[self._current] = dut
        where = "EMULATED device" if dut.is_emulated() else "device"
        logger.info(f"{where} {dut.name}")
        return self._current

    @keyword
    def switch_device(self, alias: str) -> None:
        """Makes another connected device the one that keywords are about."""
        if alias not in self._devices:
            raise AssertionError(f"no device is called {alias}; there are {', '.join(self._devices) or 'none'}")
        self._current = alias

    @keyword
    def disconnect(self) -> None:
        """Ends all sessions, and powers emulated devices off."""
        for dut in self._devices.values():
            dut.close()
        for chassis in self._emulators:
            chassis.stop()
        self._devices.clear()
        self._emulators.clear()
        self._before.clear()
        self._current = None

    @keyword
    def get_control_processors(self) -> Rows[ControlProcessor]:
        """The control processors, each with ``name``, ``role`` and ``ready``."""
        return _logged(self.dut.control_processors())

    @keyword
    def write_test_container(self, file: str, name: str = "cntrsrv_image", tag: str = "latest") -> str:
        """Writes the archive of the test container that holdfast brings, and returns the file."""
        cntrsrv.write_archive(file, name=name, tag=tag)
        return file

    @keyword
    def deploy_image(self, archive: str, retag: str | None = None) -> Image:
        """Brings an image archive to the device."""
        return _logged(self.dut.containerz.deploy(archive, retag=retag, progress=False))

    @keyword
    def remove_image(self, image: str, force: bool = False) -> None:
        """Removes ``NAME:TAG``."""
        self.dut.containerz.remove_image(image, force=force)

    @keyword
    def start_container(
        self,
        name: str,
        image: str,
        port: int | None = None,
        volume: str | None = None,
        mount: str = "/data",
        command: str = "",
    ) -> None:
        """Starts a container of ``image``, with ``port`` published and ``volume`` mounted at ``mount``."""
        self.dut.containerz.start(
            name,
            image=image,
            command=command,
            ports={port: port} if port else None,
            volumes={volume: mount} if volume else None,
        )

    @keyword
    def stop_container(self, name: str) -> None:
        """Stops a container."""
        self.dut.containerz.stop(name)

    @keyword
    def remove_container(self, name: str, force: bool = False) -> None:
        """Removes a container."""
        self.dut.containerz.remove(name, force=force)

    @keyword
    def create_volume(self, name: str) -> None:
        """Creates a volume."""
        self.dut.containerz.create_volume(name)

    @keyword
    def remove_volume(self, name: str) -> None:
        """Removes a volume."""
        self.dut.containerz.remove_volume(name)

    @keyword
    def switch_over(self, redundant: bool = False) -> Switchover:
        """Fails the active control processor, and believes it only by evidence; ``redundant`` awaits the old one too.

        Returns what it found out: ``origin``, ``target``, ``outage``, ``witnesses``.
        """
        return _logged(self.dut.switchover(redundant=redundant))

    @keyword
    def reboot_device(self) -> None:
        """Reboots the chassis, cold, and believes it only by evidence."""
        _logged(self.dut.reboot())

    @keyword
    def image_should_be_there(self, image: str) -> None:
        """Fails unless ``NAME:TAG`` is listed, and stays so."""
        self.dut.containerz.expect_image(image)

    @keyword
    def image_should_not_be_there(self, image: str) -> None:
        """Fails unless ``NAME:TAG`` is not listed, and stays so."""
        self.dut.containerz.expect_no_image(image)

    @keyword
    def container_should_run(self, name: str) -> None:
        """Fails unless the container runs, and goes on; after a first time, with the same image and labels."""
        self._before[f"container {name}"] = self.dut.containerz.expect_container(
            name, like=self._seen("container", name)
        )

    @keyword
    def container_should_not_be_there(self, name: str) -> None:
        """Fails unless no such container is listed, and stays so."""
        self.dut.containerz.expect_no_container(name)

    @keyword
    def container_should_answer(self, port: int) -> None:
        """Fails unless the test container answers on its published port, and goes on."""
        self.dut.expect_answer(port)

    @keyword
    def volume_should_be_there(self, name: str) -> None:
        """Fails unless the volume is listed, and stays; after a first time, with the same options and labels."""
        self._before[f"volume {name}"] = self.dut.containerz.expect_volume(name, like=self._seen("volume", name))

    @keyword
    def volume_should_not_be_there(self, name: str) -> None:
        """Fails unless no such volume is listed, and stays so."""
        self.dut.containerz.expect_no_volume(name)

    def _seen(self, kind: str, name: str) -> Any:
        return self._before.get(f"{kind} {name}")


def _logged(found: Any) -> Any:
    """What a call returned, as a table (and a picture, of a failover) in Robot's log."""
    if isinstance(found, Shown | Rows):
        logger.info(found._repr_html_(), html=True)
    return found
