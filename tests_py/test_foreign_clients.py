"""Clients that the emulated device was not written for work on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast

import archives
from archives import Image, layout, named, write

grpc = pytest.importorskip("grpc", reason="pip install grpcio")
pytest.importorskip("grpc_tools", reason="pip install grpcio-tools")
pygnmi_client = pytest.importorskip("pygnmi.client", reason="pip install pygnmi")

# pygnmi's thread tells that its channel was closed by dying of it, at a moment of its own.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Exception in thread .*enqueue_updates:pytest.PytestUnhandledThreadExceptionWarning"
)
ROLE = "/components/component[name=Supervisor1]/state/redundant-role"


@pytest.fixture
def pygnmi(chassis_of_test: holdfast.Emulator) -> Iterator[Any]:
    host, _, port = chassis_of_test.address.rpartition(":")
    with pygnmi_client.gNMIclient(
        target=(host, int(port)), username="admin", password="admin", insecure=True
    ) as client:
        yield client


def test_pygnmi_reads_capabilities(pygnmi: Any) -> None:
    answer = pygnmi.capabilities()
    assert "json_ietf" in answer["supported_encodings"]
    assert answer["gnmi_version"]


def test_pygnmi_gets(pygnmi: Any) -> None:
    answer = pygnmi.get(path=[ROLE], encoding="json_ietf")
    assert answer["notification"][0]["update"][0]["val"] == "PRIMARY"


def test_pygnmi_subscribes_once(pygnmi: Any) -> None:
    request = {"subscription": [{"path": ROLE}], "mode": "once", "encoding": "proto"}
    answers = list(pygnmi.subscribe2(subscribe=request))
    updates = [answer["update"]["update"][0]["val"] for answer in answers if "update" in answer]
    assert updates == ["PRIMARY"]
    assert any("sync_response" in answer for answer in answers)


def test_pygnmi_streams(pygnmi: Any, device: holdfast.Device) -> None:
    path = "/components/component[name=Supervisor1]/state/switchover-ready"
    request = {"subscription": [{"path": path, "mode": "on_change"}], "mode": "stream", "encoding": "json_ietf"}
    stream = pygnmi.subscribe2(subscribe=request)
    assert stream.get_update(timeout=5)["update"]["update"][0]["val"] is True
    device.containerz.create_volume("changes-something")
    changed = stream.get_update(timeout=5)
    assert changed["update"]["update"][0]["val"] is False
    stream.close()


def test_a_client_that_half_closes_is_served_to_the_end(chassis_of_test: holdfast.Emulator, messages: Any) -> None:
    request = messages("gnmi.SubscribeRequest")()
    subscription = request.subscribe.subscription.add()
    for name in ("system", "state", "boot-time"):
        subscription.path.elem.add(name=name)
    response = messages("gnmi.SubscribeResponse")
    with grpc.insecure_channel(chassis_of_test.address) as channel:
        call = channel.stream_stream(
            "/gnmi.gNMI/Subscribe",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        request.subscribe.mode, request.subscribe.encoding = 1, 2  # ONCE, PROTO
        answers = list(call(iter([request]), timeout=10))
        assert [answer.WhichOneof("response") for answer in answers] == ["update", "sync_response"]
        request.subscribe.mode = 0  # STREAM
        stream = call(iter([request]), timeout=10)
        assert next(stream).WhichOneof("response") == "update"
        assert next(stream).sync_response
        stream.cancel()


def send_in_lockstep(chassis: holdfast.Emulator, messages: Any, content: bytes) -> list[str]:
    """Deploy an archive as it is, as the image `lockstep:v1`; returns which answers came."""
    request_type, response_type = (messages(f"gnoi.containerz.Deploy{kind}") for kind in ("Request", "Response"))
    may_send = threading.Semaphore(0)

    def requests() -> Iterator[Any]:
        first = request_type()
        first.image_transfer.name, first.image_transfer.tag = "lockstep", "v1"
        first.image_transfer.image_size = len(content)
        yield first
        for at in range(0, len(content), 1_000_000):
            assert may_send.acquire(timeout=10)
            yield request_type(content=content[at : at + 1_000_000])
        assert may_send.acquire(timeout=10)
        last = request_type()
        last.image_transfer_end.SetInParent()
        yield last

    received = []
    with grpc.insecure_channel(chassis.address) as channel:
        call = channel.stream_stream(
            "/gnoi.containerz.Containerz/Deploy",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_type.FromString,
        )
        for answer in call(requests(), timeout=30):
            received.append(answer.WhichOneof("response"))
            may_send.release()
    return received


def test_a_client_that_sends_in_lockstep(chassis_of_test: holdfast.Emulator, messages: Any, archive: Path) -> None:
    content = archive.read_bytes()
    received = send_in_lockstep(chassis_of_test, messages, content)
    assert received[0] == "image_transfer_ready"
    assert received[-1] == "image_transfer_success"
    assert received.count("image_transfer_progress") == -(-len(content) // 1_000_000)


@pytest.mark.parametrize("layout", ["docker-archive", "OCI layout"])
def test_an_archive_of_thousands_of_images_keeps_no_device_busy(
    layout: str, chassis_of_test: holdfast.Emulator, device: holdfast.Device, messages: Any
) -> None:
    """Sent as it is: it was read for minutes (hostile.md, X16). The client refuses such a file before that."""
    image = Image(layers=[])
    if layout == "docker-archive":
        files = archives.edit(archives.saved(image), "manifest.json", lambda items: items * 20_000)
    else:
        files = archives.layout(named(image, *(f"app:{number}" for number in range(20_000))), image)
    with pytest.raises(grpc.RpcError) as caught:
        send_in_lockstep(chassis_of_test, messages, archives.tar(files))
    assert "names 20000 images, more than 1000" in str(caught.value.details())
    assert not device.containerz.images()


@pytest.mark.parametrize("first", [True, False])
def test_a_device_loads_the_image_for_its_own_platform(
    first: bool, chassis_of_test: holdfast.Emulator, device: holdfast.Device, messages: Any, tmp_path: Path
) -> None:
    from holdfast import _core

    own = Image(architecture=_core.own_platform().partition("/")[2], layers=[archives.layer("own")])
    images = [own, Image(architecture="s390x"), Image(architecture="riscv64")]
    tops = [top for image in (images if first else images[::-1]) for top in named(image, "app:v1")]
    path = write(tmp_path / "several.tar", layout(tops, *images))
    assert send_in_lockstep(chassis_of_test, messages, path.read_bytes())[-1] == "image_transfer_success"
    rows = device.containerz.images()
    assert {row.name for row in rows} == {"app", "lockstep"}
    assert all(row.has_id(own.id) for row in rows)
