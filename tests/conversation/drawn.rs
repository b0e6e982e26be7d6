//! Conversations, drawn: answers that are as they should be, and such with steps changed, added and left out.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::calls::{ALL, Asked};
use super::frames::{
    CONTINUATION, DATA, GO_AWAY, HEADERS, Header, PING, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::script::{Connection, Conversation, Piece, Sent, Step, Stream, head, header, status};

/// A whole conversation.
pub fn conversation() -> impl Strategy<Value = Conversation> {
    select(&ALL[..])
        .prop_flat_map(|asked| (Just(asked), vec(connection(asked), 1..4)))
        .prop_map(|(asked, connections)| Conversation { asked, connections })
}

fn connection(asked: Asked) -> impl Strategy<Value = Connection> {
    let opening = prop_oneof![6 => Just(vec![greeting()]), 2 => changed(Just(vec![greeting()]).boxed())];
    let lively = prop_oneof![5 => Just(true), 1 => Just(false)];
    let piece = prop_oneof![6 => Just(1_usize << 16), 1 => Just(1), 1 => Just(9), 1 => 10_usize..2000];
    let refused = prop_oneof![30 => Just(false), 1 => Just(true)];
    (refused, opening, vec(an_answer(asked), 1..4), lively, piece)
        .prop_map(|(refused, opening, answers, lively, piece)| Connection { refused, opening, answers, lively, piece })
}

fn greeting() -> Step {
    Step::Settings { pairs: Vec::new(), ack: false, count: 1 }
}

fn an_answer(asked: Asked) -> BoxedStrategy<Vec<Step>> {
    prop_oneof![
        2 => plain(asked),
        6 => changed(plain(asked)),
        1 => vec(step(), 0..6),
    ]
    .boxed()
}

/// An answer that is as it should be.
fn plain(asked: Asked) -> BoxedStrategy<Vec<Step>> {
    let good = if asked.is_unary() { 1..=1_usize } else { 0..=8 };
    let bodies = vec(any::<u16>().prop_map(Piece::Good), good);
    let synced = any::<bool>();
    let sent = || (0_u8..3, any::<bool>(), any::<bool>());
    let told = |end: bool, (parted, padded, priority): (u8, bool, bool)| Sent {
        end,
        parted,
        padding: padded.then_some(parted * 9),
        priority,
    };
    (bodies, synced, cuts(), sent(), sent(), sent(), vec((any::<Index>(), harmless()), 0..3))
        .prop_map(move |(mut pieces, synced, cuts, first, second, last, between)| {
            if asked.has_sync() && synced {
                pieces.push(Piece::Sync);
            }
            let mut steps = vec![
                Step::Headers(head(), told(false, first)),
                Step::Body(pieces, cuts, Sent { priority: false, ..told(false, second) }),
                Step::Headers(status("0"), told(true, last)),
            ];
            for (at, step) in between {
                steps.insert(at.index(3), step);
            }
            steps
        })
        .boxed()
}

fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), length).prop_map(Bytes::from)
}

fn cuts() -> impl Strategy<Value = Vec<u16>> {
    vec(prop_oneof![0_u16..8, 0_u16..60], 0..6)
}

fn harmless() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u16..4, any::<bool>()).prop_map(|(count, ack)| Step::Pings { count, ack }),
        Just(greeting()),
        (select(vec![Stream::Own, Stream::Zero]), 1_u32..1000).prop_map(|(stream, by)| Step::Window { stream, by }),
        (0_u16..20).prop_map(Step::Stall),
        (0x21_u8..0xff, any::<u8>(), bytes(0..9)).prop_map(|(kind, flags, content)| Step::Frame {
            kind,
            flags,
            stream: Stream::Own,
            content
        }),
    ]
}

/// Steps with some of them changed, left out, or more between them.
fn changed(steps: BoxedStrategy<Vec<Step>>) -> BoxedStrategy<Vec<Step>> {
    let change = (any::<Index>(), step(), 0_u8..6);
    (steps, vec(change, 1..4))
        .prop_map(|(mut steps, changes)| {
            for (at, step, how) in changes {
                let at = at.index(steps.len() + 1);
                match how {
                    0 if at < steps.len() => drop(steps.remove(at)),
                    1 if at < steps.len() => steps.insert(at, steps[at].clone()),
                    2 | 3 if at < steps.len() => steps[at] = step,
                    _ => steps.insert(at, step),
                }
            }
            steps
        })
        .boxed()
}

/// Any step.
fn step() -> BoxedStrategy<Step> {
    let codes = || prop_oneof![3 => 0_u32..14, 1 => any::<u32>()];
    let streams =
        || prop_oneof![4 => Just(Stream::Own), 2 => Just(Stream::Zero), 2 => (0_u32..9).prop_map(Stream::Other)];
    let floods = || prop_oneof![4 => 1_u16..5, 1 => 100_u16..2000];
    prop_oneof![
        4 => (a_head(), sent()).prop_map(|(headers, sent)| Step::Headers(headers, sent)),
        4 => (trailers(), sent()).prop_map(|(headers, sent)| Step::Headers(headers, sent)),
        4 => (trailers(), sent()).prop_map(|(headers, sent)| Step::Headers(headers, Sent { end: true, ..sent })),
        1 => (bytes(0..40), sent()).prop_map(|(block, sent)| Step::Block(block, sent)),
        6 => (vec(piece(), 0..5), cuts(), sent()).prop_map(|(pieces, cuts, sent)| Step::Body(pieces, cuts, sent)),
        3 => (streams(), codes()).prop_map(|(stream, code)| Step::Reset(stream, code)),
        3 => (prop_oneof![0_u32..9, Just(0x7fff_ffff)], codes()).prop_map(|(last, code)| Step::GoAway { last, code }),
        2 => (floods(), any::<bool>()).prop_map(|(count, ack)| Step::Pings { count, ack }),
        2 => (settings(), any::<bool>(), floods()).prop_map(|(pairs, ack, count)| Step::Settings { pairs, ack, count }),
        2 => (streams(), select(vec![0, 1, 70_000, 0x7fff_ffff, 0xffff_ffff])).prop_map(|(stream, by)| Step::Window { stream, by }),
        1 => (floods(), select(vec![0_u16, 1, 900])).prop_map(|(count, size)| Step::Continuations { count, size }),
        1 => floods().prop_map(|count| Step::Resets { count }),
        2 => (frame_kinds(), any::<u8>(), streams(), bytes(0..20))
            .prop_map(|(kind, flags, stream, content)| Step::Frame { kind, flags, stream, content }),
        1 => bytes(0..60).prop_map(Step::Raw),
        2 => select(vec![1_u16, 30, 400, 600, 2500, 5000]).prop_map(Step::Stall),
        1 => Just(Step::Close),
    ]
    .boxed()
}

