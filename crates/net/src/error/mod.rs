//! What can go wrong, where, after how long, and what to try: one error type for the whole toolkit.

mod status;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::path::PathError;
use tonic::{Code, Status};

use self::status::is_ours;
pub use self::status::{
    broken_off, code_by_name, code_name, is_broken_off, is_not_up_yet, is_of_something_between, is_throttled,
    is_unreadable, of_something_between, too_much, unreadable,
};
pub use crate::remedy::Remedy;

/// The result of anything that talks to a device or reads an archive.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of thing went wrong. Python has an exception for each (`python/errors.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No session with the target could be made.
    Connect(ConnectFault),
    /// The device answered an RPC with this status.
    Status(Code),
    /// A request left this machine and its answer never came.
    OutcomeUnknown,
    /// A deadline passed.
    Timeout,
    /// An archive is not what it should be, or a file of ours could not be read or written.
    Image,
    /// A switchover did not do what it must.
    Switchover(SwitchoverFault),
    /// A reboot did not do what it must.
    Reboot(RebootFault),
    /// The control processors are not as a test needs them.
    Roles,
    /// Something expected of the device did not hold.
    Expectation,
    /// The caller asked for something that makes no sense.
    Invalid,
    /// Trouble of what a test itself stands on: a tool of its lab, an engine, its own files. It says nothing of who is
    /// tested.
    Lab,
    /// Who schedules tasks did not do its part, and whoever is tested was not asked for anything.
    Scheduler,
}

/// Why no session could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFault {
    /// The name does not resolve.
    UnknownHost,
    /// Nothing listens, or nothing answers.
    Unreachable,
    /// Something listens that does not speak HTTP/2.
    NotGrpc,
    /// Plaintext was asked for and the target answers with TLS.
    TlsExpected,
    /// TLS was asked for and the target answers in plaintext.
    PlaintextExpected,
    /// The target's certificate has expired.
    CertificateExpired,
    /// The target's certificate is not valid yet.
    CertificateNotYetValid,
    /// The target's certificate is for another name.
    CertificateForAnotherName,
    /// Nobody that is trusted signed the target's certificate.
    CertificateUntrusted,
    /// The target wants a certificate of ours, or another than it got.
    ClientCertificateRefused,
    /// The target and this machine have no version of TLS, cipher or protocol in common, or one of them does not follow
    /// TLS.
    TlsHandshakeFailed,
    /// The proxy on the way does not let us through.
    ProxyRefused,
    /// The proxy on the way is not there.
    ProxyUnreachable,
}

/// The ways a switchover fails, each with its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwitchoverFault {
    /// The standby never became ready, so none was asked for.
    NotReady,
    /// The device answered with an error.
    Refused,
    /// The device does not serve the RPC.
    Unimplemented,
    /// Answered with success; roles and everything else stayed as they were.
    Ignored,
    /// Roles swapped and then swapped back.
    Reversed,
    /// Roles are reported swapped and no second witness agrees.
    Unproven,
    /// The new primary did not serve in time.
    NeverBack,
    /// The old primary did not come back in step in time.
    NeverRedundant,
}

/// The ways a reboot fails, each with its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebootFault {
    /// The device answered with an error.
    Refused,
    /// The device does not serve the RPC.
    Unimplemented,
    /// Answered with success and nothing rebooted.
    Ignored,
    /// Some control processors rebooted and others did not.
    Partial,
    /// The device did not serve again in time.
    NeverBack,
}

impl SwitchoverFault {
    /// Whether the switchover that the plan's procedure asks for did not happen, so that nothing can be looked at "on
    /// the new primary". It did happen, as far as the plan looks, where the roles are reported swapped and only our
    /// second witness is missing, and where only the old primary is not back.
    pub fn fails_procedure(self) -> bool {
        !matches!(self, Self::Unproven | Self::NeverRedundant)
    }
}

impl RebootFault {
    /// As for switchovers: a chassis that rebooted with all but one control processor did reboot, as far as the plan
    /// looks.
    pub fn fails_procedure(self) -> bool {
        self != Self::Partial
    }
}

/// What kind of thing a device was asked about by name, where it answers that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An image.
    Image,
    /// A container instance.
    Container,
    /// A volume.
    Volume,
    /// A plugin, or its tar.
    Plugin,
}

impl Subject {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Container => "container",
            Self::Volume => "volume",
            Self::Plugin => "plugin",
        }
    }
}

