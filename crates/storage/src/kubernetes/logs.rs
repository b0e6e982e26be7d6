//! What tasks and readers print, by the pods' logs: all that is needed is the way to the API.

use std::fs::File;
use std::io::{BufReader, Seek, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::io::AsyncBufReadExt;
use futures_util::{AsyncBufRead, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::LogParams;
use tokio::time::timeout_at;

use super::cluster::Cluster;
use super::manifests::TASK;
use super::phases::has_ended;
use crate::docker::{Hearing, OtherClock};
use crate::nodes::Tell;
use holdfast_ledger::{Judge, listing};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::{next_look, pause};

/// How what the executable says on its standard error begins.
const COMPLAINT: &str = "ledger: ";
/// From one try to read a log to the next.
const LOOK: Duration = Duration::from_millis(200);

fn following(since: Option<Timestamp>) -> LogParams {
    LogParams {
        container: Some(TASK.to_owned()),
        follow: true,
        timestamps: true,
        since_time: since,
        ..LogParams::default()
    }
}

/// When a line was printed, and the line.
fn dated(line: &str) -> Option<(Timestamp, &str)> {
    let (time, line) = line.split_once(' ')?;
    Some((time.parse().ok()?, line))
}

/// Passes on what a task tells by its log, until its pod has ended or is gone. A log that breaks off is read on.
pub fn hear(cluster: &Cluster, pod: String, tell: Tell) -> Hearing {
    let pods = cluster.own::<Pod>();
    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    let listening = cluster.runtime().spawn(async move {
        let clock = OtherClock::default();
        let mut last = None;
        loop {
            if let Ok(log) = pods.log_stream(&pod, &following(last)).await {
                let mut lines = pin!(log.lines());
                while let Ok(Some(line)) = lines.try_next().await {
                    let Some((time, line)) = dated(&line).filter(|(time, _)| last.is_none_or(|last| *time > last))
                    else {
                        continue;
                    };
                    last = Some(time);
                    match line.parse() {
                        Ok(message) => tell(Ok(clock.translate(message))),
                        Err(_) if line.starts_with(COMPLAINT) => {} // which it told as well
                        Err(why) => tell(Err(why)),
                    }
                }
            }
            match pods.get_opt(&pod).await {
                Ok(Some(found)) if has_ended(&found) => return end.store(true, Ordering::Release),
                Ok(None) => return, // one that was removed by force may run on
                _ => pause(LOOK).await,
            }
        }
    });
    Hearing::by_log(ended, listening)
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

    #[test]
    fn each_line_of_a_log_has_its_time() {
        let (early, line) = dated("2026-11-29T23:59:59.9Z acknowledged 1 2").expect("dated");
        assert_eq!(line, "acknowledged 1 2");
        let (late, _) = dated("2026-11-29T23:59:59.900000001Z idle 3").expect("dated");
        assert!(late > early);
        assert_eq!(dated("acknowledged 1"), None);
    }
}
