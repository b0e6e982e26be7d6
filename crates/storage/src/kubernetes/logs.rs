//! What tasks and readers print, by the pods' logs: all that is needed is the way to the API.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Seek, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::io::AsyncBufReadExt;
use futures_util::{AsyncBufRead, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::LogParams;
use tokio::time::timeout_at;

use super::cluster::Cluster;
use super::manifests::TASK;
use super::phases::{has_ended, started_again};
use super::task_pods::TaskPods;
use crate::docker::{Hearing, OtherClock};
use crate::nodes::Tell;
use holdfast_ledger::{Judge, WriterMessage, listing};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::{next_look, pause};

/// How what the executable says on its standard error begins.
const COMPLAINT: &str = "ledger: ";
/// From one try to read a log to the next.
const LOOK: Duration = Duration::from_millis(200);

/// For so long a log may say nothing before it is opened again: a connection may be dead without a word.
const SILENCE: Duration = Duration::from_secs(30);
/// A log that broke off is read again from so long before its last line, whose time is rounded on the way.
const BEFORE: SignedDuration = SignedDuration::from_secs(5);

fn following(since: Option<Timestamp>) -> LogParams {
    LogParams {
        container: Some(TASK.to_owned()),
        follow: true,
        timestamps: true,
        since_time: since.and_then(|last| last.checked_sub(BEFORE).ok()),
        ..LogParams::default()
    }
}

/// When a line was printed, and the line.
fn dated(line: &str) -> Option<(Timestamp, &str)> {
    let (time, line) = line.split_once(' ')?;
    Some((time.parse().ok()?, line))
}

/// What was heard of a log, to leave out what is read twice after a break and to notice what is missing.
#[derive(Default)]
struct Heard {
    clock: OtherClock,
    last: Option<Timestamp>,
    /// The lines since `BEFORE` the last, with their times.
    recent: VecDeque<(Timestamp, String)>,
    /// The last record that was acknowledged.
    number: Option<u64>,
}

impl Heard {
    /// What a line tells; none, where it was heard before, or tells nothing. `again`: the log was opened once more.
    fn take(&mut self, line: &str, again: bool) -> Option<std::result::Result<WriterMessage, String>> {
        let (time, line) = dated(line)?;
        if again && self.recent.iter().any(|(then, heard)| *then == time && heard == line) {
            return None;
        }
        let last = self.last.map_or(time, |last| last.max(time));
        self.last = Some(last);
        self.recent.push_back((time, line.to_owned()));
        while self.recent.front().is_some_and(|(then, _)| last.duration_since(*then) > BEFORE * 2) {
            self.recent.pop_front();
        }
        match line.parse() {
            Ok(WriterMessage::Acknowledged(receipt)) => {
                let number = receipt.head.number;
                let expected = self.number.map(|before| before + 1);
                self.number = Some(number);
                if expected.is_some_and(|expected| number != expected) {
                    return Some(Err(format!("its log goes on with record {number}: some of it is missing")));
                }
                self.clock.set_by(receipt.at);
                Some(Ok(self.clock.translate(WriterMessage::Acknowledged(receipt))))
            }
            Ok(message) => Some(Ok(self.clock.translate(message))),
            Err(_) if line.starts_with(COMPLAINT) => None, // which it told as well
            Err(why) => Some(Err(why)),
        }
    }
}

/// Passes on what a task tells by its log, until its pod has ended or is gone. A log that breaks off is read on, once
/// more after the pod has ended. One that was removed by force may run on.
pub fn hear(pods: &TaskPods, task: String, tell: Tell) -> Hearing {
    let ended = Arc::new(AtomicBool::new(false));
    let (end, pods) = (ended.clone(), pods.clone());
    let runtime = pods.cluster.runtime().clone();
    let listening = runtime.spawn(async move {
        let api = pods.cluster.own::<Pod>();
        let mut heard = Heard::default();
        let (mut again, mut is_over, mut seen) = (false, false, !pods.kept.knows(&task));
        loop {
            let found = pods.ask_for(&api, &task).await;
            match &found {
                Ok(Some(pod)) => {
                    seen = true;
                    let name = pod.metadata.name.as_deref().unwrap_or_default();
                    let is_whole = match api.log_stream(name, &following(heard.last)).await {
                        Ok(log) => follow(log, &mut heard, again, &tell).await,
                        Err(_) => false,
                    };
                    if is_over && is_whole {
                        return end.store(true, Ordering::Release);
                    }
                    again = true;
                    is_over = has_ended(pod) || started_again(pod).is_some();
                }
                // what the cluster keeps may not have come yet
                Ok(None) if seen => return end.store(!pods.was_forced(&task), Ordering::Release),
                Ok(None) | Err(_) => {}
            }
            pause(LOOK).await;
        }
    });
    Hearing::by_log(ended, listening)
}

/// Whether a log was read to its end.
async fn follow(log: impl AsyncBufRead, heard: &mut Heard, again: bool, tell: &Tell) -> bool {
    let mut lines = pin!(log.lines());
    loop {
        match timeout_at(tokio::time::Instant::now() + SILENCE, lines.try_next()).await {
            Ok(Ok(Some(line))) => {
                if let Some(message) = heard.take(&line, again) {
                    tell(message);
                }
            }
            Ok(Ok(None)) => return true,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
}

/// Puts what a reader printed of a ledger before the judge, once that pod has ended.
pub fn judge(
    cluster: &Cluster,
    pod: &str,
    judge: &mut Judge<'_>,
    deadline: Instant,
) -> Result<Option<listing::VolumeFacts>> {
    let failed = |error| Error::lab_io("what a reader printed", error);
    let mut kept = tempfile::tempfile().map_err(failed)?;
    let pods = cluster.own::<Pod>();
    let last = cluster.runtime().block_on(keep(&pods, pod, &mut kept, deadline)).map_err(failed)?;
    if let Some(why) = last.strip_prefix(COMPLAINT) {
        return Err(Error::new(Kind::Expectation, format!("the volume cannot be read: {why}")));
    }
    kept.rewind().map_err(failed)?;
    listing::judge(BufReader::new(kept), judge).map_err(failed)
}

/// Copies a whole log into a file; its last line.
async fn keep(pods: &Api<Pod>, pod: &str, to: &mut File, deadline: Instant) -> std::io::Result<String> {
    let whole = LogParams { container: Some(TASK.to_owned()), follow: true, ..LogParams::default() };
    let end = deadline.into();
    loop {
        let kept = timeout_at(end, async {
            let log = pods.log_stream(pod, &whole).await.map_err(std::io::Error::other)?;
            copy(log, to).await
        });
        match kept.await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            Err(_) if next_look(end, LOOK).await => {
                to.rewind()?;
                to.set_len(0)?;
            }
            done => return done,
        }
    }
}

async fn copy(log: impl AsyncBufRead, to: &mut File) -> std::io::Result<String> {
    let mut lines = pin!(log.lines());
    let mut last = String::new();
    while let Some(line) = lines.try_next().await? {
        writeln!(to, "{line}")?;
        last = line;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged(number: u64) -> String {
        let hash = "00".repeat(32);
        format!("acknowledged {number} {:032x} {:016x} 1 {} 0 {hash} {hash} {}", 7, 3, number * 4096, number * 1000)
    }

    fn numbers(heard: &mut Heard, lines: &[String], again: bool) -> Vec<std::result::Result<u64, String>> {
        let told = lines.iter().filter_map(|line| heard.take(line, again));
        told.map(|message| {
            message.map(|message| match message {
                WriterMessage::Acknowledged(receipt) => receipt.head.number,
                other => panic!("{other}"),
            })
        })
        .collect()
    }

    fn log(from: u64, to: u64, time: impl Fn(u64) -> String) -> Vec<String> {
        (from..=to).map(|number| format!("{} {}", time(number), acknowledged(number))).collect()
    }

    #[test]
    fn lines_of_one_time_and_of_a_clock_that_steps_back_are_heard() {
        let mut heard = Heard::default();
        let same = log(1, 8, |_| "2026-11-29T23:59:59.5Z".to_owned());
        let back = log(9, 12, |number| format!("2026-11-29T23:59:{:02}Z", 60 - number));
        let all: Vec<String> = same.into_iter().chain(back).collect();
        assert_eq!(numbers(&mut heard, &all, false), (1..=12).map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_read_twice_after_a_break_is_told_once_and_what_is_missing_is_named() {
        let mut heard = Heard::default();
        let time = |number: u64| format!("2026-11-29T23:59:{:02}.25Z", number / 2);
        numbers(&mut heard, &log(1, 20, time), false);
        assert_eq!(numbers(&mut heard, &log(11, 24, time), true), (21..=24).map(Ok).collect::<Vec<_>>());
        let cut = numbers(&mut heard, &log(27, 28, time), true);
        assert!(cut[0].as_ref().is_err_and(|why| why.contains("missing")), "{cut:?}");
        assert_eq!(cut[1], Ok(28));
    }

    #[test]
    fn a_log_is_read_again_from_before_its_last_line() {
        let (last, _) = dated("2026-11-29T23:59:59.6Z x").expect("dated");
        assert!(following(Some(last)).since_time.is_some_and(|since| last.duration_since(since) == BEFORE));
    }

    #[test]
    fn each_line_of_a_log_has_its_time() {
        let (early, line) = dated("2026-11-29T23:59:59.9Z acknowledged 1 2").expect("dated");
        assert_eq!(line, "acknowledged 1 2");
        let (late, _) = dated("2026-11-29T23:59:59.900000001Z idle 3").expect("dated");
        assert!(late > early);
        assert_eq!(dated("acknowledged 1"), None);
    }
}
