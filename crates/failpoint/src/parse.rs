//! Reading terms: containerd's language with its own error texts, and what we add to it.
//!
//! Long because a grammar reads top down, and half of this is its tests.

use std::str::FromStr;

use super::code::Code;
use super::error::ParseError;
use super::terms::{Action, Corruption, Length, Term, Terms, Text, Unit};

/// A delay beyond this overflows nanoseconds in containerd.
const MAX_MILLISECONDS: u64 = 9_223_372_036_854;

/// Which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// containerd's.
    Strict,
    /// containerd's, and more that containerd refuses.
    Extended,
}

/// What was read, and what follows it.
type Read<'a, T> = Result<(T, &'a str), ParseError>;

impl Terms {
    /// Reads terms; an error is worded as containerd words it.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, ParseError> {
        terms(text, dialect)
    }
}

impl FromStr for Terms {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text, Dialect::Extended)
    }
}

fn terms(text: &str, dialect: Dialect) -> Result<Terms, ParseError> {
    let (first, mut rest) = term(text, dialect)?;
    let mut terms = vec![first];
    while !rest.is_empty() {
        let next =
            rest.strip_prefix("->").ok_or_else(|| ParseError::new(format!("invalid cascading terms: {rest}")))?;
        let read =
            term(next, dialect).map_err(|error| ParseError::new(format!("failed to parse cascading term: {error}")))?;
        terms.push(read.0);
        rest = read.1;
    }
    Ok(Terms { terms })
}

fn term(text: &str, dialect: Dialect) -> Read<'_, Term> {
    if dialect == Dialect::Strict {
        let (count, rest) = number(text, '*')?;
        let (action, rest) = common_action(rest)?;
        return Ok((Term { probability: None, count: Some(count), actions: vec![action] }, rest));
    }
    let (probability, rest) = probability(text)?;
    let (count, rest) = if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
        (None, rest)
    } else {
        number(rest, '*').map(|(count, rest)| (Some(count), rest))?
    };
    let (first, mut rest) = action(rest)?;
    let mut actions = vec![first];
    while let Some(next) = rest.strip_prefix('+') {
        let read = action(next)?;
        actions.push(read.0);
        rest = read.1;
    }
    Ok((Term { probability, count, actions }, rest))
}

/// `50%` or `0.5%`, if that is what comes.
fn probability(text: &str) -> Read<'_, Option<String>> {
    let length = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (percent, rest) = text.split_at(length);
    let Some(rest) = rest.strip_prefix('%') else { return Ok((None, text)) };
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_number = !whole.is_empty() && !part.is_empty() && !part.contains('.');
    match percent.parse::<f64>() {
        Ok(share) if is_number && share <= 100.0 => Ok((Some(percent.to_owned()), rest)),
        _ => Err(ParseError::new(format!("{percent:?} is no probability: write 0% to 100%, such as 12.5%"))),
    }
}

/// Digits within int64, and the byte that ends them.
fn number(text: &str, terminator: char) -> Read<'_, u64> {
    let length = digits(text);
    let (number, rest) = text.split_at(length);
    match rest.strip_prefix(terminator) {
        Some(rest) if length > 0 => Ok((parse_int(number)?, rest)),
        _ => Err(ParseError::new(format!("failed to parse int64 because of invalid terminate byte: {text}"))),
    }
}

fn digits(text: &str) -> usize {
    text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len()
}

fn parse_int(number: &str) -> Result<u64, ParseError> {
    number.parse::<i64>().map(i64::unsigned_abs).map_err(|_| {
        let cause = format!("strconv.ParseInt: parsing \"{number}\": value out of range");
        ParseError::new(format!("failed to parse int64 from {number}: {cause}"))
    })
}

/// What containerd knows.
fn common_action(text: &str) -> Read<'_, Action> {
    if let Some(rest) = text.strip_prefix("off") {
        return Ok((Action::Off, rest));
    }
    if let Some(rest) = text.strip_prefix("error(") {
        let (message, rest) = argument(rest, ')', "error")?;
        return Ok((Action::Error { code: None, message: Text::Plain(message.to_owned()) }, rest));
    }
    if let Some(rest) = text.strip_prefix("panic(") {
        let (message, rest) = argument(rest, ')', "panic")?;
        return Ok((Action::Panic { code: None, message: Text::Plain(message.to_owned()) }, rest));
    }
    if let Some(rest) = text.strip_prefix("delay(") {
        let (number, rest) = number(rest, ')')?;
        let shortest = checked(Length { number, unit: Unit::Plain })?;
        return Ok((Action::Delay { shortest, longest: None }, rest));
    }
    Err(ParseError::new(format!("invalid type format: {text}")))
}

