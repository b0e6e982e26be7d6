//! What the executable is asked to do: its command line, read.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use holdfast_ledger::{Opening, Work};
use lexopt::Arg::{Long, Value};
use lexopt::{Parser, ValueExt};

/// The file, and each option's value.
#[derive(Debug, Default)]
pub struct Options {
    pub file: PathBuf,
    pub opening: Opening,
    pub work: Work,
    /// What a writer tells over: `-`, `unix:PATH` or `tcp:HOST:PORT`.
    pub acknowledge: Option<String>,
    /// Where a verifier reads what was acknowledged: a file, or `-`.
    pub acknowledgements: Option<String>,
    pub until_eof: bool,
}

/// What follows the command's own name. The error says what is wrong with which argument.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, String> {
    let options = read(Parser::from_args(arguments)).map_err(in_words)?;
    if options.file.as_os_str().is_empty() {
        return Err("say which file".to_owned());
    }
    Ok(options)
}

fn read(mut parser: Parser) -> Result<Options, lexopt::Error> {
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("run") => options.opening.run = hexadecimal(&mut parser, "--run")?,
            Long("writer") => {
                let writer = hexadecimal(&mut parser, "--writer")?;
                options.opening.writer = u64::try_from(writer).map_err(|_| "--writer: 16 digits at most")?;
            }
            Long("incarnation") => options.opening.incarnation = Some(number(&mut parser, "--incarnation")?),
            Long("new-incarnation") => options.opening.is_new = true,
            Long("places") => options.opening.places = Some(number(&mut parser, "--places")?),
            Long("batch") => options.work.batch = number(&mut parser, "--batch")?,
            Long("pace") => options.work.pace = Duration::from_millis(number(&mut parser, "--pace")?),
            Long("room") => options.work.room = Some(number(&mut parser, "--room")?),
            Long("records") => options.work.records = Some(number(&mut parser, "--records")?),
            Long("acknowledge") => options.acknowledge = Some(parser.value()?.string()?),
            Long("acknowledgements") => options.acknowledgements = Some(parser.value()?.string()?),
            Long("until-eof") => options.until_eof = true,
            Value(file) if options.file.as_os_str().is_empty() && file != "-" => options.file = file.into(),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(options)
}

fn number<T: FromStr>(parser: &mut Parser, name: &str) -> Result<T, lexopt::Error> {
    let text = parser.value()?.string()?;
    text.parse().map_err(|_| format!("{name}: {text:?} is no number").into())
}

fn hexadecimal(parser: &mut Parser, name: &str) -> Result<u128, lexopt::Error> {
    let text = parser.value()?.string()?;
    u128::from_str_radix(&text, 16).map_err(|_| format!("{name}: {text:?} is not hexadecimal").into())
}

fn in_words(error: lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedOption(argument) => format!("unknown argument {argument:?}"),
        lexopt::Error::UnexpectedArgument(argument) => format!("unknown argument {:?}", argument.to_string_lossy()),
        lexopt::Error::MissingValue { option: Some(option) } => format!("{option} needs a value"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn values_come_after_a_space_or_an_equals_sign_in_any_order() {
        let options =
            parsed(&["--run", "aB", "/data/x", "--pace=5", "--acknowledge", "-", "--until-eof"]).expect("options");
        assert_eq!(options.file, PathBuf::from("/data/x"));
        assert_eq!((options.opening.run, options.work.pace), (0xab, Duration::from_millis(5)));
        assert_eq!(options.acknowledge.as_deref(), Some("-"));
        assert!(options.until_eof);
        let options =
            parsed(&["--acknowledge=unix:/run/a=b", "--acknowledgements", "--odd", "--batch=1", "--batch=2", "x"])
                .expect("options");
        assert_eq!(options.acknowledge.as_deref(), Some("unix:/run/a=b"));
        assert_eq!(options.acknowledgements.as_deref(), Some("--odd"));
        assert_eq!(options.work.batch, 2, "the last one counts");
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        for (words, said) in [
            (&[][..], "say which file"),
            (&[""], "say which file"),
            (&["x", "--pace", "fast"], "--pace: \"fast\" is no number"),
            (&["x", "--pace="], "--pace: \"\" is no number"),
            (&["x", "--places", "-1"], "--places: \"-1\" is no number"),
            (&["x", "--records", "18446744073709551616"], "--records: \"18446744073709551616\" is no number"),
            (&["x", "--run", "zz"], "--run: \"zz\" is not hexadecimal"),
            (&["x", "--writer", "11112222333344445"], "--writer: 16 digits at most"),
            (&["x", "--incarnation"], "--incarnation needs a value"),
            (&["x", "--nonsense"], "unknown argument \"--nonsense\""),
            (&["x", "-n", "1"], "unknown argument \"-n\""),
            (&["x", "y"], "unknown argument \"y\""),
            (&["-"], "unknown argument \"-\""),
        ] {
            assert_eq!(parsed(words).expect_err(said), said, "{words:?}");
        }
        assert!(parsed(&["x", "--until-eof=yes"]).expect_err("a value").contains("--until-eof"));
    }
}
