//! How an archive, or a layer in it, is compressed: told by its first bytes, as `docker load` does.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What `docker load` and skopeo unpack by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952, of one member or several.
    Gzip,
    /// bzip2, of one stream or several.
    Bzip2,
    /// xz, of one stream or several.
    Xz,
    /// RFC 8878, of one frame or several.
    Zstd,
}

/// In KiB: `xz -9` needs 65 MiB to unpack, and more is somebody's joke.
const XZ_MEMORY: u32 = 256 << 10;

/// Whether it was given up for the memory that unpacking would take: what is packed may be whole.
pub fn takes_too_much(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

/// As many bytes as it takes to know.
pub const MAGIC: usize = 6;

impl Compression {
    /// By the first `MAGIC` bytes, or fewer where there are fewer.
    pub fn of(start: &[u8]) -> Self {
        let magics: [(&[u8], Self); 4] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (b"BZh", Self::Bzip2),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Self::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
        ];
        magics.into_iter().find(|(magic, _)| start.starts_with(magic)).map_or(Self::None, |(_, known)| known)
    }

    /// As people call it: `gzip`, `bzip2`, `xz`, `zstd` or `none`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// A command that unpacks what takes too much memory here.
    pub const fn by_hand(self) -> &'static str {
        match self {
            Self::Zstd => "zstd -d --long=31",
            Self::Xz => "xz -d",
            Self::Bzip2 => "bzip2 -d",
            Self::None | Self::Gzip => "gzip -d",
        }
    }

    /// What is inside, unpacked as it is read, in bounded memory.
    pub fn reader<R: Read>(self, packed: R) -> Unpacked<R> {
        let packed = BufReader::with_capacity(1 << 18, packed);
        match self {
            Self::None => Unpacked::None(packed),
            Self::Gzip => Unpacked::Gzip(Box::new(Members(Some(GzDecoder::new(packed))))),
            Self::Bzip2 => Unpacked::Bzip2(bzip2::bufread::MultiBzDecoder::new(packed)),
            Self::Xz => Unpacked::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY))),
            Self::Zstd => Unpacked::Zstd(Box::new(Frames { packed, decoder: FrameDecoder::new(), begun: false })),
        }
    }
}

/// A reader of what is inside.
pub enum Unpacked<R: Read> {
    None(BufReader<R>),
    Gzip(Box<Members<BufReader<R>>>),
    Bzip2(bzip2::bufread::MultiBzDecoder<BufReader<R>>),
    Xz(Box<lzma_rust2::XzReader<BufReader<R>>>),
    Zstd(Box<Frames<BufReader<R>>>),
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
            Self::Bzip2(reader) => reader.read(buffer),
            Self::Xz(reader) => reader.read(buffer),
            Self::Zstd(reader) => reader.read(buffer),
        }
    }
}

/// The members of a gzip file, one after the other. Zeros may follow, which tapes and blocks of a fixed size leave: gzip
/// and `docker load` pass over them.
pub struct Members<R: BufRead>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.0 =
                self.0.take().map(GzDecoder::into_inner).map(after_zeros).transpose()?.flatten().map(GzDecoder::new);
        }
        Ok(0)
    }
}

/// Nothing where only zeros are left.
fn after_zeros<R: BufRead>(mut packed: R) -> io::Result<Option<R>> {
    loop {
        let there = packed.fill_buf()?;
        let zeros = there.iter().take_while(|byte| **byte == 0).count();
        match there.len() {
            0 => return Ok(None),
            all if zeros < all => {
                packed.consume(zeros);
                return Ok(Some(packed));
            }
            all => packed.consume(all),
        }
    }
}

/// The frames of a zstd stream, one after the other; ruzstd itself reads one.
pub struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    begun: bool,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.begun {
                if self.decoder.can_collect() > 0 {
                    return self.decoder.read(buffer);
                }
                if !self.decoder.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    self.decoder.decode_blocks(&mut self.packed, one).map_err(io::Error::other)?;
                    continue;
                }
            }
            if buffer.is_empty() || self.packed.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.next_frame()?;
        }
    }
}

impl<R: BufRead> Frames<R> {
    fn next_frame(&mut self) -> io::Result<()> {
        match self.decoder.reset(&mut self.packed) {
            Ok(()) => self.begun = true,
            // Nothing of the content is in such a frame.
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                self.begun = false;
                io::copy(&mut (&mut self.packed).take(u64::from(length)), &mut io::sink())?;
            }
            Err(FrameDecoderError::WindowSizeTooBig { requested, max }) => {
                let what = format!("its window has {requested} bytes, and at most {max} are given");
                return Err(io::Error::new(io::ErrorKind::OutOfMemory, what));
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut found = Vec::new();
        Compression::of(packed).reader(packed).read_to_end(&mut found).expect("whole");
        found
    }

    #[test]
    fn several_members_are_one_content() {
        let packed = |text: &[u8]| ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest);
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let zstd = [packed(b"one"), skipped.to_vec(), packed(b" two")].concat();
        assert_eq!(unpacked(&zstd), b"one two");
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut encoder, text).and_then(|()| encoder.finish()).expect("written")
        };
        assert_eq!(unpacked(&[gzip(b"one"), gzip(b" two")].concat()), b"one two");
        assert_eq!(unpacked(&[gzip(b"one"), vec![0; 1000], gzip(b" two"), vec![0; 7]].concat()), b"one two");
        assert!(
            Compression::Gzip
                .reader(&[gzip(b"one"), b"junk".to_vec()].concat()[..])
                .read_to_end(&mut Vec::new())
                .is_err()
        );
        assert_eq!(unpacked(b"plain"), b"plain");
        assert_eq!(unpacked(b""), b"");
    }

    #[test]
    fn a_window_too_large_is_no_damage() {
        // A frame's header: no checksum, no size, and a window of 1 KiB shifted by 20.
        let large = [0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3, 1, 0, 0];
        let error = Compression::of(&large).reader(&large[..]).read_to_end(&mut Vec::new()).expect_err("too large");
        assert!(takes_too_much(&error), "{error}");
        assert!(error.to_string().contains("1073741824"), "{error}");
        let damaged = [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 7, 0, 0];
        let error = Compression::of(&damaged).reader(&damaged[..]).read_to_end(&mut Vec::new()).expect_err("damaged");
        assert!(!takes_too_much(&error), "{error}");
    }

    #[test]
    fn what_is_cut_short_is_no_content() {
        let whole =
            ruzstd::encoding::compress_to_vec(&b"one two three"[..], ruzstd::encoding::CompressionLevel::Fastest);
        let cut = &whole[..whole.len() - 3];
        let read = Compression::Zstd.reader(cut).read_to_end(&mut Vec::new());
        assert!(read.is_err());
    }
}