fn sent() -> impl Strategy<Value = Sent> {
    (any::<bool>(), 0_u8..4, proptest::option::weighted(0.1, any::<u8>()), any::<bool>())
        .prop_map(|(end, parted, padding, priority)| Sent { end, parted: parted.saturating_sub(1), padding, priority })
}

fn frame_kinds() -> impl Strategy<Value = u8> {
    let known =
        vec![DATA, HEADERS, 2, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GO_AWAY, WINDOW_UPDATE, CONTINUATION, 10, 16];
    prop_oneof![8 => select(known), 1 => any::<u8>()]
}

fn settings() -> impl Strategy<Value = Vec<(u16, u32)>> {
    // Table size, push, streams, window, frame size, header list, extended connect.
    let value = prop_oneof![3 => select(vec![0, 1, 100, 16_384, 65_535, 0x7fff_ffff, 0x8000_0000, u32::MAX]), 1 => any::<u32>()];
    vec((0_u16..10, value), 0..4)
}

fn a_head() -> BoxedStrategy<Vec<Header>> {
    let statuses = vec![
        "100", "103", "101", "200", "204", "301", "400", "401", "403", "404", "418", "429", "500", "503", "504", "99",
        "1000", "", "abc", "20 0",
    ];
    let types = vec![
        "application/grpc+proto",
        "application/grpc;x",
        "application/grpc-web",
        "text/html",
        "application/json",
        "",
        "APPLICATION/GRPC",
        "application/grpcx",
    ];
    prop_oneof![
        2 => Just(head()),
        2 => select(statuses).prop_map(|status| vec![header(":status", status), head().remove(1)]),
        2 => select(types).prop_map(|kind| vec![head().remove(0), header("content-type", kind)]),
        1 => Just(vec![head().remove(1)]),
        1 => Just(vec![head().remove(0)]),
        1 => Just([head(), head()].concat()),
        1 => Just([head(), status("0")].concat()),
        1 => trailers().prop_map(|trailers| [head(), trailers].concat()),
        2 => odd_headers().prop_map(|odd| [head(), odd].concat()),
        1 => odd_headers().prop_map(|odd| [odd, head()].concat()),
    ]
    .boxed()
}

fn trailers() -> BoxedStrategy<Vec<Header>> {
    let numbers = vec![
        "0",
        "0",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "7",
        "8",
        "10",
        "12",
        "13",
        "14",
        "14",
        "15",
        "16",
        "17",
        "00",
        "-1",
        "",
        "abc",
        "4294967296",
        "0 ",
    ];
    let one = select(numbers).prop_map(status);
    prop_oneof![
        4 => one.clone(),
        1 => (one.clone(), one.clone()).prop_map(|(first, second)| [first, second].concat()),
        1 => Just(Vec::new()),
        3 => (one, odd_headers()).prop_map(|(one, odd)| [one, odd].concat()),
        1 => odd_headers(),
    ]
    .boxed()
}

fn odd_headers() -> impl Strategy<Value = Vec<Header>> {
    let names = vec![
        "grpc-message",
        "grpc-message",
        "grpc-status-details-bin",
        "x-bin",
        "grpc-encoding",
        "grpc-status",
        "content-length",
        "connection",
        "transfer-encoding",
        "te",
        ":path",
        ":status",
        "X-Upper",
        "",
        "x\0y",
        "x",
    ];
    let values = prop_oneof![
        4 => select(vec!["", "0", "5", "gzip", "identity", "chunked", "trailers", "!!!notbase64", "AAAA", "%", "%FF%FE", "%0A%1B[2J",
            "100%25", "a\x1b]52;c;x\x07"]).prop_map(Bytes::from),
        2 => bytes(0..30),
        1 => (100_usize..40_000).prop_map(|length| Bytes::from(vec![b'x'; length])),
    ];
    let one = (select(names), values).prop_map(|(name, value)| header(name, value));
    prop_oneof![6 => vec(one, 1..4), 1 => (1_usize..400).prop_map(|count| vec![header("x", "y"); count])]
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        6 => any::<u16>().prop_map(Piece::Good),
        2 => Just(Piece::Sync),
        2 => bytes(0..12).prop_map(Piece::Of),
        1 => (any::<u8>(), any::<u16>()).prop_map(|(flag, number)| Piece::Flagged(flag, number)),
        2 => (any::<u16>(), prop_oneof![0_u32..40, select(vec![4 << 20, 64 << 20, (64 << 20) + 1, u32::MAX])])
            .prop_map(|(number, length)| Piece::Mistold(number, length)),
        2 => bytes(1..9).prop_map(Piece::Garbage),
    ]
}
