//! HTTP/2 by hand, for h2 writes nothing that is wrong: frames and header blocks, written and read back.

use bytes::Bytes;

/// Types of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags of frames.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITY: u8 = 0x20;

/// What a client sends before its first frame.
pub const PREFACE: usize = 24;
/// What stands before a frame's content.
pub const FRAME_HEADER: usize = 9;

/// A header's name and value.
pub type Header = (Bytes, Bytes);

/// A frame, read back.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub content: Vec<u8>,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// The first frame of `bytes`, and how many bytes it takes; None while it is not whole.
pub fn first_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [high, middle, low, kind, flags, a, b, c, d, rest @ ..] = bytes else { return None };
    let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    let content = rest.get(..length)?.to_vec();
    let stream = u32::from_be_bytes([*a, *b, *c, *d]) & 0x7fff_ffff;
    Some((Frame { kind: *kind, flags: *flags, stream, content }, FRAME_HEADER + length))
}

impl Frame {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Its content without padding and priority; None where those are longer than it.
    pub fn body(&self) -> Option<&[u8]> {
        let mut body = self.content.as_slice();
        if self.has(PADDED) {
            let (padding, rest) = body.split_first()?;
            body = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        }
        if self.kind == HEADERS && self.has(PRIORITY) {
            body = body.get(5..)?;
        }
        Some(body)
    }
}

/// A header block: each a literal that stays out of the table, without Huffman's code.
pub fn block(headers: &[Header]) -> Vec<u8> {
    let each =
        headers.iter().map(|(name, value)| [&[0][..], &length(name.len()), name, &length(value.len()), value].concat());
    each.collect::<Vec<_>>().concat()
}

/// A length with a prefix of seven bits.
fn length(length: usize) -> Vec<u8> {
    let Some(mut rest) = length.checked_sub(0x7f) else { return vec![u8::try_from(length).expect("short")] };
    let mut bytes = vec![0x7f];
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).expect("seven bits"));
    bytes
}

/// What `block` wrote, read back; None where something else did.
pub fn headers(mut block: &[u8]) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    while let Some((first, rest)) = block.split_first() {
        if *first != 0 {
            return None;
        }
        let (name, rest) = text(rest)?;
        let (value, rest) = text(rest)?;
        headers.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
        block = rest;
    }
    Some(headers)
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let mut length = usize::from(*first);
    if length == 0x7f {
        for shift in (0..28).step_by(7) {
            let (next, after) = rest.split_first()?;
            rest = after;
            length += usize::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                return rest.split_at_checked(length);
            }
        }
    }
    if length > 0x7f { None } else { rest.split_at_checked(length) } // Huffman's, or without an end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let long = |length| (Bytes::from("x"), Bytes::from(vec![b'y'; length]));
        let all = vec![
            (Bytes::from(":status"), Bytes::from("200")),
            long(126),
            long(127),
            long(128),
            long(300),
            long(70_000),
        ];
        assert_eq!(headers(&block(&all)), Some(all));
        assert_eq!(headers(&[0x88]), None);
        let (read, taken) = first_frame(&[frame(DATA, PADDED, 3, &[2, b'a', 0, 0]), vec![1]].concat()).expect("whole");
        assert_eq!((read.body(), read.stream, taken), (Some(&b"a"[..]), 3, 13));
        assert!(first_frame(&frame(DATA, 0, 3, b"abc")[..11]).is_none());
    }
}
