//! Agents on the nodes of a user's cluster, where the user wants them: a privileged DaemonSet of the run that harms its
//! nodes. All that it does heals by itself, for the API cannot reach a node that is cut off.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::AttachParams;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout_at;

use super::cluster::Cluster;
use super::manifests::{RUN_LABEL, object};
use super::phases::phase;
use crate::faults::{Fault, Faults, Network, Part};
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// What it does, in the words of a shell.
const HARM: &str = include_str!("harm.sh");
/// What its objects in the run's namespace are called, and its container.
const AGENT: &str = "agent";
/// Where a container has the script.
const SCRIPT: &str = "/agent/harm.sh";
/// The label of its pods.
const AGENT_LABEL: &str = "holdfast.dev/agent";
/// A kubelet is dead for so long: nobody can tell it to come back.
const KUBELET_DEAD: Duration = Duration::from_secs(15);
/// And a container runtime.
const RUNTIME_DEAD: Duration = Duration::from_secs(10);
/// What comes back by itself has so long for that: a kubelet waits up to five minutes before it starts a container again
/// that died again and again.
const COMES_BACK: Duration = Duration::from_secs(330);
/// For a question to an agent that may not come back.
const QUESTION: Duration = Duration::from_secs(5);
/// For an order to a node that is reached.
const ANSWER: Duration = Duration::from_secs(20);
/// How a kubelet is called: some distributions have it in a process of theirs, as k3s does.
const KUBELET: &str = "kubelet";
/// What the script says of a process that is not there.
const NO_PROCESS: &str = "no process is called";
/// And where the node has no nft.
const NO_NFT: &str = "the node has no nft";
/// Words of whoever lets nobody have privileged pods: the API itself, Pod Security, OpenShift's constraints, webhooks and
/// policies.
const REFUSALS: [&str; 4] = ["forbidden", "violates PodSecurity", "security context constraint", "denied"];
/// How container runtimes are called, and what they leave each container to.
const RUNTIMES: [&str; 3] = ["containerd", "crio", "dockerd"];
const SHIMS: [&str; 2] = ["containerd-shim", "conmon"];

/// What an agent is made of, and what of a node it harms.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// An image with sh, nsenter, setsid and stat, as busybox has them.
    pub image: String,
    /// Where the provider's plugin serves on a node; `{node}` in it is the node's name.
    pub socket: String,
    /// The network that volumes are on.
    pub storage: Option<String>,
    /// After so long harm heals by itself.
    pub heals_after: Duration,
}

/// Agents on the nodes of a cluster.
pub struct Agents {
    cluster: Cluster,
    options: AgentOptions,
    /// Who does what the user has a command for.
    commands: Arc<dyn Faults>,
    /// Until when a node heals by itself.
    healing: Mutex<BTreeMap<String, Instant>>,
    /// Whether a runtime that is killed leaves its tasks alone.
    live_restore: AtomicBool,
    /// Cuts so far: each has a name of its own, so that the end of an earlier one does not heal it.
    cuts: AtomicU64,
    /// Where they are.
    nodes: Vec<String>,
    /// Why they are nowhere, where the cluster lets nobody have such pods.
    refused: Option<String>,
}

impl Agents {
    /// Brings them to these nodes, and waits until they are there. Where the cluster lets nobody have such pods, they lack
    /// every fault.
    pub fn install(
        cluster: Cluster,
        nodes: &[String],
        options: AgentOptions,
        commands: Arc<dyn Faults>,
        deadline: Instant,
    ) -> Result<Self> {
        let script: ConfigMap = object(&json!({"metadata": {"name": AGENT}, "data": {"harm.sh": HARM}}))?;
        cluster.create(&cluster.own(), &script, deadline)?;
        cluster.create(&cluster.own::<DaemonSet>(), &manifest(cluster.run(), &options.image, nodes)?, deadline)?;
        let mut agents = Self {
            cluster,
            options,
            commands,
            healing: Mutex::default(),
            live_restore: AtomicBool::new(true),
            cuts: AtomicU64::new(1),
            nodes: nodes.to_vec(),
            refused: None,
        };
        for node in nodes {
            agents.refused = agents.wait_ready(node, deadline)?;
            if agents.refused.is_some() {
                break; // what refuses one refuses all
            }
        }
        Ok(agents)
    }

