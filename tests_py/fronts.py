"""What stands before a device in tests: TLS of any kind over a device that speaks plaintext, and proxies."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from peers import Listener, listening

NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A certificate with its key, and its files."""

    certificate: x509.Certificate
    key: Any
    pem: Path
    key_pem: Path


def key_of(kind: str) -> Any:
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind])


def made(
    folder: Path,
    name: str = "device",
    *,
    kind: str = "p256",
    names: tuple[str, ...] = ("localhost", "127.0.0.1"),
    signer: Made | None = None,
    authority: bool | None = None,
    begins: dt.datetime = NOW - DAY,
    ends: dt.datetime = NOW + DAY,
    subject: str | None = None,
    purposes: tuple[x509.ObjectIdentifier, ...] = (),
    critical: tuple[x509.ExtensionType, ...] = (),
    digest: hashes.HashAlgorithm | None = None,
) -> Made:
    """A certificate that `signer` signed, or that signed itself. `authority` is CA:TRUE, CA:FALSE or neither."""
    key = key_of(kind)
    whose = name if subject is None else subject
    shown = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, whose)] if whose else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(shown)
        .issuer_name(shown if signer is None else signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    for extension in critical:
        builder = builder.add_extension(extension, critical=True)
    signing = key if signer is None else signer.key
    hashed = None if isinstance(signing, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
    return written(folder, name, builder.sign(signing, hashed), key)


def _name(text: str) -> x509.GeneralName:
    if text.startswith("dns:"):
        return x509.DNSName(text.removeprefix("dns:"))
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def written(folder: Path, name: str, certificate: x509.Certificate, key: Any) -> Made:
    pem, key_pem = folder / f"{name}.pem", folder / f"{name}-key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Made(certificate, key, pem, key_pem)


def bundle(folder: Path, *parts: Made, name: str = "bundle") -> Path:
    file = folder / f"{name}.pem"
    file.write_bytes(b"".join(part.pem.read_bytes() for part in parts))
    return file


def context(certificate: Path, key: Path, **settings: Any) -> ssl.SSLContext:
    """What a TLS server has; `settings` are attributes of the context. Any key and cipher of OpenSSL's will do."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers(settings.pop("ciphers", "ALL:@SECLEVEL=0"))
    made.load_cert_chain(certificate, key)
    made.set_alpn_protocols(settings.pop("alpn", ["h2"]))
    if (trusted := settings.pop("clients", None)) is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(trusted)
    if (curve := settings.pop("curve", None)) is not None:
        made.set_ecdh_curve(curve)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def dialled(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=20)


def reached(address: str | None) -> socket.socket | None:
    """A connection, or None where nobody is there."""
    with contextlib.suppress(OSError):
        return None if address is None else dialled(address)
    return None


def relay(one: socket.socket, other: socket.socket) -> None:
    """Carries bytes both ways until either side ends."""

    def waiting(side: socket.socket) -> bool:
        return isinstance(side, ssl.SSLSocket) and side.pending() > 0

    with other:
        while True:
            ready = [side for side in (one, other) if waiting(side)] or select.select([one, other], [], [], 60)[0]
            if not ready:
                return
            for side in ready:
                data = side.recv(65536)
                if not data:
                    return
                (other if side is one else one).sendall(data)


@contextmanager
def tls_front(upstream: str, made: ssl.SSLContext, host: str = "127.0.0.1") -> Iterator[Listener]:
    """TLS as a context has it, before a device that speaks plaintext at `upstream`."""

    def serve(client: socket.socket) -> None:
        with made.wrap_socket(client, server_side=True) as encrypted:
            relay(encrypted, dialled(upstream))

    with listening(serve, host) as front:
        yield front


def received(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def taking(client: socket.socket, count: int) -> None:
    """Takes so many bytes, and then closes."""
    received(client, count)


@contextmanager
def http_proxy(
    names: dict[str, str], *, login: str | None = None, answer: bytes | None = None
) -> Iterator[tuple[Listener, list[str]]]:
    """An HTTP proxy that knows hosts by `names` (`HOST:PORT` to where that is), and what it was asked for.

    `login` is the USER:PASSWORD that it wants; it gives `answer` to everybody, where there is one.
    """
    asked: list[str] = []

    def serve(client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            more = client.recv(1)
            if not more:
                return
            request += more
        lines = request.decode("latin-1").split("\r\n")
        asked.append(lines[0])
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:])}
        if answer is not None:
            client.sendall(answer)
            return
        wanted = None if login is None else "Basic " + base64.b64encode(login.encode()).decode()
        if headers.get("proxy-authorization") != wanted:
            client.sendall(
                b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="lab"\r\n'
                b"Content-Length: 0\r\n\r\n"
            )
            return
        upstream = reached(names.get(lines[0].split(" ")[1]))
        if upstream is None:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        relay(client, upstream)

    with listening(serve) as front:
        yield front, asked


@contextmanager
def socks_proxy(
    names: dict[str, str], *, login: str | None = None, reply: int = 0
) -> Iterator[tuple[Listener, list[str]]]:
    """A SOCKS5 proxy (RFC 1928, 1929) as `http_proxy`; it refuses with `reply`, where that is not 0."""
    asked: list[str] = []

    def serve(client: socket.socket) -> None:
        _, count = received(client, 2)
        offered = received(client, count)
        method = 2 if login is not None else 0
        if method not in offered:
            client.sendall(b"\x05\xff")
            return
        client.sendall(bytes([5, method]))
        if login is not None:
            _, length = received(client, 2)
            user = received(client, length)
            password = received(client, received(client, 1)[0])
            good = b":".join([user, password]) == login.encode()
            client.sendall(bytes([1, 0 if good else 1]))
            if not good:
                return
        _, _, _, kind = received(client, 4)
        if kind == 3:
            host = received(client, received(client, 1)[0]).decode()
        else:
            host = str(ipaddress.ip_address(received(client, 4 if kind == 1 else 16)))
        port = int.from_bytes(received(client, 2), "big")
        asked.append(f"{host}:{port}")
        upstream = None if reply else reached(names.get(f"{host}:{port}"))
        code = reply or (5 if upstream is None else 0)
        client.sendall(bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))
        if upstream is not None:
            relay(client, upstream)

    with listening(serve) as front:
        yield front, asked


def first_version(folder: Path, name: str, kind: str = "p256") -> Made:
    """An X.509 certificate of version 1, which has no extensions; no library makes one any more."""
    of_today = made(folder, name, kind=kind, names=())
    body = _content(of_today.certificate.tbs_certificate_bytes).removeprefix(b"\xa0\x03\x02\x01\x02")
    tbs = _der(0x30, body)
    if kind.startswith("rsa"):
        from cryptography.hazmat.primitives.asymmetric import padding

        algorithm = bytes.fromhex("300d06092a864886f70d01010b0500")
        signature = of_today.key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    else:
        algorithm = bytes.fromhex("300a06082a8648ce3d040302")
        signature = of_today.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    whole = _der(0x30, tbs + algorithm + _der(0x03, b"\0" + signature))
    text = base64.encodebytes(whole).decode()
    of_today.pem.write_text(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
    return Made(x509.load_der_x509_certificate(whole), of_today.key, of_today.pem, of_today.key_pem)


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def _content(der: bytes) -> bytes:
    return der[2 + (der[1] & 0x7F if der[1] & 0x80 else 0) :]
