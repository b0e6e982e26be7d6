"""A TLS handshake that fails says why by the standard's own name, and what helps: against real servers of OpenSSL."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from fronts import DAY, NOW, Made, context, made, received, taking, tls_front

import holdfast
from holdfast import exceptions

from peers import listening, served


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    with holdfast.emulator() as chassis:
        yield chassis.address


@pytest.fixture
def shown(tmp_path: Path) -> Made:
    return made(tmp_path)


def refusal(address: str, error: type[exceptions.ConnectError], **tls: object) -> str:
    """What an error of `connect` says."""
    with pytest.raises(error) as caught:
        holdfast.connect(address, tls=holdfast.Tls(**tls), dial_timeout=1.5)  # type: ignore[arg-type]
    assert type(caught.value) is error
    return str(caught.value)


# --- Versions and ciphers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.parametrize("verified", [True, False])
def test_an_old_version(version: str, verified: bool, plain: str, shown: Made) -> None:
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        server = context(
            shown.pem, shown.key_pem, minimum_version=ssl.TLSVersion[version], maximum_version=ssl.TLSVersion[version]
        )
    tls = {"ca": shown.pem} if verified else {"skip_verify": True}
    with tls_front(plain, server) as front:
        said = refusal(front.address, exceptions.TlsHandshakeFailed, **tls)
    assert "protocol_version (70)" in said
    assert "TLS 1.2" in said


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"])
def test_no_common_cipher(ciphers: str, plain: str, tmp_path: Path) -> None:
    shown = made(tmp_path, kind="rsa2048")
    server = context(shown.pem, shown.key_pem, ciphers=f"{ciphers}:@SECLEVEL=0", maximum_version=ssl.TLSVersion.TLSv1_2)
    with tls_front(plain, server) as front:
        said = refusal(front.address, exceptions.TlsHandshakeFailed, ca=shown.pem)
    assert "handshake_failure (40)" in said
    assert "ECDHE" in said
    assert "certificate of ours" not in said


def test_no_common_curve(plain: str, shown: Made) -> None:
    with tls_front(plain, context(shown.pem, shown.key_pem, curve="secp521r1")) as front:
        assert "P-256" in refusal(front.address, exceptions.TlsHandshakeFailed, ca=shown.pem)


def test_no_common_kind_of_key(plain: str, tmp_path: Path) -> None:
    shown = made(tmp_path, kind="p521")
    with tls_front(plain, context(shown.pem, shown.key_pem)) as front:
        said = refusal(front.address, exceptions.TlsHandshakeFailed, ca=shown.pem)
    assert "handshake_failure (40)" in said


def test_no_http2_inside(plain: str, shown: Made) -> None:
    def alert(client: socket.socket) -> None:
        received(client, 5)
        client.sendall(b"\x15\x03\x03\x00\x02\x02\x78")

    with listening(alert) as front:
        assert "no_application_protocol (120)" in refusal(front.address, exceptions.NotGrpc, ca=shown.pem)
    with tls_front(plain, context(shown.pem, shown.key_pem, alpn=["http/1.1"])) as front:
        holdfast.connect(front.address, tls=holdfast.Tls(ca=shown.pem)).close()  # OpenSSL then says nothing of it


# --- Our certificate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_certificate_of_ours_is_wanted(version: str, plain: str, shown: Made, tmp_path: Path) -> None:
    trusted = made(tmp_path, "trusted", authority=True, names=())
    server = context(shown.pem, shown.key_pem, clients=trusted.pem, maximum_version=ssl.TLSVersion[version])
    with tls_front(plain, server) as front:
        said = refusal(front.address, exceptions.ClientCertificateRefused, ca=shown.pem)
        assert "it wants a certificate of ours, and got none" in said
        assert ("certificate_required (116)" if version == "TLSv1_3" else "handshake_failure (40)") in said
        assert "Tls(cert=FILE, key=FILE)" in said


def test_whose_signatures_a_server_takes_is_said(shown: Made, tmp_path: Path) -> None:
    trusted = made(tmp_path, "trusted", authority=True, names=())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-accept", f"127.0.0.1:{port}", "-cert", shown.pem, "-key", shown.key_pem, "-alpn", "h2", "-quiet"]
    options += ["-Verify", "1", "-verify_return_error", "-CAfile", trusted.pem]
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(["openssl", "s_server", *options], **quiet) as server:  # type: ignore[call-overload]
        try:
            said = refusal(f"127.0.0.1:{port}", exceptions.ClientCertificateRefused, ca=shown.pem)
        finally:
            server.kill()
    assert "that one of these signed: CN=trusted" in said


@pytest.mark.parametrize(
    ("make", "alert"),
    [
        (lambda folder, _signer: made(folder, "ours"), "unknown_ca (48)"),
        (
            lambda folder, signer: made(folder, "ours", signer=signer, begins=NOW - 3 * DAY, ends=NOW - DAY),
            "certificate_expired (45)",
        ),
        (
            lambda folder, signer: made(folder, "ours", signer=signer, purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)),
            "unsupported_certificate (43)",
        ),
    ],
)
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_certificate_of_ours_is_refused(
    make: Callable[[Path, Made], Made], alert: str, version: str, plain: str, shown: Made, tmp_path: Path
) -> None:
    signer = made(tmp_path, "signer", authority=True, names=())
    ours = make(tmp_path, signer)
    server = context(shown.pem, shown.key_pem, clients=signer.pem, maximum_version=ssl.TLSVersion[version])
    with tls_front(plain, server) as front:
        tls = {"ca": shown.pem, "cert": ours.pem, "key": ours.key_pem}
        said = refusal(front.address, exceptions.ClientCertificateRefused, **tls)
        assert alert in said
        assert "give another certificate" in said


# --- Each alert ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name", "error"),
    [
        (10, "unexpected_message", exceptions.TlsHandshakeFailed),
        (42, "bad_certificate", exceptions.TlsHandshakeFailed),
        (48, "unknown_ca", exceptions.TlsHandshakeFailed),
        (49, "access_denied", exceptions.TlsHandshakeFailed),
        (71, "insufficient_security", exceptions.TlsHandshakeFailed),
        (80, "internal_error", exceptions.Unreachable),
        (112, "unrecognized_name", exceptions.TlsHandshakeFailed),
        (200, "unknown alert", exceptions.TlsHandshakeFailed),
    ],
)
def test_an_alert_has_its_name(number: int, name: str, error: type[exceptions.ConnectError], shown: Made) -> None:
    def alert(client: socket.socket) -> None:
        received(client, 5)
        client.sendall(b"\x15\x03\x03\x00\x02\x02" + bytes([number]))

    with listening(alert) as front:
        said = refusal(front.address, error, ca=shown.pem)
    assert f"{name} ({number})" in said
    assert "try:" in said
    assert "Tls(cert=FILE" not in said, "nobody asked for a certificate of ours"


# --- No TLS at all ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", exceptions.PlaintextExpected, "HTTP/1 in plaintext"),
        (b"\0\0\0\4\0\0\0\0\0", exceptions.PlaintextExpected, "HTTP/2 in plaintext"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", exceptions.NotGrpc, "SSH"),
        (b"220 mail ESMTP\r\n", exceptions.PlaintextExpected, "something else"),
    ],
)
def test_an_answer_that_is_no_tls(answer: bytes, error: type[exceptions.ConnectError], words: str, shown: Made) -> None:
    with listening(lambda client: client.sendall(answer)) as front:
        assert words in refusal(front.address, error, ca=shown.pem)


def test_a_server_of_grpc_in_plaintext() -> None:
    with served({}) as address:
        said = refusal(address, exceptions.PlaintextExpected)
    assert "insecure=True" in said


def test_a_server_that_closes_in_the_handshake(shown: Made) -> None:
    with listening(lambda client: taking(client, 5)) as front:
        said = refusal(front.address, exceptions.Unreachable, ca=shown.pem)
    assert "the TLS handshake failed" in said
    assert "plaintext" in said


def test_plaintext_to_a_tls_server_of_grpc(shown: Made) -> None:
    from concurrent import futures

    import grpc

    server = grpc.server(futures.ThreadPoolExecutor(1))
    keys = [(shown.key_pem.read_bytes(), shown.pem.read_bytes())]
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(keys))
    server.start()
    try:
        holdfast.connect(f"127.0.0.1:{port}", tls=holdfast.Tls(ca=shown.pem)).close()
        with pytest.raises((exceptions.TlsExpected, exceptions.Unreachable)) as caught:
            holdfast.connect(f"127.0.0.1:{port}", insecure=True, dial_timeout=1.5)
    finally:
        server.stop(None).wait()
    assert "TLS" in str(caught.value)