    /// Waits until one is there; why it may not be, in words, where the cluster lets nobody have such pods.
    fn wait_ready(&self, node: &str, deadline: Instant) -> Result<Option<String>> {
        let (mut seen, mut refused) = (None, None);
        let waited = wait_until(deadline, &format!("holdfast's agent on {node}"), || {
            seen = self.pod(node, Instant::now() + QUESTION).ok().flatten();
            if seen.is_none() {
                let told = self.cluster.obstacle("DaemonSet", AGENT, None, None, Instant::now() + QUESTION);
                refused = told.ok().flatten().map(|told| told.words).filter(|words| is_refusal(words));
            }
            refused.is_some() || seen.as_ref().is_some_and(|pod| phase(pod) == "Running")
        });
        if let Some(why) = refused {
            return Ok(Some(format!("the cluster lets nobody have holdfast's agents: {why}")));
        }
        let Err(late) = waited else { return Ok(None) };
        let name = seen.and_then(|pod| pod.metadata.name).unwrap_or_else(|| AGENT.to_owned());
        let kind = if name == AGENT { "DaemonSet" } else { "Pod" };
        let told = self.cluster.obstacle(kind, &name, None, None, Instant::now() + QUESTION)?;
        let why = told.map(|told| told.words).unwrap_or(late.message);
        Err(Error::lab(format!("holdfast's agent does not run on {node}: {why}"))
            .hint("node_access: daemonset needs privileged pods, and an image with sh and nsenter"))
    }

    /// Why the processes of these names cannot be killed, where a node has none of them.
    fn lacks_process(&self, names: &[&str], fault: &str) -> Option<String> {
        let words: Vec<&str> = ["signal", "0"].into_iter().chain(names.iter().copied()).collect();
        self.nodes.iter().find_map(|node| {
            let asked = self.order(node, &words, Instant::now() + ANSWER);
            asked.err().filter(|error| error.message.contains(NO_PROCESS))?;
            Some(unnamed(node, names, fault))
        })
    }

    /// Why no network can be cut, where a node has not what cuts it.
    fn lacks_nft(&self) -> Option<String> {
        self.nodes.iter().find_map(|node| {
            let asked = self.order(node, &["can_cut"], Instant::now() + ANSWER);
            asked.err().filter(|error| error.message.contains(NO_NFT))?;
            Some(format!(
                "{node} has no nft, by which networks are cut: install nftables there, or give faults: cut and heal"
            ))
        })
    }

    fn pod(&self, node: &str, deadline: Instant) -> Result<Option<Pod>> {
        let pods = self.cluster.own::<Pod>();
        let found = self.cluster.list(&pods, &format!("{AGENT_LABEL}={AGENT}"), deadline)?;
        let is_there = |pod: &Pod| {
            let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            on == Some(node) && pod.metadata.deletion_timestamp.is_none()
        };
        Ok(found.into_iter().find(is_there))
    }

    /// Has the agent of a node do something; an error has what it printed.
    fn order(&self, node: &str, words: &[&str], deadline: Instant) -> Result<()> {
        let pod = self.pod(node, deadline)?.and_then(|pod| pod.metadata.name);
        let name = pod.ok_or_else(|| Error::lab(format!("holdfast's agent is not on {node}")))?;
        let command: Vec<&str> = [SCRIPT].iter().chain(words).copied().collect();
        let params = AttachParams::default().container(AGENT).stdout(true).stderr(true);
        let pods = self.cluster.own::<Pod>();
        let asked = async {
            let mut attached =
                pods.exec(&name, command, &params).await.map_err(|error| Error::lab(error.to_string()))?;
            let (told, complaint) = (attached.stdout(), attached.stderr());
            let ending = attached.take_status();
            let (_, complaint) = tokio::join!(text(told), text(complaint));
            let status = match ending {
                Some(ending) => ending.await,
                None => None,
            };
            match status.and_then(|status| status.status).as_deref() {
                Some("Success") => Ok(()),
                _ => Err(Error::lab(complaint.trim().to_owned())),
            }
        };
        let answer = self.cluster.runtime().block_on(async { timeout_at(deadline.into(), asked).await });
        let done = answer.unwrap_or_else(|_| Err(Error::lab("no answer in time")));
        done.map_err(|error| Error::lab(format!("holdfast's agent on {node}: {}: {}", words.join(" "), error.message)))
    }

