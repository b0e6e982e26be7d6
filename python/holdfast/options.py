"""Every option once: what it is called, what it means, who may say it. The front ends read this table, and the docs.

An option `dut-ca` is `--dut-ca` of pytest and, where `command` says so, of the command `holdfast`; HOLDFAST_DUT_CA in
the environment; `holdfast_dut_ca` in an ini file. `testbed` is its key in a testbed file, and `argument` that of
`holdfast.connect`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from holdfast import choices
from holdfast.exceptions import InvalidArgumentError
from holdfast.secret import Secret

Kind = Literal["text", "flag", "list", "keep"]
# An option's value, by its name; None where nobody gave it.
Value = Callable[[str], Any]

_YES = ("1", "yes", "y", "true", "t", "on")
_NO = ("0", "no", "n", "false", "f", "off", "")
_NUMBER = r"\d+"
_TIME = r"(?=.*[1-9])\d+(\.\d+)?(ms|s|m|h|)"
# Numbers of more digits are none that anything takes; Python would not even read thousands of them.
_DIGITS = 40
_PORT = 65535
# So many names that might be meant are told.
_SHOWN = 20


@dataclass(frozen=True)
class Option:
    """One option. `shape` is a regular expression for its text, and `wanted` what to give where the text is not so."""

    name: str
    help: str
    kind: Kind = "text"
    shows: str = "TEXT"
    shape: str = ".*"
    wanted: str = ""
    # Only the command line itself may say it (and a testbed, where it has a key): neither environment nor ini file.
    typed_only: bool = False
    command: bool = False
    testbed: str = ""
    argument: str = ""
    # Whether it is or may hold a secret: front ends hand it out as `Secret`.
    secret: bool = False

    def hidden(self, value: Any) -> Any:
        """A value as front ends hand it out."""
        if not self.secret:
            return value
        return [Secret.of(each) for each in value] if isinstance(value, list | tuple) else Secret.of(value)

    @property
    def key(self) -> str:
        """Its ini key, and what parsed options are called."""
        return "holdfast_" + self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return self.key.upper()

    def read(self, text: str, where: str) -> Any:
        """A value that came as text, from `where`: its `variable`, or its `key`. Raises `InvalidArgumentError`."""
        if self.kind == "flag":
            return flag(text, where)
        if self.kind == "list":
            return [line for line in text.splitlines() if line]
        if self.kind == "keep":
            return _kept(text, where)
        return self.checked(text, where)

    def checked(self, text: str, where: str) -> str:
        """A text that has the shape it must have. Raises `InvalidArgumentError`."""
        if not re.fullmatch(self.shape, text, re.DOTALL):
            raise InvalidArgumentError(f"{where} {text}: {self.wanted}")
        return text

    def from_environment(self) -> Any:
        """What the environment says; None where it says nothing. Raises `InvalidArgumentError`."""
        text = os.environ.get(self.variable)
        return self.read(text, self.variable) if text and not self.typed_only else None


def _text(name: str, shows: str, help: str, **more: Any) -> Option:
    return Option(name, help, shows=shows, **more)


def _choice(name: str, shows: str, choice: Any, help: str, **more: Any) -> Option:
    shape = "|".join(map(re.escape, choices.words(choice)))
    return Option(name, help, shows=shows, shape=shape, wanted=choices.wanted(choice), **more)


def _flag(name: str, help: str, **more: Any) -> Option:
    return Option(name, help, "flag", shows="", **more)


def _list(name: str, shows: str, help: str, **more: Any) -> Option:
    return Option(name, help, "list", shows=shows, **more)


# Where a device is, and how to get in: what pytest and the command have both.
DEVICE = (
    _text("dut", "HOST[:PORT][,HOST…]", "the device under test, instead of the emulated one; several addresses: one"
          " for each control processor", command=True, testbed="address", argument="address"),
    _list("testbed", "FILE", "a file with the devices under test: ours, pyATS', or an Ondatra binding and its testbed;"
          " or labgrid://HOST:PORT?TAG=VALUE for the places of a labgrid coordinator",
          command=True),
    _text("dut-gnoi", "HOST:PORT[,HOST:PORT…]", "where gNOI is served, if not where gNMI is", command=True,
          testbed="gnoi", argument="gnoi"),
    _text("dut-profile", "NAME", "the vendor's ways: a name, or a YAML file (default: what the device says it is)",
          command=True, testbed="profile", argument="profile"),
    _text("dut-container-host", "HOST", "where containers' ports are, if not on the device's own address", command=True,
          testbed="container_host", argument="container_host"),
    _text("dut-silence", "TIME", "how long the device may say nothing to a call, outside of a failover, before the"
          " session dials beside it (2s); the call goes on until the device is proved gone", command=True,
          testbed="silence", argument="silence", shape=_TIME,
          wanted="give a time such as 5s"),
    _flag("dut-insecure", "plaintext gRPC instead of TLS", command=True, testbed="insecure", argument="insecure"),
    _text("dut-ca", "FILE", "a file of who signs the device's certificate, or with that very certificate (default:"
          " who the system trusts)", command=True, testbed="tls.ca", argument="tls.ca"),
    _text("dut-cert", "FILE", "a file with our certificate, for a device that wants one", command=True,
          testbed="tls.cert", argument="tls.cert"),
    _text("dut-key", "FILE", "a file with its key; an encrypted one is opened with HOLDFAST_KEY_PASSWORD",
          command=True, testbed="tls.key", argument="tls.key"),
    _text("dut-key-password-file", "FILE", "a file whose first line opens the key", command=True,
          testbed="tls.key_password_file", argument="tls.key_password"),
    _text("dut-server-name", "NAME", "what the device's certificate is for, in place of its address' host",
          command=True, testbed="tls.server_name", argument="tls.server_name"),
    _flag("dut-skip-verify", "TLS with whoever answers", command=True, testbed="tls.skip_verify",
          argument="tls.skip_verify"),
    _text("dut-username", "NAME", "who logs in; the password comes from HOLDFAST_PASSWORD or --dut-password-file, and"
          " the command asks a terminal for it",
          command=True, testbed="username", argument="username"),
    _text("dut-password-file", "FILE", "a file whose first line is the password", command=True,
          testbed="password_file", argument="password"),
    _text("dut-token", "TOKEN", "a bearer token to log in with, beside a user or without one; HOLDFAST_TOKEN and"
          " --dut-token-file keep it off the command line", command=True, argument="token", secret=True),
    _text("dut-token-file", "FILE", "a file whose first line is the token", command=True, testbed="token_file",
          argument="token"),
    _list("dut-metadata", "KEY=VALUE", "sent with each call, and never shown: VALUE is the text itself, env:VARIABLE,"
          " or file:FILE for the first line of a file; may be given several times", command=True, testbed="metadata",
          argument="metadata", secret=True),
    _text("dut-proxy", "URL", "reach the device by http://[USER:PASSWORD@]HOST:PORT (CONNECT) or"
          " socks5://[USER:PASSWORD@]HOST:PORT, which resolves its name; or by environment: what HTTPS_PROXY,"
          " ALL_PROXY and NO_PROXY say, which are not heeded without it", command=True, testbed="proxy",
          argument="proxy", secret=True),
)  # fmt: skip

# What a run of tests is told beside that.
RUN = (
    _text("dut-device", "NAME[,NAME…]", "which devices of the testbed, by their names or by tag:WORD; all of"
          " them without it, or with all"),
    _text("dut-wait", "TIME", "how long to wait for a device that another run has: 10m where a labgrid coordinator"
          " gives it out, else not at all", shape=r"\d+(\.\d+)?(ms|s|m|h|)", wanted="give a time such as 30m"),
    _flag("dut-allow-disruption", "run disruptive cases on a real device", typed_only=True, testbed="allow_disruption"),
    _flag("dut-configure", "let the profile configure the device; without it nothing is configured or saved",
          typed_only=True),
    _flag("dut-required", "refuse to fall back on the emulated device"),
    _text("dut-image", "FILE", "a `docker save` archive to test with, instead of the wheel's own test container"),
    _text("dut-platform", "OS/ARCH", "which image of an archive that has several, such as linux/arm64",
          shape=r"[^/\s]+(/[^/\s]+){1,2}", wanted="write OS/ARCH, such as linux/arm64"),
    _text("dut-command", "COMMAND", "what a container of the image runs, instead of the image's own command; {port} in"
          " it is its port"),
    _text("dut-port", "PORT", "the port that the container serves and publishes (default 60061)",
          shape=r"0*([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])",
          wanted="give a number from 1 to 65535"),
    _text("dut-plugin", "FILE", "a plugin's archive to test with (CNTR-1.7), instead of the wheel's own: its root file"
          " system as a tar, without a folder around it; --dut-plugin-config goes with it"),
    _text("dut-plugin-config", "FILE", "the configuration of --dut-plugin, JSON as the container engine takes it"),
    _text("dut-network", "NAME", "the container's network (default: the device's; host in CNTR-2, as in the plan)"),
    _choice("dut-volume-driver", "DRIVER", choices.VolumeDriver, "what volumes are made with: local, whose options are"
            " mountpoint=DIR and options=LIST (default: those of the plan), or custom; without it what the device takes"
            " for itself"),
    _list("dut-volume-option", "KEY=VALUE", "for the volume's driver; may be given several times"),
    _list("dut-inner", "KEY=VALUE", "how containers name devices: host, gnmi, gribi (HOST:PORT), link",
          testbed="inner"),
    _flag("dut-no-ping", "the container's port cannot be reached from here: do not check it"),
    _choice("dut-judge", "VERDICT", choices.JudgedVerdict, "which verdict fails a test: depth (both, the default) or"
            " procedure"),
    _list("dut-deadline", "STEP=TIME", "such as reboot=20m; may be given several times", testbed="deadlines",
          argument="deadlines"),
    _list("dut-failpoint", "NAME=TERMS", "armed on the emulated device; may be given several times"),
    _text("dut-failpoint-file", "FILE", 'a JSON file of failpoints to arm on the emulated device: {"NAME": "TERMS"}'),
    _list("dut-emulator", "KEY=VALUE", "of the emulated device, as of `holdfast emulate`: outage=2s, quirk=NAME"),
    _text("dut-seed", "NUMBER", "of the failpoints' chance on the emulated device, and of the moments at which"
          " containers are killed (-k author): equal seeds draw equally (default 0)",
          shape=_NUMBER, wanted="give a number"),
    _flag("dut-restore-active", "end with the control processor active that was active at the start"),
    _text("dut-artifacts", "DIR", "a folder for what a vendor's support can use of each case: timeline, verdict, logs"),
    _text("dut-report", "FILE", "a self-contained HTML file about the run: verdicts, outages, timelines, evidence"),
    _flag("dut-plan", "say which failovers and reboots would come and how long they may take, and do nothing"),
    _flag("dut-combine", "judge 3.1 to 3.6 by one switchover and 3.7 by the next, instead of one each"),
    _text("dut-trigger", "WAY", "what fails the active: gnoi (the default), reboot-active, kill:PROCESS or command:…",
          shape=r"gnoi|reboot-active|kill:.+|command:.*\S.*",
          wanted="give gnoi, reboot-active, kill:PROCESS or command:…"),
    _text("dut-repeat", "NUMBER", "go through all cases so many times, and say how outages spread and what grew",
          shape=r"0*[1-9]\d*", wanted="give a number, 1 or more"),
    _text("dut-for", "TIME", "go through all cases again and again for so long, such as 8h; the round that is on then"
          " is the last", shape=r"(?=.*[1-9])\d+(\.\d+)?(ms|s|m|h|)", wanted="give a time such as 8h"),
    _text("dut-stop-after-failures", "NUMBER", "run nothing more on a device of which so many cases failed, in all"
          " rounds together", shape=r"0*[1-9]\d*", wanted="give a number, 1 or more"),
    _text("dut-soak-report", "FILE", "an HTML file about all rounds, written anew while they go by: percentiles, what"
          " grew, failures"),
    Option("dut-keep", "leave what the tests made on the device: always, or after a failure (=failed)", "keep",
           shows="[always|failed]"),
)  # fmt: skip

# What is asked of an image of one's own (`pytest -k author`).
AUTHOR = (
    _text("author-check", "COMMAND", "a command of the image that ends with 0 where the data on its volume can be read;"
          " by a shell of the image, or, with {token} in it, as it is, and then it writes a line with that word alone"),
    _text("author-mount", "DIR", "where a container of the image has its volume (default /data)", shape=r"/[^:\s]*",
          wanted="give an absolute path without spaces or colons"),
    _text("author-grace", "TIME", "how long the device lets a container end by itself before it kills it (default 10s,"
          " as Docker does)", shape=_TIME, wanted="give a time such as 10s"),
    _text("author-update-image", "FILE", "an archive of another version of the image, to update to and back"),
    _text("author-kills", "NUMBER", "how often it is killed at a random moment (default 5)", shape=r"0*[1-9]\d{0,3}",
          wanted="give a number, 1 to 9999"),
    _text("author-failovers", "NUMBER", "over how many failovers its volume must not grow (default 50)",
          shape=r"0*[1-9]\d{0,3}", wanted="give a number, 1 to 9999"),
    _text("author-size", "COMMAND", "a command of the image whose first number is how much its volume holds (default:"
          " du -sk and the volume's place)"),
    _text("author-growth", "NUMBER", "by how much its volume may grow with each failover, in the unit of --author-size"
          " (default 0)", shape=_NUMBER, wanted="give a number"),
)  # fmt: skip

MIDWAY = (
    _text("midway-seed", "NUMBER[-NUMBER][,…]", "which histories of `midway_random` to go through (default 0), such as"
          " 0-99 or 3,20-29", shape=r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*",
          wanted="give a number, two with a dash, or several of these with commas: 3,20-29"),
    _text("midway-changes", "KIND[,KIND]", "what `midway_random` changes: container, image, plugin, volume (default:"
          " all of them)",
          shape=r"(container|image|plugin|volume)(,(container|image|plugin|volume))*",
          wanted="give kinds with commas between: container, image, plugin, volume"),
)  # fmt: skip

AUTHOR_DEFAULTS = {"mount": "/data", "grace": "10s", "kills": "5", "failovers": "50", "growth": "0"}

CNI = (
    _text("cni-path", "DIR[:DIR]", "the folders of the CNI plugins (default /opt/cni/bin:/usr/lib/cni)"),
    _text("cni-conflist", "FILE", "a network configuration list with cni-bridge-fp in it, instead of the suite's own"),
    _text("cni-containerd", "SOCKET", "the CRI socket of a containerd, instead of one of the suite's own"),
    _flag("cni-required", "fail where a scenario would skip because something is missing"),
)

TORPEDO = (
    _text("provider", "FILE", "a file that names a storage provider, instead of the emulated one"),
    _flag("torpedo-allow-disruption", "run scenarios that harm nodes of a Kubernetes that a provider's file names",
          typed_only=True),
    _list("torpedo-deadline", "SCENARIO=TIME", "such as T5=60s, or leave=60s for the clean-up at the end of each; may"
          " be given several times"),
    _choice("torpedo-runner", "RUNNER", choices.StorageRunner, "who runs the tasks, instead of who the provider's file"
            " says: own, docker, swarm or kubernetes"),
    _text("torpedo-start", "TIME", "how long the plugins of a provider may take to answer at first, such as 60s"),
    _list("torpedo-call", "RPC=TIME", "how long an RPC of a CSI driver may take, all attempts together, such as"
          " CreateVolume=12s, or default=2m; may be given several times"),
    _list("torpedo-personality", "NAME", "a healthy way of the emulated provider, such as rounds-sizes; may be given"
          " several times"),
    _list("torpedo-timing", "NAME=TIME", "sync, attach, pace or patience of the emulated provider"),
    _list("torpedo-failpoint", "NAME=TERMS", "armed on the emulated provider; may be given several times"),
    _choice("torpedo-face", "FACE", choices.StorageFace, "how the emulated provider is reached: process (the default),"
            " or by sockets: csi, docker"),
    _text("torpedo-seed", "NUMBER", "of the failpoints' chance on the emulated provider (default 0)", shape=_NUMBER,
          wanted="give a number"),
    _flag("torpedo-plan", "say which scenarios would run and what they do to which nodes, and run none"),
    _text("torpedo-report", "DIR", "a folder for the qualification table, as Markdown and JSON"),
)  # fmt: skip

ALL = (*DEVICE, *RUN, *MIDWAY, *AUTHOR, *CNI, *TORPEDO)
BY_NAME = {option.name: option for option in ALL}
# Each says something of TLS, and so contradicts --dut-insecure.
TLS = tuple(option for option in DEVICE if option.argument.startswith("tls.") and not option.name.endswith("-file"))
# Files whose first line is a secret.
SECRET_FILES = tuple(option for option in DEVICE if option.name.endswith(("password-file", "token-file")))
# Where one of these is said nearer by (typed, rather than in the environment), what contradicts it is not heeded.
_CONTRARY = (
    ("dut", "testbed"),
    ("dut", "dut-device"),
    ("dut-token", "dut-token-file"),
    *(("dut-insecure", option.name) for option in TLS),
)


def contrary(name: str) -> tuple[str, ...]:
    """The options that contradict one."""
    return tuple(other for pair in _CONTRARY if name in pair for other in pair if other != name)


def contradiction(value: Value) -> str | None:
    """What is wrong where plaintext was asked for, and something of TLS too."""
    of_tls = next((option.name for option in TLS if value(option.name)), None)
    if of_tls is None or not value("dut-insecure"):
        return None
    return f"--dut-insecure is plaintext, and --{of_tls} is for TLS: give one of them"


@dataclass(frozen=True)
class Setting:
    """A setting of the emulated device: `--NAME` of `holdfast emulate`, and an argument of `holdfast.emulator`.

    `run` says whether `--dut-emulator NAME=VALUE` takes it too.
    """

    name: str
    help: str
    kind: Literal["text", "flag", "list", "number", "time", "pair", "folder"] = "text"
    shows: str = ""
    default: str = ""
    run: bool = True
    argument: str = ""
    # Of a text that can only be one of a few.
    words: tuple[str, ...] = ()
    # Of a number: the least and the most that the emulated device takes.
    least: int = 0
    most: int = 2**64 - 1

    @property
    def parameter(self) -> str:
        """What `holdfast.emulator` calls it."""
        return self.argument or self.name.replace("-", "_")

    def read_said(self, text: str | None, where: str) -> Any:
        """The same as `read`; where nothing follows the name (None), a flag is set. Raises `InvalidArgumentError`."""
        if text:
            return self.read(text, where)
        if text is None and self.kind == "flag":
            return True
        raise InvalidArgumentError(f"{where} has no value")

    def read(self, text: str, where: str) -> Any:
        """A value that came as text. Raises `InvalidArgumentError`."""
        if self.kind == "time":
            return _seconds(text, where)
        if self.kind == "flag":
            return flag(text, where)
        value = self._meant(text) if self.kind in ("number", "pair") else text
        if self.kind in ("number", "pair", "text") and not self._fits(value):
            raise InvalidArgumentError(f"{where} {text}: {self._wanted}")
        return value

    def check(self, value: Any) -> None:
        """Raise `InvalidArgumentError` for a value that `holdfast.emulator` was given and does not take."""
        if self.kind == "time":
            from holdfast.deadlines import given

            given(value, self.parameter)
        elif not self._fits(value):
            raise InvalidArgumentError(f"{self.parameter}={value!r}: {self._wanted}")

    def _meant(self, text: str) -> Any:
        if self.kind == "pair":
            return tuple(text.split(","))
        return int(text) if re.fullmatch(_NUMBER, text) and len(text) < _DIGITS else None

    def _fits(self, value: Any) -> bool:
        """Whether a value is of this kind, as a program gives it."""
        texts = (
            isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, str) for one in value)
        )
        return {
            "text": isinstance(value, str) and value in (self.words or (value,)),
            "flag": isinstance(value, bool),
            "list": texts,
            "number": isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most,
            "pair": texts and len(value) == 2 and all(value),
            "folder": isinstance(value, str | os.PathLike),
        }[self.kind]

    @property
    def _wanted(self) -> str:
        return {
            "text": f"give {' or '.join(self.words) or 'a text'}",
            "flag": "give True or False",
            "list": "give a list of texts",
            "number": f"give a number from {self.least} to {self.most}",
            "pair": "it wants two names: A,B",
            "folder": "give a folder",
        }[self.kind]


# What the environment says beside the options, by its variable.
VARIABLES = {
    "HOLDFAST_PASSWORD": "the password of --dut-username",
    "HOLDFAST_KEY_PASSWORD": "what opens --dut-key",
    "HOLDFAST_TOKEN": "a bearer token to log in with",
    "HOLDFAST_FAILPOINTS": "what the emulated device arms, before --dut-failpoint: NAME=TERMS, one a line",
    "HOLDFAST_QUIRKS": "its quirks, beside those of --dut-emulator quirk=NAME, joined by commas",
    "HOLDFAST_BLACK_HOLE": "a flag: its outages are silence instead of closed sockets, as --dut-emulator black-hole",
    "DOCKER_HOST": "the Docker engine of an emulated device with runtime=docker: unix:///PATH",
    "XDG_STATE_HOME": "where journals of what runs made are kept (~/.local/state)",
}

SETTINGS = (
    Setting("listen", "where it is managed; port 0 takes a free one; two: one for each control processor",
            shows="IP:PORT[,IP:PORT]", default="127.0.0.1:9339"),
    Setting("gnoi-port", "serve gNOI on a port of its own; 0 takes a free one", "number", "PORT", most=_PORT),
    Setting("inner-gnmi-port", "where its containers dial its gNMI, by TLS; a free one if none is given", "number",
            "PORT", most=_PORT),
    Setting("inner-gribi-port", "the same of its gRIBI", "number", "PORT", most=_PORT),
    Setting("profile", "play a vendor's device", shows="NAME", default="generic", run=False),
    Setting("names", "what the control processors are called", "pair", "A,B"),
    Setting("outage", "from a switchover's answer until the new active answers", "time", "TIME", "0.2 s"),
    Setting("load", "from then until Containerz has loaded; it answers UNAVAILABLE meanwhile", "time", "TIME",
            "0.08 s"),
    Setting("boot", "from its fall until a control processor is back as the standby", "time", "TIME", "0.3 s"),
    Setting("reboot", "how long a cold reboot takes", "time", "TIME", "0.4 s"),
    Setting("replication", "from a change on the active until the standby has it", "time", "TIME", "5 ms"),
    Setting("runtime", "what runs its containers: nothing of an image is executed, or a Docker engine on this machine "
            "does that", shows="|".join(choices.words(choices.ContainerRuntime)), default="emulated",
            words=choices.words(choices.ContainerRuntime)),
    Setting("engine", "the Docker engine's socket; DOCKER_HOST, or else unix:///var/run/docker.sock",
            shows="unix:///PATH"),
    Setting("black-hole", "an outage is silence instead of closed sockets", "flag"),
    Setting("quirk", "an oddity of servers in the field", "list", "NAME", argument="quirks"),
    Setting("space", "how much it can store, in bytes", "number", "BYTES"),
    Setting("chunk-size", "what it asks for in Deploy, in bytes", "number", "BYTES", least=1, most=2**31 - 1),
    Setting("state", "keep what it stores in this folder", "folder", "DIR", run=False),
    Setting("seed", "of the failpoints' chance", "number", "NUMBER", "0", run=False),
)  # fmt: skip


def flag(text: str, name: str) -> bool:
    """Whether a word means yes; `name` is where it stands. Raises `InvalidArgumentError` for one that says neither."""
    word = text.strip().lower()
    if word not in (*_YES, *_NO):
        raise InvalidArgumentError(f"{name}={text}: that is neither yes nor no", hint="give yes or no, or leave it out")
    return word in _YES


def _kept(text: str, where: str) -> str | None:
    if text in ("always", "failed"):
        return text
    try:
        return "always" if flag(text, where) else None
    except InvalidArgumentError:
        raise InvalidArgumentError(f"{where}={text}: give always, failed or no") from None


def emulator_environment() -> dict[str, Any]:
    """What the environment says of the emulated device, as arguments of `holdfast.emulator`; only what it says."""
    quirks = [name for name in os.environ.get("HOLDFAST_QUIRKS", "").split(",") if name]
    black_hole = environment_flag("HOLDFAST_BLACK_HOLE")
    return ({"quirks": quirks} if quirks else {}) | ({"black_hole": True} if black_hole else {})


def environment_flag(variable: str) -> bool:
    """Whether an environment variable says yes. Raises `InvalidArgumentError` where it says neither."""
    return flag(os.environ.get(variable, ""), variable)


def time(text: str | None, where: str) -> float | None:
    """The seconds of a time that an option allows, such as 500ms; None where there is none.

    `where` is the option. Raises `InvalidArgumentError`.
    """
    return None if text is None else _seconds(text, where)


def _seconds(text: str, where: str) -> float:
    from holdfast.deadlines import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{where}: {error}") from None


def nearest(word: str, known: Iterable[str], listing: str = "") -> str:
    """What to try instead of a word that is not known; `listing` says where all are, if they are too many to say."""
    names = list(known)
    near = difflib.get_close_matches(word, names, 1)
    return f"did you mean {near[0]}?" if near else listing or f"it has {several(names)}"


def several(names: Sequence[str]) -> str:
    """Names for a line: of very many, the first."""
    more = len(names) - _SHOWN
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_SHOWN])} and {more} more"
