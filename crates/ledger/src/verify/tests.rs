//! Each finding from what leads to it, and nothing from what is right.

use proptest::prelude::*;

use super::*;
use crate::record::tests::chain;
use crate::record::{Identity, ORIGIN};

fn receipts(records: &[Record]) -> Vec<Receipt> {
    let receipt = |(at, record): (u64, &Record)| Receipt { head: record.head.clone(), payload: None, at: Some(at) };
    (0..).zip(records).map(receipt).collect()
}

fn file(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        write_at(&mut bytes, record);
    }
    bytes
}

fn write_at(bytes: &mut Vec<u8>, record: &Record) {
    let at = usize::try_from(record.head.offset).expect("a small file");
    bytes.resize(bytes.len().max(at + BLOCK), 0);
    bytes[at..at + BLOCK].copy_from_slice(&record.block());
}

fn judged(receipts: &[Receipt], bytes: &[u8]) -> Vec<Finding> {
    verify(receipts, bytes.chunks(BLOCK).map(Place::of))
}

/// Records over one another in `places`, of one incarnation.
fn ring(many: usize, places: u64) -> Vec<Record> {
    ring_of(&vec![1; many], places)
}

/// The same, with an incarnation for each.
fn ring_of(incarnations: &[u64], places: u64) -> Vec<Record> {
    let mut made: Vec<Record> = Vec::new();
    for (number, &incarnation) in (1..).zip(incarnations) {
        let identity = Identity { run: 7, writer: 3, incarnation };
        let previous = made.last().map_or(ORIGIN, |record| record.head.hash);
        let offset = (number - 1) % places * BLOCK as u64;
        made.push(Record::new(identity, number, offset, previous, payload::generate(identity, number)));
    }
    made
}

#[test]
fn what_is_all_there_is_no_finding() {
    let all = chain(&[1, 1, 2, 2]);
    let whole = receipts(&all);
    assert_eq!(judged(&whole, &file(&all)), []);
    assert_eq!(judged(&whole[..2], &file(&all)), [], "the last acknowledgements may have been lost");
    let torn = [file(&all), all[0].block()[..600].to_vec()].concat();
    assert_eq!(judged(&whole, &torn), []);
    let preallocated = [file(&all), vec![0; 9 * BLOCK]].concat();
    assert_eq!(judged(&whole, &preallocated), []);
    let over = ring(10, 4);
    assert_eq!(judged(&receipts(&over), &file(&over)), []);
    assert_eq!(judged(&receipts(&over[..8]), &file(&over)), []);
}

#[test]
fn what_is_read_is_judged_as_what_is_held() {
    let all = chain(&[1; 300]); // more than is read at once
    let whole = receipts(&all);
    let mut bytes = [file(&all), vec![0; 9 * BLOCK], b"nonsense".to_vec()].concat();
    bytes[3 * BLOCK + 200] ^= 1;
    bytes[290 * BLOCK..291 * BLOCK].fill(0);
    let read = |from: &mut dyn Read| {
        let mut judge = Judge::new(&whole);
        judge.read(from).expect("it is in the memory");
        judge.findings()
    };
    let held = judged(&whole, &bytes);
    assert_eq!(held, [Finding::Lost(291), Finding::BitFlip(4), Finding::Damaged(300)]);
    assert_eq!(read(&mut bytes.as_slice()), held);
    assert_eq!(read(&mut Dribble(bytes.as_slice())), held, "a few bytes at a time");
}

/// Reads an odd number of bytes at a time, interrupted now and then.
struct Dribble<'a>(&'a [u8]);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.len() % 2 == 1 {
            let (one, rest) = self.0.split_at(1);
            (buffer[0], self.0) = (one[0], rest);
            return Ok(1);
        }
        let many = buffer.len().min(4099);
        self.0.read(&mut buffer[..many])
    }
}

