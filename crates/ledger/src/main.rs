//! The ledger's executable: writes one on a volume, as the task of a test; compares one with what was acknowledged.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use holdfast_ledger::{BLOCK, OnFile, Opening, Place, Receipt, Stop, Told, Work, Writer, run, sync_folder, verify};

const USAGE: &str = "\
usage: ledger write FILE [--run HEX] [--writer HEX] [--incarnation N] [--places N] [--batch N] [--pace MS]
                         [--records N] [--acknowledge -|unix:PATH|tcp:HOST:PORT] [--until-eof]
       ledger verify FILE --acknowledgements FILE|-";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((command, rest)) if command == "write" => options(rest).and_then(|options| write(&options)),
        Some((command, rest)) if command == "verify" => options(rest).and_then(|options| compare(&options)),
        Some((help, _)) if help == "--help" || help == "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => Err(Trouble::Usage("say what to do".to_owned())),
    };
    match done {
        Ok(code) => code,
        Err(Trouble::Usage(why)) => {
            eprintln!("ledger: {why}\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Trouble::Failed(why)) => {
            eprintln!("ledger: {why}");
            ExitCode::FAILURE
        }
    }
}

enum Trouble {
    Usage(String),
    Failed(String),
}

/// The file, and each option's value.
struct Options {
    file: String,
    values: HashMap<String, String>,
}

const FLAGS: [&str; 1] = ["--until-eof"];
const VALUES: [&str; 9] = [
    "--run",
    "--writer",
    "--incarnation",
    "--places",
    "--batch",
    "--pace",
    "--records",
    "--acknowledge",
    "--acknowledgements",
];

fn options(arguments: &[String]) -> Result<Options, Trouble> {
    let mut options = Options { file: String::new(), values: HashMap::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if VALUES.contains(&name) {
            let value = value.or_else(|| arguments.next().cloned());
            let value = value.ok_or_else(|| Trouble::Usage(format!("{name} needs a value")))?;
            options.values.insert(name.to_owned(), value);
        } else if FLAGS.contains(&name) {
            options.values.insert(name.to_owned(), String::new());
        } else if !argument.starts_with('-') && options.file.is_empty() {
            options.file.clone_from(argument);
        } else {
            return Err(Trouble::Usage(format!("unknown argument {argument:?}")));
        }
    }
    if options.file.is_empty() {
        return Err(Trouble::Usage("say which file".to_owned()));
    }
    Ok(options)
}

impl Options {
    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Trouble> {
        let read = |text: &String| text.parse().map_err(|_| Trouble::Usage(format!("{name}: {text:?} is no number")));
        self.values.get(name).map(read).transpose()
    }

    fn hexadecimal(&self, name: &str) -> Result<u128, Trouble> {
        let Some(text) = self.values.get(name) else { return Ok(0) };
        u128::from_str_radix(text, 16).map_err(|_| Trouble::Usage(format!("{name}: {text:?} is not hexadecimal")))
    }
}

fn write(options: &Options) -> Result<ExitCode, Trouble> {
    let writer = options.hexadecimal("--writer")?;
    let opening = Opening {
        run: options.hexadecimal("--run")?,
        writer: u64::try_from(writer).map_err(|_| Trouble::Usage("--writer: 16 digits at most".to_owned()))?,
        incarnation: options.number("--incarnation")?,
        places: options.number("--places")?,
    };
    let work = Work {
        batch: options.number("--batch")?.unwrap_or(1),
        pace: Duration::from_millis(options.number("--pace")?.unwrap_or(0)),
        records: options.number("--records")?,
    };
    let Channel { tell: mut channel, mut hear } =
        channel(options.values.get("--acknowledge").map_or("-", String::as_str))?;
    let stop = Stop::default();
    if options.values.contains_key("--until-eof") {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let _ = io::copy(&mut hear, &mut io::sink()); // its end is what counts
            stop.stop();
        });
    }
    let stopped = stop.clone();
    let mut signals = Signals::new([SIGTERM]).map_err(|error| Trouble::Failed(format!("SIGTERM: {error}")))?;
    std::thread::spawn(move || signals.forever().for_each(|_| stopped.stop()));
    // A tester that is gone is no reason to stop: whether the volume holds is another's question.
    let mut tell = |told: Told| {
        let _ = writeln!(channel, "{told}").and_then(|()| channel.flush());
    };
    let path = Path::new(&options.file);
    let opened = OnFile::preallocated(path)
        .and_then(|medium| sync_folder(path).map(|()| medium))
        .map_err(|error| format!("{}: {error}", path.display()))
        .and_then(|medium| Writer::over(medium, &options.file, opening).map_err(|refused| refused.to_string()));
    let mut writer = match opened {
        Ok(writer) => writer,
        Err(why) => {
            tell(Told::Failed(why.clone()));
            return Err(Trouble::Failed(why));
        }
    };
    let done = run(&mut writer, work, clock, tell, &stop);
    done.map(|()| ExitCode::SUCCESS).map_err(|refused| Trouble::Failed(refused.to_string()))
}

