//! Reading the control processors' leaves from a device of which nobody knows beforehand in which form it is asked.

use std::collections::BTreeSet;
use std::time::Duration;

use tonic::Code;

use super::Device;
use super::deadlines::LOOK;
use super::reading::{LEAVES, Naming, RolesQuery};
use crate::dial::{Call, EventKind};
use crate::error::{Error, Kind, Result};
use crate::gnmi::form::{asked, refuses_form};
use crate::gnmi::{Form, Leaf, Path, Reader};
use crate::waiting::pause;
use crate::wire::gnmi::Encoding;

/// How many of them a device must refuse, one by one, until another form is tried.
const PROBES: usize = 2;
/// What tells the names of components, where wildcards do not: the least first.
const LISTINGS: [&str; 3] = ["/components/component/name", "/components/component", "/components"];
/// How many components are asked for their role one by one.
const MANY: usize = 1024;

/// How long a device may say nothing to a Subscribe until Get is asked beside it: less than a look that decides may take.
const SILENCE: Duration = Duration::from_millis(400);

/// What came of a way.
enum RolesAnswer {
    Leaves(Vec<Leaf>),
    Nothing,
    Refused(Error),
}

impl From<Vec<Leaf>> for RolesAnswer {
    fn from(leaves: Vec<Leaf>) -> Self {
        if leaves.iter().any(|leaf| leaf.value.is_some()) { Self::Leaves(leaves) } else { Self::Nothing }
    }
}

impl Device {
    /// The leaves of all control processors, in the form that worked last; where it is refused, in the first that works.
    ///
    /// Where none does, the error is what the device said first.
    pub(super) async fn role_leaves(&self, call: Call) -> Result<Vec<Leaf>> {
        let known = self.reading.way();
        let first = match known {
            Some(way) => way,
            None => {
                RolesQuery::usual(self.gnmi.encodings(call.deadline).await?.first().copied().unwrap_or(Encoding::Proto))
            }
        };
        let (first, answer) = self.ask_with_get_beside(first, call).await?;
        let refusal = match answer {
            RolesAnswer::Leaves(leaves) => return self.with_newcomers(first, leaves, call).await,
            RolesAnswer::Nothing => None,
            RolesAnswer::Refused(error) => Some(error),
        };
        if self.reading.may_search() {
            let unimplemented = refusal.as_ref().is_some_and(|error| error.code() == Some(Code::Unimplemented));
            let wants_target = refusal.as_ref().is_some_and(wants_target);
            match self.search(&first, Usual { get: unimplemented, target: wants_target }, call).await {
                Ok(Some((way, leaves))) => {
                    self.note(EventKind::Note, format!("the device does not answer {first}; it answers {way}"));
                    self.reading.works(way);
                    return Ok(leaves);
                }
                Err(error) if error.kind != Kind::Timeout || refusal.is_none() => return Err(error),
                Ok(None) | Err(_) => {}
            }
        }
        let Some(refusal) = refusal else { return Ok(Vec::new()) };
        self.reading.refused(format!("{}: {}", code(&refusal), refusal.message));
        Err(asked(refusal, &first.to_string()))
    }

    /// As `ask_in`, for all leaves. Where a device takes a Subscribe and says nothing, as some do after a failover, Get is
    /// asked beside it; the way that answered.
    async fn ask_with_get_beside(&self, way: RolesQuery, call: Call) -> Result<(RolesQuery, RolesAnswer)> {
        let subscribed = self.ask_in(&way, LEAVES.len(), call);
        if way.form.reader == Reader::Get {
            return subscribed.await.map(|answer| (way, answer));
        }
        let got = RolesQuery { form: Form { reader: Reader::Get, ..way.form }, ..way.clone() };
        let beside = async {
            while !self.session.waits_in_silence(SILENCE) {
                pause(LOOK).await;
            }
            match self.ask_in(&got, 1, call).await {
                Ok(RolesAnswer::Leaves(leaves)) => leaves,
                Ok(_) | Err(_) => std::future::pending().await, // what Subscribe says, or does not, is what there is
            }
        };
        tokio::select! {
            biased;
            answer = subscribed => answer.map(|answer| (way.clone(), answer)),
            leaves = beside => {
                self.note(EventKind::Note, format!("the device takes {way} and says nothing; it answers {got}"));
                Ok((got.clone(), RolesAnswer::Leaves(leaves)))
            }
        }
    }

