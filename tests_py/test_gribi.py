"""The emulated device's gRIBI, by a client that does what featureprofiles' does: session, election, entries, flush."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import holdfast

from conftest import wait_until

grpc = pytest.importorskip("grpc", reason="pip install grpcio")
pytest.importorskip("grpc_tools", reason="pip install grpcio-tools")

DEFAULT = "DEFAULT"
# What a call may take, in seconds; a device that does not answer fails the test.
LIMIT = 20


class Session:
    """A Modify stream: what is sent, and what comes."""

    def __init__(self, client: Client, channel: Any) -> None:
        self._messages = client.messages
        self._requests: queue.Queue[Any] = queue.Queue()
        modify = channel.stream_stream(
            "/gribi.gRIBI/Modify",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=client.messages("gribi.ModifyResponse").FromString,
        )
        self._answers = modify(iter(self._requests.get, None), timeout=LIMIT)

    def ask(self, **fields: Any) -> Any:
        self._requests.put(self._messages("gribi.ModifyRequest")(**fields))
        return next(self._answers)

    def begin(self, election_id: int, **parameters: Any) -> Any:
        """Parameters and an election id; the highest that the device knows."""
        asked = {"redundancy": "SINGLE_PRIMARY", "persistence": "PRESERVE", "ack_type": "RIB_ACK", **parameters}
        assert self.ask(params=asked).HasField("session_params_result")
        return self.ask(election_id={"low": election_id}).election_id.low

    def program(self, *entries: dict[str, Any], election_id: int, op: str = "ADD") -> list[tuple[int, str]]:
        """Each result's id and status; entries have the ids 1, 2…"""
        said = {"network_instance": DEFAULT, "op": op, "election_id": {"low": election_id}}
        answer = self.ask(operation=[{"id": number, **said, **entry} for number, entry in enumerate(entries, 1)])
        return [(each.id, type(each).Status.Name(each.status)) for each in answer.result]

    def end(self) -> None:
        self._requests.put(None)
        assert list(self._answers) == []

    def cancel(self) -> None:
        self._requests.put(None)
        self._answers.cancel()


class Client:
    """Of a device's gRIBI."""

    def __init__(self, channel: Any, messages: Any) -> None:
        self._channel = channel
        self.messages = messages

    @contextmanager
    def session(self) -> Iterator[Session]:
        session = Session(self, self._channel)
        try:
            yield session
        finally:
            session.cancel()

    def get(self, aft: str = "ALL", **where: Any) -> list[Any]:
        get = self._channel.unary_stream(
            "/gribi.gRIBI/Get",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.messages("gribi.GetResponse").FromString,
        )
        asked = self.messages("gribi.GetRequest")(aft=aft, **(where or {"all": {}}))
        return [entry for answer in get(asked, timeout=LIMIT, wait_for_ready=True) for entry in answer.entry]

    def flush(self, **fields: Any) -> Any:
        flush = self._channel.unary_unary(
            "/gribi.gRIBI/Flush",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.messages("gribi.FlushResponse").FromString,
        )
        return flush(self.messages("gribi.FlushRequest")(**fields), timeout=LIMIT)


@pytest.fixture
def client(chassis_of_test: holdfast.Emulator, messages: Any) -> Iterator[Client]:
    with grpc.insecure_channel(chassis_of_test.address) as channel:
        yield Client(channel, messages)


def next_hop(index: int, content: bytes = b"\x0a\x01x") -> dict[str, Any]:
    return {"next_hop": {"index": index, "next_hop": content}}


def group(number: int) -> dict[str, Any]:
    return {"next_hop_group": {"id": number, "next_hop_group": b"\x0a\x02yz"}}


def reason(messages: Any, error: Any) -> str:
    """The reason in an error's details."""
    trailers = dict(error.trailing_metadata())
    (details,) = messages("google.rpc.Status").FromString(trailers["grpc-status-details-bin"]).details
    message = messages(details.type_url.rpartition("/")[2]).FromString(details.value)
    ((field, value),) = message.ListFields()
    return str(field.enum_type.values_by_number[value].name)


def test_a_client_becomes_leader_flushes_programs_and_gets_what_it_programmed(client: Client) -> None:
    with client.session() as session:
        assert session.begin(1, ack_type="RIB_AND_FIB_ACK") == 1
        assert client.flush(id={"low": 1}, all={}).result == client.messages("gribi.FlushResponse").OK
        assert client.get() == []
        prefix = {"ipv4": {"prefix": "203.0.113.0/24", "ipv4_entry": b"\x0a\x01w"}}
        done = session.program(next_hop(1), group(7), prefix, election_id=1)
        both = ("RIB_PROGRAMMED", "FIB_PROGRAMMED")
        assert done == [(number, status) for number in (1, 2, 3) for status in both]
        (hop,) = client.get("NEXTHOP", name=DEFAULT)
        assert (hop.next_hop.index, hop.next_hop.next_hop, hop.network_instance) == (1, b"\x0a\x01x", DEFAULT)
        assert (hop.rib_status, hop.fib_status) == (hop.PROGRAMMED, hop.PROGRAMMED)
        (of_group,) = client.get("NEXTHOP_GROUP")
        assert (of_group.next_hop_group.id, of_group.next_hop_group.next_hop_group) == (7, b"\x0a\x02yz")
        assert len(client.get()) == 3
        assert client.get(name="another") == []
        assert [status for _, status in session.program(next_hop(1), election_id=1, op="DELETE")] == [*both]
        assert session.program(next_hop(1), election_id=1, op="REPLACE") == [(1, "FAILED")]
        session.end()
    assert len(client.get()) == 2, "PRESERVE"
    flushed = client.flush(override={}, name=DEFAULT)
    assert flushed.result == flushed.OK
    assert flushed.timestamp > 0
    assert client.get() == []


