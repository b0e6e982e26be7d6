//! What a peer's bytes say on one stream, read strictly: whether an answer was whole.

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Header, RST_STREAM, first_frame, headers,
};

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the status of a good one, after whole messages alone.
    Whole,
    /// In any other way, or not at all.
    Broken,
    /// Whole but for something that need not be refused, or that cannot be told here.
    Unclear,
}

/// An answer: its whole messages, and its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub messages: Vec<Vec<u8>>,
    pub end: End,
}

/// How far an answer has come.
struct Reading {
    began: bool,
    unclear: bool,
    body: Vec<u8>,
}

/// What `bytes` say on `stream`.
pub fn answer(bytes: &[u8], stream: u32) -> Answer {
    let mut reading = Reading { began: false, unclear: false, body: Vec::new() };
    let end = reading.read(bytes, stream);
    let (messages, rest) = messages(&reading.body);
    let end = match end {
        Ended::Well if !rest => End::Broken,
        Ended::Well if reading.unclear => End::Unclear,
        Ended::Well => End::Whole,
        Ended::Badly => End::Broken,
    };
    Answer { messages, end }
}

#[derive(Clone, Copy)]
enum Ended {
    Well,
    Badly,
}

impl Reading {
    fn read(&mut self, mut bytes: &[u8], stream: u32) -> Ended {
        while let Some((frame, taken)) = first_frame(bytes) {
            bytes = &bytes[taken..];
            let ended = match frame.kind {
                HEADERS => match assembled(&frame, &mut bytes) {
                    Some(block) if frame.stream == stream => self.headers(&block, frame.has(END_STREAM)),
                    Some(_) => None,
                    None if frame.stream == stream => return Ended::Badly,
                    None => {
                        self.unclear = true; // h2 resets that stream alone, where its block is malformed
                        None
                    }
                },
                CONTINUATION => return Ended::Badly,
                DATA if frame.stream == stream => match frame.body() {
                    Some(body) if self.began => {
                        self.body.extend(body);
                        frame.has(END_STREAM).then_some(Ended::Badly) // without a status
                    }
                    _ => Some(Ended::Badly),
                },
                RST_STREAM if frame.stream == stream => Some(Ended::Badly),
                _ => None,
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
        Ended::Badly // it has no end
    }

    fn headers(&mut self, block: &[u8], ends: bool) -> Option<Ended> {
        let Some(headers) = headers(block) else {
            // It is written in another way than ours.
            self.unclear = true;
            self.began = true;
            return ends.then_some(Ended::Well);
        };
        // h2 forgets, over a CONTINUATION, that it saw what HTTP/2 has not; nothing is missing for that.
        self.unclear |= headers.iter().any(|(name, _)| name.iter().any(u8::is_ascii_uppercase));
        if self.began {
            self.unclear |= headers.iter().any(|(name, _)| name.starts_with(b":"));
            return Some(if ends && is_good(&headers) { Ended::Well } else { Ended::Badly });
        }
        match values(&headers, b":status")[..] {
            [[b'1', _, _]] if !ends => return None,
            [b"200"] => self.began = true,
            [b"200", ..] => (self.began, self.unclear) = (true, true),
            _ => return Some(Ended::Badly),
        }
        match values(&headers, b"content-type")[..] {
            [] => self.unclear = true,
            [only] if is_grpc(only) => {}
            [first, ..] if is_grpc(first) => self.unclear = true,
            _ => return Some(Ended::Badly),
        }
        ends.then(|| if is_good(&headers) { Ended::Well } else { Ended::Badly })
    }
}

/// A header block, with all that continues it; None where it is not continued as it must be.
fn assembled(first: &Frame, rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut block = first.body()?.to_vec();
    let mut whole = first.has(END_HEADERS);
    while !whole {
        let (next, taken) = first_frame(rest)?;
        if next.kind != CONTINUATION || next.stream != first.stream {
            return None;
        }
        *rest = &rest[taken..];
        block.extend(&next.content);
        whole = next.has(END_HEADERS);
    }
    Some(block)
}

fn values<'a>(headers: &'a [Header], name: &[u8]) -> Vec<&'a [u8]> {
    headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_ref()).collect()
}

fn is_good(headers: &[Header]) -> bool {
    let statuses = values(headers, b"grpc-status");
    !statuses.is_empty() && statuses.iter().all(|status| *status == b"0")
}

fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The messages of a body, up to one that is none; whether all of it is messages.
fn messages(mut body: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Vec::new();
    while let [0, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some((message, after)) = rest.split_at_checked(length) else { break };
        messages.push(message.to_vec());
        body = after;
    }
    (messages, body.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::frames::{block, frame};
    use super::super::script::{head, status};
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_status_alone() {
        let headers = frame(HEADERS, END_HEADERS, 1, &block(&head()));
        let data = frame(DATA, 0, 1, &[0, 0, 0, 0, 1, 7]);
        let trailers = |number| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&status(number)));
        let end = |parts: &[&[u8]]| answer(&parts.concat(), 1).end;
        assert_eq!(end(&[&headers, &data, &trailers("0")]), End::Whole);
        assert_eq!(end(&[&headers, &trailers("0")]), End::Whole);
        assert_eq!(end(&[&headers, &data, &trailers("5")]), End::Broken);
        assert_eq!(end(&[&headers, &data[..12], &trailers("0")]), End::Broken);
        assert_eq!(end(&[&headers, &frame(DATA, 0, 1, &[0, 0, 0, 0, 2, 7]), &trailers("0")]), End::Broken);
        assert_eq!(end(&[&headers, &data, &frame(RST_STREAM, 0, 1, &[0; 4]), &trailers("0")]), End::Broken);
        assert_eq!(end(&[&headers, &data]), End::Broken);
        assert_eq!(end(&[&data, &trailers("0")]), End::Broken);
        assert_eq!(answer(&[headers, data].concat(), 1).messages, [[7]]);
    }
}
