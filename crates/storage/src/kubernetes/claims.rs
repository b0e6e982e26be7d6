//! A provider's volumes as claims of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::events::Obstacle;
use super::manifests;
use super::pods::Pods;
use crate::nodes::Nodes;
use crate::volumes::{Attachment, Capability, Provider, Volume, VolumeRequest, Volumes};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::DeleteParams;

/// For one question to the API, which is asked again.
const QUESTION: Duration = Duration::from_secs(5);

/// From one look at what the cluster says of a claim to the next.
const EVENTS: Duration = Duration::from_secs(1);

/// The volumes of a storage class.
pub struct Claims {
    cluster: Cluster,
    pods: Pods,
    /// The class whose provider is qualified.
    class: String,
    provider: Provider,
    /// Its plugins themselves, where they can be reached, to see whether they answer, and what they list.
    plugins: Option<Arc<dyn Volumes>>,
    /// The run's claims by what the driver calls their volumes: those that are gone too, for it may list their volumes
    /// still.
    by_handle: Mutex<BTreeMap<String, String>>,
    /// Whether it lists which nodes have them (`LIST_VOLUMES_PUBLISHED_NODES`).
    lists_nodes: bool,
}

impl Claims {
    /// Those of the class of this name, whose provider is `provider`.
    pub fn new(
        pods: Pods,
        class: String,
        provider: Provider,
        plugins: Option<Arc<dyn Volumes>>,
        deadline: Instant,
    ) -> Result<Self> {
        let cluster = pods.cluster().clone();
        let provisioner = cluster.storage_class(&class, deadline)?.provisioner;
        let mut capabilities = claimable(&provider.capabilities, plugins.is_some());
        if cluster.may_bind_to_nodes(&provisioner, deadline)? {
            capabilities.insert(Capability::Topology);
        }
        let lists_nodes = provider.capabilities.contains(&Capability::ListNodes);
        let provider = Provider { capabilities, ..provider };
        Ok(Self { cluster, pods, class, provider, plugins, by_handle: Mutex::default(), lists_nodes })
    }

    fn listed(&self, ask: impl Fn(&dyn Volumes) -> Result<Vec<Volume>>, deadline: Instant) -> Result<Vec<Volume>> {
        let Some(plugins) = self.listing() else { return self.claimed(deadline) };
        let listed = ask(plugins)?;
        let claims = self.claims_so_far(deadline)?;
        let named = |volume: Volume| match claims.get(&volume.id) {
            Some(claim) => Volume { id: claim.clone(), name: claim.clone(), ..volume },
            None => volume,
        };
        Ok(listed.into_iter().map(named).collect())
    }

    /// The plugins, where they can be asked for the driver's own list.
    fn listing(&self) -> Option<&dyn Volumes> {
        self.plugins.as_deref().filter(|_| self.provider.capabilities.contains(&Capability::List))
    }

    /// All claims that the run had, by what the driver calls their volumes. What a driver calls anew is the newer claim's.
    fn claims_so_far(&self, deadline: Instant) -> Result<BTreeMap<String, String>> {
        let there = self.cluster.claims_by_handle(deadline)?;
        let mut claims = self.by_handle.lock().unwrap_or_else(PoisonError::into_inner);
        claims.extend(there);
        Ok(claims.clone())
    }

    /// The run's claims, each with the nodes that its volume is attached to.
    fn claimed(&self, deadline: Instant) -> Result<Vec<Volume>> {
        let claims = self.cluster.own::<PersistentVolumeClaim>();
        let found = self.cluster.list(&claims, &self.cluster.own_label(), deadline)?;
        let attached = self.cluster.attachments(deadline)?;
        let listed = |claim: &PersistentVolumeClaim| {
            let behind = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
            Volume { nodes: Some(attached.get(&behind).cloned().unwrap_or_default()), ..volume(claim) }
        };
        Ok(found.iter().map(listed).collect())
    }

    fn user_class(&self, deadline: Instant) -> Result<StorageClass> {
        self.cluster.storage_class(&self.class, deadline)
    }

