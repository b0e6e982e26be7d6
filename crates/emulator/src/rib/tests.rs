use std::sync::Arc;

use super::{FlushRefused, ModifyRefused, Rib, Session, halves};
use holdfast_wire::gribi::aft_operation::{Entry, Operation};
use holdfast_wire::gribi::aft_result::Status;
use holdfast_wire::gribi::flush_request::{Election, NetworkInstance};
use holdfast_wire::gribi::session_parameters::{AftPersistence, AftResultStatusType, ClientRedundancy};
use holdfast_wire::gribi::{AftOperation, AftType, Empty, FlushRequest, ModifyRequest, SessionParameters};
use holdfast_wire::gribi_aft::afts::{Ipv4EntryKey, NextHopGroupKey, NextHopKey};

const PRESERVE: SessionParameters = SessionParameters {
    redundancy: ClientRedundancy::SinglePrimary as i32,
    persistence: AftPersistence::Preserve as i32,
    ack_type: AftResultStatusType::RibAck as i32,
};
const FIB: SessionParameters = SessionParameters { ack_type: AftResultStatusType::RibAndFibAck as i32, ..PRESERVE };
const DELETE: SessionParameters = SessionParameters { persistence: AftPersistence::Delete as i32, ..PRESERVE };

fn parameters(session: &Session, asked: SessionParameters) -> Result<(), ModifyRefused> {
    let request = ModifyRequest { params: Some(asked), ..ModifyRequest::default() };
    session.take(request, 1).map(|answer| assert!(answer.session_params_result.is_some()))
}

/// The highest id that it is told.
fn elect(session: &Session, id: u128) -> Result<u128, ModifyRefused> {
    let request = ModifyRequest { election_id: Some(halves(id)), ..ModifyRequest::default() };
    session.take(request, 1).map(|answer| super::number(answer.election_id.expect("the highest")))
}

fn operation(election_id: u128, op: Operation, entry: Entry) -> AftOperation {
    let network_instance = "DEFAULT".to_owned();
    AftOperation { id: 7, network_instance, op: op as i32, entry: Some(entry), election_id: Some(halves(election_id)) }
}

fn next_hop(index: u64, next_hop: &[u8]) -> Entry {
    Entry::NextHop(NextHopKey { index, next_hop: next_hop.to_vec() })
}

/// What came of it.
fn operate(session: &Session, operation: AftOperation) -> Vec<Status> {
    let answer = session.take(ModifyRequest { operation: vec![operation], ..ModifyRequest::default() }, 1);
    let results = answer.expect("the session goes on").result;
    assert!(results.iter().all(|result| (result.id, result.timestamp) == (7, 1)));
    results.iter().map(super::AftResult::status).collect()
}

fn primary(rib: &Arc<Rib>, asked: SessionParameters, id: u128) -> Session {
    let session = rib.join();
    parameters(&session, asked).expect("nobody asked otherwise");
    assert_eq!(elect(&session, id), Ok(id));
    session
}

fn count(rib: &Rib, table: AftType) -> usize {
    rib.installed(None, table).len()
}

#[test]
fn the_highest_id_wins_and_each_is_told_it() {
    let rib = Arc::new(Rib::default());
    let wide = 1 << 64; // its lower half is 0
    let one = primary(&rib, PRESERVE, 5);
    let other = primary(&rib, PRESERVE, wide);
    assert_eq!(elect(&one, 6), Ok(wide));
    assert_eq!(operate(&one, operation(6, Operation::Add, next_hop(1, b""))), [Status::Failed]);
    assert_eq!(operate(&one, operation(wide, Operation::Add, next_hop(1, b""))), [Status::Failed], "not its own");
    assert_eq!(operate(&other, operation(6, Operation::Add, next_hop(1, b""))), [Status::Failed], "not its latest");
    let unsaid = AftOperation { election_id: None, ..operation(wide, Operation::Add, next_hop(1, b"")) };
    assert_eq!(operate(&other, unsaid), [Status::Failed]);
    assert_eq!(count(&rib, AftType::All), 0);
    assert_eq!(operate(&other, operation(wide, Operation::Add, next_hop(1, b""))), [Status::RibProgrammed]);
    assert_eq!(elect(&one, wide), Ok(wide), "of equal ones the latest");
    assert_eq!(operate(&one, operation(wide, Operation::Add, next_hop(2, b""))), [Status::RibProgrammed]);
    assert_eq!(operate(&other, operation(wide, Operation::Add, next_hop(3, b""))), [Status::Failed]);
    drop((one, other));
    let late = rib.join();
    parameters(&late, PRESERVE).expect("nobody is left");
    assert_eq!(elect(&late, 1), Ok(wide), "it is known after its client left");
}

