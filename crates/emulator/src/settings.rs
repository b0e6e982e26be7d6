//! How an emulated chassis is set up, and in which ways it may be odd.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use holdfast_net::error::Error;

/// How the management address goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outage {
    /// Its sockets close and dials are refused.
    #[default]
    Closed,
    /// Its sockets stay open and nothing answers any more.
    Silent,
}

/// How its management address is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// Plaintext.
    #[default]
    None,
    /// TLS.
    Server,
    /// TLS, and clients show a certificate too.
    Mutual,
}

/// What runs its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RuntimeKind {
    /// Nothing of an image is executed: each container serves the test container's service.
    #[default]
    Emulated,
    /// A Docker engine on this machine, at `unix:///PATH`.
    Docker {
        /// Where it listens.
        address: String,
    },
}

/// A chassis' timings: those of a real one, scaled down.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// From a switchover's answer until the address is back.
    pub outage: Duration,
    /// From then until Containerz has loaded.
    pub load: Duration,
    /// From its fall until a control processor is back as the standby.
    pub boot: Duration,
    /// How long the chassis is away at a reboot.
    pub reboot: Duration,
    /// From a change on the active until the standby has it.
    pub replication: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { outage: ms(200), load: ms(80), boot: ms(300), reboot: ms(400), replication: ms(5) }
    }
}

/// How to set a chassis up.
#[derive(Clone)]
pub struct Settings {
    /// Where it is managed; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where its second control processor is managed, if each has an address of its own.
    pub listen_second: Option<SocketAddr>,
    /// The port of gNOI, if that is not gNMI's; port 0 takes a free one.
    pub gnoi_port: Option<u16>,
    /// The port where containers reach its gNMI, over TLS; port 0 takes a free one.
    pub inner_gnmi_port: u16,
    /// The port where containers reach its gRIBI, over TLS; port 0 takes a free one.
    pub inner_gribi_port: u16,
    /// What its control processors are called.
    pub names: [String; 2],
    /// What it says its software is.
    pub software: String,
    /// What a core file is called, and where it lies: `{pid}`, `{seconds}` and `{process}` stand for what is its own.
    pub core_file: String,
    /// What runs its containers.
    pub runtime: RuntimeKind,
    /// Timings.
    pub timings: Timings,
    /// How the address goes away.
    pub outage: Outage,
    /// Where its state is kept over restarts; a temporary folder if none is given.
    pub state: Option<PathBuf>,
    /// How much room there is for images, in bytes.
    pub space: u64,
    /// The chunk size it asks for in Deploy, in bytes.
    pub chunk_size: i32,
    /// Oddities that are on.
    pub quirks: Vec<Quirk>,
    /// How the address is protected.
    pub encryption: Encryption,
    /// Where the certificates for clients are written; below the state if none is given.
    pub certificates: Option<PathBuf>,
    /// Who may log in, with which password; anybody, where it is empty.
    pub users: Vec<(String, String)>,
    /// Of the failpoints' chance: equal seeds draw equally.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            listen_second: None,
            gnoi_port: None,
            inner_gnmi_port: 0,
            inner_gribi_port: 0,
            names: ["Supervisor1".to_owned(), "Supervisor2".to_owned()],
            software: concat!("holdfast-emulator ", env!("CARGO_PKG_VERSION")).to_owned(),
            core_file: "/var/core/core.{pid}.{seconds}.{process}.gz".to_owned(),
            runtime: RuntimeKind::Emulated,
            timings: Timings::default(),
            outage: Outage::Closed,
            state: None,
            space: 16 << 30,
            chunk_size: 3_000_000,
            quirks: Vec::new(),
            encryption: Encryption::None,
            certificates: None,
            users: Vec::new(),
            seed: 0,
        }
    }
}

