//! Files that people give for image archives and that are none: known by how they begin, so that an error names them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// As many bytes as it takes to know.
const BEGINNING: usize = 512;

/// What a file is, and what to try.
type Stranger = (&'static str, &'static str);

const PAGE: Stranger =
    ("is a web page, not an archive", "a download gave a page in its place, such as a login: fetch it again");

/// By its first bytes.
const BEGINNINGS: [(&[u8], Stranger); 13] = [
    (
        &[0xff, 0xfe],
        ("was written as text (UTF-16), which alters it", "PowerShell's > does that: `docker save -o FILE IMAGE`"),
    ),
    (&[0x04, 0x22, 0x4d, 0x18], ("is compressed with lz4", "unpack it first: `lz4 -d FILE`")),
    (&[0x5d, 0, 0], ("is compressed with lzma", "unpack it first: `xz -d --format=lzma FILE`")),
    (&[0x1f, 0x9d], ("is compressed with compress", "unpack it first: `gzip -d FILE`")),
    (b"LZIP", ("is compressed with lzip", "unpack it first: `lzip -d FILE`")),
    (b"PK\x03\x04", ("is a zip file", "unpack it first: the archive may be in it")),
    (b"7z\xbc\xaf\x27\x1c", ("is a 7z file", "unpack it first: the archive may be in it")),
    (b"version https://git-lfs", ("is a pointer of Git LFS, not the file itself", "fetch the file: `git lfs pull`")),
    (b"hsqs", ("is a squashfs image, not an archive", "save the image: `docker save -o FILE IMAGE`")),
    (b"#!", ("is a script, not an archive", "save the image: `docker save -o FILE IMAGE`")),
    (b"\x7fELF", ("is a program, not an archive", "save an image of it: `docker save -o FILE IMAGE`")),
    (b"-----BEGIN PGP MESSAGE", ("is encrypted with PGP", "decrypt it first: `gpg -d FILE`")),
    (b"QFI\xfb", ("is a disk of a virtual machine, not an archive", "save an image: `docker save -o FILE IMAGE`")),
];

/// What the file is, where that is known; it is read anew, and what hinders that is no news.
pub fn known(path: &Path) -> Option<Stranger> {
    let mut start = Vec::with_capacity(BEGINNING);
    File::open(path).ok()?.take(BEGINNING as u64).read_to_end(&mut start).ok()?;
    of(&start)
}

fn of(start: &[u8]) -> Option<Stranger> {
    if let Some((_, known)) = BEGINNINGS.iter().find(|(beginning, _)| start.starts_with(beginning)) {
        return Some(*known);
    }
    let text = start.trim_ascii_start().to_ascii_lowercase();
    [&b"<!doctype html"[..], b"<html", b"<?xml", b"<head"].iter().any(|tag| text.starts_with(tag)).then_some(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_in_any_letters() {
        for page in ["<!DOCTYPE html><html>", "\n  <HTML lang=en>", "<?xml version=\"1.0\"?><Error>"] {
            assert_eq!(of(page.as_bytes()), Some(PAGE), "{page}");
        }
        assert_eq!(of(b"plain text"), None);
        assert_eq!(of(b""), None);
    }
}
