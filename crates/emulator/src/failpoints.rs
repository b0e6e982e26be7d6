//! The emulator's failpoints: their names, with a line on each.

use super::defects;
use holdfast_failpoint::Name;

macro_rules! failpoints {
    (
        rpcs: { $($service:literal: $($rpc:literal),+;)+ }
        steps: { $($step:literal $what:literal)+ }
        messages: { $($message:literal $each:literal)+ }
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
        ]
    };
}

/// Every failpoint of the emulated device: those of a healthy one, and its defects.
pub const FAILPOINTS: &[Name] = &defects::named::<{ HEALTHY.len() + defects::COUNT }>(HEALTHY);

/// Those that a healthy device passes.
const HEALTHY: &[Name] = failpoints! {
    rpcs: {
        "containerz": "Deploy", "ListImage", "RemoveImage", "StartContainer", "ListContainer", "StopContainer",
            "RemoveContainer", "UpdateContainer", "Log", "CreateVolume", "ListVolume", "RemoveVolume", "StartPlugin",
            "StopPlugin", "ListPlugins", "RemovePlugin", "RemovePluginTar";
        "system": "SwitchControlProcessor", "Reboot", "RebootStatus", "CancelReboot", "KillProcess", "Time", "Ping",
            "Traceroute", "SetPackage";
        "file": "Get", "TransferToRemote", "Put", "Stat", "Remove";
        "healthz": "Get", "List", "Acknowledge", "Artifact", "Check";
        "gnmi": "Capabilities", "Get", "Set", "Subscribe";
        "gribi": "Modify", "Get", "Flush";
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
        "file.Get.piece" "each piece of a file that Get answers with, and its hash"
        "healthz.Artifact.piece" "each piece of an artifact, and what stands before and after it"
        "ledger.Read.record" "each record that Read answers with"
        "cntr.accept" "each connection to a container's published port"
    }
};

#[cfg(test)]
mod tests {
    use super::FAILPOINTS;
    use crate::message_sites::{message_at, site_of};
    use holdfast_reflection as reflection;

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
        for (service, rpcs) in reflection::services().into_iter().filter(|(name, _)| served(name)) {
            for rpc in rpcs {
                let site = site_of(&format!("/{service}/{rpc}"));
                assert!(FAILPOINTS.iter().any(|known| known.name == site), "{site}");
            }
        }
    }
}
