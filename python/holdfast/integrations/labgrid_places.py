"""Devices as places of a labgrid coordinator: which there are, and who has them.

A device is had by a reservation that is refreshed, and not acquired: labgrid ends a reservation that nobody refreshes
for a minute, and an acquired place never. Nobody else can acquire a reserved place.
"""

from __future__ import annotations

import getpass
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import grpc
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.remote.generated import labgrid_coordinator_pb2_grpc as services
from labgrid.util import labgrid_version

from holdfast import options, waiting
from holdfast.deadlines import shown
from holdfast.exceptions import ConnectError, DeviceOccupied, TestbedError

# How long a coordinator may take to answer, in seconds.
ANSWER = 10.0
# A reservation ends a minute after it was last refreshed.
REFRESH = 15.0
# From one look at a reservation that waits to the next, and from one word about it to the next.
LOOK, TELL = 1.0, 60.0
WAITING, ALLOCATED, ACQUIRED = 0, 1, 2
RESOURCE = "GnoiDevice"


def owner() -> str:
    """Who we are, as labgrid's own client says it: HOST/USER."""
    host = os.environ.get("LG_HOSTNAME", socket.gethostname())
    return f"{host}/{os.environ.get('LG_USERNAME') or getpass.getuser()}"


@dataclass(frozen=True)
class Place:
    """A place as the coordinator lists it; `resource` is what is exported for its device, if it is."""

    name: str
    tags: Mapping[str, str]
    acquired: str
    reservation: str
    resource: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Holder:
    """Who has a place, and since when (seconds since 1970; 0 where the coordinator does not say)."""

    owner: str
    since: float = 0.0

    def __str__(self) -> str:
        return self.owner + (f" since {time.strftime('%H:%M', time.localtime(self.since))}" if self.since else "")


class Coordinator:
    """A labgrid coordinator. Each call has a limit; what raises says where it is and what it was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        alive = [("grpc.keepalive_time_ms", 10000), ("grpc.keepalive_timeout_ms", 10000)]
        self._channel = grpc.insecure_channel(address, options=[*alive, ("grpc.max_reconnect_backoff_ms", 2000)])
        self._stub = services.CoordinatorStub(self._channel)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def places(self) -> dict[str, Place]:
        """All of them, by name, without their resources."""
        return {place.name: place for place in map(_place, self._listed())}

    def _listed(self) -> Sequence[Any]:
        found: Sequence[Any] = self._ask("GetPlaces", messages.GetPlacesRequest()).places
        return found

    def devices(self) -> dict[str, Place]:
        """The same, each with the `GnoiDevice` that its matches name. Raises `TestbedError` where it has several."""
        updates: list[Any] = []
        with self._session(updates, everything=True):
            listed = self._listed()
        exported = [update.resource for update in updates if update.WhichOneof("kind") == "resource"]
        found = {}
        for each in listed:
            own = [resource for resource in exported if _is_of(resource, each)]
            if len(own) > 1:
                raise TestbedError(
                    f"labgrid place {each.name}: it has {len(own)} resources {RESOURCE}: one is a device"
                )
            found[each.name] = _place(each, _params(own[0]) if own else None)
        return found

    def reserve(self, place: str) -> str:
        """Reserve it, or wait for it; the token."""
        request = messages.CreateReservationRequest(prio=0.0)
        request.filters["main"].filter["name"] = place
        with self._session([], everything=False):
            token: str = self._ask("CreateReservation", request).reservation.token
        return token

    def poll(self, token: str) -> int | None:
        """The state of a reservation, which is refreshed by that; None where the coordinator does not know it."""
        try:
            state: int = self._ask("PollReservation", messages.PollReservationRequest(token=token)).reservation.state
        except _Refused:
            return None
        return state

    def cancel(self, token: str) -> None:
        """Give it back; one that is not there any more is no trouble."""
        with suppress(_Refused):
            self._ask("CancelReservation", messages.CancelReservationRequest(token=token))

    def holder(self, place: str) -> Holder | None:
        """Who has a place; None where nobody does."""
        known = self.places().get(place)
        if known is None or not (known.acquired or known.reservation):
            return None
        listed = self._ask("GetReservations", messages.GetReservationsRequest()).reservations
        reserved = next((each for each in listed if each.token == known.reservation), None)
        if reserved is None:
            return Holder(known.acquired) if known.acquired else None
        return Holder(reserved.owner, reserved.created)

    def _ask(self, what: str, request: Any) -> Any:
        try:
            return getattr(self._stub, what)(request, timeout=ANSWER, wait_for_ready=False)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                raise _Refused(str(error.details())) from None
            raise self._trouble(what, error.code().name, str(error.details())) from None

    def _trouble(self, what: str, code: str, details: str) -> ConnectError:
        how = f"it does not answer {what} within {ANSWER:g} s" if code == "DEADLINE_EXCEEDED" else f"{code} ({details})"
        return ConnectError(
            f"labgrid coordinator {self.address}: {how}", operation=what, hint="is labgrid-coordinator running there?"
        )

    @contextmanager
    def _session(self, updates: list[Any], *, everything: bool) -> Iterator[None]:
        """Be known to the coordinator by our name, as who reserves must be; with `everything`, see its resources."""
        said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        came: queue.SimpleQueue[Any] = queue.SimpleQueue()
        said.put(messages.ClientInMessage(startup=messages.StartupDone(version=labgrid_version(), name=owner())))
        if everything:
            said.put(messages.ClientInMessage(subscribe=messages.Subscribe(all_resources=True)))
        said.put(messages.ClientInMessage(sync=messages.Sync(id=1)))
        stream = self._stub.ClientStream(iter(said.get, None))

        def read() -> None:
            try:
                for message in stream:
                    came.put(message)
            except grpc.RpcError as error:
                came.put(error)

        threading.Thread(target=read, daemon=True).start()
        try:
            self._await_sync(came, updates)
            yield
        finally:
            said.put(None)
            stream.cancel()

    def _await_sync(self, came: queue.SimpleQueue[Any], updates: list[Any]) -> None:
        deadline = time.monotonic() + ANSWER
        while True:
            try:
                message = came.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._trouble("ClientStream", "DEADLINE_EXCEEDED", "") from None
            if isinstance(message, grpc.RpcError):
                raise self._trouble("ClientStream", message.code().name, str(message.details())) from None
            updates.extend(message.updates)
            if message.HasField("sync"):
                return


class _Refused(Exception):
    """The coordinator says that a request does not fit what it knows."""


def _place(given: Any, resource: Mapping[str, Any] | None = None) -> Place:
    return Place(given.name, dict(given.tags), given.acquired, given.reservation, resource)


def _is_of(resource: Any, place: Any) -> bool:
    path = resource.path
    return resource.cls == RESOURCE and any(
        fnmatchcase(path.exporter_name, match.exporter)
        and fnmatchcase(path.group_name, match.group)
        and fnmatchcase(resource.cls, match.cls)
        and (not match.HasField("name") or fnmatchcase(path.resource_name, match.name))
        for match in place.matches
    )


def _params(resource: Any) -> dict[str, Any]:
    kinds = {key: value.WhichOneof("kind") for key, value in resource.params.items()}
    return {key: getattr(resource.params[key], kind) for key, kind in kinds.items() if kind is not None}


class PlaceClaim:
    """A place that is reserved for us, and refreshed until it is released."""

    def __init__(self, coordinator: Coordinator, place: str, token: str) -> None:
        self.place = place
        self._coordinator, self._token = coordinator, token
        self._over = threading.Event()
        # What befell it, for who reads the end of a run.
        self.events: list[str] = []
        # Who has it in our place, once somebody does.
        self.lost: str | None = None
        self._silent = False
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Let others have it; where the coordinator does not answer, it does so by itself within a minute."""
        self._over.set()
        self._thread.join(3 * ANSWER)
        with suppress(ConnectError):
            self._coordinator.cancel(self._token)

    def _refresh(self) -> None:
        while not self._over.wait(REFRESH):
            self.look()

    def look(self) -> None:
        """Refresh it, reserve it again where the coordinator forgot it, and see whether another has it."""
        if self.lost is not None:
            return
        try:
            state = self._coordinator.poll(self._token)
            if state not in (WAITING, ALLOCATED, ACQUIRED):
                self._again()
            holder = self._coordinator.holder(self.place)
        except ConnectError as error:
            if not self._silent:
                self.events.append(f"{self.place}: {error.message}")
            self._silent = True
            return
        self._silent = False
        if holder is not None and holder.owner != owner():
            self.lost = f"{self.place}: the labgrid coordinator gave it to {holder} while it was reserved for us"
            self.events.append(self.lost)

    def _again(self) -> None:
        """A coordinator that was started anew knows no reservations."""
        self._token = self._coordinator.reserve(self.place)
        self.events.append(f"{self.place}: the labgrid coordinator had forgotten its reservation; reserved again")


