"""Steps that the suites for devices share."""

from __future__ import annotations

from holdfast import Device
from holdfast.pytest_plugin.run import ImageUnderTest


def deploy(dut: Device, image: ImageUnderTest) -> None:
    """Bring the image under test to the device, under this run's name."""
    dut.containerz.deploy(image.archive, name=image.name, tag=image.tag, retag=image.retag)


def start(
    dut: Device,
    image: ImageUnderTest,
    name: str,
    volumes: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    """Start a container of the image under test."""
    dut.containerz.start(
        name,
        image=image,
        command=image.command,
        ports={image.port: image.port},
        network=image.network,
        volumes=volumes,
        environment=environment,
        restart="ALWAYS",
    )
