//! The emulator's failpoints: their names, with a line on each.

use holdfast_failpoint::Name;

macro_rules! failpoints {
    (
        rpcs: { $($service:literal: $($rpc:literal),+;)+ }
        steps: { $($step:literal $what:literal)+ }
        messages: { $($message:literal $each:literal)+ }
        defects: { $($defect:literal $shows:literal)+ }
    ) => {
        &[
            $($(
                Name { name: concat!($service, ".", $rpc), help: concat!("before ", $rpc, " is done") },
                Name { name: concat!($service, ".", $rpc, ".after"), help: concat!("after ", $rpc, " was done, before it is answered") },
            )+)+
            $(
                Name { name: $message, help: $each },
                Name { name: concat!($message, ".after"), help: "the same, once it is made and before it is on its way" },
            )+
            $(
                Name { name: $step, help: concat!("before ", $what) },
                Name { name: concat!($step, ".after"), help: concat!("after ", $what) },
            )+
            $(Name { name: $defect, help: $shows },)+
        ]
    };
}

/// Every failpoint of the emulated device.
pub const FAILPOINTS: &[Name] = failpoints! {
    rpcs: {
        "containerz": "Deploy", "ListImage", "RemoveImage", "StartContainer", "ListContainer", "StopContainer",
            "RemoveContainer", "UpdateContainer", "Log", "CreateVolume", "ListVolume", "RemoveVolume", "StartPlugin",
            "StopPlugin", "ListPlugins", "RemovePlugin", "RemovePluginTar";
        "system": "SwitchControlProcessor", "Reboot", "RebootStatus", "CancelReboot", "KillProcess", "Time", "Ping",
            "Traceroute", "SetPackage";
        "gnmi": "Capabilities", "Get", "Set", "Subscribe";
        "gribi": "Get";
        "cntr": "Ping", "Dial";
        "ledger": "Append", "Read", "Describe";
    }
    steps: {
        "switchover.leave" "the old active gives the management address up"
        "switchover.take_over" "the new active takes the roles and the management address"
        "switchover.come_back" "the old active boots and gets in step"
        "switchover.sync.image" "an image is copied to the standby"
        "switchover.sync.container" "a container is copied to the standby"
        "switchover.sync.volume" "a volume is copied to the standby"
        "switchover.sync.plugin" "a plugin is copied to the standby"
        "load.image" "an image is loaded by a new active"
        "load.container" "a container is loaded by a new active"
        "load.volume" "a volume is loaded by a new active"
        "load.plugin" "a plugin is loaded by a new active"
        "reboot.leave" "control processors go down for a reboot"
        "reboot.boot" "a rebooted control processor boots"
    }
    messages: {
        "containerz.Deploy.chunk" "each chunk of a transfer, before it is stored"
        "containerz.Deploy.answer" "each message that Deploy answers with"
        "containerz.ListImage.row" "each row of ListImage"
        "containerz.ListContainer.row" "each row of ListContainer"
        "containerz.ListVolume.row" "each row of ListVolume"
        "containerz.Log.line" "each message of Log"
        "gnmi.Subscribe.update" "each update of a subscription; return{\"leaf\": value} puts other values into it"
        "system.Ping.reply" "each reply of Ping"
        "ledger.Read.record" "each record that Read answers with"
        "cntr.accept" "each connection to a container's published port"
    }
    defects: {
        "login.ignored" "whoever logs in is let in, whatever the password"
        "roles.single" "gNMI shows the active control processor alone"
        "roles.none" "gNMI shows no redundant-role at all"
        "roles.two_primaries" "gNMI calls both control processors PRIMARY"
        "switchover.ignored" "answers with success and does nothing"
        "switchover.claimed" "reports the roles swapped for three seconds and does nothing"
        "switchover.reversed" "swaps the roles, and swaps them back as soon as the old active is up"
        "switchover.never_redundant" "the old active never comes back in step"
        "switchover.flapping" "the roles go on swapping for a while"
        "switchover.ready_stuck" "switchover-ready never turns true again"
        "switchover.clock_back" "the new active's clock is an hour behind"
        "switchover.split_brain" "both control processors call themselves PRIMARY from then on"
        "switchover.returns_empty" "the old active comes back with nothing, says it is in step, and is never copied to again"
        "switchover.leaks" "a volume of nobody's is left behind"
        "switchover.takes_others" "what is not this run's is lost: the oldest volume"
        "switchover.stale_writer" "a container of the old active goes on writing to its volume"
        "switchover.unreplicated" "a standby that is not in step takes over, and volumes of the last second are lost"
        "switchover.sync.removal" "what was removed stays on the standby"
        "switchover.sync.data" "what containers write never reaches the standby"
        "ledger.unsynced" "what a container wrote reaches the standby late: a crash loses it"
        "deploy.forgotten" "Deploy answers with success and keeps nothing"
        "deploy.altered" "Deploy keeps another image than the one that came"
        "deploy.half" "a transfer that breaks off leaves an image behind"
        "start.ignored" "StartContainer answers with success and starts nothing"
        "start.half" "a StartContainer that breaks off leaves a container behind that never runs"
        "start.wrong_image" "StartContainer of an image or tag that is not there starts another image"
        "list.stopped_running" "a stopped container is listed as running"
        "list.all_always" "a list of the running containers has the stopped ones too"
        "log.of_any" "Log of a container that is not there is another's"
        "update.ignored" "UpdateContainer answers with success and does nothing"
        "update.renamed" "an updated container has another name"
        "update.ports_lost" "an updated container has lost its published ports"
        "update.volumes_lost" "an updated container has lost its volumes"
        "update.wrong_image" "UpdateContainer to an image or tag that is not there updates to another"
        "update.stops_old" "a refused UpdateContainer leaves the container stopped"
        "create_volume.options_lost" "CreateVolume makes a volume without the driver's options and labels"
        "remove_volume.takes_another" "RemoveVolume of one that is not there removes another"
        "deploy.plugin_forgotten" "Deploy of a plugin answers with success and keeps nothing"
        "start_plugin.twice" "StartPlugin of a plugin that runs starts it once more"
        "stop.ignored" "StopContainer answers with success and the container runs on"
        "stop.lingers" "StopContainer leaves the container serving, listed as stopped"
        "remove_container.ignored" "RemoveContainer answers with success and does nothing"
        "remove_image.ignored" "RemoveImage answers with success and does nothing"
        "remove_volume.ignored" "RemoveVolume answers with success and does nothing"
        "create_volume.ignored" "CreateVolume answers with success and makes nothing"
        "reboot.ignored" "answers with success and does nothing"
        "reboot.one_card" "reboots the active card alone"
        "load.image.lost" "an image is gone when a new active loads"
        "load.image.replaced" "another image has its name when a new active loads"
        "load.image.untagged" "an image has lost its name when a new active loads"
        "load.image.tag_moved" "an image's tag is on another image when a new active loads"
        "load.image.duplicated" "another image has the same name too when a new active loads"
        "load.image.resurrected" "a removed image is back when a new active loads"
        "load.image.resurrected_late" "a removed image is back two seconds after a new active loaded"
        "load.container.lost" "a container is gone when a new active loads"
        "load.container.stopped" "a container is stopped when a new active loads"
        "load.container.restarting" "a container restarts for ever when a new active loads"
        "load.container.mute" "a container is listed as running and does not answer"
        "load.container.replaced" "a container is of another image when a new active loads"
        "load.container.renamed" "a container has another name when a new active loads"
        "load.container.duplicated" "a container is there twice when a new active loads"
        "load.container.restarted_late" "a container is started once more after it wrote on a new active, before the standby is back"
        "load.container.ports_lost" "a container has lost its published ports when a new active loads"
        "load.container.environment_lost" "a container has lost its environment when a new active loads"
        "load.container.policy_lost" "a container has lost its restart policy when a new active loads"
        "load.container.location_wrong" "a container is labelled as running on the backup when a new active loads"
        "load.container.resurrected" "a removed container is back when a new active loads"
        "load.container.resurrected_late" "a removed container is back two seconds after a new active loaded"
        "load.volume.lost" "a volume is gone when a new active loads"
        "load.volume.options_lost" "a volume has lost its driver options and labels when a new active loads"
        "load.volume.mounted_elsewhere" "a container's volume is mounted at another path when a new active loads"
        "load.volume.read_only" "a container's volume is mounted read-only when a new active loads"
        "load.volume.truncated" "a volume's files have lost their last bytes when a new active loads"
        "load.volume.bit_flipped" "a bit of a volume's files is another when a new active loads"
        "load.volume.emptied" "a volume is empty when a new active loads"
        "load.volume.rolled_back" "a volume's files have lost their second half when a new active loads"
        "load.volume.resurrected" "a removed volume is back when a new active loads"
        "load.volume.resurrected_late" "a removed volume is back two seconds after a new active loaded"
        "load.lists_partial" "lists lack their last row for a second after a new active loaded"
        "load.lists_empty" "lists are empty for a second after a new active loaded"
    }
};

