"""What a testbed says of a device beside how it is reached: maintenance, workers, tags; and who is chosen by them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from holdfast import choices, options
from holdfast.exceptions import InvalidArgumentError, TestbedError
from holdfast.secret import Secret

if TYPE_CHECKING:
    from holdfast.testbed.target import Target

TAG = "tag:"
# What a testbed begins with that is a labgrid coordinator, and where that listens unless said.
SCHEME, PORT = "labgrid://", 20408
# What a tag or the id of a worker is made of: they are listed with commas, and xdist's specs are divided by slashes.
_WORD = re.compile(r"[^\s,/]+")


@dataclass(frozen=True)
class Maintenance:
    """A device is not to be tested, and why. `until` is a day or a local time in ISO 8601; both may be empty."""

    reason: str = ""
    until: str = ""

    @property
    def has_passed(self) -> bool:
        """Whether it was to end before now. It goes on all the same: a promise brings no device back."""
        if not self.until:
            return False
        end = datetime.fromisoformat(self.until)
        if len(self.until) == len("2026-12-24"):
            end = datetime.combine(end, time.max)
        return end.astimezone() < datetime.now().astimezone()

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        end = f"{',' * bool(why)} until {self.until}" if self.until else ""
        late = ", which has passed: the testbed says so until it is changed" if self.has_passed else ""
        return f"in maintenance{why}{end}{late}"


def maintenance(where: str, given: Mapping[str, Any]) -> Maintenance | None:
    """As a device's fields say it. Raises `TestbedError`."""
    state = given.get("state")
    words = choices.words(choices.DeviceState)
    if state is not None and state not in words:
        raise TestbedError(f"{where}: state is {kind_of(state)}: give {' or '.join(words)}")
    for key, what in (("reason", "why"), ("until", "how long")):
        if given.get(key) is not None and state != "maintenance":
            say = ": say state: maintenance" if state is None else ""
            raise TestbedError(f"{where}: {key} says {what} it is in maintenance, and it is not{say}")
    if state != "maintenance":
        return None
    reason = given.get("reason") or ""
    if not isinstance(reason, str):
        raise TestbedError(f"{where}: reason is {kind_of(reason)}: give a text")
    return Maintenance(reason, _until(where, given.get("until")))


def _until(where: str, given: Any) -> str:
    if isinstance(given, datetime):
        return given.isoformat(" ", timespec="minutes")
    if isinstance(given, date):
        return given.isoformat()
    try:
        if given is not None:
            datetime.fromisoformat(given)
    except (TypeError, ValueError):
        say = "give a day or a time, such as 2026-12-24"
        raise TestbedError(f"{where}: until is {kind_of(given)}: {say}") from None
    return given or ""


def listed(where: str, key: str, given: Any) -> tuple[str, ...]:
    """A list of words. Raises `TestbedError`."""
    if given is None:
        return ()
    if not isinstance(given, list):
        raise TestbedError(f"{where}: {key} is {kind_of(given)}: give a list of texts")
    if wrong := [each for each in given if not (isinstance(each, str) and _WORD.fullmatch(each))]:
        raise TestbedError(f"{where}: {key} has {kind_of(wrong[0])}: give texts without blanks and commas")
    if key == "workers" and not given:
        raise TestbedError(f"{where}: workers is empty: nobody would reach it; leave it out, and all do")
    return tuple(given)


def kind_of(value: object) -> str:
    """A value where it is plain, else what it is: inside there may be somebody's secret in a wrong place."""
    if isinstance(value, str | int | float):
        return repr(value)
    return {Secret: "a hidden text", dict: "a mapping", list: "a list"}.get(type(value), f"a {type(value).__name__}")


def names(said: str | None) -> tuple[str, ...]:
    """What `--device` or `--dut-device` lists."""
    return tuple(dict.fromkeys(name for name in (said or "").split(",") if name))


def chosen(targets: Sequence[Target], said: str | None) -> tuple[Target, ...]:
    """Those that are named or bear a tag, in the order of what was said; all where it says nothing, or `all`.

    Raises `InvalidArgumentError`, whose message is the word that means nothing.
    """
    wanted, by_name = names(said), {target.name: target for target in targets}
    if not wanted or (wanted == ("all",) and "all" not in by_name):
        return tuple(targets)
    found: dict[str, Target] = {}
    for word in wanted:
        tagged = word.startswith(TAG) and word not in by_name
        those = [target for target in targets if word.removeprefix(TAG) in target.tags] if tagged else []
        if word in by_name:
            those = [by_name[word]]
        if not those:
            raise InvalidArgumentError(word, hint=_instead(word, targets, tagged=tagged))
        found.update({target.name: target for target in those})
    return tuple(found.values())


def _instead(word: str, targets: Sequence[Target], *, tagged: bool) -> str:
    """What to say for a word that no device is called and that none bears as a tag."""
    tags = list(dict.fromkeys(tag for target in targets for tag in target.tags))
    of_devices = options.nearest(word, [target.name for target in targets])
    if not tagged:
        return f"it is a tag: {TAG}{word}" if word in tags else of_devices
    if not tags:
        return f"no device has a tag; {of_devices}"
    near = get_close_matches(word.removeprefix(TAG), tags, 1)  # its prefix is like that of any
    meant = f"did you mean {TAG}{near[0]}? " if near else ""
    return f"{meant}the tags there are: {options.several([f'{TAG}{tag}' for tag in tags])}"


def is_named(target: Target, said: str | None) -> bool:
    """Whether it was asked for by its name, which goes before the state that the testbed gives it."""
    return target.name in names(said)


def checked_reserve(where: str, given: Any) -> str | None:
    """The coordinator that a testbed names for its devices. Raises `TestbedError`."""
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) != {"labgrid"} or not isinstance(given["labgrid"], str):
        raise TestbedError(f"{where}: reserve: say {{labgrid: HOST:PORT}}")
    return coordinator(f"{where}: reserve", given["labgrid"])


def coordinator(where: str, text: str) -> str:
    """HOST:PORT of one, with labgrid's own port where none is given. Raises `TestbedError`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path or parts.query or parts.username is not None:
        raise TestbedError(f"{where}: {text!r} is no coordinator: give HOST[:PORT]")
    return f"[{host}]:{port or PORT}" if ":" in host else f"{host}:{port or PORT}"


def is_url(text: object) -> bool:
    """Whether a testbed is a coordinator's."""
    return str(text).startswith(SCHEME)