#[test]
fn a_writer_that_was_told_yes_after_another_is_known_by_the_clock() {
    let mut acknowledged = receipts(&chain(&[1, 2]));
    let more = chain(&[1, 1, 1]);
    acknowledged.push(Receipt { head: more[2].head.clone(), payload: None, at: Some(9) });
    let acknowledged: Vec<_> = acknowledged.iter().collect();
    assert!(two_writers(&acknowledged).contains(&Finding::TwoWriters(3, 1)));
    assert_eq!(two_writers(&acknowledged[..2]), []);
}

#[test]
fn an_acknowledgement_that_was_late_on_its_way_is_no_second_writer() {
    let all = chain(&[1, 1, 2]);
    let mut acknowledged = receipts(&all);
    acknowledged[1].at = Some(9); // the new writer went on from it
    assert_eq!(judged(&acknowledged, &file(&all)), []);
}

#[test]
fn one_that_was_late_is_not_taken_for_a_record_written_over_those_that_came_before_it() {
    let all = ring_of(&[1, 1, 1, 2], 2);
    let mut acknowledged = receipts(&all);
    acknowledged[1].at = Some(9);
    acknowledged[1..].rotate_left(1); // the second came last, and the fourth stands in its place
    assert_eq!(judged(&acknowledged, &file(&all)), []);
}

#[test]
fn a_record_whose_acknowledgement_was_lost_may_stand_over_an_older_one_though_others_followed() {
    let all = ring_of(&[1, 1, 1, 1, 1, 1, 2, 2], 4);
    let mut acknowledged = receipts(&all);
    acknowledged.remove(5); // its writer died before it said so; the next went on from it
    assert_eq!(judged(&acknowledged, &file(&all)), []);
    let mut late = all.clone();
    late[6] = Record::new(late[6].head.identity, 7, late[6].head.offset, late[4].head.hash, late[6].payload.clone());
    acknowledged[5] = Receipt { head: late[6].head.clone(), ..acknowledged[5].clone() };
    let found = judged(&acknowledged, &file(&all));
    assert!(found.contains(&Finding::Altered(2)), "the next did not know of it: {found:?}");
}

#[test]
fn a_number_that_is_told_again_is_no_late_answer() {
    let (all, rolled_back) = (ring_of(&[1, 1, 1, 3], 8), ring_of(&[1, 1, 2], 8));
    let acknowledged = receipts(&[&all[..], &rolled_back[2..]].concat());
    assert_eq!(judged(&acknowledged, &file(&rolled_back)), [Finding::Lost(3), Finding::Lost(4)]);
}

#[test]
fn a_number_that_is_told_again_is_of_a_record_that_stands_over_a_later_one_of_its_place() {
    let (all, rolled_back) = (ring_of(&[1, 1, 1, 3], 1), ring_of(&[1, 1, 2], 1));
    let acknowledged = receipts(&[&all[..], &rolled_back[2..]].concat());
    assert_eq!(judged(&acknowledged, &file(&rolled_back)), [Finding::Lost(4)]);
}

#[test]
fn only_acknowledgements_of_an_incarnation_that_another_followed_are_put_in_order() {
    let order = |incarnations: &[u64], told: &[usize]| -> Vec<u64> {
        let all = receipts(&chain(incarnations));
        let told: Vec<Receipt> = told.iter().map(|at| all[*at].clone()).collect();
        as_written(&told).iter().map(|receipt| receipt.head.number).collect()
    };
    assert_eq!(order(&[1, 1, 1, 2], &[0, 3, 1, 2]), [1, 2, 3, 4], "two were late");
    assert_eq!(order(&[1, 1, 1], &[0, 2, 1]), [1, 3, 2], "one writer tells in the order in which it wrote");
}

#[test]
fn a_record_of_a_later_incarnation_whose_acknowledgement_was_lost_may_stand_over_an_older_one() {
    let all = ring_of(&[1, 1, 1, 1, 2, 2], 4);
    assert_eq!(judged(&receipts(&all[..5]), &file(&all)), []);
}