    fn healing(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.healing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node heals by itself after that time.
    fn note_healing(&self, node: &str, after: Duration) {
        self.healing().insert(node.to_owned(), Instant::now() + after);
    }

    /// Waits until an agent does again what it is ordered, as long as its node may take to heal and to come back.
    fn wait_healed(&self, node: &str, words: &[&str], deadline: Instant) -> Result<()> {
        let healed = self.healing().get(node).copied().unwrap_or_else(Instant::now);
        let mut last = Ok(());
        let waited = wait_until(deadline.max(healed + COMES_BACK), "a node that heals by itself", || {
            last = self.order(node, words, Instant::now() + ANSWER);
            last.is_ok()
        });
        last?;
        waited?;
        self.healing().remove(node);
        Ok(())
    }

    /// The same for harm that must have lasted until now.
    fn undo(&self, node: &str, words: &[&str], deadline: Instant) -> Result<()> {
        let is_over = self.healing().get(node).is_some_and(|healed| Instant::now() >= *healed);
        self.wait_healed(node, words, deadline)?;
        if is_over {
            return Err(Error::lab(format!("{node} had healed by itself before it was to be healed"))
                .hint("give a longer lab: heals_after"));
        }
        Ok(())
    }

    fn cut(&self, node: &str, network: Option<&str>, deadline: Instant) -> Result<()> {
        // of this run, and of no other scenario's: the end of an earlier cut must not be this one's
        let run: String = self.cluster.run().chars().take(8).collect();
        let name = format!("{run}_{}", self.cuts.fetch_add(1, Ordering::Relaxed));
        let seconds = self.options.heals_after.as_secs().to_string();
        self.note_healing(node, self.options.heals_after);
        let words = ["cut", &name, &seconds].into_iter().chain(network).collect::<Vec<_>>();
        // whose answer the cut itself may swallow
        let ordered = self.order(node, &words, deadline.min(Instant::now() + ANSWER));
        if network.is_none() {
            return self.wait_silent(node, ordered, deadline);
        }
        ordered?;
        let is_cut = || self.order(node, &["is_cut", &name], Instant::now() + ANSWER).is_ok();
        wait_until(deadline, &format!("{node} to be cut off from its volumes"), is_cut).map_err(Error::of_lab)
    }

    /// Waits until a node's agent hears no order any more.
    fn wait_silent(&self, node: &str, ordered: Result<()>, deadline: Instant) -> Result<()> {
        let silent = || self.order(node, &["signal", "0", "sh"], Instant::now() + QUESTION).is_err();
        let waited = wait_until(deadline, &format!("{node} to hear no order"), silent);
        waited.map_err(|late| ordered.err().unwrap_or_else(|| late.of_lab()))
    }

    fn hold(&self, node: &str, signal: &str, socket: &str, deadline: Instant) -> Result<()> {
        let seconds = self.options.heals_after.as_secs().to_string();
        self.note_healing(node, self.options.heals_after);
        self.order(node, &["hold", signal, &seconds, socket], deadline)
    }

    /// Kills what the way to the agent itself leads over: it is done a moment after the answer.
    fn kill(&self, node: &str, seconds: Duration, names: &[&str], deadline: Instant) -> Result<()> {
        let lasts = seconds.as_secs().to_string();
        self.note_healing(node, seconds);
        let words: Vec<&str> = ["kill", &lasts].into_iter().chain(names.iter().copied()).collect();
        self.order(node, &words, deadline)
    }
}

/// Whether a DaemonSet has no pods because nobody may have such.
fn is_refusal(words: &str) -> bool {
    words.starts_with("FailedCreate") && REFUSALS.iter().any(|refusal| words.contains(refusal))
}

/// Why what is killed by its name is not.
fn unnamed(node: &str, names: &[&str], fault: &str) -> String {
    let names = names.join(" or ");
    format!("no process on {node} is called {names}, as where one process is all of a node (k3s): give faults: {fault}")
}

async fn text(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let _ = from.take(4096).read_to_end(&mut bytes).await; // what came is what there is
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A pod on each of these nodes that may do to it what its administrator may.
fn manifest(run: &str, image: &str, nodes: &[String]) -> Result<DaemonSet> {
    let terms: Vec<_> = nodes
        .iter()
        .map(|node| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}))
        .collect();
    object(&json!({
        "metadata": {"name": AGENT, "labels": {RUN_LABEL: run}},
        "spec": {
            "selector": {"matchLabels": {AGENT_LABEL: AGENT}},
            "template": {
                "metadata": {"labels": {AGENT_LABEL: AGENT}},
                "spec": {
                    "hostPID": true,
                    "hostNetwork": true,
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 20,
                    // it stays where its node is lost, for it is what heals that
                    "tolerations": [{"operator": "Exists"}],
                    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": terms,
                    }}},
                    "containers": [{
                        "name": AGENT,
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": [SCRIPT, "stay"],
                        "securityContext": {"privileged": true},
                        "volumeMounts": [{"name": AGENT, "mountPath": "/agent", "readOnly": true}],
                    }],
                    "volumes": [{"name": AGENT, "configMap": {"name": AGENT, "defaultMode": 0o755}}],
                },
            },
        },
    }))
}

