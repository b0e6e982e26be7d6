//! Terms: `1*error(message)->2*delay(100)->1*off`, containerd's language, with `error[CODE](…)` and `return{…}`.

use std::fmt;
use std::str::FromStr;

/// A delay beyond this overflows nanoseconds in containerd.
const MAX_DELAY: i64 = 9_223_372_036_854;

/// What a term does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing; it uses up a count.
    Off,
    /// Fails the operation, with a status where one is named.
    Error {
        /// A gRPC status by name; the site's own default where there is none.
        code: Option<String>,
        /// In words.
        message: String,
    },
    /// Ends the process or the emulated control processor.
    Panic(String),
    /// Waits so many milliseconds, then goes on.
    Delay(i64),
    /// Puts this JSON object in place of what the site would give.
    Return(String),
}

/// An action and how often it fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// What is left of it.
    pub count: i64,
    /// What it does.
    pub action: Action,
}

/// A chain of terms; the first with a count left fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    terms: Vec<Term>,
}

/// Why a text is no terms; the strict language's texts are containerd's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

impl Terms {
    /// One hit: takes a count from the first term that has one left, and says what to do.
    pub fn fire(&mut self) -> Option<Action> {
        let term = self.terms.iter_mut().find(|term| term.count > 0)?;
        term.count -= 1;
        Some(term.action.clone())
    }

    /// The chain.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }
}

impl FromStr for Terms {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut terms = Vec::new();
        let mut rest = text;
        loop {
            let (term, after) = parse_term(rest)?;
            terms.push(term);
            if after.is_empty() {
                return Ok(Self { terms });
            }
            rest = after.strip_prefix("->").ok_or_else(|| ParseError(format!("invalid cascading terms: {after}")))?;
            if rest.is_empty() {
                let cause = "failed to parse int64 because of invalid terminate byte: ";
                return Err(ParseError(format!("failed to parse cascading term: {cause}")));
            }
        }
    }
}

fn parse_term(text: &str) -> Result<(Term, &str), ParseError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, after) = text.split_at(digits);
    let Some(action) = after.strip_prefix('*').filter(|_| digits > 0) else {
        return Err(ParseError(format!("failed to parse int64 because of invalid terminate byte: {after}")));
    };
    let (action, rest) = parse_action(action)?;
    Ok((Term { count: parse_int(number)?, action }, rest))
}

fn parse_int(number: &str) -> Result<i64, ParseError> {
    number.parse().map_err(|_| {
        let cause = format!("strconv.ParseInt: parsing \"{number}\": value out of range");
        ParseError(format!("failed to parse int64 from {number}: {cause}"))
    })
}

fn parse_action(text: &str) -> Result<(Action, &str), ParseError> {
    let invalid = || ParseError(format!("invalid type format: {text}"));
    if let Some(rest) = text.strip_prefix("off") {
        return Ok((Action::Off, rest));
    }
    if let Some(rest) = text.strip_prefix("return") {
        let (object, rest) = json_object(rest).ok_or_else(invalid)?;
        return Ok((Action::Return(object.to_owned()), rest));
    }
    if let Some(rest) = text.strip_prefix("error[") {
        let (code, rest) = rest.split_once("](").ok_or_else(invalid)?;
        if code.is_empty() || !code.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
            return Err(invalid());
        }
        let (message, rest) = argument(rest, "error")?;
        return Ok((Action::Error { code: Some(code.to_owned()), message: message.to_owned() }, rest));
    }
    for name in ["error", "panic", "delay"] {
        let Some(rest) = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('(')) else { continue };
        let (argument, rest) = argument(rest, name)?;
        let action = match name {
            "error" => Action::Error { code: None, message: argument.to_owned() },
            "panic" => Action::Panic(argument.to_owned()),
            _ => Action::Delay(delay(argument)?),
        };
        return Ok((action, rest));
    }
    Err(invalid())
}

