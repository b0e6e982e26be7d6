"""A setting that would help has the name that whoever reads of it knows: in Python, in pytest, as a command."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from test_options import command
from test_tls import encrypted

import holdfast
from holdfast import _core, exceptions, options
from holdfast.exceptions import HoldfastError
from holdfast.remedies import REMEDIES, FrontEnd, advice

from conftest import RunSuite
from defects import QUICK

ROOT = Path(__file__).parent.parent
FRONT_ENDS: tuple[FrontEnd, ...] = ("python", "pytest", "command")


def words(front_end: FrontEnd) -> list[str]:
    return [getattr(found, front_end) for found in REMEDIES.values()]


def test_every_remedy_has_its_words_in_each_front_end() -> None:
    assert list(REMEDIES) == _core.remedies()
    for front_end in FRONT_ENDS:
        assert all(words(front_end))


def test_python_is_told_of_what_connect_takes() -> None:
    taking = (holdfast.connect, holdfast.Tls, holdfast.Containerz.deploy)
    known = {name for takes in taking for name in inspect.signature(takes).parameters}
    for said in words("python"):
        assert "--" not in said
        named = set(re.findall(r"\b(\w+)=", said))
        assert named, said
        assert named <= known, said


@pytest.mark.parametrize("front_end", ["pytest", "command"])
def test_pytest_and_the_command_are_told_of_options_that_they_have(front_end: FrontEnd) -> None:
    known = {option.name for option in options.ALL if front_end == "pytest" or option.command}
    known |= {"platform"} if front_end == "command" else set()  # an option of `holdfast deploy` alone
    for said in words(front_end):
        named = set(re.findall(r"--([\w-]+)", said))
        assert named, said
        assert named <= known, said


def test_the_options_and_the_arguments_set_the_same() -> None:
    for found in REMEDIES.values():
        arguments = {
            options.BY_NAME[name].argument.removeprefix("tls.")
            for name in re.findall(r"--([\w-]+)", found.pytest)
            if options.BY_NAME[name].argument
        }
        named = set(re.findall(r"\b(\w+)=", found.python)) - {"tls"}
        assert arguments <= named, found


def test_the_core_names_no_option() -> None:
    sources = [*ROOT.glob("src/**/*.rs"), *ROOT.glob("crates/**/*.rs")]
    assert len(sources) > 100
    assert [file for file in sources if "--dut" in file.read_text(encoding="utf-8")] == []


def test_a_hint_leads_up_to_its_remedy() -> None:
    assert advice(None, None, "python") is None
    assert advice("look at it", None, "command") == "look at it"
    assert advice(None, "tls", "pytest") == "leave --dut-insecure out"
    assert advice("ask for plaintext", "plaintext", "python") == "ask for plaintext: insecure=True"
    assert advice("give it longer", "ready-deadline", "pytest") == "give it longer: --dut-deadline ready=…"


def test_an_error_and_what_it_came_from_are_worded_together() -> None:
    cause = exceptions.CertificateUntrusted("nobody signed it", hint="say who did", remedy="certificate-authority")
    error = exceptions.TestbedError("rack1")
    error.__cause__, cause.__context__ = cause, error
    assert (
        str(cause)
        == "nobody signed it\n  try: say who did: tls=holdfast.Tls(ca=FILE); skip_verify=True there trusts anybody"
    )
    exceptions.word_for(error, "pytest")
    assert "try: say who did: --dut-ca FILE" in str(cause)


def test_who_connects_from_python_is_told_of_its_arguments() -> None:
    with encrypted() as (chassis, _), pytest.raises(exceptions.CertificateUntrusted) as caught:
        holdfast.connect(chassis.address)
    assert caught.value.remedy == "certificate-authority"
    assert str(caught.value.hint).startswith("give the certificate of who signed it: ")
    assert "ca=FILE" in str(caught.value)
    assert "--dut" not in str(caught.value)


def test_what_pytest_cannot_reach_is_told_of_its_options(run_suite: RunSuite) -> None:
    with encrypted() as (chassis, _):
        run = run_suite("-k", "cntr3_1", "--dut", chassis.address, *QUICK)
        assert "try: give the certificate of who signed it: --dut-ca FILE" in run.output
        assert "Tls(" not in run.output


@pytest.mark.parametrize(
    ("username", "said"),
    [
        (("--dut-username", "admin"), "try: no password was given: set HOLDFAST_PASSWORD"),
        ((), "try: neither a username nor a token was given: --dut-username NAME and HOLDFAST_PASSWORD"),
    ],
)
def test_who_gave_no_password_is_told_that_none_was_given(
    run_suite: RunSuite, tmp_path: Path, username: tuple[str, ...], said: str
) -> None:
    with holdfast.emulator(users={"admin": "s3cret"}) as chassis:
        way = ("--dut", chassis.address, "--dut-insecure", *username)
        run = run_suite("-k", "cntr3_1", *way, *QUICK)
        assert said in run.output
        done = command(tmp_path, *way, "roles")
        assert said in done.stderr
        wrong = command(tmp_path, *way, "roles", HOLDFAST_PASSWORD="other", HOLDFAST_USERNAME="admin")
        assert "no password was given" not in wrong.stderr


MINE = """
from holdfast.exceptions import SwitchoverNotReady

def never_ready():
    raise SwitchoverNotReady("never ready", hint="give it longer", remedy="ready-deadline")

def test_device(dut):
    never_ready()

def test_step(holdfast_case):
    with holdfast_case.depth("ready"):
        never_ready()

def test_alone():
    never_ready()
"""


def test_what_befalls_the_device_of_pytest_is_told_of_its_options(run_suite: RunSuite, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "test_mine.py").write_text(MINE)
    told = run_suite("test_mine.py").cases
    assert "give it longer: --dut-deadline ready=…" in told["test_device"].message
    assert "give it longer: --dut-deadline ready=…" in told["test_step"].message
    assert "give it longer: deadlines={'ready': SECONDS}" in told["test_alone"].message


def test_what_the_command_cannot_reach_is_told_of_its_options(tmp_path: Path) -> None:
    with encrypted() as (chassis, _):
        for verb in ("roles", "doctor"):
            run = command(tmp_path, "--dut", chassis.address, verb)
            assert run.returncode == 3
            assert "try: give the certificate of who signed it: --dut-ca FILE" in run.stdout + run.stderr
            assert "Tls(" not in run.stdout + run.stderr


def test_an_error_of_the_command_without_a_remedy_keeps_its_hint() -> None:
    assert HoldfastError("no", hint="yes").advice("command") == "yes"
    assert HoldfastError("no").advice("command") is None