#[test]
fn damage_after_the_end_is_said_to_begin_where_the_first_of_it_is() {
    let all = chain(&[1, 1, 1, 1]);
    let mut bytes = file(&all);
    bytes[2 * BLOCK..3 * BLOCK].fill(0xa5);
    bytes.extend(b"nonsense");
    assert_eq!(judged(&receipts(&all[..2]), &bytes), [Finding::Damaged(2)]);
}

#[test]
fn what_is_written_while_a_ledger_is_read_is_not_taken_for_the_rest_of_a_place() {
    let all = chain(&[1, 1]);
    let bytes = file(&all);
    let acknowledged = receipts(&all[..1]);
    let mut judge = Judge::new(&acknowledged);
    judge.read(Growing(vec![&bytes[BLOCK + 700..], &[], &bytes[..BLOCK + 700]])).expect("it is in the memory");
    assert_eq!(judge.findings(), []);
}

/// Gives one part at each read, the last first; an empty one is the end for now.
struct Growing<'a>(Vec<&'a [u8]>);

impl Read for Growing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = self.0.pop().unwrap_or_default();
        buffer[..part.len()].copy_from_slice(part);
        Ok(part.len())
    }
}

#[test]
fn a_later_incarnation_that_did_not_know_of_a_record_lost_it() {
    let all = chain(&[1, 1, 1]);
    let identity = Identity { incarnation: 2, ..all[0].head.identity };
    let fork = Record::new(identity, 2, BLOCK as u64, all[0].head.hash, payload::generate(identity, 2));
    let acknowledged = receipts(&[all.clone(), vec![fork.clone()]].concat());
    let findings = judged(&acknowledged, &file(&[all[0].clone(), fork]));
    assert!(findings.contains(&Finding::Lost(2)) && findings.contains(&Finding::Lost(3)), "{findings:?}");
}

#[test]
fn a_record_of_another_writer_is_foreign_unless_that_one_writes_here_too() {
    let all = chain(&[1, 1]);
    let place = |writer| {
        let identity = Identity { writer, incarnation: 1, ..all[0].head.identity };
        Record::new(identity, 2, BLOCK as u64, all[0].head.hash, b"its own".to_vec())
    };
    let stranger = place(all[0].head.identity.writer + 1);
    let bytes = file(&[all[0].clone(), stranger.clone()]);
    assert_eq!(judged(&receipts(&all), &bytes), [Finding::Foreign(2)]);
    let third = Record::new(stranger.head.identity, 3, 2 * BLOCK as u64, all[1].head.hash, Vec::new());
    let both = receipts(&[&all[..], std::slice::from_ref(&third)].concat());
    let bytes = file(&[all[0].clone(), stranger, third]);
    assert!(judged(&both, &bytes).contains(&Finding::Altered(2)), "{:?}", judged(&both, &bytes));
}

#[test]
fn a_record_that_was_written_over_by_one_of_its_own_number_is_lost_though_nobody_was_told_of_that() {
    let all = chain(&[1, 1]);
    let identity = Identity { incarnation: 2, ..all[0].head.identity };
    let fork = Record::new(identity, 2, BLOCK as u64, all[0].head.hash, payload::generate(identity, 2));
    assert_eq!(judged(&receipts(&all), &file(&[all[0].clone(), fork])), [Finding::Lost(2)]);
}

#[test]
fn a_finding_names_its_record() {
    let named = [Finding::Lost(3), Finding::LostTail(3, 9), Finding::Stale(3, 1), Finding::Emptied(9)];
    assert_eq!(named.map(|finding| finding.record()), [Some(3), Some(3), Some(3), None]);
}

#[test]
fn what_is_no_record_and_was_never_acknowledged_is_damage() {
    let all = chain(&[1]);
    let bytes = [file(&all), b"nonsense".to_vec()].concat();
    assert_eq!(judged(&receipts(&all), &bytes), [Finding::Damaged(1)]);
}

