"""Secrets of a provider: whatever its driver repeats, none of them reaches anybody."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from holdfast import _core
from holdfast.exceptions import InvalidArgumentError
from holdfast.storage.provider import read

from conftest import RunSuite, isolated
from test_torpedo import verdicts

DRIVER = Path(__file__).parent / "leaking_driver.py"
# Of the secrets file, of the command line, of the environment. Some are parts of others.
IN_FILE = ('Planted/first "one"+%', "Plantedsecond", "Plantedsecond-and-more", r"Planted\nin\nlines")
ON_LINE = "Planted-on-line"
IN_ENVIRONMENT = "Planted in environment"
SECRETS = (*IN_FILE, ON_LINE, IN_ENVIRONMENT)


def traces(text: str) -> list[str]:
    """What of the secrets a text has, in any form."""
    squeezed = "".join(re.sub(r"^(\w*node\d: )?\s*", "", line) for line in text.splitlines())
    forms = [
        form
        for secret in SECRETS
        for form in (
            secret,
            secret[: len(secret) - 3],
            base64.b64encode(secret.encode()).decode().rstrip("="),
            base64.b64encode(f"admin:{secret}".encode()).decode()[10:-4],
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            secret.encode().hex(),
        )
    ]
    return [form for form in dict.fromkeys(forms) if form in text or form in squeezed]


def provider_file(folder: Path, manner: str = "serves") -> str:
    secrets = folder / "secrets"
    secrets.write_text("".join(f"key{number}={secret}\n" for number, secret in enumerate(IN_FILE)), encoding="utf-8")
    path = folder / "leaking.yaml"
    command = f"{sys.executable} {DRIVER} {{socket}} {manner} {ON_LINE}"
    path.write_text(
        json.dumps(
            {
                "provider": {
                    "kind": "csi",
                    "start": f"DRIVER_TOKEN={ON_LINE} {command}",
                    "parameters": {"password": ON_LINE},
                    "secrets_file": str(secrets),
                    "fencing": "driver",
                },
                "lab": {"nodes": 2},
            }
        ),
        encoding="utf-8",
    )
    return str(path)


@pytest.mark.skipif(bool(_core.storage_lab_lacks()), reason=str(_core.storage_lab_lacks()))
@pytest.mark.parametrize("manner", ["serves", "dies"])
def test_no_secret_reaches_anybody(manner: str, run_suite: RunSuite, tmp_path: Path) -> None:
    report = tmp_path / "table"
    run = run_suite(
        *("-k", "torpedo_1_ or torpedo_5_", "--provider", provider_file(tmp_path, manner), "--torpedo-start", "10s"),
        *("-vv", "--showlocals", "-rA", "--log-level=DEBUG", "-o", "log_cli=true", "-o", "junit_logging=all"),
        *("--torpedo-report", str(report)),
        LEAKING_PASSWORD=IN_ENVIRONMENT,
    )
    written = [*report.iterdir(), tmp_path / "report.xml"]
    assert len(written) == 3
    for text in (run.output, *(path.read_text(encoding="utf-8") for path in written)):
        assert traces(text) == [], text
    # it did say something, and was judged for it
    assert "***" in run.output
    if manner == "serves":
        found = {name: {verdict for verdict, _ in told} for name, told in verdicts(run).items()}
        assert found == {"T1": {"Fail"}, "T5": {"Fail"}}, run.output
        assert "mount error: ***" in (report / "torpedo.md").read_text(encoding="utf-8")
        assert "acme ***" in run.output
    else:
        assert "I cannot start with ***" in run.output


def test_no_object_shows_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKING_PASSWORD", IN_ENVIRONMENT)
    provider = read(provider_file(tmp_path))
    assert provider.secrets == {f"key{number}": secret for number, secret in enumerate(IN_FILE)}
    for text in (repr(provider), str(provider), repr(provider.secrets), repr(provider.mask), f"{vars(provider)}"):
        shown = text.replace(repr(provider.start), "").replace(repr(provider.parameters), "")
        assert traces(shown) == [], text
    for secret in SECRETS:
        assert provider.hide(f"<{secret}>") == "<***>"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"kind": "csi"', f'"kind": "csi", "sockets": "tcp://admin:{ON_LINE}@host"'), "provider: sockets is for"),
        (('"kind": "csi"', '"kind": "Planted-on-line"'), "provider: kind: '***'"),
        (('"lab": {', '"lab": {, Planted'), "it is no YAML"),
        (("key1=", ""), "each line must be KEY=VALUE"),
    ],
)
def test_a_provider_file_that_makes_no_sense_is_told_without_its_secrets(
    change: tuple[str, str], said: str, tmp_path: Path
) -> None:
    path = Path(provider_file(tmp_path))
    for file in (path, tmp_path / "secrets"):
        file.write_text(file.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    check = [sys.executable, "-m", "holdfast.cli", "provider", "check", str(path)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert said in done.stdout + done.stderr
    assert traces(done.stdout + done.stderr) == []
    with pytest.raises(InvalidArgumentError) as refused:
        read(str(path))
    assert traces(f"{refused.value} {refused.value.hint} {refused.value!r}") == []


def test_a_traceback_with_locals_shows_no_secret(tmp_path: Path) -> None:
    path = Path(provider_file(tmp_path))
    (tmp_path / "secrets").write_text("key=Plantedsecond\nPlantedsecond-and-more\n", encoding="utf-8")
    (tmp_path / "test_mine.py").write_text(
        f"from holdfast.storage.provider import read\n\ndef test_mine():\n    read({str(path)!r})\n", encoding="utf-8"
    )
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv", "--showlocals", "test_mine.py"]
    done = subprocess.run(
        words, cwd=tmp_path, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False
    )
    assert "each line must be KEY=VALUE" in done.stdout
    assert "Plantedsecond" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("named", "secret"),
    [
        ({"start": "BMC_PASSWORD=hunter22 ./driver"}, "hunter22"),
        ({"start": "./driver --api-key 'hunter 22' --verbose"}, "hunter 22"),
        ({"parameters": {"webdav-pass": "hunter22"}}, "hunter22"),
        ({"parameters": {"url": "http://me:hunter%2022@host/"}}, "hunter 22"),
        ({"start": "./driver --secret-file=/etc/hunter22"}, None),
        ({"start": "./driver --password $HUNTER22"}, None),
        ({"start": "./tokens hunter22"}, None),
        ({"parameters": {"o": "username=u,password=hunter22"}}, "hunter22"),
        ({"start": "curl -u me:hunter22 https://host/"}, "hunter22"),
        ({"start": "curl https://host/?access_token=hunter22"}, "hunter22"),
        ({"start": "sshpass -p hunter22 ssh host"}, "hunter22"),
        ({"start": "curl -H 'Authorization: Bearer hunter22' host"}, "hunter22"),
        ({"parameters": {"csi.storage/encryption-key": "hunter22"}}, "hunter22"),
        ({"parameters": {"auth": "hunter22"}}, "hunter22"),
        ({"parameters": {"author": "hunter22"}}, None),
    ],
)
def test_what_names_a_secret_in_a_provider_file(named: dict[str, object], secret: str | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"provider": {"kind": "csi", "start": "./driver", **named}}), encoding="utf-8")
    hidden = read(str(path)).hide("hunter22, hunter 22, /etc/hunter22, $HUNTER22")
    assert (secret is not None and secret not in hidden) or hidden == "hunter22, hunter 22, /etc/hunter22, $HUNTER22"
    assert ("***" in hidden) == (secret is not None)


def test_a_value_that_is_part_of_every_text_is_hidden_where_it_is_a_word() -> None:
    assert _core.Mask(["me", "hunter2"]).hide("some time: user=me, hunter2x") == "some time: user=***, ***x"