macro_rules! quirks {
    ($($variant:ident $name:literal $help:literal)*) => {
        /// A way in which servers of the field depart from the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Quirk {
            $(#[doc = $help] $variant,)*
        }

        impl Quirk {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As users write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

quirks! {
    JoinedImageRows "joined-image-rows" "ListImage gives an image one row: its first repository, all tags joined by commas"
    FiltersRejected "filters-rejected" "lists refuse filter keys that Docker does not know, with UNKNOWN"
    SlashedNames "slashed-names" "ListContainer keeps the leading slash of names"
    LabelsRefused "labels-refused" "StartContainer, UpdateContainer and CreateVolume refuse labels, with INVALID_ARGUMENT"
    NoLabelsListed "no-labels-listed" "ListContainer gives no labels"
    InUseUnavailable "in-use-unavailable" "RemoveImage of an image in use: UNAVAILABLE for a running container, INTERNAL for a stopped one"
    ForcedRemovalUntags "forced-removal-untags" "a forced RemoveImage of a running container's image leaves it untagged"
    FailedStartLeftOver "failed-start-left-over" "a failed StartContainer leaves a created container behind"
    StoppedDuplicateInternal "stopped-duplicate-internal" "StartContainer of a stopped container's name: INTERNAL"
    VolumesCreatedSilently "volumes-created-silently" "StartContainer makes a missing volume without a word"
    StopNotRunningNotFound "stop-not-running-not-found" "StopContainer of a container that does not run: NOT_FOUND"
    VolumeCreateIdempotent "volume-create-idempotent" "CreateVolume of a volume that is there: success"
    VolumeRemoveUnknown "volume-remove-unknown" "RemoveVolume of one that is not there: UNKNOWN"
    PluginNamesBare "plugin-names-bare" "ListPlugins gives names as they were asked for, without the :latest of the reference server"
    PluginConfigRewritten "plugin-config-rewritten" "ListPlugins gives a configuration as Docker keeps it: names in its spelling, all that it knows, nothing else"
    EngineErrorsUnknown "engine-errors-unknown" "what the container engine says of what is not there or in use comes with UNKNOWN: logs, volumes, plugins"
    OlderContainerz "older-containerz" "Containerz is that of gNOI 0.3 as SONiC serves it: Deploy by remote_download; List, Start, Stop, Remove and Log are unimplemented"
    NoRemovePluginTar "no-remove-plugin-tar" "RemovePluginTar is unimplemented, as in version 0.1 of the service"
    RawLogChunks "raw-log-chunks" "Log cuts its text anywhere and ends lines in CR LF"
    LogUnimplemented "log-unimplemented" "Log is unimplemented"
    ShortTransferAccepted "short-transfer-accepted" "Deploy calls a transfer that was cut short a success"
    NoSizeInSuccess "no-size-in-success" "Deploy's success gives no size"
    MovedTagFails "moved-tag-fails" "Deploy of an archive whose tag is on another image moves it and answers with an error"
    LockstepOnly "lockstep-only" "Deploy fails when a chunk comes before the last was answered"
    RareProgress "rare-progress" "Deploy reports progress once every ten chunks"
    FullPathOnly "full-path-only" "SwitchControlProcessor knows a target by its full path only"
    NameOnly "name-only" "SwitchControlProcessor knows a target by its bare name only"
    NoSwitchoverReady "no-switchover-ready" "gNMI has no switchover-ready"
    StandbyInactive "standby-inactive" "oper-status of the standby is INACTIVE, also where it is in step"
    NoComponentType "no-component-type" "gNMI has no type for components"
    NoLastSwitchoverTime "no-last-switchover-time" "gNMI has no last-switchover-time"
    JsonIetfOnly "json-ietf-only" "gNMI speaks JSON_IETF alone"
    NoSubscribe "no-subscribe" "gNMI Subscribe is unimplemented"
    JsonIetfRefused "json-ietf-refused" "gNMI offers JSON_IETF alone in Capabilities, and refuses it with INVALID_ARGUMENT"
    ProtoRefused "proto-refused" "gNMI offers PROTO in Capabilities, and refuses it with INTERNAL"
    CapabilitiesUnimplemented "capabilities-unimplemented" "gNMI Capabilities is unimplemented"
    OriginRefused "origin-refused" "gNMI refuses paths with the origin openconfig, with INVALID_ARGUMENT"
    OriginRequired "origin-required" "gNMI refuses paths without an origin, with UNKNOWN"
    WildcardsRefused "wildcards-refused" "gNMI refuses wildcards, and lists without their key, with INVALID_ARGUMENT"
    WildcardsNotFound "wildcards-not-found" "the same with NOT_FOUND"
    WildcardsUnimplemented "wildcards-unimplemented" "the same with UNIMPLEMENTED"
    WildcardsInternal "wildcards-internal" "the same with INTERNAL"
    WildcardsEmpty "wildcards-empty" "gNMI has nothing to say to wildcards, and lists without their key"
    AbsentLeafRefused "absent-leaf-refused" "gNMI refuses a whole ONCE with NOT_FOUND because of one leaf that it lacks"
    GetRefused "get-refused" "gNMI Get is unimplemented"
    OnceRefused "once-refused" "gNMI refuses ONCE with INVALID_ARGUMENT"
    SyncAfterEachUpdate "sync-after-each-update" "gNMI sends a sync_response after each update of a ONCE"
    SyncFirst "sync-first" "gNMI sends the sync_response of a ONCE before its updates"
    OnceStaysOpen "once-stays-open" "gNMI leaves the stream of a ONCE open"
    OnceEndsWithoutSync "once-ends-without-sync" "gNMI ends a ONCE without a sync_response"
    OnceEndsCancelled "once-ends-cancelled" "gNMI ends a ONCE with CANCELLED after its sync_response"
    HalfCloseCancels "half-close-cancels" "gNMI takes the end of the requests for the subscription's"
    SlowOnce "slow-once" "gNMI takes 30 ms from one update of a ONCE to the next"
    BootTimeInSeconds "boot-time-in-seconds" "boot-times are in seconds"
    BootTimeInMilliseconds "boot-time-in-milliseconds" "boot-times are in milliseconds"
    BootTimeLate "boot-time-late" "for half a second after a boot there is no boot-time"
    BootTimeZero "boot-time-zero" "for half a second after a boot, boot-time is 0"
    BootTimeUnset "boot-time-unset" "for half a second after a boot, boot-time is of 1970"
    RoleUnset "role-unset" "while a standby that booted joins, for a fifth of a second, redundant-role of the active is UNSET"
    LooseTypes "loose-types" "gNMI tells times as fractions, truths as text in capitals, and roles in small letters"
    TargetRequired "target-required" "gNMI refuses what names no target in its prefix, with INVALID_ARGUMENT"
    SubscribeHangsAfterSwitchover "subscribe-hangs-after-switchover" "once it has switched over, gNMI takes a Subscribe and says nothing to it"
    SubscribeEndsAfterSwitchover "subscribe-ends-after-switchover" "once it has switched over, gNMI ends a Subscribe at once"
    OlderForm "older-form" "gNMI tells paths and values in the form of its version 0.3: element and value"
    OneNotification "one-notification" "gNMI gives a container's leaves in one notification, below its prefix"
    JsonContainers "json-containers" "gNMI has no PROTO, and gives whole containers as JSON"
    PathOriginRefused "path-origin-refused" "SwitchControlProcessor knows a target by its full path without an origin only"
    KeyedElementOnly "keyed-element-only" "SwitchControlProcessor knows a target by the element component[name=X] only"
    PathFormNotFound "path-form-not-found" "SwitchControlProcessor knows one path form only (the bare name, unless another quirk says which); others: NOT_FOUND"
    PathFormInternal "path-form-internal" "the same with INTERNAL"
    PathFormUnimplemented "path-form-unimplemented" "the same with UNIMPLEMENTED"
    PathFormPrecondition "path-form-precondition" "the same with FAILED_PRECONDITION"
    CertificateExpired "certificate-expired" "with TLS, the certificate has expired"
    CertificateNotYetValid "certificate-not-yet-valid" "with TLS, the certificate is not valid yet"
    CertificateForAnotherName "certificate-for-another-name" "with TLS, the certificate is for another name"
    ContainerzNeedsCli "containerz-needs-cli" "Containerz is unimplemented until gNMI Set configures it, origin cli"
    PortFiltered "port-filtered" "a container's port is silent until gNMI Set opens it, origin cli, on that control processor"
    CliLostUnlessSaved "cli-lost-unless-saved" "what gNMI Set configured by origin cli is gone after a reboot without `write memory`"
    PluginsUnimplemented "plugins-unimplemented" "all RPCs of plugins are unimplemented"
    ContainerzAlone "containerz-alone" "Containerz is the only service: neither gNMI nor System, outside or for containers"
    InnerAddress "inner-address" "containers' ports are on an address of their own"
    ManifestIds "manifest-ids" "ListImage gives the digest of an image's manifest, as with containerd's image store"
    NormalisedNames "normalised-names" "lists give images' names in full, docker.io/library/app for app"
    NamesBehindOneId "names-behind-one-id" "ListImage gives an image one row: no name, and name:tag of each in the tag, joined by commas"
    TagBehindName "tag-behind-name" "ListImage gives the tag twice, alone and behind the name"
    DigestsForNames "digests-for-names" "ListContainer gives the image as localhost/sha256:…, as Podman did"
    LinkedNames "linked-names" "ListContainer gives the name that a link gives a container before its own, /other/alias,/web"
    RuntimeUnreachable "runtime-unreachable" "while the runtime loads, lists answer UNKNOWN and the rest of Containerz INTERNAL, not UNAVAILABLE"
    ChangesRefusedAtFirst "changes-refused-at-first" "for a while after the runtime has loaded, changes are UNAVAILABLE though lists answer"
    ChangesAbortedAtFirst "changes-aborted-at-first" "the same with ABORTED"
    ChangesFailAtFirst "changes-fail-at-first" "the same with UNKNOWN and the words of Docker, which cannot connect to its daemon"
    RequestsLimited "requests-limited" "more than 40 calls in a second are refused with RESOURCE_EXHAUSTED"
    BareLists "bare-lists" "lists give names, ids and states alone: no image or labels of containers, no driver, options or labels of volumes, no configuration of plugins"
    RichLists "rich-lists" "lists give more than was asked for: labels and options of the device's own, images with their digest, drivers in capitals"
    FileUnimplemented "file-unimplemented" "gNOI File is unimplemented"
    HealthzUnimplemented "healthz-unimplemented" "gNOI Healthz is unimplemented"
    FolderStatUnimplemented "folder-stat-unimplemented" "Stat of a folder is UNIMPLEMENTED"
    FolderStatItself "folder-stat-itself" "Stat of a folder tells of the folder, and not of what is in it"
    BareFileNames "bare-file-names" "Stat gives the names of what is in a folder without the folder"
    NoFileTimes "no-file-times" "Stat does not say when a file was written"
    NoFileHash "no-file-hash" "Get gives no hash"
    StandbyFilesHidden "standby-files-hidden" "File shows the files of the active control processor alone"
    NoCoreFolder "no-core-folder" "there is no folder for core files until one is written"
    OldCores "old-cores" "core files of an hour before it was powered on lie on both control processors"
    ExtraComponents "extra-components" "other cards carry a redundant-role too"
}

impl FromStr for Quirk {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().find(|quirk| quirk.name() == text).copied();
        known.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|quirk| quirk.name()).collect();
            Error::invalid(format!("there is no quirk {text:?}")).hint(format!("one of: {}", names.join(", ")))
        })
    }
}
