//! The ledger's executable as a task's process: what it is told on its command line.

use std::path::Path;

use holdfast_ledger::{Opening, Work};

/// The ledger's file on a volume.
pub const LEDGER: &str = "holdfast.ledger";

/// The words that follow the executable's name. The process ends with whatever it acknowledges over.
pub fn arguments(file: &Path, opening: Opening, work: Work, acknowledge: &str) -> Vec<String> {
    let mut words = until_signal(file, opening, work, acknowledge);
    words.push("--until-eof".to_owned());
    words
}

/// The same for a process that nobody tells anything: it ends by a signal.
pub fn until_signal(file: &Path, opening: Opening, work: Work, acknowledge: &str) -> Vec<String> {
    let mut words = vec![
        "write".to_owned(),
        file.display().to_string(),
        format!("--acknowledge={acknowledge}"),
        format!("--run={:x}", opening.run),
        format!("--writer={:x}", opening.writer),
        format!("--batch={}", work.batch),
        format!("--pace={}", work.pace.as_millis()),
    ];
    words.extend(opening.incarnation.map(|incarnation| format!("--incarnation={incarnation}")));
    words.extend(opening.is_new.then(|| "--new-incarnation".to_owned()));
    words.extend(opening.places.map(|places| format!("--places={places}")));
    words.extend(work.room.map(|room| format!("--room={room}")));
    words.extend(work.records.map(|records| format!("--records={records}")));
    words
}