    /// The class of a volume: the user's, or one like it where the volume shall be otherwise.
    fn class_of(&self, request: &VolumeRequest, deadline: Instant) -> Result<(String, bool)> {
        let user = self.user_class(deadline)?;
        let late = user.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
        if request.filesystem.is_empty() && request.parameters.is_empty() {
            return Ok((self.class.clone(), late));
        }
        let unlike = format!("{}{:?}", request.filesystem, request.parameters);
        let name = format!("{}-{}", self.cluster.namespace(), &holdfast_image::digest(unlike.as_bytes())[..8]);
        let class = manifests::class(self.cluster.owner(), &name, &user, request)?;
        self.cluster.create(&self.cluster.all::<StorageClass>(), &class, deadline)?;
        Ok((name, late))
    }

    /// Whether a volume may be bound to some of the nodes.
    fn may_bind_to_nodes(&self) -> bool {
        self.provider.capabilities.contains(&Capability::Topology)
    }

    /// Waits until a claim has its volume. Where its class waits for the first pod there is one meanwhile: the driver is
    /// asked, and where the volume can be is known, only then.
    fn wait_made(&self, node: &str, volume: &Volume, late: bool, deadline: Instant) -> Result<PersistentVolumeClaim> {
        let made = || self.wait_bound(&volume.name, deadline);
        let has_one = || {
            self.cluster.find(&self.cluster.own(), &volume.name, deadline).map(|it| it.is_some_and(|it| is_bound(&it)))
        };
        if !late || has_one()? {
            return made();
        }
        self.pods.wanted_by_pod(node, volume, &holder(volume, "first"), deadline, made)
    }

    /// A volume once its claim has it: how large it is, and which nodes it is bound to.
    fn bound(&self, node: &str, asked: &Volume, late: bool, deadline: Instant) -> Result<Volume> {
        let claim = self.wait_made(node, asked, late, deadline)?;
        if self.listing().is_some() {
            self.claims_so_far(deadline)?; // while the cluster knows whose it is
        }
        let accessible = match claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) {
            Some(behind) if self.may_bind_to_nodes() => self.cluster.places(behind, deadline)?,
            _ => None,
        };
        Ok(Volume { bytes: volume(&claim).bytes, accessible, ..asked.clone() })
    }

    /// Waits until a claim has its volume; why not, as the cluster says.
    fn wait_bound(&self, name: &str, deadline: Instant) -> Result<PersistentVolumeClaim> {
        let (mut bound, mut obstacle, mut asked) = (None, None, Instant::now());
        let waited = wait_until(deadline, "a claim", || {
            let found = self.cluster.find(&self.cluster.own(), name, Instant::now() + QUESTION);
            bound = found.ok().flatten().filter(is_bound);
            if bound.is_none() && asked.elapsed() > EVENTS {
                asked = Instant::now();
                obstacle = self.why_unbound(name).ok().flatten();
            }
            // some answers are for good, whoever asks again
            bound.is_some() || obstacle.as_ref().is_some_and(Obstacle::is_final)
        });
        match (bound, waited) {
            (Some(claim), _) => Ok(claim),
            (None, waited) => {
                let obstacle =
                    obstacle.filter(Obstacle::is_final).map_or_else(|| self.why_unbound(name), |it| Ok(Some(it)))?;
                let late = waited.err().unwrap_or_else(|| Error::new(Kind::Timeout, "a claim: not in time"));
                Err(obstacle.map_or(late, |obstacle| obstacle.error(&format!("the claim {name} is not bound"))))
            }
        }
    }

    /// Waits until a persistent volume is gone, and with it what the provider made; why not, as the cluster says.
    fn wait_removed(&self, volume: &str, deadline: Instant) -> Result<()> {
        let waited = self.cluster.wait_gone(&self.cluster.all::<PersistentVolume>(), volume, deadline);
        waited.map_err(|late| match self.cluster.why_stays(volume, Instant::now() + QUESTION) {
            Ok(Some(obstacle)) if late.kind == Kind::Timeout => obstacle.error(&late.message),
            _ => late,
        })
    }

    fn why_unbound(&self, name: &str) -> Result<Option<Obstacle>> {
        self.cluster.obstacle("PersistentVolumeClaim", name, None, None, Instant::now() + QUESTION)
    }
}

/// What of a driver can be asked for by claims and pods. Its list is asked for where its plugins can be: that of the
/// run's claims is our own, and says nothing of it.
fn claimable(own: &BTreeSet<Capability>, asks_plugins: bool) -> BTreeSet<Capability> {
    let of_plugins: &[Capability] = if asks_plugins { &[Capability::List] } else { &[] };
    let kept = [&[Capability::Fence, Capability::Local], of_plugins].concat();
    let of_claims = [Capability::Create, Capability::ListNodes, Capability::RefusesUnknownParameters];
    own.iter().copied().filter(|each| kept.contains(each)).chain(of_claims).collect()
}

