//! Secrets that a provider was given, hidden in whatever it says.

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use holdfast_net::error::Error;

/// What stands for a secret.
const HIDDEN: &str = "***";
/// A shorter value is a part of so many words that it is hidden only where it is a word of its own.
const SHORTEST: usize = 4;
/// How much of a value must stay the same wherever it lies in what was encoded as base64, in characters.
const SHORTEST_CORE: usize = 6;
/// An error within JSON within an error: so many times a text is read anew.
const DEPTH: usize = 3;
/// Characters of an error that are shown: drivers repeat all that a tool printed.
const LONGEST: usize = 4_000;

/// Values that no text may tell: as they are, as base64 or hexadecimal (also within something longer), percent-encoded,
/// with the escapes of JSON and of programming languages, as the name of a folder, over several lines.
#[derive(Clone, Default)]
pub struct Mask {
    values: usize,
    forms: Arc<[Form]>,
}

/// A way in which a value may be written.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    text: Vec<u8>,
    /// Only where no letter, digit or underscore stands beside it.
    word: bool,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<mask of {} values>", self.values)
    }
}

impl Mask {
    /// Of these values; an empty one is none.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let values: BTreeSet<String> = values.into_iter().filter(|value| !value.trim().is_empty()).collect();
        let forms: BTreeSet<Form> = values.iter().flat_map(|value| forms(value)).collect();
        Self { values: values.len(), forms: forms.into_iter().collect() }
    }

    /// The same text without them.
    pub fn hide(&self, text: &str) -> String {
        if self.forms.is_empty() {
            return text.to_owned();
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut views = vec![View::of(text)];
        for _ in 0..DEPTH {
            for view in &views {
                found.extend(self.forms.iter().flat_map(|form| view.find(form)));
            }
            views = views.iter().flat_map(|view| [view.unescaped(), view.unquoted()]).flatten().collect();
        }
        replaced(text, found)
    }

    /// The same error without them; what it came from is left out where that tells one.
    pub fn error(&self, error: Error) -> Error {
        let source = error.source.clone().filter(|source| {
            let said = format!("{source} {source:?}");
            self.hide(&said) == said
        });
        let hide = |text: String| self.hide(&text);
        Error {
            message: shortened(self.hide(&error.message)),
            device: error.device.map(|device| self.hide(&device).into()),
            operation: error.operation.map(|operation| self.hide(&operation).into()),
            hint: error.hint.map(hide),
            source,
            ..error
        }
    }
}

/// A text of which nobody reads more. It is cut once nothing is left to be hidden: half a secret is not known for one.
fn shortened(text: String) -> String {
    let all = text.chars().count();
    if all <= LONGEST + 100 {
        return text;
    }
    let shown: String = text.chars().take(LONGEST).collect();
    format!("{shown}… ({all} characters)")
}

/// Hides ranges, of which some may overlap.
fn replaced(text: &str, mut found: Vec<Range<usize>>) -> String {
    found.sort_by_key(|range| range.start);
    let (mut shown, mut end) = (String::new(), 0);
    for range in found {
        if range.start > end || shown.is_empty() {
            shown.push_str(text.get(end..range.start).unwrap_or_default());
            shown.push_str(HIDDEN);
        }
        end = end.max(range.end);
    }
    shown.push_str(text.get(end..).unwrap_or_default());
    shown
}

/// All the ways to write a value.
fn forms(value: &str) -> BTreeSet<Form> {
    let mut read = vec![View::of(value)];
    read.extend(View::of(value).unescaped());
    let texts = read.into_iter().map(|view| view.bytes).chain([value.trim().as_bytes().to_vec()]);
    let mut forms = BTreeSet::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if text.len() < SHORTEST {
            forms.insert(Form { text, word: true });
            continue;
        }
        let hexadecimal = text.iter().fold(String::new(), |mut all, byte| {
            let _ = write!(all, "{byte:02x}"); // a text takes all
            all
        });
        let plain = |each: char| if each.is_ascii_alphanumeric() || "-_.".contains(each) { each } else { '_' };
        let folder: String = String::from_utf8_lossy(&text).chars().map(plain).collect();
        // of a value of nothing but signs, nothing is left
        let folder = Some(folder).filter(|folder| folder.contains(|each: char| each.is_ascii_alphanumeric()));
        let encoded = base64(&text).into_iter().chain([hexadecimal.to_uppercase(), hexadecimal]).chain(folder);
        forms.extend(encoded.map(String::into_bytes).chain([text]).map(|text| Form { text, word: false }));
    }
    forms
}

