"""A secret is in no traceback, report, log or file, whatever fails while it is held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast import exceptions
from holdfast.secret import Secret, first_line, hidden
from holdfast.testbed.textproto import TextprotoError, parse

from conftest import isolated

PLANTED = "pl4nted-w0rd"

# Each fails with the secret in its hands; the source shows only where it came from.
FAILING = '''
import asyncio
import functools
import os
from pathlib import Path

import pytest

import holdfast
from holdfast import aio, cli, testbed

NOWHERE = {"insecure": True, "username": "admin", "dial_timeout": 0.2}
HERE = Path(__file__).parent


def planted():
    return os.environ["PLANTED"]


def written(name, text):
    (HERE / name).write_text(text.replace("@", os.environ["PLANTED"]))
    return HERE / name


def test_nothing_answers():
    holdfast.connect("127.0.0.1:1", password=os.environ["PLANTED"], **NOWHERE)


def test_of_a_function():
    holdfast.connect("127.0.0.1:1", password=planted, **NOWHERE)


def test_a_function_that_fails():
    holdfast.connect("127.0.0.1:1", password=functools.partial(int, os.environ["PLANTED"] and "x"), **NOWHERE)


def test_bytes():
    holdfast.connect("127.0.0.1:1", password=os.environ["PLANTED"].encode(), **NOWHERE)


def test_no_username():
    holdfast.connect("127.0.0.1:1", password=os.environ["PLANTED"], insecure=True)


def test_no_such_profile():
    holdfast.connect("127.0.0.1:1", password=os.environ["PLANTED"], profile="none", **NOWHERE)


def test_tls_that_says_nothing():
    holdfast.connect("127.0.0.1:1", password=os.environ["PLANTED"], tls=False, username="admin")


def test_awaited():
    async def use():
        await aio.connect("127.0.0.1:1", password=os.environ["PLANTED"], **NOWHERE)

    asyncio.run(use())


def test_awaited_in_a_context():
    async def use():
        async with aio.connect("127.0.0.1:1", password=os.environ["PLANTED"], **NOWHERE):
            pass

    asyncio.run(use())


def test_key():
    tls = holdfast.Tls(cert=HERE / "cert.pem", key=HERE / "key.pem", key_password=os.environ["PLANTED"])
    holdfast.connect("127.0.0.1:1", tls=tls)


def test_refused():
    with holdfast.emulator(users={"admin": "another"}) as chassis:
        with holdfast.connect(chassis.address, insecure=True, username="admin", password=planted) as dut:
            dut.control_processors()


def test_emulator():
    holdfast.emulator(listen="nowhere", users={"admin": os.environ["PLANTED"]})


def test_emulator_with_pairs():
    holdfast.emulator(users=[("admin", os.environ["PLANTED"])])


def test_emulator_with_bytes():
    holdfast.emulator(users={"admin": os.environ["PLANTED"].encode()})


def test_awaited_emulator():
    async def use():
        await aio.emulator(listen="nowhere", users={"admin": os.environ["PLANTED"]})

    asyncio.run(use())


def test_testbed_with_a_password():
    testbed.read(written("own.yaml", "devices: {r1: {address: a, password: '@'}}"))


def test_testbed_that_is_no_yaml():
    testbed.read(written("broken.yaml", "devices:\\n  r1: {address: a\\n    password: @: x\\n"))


def test_testbed_with_an_alias():
    testbed.read(written("alias.yaml", "devices: {r1: {address: a, password: *@}}"))


def test_testbed_with_a_tag():
    testbed.read(written("tag.yaml", "devices: {r1: {address: a, password: !@ x}}"))


PYATS = """
devices:
  r1:
    credentials: {default: {username: admin, password: "@"}}
    connections: {gnmi: {protocol: gnmi, %s, insecure: true}}
"""


def test_pyats_testbed():
    (target,) = testbed.read(written("pyats.yaml", PYATS % "ip: 127.0.0.1, port: 1"))
    target.connect()


def test_pyats_testbed_without_a_host():
    testbed.read(written("pyats2.yaml", PYATS % "port: 1"))


def test_pyats_testbed_with_a_markup():
    (target,) = testbed.read(written("pyats3.yaml", PYATS.replace("@", "%%ENC{@}") % "ip: 127.0.0.1, port: 1"))
    target.connect()


def test_binding():
    (target,) = testbed.read(written("a.textproto", """
        duts { id: "r1" name: "127.0.0.1:1" options { username: "admin" password: "@" insecure: true } }"""))
    target.connect()


@pytest.mark.parametrize("text", [
    """duts { options { password: "@" } gnmi { } }""",
    """duts { id: "r1" name: "a" options { password "@" } }""",
    """duts { id: "r1" name: "a" options { password @ } }""",
    """duts { id: "r1" name: "a" options { password: "@ } }""",
    """duts { id: "r1" name: "a" options { password: %@ } }""",
], ids=str.__len__)
def test_binding_that_is_wrong(text):
    testbed.read(written("b.textproto", text))


