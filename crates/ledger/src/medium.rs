//! What a ledger is written on: a file, a device, or whatever else reads, writes and syncs like one.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::record::BLOCK;

/// By how much a file is made longer at once: appending without that costs a third of the speed.
pub const STEP: u64 = 16 << 20;

/// Where records are.
pub trait Medium: Send {
    /// Of the file, in bytes.
    fn length(&mut self) -> io::Result<u64>;
    /// The bytes from `offset` on, at most 4 KiB; fewer at the end of the file.
    fn read(&mut self, offset: u64) -> io::Result<Vec<u8>>;
    /// Reads all up to `length`, a block at a time.
    fn scan(&mut self, length: u64, pass: &mut dyn FnMut(u64, &[u8])) -> io::Result<()> {
        (0..length).step_by(BLOCK).try_for_each(|offset| {
            pass(offset, &self.read(offset)?);
            Ok(())
        })
    }
    /// Writes one block at `offset`.
    fn write(&mut self, offset: u64, block: &[u8]) -> io::Result<()>;
    /// Returns once all that was written is there to stay.
    fn sync(&mut self) -> io::Result<()>;
    /// Writes one block at `offset`, and returns once it is there to stay.
    fn write_through(&mut self, offset: u64, block: &[u8]) -> io::Result<()> {
        self.write(offset, block)?;
        self.sync()
    }
    /// Makes room up to `length`, where that saves time later.
    fn reserve(&mut self, length: u64) -> io::Result<()>;
    /// Cuts off what is beyond `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// A file, or a device: that is as large as it is.
#[derive(Debug)]
pub struct OnFile {
    file: File,
    device: bool,
    buffer: Box<Aligned>,
    preallocate: bool,
    /// One call both writes and syncs.
    through: bool,
}

/// O_DIRECT wants its bytes at such an address.
#[derive(Debug)]
#[repr(align(4096))]
struct Aligned([u8; BLOCK]);

/// Blocks that are read, or zeros that are written, at once.
#[cfg(target_os = "linux")]
const MANY: usize = 256;

impl OnFile {
    /// Opens or makes `path` for a ledger that grows a record at a time, through the page cache.
    pub fn growing(path: &Path) -> io::Result<Self> {
        Self::over(open(path, 0)?, false)
    }

    /// Opens or makes `path` for a writer in a hurry: past the page cache where the file system can, and preallocated.
    pub fn preallocated(path: &Path) -> io::Result<Self> {
        let direct = open(path, O_DIRECT).or_else(|error| match error.raw_os_error() {
            Some(EINVAL) => open(path, 0),
            _ => Err(error),
        })?;
        let through = writes_through(&direct);
        Ok(Self { through, ..Self::over(direct, true)? })
    }

    fn over(file: File, preallocate: bool) -> io::Result<Self> {
        let device = file.metadata()?.file_type().is_block_device();
        let buffer = Box::new(Aligned([0; BLOCK]));
        Ok(Self { file, device, buffer, preallocate: preallocate && !device, through: false })
    }
}

const EINVAL: i32 = 22;
#[cfg(all(target_os = "linux", not(target_arch = "aarch64")))]
const O_DIRECT: i32 = 0o40000;
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const O_DIRECT: i32 = 0o200_000;
#[cfg(not(target_os = "linux"))]
const O_DIRECT: i32 = 0;

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path)
}

impl Medium for OnFile {
    fn length(&mut self) -> io::Result<u64> {
        if self.device {
            let end = self.file.seek(SeekFrom::End(0))?;
            return Ok(end - end % BLOCK as u64); // no record is behind the last whole block
        }
        Ok(self.file.metadata()?.len())
    }

    #[cfg(target_os = "linux")]
    fn scan(&mut self, length: u64, pass: &mut dyn FnMut(u64, &[u8])) -> io::Result<()> {
        let mut many: Vec<Aligned> = (0..MANY).map(|_| Aligned([0; BLOCK])).collect();
        let mut offset = 0;
        while offset < length {
            let mut parts: Vec<_> = many.iter_mut().map(|block| io::IoSliceMut::new(&mut block.0)).collect();
            let read = match rustix::io::preadv(&self.file, &mut parts, offset) {
                Err(rustix::io::Errno::INTR) => continue,
                read => read?,
            };
            for block in &many[..read / BLOCK] {
                pass(offset, &block.0);
                offset += BLOCK as u64;
            }
            if read < BLOCK {
                pass(offset, &self.read(offset)?); // the end of a file may be odd
                offset += BLOCK as u64;
            }
        }
        Ok(())
    }