#[test]
fn an_older_record_that_nobody_was_told_of_does_not_stand_for_a_later_one() {
    let all = ring(8, 4);
    let mut acknowledged = receipts(&all);
    acknowledged.remove(1);
    let mut bytes = file(&all);
    write_at(&mut bytes, &all[1]); // the third went on from it, and the sixth stood over it
    assert_eq!(judged(&acknowledged, &bytes), [Finding::Altered(6)]);
}

#[test]
fn a_record_that_stands_in_several_places_is_told_of_once() {
    let all = chain(&[1]);
    let bytes = all[0].block().repeat(3);
    assert_eq!(judged(&receipts(&all), &bytes), [Finding::Misplaced(1)]);
}

#[test]
fn only_one_bit_of_a_whole_place_is_a_bit_flip() {
    let all = chain(&[1]);
    let mut bytes = file(&all);
    bytes[0] ^= 1;
    assert_eq!(judged(&receipts(&all), &bytes), [Finding::BitFlip(1)]);
    assert_eq!(judged(&receipts(&all), &bytes[..700]), [Finding::Altered(1)], "the rest is not there");
    bytes[1] ^= 1;
    assert_eq!(judged(&receipts(&all), &bytes), [Finding::Altered(1)]);
}

#[test]
fn what_another_run_left_behind_the_end_is_no_finding() {
    let all = chain(&[1, 1]);
    let mut bytes = file(&all);
    write_at(
        &mut bytes,
        &Record::new(Identity { run: 8, writer: 1, incarnation: 1 }, 3, 2 * 4096, [5; 32], Vec::new()),
    );
    assert_eq!(judged(&receipts(&all), &bytes), []);
}

#[test]
fn a_record_is_stale_after_any_record_of_a_later_incarnation_though_that_one_is_gone() {
    let all = chain(&[1, 1, 1, 2, 2, 2]);
    let mut acknowledged = receipts(&all);
    acknowledged.remove(4); // what stands in its place is not compared with it
    let old = all[2].head.identity;
    let mut bytes = file(&all);
    bytes[3 * BLOCK..4 * BLOCK].fill(0);
    write_at(&mut bytes, &Record::new(old, 5, 4 * BLOCK as u64, all[2].head.hash, payload::generate(old, 5)));
    let found = judged(&acknowledged, &bytes);
    assert!(found.contains(&Finding::Stale(5, 1)), "{found:?}");
}

#[test]
fn what_is_there_and_was_never_acknowledged_is_not_nothing() {
    let all = chain(&[1, 1, 1]);
    let mut bytes = file(&all);
    bytes[..2 * BLOCK].fill(0);
    assert_eq!(judged(&receipts(&all[..2]), &bytes), [Finding::Lost(1), Finding::Lost(2)]);
    bytes.fill(0);
    assert_eq!(judged(&receipts(&all), &bytes), [Finding::Emptied(3)]);
}

#[test]
fn a_loss_at_the_end_says_after_which_record_and_how_many() {
    let all = chain(&[1, 1, 1, 1, 1, 1]);
    let (whole, bytes) = (receipts(&all), file(&all));
    assert_eq!(judged(&whole, &bytes[..3 * BLOCK]), [Finding::LostTail(3, 3)]);
    let two = chain(&[1, 1, 1, 2, 2]);
    assert_eq!(judged(&receipts(&two), &file(&two[..2])), [Finding::OlderSnapshot(2, 3)]);
    let mut damaged = bytes;
    damaged[4 * BLOCK + 200] ^= 1; // what is there of the rest was not lost with it
    for gone in [3, 5] {
        damaged[gone * BLOCK..(gone + 1) * BLOCK].fill(0);
    }
    assert_eq!(judged(&whole, &damaged), [Finding::Lost(4), Finding::Lost(6), Finding::BitFlip(5)]);
}

