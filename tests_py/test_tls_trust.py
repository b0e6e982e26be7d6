"""Whom TLS trusts: whoever answers where that was asked for, and certificates that were named, in whatever file."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from fronts import DAY, NOW, Made, bundle, context, first_version, made, tls_front

import holdfast
from holdfast import exceptions


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    with holdfast.emulator() as chassis:
        yield chassis.address


def reach(address: str, **tls: object) -> None:
    with holdfast.connect(address, tls=holdfast.Tls(**tls)) as dut:  # type: ignore[arg-type]
        assert dut.control_processors()


def reach_front(plain: str, shown: Made, *, chain: Path | None = None, ca: Path | None = None, **tls: object) -> None:
    """Reaches the device behind TLS with a certificate."""
    with tls_front(plain, context(chain or shown.pem, shown.key_pem)) as front:
        reach(front.address, ca=ca, **tls)


# --- Whoever answers ----------------------------------------------------------------------------------------------

ODD: dict[str, Callable[[Path], Made]] = {
    "version-1": lambda folder: first_version(folder, "old"),
    "version-1-rsa": lambda folder: first_version(folder, "old", kind="rsa2048"),
    "expired": lambda folder: made(folder, begins=NOW - 3 * DAY, ends=NOW - DAY),
    "no-subject": lambda folder: made(folder, subject=""),
    "no-names": lambda folder: made(folder, names=()),
    "signs-itself": lambda folder: made(folder, authority=True),
    "for-clients": lambda folder: made(folder, purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    "p384": lambda folder: made(folder, kind="p384"),
    "ed25519": lambda folder: made(folder, kind="ed25519"),
}
UNCHECKED: dict[str, tuple[Callable[[Path], Made], str]] = {
    "rsa1024": (lambda folder: made(folder, kind="rsa1024"), "1024 bits"),
    "version-1-rsa1024": (lambda folder: first_version(folder, "old", kind="rsa1024"), "1024 bits"),
    "p521": (lambda folder: made(folder, kind="p521"), "ECDSA_NISTP521_SHA512"),
}


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("odd", ODD)
def test_whoever_answers_is_trusted_whatever_the_certificate(
    odd: str, version: str, plain: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import ssl

    shown = ODD[odd](tmp_path)
    server = context(shown.pem, shown.key_pem, maximum_version=ssl.TLSVersion[version])
    with tls_front(plain, server) as front:
        reach(front.address, skip_verify=True)
    assert "is not known" not in caplog.text, "the signature of the key exchange could be checked"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("odd", UNCHECKED)
def test_where_the_key_exchange_cannot_be_checked_that_is_said(
    odd: str, version: str, plain: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import ssl

    caplog.set_level(logging.WARNING, "holdfast")
    make, words = UNCHECKED[odd]
    shown = make(tmp_path)
    server = context(shown.pem, shown.key_pem, maximum_version=ssl.TLSVersion[version])
    with tls_front(plain, server) as front:
        if (odd, version) == ("p521", "TLSv1_2"):  # the curve must be one that this machine has, before TLS 1.3
            with pytest.raises(exceptions.TlsHandshakeFailed, match="P-256"):
                reach(front.address, skip_verify=True)
            return
        reach(front.address, skip_verify=True)
        reach(front.address, skip_verify=True)
    assert "whether it has the key of its certificate is not known" in caplog.text
    assert words in caplog.text


def test_a_name_that_tls_cannot_ask_for_does_not_matter_where_nobody_is_verified(plain: str, tmp_path: Path) -> None:
    shown = made(tmp_path)
    reach_front(plain, shown, skip_verify=True, server_name="the router in rack 7")
    with pytest.raises(exceptions.InvalidArgumentError, match="server_name=NAME"):
        reach_front(plain, shown, ca=shown.pem, server_name="the router in rack 7")


# --- The very certificate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("authority", [True, False, None])
@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_a_certificate_that_is_named_is_trusted(authority: bool | None, kind: str, plain: str, tmp_path: Path) -> None:
    shown = made(tmp_path, kind=kind, authority=authority)
    reach_front(plain, shown, ca=shown.pem)


def test_a_certificate_that_is_named_needs_neither_signer_nor_version(plain: str, tmp_path: Path) -> None:
    signer = made(tmp_path, "signer", authority=True)
    leaf = made(tmp_path, "leaf", signer=signer, authority=False)
    reach_front(plain, leaf, ca=leaf.pem)
    old = first_version(tmp_path, "old")
    reach_front(plain, old, ca=old.pem)
    purpose = made(tmp_path, "purpose", authority=True, purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    reach_front(plain, purpose, ca=purpose.pem)


def test_a_certificate_that_is_named_still_expires_and_has_its_names(plain: str, tmp_path: Path) -> None:
    old = made(tmp_path, "old", authority=True, begins=NOW - 3 * DAY, ends=NOW - DAY)
    with pytest.raises(exceptions.CertificateExpired, match=f"{(NOW - DAY):%Y-%m-%d}"):
        reach_front(plain, old, ca=old.pem)
    new = made(tmp_path, "new", authority=True, begins=NOW + DAY, ends=NOW + 3 * DAY)
    with pytest.raises(exceptions.CertificateNotYetValid, match=f"{(NOW + DAY):%Y-%m-%d}"):
        reach_front(plain, new, ca=new.pem)
    other = made(tmp_path, "other", authority=True, names=("*.lab.example", "10.0.0.7"))
    with pytest.raises(exceptions.CertificateForAnotherName, match=r"DNS \*\.lab\.example, IP 10\.0\.0\.7"):
        reach_front(plain, other, ca=other.pem)
    reach_front(plain, other, ca=other.pem, server_name="router.lab.example")
    reach_front(plain, other, ca=other.pem, server_name="10.0.0.7")


def test_who_pins_a_device_does_not_trust_what_it_signs(plain: str, tmp_path: Path) -> None:
    device = made(tmp_path, "device", authority=False)
    forged = made(tmp_path, "forged", signer=device)
    with pytest.raises(exceptions.CertificateUntrusted):
        reach_front(plain, forged, ca=device.pem)


def test_another_certificate_of_the_same_name_is_not_the_one_that_was_named(plain: str, tmp_path: Path) -> None:
    named, shown = made(tmp_path, "named", subject="r7"), made(tmp_path, "shown", subject="r7")
    with pytest.raises(exceptions.CertificateUntrusted, match="CN=r7"):
        reach_front(plain, shown, ca=named.pem)


def test_a_key_that_cannot_be_checked_is_not_trusted_where_somebody_is_verified(plain: str, tmp_path: Path) -> None:
    weak = made(tmp_path, kind="rsa1024", authority=True)
    with pytest.raises(exceptions.CertificateUntrusted, match="1024 bits") as caught:
        reach_front(plain, weak, ca=weak.pem)
    assert "skip_verify=True" in str(caught.value)


def test_a_certificate_that_signed_itself_is_said_to_and_what_helps_helps(plain: str, tmp_path: Path) -> None:
    shown = made(tmp_path, subject="r7", authority=True)
    another = made(tmp_path, "another", authority=True)
    with pytest.raises(exceptions.CertificateUntrusted, match=r"it signed it itself \(CN=r7\)") as caught:
        reach_front(plain, shown, ca=another.pem)
    assert "Tls(ca=FILE)" in str(caught.value)
    reach_front(plain, shown, ca=shown.pem)


# --- Files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Made, Made, Made]:
    root = made(tmp_path, "root", authority=True, names=())
    between = made(tmp_path, "between", signer=root, authority=True, names=())
    return root, between, made(tmp_path, "leaf", signer=between)


def test_chains_whoever_has_the_certificate_between(plain: str, tmp_path: Path, chain: tuple[Made, Made, Made]) -> None:
    root, between, leaf = chain
    whole = bundle(tmp_path, leaf, between)
    reach_front(plain, leaf, chain=whole, ca=root.pem)
    reach_front(plain, leaf, ca=bundle(tmp_path, root, between, name="both"))
    reach_front(plain, leaf, ca=bundle(tmp_path, between, root, name="turned"))
    reach_front(plain, leaf, ca=between.pem)
    with pytest.raises(exceptions.CertificateUntrusted, match="CN=between"):
        reach_front(plain, leaf, ca=root.pem)


def test_an_expired_certificate_between_is_told_from_the_targets(plain: str, tmp_path: Path) -> None:
    root = made(tmp_path, "root", authority=True, names=())
    between = made(tmp_path, "between", signer=root, authority=True, names=(), begins=NOW - 9 * DAY, ends=NOW - 2 * DAY)
    leaf = made(tmp_path, "leaf", signer=between)
    with pytest.raises(exceptions.CertificateExpired, match="between the target's and its signer's"):
        reach_front(plain, leaf, chain=bundle(tmp_path, leaf, between), ca=root.pem)


def test_files_as_people_have_them(plain: str, tmp_path: Path, chain: tuple[Made, Made, Made]) -> None:
    root, between, leaf = chain
    other = made(tmp_path, "other", authority=True)
    text = bundle(tmp_path, other, root).read_text()
    der = tmp_path / "root.der"
    der.write_bytes(root.certificate.public_bytes(serialization.Encoding.DER))
    written = {
        "commented.pem": f"# of the lab\nIssuer: CN=root\n{text}\nthe end\n",
        "dos.pem": text.replace("\n", "\r\n"),
        "bom.pem": "\ufeff" + text,
        "trusted.pem": text.replace("BEGIN CERT", "BEGIN TRUSTED CERT").replace("END CERT", "END TRUSTED CERT"),
    }
    whole = bundle(tmp_path, leaf, between, name="whole")
    with tls_front(plain, context(whole, leaf.key_pem)) as front:
        for name, contents in written.items():
            (tmp_path / name).write_bytes(contents.encode())
            reach(front.address, ca=tmp_path / name)
        reach(front.address, ca=der)


def test_our_own_certificate_and_key_as_der(plain: str, tmp_path: Path) -> None:
    device, ours = made(tmp_path, "device"), made(tmp_path, "ours", authority=True)
    cert, key = tmp_path / "ours.der", tmp_path / "ours-key.der"
    cert.write_bytes(ours.certificate.public_bytes(serialization.Encoding.DER))
    key.write_bytes(
        ours.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with tls_front(plain, context(device.pem, device.key_pem, clients=ours.pem)) as front:
        reach(front.address, ca=device.pem, cert=cert, key=key)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("key", "but PRIVATE KEY"),
        ("half", "no line END"),
        (b"\xff\xfe-\x00", "UTF-16"),
        (b"", "it is empty"),
        ("pkcs12", "PKCS #12"),
    ],
)
def test_what_is_no_certificate_is_named(content: str | bytes, words: str, plain: str, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import pkcs12

    shown, file = made(tmp_path), tmp_path / "file"
    held = {
        "key": shown.key_pem.read_bytes(),
        "half": shown.pem.read_bytes()[:200],
        "pkcs12": pkcs12.serialize_key_and_certificates(
            b"x", shown.key, shown.certificate, None, serialization.NoEncryption()
        ),
    }
    file.write_bytes(content if isinstance(content, bytes) else held[content])
    with pytest.raises(exceptions.InvalidArgumentError, match=words) as caught:
        reach(plain, ca=file)
    assert str(file) in str(caught.value)


# --- Names --------------------------------------------------------------------------------------------------------


def test_a_certificate_for_no_name_says_what_helps(plain: str, tmp_path: Path) -> None:
    signer = made(tmp_path, "signer", authority=True, names=())
    shown = made(tmp_path, "shown", signer=signer, names=(), subject="localhost")
    for name in (None, "localhost"):
        with pytest.raises(exceptions.CertificateForAnotherName, match="for no name at all") as caught:
            reach_front(plain, shown, ca=signer.pem, server_name=name)
        said = str(caught.value)
        assert "CN=localhost" in said
        assert "Tls(ca=FILE)" in said
        assert "skip_verify=True" in said
        assert "server_name" not in said
    reach_front(plain, shown, ca=shown.pem)
    reach_front(plain, shown, skip_verify=True)


def test_the_names_of_a_certificate_are_listed(plain: str, tmp_path: Path) -> None:
    signer = made(tmp_path, "signer", authority=True, names=())
    shown = made(tmp_path, "shown", signer=signer, names=("r7.example", "*.lab", "10.0.0.7", "fd00::7"))
    with pytest.raises(exceptions.CertificateForAnotherName) as caught:
        reach_front(plain, shown, ca=signer.pem)
    assert "DNS r7.example, DNS *.lab, IP 10.0.0.7, IP fd00::7" in str(caught.value)
    assert "server_name=NAME" in str(caught.value)


def test_an_address_that_stands_there_as_a_dns_name_is_told(plain: str, tmp_path: Path) -> None:
    signer = made(tmp_path, "signer", authority=True, names=())
    shown = made(tmp_path, "shown", signer=signer, names=("dns:127.0.0.1", "r7.example"))
    with pytest.raises(exceptions.CertificateForAnotherName, match="as a DNS name"):
        reach_front(plain, shown, ca=signer.pem)


def test_what_a_certificate_says_reaches_no_terminal_as_it_is(plain: str, tmp_path: Path) -> None:
    shown = made(tmp_path, subject="\x1b[2J\u202er7\n" + "x" * 40, names=("dns:" + "y" * 60,) * 30)
    another = made(tmp_path, "another")
    with pytest.raises(exceptions.CertificateUntrusted) as untrusted:
        reach_front(plain, shown, ca=another.pem)
    with pytest.raises(exceptions.CertificateForAnotherName) as misnamed:
        reach_front(plain, shown, ca=shown.pem)
    for error in (untrusted, misnamed):
        said = str(error.value)
        assert not {"\x1b", "\u202e"} & set(said)
        assert len(said) < 2500


# --- Words for what the library does not take, which others do ----------------------------------------------------


def _policies() -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])


def _strange() -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


SIGNED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "by a short key": ({"kind": "rsa1024"}, {}, "cannot be checked: the RSA key of CN=signer has 1024 bits"),
    "by P-521": ({"kind": "p521"}, {}, "cannot be checked: .* ECDSA on P-521"),
    "with SHA-512": ({}, {"digest": hashes.SHA512()}, "cannot be checked: it is signed by ECDSA with SHA-512"),
    "by one who signs nobody": ({"authority": False}, {}, r"signed by CN=signer, whose own .* \(CA:FALSE\)"),
    "with policies": ({}, {"critical": (_policies(),)}, r"critical extension\) .*: certificate policies \(2.5.29.32\)"),
    "with what nobody knows": ({}, {"critical": (_strange(),)}, r"critical extension\) .*: 1.3.6.1.4.1.99999.1"),
    "for a wide wildcard": ({}, {"names": ("dns:*.lab",)}, r"DNS \*.lab.*\n.*wildcard needs two labels"),
}


@pytest.mark.parametrize("how", SIGNED)
def test_what_the_library_does_not_take_is_called_by_its_name(how: str, plain: str, tmp_path: Path) -> None:
    """None of it is a wrong signature, and of none it helps to name the signer, whom the file names already."""
    of_signer, of_device, words = SIGNED[how]
    signer = made(tmp_path, "signer", **{"authority": True, "names": ()} | of_signer)
    shown = made(tmp_path, signer=signer, **{"authority": False} | of_device)
    with pytest.raises(exceptions.ConnectError, match=words) as caught:
        reach_front(plain, shown, ca=signer.pem, server_name="sw1.lab" if "names" in of_device else None)
    assert "another signer of the same name" not in str(caught.value)
    if "names" not in of_device:
        reach_front(plain, shown, ca=shown.pem)  # as the error says


def test_a_signature_of_another_of_the_same_name_is_wrong(plain: str, tmp_path: Path) -> None:
    signer, other = (made(tmp_path / folder, "signer", authority=True, names=()) for folder in _folders(tmp_path))
    shown = made(tmp_path, signer=signer, authority=False)
    with pytest.raises(exceptions.CertificateUntrusted, match="another signer of the same name"):
        reach_front(plain, shown, ca=other.pem)


def _folders(below: Path) -> tuple[str, str]:
    for name in (both := ("one", "two")):
        (below / name).mkdir()
    return both


# --- Keys of other forms ------------------------------------------------------------------------------------------

_ANEW = "openssl pkcs8 -topk8"


def _pkcs8(*scheme: str) -> tuple[str, ...]:
    return ("openssl", "pkcs8", "-topk8", "-in", "KEY", "-out", "NEW", "-passout", "pass:x", *scheme)


KEYS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "SEC 1": (("openssl", "ec", "-in", "KEY", "-out", "NEW"), None),
    "encrypted": (_pkcs8(), None),
    "encrypted by 3DES": (_pkcs8("-v1", "PBE-SHA1-3DES"), f"in a way that is not read here(?s:.*){_ANEW}"),
    "encrypted in the old way": (
        ("openssl", "ec", "-in", "KEY", "-out", "NEW", "-aes128", "-passout", "pass:x"), f"old way(?s:.*){_ANEW}",
    ),
    "a certificate": (("cp", "CERTIFICATE", "NEW"), "there is none in it, but CERTIFICATE"),
    "OpenSSH's": (("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", "NEW"), "OpenSSH(?s:.*)ssh-keygen -p -m PKCS8"),
}  # fmt: skip


@pytest.mark.parametrize("form", KEYS)
def test_a_key_is_read_or_named_for_what_it_is(form: str, plain: str, tmp_path: Path) -> None:
    words, says = KEYS[form]
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs {words[0]}")
    shown = made(tmp_path, authority=True)
    files = {"KEY": str(shown.key_pem), "CERTIFICATE": str(shown.pem), "NEW": str(tmp_path / "new")}
    subprocess.run([files.get(word, word) for word in words], check=True, capture_output=True)
    password = "x" if "encrypted" in form else None
    given = holdfast.Tls(ca=shown.pem, cert=shown.pem, key=tmp_path / "new", key_password=password)
    with tls_front(plain, context(shown.pem, shown.key_pem, clients=shown.pem)) as front:
        if says is None:
            with holdfast.connect(front.address, tls=given) as dut:
                assert dut.control_processors()
            return
        with pytest.raises(exceptions.InvalidArgumentError, match=says):
            holdfast.connect(front.address, tls=given)


def test_a_wrong_password_is_no_other_way_of_encryption(plain: str, tmp_path: Path) -> None:
    shown = made(tmp_path)
    files = {"KEY": str(shown.key_pem), "NEW": str(tmp_path / "new")}
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    subprocess.run([files.get(word, word) for word in _pkcs8()], check=True, capture_output=True)
    with pytest.raises(exceptions.InvalidArgumentError, match="does not open with that password"):
        reach(plain, cert=shown.pem, key=tmp_path / "new", key_password="y")


@pytest.mark.parametrize("kind", ["p521", "rsa1024"])
def test_a_key_that_cannot_sign_here_is_not_called_another_certificates(kind: str, plain: str, tmp_path: Path) -> None:
    ours = made(tmp_path, kind=kind)
    with pytest.raises(exceptions.InvalidArgumentError, match="of a kind that cannot be used here") as caught:
        reach(plain, cert=ours.pem, key=ours.key_pem)
    assert "made for" not in str(caught.value)
    other = made(tmp_path, "other")
    with pytest.raises(exceptions.InvalidArgumentError, match="the one that the certificate was made for"):
        reach(plain, cert=ours.pem, key=other.key_pem)