impl Faults for Agents {
    fn lacks(&self, fault: Fault) -> Option<String> {
        let by_command = self.commands.lacks(fault)?;
        if self.refused.is_some() {
            return self.refused.clone();
        }
        match fault {
            Fault::Kill(Part::Kubelet) => self.lacks_process(&[KUBELET], "kill_kubelet and start_kubelet"),
            Fault::Kill(Part::Runtime) => self.lacks_process(&RUNTIMES, "kill_runtime and start_runtime"),
            Fault::Stop(Part::Plugin)
            | Fault::Hang(Part::Plugin)
            | Fault::Kill(Part::Plugin)
            | Fault::Start(Part::Plugin | Part::Kubelet | Part::Runtime)
            | Fault::LiveRestore(_) => None,
            Fault::Cut(Network::All) => self.lacks_nft(),
            Fault::Cut(Network::Storage) if self.options.storage.is_some() => self.lacks_nft(),
            Fault::Cut(Network::Storage) => Some("the provider file has no lab: storage_network".to_owned()),
            _ => Some(by_command),
        }
    }

    fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()> {
        let of_both = matches!(fault, Fault::Heal | Fault::LiveRestore(false));
        let is_own = matches!(fault, Fault::Start(_)) && self.healing().contains_key(node);
        if !of_both && !is_own && self.commands.lacks(fault).is_none() {
            return self.commands.inflict(node, fault, deadline);
        }
        let socket = self.options.socket.replace("{node}", node);
        let socket = socket.as_str();
        match fault {
            Fault::Cut(Network::All) => self.cut(node, None, deadline),
            Fault::Cut(Network::Storage) => self.cut(node, self.options.storage.as_deref(), deadline),
            Fault::Heal => {
                self.commands.inflict(node, fault, deadline)?;
                self.undo(node, &["heal"], deadline)
            }
            Fault::Stop(Part::Plugin) => self.hold(node, "TERM", socket, deadline),
            Fault::Kill(Part::Plugin) => self.hold(node, "KILL", socket, deadline),
            Fault::Hang(Part::Plugin) => self.hold(node, "STOP", socket, deadline),
            Fault::Start(Part::Plugin) => self.undo(node, &["release", socket], deadline),
            Fault::Kill(Part::Kubelet) => {
                self.kill(node, KUBELET_DEAD, &[KUBELET], deadline)?;
                self.wait_silent(node, Ok(()), deadline)
            }
            Fault::Start(Part::Kubelet) => self.wait_healed(node, &["signal", "0", KUBELET], deadline),
            Fault::LiveRestore(is_on) => {
                self.live_restore.store(is_on, Ordering::Relaxed);
                Ok(())
            }
            Fault::Kill(Part::Runtime) => {
                let shims: &[&str] = if self.live_restore.load(Ordering::Relaxed) { &[] } else { &SHIMS };
                let names: Vec<&str> = RUNTIMES.into_iter().chain(shims.iter().copied()).collect();
                self.kill(node, RUNTIME_DEAD, &names, deadline)?;
                self.wait_silent(node, Ok(()), deadline)
            }
            Fault::Start(Part::Runtime) => {
                let words: Vec<&str> = ["signal", "0"].into_iter().chain(RUNTIMES).collect();
                self.wait_healed(node, &words, deadline)
            }
            fault => self.commands.inflict(node, fault, deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_nobody_have_privileged_pods_is_known_by_its_words() {
        for words in [
            r#"FailedCreate: Error creating: pods "agent-" is forbidden: unable to validate against any security context constraint: [provider "restricted-v2": Forbidden: not usable by user or serviceaccount]"#,
            r#"FailedCreate: Error creating: pods "agent-x" is forbidden: violates PodSecurity "baseline:latest": privileged"#,
            r#"FailedCreate: Error creating: admission webhook "validate.kyverno.svc-fail" denied the request: no"#,
        ] {
            assert!(is_refusal(words), "{words}");
        }
        for words in ["Failed: Failed to pull image", "FailedCreate: Error creating: Timeout: request did not complete"]
        {
            assert!(!is_refusal(words), "{words}");
        }
    }

    #[test]
    fn an_agent_is_on_the_nodes_of_the_run_alone_and_stays_there() {
        let made = manifest("r", "busybox", &["a".to_owned(), "b".to_owned()]).expect("a DaemonSet");
        let pod = made.spec.and_then(|spec| spec.template.spec).expect("a pod");
        assert_eq!((pod.host_pid, pod.automount_service_account_token), (Some(true), Some(false)));
        let affinity = pod.affinity.and_then(|affinity| affinity.node_affinity).expect("nodes");
        let terms = affinity.required_during_scheduling_ignored_during_execution.expect("they are required");
        let named: Vec<_> = terms
            .node_selector_terms
            .into_iter()
            .flat_map(|term| term.match_fields.into_iter().flatten())
            .flat_map(|field| field.values.into_iter().flatten())
            .collect();
        assert_eq!(named, ["a", "b"]);
    }
}
