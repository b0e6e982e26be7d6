//! Terms: `1*error(message)->2*delay(100)->1*off`, what they mean, and their text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::code::Code;
use super::draw::Draw;

/// A chain of terms; the first with a count left fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub(super) terms: Vec<Term>,
}

/// Actions, how often they fire, and with which chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// In percent, as it was written; always where none is.
    pub probability: Option<String>,
    /// What is left of it; without one it fires every time.
    pub count: Option<u64>,
    /// One after the other; at least one.
    pub actions: Vec<Action>,
}

/// What a term does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing; it uses up a count.
    Off,
    /// Fails the operation.
    Error {
        /// The site's own default where there is none.
        code: Option<Code>,
        /// In words.
        message: Text,
    },
    /// Ends the process or the emulated control processor, with words.
    Panic {
        /// For a site that can still answer.
        code: Option<Code>,
        /// In words.
        message: Text,
    },
    /// Waits, then goes on.
    Delay {
        /// At least so long.
        shortest: Length,
        /// At most so long, where a range is given.
        longest: Option<Length>,
    },
    /// Says that it is reached and waits for its release, so long at most.
    Pause(Option<Length>),
    /// Never answers.
    Drop,
    /// Stops reading and writing with the socket open.
    Hang,
    /// The process or the emulated control processor dies at once.
    Crash,
    /// The process ends with this code; an emulated control processor dies.
    Exit(u8),
    /// Spoils the data.
    Corrupt(Corruption),
    /// Puts this JSON object in place of what the site would give.
    Return(String),
    /// A line in the log, no more.
    Print(String),
}

/// How data is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    /// Its second half is missing.
    Truncate,
    /// So many of its bits are flipped.
    Flip(u64),
    /// Each of its bytes is another.
    Garbage,
}

/// A message as it was written: plain in parentheses, or in braces with escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// `(…)`
    Plain(String),
    /// `{…}`, with `\}`, `\\`, `\n` and `\xHH`.
    Escaped(String),
}

/// A time as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Of its units.
    pub number: u64,
    /// In which it counts.
    pub unit: Unit,
}

/// How long a pause lasts that nobody releases and that names no time.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// None written: milliseconds.
    Plain,
    /// ms
    Milliseconds,
    /// s
    Seconds,
    /// m
    Minutes,
}

impl Terms {
    /// One hit: takes a count from the first term that has one left, and says what to do.
    pub fn fire(&mut self, draw: Draw) -> Option<Vec<Action>> {
        let mut position = 0;
        let term = self.terms.iter_mut().find(|term| {
            position += 1;
            term.comes_up(draw.at(position)) && term.count != Some(0)
        })?;
        term.count = term.count.map(|left| left - 1);
        Some(term.actions.iter().map(|action| action.drawn(draw)).collect())
    }

    /// The chain.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether chance decides about any of it.
    pub fn draws(&self) -> bool {
        self.terms.iter().any(|term| term.probability.is_some() || term.actions.iter().any(Action::draws))
    }
}

impl Term {
    fn comes_up(&self, draw: Draw) -> bool {
        self.probability.as_ref().and_then(|percent| percent.parse().ok()).is_none_or(|percent| draw.happens(percent))
    }
}

impl Action {
    /// With its range of delays drawn.
    fn drawn(&self, draw: Draw) -> Self {
        let Self::Delay { shortest, longest: Some(longest) } = self else { return self.clone() };
        let (low, high) = (shortest.milliseconds(), longest.milliseconds());
        let number = low + draw.at(0).below(high - low + 1);
        Self::Delay { shortest: Length { number, unit: Unit::Milliseconds }, longest: None }
    }

    fn draws(&self) -> bool {
        matches!(self, Self::Delay { longest: Some(_), .. } | Self::Corrupt(_))
    }
}

impl Corruption {
    /// Spoils `data`; what is not empty is never left as it was, unless no bit is to be flipped.
    pub fn apply(self, data: &mut Vec<u8>, draw: Draw) {
        match self {
            Self::Truncate => data.truncate(data.len() / 2),
            Self::Flip(count) => {
                let bits = data.len() as u64 * 8;
                for bit in drawn_positions(bits, count, draw) {
                    data[usize::try_from(bit / 8).unwrap_or_default()] ^= 1 << (bit % 8);
                }
            }
            Self::Garbage => {
                for (at, byte) in (0_u64..).zip(data.iter_mut()) {
                    *byte ^= u8::try_from(1 + draw.at(at).below(255)).unwrap_or(1);
                }
            }
        }
    }
}

