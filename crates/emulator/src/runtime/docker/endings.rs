//! Containers that end by themselves: an engine tells of each.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::engine::Engine;
use super::label_space::{LabelSpace, NAME};
use holdfast_net::waiting::pause;

/// After which an engine that tells nothing any more is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What one control processor's containers do by themselves.
pub struct Endings {
    names: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    _watching: DropGuard,
}

impl Endings {
    /// Watches for as long as this lives. `started` is what was started and not ended by the device.
    pub fn watch(engine: &Engine, space: &LabelSpace, started: &Arc<Mutex<BTreeSet<String>>>) -> Self {
        let (sender, names) = mpsc::unbounded_channel();
        let life = CancellationToken::new();
        let (engine, space, started) = (engine.clone(), space.clone(), started.clone());
        let watched = life.clone();
        tokio::spawn(async move {
            let telling = Box::pin(tell(&engine, &space, &started, &sender));
            watched.run_until_cancelled(telling).await
        });
        Self { names: tokio::sync::Mutex::new(names), _watching: life.drop_guard() }
    }

    /// The next container that ended by itself and is not started again by the engine.
    pub async fn next(&self) -> String {
        match self.names.lock().await.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }
}

async fn tell(
    engine: &Engine,
    space: &LabelSpace,
    started: &Mutex<BTreeSet<String>>,
    names: &mpsc::UnboundedSender<String>,
) {
    loop {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), vec!["die".to_owned()]),
            ("label".to_owned(), space.filters()),
        ]);
        let events = engine.api().events(Some(EventsOptionsBuilder::default().filters(&filters).build()));
        let mut events = std::pin::pin!(events);
        while let Some(Ok(event)) = events.next().await {
            let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
            let Some(name) = attributes.get(NAME) else { continue };
            if has_ended(engine, space, name).await
                && started.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
            {
                let _ = names.send(name.clone()); // the device is being switched off
            }
        }
        pause(AGAIN).await;
    }
}

/// Whether it neither runs nor is about to.
async fn has_ended(engine: &Engine, space: &LabelSpace, name: &str) -> bool {
    let named = space.container(name);
    let looking = engine.api().inspect_container(&named, None);
    let Ok(Some(found)) = engine.call_if_there("look at a container", looking).await else { return false };
    let state = found.state.unwrap_or_default();
    state.running != Some(true) && state.restarting != Some(true)
}