fn argument<'a>(text: &'a str, name: &str) -> Result<(&'a str, &'a str), ParseError> {
    match text.split_once(')') {
        Some((argument, rest)) if !argument.is_empty() => Ok((argument, rest)),
        _ => Err(ParseError(format!("invalid argument for {name} type"))),
    }
}

fn delay(argument: &str) -> Result<i64, ParseError> {
    let digits = argument.len() - argument.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 || digits < argument.len() {
        let rest = &argument[digits..];
        return Err(ParseError(format!("failed to parse int64 because of invalid terminate byte: {rest}")));
    }
    match parse_int(argument)? {
        milliseconds if milliseconds <= MAX_DELAY => Ok(milliseconds),
        _ => Err(ParseError(format!("delay({argument}) is longer than {MAX_DELAY} ms, which overflows"))),
    }
}

/// The JSON object at the start of `text`, braces included, and what follows it.
fn json_object(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(text.split_at(at + 1));
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            write!(f, "{}{}*{}", if at == 0 { "" } else { "->" }, term.count, term.action)?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Error { code: None, message } => write!(f, "error({message})"),
            Self::Error { code: Some(code), message } => write!(f, "error[{code}]({message})"),
            Self::Panic(message) => write!(f, "panic({message})"),
            Self::Delay(milliseconds) => write!(f, "delay({milliseconds})"),
            Self::Return(object) => write!(f, "return{object}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_as_containerd_words_them() {
        let byte = "failed to parse int64 because of invalid terminate byte: ";
        for (text, error) in [
            ("", byte.to_owned()),
            ("off", format!("{byte}off")),
            ("*off", format!("{byte}*off")),
            ("-1*off", format!("{byte}-1*off")),
            ("50%off", format!("{byte}%off")),
            (" 1*off", format!("{byte} 1*off")),
            ("1*OFF", "invalid type format: OFF".into()),
            ("1*error", "invalid type format: error".into()),
            ("1* off", "invalid type format:  off".into()),
            ("1*error()", "invalid argument for error type".into()),
            ("1*panic(a", "invalid argument for panic type".into()),
            ("1*off()", "invalid cascading terms: ()".into()),
            ("1*offf", "invalid cascading terms: f".into()),
            ("1*error(a(b)c)", "invalid cascading terms: c)".into()),
            ("1*off->", format!("failed to parse cascading term: {byte}")),
            (
                "9223372036854775808*off",
                "failed to parse int64 from 9223372036854775808: strconv.ParseInt: parsing \
                 \"9223372036854775808\": value out of range"
                    .into(),
            ),
        ] {
            assert_eq!(text.parse::<Terms>().expect_err(text).to_string(), error, "{text}");
        }
    }

    #[test]
    fn texts_read_back() {
        for text in [
            "1*off",
            "1*error(a->b \"c\" %)->2*delay(100)->0*panic(x)",
            "3*error[UNAVAILABLE](busy)",
            "1*return{\"a\": \"}\", \"b\": {\"c\": 1}}->1*off",
        ] {
            assert_eq!(text.parse::<Terms>().expect(text).to_string(), text);
        }
        assert_eq!("01*off".parse::<Terms>().expect("a leading zero").to_string(), "1*off");
    }

    #[test]
    fn counts_run_out_from_the_front() {
        let mut terms: Terms = "0*panic(no)->2*error(a)->1*off".parse().expect("terms");
        let error = Action::Error { code: None, message: "a".into() };
        assert_eq!(terms.fire(), Some(error.clone()));
        assert_eq!(terms.fire(), Some(error));
        assert_eq!(terms.fire(), Some(Action::Off));
        assert_eq!(terms.fire(), None);
        assert_eq!(terms.to_string(), "0*panic(no)->0*error(a)->0*off");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_reads_back(text in "[0-9*()a-z\\[\\]{}\" >-]{0,40}") {
            if let Ok(terms) = text.parse::<Terms>() {
                let printed = terms.to_string();
                proptest::prop_assert_eq!(printed.parse::<Terms>(), Ok(terms));
            }
        }
    }
}