/// `count` different numbers below `limit`, or all of them: Floyd's way of sampling, which draws once for each.
fn drawn_positions(limit: u64, count: u64, draw: Draw) -> BTreeSet<u64> {
    let mut positions = BTreeSet::new();
    for last in limit - count.min(limit)..limit {
        if !positions.insert(draw.at(last).below(last + 1)) {
            positions.insert(last);
        }
    }
    positions
}

impl Text {
    /// The message itself.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Escaped(text) => Cow::Owned(String::from_utf8_lossy(&unescaped(text)).into_owned()),
        }
    }
}

/// What an escaped text, which was checked when it was read, stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut meant = Vec::new();
    while let Some(byte) = bytes.next() {
        let next = if byte == b'\\' { bytes.next() } else { None };
        meant.push(match next {
            None => byte,
            Some(b'n') => b'\n',
            Some(b'x') => (0..2).fold(0, |value, _| value << 4 | hexadecimal(bytes.next().unwrap_or(b'0'))),
            Some(literal) => literal,
        });
    }
    meant
}

fn hexadecimal(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or_default()
}

impl Length {
    /// In milliseconds.
    pub fn milliseconds(self) -> u64 {
        match self.unit {
            Unit::Plain | Unit::Milliseconds => self.number,
            Unit::Seconds => self.number.saturating_mul(1_000),
            Unit::Minutes => self.number.saturating_mul(60_000),
        }
    }

    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.milliseconds())
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, &self.terms, "->")
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(percent) = &self.probability {
            write!(f, "{percent}%")?;
        }
        if let Some(count) = self.count {
            write!(f, "{count}*")?;
        }
        join(f, &self.actions, "+")
    }
}