#[test]
fn parameters_are_sent_once_first_and_alike() {
    let rib = Arc::new(Rib::default());
    let session = rib.join();
    assert_eq!(elect(&session, 1), Err(ModifyRefused::ElectionInAllPrimary));
    let early =
        ModifyRequest { operation: vec![operation(1, Operation::Add, next_hop(1, b""))], ..ModifyRequest::default() };
    assert_eq!(session.take(early.clone(), 1), Err(ModifyRefused::ParametersUnsupported));
    for unsupported in [
        SessionParameters::default(),
        SessionParameters { redundancy: 9, ..PRESERVE },
        SessionParameters { persistence: 9, ..PRESERVE },
        SessionParameters { ack_type: 9, ..PRESERVE },
    ] {
        assert_eq!(parameters(&session, unsupported), Err(ModifyRefused::ParametersUnsupported));
    }
    parameters(&session, PRESERVE).expect("supported");
    assert_eq!(parameters(&session, PRESERVE), Err(ModifyRefused::ParametersAgain));
    assert_eq!(elect(&session, 0), Err(ModifyRefused::ZeroElectionId));
    let both = ModifyRequest { params: Some(PRESERVE), election_id: Some(halves(1)), ..ModifyRequest::default() };
    assert_eq!(session.take(both, 1), Err(ModifyRefused::NotOneOfThree));
    assert_eq!(session.take(ModifyRequest::default(), 1), Err(ModifyRefused::NotOneOfThree));
    let mut nowhere = early;
    nowhere.operation[0].network_instance.clear();
    assert_eq!(session.take(nowhere, 1), Err(ModifyRefused::NoNetworkInstance));
    let other = rib.join();
    assert_eq!(parameters(&other, FIB), Err(ModifyRefused::ParametersDiffer));
    assert_eq!(parameters(&other, DELETE), Err(ModifyRefused::ParametersDiffer));
    drop(session);
    parameters(&other, FIB).expect("nobody has others now");
}

#[test]
fn entries_are_added_replaced_and_deleted_as_sent() {
    let rib = Arc::new(Rib::default());
    let session = primary(&rib, FIB, 1);
    let done = [Status::RibProgrammed, Status::FibProgrammed];
    let ask = |op: Operation, entry: Entry| operate(&session, operation(1, op, entry));
    let prefix = |prefix: &str| Entry::Ipv4(Ipv4EntryKey { prefix: prefix.to_owned(), ipv4_entry: Vec::new() });
    assert_eq!(ask(Operation::Replace, next_hop(1, b"none")), [Status::Failed]);
    assert_eq!(ask(Operation::Add, next_hop(1, b"first")), done);
    assert_eq!(ask(Operation::Add, next_hop(1, b"again")), done);
    assert_eq!(ask(Operation::Replace, next_hop(1, b"last")), done);
    let group = Entry::NextHopGroup(NextHopGroupKey { id: 1, next_hop_group: b"group".to_vec() });
    assert_eq!(ask(Operation::Add, group), done);
    assert_eq!(ask(Operation::Add, prefix("203.0.113.0/24")), done);
    for bad in ["", "203.0.113.0", "203.0.113.0/33", "2001:db8::/32"] {
        assert_eq!(ask(Operation::Add, prefix(bad)), [Status::Failed], "{bad}");
    }
    assert_eq!(ask(Operation::Invalid, next_hop(1, b"")), [Status::Failed]);
    let [only] = &rib.installed(Some("DEFAULT"), AftType::Nexthop)[..] else { panic!("one next hop") };
    let kept = NextHopKey { index: 1, next_hop: b"last".to_vec() };
    assert_eq!(only.entry, Some(holdfast_wire::gribi::aft_entry::Entry::NextHop(kept)));
    assert_eq!((count(&rib, AftType::All), count(&rib, AftType::Ipv4), count(&rib, AftType::Mac)), (3, 1, 0));
    assert!(rib.installed(Some("other"), AftType::All).is_empty());
    assert_eq!(ask(Operation::Delete, next_hop(1, b"")), done);
    assert_eq!(ask(Operation::Delete, next_hop(1, b"")), done, "also where there is none");
    assert_eq!(count(&rib, AftType::All), 2);
}