fn argument<'a>(text: &'a str, end: char, of: &str) -> Read<'a, &'a str> {
    text.split_once(end)
        .filter(|(argument, _)| !argument.is_empty())
        .ok_or_else(|| ParseError::new(format!("invalid argument for {of} type")))
}

/// What containerd knows, and what we add.
fn action(text: &str) -> Read<'_, Action> {
    let name = text.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let (name, rest) = text.split_at(text.len() - name.len());
    match (name, rest.bytes().next()) {
        ("error" | "panic", Some(b'[' | b'{')) => coded(name, rest),
        ("delay", Some(b'(')) => delay(&rest[1..]),
        ("pause", Some(b'(')) => {
            let (length, rest) = argument(&rest[1..], ')', "pause")?;
            Ok((Action::Pause(Some(duration(length)?)), rest))
        }
        ("pause", _) => Ok((Action::Pause(None), rest)),
        ("drop", _) => Ok((Action::Drop, rest)),
        ("hang", _) => Ok((Action::Hang, rest)),
        ("crash", _) => Ok((Action::Crash, rest)),
        ("exit", Some(b'(')) => {
            let (code, rest) = argument(&rest[1..], ')', "exit")?;
            let valid = digits(code) == code.len();
            let code = code.parse().ok().filter(|_| valid);
            let code = code.ok_or_else(|| ParseError::new("invalid argument for exit type: write 0 to 255"))?;
            Ok((Action::Exit(code), rest))
        }
        ("corrupt", Some(b'(')) => {
            let (how, rest) = argument(&rest[1..], ')', "corrupt")?;
            Ok((Action::Corrupt(corruption(how)?), rest))
        }
        ("return", Some(b'{')) => {
            let (object, rest) = json_object(rest)?;
            Ok((Action::Return(object.to_owned()), rest))
        }
        ("print", Some(b'(')) => {
            let (words, rest) = argument(&rest[1..], ')', "print")?;
            Ok((Action::Print(words.to_owned()), rest))
        }
        _ => common_action(text),
    }
}

/// `error[CODE](…)`, `error[CODE]{…}`, `error{…}` and the same of `panic`, but that `panic[CODE]` takes braces alone.
fn coded<'a>(name: &str, text: &'a str) -> Read<'a, Action> {
    let (code, rest) = match text.strip_prefix('[') {
        None => (None, text),
        Some(inner) => {
            let (code, rest) = argument(inner, ']', name)?;
            (Some(Code::parse(code)?), rest)
        }
    };
    let (message, rest) = if let Some(inner) = rest.strip_prefix('{') {
        let (message, rest) = escaped(inner, name)?;
        (Text::Escaped(message.to_owned()), rest)
    } else if let Some(inner) = rest.strip_prefix('(').filter(|_| name == "error") {
        let (message, rest) = argument(inner, ')', name)?;
        (Text::Plain(message.to_owned()), rest)
    } else {
        return Err(ParseError::new(format!("invalid argument for {name} type")));
    };
    let action = if name == "error" { Action::Error { code, message } } else { Action::Panic { code, message } };
    Ok((action, rest))
}

/// Up to the brace that no backslash stands before.
fn escaped<'a>(text: &'a str, of: &str) -> Read<'a, &'a str> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'}' if at == 0 => break,
            b'}' => return Ok((&text[..at], &text[at + 1..])),
            b'\\' => match bytes.next() {
                Some((_, b'}' | b'\\' | b'n')) => {}
                Some((_, b'x')) if (0..2).all(|_| bytes.next().is_some_and(|(_, b)| b.is_ascii_hexdigit())) => {}
                _ => return Err(ParseError::new(format!("invalid escape in {of}{{…}}: it knows \\}} \\\\ \\n \\xHH"))),
            },
            _ => {}
        }
    }
    Err(ParseError::new(format!("invalid argument for {of} type")))
}