def test_password_file_that_is_no_text(request):
    (HERE / "password").write_bytes(os.environ["PLANTED"].encode() + b"\\xff")
    (HERE / "lab.yaml").write_text("devices: {r1: {address: '127.0.0.1:1', username: a, password_file: password}}")
    (target,) = testbed.read(HERE / "lab.yaml")
    target.connect()


def test_command(monkeypatch):
    monkeypatch.setitem(os.environ, "HOLDFAST_PASSWORD", os.environ["PLANTED"])
    words = ["--dut", "127.0.0.1:1", "--dut-insecure", "--dut-username", "admin", "roles"]
    cli.main.main(words, standalone_mode=False, prog_name="holdfast")
    raise AssertionError("it told so itself")


def test_command_with_a_key(monkeypatch):
    monkeypatch.setitem(os.environ, "HOLDFAST_KEY_PASSWORD", os.environ["PLANTED"])
    words = ["--dut", "127.0.0.1:1", "--dut-cert", "c", "--dut-key", "k", "roles"]
    cli.main.main(words, standalone_mode=False, prog_name="holdfast")
    raise AssertionError("it told so itself")


def test_suite(monkeypatch):
    from holdfast.integrations import suites

    target = testbed.Target("r1", "127.0.0.1:1", username="admin", password=planted, insecure=True)
    suites.run(target, "cntr3_1")


def test_fixture(dut):
    pass
'''


def test_no_failure_shows_a_planted_secret(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_failing.py").write_text(FAILING)
    place = tmp_path / "reports"
    place.mkdir()
    (folder / "two.yaml").write_text(
        "defaults: {address: '127.0.0.1:1', username: admin, password_env: PLANTED, insecure: true}\n"
        "devices: {r1: {}, r2: {}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--showlocals", "-vv", "--tb=long", f"--junitxml={place}/report.xml",
         f"--testbed={folder}/two.yaml", f"--dut-artifacts={place}/artifacts", f"--dut-report={place}/run.html",
         "-p", "no:cacheprovider", "test_failing.py"],
        cwd=folder, env=isolated(tmp_path, {"PLANTED": PLANTED}),
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert "32 failed, 2 errors" in done.stdout, done.stdout
    assert PLANTED not in done.stdout + done.stderr
    kept = [path for path in [*place.rglob("*"), *(tmp_path / "state").rglob("*")] if path.is_file()]
    assert any(path.name == "report.xml" for path in kept)
    assert [path for path in kept if PLANTED in path.read_text(errors="replace")] == []


def test_a_secret_is_shown_by_reveal_alone() -> None:
    secret = Secret(PLANTED)
    assert secret.reveal() == PLANTED
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r}", repr({"password": secret})):
        assert PLANTED not in shown
    assert secret == Secret(PLANTED)
    assert secret != Secret("another")
    assert Secret.of(None) is None
    assert Secret.of(secret) is secret
    with pytest.raises(exceptions.InvalidArgumentError, match="type bytes") as caught:
        Secret(PLANTED.encode()).reveal()
    assert PLANTED not in str(caught.value)


def test_a_function_is_called_once_for_a_password() -> None:
    calls = []

    def password() -> str:
        calls.append(1)
        return PLANTED

    with holdfast.emulator(users={"admin": PLANTED}) as chassis:
        for profile in ("generic", "auto"):
            calls.clear()
            with holdfast.connect(
                chassis.address, insecure=True, username="admin", password=password, profile=profile
            ) as dut:
                assert len(dut.control_processors()) == 2
            assert calls == [1]


def test_mappings_hide_what_they_call_a_secret() -> None:
    given = {"password_env": "NAME", "default": {"username": "a", "password": 1234}, "all": [{"token": "t"}]}
    assert hidden(given) == {
        "password_env": "NAME",
        "default": {"username": "a", "password": Secret("1234")},
        "all": [{"token": Secret("t")}],
    }


def test_a_secrets_file_has_its_secret_in_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for held, wanted in ((f"{PLANTED}\r\nmore\n", PLANTED), ("", ""), (" a b ", " a b ")):
        file.write_bytes(held.encode())
        assert first_line(file).reveal() == wanted


TORN = [
    f'password "{PLANTED}"',
    f'password: "{PLANTED}',
    f"password: b c {PLANTED}",
    f"password: &{PLANTED}",
]


@pytest.mark.parametrize("text", TORN)
def test_a_text_format_that_is_wrong_is_not_quoted(text: str) -> None:
    with pytest.raises(TextprotoError, match="line 1") as caught:
        parse(text)
    assert PLANTED not in str(caught.value)
