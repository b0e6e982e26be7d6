//! Which failpoints there are, which are armed, how often each was hit, and who waits there.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::draw::Draw;
use super::terms::{Action, Terms};

/// A failpoint that a provider declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Such as `containerz.Deploy.chunk`.
    pub name: &'static str,
    /// What happens there.
    pub help: &'static str,
}

/// No such failpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no failpoint {asked:?}; the nearest is {nearest:?} (`holdfast failpoints` lists all)")]
pub struct Unknown {
    /// What was asked for.
    pub asked: String,
    /// What may have been meant.
    pub nearest: String,
}

/// What a hit asks of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// One after the other.
    pub actions: Vec<Action>,
    /// The hit's chance, for what spoils data.
    pub draw: Draw,
    /// How many releases there were before it, for one that pauses.
    releases: u64,
}

/// An armed failpoint as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    /// Its name.
    pub name: &'static str,
    /// What is left of its terms.
    pub terms: String,
    /// How often it acted.
    pub hits: u64,
}

#[derive(Debug, Default)]
struct State {
    terms: Option<Terms>,
    /// How often a term fired.
    hits: u64,
    /// How often the site was passed, which is what draws go by.
    passes: u64,
    releases: u64,
}

/// The failpoints of one provider.
#[derive(Debug)]
pub struct Registry {
    names: &'static [Name],
    seed: u64,
    armed: AtomicUsize,
    sites: Mutex<Sites>,
}

#[derive(Debug, Default)]
struct Sites {
    states: BTreeMap<&'static str, State>,
    waiting: Vec<Waker>,
}

impl Sites {
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl Registry {
    /// With these names, none armed; equal seeds draw equally.
    pub fn new(names: &'static [Name], seed: u64) -> Self {
        Self { names, seed, armed: AtomicUsize::new(0), sites: Mutex::default() }
    }

    /// All there are.
    pub fn names(&self) -> &'static [Name] {
        self.names
    }