    /// Remembers a way that works. Where it goes by names, those of a standby that was not there before are looked for.
    async fn with_newcomers(&self, way: RolesQuery, leaves: Vec<Leaf>, call: Call) -> Result<Vec<Leaf>> {
        let incomplete = matches!(way.naming, Naming::Each(_)) && names_with_a_role(&leaves).len() < 2;
        if incomplete
            && self.reading.may_name()
            && let Some(names) = self.names(way.form, call).await?
        {
            let now = RolesQuery { naming: Naming::Each(names), ..way.clone() };
            if let RolesAnswer::Leaves(leaves) = self.ask_in(&now, LEAVES.len(), call).await? {
                self.reading.works(now);
                return Ok(leaves);
            }
        }
        self.reading.works(way);
        Ok(leaves)
    }

    /// Tries every other way, those first that differ least from the usual: what a refusal wants becomes usual.
    async fn search(
        &self,
        tried: &RolesQuery,
        mut usual: Usual,
        call: Call,
    ) -> Result<Option<(RolesQuery, Vec<Leaf>)>> {
        let encodings = self.gnmi.encodings(call.deadline).await?;
        let mut names: Option<Vec<String>> = None;
        'anew: loop {
            for (form, kind) in candidates(&encodings, usual) {
                let naming = match kind {
                    Kinds::Any => Naming::Any,
                    Kinds::Keyless => Naming::Keyless,
                    Kinds::Each => {
                        if names.is_none() {
                            names = self.names(form, call).await?;
                        }
                        let Some(names) = names.clone() else { continue };
                        Naming::Each(names)
                    }
                };
                let way = RolesQuery { form, naming };
                if way == *tried {
                    continue;
                }
                match self.ask_in(&way, PROBES, call).await? {
                    RolesAnswer::Leaves(leaves) => return Ok(Some((way, leaves))),
                    RolesAnswer::Refused(refusal) if !usual.target && wants_target(&refusal) => {
                        usual.target = true;
                        continue 'anew;
                    }
                    RolesAnswer::Refused(_) | RolesAnswer::Nothing => {}
                }
            }
            return Ok(None);
        }
    }

    /// Asks for all leaves at once; one by one where a device refuses that, perhaps because of one that it lacks.
    /// After `patience` that are refused too, it is the way that is refused.
    async fn ask_in(&self, way: &RolesQuery, patience: usize, call: Call) -> Result<RolesAnswer> {
        let refusal = match self.ask_form(way.form, &way.paths(&LEAVES), call).await? {
            RolesAnswer::Refused(error) => error,
            answer => return Ok(answer),
        };
        let mut found = Vec::new();
        for (at, leaf) in LEAVES.into_iter().enumerate() {
            if at >= patience && found.is_empty() {
                break;
            }
            for path in way.paths(&[leaf]) {
                if let RolesAnswer::Leaves(leaves) = self.ask_form(way.form, &[path], call).await? {
                    found.extend(leaves);
                }
            }
        }
        Ok(if found.is_empty() { RolesAnswer::Refused(refusal) } else { RolesAnswer::Leaves(found) })
    }

    async fn ask_form(&self, form: Form, paths: &[Path], call: Call) -> Result<RolesAnswer> {
        match self.gnmi.ask(paths, form, call).await {
            Ok(leaves) => Ok(RolesAnswer::from(leaves)),
            Err(error) if refuses_form(&error) => Ok(RolesAnswer::Refused(error)),
            Err(error) => Err(error),
        }
    }

    /// The names of the components with a role, asked without a wildcard; of all where none has.
    async fn names(&self, form: Form, call: Call) -> Result<Option<Vec<String>>> {
        for listing in LISTINGS {
            let Ok(path) = listing.parse::<Path>() else { continue };
            let RolesAnswer::Leaves(leaves) = self.ask_form(form, &[path], call).await? else { continue };
            let all: BTreeSet<&str> = leaves.iter().filter_map(|leaf| leaf.path.key("component", "name")).collect();
            if all.is_empty() {
                continue;
            }
            let all: Vec<String> = all.into_iter().take(MANY).map(str::to_owned).collect();
            let with_a_role = self.with_a_role(form, &all, call).await?;
            return Ok(Some(if with_a_role.is_empty() { all } else { with_a_role }));
        }
        Ok(None)
    }

    async fn with_a_role(&self, form: Form, all: &[String], call: Call) -> Result<Vec<String>> {
        let roles = RolesQuery { form, naming: Naming::Each(all.to_vec()) }.paths(&LEAVES[..1]);
        let mut found = Vec::new();
        match self.ask_form(form, &roles, call).await? {
            RolesAnswer::Leaves(leaves) => found = leaves,
            RolesAnswer::Nothing => {}
            RolesAnswer::Refused(_) => {
                for role in roles {
                    if let RolesAnswer::Leaves(leaves) = self.ask_form(form, &[role], call).await? {
                        found.extend(leaves);
                    }
                }
            }
        }
        Ok(names_with_a_role(&found).into_iter().map(str::to_owned).collect())
    }
}

