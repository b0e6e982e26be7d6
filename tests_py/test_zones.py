"""IPv6 addresses with a zone: it says which interface leads there, to this machine alone."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from fronts import context, made, tls_front

import holdfast
from holdfast import addresses, exceptions, testbed

from conftest import isolated

LOOPBACK = f"::1%{socket.if_nametoindex('lo')}"


def link_local() -> str | None:
    """An address of one link that this machine has, with its zone."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, *_, name = line.split()
            address = ipaddress.ip_address(bytes.fromhex(digits))
            if address.is_link_local:
                return f"{address}%{name}"
    return None


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    with holdfast.emulator() as chassis:
        yield chassis.address


@pytest.fixture(params=["loopback", "link"])
def zoned(request: pytest.FixtureRequest) -> str:
    """An IPv6 address with its zone."""
    found = LOOPBACK if request.param == "loopback" else link_local()
    if found is None:
        pytest.skip("this machine has no link-local address")
    return found


def test_a_device_at_an_address_with_a_zone(zoned: str, plain: str, tmp_path: Path) -> None:
    """The certificate is for the address without the zone, which is in no name that goes to the device."""
    shown = made(tmp_path, names=(zoned.partition("%")[0],))
    asked: list[str | None] = []
    server = context(shown.pem, shown.key_pem, sni_callback=lambda _socket, name, _context: asked.append(name))
    with tls_front(plain, server, host=zoned) as front:
        assert "%" in front.address
        for settings in (
            {"ca": shown.pem},
            {"skip_verify": True},
            {"ca": shown.pem, "server_name": zoned},
            {"ca": shown.pem, "server_name": f"[{zoned}]"},
        ):
            with holdfast.connect(front.address, tls=holdfast.Tls(**settings)) as dut:
                assert dut.control_processors()
        other = made(tmp_path, "other")
        with pytest.raises(exceptions.CertificateUntrusted):
            holdfast.connect(front.address, tls=holdfast.Tls(ca=other.pem))
    assert set(asked) == {None}


def test_the_authority_has_no_zone(zoned: str) -> None:
    seen: list[str] = []

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def answer(_request: bytes, call: grpc.ServicerContext) -> bytes:
                seen.append(call._rpc_event.call_details.host.decode())
                return b""

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Handler(),))
    host, _, zone = zoned.partition("%")
    port = server.add_insecure_port(f"[{host}%25{zone}]:0" if host != "::1" else "[::1]:0")
    server.start()
    try:
        with holdfast.connect(f"[{zoned}]:{port}", insecure=True) as dut:
            dut.system.time()
    finally:
        server.stop(None).wait()
    assert seen == [f"[{host}]:{port}"]


def test_an_error_names_the_address_as_it_was_given(zoned: str) -> None:
    with socket.socket(socket.AF_INET6) as free:
        free.bind(socket.getaddrinfo(zoned, 0, socket.AF_INET6, socket.SOCK_STREAM)[0][4])
        port = free.getsockname()[1]
    with pytest.raises(exceptions.Unreachable) as caught:
        holdfast.connect(f"[{zoned}]:{port}", insecure=True, dial_timeout=0.5)
    assert f"[{zoned}]:{port}" in str(caught.value)


def test_a_zone_that_is_none_here() -> None:
    with pytest.raises(exceptions.UnknownHost, match="is nowhere0 a network interface"):
        holdfast.connect("[fe80::1%nowhere0]:9339", insecure=True)


@pytest.mark.parametrize("address", ["[fe80::1%]:1", "router%eth0", "10.0.0.1%eth0:1"])
def test_a_zone_where_none_can_be(address: str) -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match="zone"):
        holdfast.connect(address, insecure=True)


def test_an_address_of_one_link_without_its_zone() -> None:
    with pytest.raises(exceptions.Unreachable, match=r"\[fe80::1%INTERFACE\]:9339"):
        holdfast.connect("fe80::1", insecure=True, dial_timeout=0.5)


def test_a_proxy_is_another_machine(plain: str) -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match="the zone eth0 is of this machine"):
        holdfast.connect("[fe80::1%eth0]:9339", insecure=True, proxy=f"http://{plain}")


def test_testbeds_and_the_command(zoned: str, plain: str, tmp_path: Path) -> None:
    shown = made(tmp_path, names=(zoned.partition("%")[0],))
    with tls_front(plain, context(shown.pem, shown.key_pem), host=zoned) as front:
        port = front.address.rpartition(":")[2]
        own, pyats, binding = tmp_path / "own.yaml", tmp_path / "pyats.yaml", tmp_path / "lab.binding"
        own.write_text(json.dumps({"devices": {"r7": {"address": front.address, "tls": {"ca": str(shown.pem)}}}}))
        connection = {"protocol": "gnmi", "ip": zoned, "port": int(port), "root_certificate": str(shown.pem)}
        pyats.write_text(json.dumps({"devices": {"r7": {"connections": {"gnmi": connection}}}}))
        binding.write_text(
            f'duts {{ id: "r7" name: "r7" options {{ trust_bundle_file: "{shown.pem}" }}'
            f' gnmi {{ target: "{front.address}" }} gnoi {{ target: "{front.address}" }} }}'
        )
        for file in (own, pyats, binding):
            (target,) = testbed.read(file)
            with target.connect() as dut:
                assert dut.control_processors(), file
        told = subprocess.run(
            [sys.executable, "-m", "holdfast.cli", "--dut", front.address, "--dut-ca", str(shown.pem), "roles"],
            env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr


def test_what_caution_reads_of_an_address() -> None:
    assert addresses.hosts("[fe80::1%eth0]:57400,fe80::2%eth0") == ["fe80::1%eth0", "fe80::2%eth0"]
    assert addresses.port("[fe80::1%eth0]:57400") == 57400