fn volume(claim: &PersistentVolumeClaim) -> Volume {
    let name = claim.metadata.name.clone().unwrap_or_default();
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("storage"));
    let bytes = capacity.and_then(|quantity| super::quantity::bytes(&quantity.0));
    Volume { id: name.clone(), name, bytes, ..Volume::default() }
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// The pod that holds a volume for a task.
fn holder(volume: &Volume, task: &str) -> String {
    format!("{}-{task}", volume.name)
}

impl Volumes for Claims {
    fn provider(&self) -> Provider {
        self.provider.clone()
    }

    fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        let (class, late) = self.class_of(request, deadline)?;
        let claim = manifests::claim(self.cluster.run(), &class, request)?;
        let claims = self.cluster.own::<PersistentVolumeClaim>();
        self.cluster.create(&claims, &claim, deadline)?;
        let asked = Volume::by_name(request);
        self.bound(node, &asked, late, deadline).inspect_err(|_| {
            // nobody shall make it later
            let gone = DeleteParams::background();
            let _ = self.cluster.remove(&claims, &request.name, &gone, Instant::now() + QUESTION);
        })
    }

    fn remove(&self, _: &str, volume: &Volume, deadline: Instant) -> Result<()> {
        let behind = self.cluster.volume_of(&volume.name, deadline)?;
        let claims = self.cluster.own::<PersistentVolumeClaim>();
        self.cluster.remove(&claims, &volume.name, &DeleteParams::background(), deadline)?;
        match behind {
            Some(name) => self.wait_removed(&name, deadline),
            None => Ok(()),
        }
    }

    /// The driver's own list, where it can be asked for: the run's volumes by their claims, others by their ids. Else the
    /// run's claims.
    fn list(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        self.listed(|plugins| plugins.list(node, deadline), deadline)
    }

    fn list_in_pages(&self, node: &str, entries: u32, deadline: Instant) -> Result<Vec<Volume>> {
        self.listed(|plugins| plugins.list_in_pages(node, entries, deadline), deadline)
    }

    /// What the cluster says, and what the driver says where it can be asked: one may have let go of what the other holds.
    fn attached(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        let of_driver =
            if self.lists_nodes && self.listing().is_some() { self.list(node, deadline)? } else { Vec::new() };
        let mut attached = self.claimed(deadline)?;
        for listed in of_driver {
            let Some(nodes) = listed.nodes.clone() else { continue };
            match attached.iter_mut().find(|known| known.id == listed.id).and_then(|known| known.nodes.as_mut()) {
                Some(known) => known.extend(nodes.into_iter().filter(|node| !known.contains(node)).collect::<Vec<_>>()),
                None => attached.push(listed),
            }
        }
        Ok(attached)
    }

    /// The cluster attaches by itself, for a pod.
    fn attach(&self, _: &Volume, _: &str, _: Instant) -> Result<Attachment> {
        Ok(Attachment::default())
    }

    /// A pod for the task holds it; where the kubelet has it mounted is the kubelet's own affair.
    fn mount(&self, volume: &Volume, _: &Attachment, node: &str, task: &str, deadline: Instant) -> Result<PathBuf> {
        self.pods.hold(node, volume, &holder(volume, task), deadline)?;
        Ok(PathBuf::new())
    }

    fn unmount(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        self.pods.clear(node, &volume.id, Some(&holder(volume, task)), deadline)
    }

    fn answers(&self, node: &str, deadline: Instant) -> bool {
        self.plugins.as_ref().is_some_and(|plugins| plugins.answers(node, deadline))
    }

    fn ready(&self, node: &str, deadline: Instant) -> Result<()> {
        if let Some(plugins) = &self.plugins {
            plugins.ready(node, deadline)?;
        }
        self.cluster.wait_ready(node, true, deadline)
    }

    fn confirm(&self, _: &str, _: &Volume, _: &VolumeRequest, _: Instant) -> Result<Option<BTreeMap<String, String>>> {
        Ok(None)
    }

    fn trouble(&self, deadline: Instant) -> Option<Error> {
        self.cluster.silence(deadline.min(Instant::now() + QUESTION))
    }
}