/// What a writer tells over, and what it hears the end of.
struct Channel {
    tell: Box<dyn Write>,
    hear: Box<dyn Read + Send>,
}

fn channel(to: &str) -> Result<Channel, Trouble> {
    let failed = |error: io::Error| Trouble::Failed(format!("--acknowledge {to}: {error}"));
    match to.split_once(':') {
        None if to == "-" => Ok(Channel { tell: Box::new(io::stdout()), hear: Box::new(io::stdin()) }),
        Some(("unix", path)) => {
            let stream = UnixStream::connect(path).map_err(failed)?;
            Ok(Channel { hear: Box::new(stream.try_clone().map_err(failed)?), tell: Box::new(stream) })
        }
        Some(("tcp", address)) => {
            let stream = TcpStream::connect(address).map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            Ok(Channel { hear: Box::new(stream.try_clone().map_err(failed)?), tell: Box::new(stream) })
        }
        _ => Err(Trouble::Usage(format!("--acknowledge: {to:?} is none of -, unix:PATH, tcp:HOST:PORT"))),
    }
}

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
fn clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

fn compare(options: &Options) -> Result<ExitCode, Trouble> {
    let from = options.values.get("--acknowledgements");
    let from = from.ok_or_else(|| Trouble::Usage("say what was acknowledged: --acknowledgements FILE".to_owned()))?;
    let receipts = receipts(from)?;
    let failed = |error: io::Error| Trouble::Failed(format!("{}: {error}", options.file));
    let mut places =
        Places { file: File::open(&options.file).map_err(failed)?, chunk: vec![0; CHUNK], held: 0..0, failed: None };
    let findings = verify(&receipts, &mut places);
    if let Some(error) = places.failed {
        return Err(failed(error));
    }
    for finding in findings.iter().take(SHOWN) {
        println!("{finding}");
    }
    if findings.len() > SHOWN {
        println!("and {} more", findings.len() - SHOWN);
    }
    let lost: u64 = findings.iter().map(holdfast_ledger::Finding::lost).sum();
    println!("{} acknowledged, {lost} lost, {} findings", receipts.len(), findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn receipts(from: &str) -> Result<Vec<Receipt>, Trouble> {
    let failed = |error: io::Error| Trouble::Failed(format!("{from}: {error}"));
    let lines: Box<dyn BufRead> = match from {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(BufReader::new(File::open(path).map_err(failed)?)),
    };
    let mut receipts = Vec::new();
    for (line, number) in lines.lines().zip(1..) {
        match line.map_err(failed)?.parse() {
            Ok(Told::Acknowledged(receipt)) => receipts.push(receipt),
            Ok(_) => {}
            Err(why) => return Err(Trouble::Failed(format!("{from}: line {number}: {why}"))),
        }
    }
    Ok(receipts)
}

/// How many findings are printed.
const SHOWN: usize = 20;
const CHUNK: usize = 256 * BLOCK;

/// The places of a file of any size.
struct Places {
    file: File,
    chunk: Vec<u8>,
    held: std::ops::Range<usize>,
    failed: Option<io::Error>,
}

impl Iterator for Places {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        if self.held.is_empty() {
            let mut filled = 0;
            while filled < CHUNK {
                match self.file.read(&mut self.chunk[filled..]) {
                    Ok(0) => break,
                    Ok(some) => filled += some,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.failed = Some(error);
                        return None;
                    }
                }
            }
            self.held = 0..filled;
        }
        let end = (self.held.start + BLOCK).min(self.held.end);
        let place = self.chunk.get(self.held.start..end).filter(|bytes| !bytes.is_empty()).map(Place::of);
        self.held.start = end;
        place
    }
}
