"""Arguments of `emulator` and `connect` that make no sense are told by their names, in both worlds and each way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import SubscribedPath, aio
from holdfast.exceptions import InvalidArgumentError

from conftest import RunSuite
from peers import command

SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"gnoi_port": 70000}, "gnoi_port=70000: give a number from 0 to 65535"),
    ({"inner_gnmi_port": "x"}, "inner_gnmi_port='x': give a number from 0 to 65535"),
    ({"seed": -1}, f"seed=-1: give a number from 0 to {2**64 - 1}"),
    ({"seed": True}, "seed=True: give a number"),
    ({"space": 1.5}, f"space=1.5: give a number from 0 to {2**64 - 1}"),
    ({"chunk_size": 0}, f"chunk_size=0: give a number from 1 to {2**31 - 1}"),
    ({"outage": -1}, "outage=-1: give seconds from 0 to"),
    ({"outage": float("nan")}, "outage=nan: give seconds"),
    ({"load": "1s"}, "load='1s': give seconds"),
    ({"boot": 1e300}, r"boot=1e\+300: give seconds"),
    ({"reboot": timedelta(days=400)}, "reboot=.*: give seconds"),
    ({"names": ("A",)}, "names=.*: it wants two names: A,B"),
    ({"names": "AB"}, "names='AB': it wants two names: A,B"),
    ({"names": (1, 2)}, "names=.*: it wants two names: A,B"),
    ({"quirks": "manifest-ids"}, "quirks='manifest-ids': give a list of texts"),
    ({"quirks": [1]}, r"quirks=\[1\]: give a list of texts"),
    ({"listen": 9339}, "listen=9339: give a text"),
    ({"profile": 3}, "profile=3: give a text"),
    ({"state": 3}, "state=3: give a folder"),
    ({"black_hole": "yes"}, "black_hole='yes': give True or False"),
    ({"tls": None}, "tls=None: give True, False, 'server' or 'mutual'"),
    ({"users": {1: "a password"}}, "users are names and passwords"),
]


@pytest.mark.parametrize("world", [holdfast, aio])
@pytest.mark.parametrize(("given", "says"), SETTINGS)
def test_a_setting_of_the_emulated_device_that_makes_no_sense(given: dict[str, Any], says: str, world: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        world.emulator(**given)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--gnoi-port", "70000"), "--gnoi-port 70000: give a number from 0 to 65535"),
        (("--gnoi-port", "-5"), "--gnoi-port -5: give a number from 0 to 65535"),
        (("--seed", "9" * 30), f"--seed {'9' * 30}: give a number from 0 to {2**64 - 1}"),
        (("--chunk-size", "0"), f"--chunk-size 0: give a number from 1 to {2**31 - 1}"),
        (("--user", "bob"), "--user bob: no password: set HOLDFAST_PASSWORD"),
    ],
)
def test_the_command_tells_it_by_the_options_name(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = command(tmp_path, "emulate", "--listen", "auto", *words, HOLDFAST_PASSWORD="")
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_tells_it_too(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", "--dut-emulator", "gnoi-port=70000")
    assert run.exit_code == 4, run.output
    assert (
        "--dut-emulator gnoi-port=70000: write KEY=VALUE; gnoi-port 70000: give a number from 0 to 65535" in run.output
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"silence": "x"}, "silence='x': give seconds"),
        ({"silence": -1}, "silence=-1: give seconds"),
        ({"dial_timeout": float("nan")}, "dial_timeout=nan: give seconds"),
        ({"deadlines": {"ready": -1}}, r"deadlines\['ready'\]=-1: give seconds"),
        ({"deadlines": {"ready": "soon"}}, r"deadlines\['ready'\]='soon': give seconds"),
        ({"deadlines": 5}, "deadlines=5: give a mapping of steps to seconds"),
    ],
)
def test_a_time_of_connect_that_is_none(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        holdfast.connect("127.0.0.1:1", insecure=True, **given)


@pytest.mark.parametrize("name", ["sample_interval", "heartbeat_interval"])
@pytest.mark.parametrize("given", [-1, "1s", float("inf"), timedelta(seconds=-1)])
def test_an_interval_of_a_path_that_is_none(name: str, given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name}=.*: give seconds"):
        SubscribedPath("/system", mode="SAMPLE", **{name: given})
