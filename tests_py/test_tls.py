"""TLS, mutual TLS and credentials: each way in which they fail has a name and says what to try."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

import holdfast
from holdfast import aio, exceptions

from conftest import RunSuite, emulate, isolated

SECRET = "s3cret-that-nobody-may-see"
QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")


@contextmanager
def encrypted(tls: bool | str = True, **settings: object) -> Iterator[tuple[holdfast.Emulator, holdfast.Tls]]:
    with holdfast.emulator(tls=tls, **settings) as chassis:  # type: ignore[arg-type]
        assert chassis.tls is not None
        yield chassis, chassis.tls


@pytest.mark.parametrize("black_hole", [False, True])
def test_a_failover_over_tls(black_hole: bool) -> None:
    with (
        encrypted(black_hole=black_hole) as (chassis, tls),
        holdfast.connect(chassis.address, tls=replace(tls, cert=None, key=None)) as dut,
    ):
        moved = dut.switchover(redundant=True)
        assert chassis.active == moved.target


def test_awaited() -> None:
    import asyncio

    async def use() -> str:
        async with aio.emulator(tls="mutual") as chassis, aio.connect(chassis.address, tls=chassis.tls) as dut:
            return (await dut.control_processors())[0].role

    assert asyncio.run(use()) == "PRIMARY"


@pytest.mark.parametrize(
    ("quirk", "error", "words"),
    [
        ("certificate-expired", exceptions.CertificateExpired, "renew it"),
        ("certificate-not-yet-valid", exceptions.CertificateNotYetValid, "clock"),
        ("certificate-for-another-name", exceptions.CertificateForAnotherName, "server_name=NAME"),
    ],
)
def test_a_certificate_that_is_not_right(quirk: str, error: type[exceptions.CertificateError], words: str) -> None:
    with encrypted(quirks=[quirk]) as (chassis, tls):
        with pytest.raises(error) as caught:
            holdfast.connect(chassis.address, tls=tls)
        assert words in str(caught.value)
        assert caught.value.device == chassis.address
        with holdfast.connect(chassis.address, tls=holdfast.Tls(skip_verify=True)) as dut:
            assert dut.control_processors()
        if quirk == "certificate-for-another-name":
            with holdfast.connect(chassis.address, tls=replace(tls, server_name="another.example")) as dut:
                assert dut.control_processors()


def test_a_signer_that_is_not_trusted(caplog: pytest.LogCaptureFixture) -> None:
    with encrypted() as (chassis, _), encrypted() as (_, other):
        for tls in (other, True, None):
            with pytest.raises(exceptions.CertificateUntrusted, match=r"Tls\(ca=FILE\)") as caught:
                holdfast.connect(chassis.address, tls=tls)
            assert isinstance(caught.value, exceptions.ConnectError)
        with holdfast.connect(chassis.address, tls=holdfast.Tls(skip_verify=True)):
            assert "whoever answers is trusted" in caplog.text


def test_mutual_tls_wants_our_certificate() -> None:
    with encrypted("mutual") as (chassis, tls), encrypted("mutual") as (_, other):
        with holdfast.connect(chassis.address, tls=tls) as dut:
            assert dut.control_processors()
        for ours in (replace(tls, cert=None, key=None), replace(tls, cert=other.cert, key=other.key)):
            with pytest.raises(exceptions.ClientCertificateRefused, match=r"Tls\(cert=FILE, key=FILE\)"):
                holdfast.connect(chassis.address, tls=ours)


def test_plaintext_and_tls_told_apart() -> None:
    with encrypted() as (chassis, tls), holdfast.emulator() as plain:
        with pytest.raises(exceptions.TlsExpected):
            holdfast.connect(chassis.address, insecure=True)
        with pytest.raises(exceptions.PlaintextExpected, match="insecure=True"):
            holdfast.connect(plain.address, tls=tls)


def test_an_encrypted_key(tmp_path: Path) -> None:
    with encrypted("mutual") as (chassis, tls):
        assert tls.key is not None
        key = serialization.load_pem_private_key(Path(tls.key).read_bytes(), None)
        file = tmp_path / "key.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(SECRET.encode()),
            )
        )
        with holdfast.connect(chassis.address, tls=replace(tls, key=file, key_password=SECRET)) as dut:
            assert dut.control_processors()
        for password, words in ((None, "key_password="), ("wrong" + SECRET, "does not open")):
            with pytest.raises(exceptions.InvalidArgumentError, match=words) as caught:
                holdfast.connect(chassis.address, tls=replace(tls, key=file, key_password=password))
            assert SECRET not in str(caught.value)
    assert SECRET not in repr(holdfast.Tls(key_password=SECRET))


def test_files_that_are_none(tmp_path: Path) -> None:
    with encrypted() as (chassis, tls), encrypted() as (_, other):
        garbage = tmp_path / "garbage.pem"
        garbage.write_text("no certificate at all")
        for wrong, words in (
            (replace(tls, ca=tmp_path / "absent.pem"), "No such file"),
            (replace(tls, ca=garbage), "no certificate in it"),
            (replace(tls, key=None), r"Tls\(key=FILE\)"),
            (replace(tls, cert=None), r"Tls\(cert=FILE\)"),
            (replace(tls, key=garbage), "no private key"),
            (replace(tls, key=other.key), "the key must be the one"),
        ):
            with pytest.raises(exceptions.InvalidArgumentError, match=words):
                holdfast.connect(chassis.address, tls=wrong)
        with pytest.raises(exceptions.InvalidArgumentError, match="one of them"):
            holdfast.connect(chassis.address, tls=tls, insecure=True)


def test_credentials_are_checked() -> None:
    with encrypted(users={"admin": SECRET}) as (chassis, tls):
        with holdfast.connect(chassis.address, tls=tls, username="admin", password=SECRET) as dut:
            assert dut.control_processors()
            assert SECRET not in repr(dut)
        with holdfast.connect(chassis.address, tls=tls, username="admin", password=lambda: SECRET) as dut:
            assert dut.control_processors()
        wrong = "check username= and password="
        for username, password, words in (
            ("admin", f"not {SECRET}", wrong),
            ("root", SECRET, wrong),
            ("admin", None, "try: no password was given: password="),
            (None, None, "try: neither a username nor a token was given: username= and password=, or token="),
        ):
            with (
                holdfast.connect(chassis.address, tls=tls, username=username, password=password) as dut,
                pytest.raises(exceptions.Unauthenticated, match=words) as caught,
            ):
                dut.control_processors()
            assert SECRET not in str(caught.value)


def test_the_suite_and_the_command_over_mutual_tls_with_credentials(run_suite: RunSuite, tmp_path: Path) -> None:
    """And the password is in nothing that they write."""
    folder = tmp_path / "tls"
    password = tmp_path / "password"
    password.write_text(SECRET + "\n")
    options = ["--dut-username", "admin", "--dut-ca", str(folder / "ca.pem")]
    options += ["--dut-cert", str(folder / "client.pem"), "--dut-key", str(folder / "client-key.pem")]
    served = ("--tls", str(folder), "--mutual", "--user", "admin")
    with emulate(tmp_path, *served, HOLDFAST_PASSWORD=SECRET) as address:
        assert (folder / "client-key.pem").stat().st_mode & 0o777 == 0o600
        run = run_suite(
            "-k",
            "cntr3_1 or cntr3_2",
            "--dut",
            address,
            *options,
            *QUICK,
            "-vv",
            "--showlocals",
            HOLDFAST_PASSWORD=SECRET,
        )
        assert run.exit_code == 0, run.output
        assert "2 passed" in run.output
        wrong = run_suite(
            "-k", "cntr3_1", "--dut", address, *options, "--showlocals", HOLDFAST_PASSWORD=f"not {SECRET}"
        )
        assert wrong.exit_code == 3
        assert "UNAUTHENTICATED" in wrong.output
        command = [sys.executable, "-m", "holdfast.cli", "--json", "--dut", address, *options]
        told = subprocess.run(
            [*command, "--dut-password-file", str(password), "roles"],
            env=isolated(tmp_path, {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert {cp["role"] for cp in json.loads(told.stdout)} == {"PRIMARY", "SECONDARY"}
    for text in (run.output, wrong.output, told.stdout, told.stderr):
        assert SECRET not in text
    written = (path for path in tmp_path.rglob("*") if path.is_file() and path != password)
    assert all(SECRET.encode() not in path.read_bytes() for path in written)


def test_options_that_contradict_each_other(run_suite: RunSuite, tmp_path: Path) -> None:
    run = run_suite("-k", "cntr3_1", "--dut", "127.0.0.1:1", "--dut-insecure", "--dut-skip-verify")
    assert run.exit_code == 4
    assert "give one of them" in run.output
    with emulate(tmp_path, "--tls", str(tmp_path / "tls")) as address:
        run = run_suite("-k", "cntr3_1", "--dut", address, "--dut-skip-verify", *QUICK)
        assert run.exit_code == 0, run.output
        assert "NOT VERIFIED" in run.output