    /// Whether nothing is armed: one relaxed atomic load, and all that a site costs then.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.armed.load(Ordering::Relaxed) == 0
    }

    /// Arms `name`, or arms it anew.
    pub fn arm(&self, name: &str, terms: Terms) -> Result<(), Unknown> {
        let known = self.find(name)?;
        let mut sites = self.lock();
        let state = sites.states.entry(known).or_default();
        if state.terms.replace(terms).is_none() {
            self.armed.fetch_add(1, Ordering::Relaxed);
        }
        (state.hits, state.passes) = (0, 0);
        Ok(())
    }

    /// Disarms `name`, releases who waits there, and says how often it was hit.
    pub fn disarm(&self, name: &str) -> Result<u64, Unknown> {
        let known = self.find(name)?;
        let mut sites = self.lock();
        let Some(state) = sites.states.get_mut(known) else { return Ok(0) };
        if state.terms.take().is_some() {
            self.armed.fetch_sub(1, Ordering::Relaxed);
        }
        state.releases += 1;
        let hits = state.hits;
        sites.wake();
        Ok(hits)
    }

    /// Lets go on who waits at `name`.
    pub fn release(&self, name: &str) -> Result<(), Unknown> {
        let known = self.find(name)?;
        let mut sites = self.lock();
        sites.states.entry(known).or_default().releases += 1;
        sites.wake();
        Ok(())
    }

    /// How often a term of `name` fired since it was armed.
    pub fn hits(&self, name: &str) -> Result<u64, Unknown> {
        let known = self.find(name)?;
        Ok(self.lock().states.get(known).map_or(0, |state| state.hits))
    }

    /// All that are armed.
    pub fn armed(&self) -> Vec<Armed> {
        let sites = self.lock();
        let armed = sites.states.iter().filter_map(|(name, state)| {
            Some(Armed { name, terms: state.terms.as_ref()?.to_string(), hits: state.hits })
        });
        armed.collect()
    }

    /// Passes the site `name`.
    #[inline]
    pub fn hit(&self, name: &str) -> Option<Fired> {
        if self.is_idle() { None } else { self.hit_armed(name) }
    }

    fn hit_armed(&self, name: &str) -> Option<Fired> {
        let mut sites = self.lock();
        let state = sites.states.get_mut(name)?;
        let terms = state.terms.as_mut()?;
        state.passes += 1;
        let draw = Draw::new(self.seed, name, state.passes);
        let actions = terms.fire(draw)?;
        state.hits += 1;
        let fired = Fired { actions, draw, releases: state.releases };
        sites.wake();
        Some(fired)
    }

    /// Whether the defect `name` shows this time: any term but `off` that fires turns it on.
    pub fn fires(&self, name: &str) -> bool {
        self.hit(name).is_some_and(|fired| fired.actions.iter().any(|action| *action != Action::Off))
    }

    /// Waits until `name` was hit `times` times. It has no deadline of its own.
    pub async fn reached(&self, name: &str, times: u64) -> Result<(), Unknown> {
        let known = self.find(name)?;
        self.wait(|sites| sites.states.get(known).is_some_and(|state| state.hits >= times)).await;
        Ok(())
    }

    /// Waits at `name` until somebody releases or disarms it. It has no deadline of its own.
    pub async fn released(&self, name: &str, fired: &Fired) {
        let before = fired.releases;
        self.wait(|sites| sites.states.get(name).is_none_or(|state| state.releases > before)).await;
    }

    async fn wait(&self, condition: impl Fn(&Sites) -> bool) {
        poll_fn(|context| {
            let mut sites = self.lock();
            if condition(&sites) {
                return Poll::Ready(());
            }
            sites.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Result<&'static str, Unknown> {
        if let Some(known) = self.names.iter().find(|known| known.name == name) {
            return Ok(known.name);
        }
        let nearest = crate::nearest::nearest(name, self.names.iter().map(|known| known.name));
        Err(Unknown { asked: name.to_owned(), nearest: nearest.unwrap_or_default().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[Name] =
        &[Name { name: "containerz.Deploy", help: "" }, Name { name: "switchover.ignored", help: "" }];

    fn armed(name: &str, terms: &str) -> Registry {
        let registry = Registry::new(NAMES, 0);
        registry.arm(name, terms.parse().expect("terms")).expect("known");
        registry
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let error =
            Registry::new(NAMES, 0).arm("containerz.deploi", "1*off".parse().expect("terms")).expect_err("unknown");
        assert_eq!(error.nearest, "containerz.Deploy");
    }

    #[test]
    fn hits_are_counted_and_run_out() {
        let registry = armed("switchover.ignored", "1*off->1*error(x)");
        assert_eq!(registry.hit("containerz.Deploy"), None);
        assert!(!registry.fires("switchover.ignored"));
        assert!(registry.fires("switchover.ignored"));
        assert!(!registry.fires("switchover.ignored"));
        assert_eq!(registry.armed()[0].terms, "0*off->0*error(x)");
        assert_eq!(registry.armed()[0].hits, 2);
        assert_eq!(registry.disarm("switchover.ignored"), Ok(2));
        assert!(registry.is_idle());
    }

    #[test]
    fn what_is_armed_anew_begins_anew_and_is_disarmed_once() {
        let registry = armed("switchover.ignored", "30%error(x)");
        let run = || (0..50).map(|_| registry.fires("switchover.ignored")).collect::<Vec<_>>();
        let first = run();
        registry.arm("switchover.ignored", "30%error(x)".parse().expect("terms")).expect("known");
        assert_eq!(registry.hits("switchover.ignored"), Ok(0));
        assert_eq!(run(), first, "it draws the same again");
        let hits = first.iter().filter(|fired| **fired).count() as u64;
        assert_eq!(registry.hits("switchover.ignored"), Ok(hits));
        for _ in 0..2 {
            assert_eq!(registry.disarm("switchover.ignored"), Ok(hits));
            assert!(registry.is_idle() && registry.armed().is_empty());
        }
        assert_eq!(registry.disarm("containerz.Deploy"), Ok(0), "it was never armed");
        assert!(registry.is_idle());
    }

    #[tokio::test]
    async fn a_pause_is_seen_and_released() {
        let registry = armed("containerz.Deploy", "1*pause");
        let fired = registry.hit("containerz.Deploy").expect("it fires");
        registry.reached("containerz.Deploy", 1).await.expect("known");
        tokio::join!(registry.released("containerz.Deploy", &fired), async {
            registry.release("containerz.Deploy").expect("known");
        });
        let other = armed("containerz.Deploy", "1*pause");
        let fired = other.hit("containerz.Deploy").expect("it fires");
        other.disarm("containerz.Deploy").expect("known");
        other.released("containerz.Deploy", &fired).await;
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_hit_and_by_disarming() {
        let registry = armed("containerz.Deploy", "pause");
        let reached = registry.reached("containerz.Deploy", 2);
        let (reached, fired) = tokio::join!(reached, async {
            registry.hit("containerz.Deploy");
            registry.hit("containerz.Deploy").expect("it fires")
        });
        reached.expect("known");
        tokio::join!(registry.released("containerz.Deploy", &fired), async {
            registry.disarm("containerz.Deploy").expect("known");
        });
    }

    #[tokio::test]
    async fn a_release_is_of_who_waited_then_and_of_nobody_later() {
        let registry = armed("containerz.Deploy", "pause");
        registry.release("containerz.Deploy").expect("known");
        let fired = registry.hit("containerz.Deploy").expect("it fires");
        tokio::select! {
            biased;
            () = registry.released("containerz.Deploy", &fired) => panic!("it went on by a release before it"),
            () = async {} => {}
        }
    }

    #[test]
    fn equal_seeds_draw_equally() {
        let run = |seed| -> Vec<bool> {
            let registry = Registry::new(NAMES, seed);
            registry.arm("switchover.ignored", "30%error(x)".parse().expect("terms")).expect("known");
            (0..50).map(|_| registry.fires("switchover.ignored")).collect()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
