"""The device of `--dut`: where it is and how to get in, as options say it, whichever front end has read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast import options
from holdfast.exceptions import InvalidArgumentError
from holdfast.metadata import Metadata
from holdfast.options import Value
from holdfast.secret import Secret, first_line, from_environment
from holdfast.testbed.target import InnerNames, Target
from holdfast.tls import Tls


def target(
    address: str,
    value: Value,
    *,
    password: Secret | Callable[[], Secret | None] | None,
    inner: InnerNames = InnerNames(),  # noqa: B008
) -> Target:
    """The device at an address. What is secret is read when it is asked for. Raises `InvalidArgumentError`."""
    insecure = bool(value("dut-insecure"))
    return Target(
        name=address,
        address=address,
        gnoi=value("dut-gnoi"),
        username=value("dut-username"),
        password=password,
        token=lambda: token(value),
        metadata=lambda: metadata(value),
        proxy=lambda: Secret.of(value("dut-proxy")),
        insecure=insecure,
        tls=None if insecure else tls(value),
        profile=value("dut-profile") or "auto",
        container_host=value("dut-container-host"),
        silence=options.time(value("dut-silence"), "--dut-silence"),
        inner=inner,
    )


def tls(value: Value) -> Tls:
    """How the device is trusted, and what it is shown. Raises `InvalidArgumentError`."""
    for option in ("dut-ca", "dut-cert", "dut-key"):
        if (file := value(option)) and not Path(file).exists():
            raise InvalidArgumentError(f"--{option}: {file} does not exist")
    key, key_password = value("dut-key"), _secret(value, "dut-key-password-file", "HOLDFAST_KEY_PASSWORD")
    return Tls(
        ca=value("dut-ca"),
        cert=value("dut-cert"),
        key=key,
        key_password=key_password if key else None,
        server_name=value("dut-server-name"),
        skip_verify=bool(value("dut-skip-verify")),
    )


def password(value: Value) -> Secret | None:
    """The password of `--dut-username`, as far as a file or the environment has it. Raises `InvalidArgumentError`."""
    return _secret(value, "dut-password-file", "HOLDFAST_PASSWORD")


def token(value: Value) -> Secret | None:
    """The bearer token. Raises `InvalidArgumentError`."""
    return Secret.of(value("dut-token")) or _secret(value, "dut-token-file", "HOLDFAST_TOKEN")


def metadata(value: Value) -> Metadata:
    """What is sent with each call. Raises `InvalidArgumentError`."""
    return Metadata.written(value("dut-metadata") or (), "--dut-metadata")


def _secret(value: Value, option: str, variable: str) -> Secret | None:
    """The first line of the file that an option names, or what the environment holds."""
    file = value(option)
    if not file:
        return from_environment(variable)
    try:
        return first_line(file)
    except FileNotFoundError:
        raise InvalidArgumentError(f"--{option}: {file} does not exist") from None
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"--{option}: {error}") from None
