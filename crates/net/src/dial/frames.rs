//! The frames of HTTP/2 in what goes by: where each ends, which streams begin, and which of them a peer takes.

/// What stands before the content of a frame: its length, type, flags and stream.
pub(super) const HEADER: usize = 9;
/// What a client sends before its first frame.
const PREFACE: usize = 24;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
/// A number in a frame has a bit before it that means nothing.
const NUMBER: u32 = 0x7fff_ffff;

/// The frames of one direction.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes that are still to come of what has begun.
    missing: usize,
    header: Vec<u8>,
    /// The first bytes of a GOAWAY, which name the last stream that is taken.
    last: Option<Vec<u8>>,
    opened: u32,
    taken: Option<u32>,
}

impl Frames {
    /// Those that a client sends.
    pub fn outgoing() -> Self {
        Self { missing: PREFACE, ..Self::incoming() }
    }

    /// Those that a server sends.
    pub fn incoming() -> Self {
        Self { missing: 0, header: Vec::with_capacity(HEADER), last: None, opened: 0, taken: None }
    }

    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let content = self.missing.min(bytes.len());
            self.follow_content(&bytes[..content]);
            self.missing -= content;
            bytes = &bytes[content..];
            let header = (HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..header]);
            bytes = &bytes[header..];
            if let [high, middle, low, kind, _, stream @ ..] = self.header.as_slice()
                && let Ok(stream) = <[u8; 4]>::try_from(stream)
            {
                self.missing = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                if *kind == HEADERS {
                    self.opened = self.opened.max(u32::from_be_bytes(stream) & NUMBER);
                }
                self.last = (*kind == GOAWAY).then(Vec::new);
                self.header.clear();
            }
        }
    }

    fn follow_content(&mut self, content: &[u8]) {
        let Some(last) = &mut self.last else { return };
        last.extend(content.iter().take(size_of::<u32>().saturating_sub(last.len())));
        if let Ok(last) = <[u8; 4]>::try_from(last.as_slice()) {
            self.taken = Some(u32::from_be_bytes(last) & NUMBER);
            self.last = None;
        }
    }

    /// Whether no frame has begun that has not ended.
    pub fn are_whole(&self) -> bool {
        self.missing == 0 && self.header.is_empty()
    }

    /// The newest stream that was begun; 0 for none.
    pub fn opened(&self) -> u32 {
        self.opened
    }

    /// The last stream that is taken, once a GOAWAY said so.
    pub fn taken(&self) -> Option<u32> {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_where_they_do_however_they_are_parted() {
        let frames = [&[b'P'; PREFACE][..], &[0, 0, 2, 0, 0, 0, 0, 0, 1, 7, 7], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        let ends = [PREFACE, PREFACE + 11, PREFACE + 20];
        for end in 0..=frames.len() {
            for piece in 1..=frames.len() {
                let mut outgoing = Frames::outgoing();
                frames[..end].chunks(piece).for_each(|part| outgoing.follow(part));
                assert_eq!(outgoing.are_whole(), ends.contains(&end), "{end} by {piece}: {outgoing:?}");
            }
        }
    }

    #[test]
    fn it_is_seen_which_streams_begin_and_which_are_taken() {
        let go_away = |last: u32| [&[0, 0, 9, GOAWAY, 0, 0, 0, 0, 0][..], &last.to_be_bytes(), &[0; 4], b"x"].concat();
        let headers = [0, 0, 1, HEADERS, 4, 0x80, 0, 1, 3, 7];
        let all =
            [&headers[..], &go_away(u32::MAX), &[0, 0, 2, 0, 0, 0, 0, 0, 9, 7, 7], &go_away(0x8000_0005)].concat();
        for piece in 1..=all.len() {
            let mut incoming = Frames::incoming();
            let mut taken = Vec::new();
            for part in all.chunks(piece) {
                incoming.follow(part);
                taken.extend(incoming.taken());
            }
            taken.dedup();
            assert_eq!((incoming.opened(), taken.last()), (0x103, Some(&5)), "by {piece}: {incoming:?}");
            assert!(piece > 1 || taken == [NUMBER, 5], "{taken:?}");
        }
    }
}