    fn read(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.file.read_at(&mut self.buffer.0[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(some) => filled += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // past the page cache, what follows on an odd end cannot be asked for
                Err(error) if error.raw_os_error() == Some(EINVAL) && filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.0[..filled].to_vec())
    }

    fn write(&mut self, offset: u64, block: &[u8]) -> io::Result<()> {
        self.buffer.0.copy_from_slice(block);
        self.file.write_all_at(&self.buffer.0, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write_through(&mut self, offset: u64, block: &[u8]) -> io::Result<()> {
        if self.through {
            self.buffer.0.copy_from_slice(block);
            return write_and_sync(&self.file, &self.buffer.0, offset);
        }
        self.write(offset, block)?;
        self.sync()
    }

    fn reserve(&mut self, length: u64) -> io::Result<()> {
        if !self.preallocate {
            return Ok(());
        }
        let held = self.length()?;
        if length <= held {
            return Ok(());
        }
        let end = length.next_multiple_of(STEP);
        if allocate(&self.file, held, end - held)? {
            // what was allocated and never written costs a journal entry at each first write
            write_zeros(&self.file, held, end)?;
        }
        self.file.sync_all()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.device {
            return Ok(()); // it stays as large as it is
        }
        self.file.set_len(length)?;
        self.file.sync_all()
    }
}

/// Whether a file system is known to keep its word on writes that sync by themselves. FUSE's servers may not.
#[cfg(target_os = "linux")]
fn writes_through(file: &File) -> bool {
    const EXT4: i64 = 0xef53;
    const XFS: i64 = 0x5846_5342;
    #[allow(clippy::useless_conversion)] // its width is the architecture's
    rustix::fs::fstatfs(file).is_ok_and(|about| [EXT4, XFS].contains(&i64::from(about.f_type)))
}

#[cfg(not(target_os = "linux"))]
fn writes_through(_: &File) -> bool {
    false
}

/// Writes a block as with O_DSYNC: as if each write were followed by fdatasync.
#[cfg(target_os = "linux")]
fn write_and_sync(file: &File, block: &[u8], offset: u64) -> io::Result<()> {
    loop {
        let whole = [io::IoSlice::new(block)];
        match rustix::io::pwritev2(file, &whole, offset, rustix::io::ReadWriteFlags::DSYNC) {
            Ok(written) if written == block.len() => return Ok(()),
            Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn write_and_sync(file: &File, block: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(block, offset)?;
    file.sync_data()
}

/// Whether there is room now; where a file system cannot, or has not that much, the file grows as it is written.
#[cfg(target_os = "linux")]
fn allocate(file: &File, offset: u64, length: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), offset, length) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOSPC) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes zeros over a part of a file; both its ends are multiples of 4 KiB.
#[cfg(target_os = "linux")]
fn write_zeros(file: &File, mut offset: u64, end: u64) -> io::Result<()> {
    let block = Box::new(Aligned([0; BLOCK]));
    let many = vec![io::IoSlice::new(&block.0); MANY];
    while offset < end {
        let left = usize::try_from((end - offset) / BLOCK as u64).unwrap_or(MANY).clamp(1, MANY);
        match rustix::io::pwritev(file, &many[..left], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => offset += written as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
fn write_zeros(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
fn allocate(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What is held in the memory; it fails on demand, and counts what is asked of it.
    #[derive(Default)]
    pub struct InMemory {
        pub bytes: Vec<u8>,
        pub fails: bool,
        pub syncs: usize,
        pub reserved: Vec<u64>,
    }

    impl Medium for &mut InMemory {
        fn length(&mut self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read(&mut self, offset: u64) -> io::Result<Vec<u8>> {
            let rest = &self.bytes[usize::try_from(offset).expect("small")..];
            Ok(rest[..rest.len().min(BLOCK)].to_vec())
        }

        fn write(&mut self, offset: u64, block: &[u8]) -> io::Result<()> {
            if std::mem::take(&mut self.fails) {
                return Err(io::Error::other("a write that fails once"));
            }
            let at = usize::try_from(offset).expect("small");
            let end = self.bytes.len().max(at + BLOCK);
            self.bytes.resize(end, 0);
            self.bytes[at..at + BLOCK].copy_from_slice(block);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            self.syncs += 1;
            Ok(())
        }

        fn reserve(&mut self, length: u64) -> io::Result<()> {
            self.reserved.push(length);
            Ok(())
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.bytes.truncate(usize::try_from(length).expect("small"));
            Ok(())
        }
    }
}