class LabgridPlaces:
    """The places of a coordinator, to be reserved."""

    def __init__(self, address: str) -> None:
        self.coordinator = Coordinator(address)

    def claim(self, device: str, *, patience: float, tell: Callable[[str], object]) -> PlaceClaim:
        """Reserve a place; what waits is told for whom, and each minute again."""
        known = self.coordinator.places()
        if device not in known:
            where = f"labgrid coordinator {self.coordinator.address}"
            raise TestbedError(f"{where}: there is no place {device}", hint=options.nearest(device, known))
        waits = _Wait(self.coordinator, device, patience, tell)
        try:
            got = waiting.until(waits.is_ours, patience, look=LOOK)
        except BaseException:
            waits.give_up()
            raise
        if not got:
            holder = waits.give_up()
            raise DeviceOccupied(
                f"{device}: {holder or 'somebody'} has it; waited {shown(patience)}",
                device=device,
                hint="--dut-wait TIME waits longer; `labgrid-client reservations` lists who waits",
            )
        return PlaceClaim(self.coordinator, device, waits.token)


class _Wait:
    """A reservation that is not ours yet."""

    def __init__(self, coordinator: Coordinator, place: str, patience: float, tell: Callable[[str], object]) -> None:
        self._coordinator, self._place, self._patience, self._tell = coordinator, place, patience, tell
        self.token = coordinator.reserve(place)
        self._told = ""
        self._tell_again = 0.0

    def is_ours(self) -> bool:
        state = self._coordinator.poll(self.token)
        if state in (ALLOCATED, ACQUIRED):
            return True
        if state != WAITING:  # the coordinator was started anew, or ended it
            self.token = self._coordinator.reserve(self._place)
            return False
        holder = str(self._coordinator.holder(self._place) or "nobody yet")
        if holder != self._told or time.monotonic() > self._tell_again:
            self._told, self._tell_again = holder, time.monotonic() + TELL
            self._tell(f"{self._place}: {holder} has it; waiting, at most {shown(self._patience)} (--dut-wait)")
        return False

    def give_up(self) -> Holder | None:
        """Who has it instead of us."""
        try:
            holder = self._coordinator.holder(self._place)
            self._coordinator.cancel(self.token)
        except ConnectError:
            return None
        return holder
