"""One option, one row: front ends and docs come from the table, and flags mean the same everywhere."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import holdfast
from holdfast import aio, arguments, choices, options, storage
from holdfast._connect import Connection
from holdfast._emulator import Chassis
from holdfast.cli import main
from holdfast.exceptions import ExpectationFailed, InvalidArgumentError, RpcError

from conftest import RunSuite, isolated
from peers import command

NO = ("0", "no", "No", "NO", "false", "FALSE", "off", "n", "f", "")
YES = ("1", "yes", "YES", "true", "True", "on", "y", "t")


def test_words_for_yes_and_no() -> None:
    assert not any(options.flag(word, "X") for word in NO)
    assert all(options.flag(word, "X") for word in YES)
    for word in ("maybe", "2", "nope", "--"):
        with pytest.raises(InvalidArgumentError, match=f"HOLDFAST_DUT_INSECURE={word}: that is neither yes nor no"):
            options.flag(word, "HOLDFAST_DUT_INSECURE")


@pytest.mark.parametrize("word", ["0", "no", "False", "OFF", ""])
def test_a_flag_that_says_no_in_the_environment_is_off_with_the_command(
    word: str, tmp_path: Path, chassis_of_test: holdfast.Emulator
) -> None:
    plaintext = command(tmp_path, "--dut", chassis_of_test.address, "roles", HOLDFAST_DUT_INSECURE=word)
    assert plaintext.returncode == 3, "TLS is the default, and the device speaks plaintext"
    with holdfast.emulator(tls=True) as encrypted:
        verified = command(tmp_path, "--dut", encrypted.address, "roles", HOLDFAST_DUT_SKIP_VERIFY=word)
    assert verified.returncode == 3
    assert "NOT VERIFIED" not in verified.stderr


def test_a_flag_that_says_yes_in_the_environment_is_on(tmp_path: Path, chassis_of_test: holdfast.Emulator) -> None:
    told = {"HOLDFAST_DUT": chassis_of_test.address, "HOLDFAST_DUT_INSECURE": "Yes"}
    done = command(tmp_path, "roles", **told, HOLDFAST_DUT_SKIP_VERIFY="no")
    assert done.returncode == 0, done.stderr


def test_a_flag_that_says_neither_is_a_usage_error(tmp_path: Path, run_suite: RunSuite) -> None:
    done = command(tmp_path, "--dut", "127.0.0.1:1", "roles", HOLDFAST_DUT_INSECURE="maybe")
    assert done.returncode == 2
    assert "HOLDFAST_DUT_INSECURE=maybe" in done.stderr
    run = run_suite("-k", "cntr3_1", HOLDFAST_DUT_SKIP_VERIFY="perhaps")
    assert run.exit_code == 4
    assert "HOLDFAST_DUT_SKIP_VERIFY=perhaps" in run.output
    (tmp_path / "empty" / "pytest.ini").write_text("[pytest]\nholdfast_dut_insecure = perhaps\n")
    run = run_suite("-k", "cntr3_1")
    assert run.exit_code == 4
    assert "holdfast_dut_insecure=perhaps" in run.output


def test_plaintext_and_a_tls_option_that_is_off_do_not_contradict(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", "--dut-insecure", "--dut-plan", HOLDFAST_DUT_SKIP_VERIFY="0")
    assert run.exit_code == 0, run.output


@pytest.mark.parametrize(("word", "keeps"), [("no", None), ("yes", "always"), ("failed", "failed")])
def test_what_to_keep_is_read_as_a_flag_too(word: str, keeps: str | None) -> None:
    assert options.BY_NAME["dut-keep"].read(word, "HOLDFAST_DUT_KEEP") == keeps


@pytest.mark.parametrize("words", [("--json", "--dut-insecure", "roles"), ("roles", "--json", "--dut-insecure")])
def test_options_of_the_device_stand_before_the_command_or_after_it(
    words: tuple[str, ...], chassis_of_test: holdfast.Emulator
) -> None:
    for given in ((*words, "--dut", chassis_of_test.address), ("--dut", chassis_of_test.address, *words)):
        done = CliRunner().invoke(main, given)
        assert done.exit_code == 0, done.output
        assert len(json.loads(done.output)) == 2


def test_what_stands_after_the_command_goes_first(chassis_of_test: holdfast.Emulator) -> None:
    given = ("--dut", "127.0.0.1:1", "--dut-insecure", "roles", "--dut", chassis_of_test.address)
    assert CliRunner().invoke(main, given).exit_code == 0


def test_every_command_takes_the_options_of_the_device_after_it() -> None:
    for name, known in main.commands.items():
        if name not in ("run", "emulate", "storage", "provider", "lab", "ledger"):
            names = {word for parameter in known.params for word in parameter.opts}
            assert {f"--{option.name}" for option in options.ALL if option.command} <= names, name


def test_help_tells_the_environment_variables(run_suite: RunSuite) -> None:
    told = CliRunner().invoke(main, ["--help"]).output
    helped = re.sub(r"\s+", " ", run_suite("--help").output)
    for option in options.ALL:
        if option.command:
            assert f"[{option.variable}]" in told
        assert f"--{option.name}" in helped
        assert (f"[{option.variable}]" in helped) is not option.typed_only, option.name


def test_the_command_loads_no_core_at_its_start(tmp_path: Path) -> None:
    script = "import sys, holdfast.cli\nassert not {'holdfast._core', 'pytest'} & set(sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", script], env=isolated(tmp_path, {}), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("connect", [holdfast.connect, aio.connect])
def test_options_of_connect_are_in_the_table(connect: Callable[..., object]) -> None:
    arguments = {option.argument.partition(".")[0] for option in options.ALL if option.argument}
    known = set(inspect.signature(connect).parameters)
    assert arguments <= known
    assert known - arguments == {"name", "dial_timeout", "call_timeout"}, "said in Python alone"
    fields = {option.argument.removeprefix("tls.") for option in options.ALL if option.argument.startswith("tls.")}
    assert fields == set(inspect.signature(holdfast.Tls).parameters)


@pytest.mark.parametrize("emulator", [holdfast.emulator, aio.emulator])
def test_settings_of_the_emulator_are_in_the_table(emulator: Callable[..., object]) -> None:
    known = set(inspect.signature(emulator).parameters)
    assert known - {setting.parameter for setting in options.SETTINGS} == {"tls", "certificates", "users"}
    assert {setting.parameter for setting in options.SETTINGS} <= known


def test_both_worlds_offer_the_same_emulator() -> None:
    def members(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert members(holdfast.Emulator) == members(aio.Emulator)


def test_the_docs_tables_are_what_the_table_says() -> None:
    script = Path(__file__).parent.parent / "docs" / "options_tables.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_setting_of_the_emulated_device_that_is_not_known_names_the_nearest(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", "--dut-emulator", "outtage=2s")
    assert run.exit_code == 4
    assert "did you mean outage?" in run.output


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [(arguments.ConnectOptions, Connection), (arguments.EmulatorArguments, Chassis)],
)
def test_what_is_asked_for_is_what_is_kept(arguments: type, kept: type) -> None:
    assert set(arguments.__annotations__) | {"address"} == {field.name for field in fields(kept)} | {"address"}


@pytest.mark.parametrize("world", [holdfast, aio])
def test_an_argument_that_there_is_not_is_told_as_python_tells_it(world: Any) -> None:
    with pytest.raises(TypeError, match=r"^connect\(\) got an unexpected keyword argument 'gnio'$"):
        world.connect("r1", gnio="r1")
    with pytest.raises(TypeError, match=r"^emulator\(\) got an unexpected keyword argument 'outtage'$"):
        world.emulator(outtage=2)
    shown = inspect.signature(world.connect).parameters
    assert list(shown)[:2] == ["address", "gnoi"]
    assert (shown["insecure"].default, shown["profile"].default) == (False, "generic")
    assert inspect.signature(world.emulator).parameters["listen"].default == "auto"


def test_the_core_takes_the_words_of_each_choice_and_no_other(device: holdfast.Device) -> None:
    containerz, lab = device.containerz, storage.emulated()
    asks: dict[Any, Callable[[Any], object]] = {
        choices.Location: lambda word: containerz.start("x", image="none:v1", location=word),
        choices.RemoteProtocol: lambda word: containerz.deploy_remote("none:v1", "x://y", protocol=word),
        choices.VolumeDriver: lambda word: containerz.create_volume(f"v-{word}", driver=word),
        choices.StreamMode: lambda word: device.gnmi.stream("/x", mode=word, interval=1 if word == "SAMPLE" else None),
        choices.StorageFault: lab.lacks,
        choices.VolumeAccess: lambda word: lab.create(lab.nodes()[0], f"v{word}", 1 << 20, access=word),
        choices.TaskStage: lambda word: lab.run(lab.create(lab.nodes()[0], word, 1 << 20), lab.nodes()[0], stage=word),
    }
    try:
        for choice, ask in asks.items():
            for word in choices.words(choice):
                with contextlib.suppress(RpcError, ExpectationFailed):
                    ask(word)
            with pytest.raises(InvalidArgumentError) as caught:
                ask("otherwise")
            assert all(word in str(caught.value) for word in choices.words(choice)), choice
    finally:
        lab.close()


@pytest.mark.parametrize(("given", "means"), [("black-hole", True), ("black-hole=yes", True), ("black-hole=no", False)])
def test_a_flag_of_the_emulated_device_needs_no_value(given: str, means: bool) -> None:
    name, equals, said = given.partition("=")
    setting = next(setting for setting in options.SETTINGS if setting.name == name)
    assert setting.read_said(said if equals else None, name) is means


@pytest.mark.parametrize("given", ["black-hole=", "outage", "outage=", "quirk", "names", "gnoi-port="])
def test_a_setting_of_the_emulated_device_without_its_value_is_a_usage_error(given: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", "--dut-emulator", given)
    assert run.exit_code == 4, run.output
    assert f"--dut-emulator {given}: write KEY=VALUE" in run.output


def test_what_to_keep_says_what_it_may_be(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", HOLDFAST_DUT_KEEP="bad")
    assert run.exit_code == 4
    assert "HOLDFAST_DUT_KEEP=bad: give always, failed or no" in run.output


def test_what_the_command_is_given_wrong_is_told_by_the_name_of_the_option(tmp_path: Path) -> None:
    done = command(tmp_path, "--dut", "127.0.0.1:1", "--dut-insecure", "--dut-silence", "abc", "roles")
    assert done.returncode == 2
    assert "--dut-silence abc: give a time such as 5s" in done.stderr
    done = command(tmp_path, "--dut", "127.0.0.1:1", "--dut-insecure", "--dut-silence", "0", "roles")
    assert done.returncode == 2
    assert "--dut-silence 0: give a time such as 5s" in done.stderr
    long = command(tmp_path, "--dut", "127.0.0.1:1", "--dut-insecure", "--dut-silence", "9" * 400, "roles")
    assert long.returncode == 2
    assert "--dut-silence: that is longer than a year" in long.stderr
    done = command(tmp_path, "--dut", "127.0.0.1:1", "--dut-insecure", "--dut-server-name", "x", "roles")
    assert done.returncode == 2
    assert "--dut-server-name is for TLS" in done.stderr


# What is typed, what the environment says to the contrary, and what is heeded.
CONTRARY = [
    (("--dut", "{address}", "--dut-insecure"), {"HOLDFAST_TESTBED": "absent.yaml"}),
    (("--testbed", "{testbed}"), {"HOLDFAST_DUT": "127.0.0.1:1"}),
    (("--dut", "{address}", "--dut-insecure"), {"HOLDFAST_DUT_CA": "absent.pem", "HOLDFAST_DUT_SKIP_VERIFY": "1"}),
    (("--dut", "{encrypted}", "--dut-skip-verify"), {"HOLDFAST_DUT_INSECURE": "1"}),
]


@pytest.mark.parametrize(("words", "environment"), CONTRARY)
def test_what_is_typed_goes_before_what_the_environment_says_to_the_contrary(
    words: tuple[str, ...], environment: dict[str, str], tmp_path: Path, run_suite: RunSuite
) -> None:
    with holdfast.emulator() as plain, holdfast.emulator(tls=True) as encrypted:
        (tmp_path / "lab.yaml").write_text(f"devices: {{a: {{address: '{plain.address}', insecure: true}}}}\n")
        places = {"address": plain.address, "encrypted": encrypted.address, "testbed": tmp_path / "lab.yaml"}
        typed = [word.format(**places) for word in words]
        done = command(tmp_path, *typed, "roles", **environment)
        assert done.returncode == 0, done.stderr
        run = run_suite("-k", "cntr3_1", *typed, "--dut-plan", **environment)
        assert run.exit_code == 0, run.output
        (tmp_path / "empty" / "pytest.ini").write_text("[pytest]\nholdfast_dut_insecure = yes\nholdfast_dut = x:1\n")
        run = run_suite("-k", "cntr3_1", *typed, "--dut-plan", **environment)
        assert run.exit_code == 0, run.output


def test_what_is_said_at_the_same_place_still_contradicts(tmp_path: Path, run_suite: RunSuite) -> None:
    both = {"HOLDFAST_DUT": "127.0.0.1:1", "HOLDFAST_TESTBED": str(tmp_path)}
    assert command(tmp_path, "roles", **both).returncode == 2
    assert run_suite("-k", "cntr3_1", **both).exit_code == 4
    assert run_suite("-k", "cntr3_1", "--dut", "127.0.0.1:1", "--dut-insecure", "--dut-ca", "x").exit_code == 4


@pytest.mark.parametrize("name", [name for name in options.VARIABLES if name.startswith("HOLDFAST_")])
def test_the_variables_of_the_environment_are_told(name: str) -> None:
    assert name in CliRunner().invoke(main, ["--help"]).output


def test_the_emulated_device_of_the_command_reads_its_quirks_from_the_environment(tmp_path: Path) -> None:
    done = command(tmp_path, "emulate", "--listen", "auto", HOLDFAST_QUIRKS="joined-image-row")
    assert done.returncode == 2
    assert "there is no quirk 'joined-image-row'" in done.stderr
    assert "did you mean joined-image-rows?" in done.stderr


def test_a_quirk_that_is_not_known_names_the_nearest_and_not_all(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", "--dut-emulator", "quirk=joined-image-row")
    assert run.exit_code == 4
    assert "did you mean joined-image-rows?" in run.output
    with pytest.raises(InvalidArgumentError, match="`holdfast quirks` lists them"):
        holdfast.emulator(quirks=["zzz"])


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--dut-inner", "hots=x"), "inner has no 'hots'"), (("--testbed", "lab.yaml"), "a device has no 'adress'")],
)
def test_what_a_testbed_says_wrong_is_a_usage_error_and_no_error_of_collection(
    words: tuple[str, ...], told: str, tmp_path: Path, run_suite: RunSuite
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "lab.yaml").write_text("devices: {a: {adress: x}}\n")
    run = run_suite("-k", "cntr3", "--dut-insecure", *words)
    assert run.exit_code == 4, run.output
    assert told in run.output
    assert "Interrupted" not in run.output


@pytest.mark.parametrize("option", ["--dut-ca", "--dut-cert", "--dut-key"])
def test_a_file_of_tls_that_is_not_there_is_told_by_its_option(option: str, tmp_path: Path) -> None:
    done = command(tmp_path, "--dut", "127.0.0.1:1", option, "absent.pem", "roles")
    assert done.returncode == 2
    assert f"{option}: absent.pem does not exist" in done.stderr