#[test]
fn what_a_client_leaves_behind_is_as_it_asked() {
    let rib = Arc::new(Rib::default());
    for (asked, left) in [(DELETE, 0), (PRESERVE, 1)] {
        let session = primary(&rib, asked, 1);
        assert_eq!(operate(&session, operation(1, Operation::Add, next_hop(1, b""))), [Status::RibProgrammed]);
        drop(session);
        assert_eq!(count(&rib, AftType::All), left, "{asked:?}");
    }
}

#[test]
fn a_boot_forgets_all_and_ends_sessions() {
    let rib = Arc::new(Rib::default());
    let session = primary(&rib, PRESERVE, 9);
    operate(&session, operation(9, Operation::Add, next_hop(1, b"")));
    rib.forget();
    assert_eq!(count(&rib, AftType::All), 0);
    assert_eq!(elect(&session, 10), Err(ModifyRefused::Gone));
    let next = primary(&rib, FIB, 1);
    drop(session);
    assert_eq!(elect(&next, 2), Ok(2));
}

#[test]
fn a_flush_is_of_the_primary_or_of_whoever_insists() {
    let rib = Arc::new(Rib::default());
    let session = primary(&rib, PRESERVE, 5);
    let named = |name: &str| Some(NetworkInstance::Name(name.to_owned()));
    let flush = |election, network_instance| rib.flush(FlushRequest { election, network_instance });
    let insisting = || Some(Election::Override(Empty {}));
    let all = || Some(NetworkInstance::All(Empty {}));
    let fill = || {
        for network_instance in ["DEFAULT", "other"] {
            let network_instance = network_instance.to_owned();
            let asked = operation(5, Operation::Add, next_hop(1, b""));
            assert_eq!(operate(&session, AftOperation { network_instance, ..asked }), [Status::RibProgrammed]);
        }
    };
    fill();
    assert_eq!(flush(insisting(), None), Err(FlushRefused::NoNetworkInstance));
    assert_eq!(flush(insisting(), named("")), Err(FlushRefused::EmptyNetworkInstance));
    assert_eq!(flush(None, all()), Err(FlushRefused::NoElection));
    assert_eq!(flush(Some(Election::Id(halves(0))), all()), Err(FlushRefused::ZeroElectionId));
    assert_eq!(flush(Some(Election::Id(halves(4))), all()), Err(FlushRefused::NotPrimary));
    assert_eq!(count(&rib, AftType::All), 2);
    assert_eq!(flush(Some(Election::Id(halves(5))), named("other")), Ok(()));
    assert_eq!(rib.installed(Some("DEFAULT"), AftType::All).len(), count(&rib, AftType::All));
    fill();
    assert_eq!(flush(Some(Election::Id(halves(6))), all()), Ok(()));
    assert_eq!(count(&rib, AftType::All), 0);
    fill();
    assert_eq!(flush(insisting(), all()), Ok(()));
    assert_eq!(count(&rib, AftType::All), 0);
}