fn delay(text: &str) -> Read<'_, Action> {
    let (inner, rest) = argument(text, ')', "delay")?;
    if digits(inner) == inner.len() {
        let shortest = checked(Length { number: parse_int(inner)?, unit: Unit::Plain })?;
        return Ok((Action::Delay { shortest, longest: None }, rest));
    }
    let (low, high) = inner.split_once("..").map_or((inner, None), |(low, high)| (low, Some(high)));
    let shortest = duration(low)?;
    let longest = high.map(duration).transpose()?;
    if longest.is_some_and(|longest| longest.milliseconds() < shortest.milliseconds()) {
        return Err(ParseError::new(format!("delay({inner}): the range ends before it begins")));
    }
    Ok((Action::Delay { shortest, longest }, rest))
}

fn duration(text: &str) -> Result<Length, ParseError> {
    let (number, unit) = text.split_at(digits(text));
    let unit = match unit {
        "ms" => Unit::Milliseconds,
        "s" => Unit::Seconds,
        "m" => Unit::Minutes,
        _ => return Err(ParseError::new(format!("{text:?} is no time: write 250ms, 2s or 1m"))),
    };
    if number.is_empty() {
        return Err(ParseError::new(format!("{text:?} is no time: write 250ms, 2s or 1m")));
    }
    checked(Length { number: parse_int(number)?, unit })
}

fn checked(length: Length) -> Result<Length, ParseError> {
    if length.milliseconds() > MAX_MILLISECONDS {
        return Err(ParseError::new(format!("delay({length}) is longer than {MAX_MILLISECONDS} ms, which overflows")));
    }
    Ok(length)
}

fn corruption(text: &str) -> Result<Corruption, ParseError> {
    match text.split_once(':') {
        None if text == "truncate" => return Ok(Corruption::Truncate),
        None if text == "garbage" => return Ok(Corruption::Garbage),
        Some(("flip", count)) if !count.is_empty() && digits(count) == count.len() => {
            return Ok(Corruption::Flip(parse_int(count)?));
        }
        _ => {}
    }
    Err(ParseError::new(format!("invalid argument for corrupt type: {text:?}, write truncate, flip:N or garbage")))
}