#[test]
fn two_writers_are_told_by_the_first_that_a_later_one_was_told_in_whatever_order_answers_came() {
    let all = chain(&[1, 1, 2, 2]);
    let own = chain(&[1, 1, 1]);
    let receipt = |record: &Record, at| Receipt { head: record.head.clone(), payload: None, at: Some(at) };
    let at = |own_at| {
        let told = [receipt(&all[0], 1), receipt(&all[3], 8), receipt(&all[2], 3), receipt(&own[2], own_at)];
        two_writers(&told.iter().collect::<Vec<_>>())
    };
    assert_eq!(at(5), [Finding::TwoWriters(3, 1)]);
    assert_eq!(at(3), [], "a moment that is the same tells no order");
}

/// What can happen to a ledger of one or two incarnations, and the one finding that it must lead to.
fn plant(kind: usize, at: usize, bit: usize) -> (Vec<Receipt>, Vec<u8>, &'static str) {
    let many = 12;
    let all = chain(&[vec![1; 6], vec![2; many - 6]].concat());
    let (mut bytes, whole) = (file(&all), receipts(&all));
    let place = at * BLOCK..(at + 1) * BLOCK;
    match kind {
        0 => {
            let cut = BLOCK - 512 * (1 + bit % 7);
            bytes[place][cut..].fill(0xa5); // what the place held before
            (whole, bytes, "torn")
        }
        1 => {
            bytes[place][bit % BLOCK] ^= 1 << (bit % 8);
            (whole, bytes, "bit flip")
        }
        2 => {
            let other = (at + 1 + bit % (many - 1)) % many;
            let (one, two) = (all[at].block(), all[other].block());
            bytes[place].copy_from_slice(&two);
            bytes[other * BLOCK..(other + 1) * BLOCK].copy_from_slice(&one);
            (whole, bytes, "misplaced")
        }
        3 => {
            bytes[(6 + at % 6).max(7) * BLOCK..].fill(0);
            (whole, bytes, "lost tail")
        }
        4 => (whole, file(&all[..=at % 6]), "older snapshot"),
        5 => {
            let over = ring(20, 4);
            (receipts(&over), file(&over[..5 + at]), "older snapshot")
        }
        6 => {
            let old = all[5].head.identity;
            let previous = all[5].head.hash;
            let number = 7 + (at % 6) as u64;
            let stale = Record::new(old, number, (number - 1) * BLOCK as u64, previous, payload::generate(old, number));
            write_at(&mut bytes, &stale);
            (whole, bytes, "stale")
        }
        7 => {
            // told yes for a record of its own, after another had followed
            let (old, previous) = (all[5].head.identity, all[5].head.hash);
            let number = 7 + (at % 6) as u64;
            let own = Record::new(old, number, (number - 1) * BLOCK as u64, previous, Vec::new());
            let mut acknowledged = whole;
            acknowledged.push(Receipt { head: own.head, payload: None, at: Some(100) });
            (acknowledged, bytes, "two writers")
        }
        _ => {
            let other = Identity { run: 8, ..all[at].head.identity };
            let foreign = Record::new(other, at as u64 + 1, (at * BLOCK) as u64, ORIGIN, Vec::new());
            write_at(&mut bytes, &foreign);
            (whole, bytes, "foreign")
        }
    }
}

proptest! {
    #[test]
    fn each_way_to_fail_is_told_from_the_others(kind in 0_usize..9, at in 0_usize..12, bit in 0_usize..BLOCK * 8) {
        let (acknowledged, bytes, expected) = plant(kind, at, bit);
        let kinds: HashSet<_> = judged(&acknowledged, &bytes).iter().map(Finding::kind).collect();
        // what the other writer was told of is not there
        let more = (expected == "two writers").then_some("lost");
        prop_assert_eq!(kinds, [expected].into_iter().chain(more).collect::<HashSet<_>>());
    }
}