def test_more_entries_than_one_message_carries_all_come(client: Client) -> None:
    with client.session() as session:
        session.begin(1)
        session.program(*(next_hop(number) for number in range(1, 251)), election_id=1)
        assert [entry.next_hop.index for entry in client.get()] == list(range(1, 251))


def test_only_the_primary_programs(client: Client) -> None:
    with client.session() as one, client.session() as other:
        assert one.begin(3) == 3
        assert other.begin(2) == 3
        assert other.program(next_hop(1), election_id=2) == [(1, "FAILED")]
        assert one.program(next_hop(1), election_id=3) == [(1, "RIB_PROGRAMMED")]
        assert other.ask(election_id={"low": 4}).election_id.low == 4
        assert one.program(next_hop(2), election_id=3) == [(1, "FAILED")]
        assert other.program(next_hop(3), election_id=4) == [(1, "RIB_PROGRAMMED")]
    assert [entry.next_hop.index for entry in client.get()] == [1, 3]


@pytest.mark.parametrize(
    ("asked", "code", "why"),
    [
        ([{"params": {}}], "UNIMPLEMENTED", "UNSUPPORTED_PARAMS"),
        ([{"params": {"redundancy": 1, "persistence": 1}}] * 2, "FAILED_PRECONDITION", "MODIFY_NOT_ALLOWED"),
        (
            [{"params": {"redundancy": 1, "persistence": 1, "ack_type": 1}}],
            "FAILED_PRECONDITION",
            "PARAMS_DIFFER_FROM_OTHER_CLIENTS",
        ),
        ([{"election_id": {"low": 1}}], "FAILED_PRECONDITION", "ELECTION_ID_IN_ALL_PRIMARY"),
        ([{"operation": [{"id": 1, "network_instance": DEFAULT}]}], "UNIMPLEMENTED", "UNSUPPORTED_PARAMS"),
        ([{}], "INVALID_ARGUMENT", None),
    ],
    ids=["all primary", "parameters twice", "other parameters", "no parameters", "no session", "nothing"],
)
def test_a_session_that_is_refused_says_why(
    client: Client, asked: list[dict[str, Any]], code: str, why: str | None
) -> None:
    with client.session() as other, client.session() as session:
        other.begin(1)
        *taken, refused = asked
        for fields in taken:
            session.ask(**fields)
        with pytest.raises(grpc.RpcError) as caught:
            session.ask(**refused)
        assert caught.value.code().name == code
        if why is not None:
            assert reason(client.messages, caught.value) == why
        assert other.program(next_hop(1), election_id=1) == [(1, "RIB_PROGRAMMED")], "the other's goes on"


@pytest.mark.parametrize(
    ("fields", "code", "why"),
    [
        ({"all": {}}, "FAILED_PRECONDITION", "UNSPECIFIED_ELECTION_BEHAVIOR"),
        ({"all": {}, "id": {"low": 4}}, "FAILED_PRECONDITION", "NOT_PRIMARY"),
        ({"all": {}, "id": {}}, "INVALID_ARGUMENT", "INVALID_ELECTION_ID"),
        ({"override": {}}, "INVALID_ARGUMENT", "UNSPECIFIED_NETWORK_INSTANCE"),
        ({"override": {}, "name": ""}, "INVALID_ARGUMENT", "INVALID_NETWORK_INSTANCE"),
    ],
)
def test_a_flush_that_is_refused_says_why_and_removes_nothing(
    client: Client, fields: dict[str, Any], code: str, why: str
) -> None:
    with client.session() as session:
        session.begin(5)
        session.program(next_hop(1), election_id=5)
        with pytest.raises(grpc.RpcError) as caught:
            client.flush(**fields)
        assert (caught.value.code().name, reason(client.messages, caught.value)) == (code, why)
        assert len(client.get()) == 1


@pytest.mark.parametrize("fields", [{"aft": "INVALID"}, {"name": ""}], ids=["no table", "no network instance"])
def test_a_get_of_nothing_in_particular_is_refused(client: Client, fields: dict[str, Any]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.get(**fields)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_switchover_keeps_what_was_programmed_and_a_reboot_does_not(client: Client, device: holdfast.Device) -> None:
    with client.session() as session:
        session.begin(9)
        session.program(next_hop(1), election_id=9)
        device.switchover()
        with pytest.raises(grpc.RpcError):
            session.ask(election_id={"low": 10})
    assert [entry.next_hop.index for entry in client.get()] == [1]
    with client.session() as session:
        assert session.begin(1) == 9, "the highest id is known still"
    device.reboot()
    assert client.get() == []
    with client.session() as session:
        assert session.begin(1) == 1


def test_a_switchover_takes_along_what_a_client_wants_deleted(client: Client, device: holdfast.Device) -> None:
    with client.session() as session:
        session.begin(1, persistence="DELETE")
        session.program(next_hop(1), election_id=1)
        assert len(client.get()) == 1
        device.switchover()
        wait_until(lambda: client.get() == [], what="the end of what the client added")


def test_it_has_failpoints_as_other_services_have(chassis_of_test: holdfast.Emulator, client: Client) -> None:
    with (
        chassis_of_test.failpoint("gribi.Flush", "error[UNAVAILABLE](busy)"),
        pytest.raises(grpc.RpcError, match="busy"),
    ):
        client.flush(override={}, all={})
    with (
        chassis_of_test.failpoint("gribi.Modify", "error[UNAVAILABLE](busy)"),
        client.session() as session,
        pytest.raises(grpc.RpcError, match="busy"),
    ):
        session.begin(1)
