"""Devices that never end what they say: the deadline holds, and the memory is bounded."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_foreign_servers import CONTAINERZ, archive, deploys, grpc, lists

import holdfast
from holdfast import cntrsrv
from holdfast.exceptions import HoldfastError, RpcError, Timeout

from peers import served

SYSTEM = "/gnoi.system.System/"
# A flood that is let in without bounds grows by hundreds of these in a second.
MIB = 1 << 20
BOUND = 700 * MIB


def endless(message: Any) -> Any:
    """A method that says the same for ever."""
    encoded = message.SerializeToString()

    def say(_request: Any, context: Any) -> Iterator[bytes]:
        while context.is_active():
            yield encoded

    return grpc.unary_stream_rpc_method_handler(say)


FLOODS: list[tuple[str, str, dict[str, Any], Callable[[holdfast.Device], object]]] = [
    ("System/Ping", "gnoi.system.PingResponse", {"source": "x" * 100}, lambda dut: dut.system.ping("x", timeout=2)),
    (
        "Containerz/ListContainer",
        "gnoi.containerz.ListContainerResponse",
        {"name": "x" * 1000},
        lambda dut: dut.containerz.containers(timeout=2),
    ),
    (
        "Containerz/ListImage",
        "gnoi.containerz.ListImageResponse",
        {"image_name": "x" * 100},
        lambda dut: dut.containerz.images(timeout=2),
    ),
    (
        "Containerz/Log",
        "gnoi.containerz.LogResponse",
        {"msg": "x" * 100_000},
        lambda dut: dut.containerz.logs("web", timeout=2),
    ),
]


@pytest.mark.parametrize(("rpc", "name", "fields", "ask"), FLOODS, ids=[flood[0] for flood in FLOODS])
def test_an_answer_without_an_end_is_bounded(
    messages: Any, rpc: str, name: str, fields: dict[str, Any], ask: Callable[[holdfast.Device], object]
) -> None:
    package = SYSTEM if rpc.startswith("System") else CONTAINERZ
    methods = {f"{package}{rpc.partition('/')[2]}": endless(messages(name)(**fields))}
    with served(methods) as address, holdfast.connect(address, insecure=True) as dut:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        with pytest.raises(HoldfastError) as ended:
            ask(dut)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    assert isinstance(ended.value, Timeout) or ended.value.code == "RESOURCE_EXHAUSTED"
    assert grown < BOUND


def test_progress_without_an_end_is_late_and_said_so(messages: Any, tmp_path: Path) -> None:
    request, response = messages("gnoi.containerz.DeployRequest"), messages("gnoi.containerz.DeployResponse")

    def deploy(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        next(requests)
        ready = response()
        ready.image_transfer_ready.chunk_size = 1 << 20
        yield ready
        progress = response()
        progress.image_transfer_progress.bytes_received = 1
        while context.is_active():
            yield progress

    handler = grpc.stream_stream_rpc_method_handler(
        deploy, request_deserializer=request.FromString, response_serializer=lambda message: message.SerializeToString()
    )
    methods = {f"{CONTAINERZ}Deploy": handler, f"{CONTAINERZ}ListImage": lists()}
    with (
        served(methods) as address,
        holdfast.connect(address, insecure=True) as dut,
        pytest.raises(HoldfastError, match="did not end in time"),
    ):
        dut.containerz.deploy(archive(tmp_path), timeout=2)


def test_a_success_before_the_data_is_none(messages: Any, tmp_path: Path) -> None:
    methods = {
        f"{CONTAINERZ}Deploy": deploys(messages, lambda _requests: None, 1 << 10),
        f"{CONTAINERZ}ListImage": lists(),
    }
    large = tmp_path / "large.tar"
    cntrsrv.write_archive(large, name="app", tag="1")
    with (
        served(methods) as address,
        holdfast.connect(address, insecure=True) as dut,
        pytest.raises(RpcError, match="called the transfer a success after"),
    ):
        dut.containerz.deploy(large, timeout=20)


def test_a_date_that_nobody_can_write_loses_no_row(messages: Any) -> None:
    row = messages("gnoi.containerz.ListVolumeResponse")
    strange, plain = row(name="strange"), row(name="plain")
    strange.created.seconds = 1_000_000_000_000
    plain.created.seconds = 1_700_000_000
    with (
        served({f"{CONTAINERZ}ListVolume": lists(strange, plain)}) as address,
        holdfast.connect(address, insecure=True) as dut,
    ):
        volumes = {volume.name: volume.created for volume in dut.containerz.volumes()}
    assert volumes["strange"] is None
    assert volumes["plain"] is not None


def test_an_answer_of_eight_mebibytes_is_taken(messages: Any) -> None:
    listed = messages("gnoi.containerz.ListContainerResponse")(id="1", name="web", image_name="app:1")
    listed.labels["large"] = "x" * (8 * MIB)
    with (
        served({f"{CONTAINERZ}ListContainer": lists(listed)}, ("grpc.max_send_message_length", -1)) as address,
        holdfast.connect(address, insecure=True) as dut,
    ):
        (container,) = dut.containerz.containers()
    assert len(container.labels["large"]) == 8 * MIB