/// One failure: its kind, the device and operation it befell, how long that took, and what to try.
#[derive(Debug, Clone)]
pub struct Error {
    /// What kind of failure.
    pub kind: Kind,
    /// What happened, in words, without the device and the operation.
    pub message: String,
    /// The target's name, when one was involved.
    pub device: Option<Box<str>>,
    /// Where it was dialled, when that is what failed.
    pub address: Option<Arc<String>>,
    /// The RPC or step, such as `Containerz.StartContainer`.
    pub operation: Option<Box<str>>,
    /// Of `NOT_FOUND`, what kind of thing is not there, where the call tells.
    pub subject: Option<Subject>,
    /// From the start of the operation to the failure.
    pub after: Option<Duration>,
    /// What the user may try, in words that name no option of any front end.
    pub hint: Option<String>,
    /// What the user may set otherwise; where there is a hint, it leads up to this.
    pub remedy: Option<Remedy>,
    /// What it came from: the device's status, or what this machine, TLS or HTTP/2 said.
    pub source: Option<Source>,
}

/// What an error came from.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

// By hand, since thiserror would give the `Arc` for what is in it, which nobody could then tell by its type.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl Error {
    /// A failure of `kind` that says `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            device: None,
            address: None,
            operation: None,
            subject: None,
            after: None,
            hint: None,
            remedy: None,
            source: None,
        }
    }

    /// A bad argument.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// A bad archive or file.
    pub fn image(message: impl Into<String>) -> Self {
        Self::new(Kind::Image, message)
    }

    /// Trouble of what the test itself stands on.
    pub fn lab(message: impl Into<String>) -> Self {
        Self::new(Kind::Lab, message)
    }

    /// The same, of something that this machine would not do.
    pub fn lab_io(what: impl fmt::Display, source: std::io::Error) -> Self {
        Self::lab(format!("{what}: {source}")).caused_by(Arc::new(source))
    }

    /// The same failure, known to be of what the test itself stands on.
    #[must_use]
    pub fn of_lab(self) -> Self {
        Self { kind: Kind::Lab, ..self }
    }

    /// What a device answered.
    pub fn from_status(status: &Status) -> Self {
        let error = Self::new(Kind::Status(status.code()), status.message()).caused_by(Arc::new(status.clone()));
        match status.code() {
            Code::Unauthenticated => error.remedy(Remedy::Credentials),
            Code::PermissionDenied => error.hint("the user may log in but not do this: give it the right to"),
            Code::Unimplemented => {
                error.hint("the device does not serve this RPC: enable the service, or leave this out")
            }
            _ if is_unreadable(status) => {
                error.hint("look at what stands between, such as a proxy; else report it to who makes the server")
            }
            _ => error,
        }
    }

    /// Adds what it came from.
    #[must_use]
    pub fn caused_by(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Adds where it was dialled.
    #[must_use]
    pub fn at(mut self, address: impl fmt::Display) -> Self {
        self.address = Some(Arc::new(address.to_string()));
        self
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to set otherwise.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// Of `NOT_FOUND`, adds what kind of thing is not there; where an inner step said already, that stays.
    #[must_use]
    pub fn missing(mut self, subject: Subject) -> Self {
        if self.code() == Some(Code::NotFound) {
            self.subject.get_or_insert(subject);
        }
        self
    }

    /// Adds where and after how long. Where an inner step said already stays; the time is that of the longest, which is
    /// what the caller waited.
    #[must_use]
    pub fn during(mut self, device: &str, operation: &str, after: Duration) -> Self {
        self.device.get_or_insert_with(|| device.into());
        self.operation.get_or_insert_with(|| operation.into());
        self.after = self.after.max(Some(after));
        self
    }

    /// The status the device answered with, if it did.
    pub fn code(&self) -> Option<Code> {
        match self.kind {
            Kind::Status(code) => Some(code),
            _ => None,
        }
    }
}

/// An error with all that caused it: the outermost alone says little.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_said = inner.to_string();
        if !said.contains(&inner_said) {
            said = format!("{said}: {inner_said}");
        }
        cause = inner.source();
    }
    said
}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        Self::invalid(error.to_string()).hint("write /a/b[key=value]/c, with \\] for a ] in a value")
    }
}

impl Error {
    /// Where it was dialled, unless that is the device's name or the end of it, which is said already.
    fn address_beside_device(&self) -> Option<&str> {
        let device = self.device.as_deref().unwrap_or_default();
        let address = self.address.as_deref()?.as_str();
        let said = device.strip_suffix(address).is_some_and(|before| before.is_empty() || before.ends_with(' '));
        (!said).then_some(address)
    }

    /// The device's own words, as it answered with a status, whatever was made of that.
    pub fn device_message(&self) -> Option<&str> {
        let status = self.source.as_deref()?.downcast_ref::<Status>()?;
        (!is_ours(status)).then(|| status.message())
    }
}

