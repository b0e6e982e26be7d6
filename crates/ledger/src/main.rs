//! The ledger's executable: writes one on a volume, as the task of a test; compares one with what was acknowledged.

mod options;
mod volume;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use holdfast_ledger::{Judge, OnFile, Receipt, Stop, Writer, WriterMessage, listing, run, sync_folder};

use options::Options;

const USAGE: &str = "\
usage: ledger write FILE [--run HEX] [--writer HEX] [--incarnation N] [--new-incarnation] [--places N]
                         [--batch N] [--pace MS] [--records N] [--room N] [--acknowledge -|unix:PATH|tcp:HOST:PORT]
                         [--until-eof]
       ledger verify FILE --acknowledgements FILE|-
       ledger places FILE";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next();
    let done = match command.as_ref().and_then(|command| command.to_str()) {
        Some("write") => options(arguments).and_then(|options| write(&options)),
        Some("verify") => options(arguments).and_then(|options| compare(&options)),
        Some("places") => options(arguments).and_then(|options| places(&options)),
        Some("--help" | "-h") => {
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

fn options(arguments: impl Iterator<Item = OsString>) -> Result<Options, Trouble> {
    options::parse(arguments).map_err(Trouble::Usage)
}

fn write(options: &Options) -> Result<ExitCode, Trouble> {
    let Channel { tell: mut channel, mut hear } = channel(options.acknowledge.as_deref().unwrap_or("-"))?;
    let stop = Stop::default();
    if options.until_eof {
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
    let mut tell = |message: WriterMessage| {
        let _ = writeln!(channel, "{message}").and_then(|()| channel.flush());
    };
    let path = options.file.as_path();
    let opened = OnFile::preallocated(path)
        .and_then(|medium| sync_folder(path).map(|()| medium))
        .map_err(|error| format!("{}: {error}", path.display()))
        .and_then(|medium| {
            Writer::over(medium, &path.display().to_string(), options.opening).map_err(|refused| refused.to_string())
        });
    let mut writer = match opened {
        Ok(writer) => writer,
        Err(why) => {
            tell(WriterMessage::Failed(why.clone()));
            return Err(Trouble::Failed(why));
        }
    };
    let done = run(&mut writer, options.work, clock, tell, &stop);
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
    let from = options.acknowledgements.as_ref();
    let from = from.ok_or_else(|| Trouble::Usage("say what was acknowledged: --acknowledgements FILE".to_owned()))?;
    let receipts = receipts(from)?;
    let failed = |error: io::Error| Trouble::Failed(format!("{}: {error}", options.file.display()));
    let mut judge = Judge::new(&receipts);
    judge.read(File::open(&options.file).map_err(failed)?).map_err(failed)?;
    let findings = judge.findings();
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

/// Prints what is in the ledger, and on what volume it is; a file that is not there has nothing in it.
fn places(options: &Options) -> Result<ExitCode, Trouble> {
    let path = options.file.as_path();
    let failed = |error: io::Error| Trouble::Failed(format!("{}: {error}", path.display()));
    let volume = volume::facts(path).map_err(failed)?;
    let out = io::BufWriter::new(io::stdout().lock());
    match File::open(path) {
        Ok(ledger) => listing::print(ledger, volume, out),
        Err(error) if error.kind() == io::ErrorKind::NotFound => listing::print(io::empty(), volume, out),
        Err(error) => Err(error),
    }
    .map_err(failed)?;
    Ok(ExitCode::SUCCESS)
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
            Ok(WriterMessage::Acknowledged(receipt)) => receipts.push(receipt),
            Ok(_) => {}
            Err(why) => return Err(Trouble::Failed(format!("{from}: line {number}: {why}"))),
        }
    }
    Ok(receipts)
}

/// How many findings are printed.
const SHOWN: usize = 20;