/// The JSON object at the start of `text`, braces included.
fn json_object(text: &str) -> Read<'_, &str> {
    let mut objects =
        serde_json::Deserializer::from_str(text).into_iter::<serde_json::Map<String, serde_json::Value>>();
    match objects.next() {
        Some(Ok(_)) => Ok(text.split_at(objects.byte_offset())),
        Some(Err(error)) => Err(ParseError::new(format!("invalid argument for return type: {error}"))),
        None => Err(ParseError::new("invalid argument for return type")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex::Regex;

    use super::Dialect::{Extended, Strict};
    use super::*;

    fn refused(text: &str, dialect: Dialect) -> String {
        Terms::parse(text, dialect).expect_err(text).to_string()
    }

    #[test]
    fn a_probability_has_digits_on_both_sides_of_its_point() {
        for percent in [".5", "5.", ".", "1.2.3", "100.1", "101"] {
            let error = refused(&format!("{percent}%off"), Extended);
            assert!(error.contains(&format!("{percent:?} is no probability")), "{percent}: {error}");
        }
        for percent in ["0", "0.5", "12.50", "100", "100.0"] {
            assert!(Terms::parse(&format!("{percent}%off"), Extended).is_ok(), "{percent}");
        }
    }

    /// Observed on containerd 1.6.20.
    #[test]
    fn errors_are_worded_as_containerd_words_them() {
        let byte = "failed to parse int64 because of invalid terminate byte: ";
        let range =
            |n: &str| format!("failed to parse int64 from {n}: strconv.ParseInt: parsing \"{n}\": value out of range");
        for (text, error) in [
            ("", byte.to_owned()),
            ("5", format!("{byte}5")),
            ("*off", format!("{byte}*off")),
            ("-1*off", format!("{byte}-1*off")),
            (" 1*off", format!("{byte} 1*off")),
            ("1x*off", format!("{byte}1x*off")),
            ("1*", "invalid type format: ".into()),
            ("1*OFF", "invalid type format: OFF".into()),
            ("1*error", "invalid type format: error".into()),
            ("1*return(1)", "invalid type format: return(1)".into()),
            ("1* off", "invalid type format:  off".into()),
            ("1*->1*off", "invalid type format: ->1*off".into()),
            ("1*error()", "invalid argument for error type".into()),
            ("1*error(a", "invalid argument for error type".into()),
            ("1*panic()", "invalid argument for panic type".into()),
            ("1*off()", "invalid cascading terms: ()".into()),
            ("1*offf", "invalid cascading terms: f".into()),
            ("1*off ", "invalid cascading terms:  ".into()),
            ("1*error(a(b)c)", "invalid cascading terms: c)".into()),
            ("1*off->", format!("failed to parse cascading term: {byte}")),
            ("1*off->1*OFF", "failed to parse cascading term: invalid type format: OFF".into()),
            ("1*error(a)->1*error()", "failed to parse cascading term: invalid argument for error type".into()),
            ("9223372036854775808*off", range("9223372036854775808")),
            ("1*delay(99999999999999999999)", range("99999999999999999999")),
        ] {
            assert_eq!(refused(text, Strict), error, "{text}");
            assert_eq!(refused(text, Extended), error, "{text}, extended");
        }
        for (text, error) in [
            ("off", format!("{byte}off")),
            ("50%off", format!("{byte}50%off")),
            ("1*off->50%off", format!("failed to parse cascading term: {byte}50%off")),
            ("1*delay(5x)", format!("{byte}5x)")),
            ("1*delay()", format!("{byte})")),
            ("1*delay(12", format!("{byte}12")),
        ] {
            assert_eq!(refused(text, Strict), error, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        for (text, words) in [
            ("1*error[UNAVAILBLE](x)", "the nearest is UNAVAILABLE"),
            ("1*error[0](x)", "no CNI code"),
            ("1*error[OK](x)", "unknown code"),
            ("101%off", "no probability"),
            ("1.2.3%off", "no probability"),
            ("delay(2s..1s)", "ends before it begins"),
            ("delay(5h)", "250ms, 2s or 1m"),
            ("delay(1..5)", "250ms, 2s or 1m"),
            ("delay(ms)", "\"ms\" is no time: write 250ms, 2s or 1m"),
            ("error{}", "invalid argument for error type"),
            ("delay(9223372036855)", "overflows"),
            ("pause(9999999999999m)", "overflows"),
            ("exit(256)", "0 to 255"),
            ("exit(+1)", "0 to 255"),
            ("corrupt(burn)", "truncate, flip:N or garbage"),
            ("return{\"a\":}", "invalid argument for return type"),
            ("error{a\\q}", "invalid escape"),
            ("panic[EIO](x)", "invalid argument for panic type"),
        ] {
            let error = refused(text, Extended);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn texts_read_back() {
        for text in [
            "1*off",
            "1*error(a->b \"c\" %\n)->2*delay(100)->0*panic(x)",
            "3*error[UNAVAILABLE](busy)",
            "1*return{\"a\": \"}\", \"b\": {\"c\": 1}}->1*off",
            "12.5%3*print(x)+delay(250ms..2s)+error[11]{a)\\}\\x00}->pause->pause(1m)->drop->hang->crash->exit(0)",
            "corrupt(truncate)->corrupt(flip:3)->corrupt(garbage)->panic[EIO]{x}->panic{y}",
        ] {
            assert_eq!(Terms::parse(text, Extended).expect(text).to_string(), text);
        }
        for boundary in ["delay(9223372036854)", "delay(2s..2s)", "exit(255)", "error[1](x)", "100%off"] {
            assert_eq!(Terms::parse(boundary, Extended).expect(boundary).to_string(), boundary);
        }
        let zeros = Terms::parse("01*off->007*delay(0010)", Strict).expect("terms");
        assert_eq!(zeros.to_string(), "1*off->7*delay(10)");
    }

    /// The grammar, written a second time: what it excludes is never accepted.
    static STRICT: LazyLock<Regex> = LazyLock::new(|| {
        let term = r"[0-9]+\*(off|error\([^)]+\)|panic\([^)]+\)|delay\([0-9]+\))";
        Regex::new(&format!("(?s)^{term}(->{term})*$")).expect("a pattern")
    });
    static EXTENDED: LazyLock<Regex> = LazyLock::new(|| {
        let time = "[0-9]+(ms|s|m)";
        let escaped = r"\{([^}\\]|\\[}\\n]|\\x[0-9a-fA-F]{2})+\}";
        let action = [
            "off".to_owned(),
            r"error\([^)]+\)".to_owned(),
            r"panic\([^)]+\)".to_owned(),
            r"error\[[A-Z0-9_]+\]\([^)]+\)".to_owned(),
            format!(r"(error|panic)(\[[A-Z0-9_]+\])?{escaped}"),
            format!(r"delay\(([0-9]+|{time}(\.\.{time})?)\)"),
            format!(r"pause(\({time}\))?"),
            "drop|hang|crash".to_owned(),
            r"exit\([0-9]+\)".to_owned(),
            r"corrupt\((truncate|flip:[0-9]+|garbage)\)".to_owned(),
            r"return\{.*\}".to_owned(), // JSON is checked by serde_json, there as here
            r"print\([^)]+\)".to_owned(),
        ]
        .join("|");
        let term = format!(r"([0-9]+(\.[0-9]+)?%)?([0-9]+\*)?({action})(\+({action}))*");
        Regex::new(&format!("(?s)^{term}(->{term})*$")).expect("a pattern")
    });

    /// Pieces of the language and pieces of nonsense.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::sample::select(vec![
                "1*",
                "off",
                "->",
                "+",
                "error(",
                "panic(",
                "delay(",
                ")",
                "50%",
                "error[EIO](",
                "error[11]{",
                "}",
                "pause",
                "pause(",
                "2s",
                "250ms..",
                "drop",
                "hang",
                "crash",
                "exit(",
                "corrupt(flip:",
                "return{",
                "\"a\":1",
                "print(",
                "\\}",
                "\\x4",
                "007*",
                "x",
                " ",
                "é",
                "\n",
                "{",
                "[",
                "]",
                "*",
                "%",
                "9223372036854775808",
            ])
            .prop_map(str::to_owned),
            any::<String>(),
            "[0-9*()a-z\\[\\]{}\" >-]{0,10}",
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    /// Terms that are right, so that accepting is tried as hard as refusing.
    fn right() -> impl Strategy<Value = String> {
        let action = prop_oneof![
            Just("off".to_owned()),
            "[^)]{1,8}".prop_map(|message| format!("error({message})")),
            "[^)]{1,8}".prop_map(|message| format!("panic({message})")),
            (0_u32..9999).prop_map(|number| format!("delay({number})")),
        ];
        let term = (any::<u32>(), action).prop_map(|(count, action)| format!("{count}*{action}"));
        proptest::collection::vec(term, 1..4).prop_map(|terms| terms.join("->"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_accepted_is_in_the_grammar_and_reads_back(text in pieces()) {
            for (dialect, grammar) in [(Strict, &STRICT), (Extended, &EXTENDED)] {
                if let Ok(terms) = Terms::parse(&text, dialect) {
                    prop_assert!(grammar.is_match(&text), "{text:?} in {dialect:?}");
                    prop_assert_eq!(Terms::parse(&terms.to_string(), dialect), Ok(terms));
                }
            }
        }

        #[test]
        fn strict_texts_mean_the_same_in_both(text in prop_oneof![pieces(), right()]) {
            if let Ok(strict) = Terms::parse(&text, Strict) {
                prop_assert_eq!(Terms::parse(&text, Extended), Ok(strict));
            } else {
                let overflows = text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 12);
                prop_assert!(!STRICT.is_match(&text) || overflows, "{text:?} is in the grammar");
            }
        }

        #[test]
        fn right_terms_are_taken_and_printed_byte_for_byte(text in right()) {
            prop_assert_eq!(Terms::parse(&text, Strict).map(|terms| terms.to_string()), Ok(text));
        }

        #[test]
        fn any_bytes_are_refused_or_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(text) = std::str::from_utf8(&bytes) {
                for dialect in [Strict, Extended] {
                    if let Ok(terms) = Terms::parse(text, dialect) {
                        prop_assert_eq!(Terms::parse(&terms.to_string(), dialect), Ok(terms));
                    }
                }
            }
        }
    }
}