impl Error {
    /// What happened and in which operation: what two failures for one reason have in common, whichever device it was
    /// and however long it took.
    pub fn reason(&self) -> String {
        let operation = self.operation.as_deref().into_iter();
        let code = match self.kind {
            Kind::Status(code) => Some(code_name(code)),
            _ => None,
        };
        let message = if self.message.is_empty() { "no message" } else { &self.message };
        operation.chain(code).chain(self.address_beside_device()).chain([message]).collect::<Vec<_>>().join(": ")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(device) = &self.device {
            write!(f, "{device}: ")?;
        }
        f.write_str(&self.reason())?;
        if let Some(after) = self.after {
            write!(f, " (after {:.2} s)", after.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_that_did_not_happen_fails_the_procedure() {
        use SwitchoverFault::{
            Ignored, NeverBack, NeverRedundant, NotReady, Refused, Reversed, Unimplemented, Unproven,
        };
        for none in [NotReady, Refused, Unimplemented, Ignored, Reversed, NeverBack] {
            assert!(none.fails_procedure(), "{none:?}");
        }
        for happened in [Unproven, NeverRedundant] {
            assert!(!happened.fails_procedure(), "{happened:?}");
        }
        for none in [RebootFault::Refused, RebootFault::Unimplemented, RebootFault::Ignored, RebootFault::NeverBack] {
            assert!(none.fails_procedure(), "{none:?}");
        }
        assert!(!RebootFault::Partial.fails_procedure());
    }

    #[test]
    fn an_error_says_where_what_and_after_how_long() {
        let error = Error::from_status(&Status::not_found("no image x:1")).during(
            "lab-7",
            "Containerz.RemoveImage",
            Duration::from_millis(40),
        );
        assert_eq!(error.to_string(), "lab-7: Containerz.RemoveImage: NOT_FOUND: no image x:1 (after 0.04 s)");
        assert_eq!(error.reason(), "Containerz.RemoveImage: NOT_FOUND: no image x:1");
        assert_eq!(error.code(), Some(Code::NotFound));
    }

    #[test]
    fn only_not_found_says_what_is_not_there_and_the_first_who_knows_says_it() {
        let absent = Error::from_status(&Status::not_found("")).missing(Subject::Volume).missing(Subject::Container);
        assert_eq!(absent.subject.map(Subject::name), Some("volume"));
        assert_eq!(Error::from_status(&Status::internal("")).missing(Subject::Volume).subject, None);
    }

    #[test]
    fn the_address_of_a_device_is_said_once() {
        let refused = |device: &str| {
            let error = Error::new(Kind::Connect(ConnectFault::Unreachable), "Connection refused").at("r1:1");
            error.during(device, "connect", Duration::ZERO).to_string()
        };
        assert_eq!(refused("r1:1"), "r1:1: connect: Connection refused (after 0.00 s)");
        assert_eq!(
            refused("lab container on r1:1"),
            "lab container on r1:1: connect: Connection refused (after 0.00 s)"
        );
        for other in ["lab", "xr1:1", "r1:1 at last"] {
            assert_eq!(refused(other), format!("{other}: connect: r1:1: Connection refused (after 0.00 s)"));
        }
    }

    #[test]
    fn the_words_of_a_device_are_its_own_whatever_is_made_of_them() {
        let said = Error::from_status(&Status::not_found("File.Stat: gone")).during("lab", "File.Stat", Duration::ZERO);
        let refused = Error { kind: Kind::Switchover(SwitchoverFault::Refused), message: "no".into(), ..said.clone() };
        for error in [said, refused] {
            assert_eq!(error.device_message(), Some("File.Stat: gone"));
        }
        assert_eq!(Error::from_status(&unreadable("cut")).device_message(), None);
        assert_eq!(Error::new(Kind::Timeout, "late").device_message(), None);
    }

    #[test]
    fn what_a_device_answered_is_kept_whole() {
        let error = Error::from_status(&Status::with_details(Code::Aborted, "busy", (&b"details"[..]).into()));
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Status>());
        assert_eq!(source.map(Status::details), Some(&b"details"[..]));
    }

    #[test]
    fn an_error_of_the_lab_keeps_what_the_machine_said() {
        let error = Error::lab_io("nsenter", std::io::ErrorKind::NotFound.into());
        assert_eq!((error.kind, error.to_string().as_str()), (Kind::Lab, "nsenter: entity not found"));
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
        assert_eq!(Error::invalid("x").of_lab().kind, Kind::Lab);
    }

    #[test]
    fn an_error_has_its_remedy_beside_its_words() {
        let error = Error::from_status(&Status::unauthenticated("wrong password"));
        assert_eq!((error.remedy, error.hint.as_deref()), (Some(Remedy::Credentials), None));
        assert_eq!(error.during("lab-7", "gNMI.Get", Duration::ZERO).remedy, Some(Remedy::Credentials));
    }

    #[test]
    fn the_time_of_an_error_is_what_the_whole_took() {
        let inner = Error::new(Kind::Timeout, "no answer in time").during("lab-7", "gNMI.Get", Duration::ZERO);
        let outer = inner.during("lab-7", "roles", Duration::from_secs(2));
        assert_eq!(outer.to_string(), "lab-7: gNMI.Get: no answer in time (after 2.00 s)");
        assert_eq!(outer.during("", "", Duration::from_secs(1)).after, Some(Duration::from_secs(2)));
    }
}
