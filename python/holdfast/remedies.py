"""What each front end says of a setting that would help: the core names the setting by a word, its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

FrontEnd: TypeAlias = Literal["python", "pytest", "command"]


@dataclass(frozen=True)
class RemedyWords:
    """How those who use `holdfast` from Python, from pytest, and as a command give the setting."""

    python: str
    pytest: str
    command: str


def _words(python: str, options: str) -> RemedyWords:
    """Where pytest and the command have the same options."""
    return RemedyWords(python, options, options)


# By what `holdfast._core.remedies` lists. The options are those of `holdfast.options`.
REMEDIES = {
    "plaintext": _words("insecure=True", "--dut-insecure"),
    "tls": _words("leave insecure=True out", "leave --dut-insecure out"),
    "certificate-authority": _words(
        "tls=holdfast.Tls(ca=FILE); skip_verify=True there trusts anybody",
        "--dut-ca FILE; --dut-skip-verify trusts anybody",
    ),
    "client-certificate": _words("tls=holdfast.Tls(cert=FILE, key=FILE)", "--dut-cert FILE --dut-key FILE"),
    "certificate": _words("tls=holdfast.Tls(cert=FILE)", "--dut-cert FILE"),
    "key": _words("tls=holdfast.Tls(key=FILE)", "--dut-key FILE"),
    "key-password": _words(
        "tls=holdfast.Tls(key_password=TEXT)", "HOLDFAST_KEY_PASSWORD or --dut-key-password-file FILE"
    ),
    "server-name": _words("tls=holdfast.Tls(server_name=NAME)", "--dut-server-name NAME"),
    "skip-verify": _words("tls=holdfast.Tls(skip_verify=True)", "--dut-skip-verify"),
    "pin-certificate": _words(
        "tls=holdfast.Tls(ca=FILE); skip_verify=True there trusts anybody",
        "--dut-ca FILE; --dut-skip-verify trusts anybody",
    ),
    "proxy": _words("proxy='http://USER:PASSWORD@HOST:PORT'", "--dut-proxy http://USER:PASSWORD@HOST:PORT"),
    "credentials": _words(
        "check username= and password=, or token=",
        "check --dut-username and HOLDFAST_PASSWORD, or HOLDFAST_TOKEN",
    ),
    "login": _words(
        "username= and password=, or token=",
        "--dut-username NAME and HOLDFAST_PASSWORD, or HOLDFAST_TOKEN; in a --testbed: username and password_env",
    ),
    "password": _words(
        "password=", "set HOLDFAST_PASSWORD, or give --dut-password-file FILE; in a --testbed: password_env"
    ),
    "platform": RemedyWords("platform='linux/amd64'", "--dut-platform linux/amd64", "--platform linux/amd64"),
    "ready-deadline": RemedyWords(
        "deadlines={'ready': SECONDS}", "--dut-deadline ready=…", "deadlines: {ready: …} of the device in a --testbed"
    ),
}


def advice(hint: str | None, remedy: str | None, front_end: FrontEnd) -> str | None:
    """What to try: the hint, which leads up to the remedy where there is one; None where there is neither."""
    words = getattr(REMEDIES[remedy], front_end) if remedy else None
    return ": ".join(part for part in (hint, words) if part) or None
