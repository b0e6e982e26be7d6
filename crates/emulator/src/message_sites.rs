//! The failpoints of RPCs and of their messages: their names, and which message each may change.

use holdfast_failpoint::{Action, Terms};
use holdfast_reflection as reflection;

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
        "/gnoi.file.File/Get" => Some("file.Get.piece"),
        "/gnoi.healthz.Healthz/Artifact" => Some("healthz.Artifact.piece"),
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
        "file" => "gnoi.file.File",
        "healthz" => "gnoi.healthz.Healthz",
        "gnmi" => "gnmi.gNMI",
        "gribi" => "gribi.gRIBI",
        "cntr" => "openconfig.featureprofiles.cntr.Cntr",
        "ledger" => "holdfast.ledger.v1.Ledger",
        _ => return None,
    };
    reflection::message_of(service, method, request)
}

/// Whether `terms` may stand at `site`: what stands for a message must be one.
pub fn check(site: &str, terms: &Terms) -> Result<(), String> {
    let Some(message) = message_at(site) else { return Ok(()) };
    let actions = terms.terms().iter().flat_map(|term| &term.actions);
    for action in actions {
        if let Action::Return(object) = action {
            let object = serde_json::from_str(object).map_err(|error| error.to_string())?;
            reflection::check(&message, &object)?;
        }
    }
    Ok(())
}