/// The site around an RPC: `/gnoi.containerz.Containerz/Deploy` is `containerz.Deploy`.
pub fn site_of(path: &str) -> String {
    let (service, rpc) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let service = service.rsplit('.').next().unwrap_or_default().to_lowercase();
    format!("{service}.{rpc}")
}

/// The site of each message that an RPC answers with, where it has one of its own on the wire.
pub fn message_site(path: &str) -> Option<&'static str> {
    match path {
        "/gnoi.containerz.Containerz/Deploy" => Some("containerz.Deploy.answer"),
        "/gnoi.containerz.Containerz/ListImage" => Some("containerz.ListImage.row"),
        "/gnoi.containerz.Containerz/ListContainer" => Some("containerz.ListContainer.row"),
        "/gnoi.containerz.Containerz/ListVolume" => Some("containerz.ListVolume.row"),
        "/gnoi.containerz.Containerz/Log" => Some("containerz.Log.line"),
        "/holdfast.ledger.v1.Ledger/Read" => Some("ledger.Read.record"),
        "/gnoi.system.System/Ping" => Some("system.Ping.reply"),
        _ => None,
    }
}

/// What `return{…}` stands for at a site: the full name of a message, where it is one.
pub fn message_at(site: &str) -> Option<String> {
    let (rpc, request) = match site {
        "containerz.Deploy.chunk" => ("containerz.Deploy", true),
        _ if site.starts_with("gnmi.Subscribe.update") || site.starts_with("cntr.accept") => return None,
        _ => (site, false),
    };
    let mut parts = rpc.split('.');
    let (service, method) = (parts.next()?, parts.next()?);
    let service = match service {
        "containerz" => "gnoi.containerz.Containerz",
        "system" => "gnoi.system.System",
        "gnmi" => "gnmi.gNMI",
        "gribi" => "gribi.gRIBI",
        "cntr" => "openconfig.featureprofiles.cntr.Cntr",
        "ledger" => "holdfast.ledger.v1.Ledger",
        _ => return None,
    };
    holdfast_wire::reflection::message_of(service, method, request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_has_its_site_and_its_message() {
        for path in [
            "/gnoi.containerz.Containerz/Deploy",
            "/gnoi.system.System/Reboot",
            "/gnmi.gNMI/Subscribe",
            "/openconfig.featureprofiles.cntr.Cntr/Ping",
        ] {
            let site = site_of(path);
            assert!(FAILPOINTS.iter().any(|known| known.name == site), "{site}");
            assert!(message_at(&site).is_some(), "{site}");
        }
        assert_eq!(message_at("containerz.Deploy.chunk").as_deref(), Some("gnoi.containerz.DeployRequest"));
        assert_eq!(message_at("containerz.Deploy.chunk.after").as_deref(), Some("gnoi.containerz.DeployResponse"));
        assert_eq!(message_at("switchover.leave"), None);
    }

    #[test]
    fn every_rpc_of_the_services_is_there() {
        let others = ["runtime.", "csi."]; // containerd's, and storage providers'
        let served = |service: &String| !others.iter().any(|package| service.starts_with(package));
        for (service, rpcs) in holdfast_wire::reflection::services().into_iter().filter(|(name, _)| served(name)) {
            for rpc in rpcs {
                let site = site_of(&format!("/{service}/{rpc}"));
                assert!(FAILPOINTS.iter().any(|known| known.name == site), "{site}");
            }
        }
    }
}