/// A value as base64 by both alphabets: alone, and what is the same of it at each place within something longer.
fn base64(value: &[u8]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for alphabet in [b"+/", b"-_"] {
        all.insert(encoded(value, *alphabet));
        for before in 0..3 {
            let shifted = [vec![0; before].as_slice(), value].concat();
            // whole groups of six bits that are of the value alone
            let (first, last) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
            let core: String = encoded(&shifted, *alphabet).chars().take(last).skip(first).collect();
            if core.len() >= SHORTEST_CORE {
                all.insert(core);
            }
        }
    }
    all
}

fn encoded(bytes: &[u8], last: [u8; 2]) -> String {
    let digit = |bits: u32| match (bits & 63) as u8 {
        bits @ 0..26 => b'A' + bits,
        bits @ 26..52 => b'a' + bits - 26,
        bits @ 52..62 => b'0' + bits - 52,
        bits => last[usize::from(bits - 62)],
    };
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().chain([&0; 3]).take(3).fold(0, |bits, byte| (bits << 8) | u32::from(*byte));
        text.extend([18, 12, 6, 0].iter().take(group.len() + 1).map(|shift| char::from(digit(bits >> shift))));
    }
    text
}

/// A text as somebody reads it, without line breaks; and where each of its bytes stands in the text itself.
struct View {
    bytes: Vec<u8>,
    at: Vec<Range<usize>>,
}

impl View {
    fn of(text: &str) -> Self {
        Self::read(text.bytes().zip((0..).map(|at| at..at + 1)))
    }

    /// Without line breaks, and the spaces that follow them.
    fn read(pairs: impl Iterator<Item = (u8, Range<usize>)>) -> Self {
        let mut view = Self { bytes: Vec::new(), at: Vec::new() };
        let mut margin = false;
        for (byte, at) in pairs {
            margin = byte == b'\n' || byte == b'\r' || (margin && (byte == b' ' || byte == b'\t'));
            if !margin {
                view.bytes.push(byte);
                view.at.push(at);
            }
        }
        view
    }

