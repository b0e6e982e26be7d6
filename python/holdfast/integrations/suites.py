"""The shipped suites on one device, from inside another framework: in a process of their own, and read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from holdfast.exceptions import HoldfastError
from holdfast.report.account import RunAccount, read
from holdfast.secret import Secret
from holdfast.testbed.target import Target

TOKEN, PROXY, METADATA = "HOLDFAST_SUITE_TOKEN", "HOLDFAST_SUITE_PROXY", "HOLDFAST_SUITE_METADATA"
PASSWORD, KEY_PASSWORD = "HOLDFAST_SUITE_PASSWORD", "HOLDFAST_SUITE_KEY_PASSWORD"
# Of all plugins only ours: others of the lab's may want fixtures and options of their own.
ALONE = ("-p", "no:cacheprovider", "-p", "holdfast.pytest_plugin")
# Pytest's own codes for a run that came to verdicts.
RAN = (0, 1)


def run(target: Target, cases: str, *options: str, artifacts: str | os.PathLike[str] | None = None) -> RunAccount:
    """Run the cases that `-k cases` chooses, such as `cntr3` or `cntr3_1 or cntr3_5`, with more of pytest's options.

    What is kept of them goes into the folder `artifacts`, if one is given. No secret is on a command line or in a file.
    Raises `HoldfastError` where the cases did not come to verdicts.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-suite-") as place:
        testbed = Path(place) / "testbed.json"
        described, secrets = description(target)
        testbed.write_text(json.dumps({"devices": {target.name or "dut": described}}), encoding="utf-8")
        kept = Path(artifacts).absolute() if artifacts is not None else Path(place) / "artifacts"
        arguments = ("-k", cases, f"--testbed={testbed}", f"--dut-artifacts={kept}", *options)
        done = subprocess.run(  # noqa: S603 - our own plugin
            [sys.executable, "-m", "pytest", *ALONE, *arguments],
            cwd=place,
            env=_environment(secrets),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in RAN:
            raise HoldfastError(
                f"the suite {cases} did not run (pytest ended with {done.returncode}): {_end(done.stdout)}"
            )
        return read(kept)


def _environment(secrets: Mapping[str, Secret]) -> dict[str, str]:
    """Of the suite's process: ours without what is for our own pytest, and the secrets."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    revealed = {key: secret.reveal() for key, secret in secrets.items()}
    return {**ours, **revealed, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def description(target: Target) -> tuple[dict[str, Any], dict[str, Secret]]:
    """A target as a device of a testbed of ours, and the environment that holds its secrets."""
    secrets: dict[str, Secret] = {}
    entry: dict[str, Any] = {
        name: getattr(target, name)
        for name in (
            "address",
            "gnoi",
            "username",
            "insecure",
            "profile",
            "container_host",
            "silence",
            "allow_disruption",
            "emulated",
        )
        if getattr(target, name)
    }
    if (secret := target.login()) is not None:
        secrets[PASSWORD] = secret
        entry["password_env"] = PASSWORD
    if (secret := target.bearer()) is not None:
        secrets[TOKEN] = secret
        entry["token_env"] = TOKEN
    if (secret := target.way()) is not None:
        secrets[PROXY] = secret
        entry["proxy_env"] = PROXY
    for index, (key, value) in enumerate(target.sent().revealed()):
        secrets[f"{METADATA}_{index}"] = value
        entry.setdefault("metadata", {})[key] = f"env:{METADATA}_{index}"
    if target.tls is not None and not target.insecure:
        entry["tls"] = _written(target.tls, ("ca", "cert", "key", "server_name", "skip_verify"))
        if (secret := Secret.of(target.tls.key_password)) is not None:
            secrets[KEY_PASSWORD] = secret
            entry["tls"]["key_password_env"] = KEY_PASSWORD
    inner = _written(target.inner, [field.name for field in fields(target.inner)])
    return {**entry, **({"inner": inner} if inner else {}), "deadlines": dict(target.deadlines)}, secrets


def _written(given: object, names: Sequence[str]) -> dict[str, Any]:
    """What is set of it, with files as absolute paths."""
    values: Mapping[str, Any] = {name: getattr(given, name) for name in names}
    return {
        name: str(Path(value).absolute()) if isinstance(value, os.PathLike) or name in ("ca", "cert", "key") else value
        for name, value in values.items()
        if value
    }


def _end(output: str) -> str:
    return " / ".join(line for line in output.splitlines()[-8:] if line.strip())
