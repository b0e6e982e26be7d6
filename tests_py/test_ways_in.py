"""Ways in beside a user and a password: tokens, metadata, proxies. What is secret of them is shown nowhere."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from fronts import context, http_proxy, made, received, socks_proxy, taking, tls_front

import holdfast
from holdfast import _core, aio, exceptions, testbed
from holdfast.addresses import hosts
from holdfast.integrations.suites import description
from holdfast.metadata import Metadata
from holdfast.secret import Secret
from holdfast.testbed import Target

from conftest import RunSuite, emulate
from peers import Listener, command, listening

SECRET = "pl4nted-w0rd"
PROXIES: dict[str, Any] = {"http": http_proxy, "socks5": socks_proxy}


@dataclass
class Heard:
    """A server of every RPC, and the metadata of each call."""

    address: str
    calls: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def hearing(*wanted: tuple[str, str]) -> Iterator[Heard]:
    """Answers each call with nothing where it bears what is wanted, with UNAUTHENTICATED else."""
    found = Heard("")

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def answer(_request: bytes, call: grpc.ServicerContext) -> bytes:
                sent = [(entry.key, entry.value) for entry in call.invocation_metadata()]
                found.calls.append({"method": details.method, **dict(sent), "all": sent})
                if not set(wanted) <= set(sent):
                    call.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
                return b""

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Handler(),))
    found.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield found
    finally:
        server.stop(None).wait()


# --- Tokens and metadata ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [SECRET, f"Bearer {SECRET}", Secret(SECRET), lambda: SECRET])
def test_a_token_is_sent_with_each_call(token: Any) -> None:
    with (
        hearing(("authorization", f"Bearer {SECRET}")) as heard,
        holdfast.connect(heard.address, insecure=True, token=token) as dut,
    ):
        dut.system.time()
        assert dut.gnmi.capabilities() is not None
    assert {call["method"].split("/")[1] for call in heard.calls} == {"gnoi.system.System", "gnmi.gNMI"}
    assert all("username" not in call for call in heard.calls)


def test_a_token_awaited_and_beside_a_user() -> None:
    async def use(address: str) -> None:
        async with aio.connect(address, insecure=True, token=SECRET, username="admin", password="p") as dut:
            await dut.system.time()

    with hearing(("authorization", f"Bearer {SECRET}"), ("username", "admin")) as heard:
        asyncio.run(use(heard.address))


def test_each_address_and_gnoi_apart_are_sent_the_same() -> None:
    wanted = (("authorization", f"Bearer {SECRET}"), ("x-tenant", "lab"))
    with hearing(*wanted) as one, hearing(*wanted) as other:
        with holdfast.connect(
            one.address, gnoi=other.address, insecure=True, token=SECRET, metadata={"x-tenant": "lab"}
        ) as dut:
            dut.system.time()
            dut.gnmi.capabilities()
        assert one.calls
        assert other.calls


def test_metadata_is_sent_as_it_was_given() -> None:
    given: list[tuple[str, Any]] = [
        ("X-Tenant", "a"),
        ("x-tenant", lambda: "b"),
        ("x-trace-bin", b"\0\xff"),
        ("authorization", "Basic abc"),
    ]
    with hearing() as heard, holdfast.connect(heard.address, insecure=True, metadata=given) as dut:
        dut.system.time()
    sent = heard.calls[-1]["all"]
    assert [value for key, value in sent if key == "x-tenant"] == ["a", "b"]
    assert ("x-trace-bin", b"\0\xff") in sent
    assert ("authorization", "Basic abc") in sent


def test_who_is_refused_is_told_what_to_look_at() -> None:
    with (
        hearing(("authorization", "Bearer other")) as heard,
        holdfast.connect(heard.address, insecure=True, token=SECRET) as dut,
        pytest.raises(exceptions.Unauthenticated, match="token=") as caught,
    ):
        dut.system.time()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"token": f"{SECRET}\n"}, "the token"),
        ({"token": ""}, "the token"),
        ({"token": SECRET.encode()}, "a token is a text"),
        ({"metadata": {"a key": SECRET}}, "a key has letters"),
        ({"metadata": {"grpc-timeout": SECRET}}, "gRPC itself"),
        ({"metadata": {"x-key": f"{SECRET}\n"}}, "x-key"),
        ({"metadata": {"x-key": SECRET.encode()}}, "end its key with -bin"),
        ({"metadata": {"x-bin": f"{SECRET}!"}}, "base64"),
        ({"metadata": {7: SECRET}}, "mapping of keys"),
        ({"metadata": SECRET}, "mapping of keys"),
        ({"metadata": {"authorization": SECRET}, "token": SECRET}, "twice"),
        ({"metadata": {"username": SECRET}, "username": "admin"}, "who logs in"),
        ({"proxy": f"ftp://u:{SECRET}@proxy"}, "neither http nor socks5"),
        ({"proxy": f"https://u:{SECRET}@proxy"}, "by TLS itself"),
        ({"proxy": f"u:{SECRET}@proxy:3128"}, "no scheme"),
        ({"proxy": f"http://u:{SECRET}@proxy:3128/x"}, "behind its host"),
        ({"proxy": 7}, "a proxy is a text"),
    ],
)
def test_what_makes_no_sense_is_told_without_the_secret(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match=words) as caught:
        holdfast.connect("127.0.0.1:1", insecure=True, **settings)
    assert SECRET not in str(caught.value)
    ours = [entry for entry in caught.traceback if "holdfast" in str(entry.path) and "tests_py" not in str(entry.path)]
    assert ours
    assert SECRET not in "".join(str({**entry.frame.f_locals}) for entry in ours)


def test_no_repr_shows_what_is_secret() -> None:
    target = Target("r7", "r7", token=SECRET, proxy=f"http://u:{SECRET}@p", metadata=Metadata.of({"x": SECRET}))
    assert SECRET not in repr(target)
    assert SECRET not in repr(Metadata.of({"x": SECRET}))
    with hearing() as heard, holdfast.connect(heard.address, insecure=True, token=SECRET) as dut:
        dut.system.time()
        assert SECRET not in repr(dut)
        assert SECRET not in "".join(str(event) for event in dut.timeline)


# --- Where they come from -----------------------------------------------------------------------------------------


def test_the_command_takes_them_from_wherever(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\nand more\n")
    wanted = (("authorization", f"Bearer {SECRET}"), ("x-key", SECRET))
    ways: list[tuple[list[str], dict[str, str]]] = [
        (["--dut-token", SECRET, "--dut-metadata", f"x-key={SECRET}"], {}),
        (["--dut-metadata", "x-key=env:KEY"], {"HOLDFAST_TOKEN": SECRET, "KEY": SECRET}),
        (["--dut-token-file", str(file), "--dut-metadata", f"x-key=file:{file}"], {}),
        ([], {"HOLDFAST_DUT_TOKEN": SECRET, "HOLDFAST_DUT_METADATA": f"x-other=1\nx-key={SECRET}"}),
    ]
    for options, environment in ways:
        with hearing(*wanted) as heard:
            told = command(
                tmp_path, "--dut", heard.address, "--dut-insecure", "--dut-profile", "generic", *options,
                "roles", **environment,
            )  # fmt: skip
            assert heard.calls, told.stderr
            assert "UNAUTHENTICATED" not in told.stderr, (options, told.stderr)
        assert SECRET not in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dut-metadata", SECRET], "there is no KEY="),
        (["--dut-metadata", "x-key=env:ABSENT"], "the environment has no ABSENT"),
        (["--dut-metadata", "x-key=file:absent"], "No such file"),
        (["--dut-proxy", f"ftp://u:{SECRET}@proxy"], "neither http nor socks5"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(
    options: list[str], words: str, tmp_path: Path, run_suite: RunSuite
) -> None:
    told = command(tmp_path, "--dut", "127.0.0.1:1", "--dut-insecure", *options, "roles")
    assert told.returncode == 2
    run = run_suite("-k", "cntr3_1", "--dut", "127.0.0.1:1", "--dut-insecure", *options)
    assert run.exit_code == 4, run.output
    for output in (told.stderr, run.output):
        assert words in output
        assert SECRET not in output


def test_testbeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    (tmp_path / "key").write_text(f"{SECRET}\n")
    wanted = (("authorization", f"Bearer {SECRET}"), ("x-key", SECRET), ("x-tenant", "lab"))
    with hearing(*wanted) as heard, http_proxy({heard.address: heard.address}, login=f"u:{SECRET}") as (proxy, asked):
        monkeypatch.setenv("PROXY", f"http://u:{SECRET}@{proxy.address}")
        device = {
            "address": heard.address,
            "insecure": True,
            "profile": "generic",
            "token_env": "TOKEN",
            "metadata": {"x-key": "file:key", "x-tenant": "lab"},
            "proxy_env": "PROXY",
        }
        file = tmp_path / "lab.json"
        file.write_text(json.dumps({"devices": {"r7": device}}))
        connection = {"protocol": "gnmi", "ip": "127.0.0.1", "port": heard.address.rpartition(":")[2], "insecure": True}
        custom = {
            "profile": "generic",
            "token": "%ENV{TOKEN}",
            "metadata": {"x-key": "%ENV{TOKEN}", "x-tenant": "lab"},
            "proxy": "%ENV{PROXY}",
        }
        pyats = tmp_path / "pyats.json"
        pyats.write_text(
            json.dumps({"devices": {"r7": {"connections": {"gnmi": connection}, "custom": {"holdfast": custom}}}})
        )
        for place in (file, pyats):
            (target,) = testbed.read(place)
            assert SECRET not in repr(target)
            with target.connect() as dut:
                dut.system.time()
            entry, secrets = description(target)
            assert SECRET not in json.dumps(entry)
            assert all(secret.reveal() in (SECRET, "lab", os.environ["PROXY"]) for secret in secrets.values())
            monkeypatch.setattr(os, "environ", {**os.environ, **{key: s.reveal() for key, s in secrets.items()}})
            again = tmp_path / "again.json"
            again.write_text(json.dumps({"devices": {"r7": entry}}))
            with testbed.read(again)[0].connect() as dut:
                dut.system.time()
        assert asked


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("token", SECRET, "token_env"),
        ("proxy", f"http://u:{SECRET}@proxy", "proxy_env"),
        ("metadata", {"x-key": 7}, "x-key"),
        ("metadata", [SECRET], "a mapping"),
    ],
)
def test_what_has_no_place_in_a_testbed(field: str, value: object, words: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.json"
    file.write_text(json.dumps({"devices": {"r7": {"address": "r7", field: value}}}))
    with pytest.raises(exceptions.TestbedError, match=words) as caught:
        testbed.read(file)
    if field != "metadata":
        assert SECRET not in str(caught.value)


# --- Proxies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PROXIES)
@pytest.mark.parametrize("login", [None, f"us@er:{SECRET}:x"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_device_behind_a_proxy_which_alone_knows_its_name(
    kind: str, login: str | None, encrypted: bool, tmp_path: Path
) -> None:
    shown = made(tmp_path, names=("r7.lab",))
    with (
        holdfast.emulator() as chassis,
        tls_front(chassis.address, context(shown.pem, shown.key_pem)) as front,
        PROXIES[kind]({"r7.lab:9339": front.address if encrypted else chassis.address}, login=login) as (proxy, asked),
    ):
        user = f"us%40er:{SECRET}%3Ax@" if login else ""
        settings: dict[str, Any] = {"tls": holdfast.Tls(ca=shown.pem)} if encrypted else {"insecure": True}
        with holdfast.connect("r7.lab", proxy=f"{kind}://{user}{proxy.address}", **settings) as dut:
            assert dut.control_processors()
            moved = dut.switchover(redundant=True)
            assert moved.target == chassis.active
            assert SECRET not in repr(dut)
        assert len(asked) > 1
        assert all("r7.lab:9339" in each for each in asked)


@pytest.mark.parametrize("kind", PROXIES)
def test_containers_are_reached_by_the_proxy_too(kind: str, archive: Path) -> None:
    with holdfast.emulator() as chassis:
        known = {"device:9339": chassis.address, "device:60061": f"{hosts(chassis.address)[0]}:60061"}
        with (
            PROXIES[kind](known) as (proxy, asked),
            holdfast.connect("device", insecure=True, proxy=f"{kind}://{proxy.address}") as dut,
        ):
            image = dut.containerz.deploy(archive)
            dut.containerz.start("c", image=image, ports={60061: 60061})
            dut.expect_answer(60061)
            dut.connect_container(60061)
            dut.containerz.stop("c")
            with pytest.raises(exceptions.Unreachable):
                dut.connect_container(60061, timeout=2)
        assert any("device:60061" in each for each in asked)


def told(address: str, error: type[exceptions.ConnectError], proxy: str, timeout: float = 1.0) -> str:
    with pytest.raises(error) as caught:
        holdfast.connect(address, insecure=True, proxy=proxy, dial_timeout=timeout)
    assert type(caught.value) is error
    assert SECRET not in str(caught.value)
    return str(caught.value)


def answered(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", ""]).encode()


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (answered("407 Proxy Authentication Required"), exceptions.ProxyRefused, "user and a password"),
        (
            answered("407 Proxy Authentication Required", "Proxy-Authenticate: Negotiate"),
            exceptions.ProxyRefused,
            "it wants Negotiate",
        ),
        (answered("403 Forbidden"), exceptions.ProxyRefused, "403 Forbidden"),
        (answered("400 Bad Request"), exceptions.ProxyRefused, "400 Bad Request"),
        (answered("302 Found"), exceptions.ProxyRefused, "302 Found"),
        (answered("502 Bad Gateway"), exceptions.Unreachable, "502 Bad Gateway"),
        (answered("503 Service Unavailable"), exceptions.Unreachable, "503 Service Unavailable"),
        (answered("504 Gateway Timeout"), exceptions.Unreachable, "504 Gateway Timeout"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", exceptions.ProxyUnreachable, "no HTTP"),
    ],
)
def test_what_an_http_proxy_says_is_told_as_its_own(
    answer: bytes, error: type[exceptions.ConnectError], words: str
) -> None:
    with http_proxy({}, answer=answer) as (proxy, _):
        said = told("r7:9339", error, f"http://{proxy.address}")
    assert words in said
    assert f"the proxy http://{proxy.address}" in said


def test_a_wrong_password_for_an_http_proxy() -> None:
    with http_proxy({}, login="u:right") as (proxy, _):
        said = told("r7:9339", exceptions.ProxyRefused, f"http://u:{SECRET}@{proxy.address}")
    assert "407" in said
    assert "look at the user and the password" in said


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (1, exceptions.Unreachable, "general socks server failure"),
        (2, exceptions.ProxyRefused, "connection not allowed"),
        (3, exceptions.Unreachable, "network unreachable"),
        (4, exceptions.Unreachable, "host unreachable"),
        (5, exceptions.Unreachable, "connection refused"),
        (6, exceptions.Unreachable, "ttl expired"),
        (7, exceptions.ProxyRefused, "command not supported"),
        (8, exceptions.ProxyRefused, "address type not supported"),
        (99, exceptions.ProxyRefused, "does not know"),
    ],
)
def test_what_a_socks_proxy_says_is_told_as_its_own(
    reply: int, error: type[exceptions.ConnectError], words: str
) -> None:
    with socks_proxy({}, reply=reply) as (proxy, _):
        said = told("r7:9339", error, f"socks5://{proxy.address}")
    assert words in said
    assert f"the proxy socks5://{proxy.address}" in said


def test_logging_in_to_a_socks_proxy() -> None:
    with socks_proxy({}, login="u:right") as (proxy, _):
        assert "user and a password" in told("r7:1", exceptions.ProxyRefused, f"socks5://{proxy.address}")
        said = told("r7:1", exceptions.ProxyRefused, f"socks5://u:{SECRET}@{proxy.address}")
        assert "look at the user and the password" in said


@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_that_is_not_there_or_no_proxy(kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    assert "is not there" in told("r7:1", exceptions.ProxyUnreachable, f"{kind}://{place}", timeout=0.5)
    said = told("r7:1", exceptions.ProxyUnreachable, f"{kind}://no-such-host.invalid:1", timeout=0.5)
    assert "does not resolve" in said
    with listening(lambda client: taking(client, 3)) as front:
        assert "proxy" in told("r7:1", exceptions.ProxyUnreachable, f"{kind}://{front.address}", timeout=0.5)


@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_that_says_nothing_is_bound_by_the_deadline(kind: str) -> None:
    def silent(client: socket.socket) -> None:
        received(client, 1 << 20)

    with listening(silent) as front:
        said = told("r7:1", exceptions.Unreachable, f"{kind}://{front.address}", timeout=0.5)
    assert f"by the proxy {kind}://{front.address}" in said


def test_a_proxy_that_comes_up_late_is_waited_for() -> None:
    with holdfast.emulator() as chassis:
        answers = iter([b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"] * 3)

        def serve(client: socket.socket) -> None:
            request = b""
            while b"\r\n\r\n" not in request:
                request += received(client, 1)
            refused = next(answers, None)
            if refused is not None:
                client.sendall(refused)
                return
            from fronts import dialled, relay

            upstream = dialled(chassis.address)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            relay(client, upstream)

        with listening(serve) as front, holdfast.connect("r7", insecure=True, proxy=f"http://{front.address}") as dut:
            assert dut.control_processors()
            assert front.connections > 3


# --- The environment's --------------------------------------------------------------------------------------------


@pytest.fixture
def by_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[holdfast.Emulator, Listener, list[str]]]:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with holdfast.emulator() as chassis, http_proxy({chassis.address: chassis.address}) as (proxy, asked):
        yield chassis, proxy, asked


def test_the_environments_proxy_is_not_taken_unless_asked(
    by_proxy: tuple[holdfast.Emulator, Listener, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    chassis, proxy, asked = by_proxy
    reach: Callable[..., holdfast.Device] = lambda **settings: holdfast.connect(  # noqa: E731
        chassis.address, insecure=True, **settings
    )
    for name, value in (("https_proxy", f"http://{proxy.address}"), ("ALL_PROXY", proxy.address)):
        monkeypatch.setenv(name, value)
        reach().close()
        assert not asked
        reach(proxy="environment").close()
        assert asked
        asked.clear()
        monkeypatch.setenv("NO_PROXY", f"10.0.0.0,{hosts(chassis.address)[0]}")
        reach(proxy="environment").close()
        assert not asked
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.delenv(name)
    reach(proxy="environment").close()
    assert not asked
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(exceptions.InvalidArgumentError, match=r"NO_PROXY names 127\.0\.0\.1"):
        holdfast.connect("127.0.0.1:1,127.0.0.2:1", insecure=True, proxy="environment")


def test_the_suite_and_the_command_by_a_proxy(run_suite: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path) as address, http_proxy({address: address}, login=f"u:{SECRET}") as (proxy, asked):
        url = f"http://u:{SECRET}@{proxy.address}"
        run = run_suite(
            "-k", "cntr3_1", "--dut", address, "--dut-insecure", "--dut-no-ping", "-vv", "--showlocals",
            HOLDFAST_DUT_PROXY=url,
        )  # fmt: skip
        assert run.exit_code == 0, run.output
        assert asked
        done = command(tmp_path, "--dut", address, "--dut-insecure", "--dut-proxy", url, "--json", "roles")
        assert done.returncode == 0, done.stderr
        wrong = command(tmp_path, "--dut", address, "--dut-insecure", "--dut-proxy", f"http://{proxy.address}", "roles")
        assert wrong.returncode == 3
        assert "--dut-proxy http://USER:PASSWORD@HOST:PORT" in wrong.stderr
    for text in (run.output, done.stdout, done.stderr, wrong.stderr):
        assert SECRET not in text
    assert _core.proxy_shown(url) == f"http://{proxy.address}"