fn names_with_a_role(leaves: &[Leaf]) -> BTreeSet<&str> {
    let roles = leaves.iter().filter(|leaf| leaf.path.leaf() == "redundant-role" && leaf.value.is_some());
    roles.filter_map(|leaf| leaf.path.key("component", "name")).collect()
}

fn code(error: &Error) -> &'static str {
    error.code().map_or("no status", crate::error::code_name)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Any,
    Keyless,
    Each,
}

/// What the device's refusal tells of how it wants to be asked.
#[derive(Debug, Clone, Copy, Default)]
struct Usual {
    /// By Get.
    get: bool,
    /// With a target in the prefix.
    target: bool,
}

/// Whether a refusal speaks of what a prefix says.
fn wants_target(refusal: &Error) -> bool {
    let said = refusal.message.to_lowercase();
    ["prefix", "target"].iter().any(|word| said.contains(word))
}

/// All ways, by how many things are otherwise than usual.
fn candidates(encodings: &[Encoding], Usual { get, target }: Usual) -> Vec<(Form, Kinds)> {
    let readers = if get { [Reader::Get, Reader::Once] } else { [Reader::Once, Reader::Get] };
    let mut all = Vec::new();
    for (changed_reader, reader) in readers.into_iter().enumerate() {
        for (changed_naming, naming) in [Kinds::Any, Kinds::Each, Kinds::Keyless].into_iter().enumerate() {
            for (changed_origin, origin) in [true, false].into_iter().enumerate() {
                for (changed_encoding, encoding) in encodings.iter().enumerate() {
                    let changes = changed_reader + changed_naming.min(1) + changed_origin + changed_encoding.min(1);
                    all.push((changes, (Form { reader, encoding: *encoding, origin, target }, naming)));
                    if target {
                        // The word may have been about something else.
                        all.push((changes + 1, (Form { reader, encoding: *encoding, origin, target: false }, naming)));
                    }
                }
            }
        }
    }
    all.sort_by_key(|(changes, _)| *changes); // which keeps the order of equals
    all.into_iter().map(|(_, way)| way).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::reading::Reading;
    use crate::gnmi::form::ENCODINGS;

    #[test]
    fn each_way_is_tried_once_the_least_unusual_first() {
        let all = candidates(&ENCODINGS, Usual::default());
        assert_eq!(all.len(), 36);
        let usual = RolesQuery::usual(Encoding::Proto).form;
        assert_eq!(all[0], (usual, Kinds::Any));
        assert_eq!(all[1], (Form { encoding: Encoding::JsonIetf, ..usual }, Kinds::Any));
        assert_eq!(all[2], (Form { encoding: Encoding::Json, ..usual }, Kinds::Any));
        assert_eq!(all[3], (Form { origin: false, ..usual }, Kinds::Any));
        assert!(all.iter().enumerate().all(|(at, way)| !all[..at].contains(way)));
        let get = Usual { get: true, target: false };
        assert_eq!(candidates(&ENCODINGS, get)[0], (Form { reader: Reader::Get, ..usual }, Kinds::Any));
        let target = candidates(&ENCODINGS, Usual { get: false, target: true });
        assert_eq!(target[0], (Form { target: true, ..usual }, Kinds::Any));
        assert!(target.len() == 72 && target.contains(&(usual, Kinds::Any)));
    }

    #[test]
    fn a_search_that_found_nothing_is_not_made_again_at_once() {
        let reading = Reading::default();
        assert!(reading.may_search());
        assert!(!reading.may_search());
        reading.works(RolesQuery::usual(Encoding::Proto));
        assert!(reading.may_search());
    }
}