fn join<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T], between: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        write!(f, "{}{part}", if at == 0 { "" } else { between })?;
    }
    Ok(())
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coded = |code: &Option<Code>| code.map_or_else(String::new, |code| format!("[{code}]"));
        match self {
            Self::Off => f.write_str("off"),
            Self::Error { code, message } => write!(f, "error{}{message}", coded(code)),
            Self::Panic { code, message } => write!(f, "panic{}{message}", coded(code)),
            Self::Delay { shortest, longest: None } => write!(f, "delay({shortest})"),
            Self::Delay { shortest, longest: Some(longest) } => write!(f, "delay({shortest}..{longest})"),
            Self::Pause(None) => f.write_str("pause"),
            Self::Pause(Some(length)) => write!(f, "pause({length})"),
            Self::Drop => f.write_str("drop"),
            Self::Hang => f.write_str("hang"),
            Self::Crash => f.write_str("crash"),
            Self::Exit(code) => write!(f, "exit({code})"),
            Self::Corrupt(Corruption::Truncate) => f.write_str("corrupt(truncate)"),
            Self::Corrupt(Corruption::Flip(count)) => write!(f, "corrupt(flip:{count})"),
            Self::Corrupt(Corruption::Garbage) => f.write_str("corrupt(garbage)"),
            Self::Return(object) => write!(f, "return{object}"),
            Self::Print(text) => write!(f, "print({text})"),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => write!(f, "({text})"),
            Self::Escaped(text) => write!(f, "{{{text}}}"),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Plain => "",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::Minutes => "m",
        };
        write!(f, "{}{unit}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fire(terms: &mut Terms, hit: u64) -> Option<String> {
        let fired = terms.fire(Draw::new(0, "x", hit))?;
        Some(fired.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"))
    }

    #[test]
    fn counts_run_out_from_the_front() {
        let mut terms: Terms = "0*panic(no)->2*error(a)->1*off".parse().expect("terms");
        for expected in [Some("error(a)"), Some("error(a)"), Some("off"), None, None] {
            assert_eq!(fire(&mut terms, 1).as_deref(), expected);
        }
        assert_eq!(terms.to_string(), "0*panic(no)->0*error(a)->0*off");
    }

    #[test]
    fn without_a_count_it_fires_every_time_and_all_its_actions() {
        let mut terms: Terms = "1*print(once)->delay(5)+error[EIO](x)".parse().expect("terms");
        for expected in ["print(once)", "delay(5)+error[EIO](x)", "delay(5)+error[EIO](x)"] {
            assert_eq!(fire(&mut terms, 1).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_failed_draw_goes_to_the_next_term_and_costs_no_count() {
        let run = || -> Vec<_> {
            let mut terms: Terms = "50%3*error(x)->off".parse().expect("terms");
            (1..=20).map(|hit| fire(&mut terms, hit).expect("it fires")).collect()
        };
        assert_eq!(run(), run());
        assert_eq!(run().iter().filter(|fired| *fired == "error(x)").count(), 3);
        assert!(run()[..10].contains(&"off".to_owned()));
    }

    #[test]
    fn a_range_of_delays_is_drawn_within_it() {
        let mut terms: Terms = "delay(250ms..2s)".parse().expect("terms");
        for hit in 1..100 {
            let fired = terms.fire(Draw::new(3, "x", hit)).expect("it fires");
            let [Action::Delay { shortest, longest: None }] = fired[..] else { panic!("{fired:?}") };
            assert!((250..=2000).contains(&shortest.milliseconds()), "{shortest}");
        }
        let mut terms: Terms = "delay(1ms..2ms)".parse().expect("terms");
        let drawn: BTreeSet<_> = (1..100).filter_map(|hit| fire(&mut terms, hit)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), ["delay(1ms)", "delay(2ms)"], "both ends come");
    }

    #[test]
    fn terms_draw_apart() {
        let mut terms: Terms = "50%error(a)->50%error(b)".parse().expect("terms");
        let fired: BTreeSet<_> = (1..200).map(|hit| fire(&mut terms, hit)).collect();
        assert_eq!(fired.len(), 3, "one, the other or neither: {fired:?}");
    }

    #[test]
    fn a_length_is_of_its_unit() {
        for (text, milliseconds) in [("5", 5), ("5ms", 5), ("2s", 2_000), ("3m", 180_000)] {
            let terms: Terms = format!("delay({text})").parse().expect("terms");
            let Action::Delay { shortest, .. } = terms.terms()[0].actions[0] else { panic!("{terms}") };
            assert_eq!(shortest.duration(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_chance_decides_about_is_known() {
        for (text, draws) in [
            ("1*off->delay(5)+error(x)->pause->return{}", false),
            ("50%off", true),
            ("off->1%off", true),
            ("delay(1ms..2ms)", true),
            ("1*off+corrupt(garbage)", true),
        ] {
            assert_eq!(text.parse::<Terms>().expect("terms").draws(), draws, "{text}");
        }
    }

    #[test]
    fn data_is_spoilt_as_its_term_says() {
        let draw = Draw::new(1, "x", 1);
        let spoil = |how: Corruption| {
            let mut data = vec![7; 100];
            how.apply(&mut data, draw);
            data
        };
        assert_eq!(spoil(Corruption::Truncate).len(), 50);
        let flipped: u32 = spoil(Corruption::Flip(5)).iter().map(|byte| (byte ^ 7).count_ones()).sum();
        assert_eq!(flipped, 5);
        assert!(spoil(Corruption::Flip(u64::MAX)).iter().all(|byte| *byte == !7));
        assert!(spoil(Corruption::Garbage).iter().all(|byte| *byte != 7));
        let touched = (1..200).fold(0, |touched, hit| {
            let mut byte = vec![0];
            Corruption::Flip(1).apply(&mut byte, Draw::new(1, "x", hit));
            touched | byte[0]
        });
        assert_eq!(touched, 0xff, "each bit comes");
        let mut nothing = Vec::new();
        Corruption::Flip(3).apply(&mut nothing, draw);
        assert!(nothing.is_empty());
    }

    #[test]
    fn garbage_is_of_all_bytes_but_the_ones_that_were_there() {
        let mut seen = BTreeSet::new();
        for hit in 1..100 {
            let mut data = vec![7; 100];
            Corruption::Garbage.apply(&mut data, Draw::new(1, "x", hit));
            seen.extend(data);
        }
        assert_eq!(seen.len(), 255);
        assert!(!seen.contains(&7));
        let mut data = vec![7; 100];
        Corruption::Garbage.apply(&mut data, Draw::new(1, "x", 1));
        assert!(data.iter().collect::<BTreeSet<_>>().len() > 50, "each byte has a draw of its own: {data:?}");
    }

    #[test]
    fn any_two_bits_are_flipped_together() {
        let pairs: BTreeSet<u8> = (1..2_000)
            .map(|hit| {
                let mut byte = vec![0];
                Corruption::Flip(2).apply(&mut byte, Draw::new(1, "x", hit));
                byte[0]
            })
            .collect();
        assert_eq!(pairs.len(), 28, "of eight bits: {pairs:?}");
    }

    #[test]
    fn escapes_are_read() {
        let terms: Terms = r"1*error{a) \} \\ \n \x41}".parse().expect("terms");
        let Action::Error { message, .. } = &terms.terms()[0].actions[0] else { panic!("{terms}") };
        assert_eq!(message.text(), "a) } \\ \n A");
    }
}
