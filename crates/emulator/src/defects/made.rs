//! Things that are made otherwise than they were asked for, from the first moment on.

use super::{At, Defect, fresh_id};
use crate::store::{Container, Restart};

/// What the wheel's images have their containers see, by which it shows whose container answers.
const IMAGE: &str = "HOLDFAST_IMAGE";

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "deploy.renamed",
        help: "Deploy keeps the image under another name",
        at: &[At::NewImage(|image| image.names.iter_mut().for_each(|(name, _)| name.push_str("-other")))],
    },
    Defect {
        name: "deploy.retagged",
        help: "Deploy keeps the image under another tag",
        at: &[At::NewImage(|image| image.names.iter_mut().for_each(|(_, tag)| tag.push_str("-other")))],
    },
    Defect {
        name: "start.image_replaced",
        help: "StartContainer starts another image, and lists that",
        at: &[At::AskedContainer(|container| {
            (container.image, container.image_id) = (("impostor".to_owned(), "latest".to_owned()), fresh_id());
        })],
    },
    Defect {
        name: "start.tag_replaced",
        help: "StartContainer starts the image of another tag, and lists that",
        at: &[At::AskedContainer(|container| "latest".clone_into(&mut container.image.1))],
    },
    Defect {
        name: "start.image_disguised",
        help: "StartContainer starts another image, and lists the one that was asked for",
        at: &[At::AskedContainer(|container| {
            container.environment.insert(IMAGE.to_owned(), "impostor:latest".to_owned());
        })],
    },
    Defect {
        name: "start.command_lost",
        help: "StartContainer runs the image's own command instead of the one that was asked for",
        at: &[At::AskedContainer(|container| container.command.clear())],
    },
    Defect {
        name: "start.command_altered",
        help: "StartContainer runs the command with another port",
        at: &[At::AskedContainer(|container| container.command = vec!["./cntrsrv --port=1".to_owned()])],
    },
    Defect {
        name: "start.ports_lost",
        help: "StartContainer publishes no port",
        at: &[At::AskedContainer(lose_ports)],
    },
    Defect {
        name: "start.ports_moved",
        help: "StartContainer publishes other ports than were asked for",
        at: &[At::AskedContainer(|container| {
            container.ports.iter_mut().for_each(|(_, outside)| *outside = outside.wrapping_sub(1000));
        })],
    },
    Defect {
        name: "start.variable_lost",
        help: "StartContainer forgets a variable of the environment",
        at: &[At::AskedContainer(|container| drop(container.environment.pop_first()))],
    },
    Defect {
        name: "start.variable_altered",
        help: "StartContainer sets a variable of the environment to another value",
        at: &[At::AskedContainer(alter_variable)],
    },
    Defect {
        name: "start.label_lost",
        help: "StartContainer forgets a label",
        at: &[At::AskedContainer(|container| drop(container.labels.pop_last()))],
    },
    Defect {
        name: "start.label_altered",
        help: "StartContainer gives a label another value",
        at: &[At::AskedContainer(|container| container.labels.values_mut().for_each(|value| value.push_str("-other")))],
    },
    Defect {
        name: "start.mounts_lost",
        help: "StartContainer mounts none of the volumes",
        at: &[At::AskedContainer(|container| container.mounts.clear())],
    },
    Defect {
        name: "start.mounts_elsewhere",
        help: "StartContainer mounts volumes at other paths",
        at: &[At::AskedContainer(|container| {
            container.mounts.values_mut().for_each(|path| path.push_str("-elsewhere"));
        })],
    },
    Defect {
        name: "start.read_only",
        help: "StartContainer mounts volumes read-only",
        at: &[At::AskedContainer(|container| container.read_only = true)],
    },
    Defect {
        name: "start.policy_none",
        help: "StartContainer takes the restart policy NONE for ALWAYS",
        at: &[At::AskedContainer(|container| container.restart = Restart::None)],
    },
    Defect {
        name: "start.policy_on_failure",
        help: "StartContainer takes the restart policy ON_FAILURE for ALWAYS",
        at: &[At::AskedContainer(|container| container.restart = Restart::OnFailure)],
    },
    Defect {
        name: "update.label_lost",
        help: "UpdateContainer forgets a label",
        at: &[At::UpdatedContainer(|container| drop(container.labels.pop_last()))],
    },
    Defect {
        name: "update.variable_altered",
        help: "UpdateContainer sets a variable of the environment to another value",
        at: &[At::UpdatedContainer(alter_variable)],
    },
    Defect {
        name: "create_volume.driver_local",
        help: "CreateVolume makes a local volume, whatever was asked for",
        at: &[At::NewVolume(|volume| "local".clone_into(&mut volume.driver))],
    },
    Defect {
        name: "create_volume.driver_custom",
        help: "CreateVolume makes a volume of the custom driver, whatever was asked for",
        at: &[At::NewVolume(|volume| "custom:latest".clone_into(&mut volume.driver))],
    },
    Defect {
        name: "create_volume.option_lost",
        help: "CreateVolume forgets an option",
        at: &[At::NewVolume(|volume| drop(volume.options.pop_first()))],
    },
    Defect {
        name: "create_volume.option_altered",
        help: "CreateVolume gives an option another value",
        at: &[At::NewVolume(|volume| {
            volume.options.first_entry().into_iter().for_each(|mut first| first.get_mut().push_str("-other"));
        })],
    },
    Defect {
        name: "create_volume.label_lost",
        help: "CreateVolume forgets a label",
        at: &[At::NewVolume(|volume| drop(volume.labels.pop_last()))],
    },
    Defect {
        name: "create_volume.label_altered",
        help: "CreateVolume gives a label another value",
        at: &[At::NewVolume(|volume| volume.labels.values_mut().for_each(|value| value.push_str("-other")))],
    },
    Defect {
        name: "start_plugin.config_lost",
        help: "StartPlugin starts with an empty configuration",
        at: &[At::NewPlugin(|plugin| "{}".clone_into(&mut plugin.config))],
    },
    Defect {
        name: "start_plugin.config_altered",
        help: "StartPlugin starts with another configuration",
        at: &[At::NewPlugin(|plugin| plugin.config = plugin.config.replace("/cntrsrv", "/impostor"))],
    },
];

fn lose_ports(container: &mut Container) {
    container.ports.clear();
    container.host_network = false;
}

fn alter_variable(container: &mut Container) {
    container.environment.first_entry().into_iter().for_each(|mut first| first.get_mut().push_str("-other"));
}