    fn find(&self, form: &Form) -> Vec<Range<usize>> {
        let (bytes, length) = (&self.bytes, form.text.len());
        let in_word =
            |at: Option<&u8>| at.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii());
        let is_word = |start: usize| {
            !in_word(start.checked_sub(1).and_then(|at| bytes.get(at))) && !in_word(bytes.get(start + length))
        };
        let starts =
            bytes.windows(length).enumerate().filter(|(_, window)| *window == form.text).map(|(start, _)| start);
        let starts = starts.filter(|start| !form.word || is_word(*start));
        starts.map(|start| self.at[start].start..self.at[start + length - 1].end).collect()
    }

    /// As it reads without percent-encoding; none, where there is none.
    fn unquoted(&self) -> Option<Self> {
        self.decoded(|rest| match rest {
            [b'%', high, low, ..] => byte([*high, *low]).map(|byte| (vec![byte], 3)),
            [b'+', ..] => Some((vec![b' '], 1)),
            _ => None,
        })
    }

    /// As it reads without escapes; none, where there are none.
    fn unescaped(&self) -> Option<Self> {
        self.decoded(|rest| match rest {
            [b'\\', b'u', b'{', digits @ ..] => {
                let length = digits.iter().take(7).position(|digit| *digit == b'}')?;
                Some((character(&digits[..length])?, length + 4))
            }
            [b'\\', b'u', a, b, c, d, ..] => Some((character(&[*a, *b, *c, *d])?, 6)),
            [b'\\', b'x', high, low, ..] => byte([*high, *low]).map(|byte| (vec![byte], 4)),
            [b'\\', b'n' | b'r', ..] => Some((vec![b'\n'], 2)),
            [b'\\', b't', ..] => Some((vec![b'\t'], 2)),
            [b'\\', sign, ..] if sign.is_ascii_punctuation() => Some((vec![*sign], 2)),
            _ => None,
        })
    }

    /// With what `decode` makes of the bytes from a place on, and how many it took.
    fn decoded(&self, decode: impl Fn(&[u8]) -> Option<(Vec<u8>, usize)>) -> Option<Self> {
        let (mut pairs, mut place, mut changed) = (Vec::new(), 0, false);
        while place < self.bytes.len() {
            if let Some((made, took)) = decode(&self.bytes[place..]) {
                let at = self.at[place].start..self.at[place + took - 1].end;
                pairs.extend(made.into_iter().map(|byte| (byte, at.clone())));
                (place, changed) = (place + took, true);
            } else {
                pairs.push((self.bytes[place], self.at[place].clone()));
                place += 1;
            }
        }
        changed.then(|| Self::read(pairs.into_iter()))
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn byte(digits: [u8; 2]) -> Option<u8> {
    number(&digits).and_then(|number| u8::try_from(number).ok())
}

fn character(digits: &[u8]) -> Option<Vec<u8>> {
    number(digits).and_then(char::from_u32).map(|character| character.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(values: &[&str]) -> Mask {
        Mask::new(values.iter().map(|value| (*value).to_owned()))
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_written() {
        let secret = r#"p@ss "w/rd" é\end"#;
        let mask = mask(&[secret]);
        for (written, hidden) in [
            (format!("login as {secret} failed"), "login as *** failed"),
            (serde_json::json!({ "password": secret }).to_string(), r#"{"password":"***"}"#),
            (format!("{:?}", serde_json::json!({ "password": secret }).to_string()), r#""{\"password\":\"***\"}""#),
            (r"p@ss \u0022w\/rd\u0022 \u00e9\\end".to_owned(), "***"),
            ("//u:p%40ss%20%22w%2frd%22%20%C3%A9%5Cend@host".to_owned(), "//u:***@host"),
            ("p%40ss+%22w/rd%22+é\\end".to_owned(), "***"),
            ("key: p@ss \"w/r\n     d\" é\\e\r\nnd.".to_owned(), "key: ***."),
            ("cEBzcyAidy9yZCIgw6lcZW5k".to_owned(), "***"),
            ("704073732022772f72642220c3a95c656e64".to_owned(), "***"),
            ("/lab/node1/p_ss__w_rd____end/mount".to_owned(), "/lab/node1/***/mount"),
        ] {
            assert_eq!(mask.hide(&written), hidden, "{written}");
        }
        assert_eq!(mask.hide("nothing of it"), "nothing of it");
        assert_eq!(format!("{mask:?}"), "<mask of 1 values>");
    }

    #[test]
    fn base64_of_something_longer_tells_nothing_either() {
        let mask = mask(&["hunter2!"]);
        for user in ["a", "ab", "abc", "abcd"] {
            for last in [*b"+/", *b"-_"] {
                let header = encoded(format!("{user}:hunter2!").as_bytes(), last);
                let hidden = mask.hide(&header);
                assert!(hidden.contains(HIDDEN) && hidden.len() + 7 <= header.len(), "{header}: {hidden}");
            }
        }
    }

    #[test]
    fn values_that_overlap_are_hidden_as_a_whole() {
        let mask = mask(&["abcdef", "defghi", "abcd"]);
        assert_eq!(mask.hide("<abcdefghi> <abcdx> <abcdefabcdef>"), "<***> <***x> <***>");
        assert_eq!(mask.hide("abcdef"), "***");
    }

    #[test]
    fn a_short_value_is_hidden_as_a_word() {
        let mask = mask(&["me", "7", "", "  "]);
        assert_eq!(mask.hide("some time for me (me=7, 17)"), "some time for *** (***=***, 17)");
    }

    #[test]
    fn a_value_with_escaped_line_breaks_is_hidden_with_real_ones() {
        let mask = mask(&[r"-----BEGIN KEY-----\nMIIBVQIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----"]);
        assert_eq!(mask.hide("-----BEGIN KEY-----\nMIIBVQIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----\n"), "***\n");
    }

    #[test]
    fn an_error_is_hidden_with_all_that_it_says() {
        let io = std::io::Error::other("hunter2");
        let error = mask(&["hunter2"]).error(Error::lab_io("hunter2", io).hint("hunter2?").during(
            "hunter2",
            "hunter2",
            std::time::Duration::ZERO,
        ));
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    }
}
