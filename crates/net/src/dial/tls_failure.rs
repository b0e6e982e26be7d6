//! What a failed TLS handshake means, and what to try.

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, PeerIncompatible, PeerMisbehaved};

use super::alerts::{self, ClientCertificate, SPOKEN};
use super::certificate::{Certificate, Name, when};
use super::signature::algorithm;
use super::verify::{RSA_BITS, Refusal, Why};
use crate::error::{ConnectFault, Error, Kind, Remedy};

/// The error for a handshake with `host` that failed; `first` are the first bytes that came.
pub fn explain(error: io::Error, host: &str, first: &[u8], client: &ClientCertificate, verified: bool) -> Error {
    let failed = |what: String, hint: &str| fault(ConnectFault::TlsHandshakeFailed, what).hint(hint);
    let explained = match of_tls(&error) {
        Some(rustls::Error::InvalidMessage(what)) if first.first().is_some_and(|byte| (0x14..=0x18).contains(byte)) => {
            failed(format!("the target's TLS cannot be read: {what:?}"), SPOKEN)
        }
        Some(rustls::Error::InvalidMessage(_)) => not_tls(first),
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            match other.0.downcast_ref::<Refusal>() {
                Some(refusal) => untrusted(refusal, host),
                None => fault(ConnectFault::CertificateUntrusted, format!("the target's certificate: {other}")),
            }
        }
        Some(rustls::Error::AlertReceived(alert)) => alerts::refused(*alert, client),
        Some(rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )) => failed(
            "the target speaks neither TLS 1.2 nor 1.3, and holdfast speaks nothing older".to_owned(),
            "allow TLS 1.2 or 1.3 on the device",
        ),
        Some(rustls::Error::PeerIncompatible(what)) => {
            failed(format!("the target and this machine have nothing in common in TLS: {what:?}"), SPOKEN)
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            failed("the target shows no certificate".to_owned(), "give the device a certificate and its key")
        }
        Some(rustls::Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol)) => {
            fault(ConnectFault::NotGrpc, "the target speaks TLS, and no HTTP/2 (ALPN h2) inside".to_owned())
                .hint("check the port: gNMI and gNOI are often on 9339, 6030 or 57400")
        }
        Some(rustls::Error::PeerMisbehaved(what)) => {
            failed(format!("the target does not follow TLS: {what:?}"), "look at what stands between, such as a proxy")
        }
        Some(other) => failed(format!("the TLS handshake failed: {other}"), SPOKEN),
        None if error.kind() == io::ErrorKind::UnexpectedEof && !first.is_empty() && client.asked && !client.given => {
            fault(ConnectFault::Unreachable, "the target closes the connection in the TLS handshake".to_owned())
                .hint("it asked for a certificate of ours, and got none")
                .remedy(Remedy::ClientCertificate)
        }
        None => {
            let what = format!("the TLS handshake failed: {}", cut_off(&error));
            let hint = if verified || first.is_empty() {
                "is this the device's gRPC port, does it speak TLS 1.2 or 1.3, or is it plaintext that it serves?"
            } else {
                "is this the device's gRPC port, and does it speak TLS 1.2 or 1.3?"
            };
            fault(ConnectFault::Unreachable, what).hint(hint)
        }
    };
    explained.caused_by(Arc::new(error))
}

fn of_tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The alert with which the target ended a connection, if that is what an error came from.
pub fn alert(error: &Error) -> Option<AlertDescription> {
    let failure = error.source.as_deref()? as &(dyn std::error::Error + 'static);
    match of_tls(failure.downcast_ref()?)? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn cut_off(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the target closes the connection".to_owned(),
        _ => error.to_string(),
    }
}

fn fault(fault: ConnectFault, what: String) -> Error {
    Error::new(Kind::Connect(fault), what)
}

/// An answer that is no TLS at all.
fn not_tls(first: &[u8]) -> Error {
    let what = match first {
        [b'H', b'T', b'T', b'P', b'/', ..] => "HTTP/1 in plaintext".to_owned(),
        [_, _, _, 4, _, 0, 0, 0, 0, ..] => "HTTP/2 in plaintext".to_owned(),
        [b'S', b'S', b'H', b'-', ..] => {
            return fault(ConnectFault::NotGrpc, "the target answers TLS with SSH".to_owned())
                .hint("check the port: gNMI and gNOI are often on 9339, 6030 or 57400");
        }
        _ => "something else".to_owned(),
    };
    fault(ConnectFault::PlaintextExpected, format!("the target answers TLS with {what}"))
        .hint("check the port, or ask for plaintext if that is what it serves")
        .remedy(Remedy::Plaintext)
}

fn untrusted(refusal: &Refusal, host: &str) -> Error {
    use ConnectFault::{CertificateExpired, CertificateForAnotherName, CertificateNotYetValid, CertificateUntrusted};
    let shown = Certificate::read(&refusal.shown);
    let why = match &refusal.why {
        Why::Certificate(why) => why,
        Why::KeyNotHeld => {
            return fault(
                CertificateUntrusted,
                "whoever answers does not have the key of the certificate that it shows".to_owned(),
            )
            .hint("look at the device's certificate and key, and at who stands between");
        }
        Why::KeyUnchecked(why) => {
            let what = format!("whether the target has the key of its certificate cannot be checked: {why}");
            return fault(CertificateUntrusted, what)
                .hint("give the device a key of another kind, or trust whoever answers")
                .remedy(Remedy::SkipVerify);
        }
    };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            fault(CertificateExpired, dated(shown.as_ref(), why, "has expired", |(_, until)| until))
                .hint("renew it on the device, check both clocks, or trust it all the same")
                .remedy(Remedy::SkipVerify)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            fault(CertificateNotYetValid, dated(shown.as_ref(), why, "is not valid yet", |(from, _)| from))
                .hint("check the device's clock and this machine's, or trust it all the same")
                .remedy(Remedy::SkipVerify)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            for_another_name(shown.as_ref(), host, CertificateForAnotherName)
        }
        CertificateError::UnknownIssuer => unknown_issuer(shown.as_ref(), &refusal.signers),
        CertificateError::BadSignature => {
            if let Some(what) = short_key(&refusal.signers) {
                return not_checked(&what);
            }
            let what = format!("the signature of the target's certificate is wrong{}", issued(shown.as_ref()));
            fault(CertificateUntrusted, what)
                .hint("another signer of the same name made it: give the certificate of the one who did")
                .remedy(Remedy::CertificateAuthority)
        }
        other => odd(other, shown.as_ref()),
    }
}

/// Who has the certificate on the way to the target's signer that is out of date, if it is not the target's own.
fn dated(shown: Option<&Certificate<'_>>, why: &CertificateError, what: &str, which: fn((i64, i64)) -> i64) -> String {
    let limit = match why {
        CertificateError::ExpiredContext { not_after, .. } => i64::try_from(not_after.as_secs()).ok(),
        CertificateError::NotValidYetContext { not_before, .. } => i64::try_from(not_before.as_secs()).ok(),
        _ => None,
    };
    let own = shown.map(|certificate| which(certificate.validity()));
    match (limit, own) {
        (Some(limit), Some(own)) if limit != own => {
            format!("a certificate between the target's and its signer's {what}: {}", when(limit))
        }
        (Some(limit), _) | (None, Some(limit)) => format!("the target's certificate {what}: {}", when(limit)),
        (None, None) => format!("the target's certificate {what}"),
    }
}

fn for_another_name(shown: Option<&Certificate<'_>>, host: &str, kind: ConnectFault) -> Error {
    let names = shown.map(Certificate::names).unwrap_or_default();
    if names.is_empty() {
        let subject = shown.map_or_else(String::new, |it| format!(" (its subject is {})", it.subject()));
        let what = format!(
            "the target's certificate is for no name at all: it has no DNS name and no IP address as a subject \
             alternative name (SAN), and a common name does not count{subject}"
        );
        return fault(kind, what)
            .hint("give the device a certificate with a SAN, or trust this very certificate by its file")
            .remedy(Remedy::PinCertificate);
    }
    let listed = shown.map(Certificate::names_in_words).unwrap_or_default();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let as_text = is_address && names.iter().any(|name| matches!(name, Name::Dns(name) if name == host));
    let error = fault(kind, format!("the target's certificate is not for {host:?}, but for: {listed}"));
    if as_text {
        return error
            .hint(
                "it has the address as a DNS name, which counts for nothing: give it a SAN of the kind IP address, or \
                   say another of its names",
            )
            .remedy(Remedy::ServerName);
    }
    let wide = |name: &Name| matches!(name, Name::Dns(name) if name.starts_with("*.") && !name[2..].contains('.'));
    if names.iter().any(wide) {
        return error
            .hint("a wildcard needs two labels behind it and stands for one before them: say another of its names")
            .remedy(Remedy::ServerName);
    }
    error.hint("reach it by a name that is in its certificate, or say which one").remedy(Remedy::ServerName)
}

/// The signer whose key is too short for the library to check anything with.
fn short_key(signers: &[CertificateDer<'static>]) -> Option<String> {
    signers.iter().filter_map(|der| Certificate::read(der)).find_map(|signer| {
        let bits = signer.rsa_bits().filter(|bits| *bits < RSA_BITS)?;
        Some(format!("the RSA key of {} has {bits} bits, and fewer than {RSA_BITS} are not taken", signer.subject()))
    })
}

/// A signature that may be right, and that the library cannot check.
fn not_checked(what: &str) -> Error {
    let what = format!("whether the target's certificate is signed as it says cannot be checked: {what}");
    fault(ConnectFault::CertificateUntrusted, what)
        .hint("have it signed in another way, or trust this very certificate by its file")
        .remedy(Remedy::PinCertificate)
}

fn issued(shown: Option<&Certificate<'_>>) -> String {
    shown.map_or_else(String::new, |certificate| format!(" (signed by {})", certificate.issuer()))
}

fn unknown_issuer(shown: Option<&Certificate<'_>>, signers: &[CertificateDer<'static>]) -> Error {
    if shown.is_some_and(Certificate::is_self_issued) {
        return self_signed(shown);
    }
    let signs_none = |signer: &Certificate<'_>| signer.says_authority() == Some(false);
    if let Some(signer) = signers.iter().filter_map(|der| Certificate::read(der)).find(signs_none) {
        let what = format!(
            "the target's certificate is signed by {}, whose own certificate says that it signs nobody (CA:FALSE)",
            signer.subject()
        );
        return fault(ConnectFault::CertificateUntrusted, what)
            .hint("make the signer's certificate anew with CA:TRUE, or trust the target's very certificate by its file")
            .remedy(Remedy::PinCertificate);
    }
    let what = format!("nobody that is trusted signed the target's certificate{}", issued(shown));
    fault(ConnectFault::CertificateUntrusted, what)
        .hint("give the certificate of who signed it")
        .remedy(Remedy::CertificateAuthority)
}

fn self_signed(shown: Option<&Certificate<'_>>) -> Error {
    let subject = shown.map_or_else(String::new, |certificate| format!(" ({})", certificate.subject()));
    let what = format!("nobody that is trusted signed the target's certificate: it signed it itself{subject}");
    fault(ConnectFault::CertificateUntrusted, what)
        .hint("give that very certificate as one that is trusted")
        .remedy(Remedy::CertificateAuthority)
}

/// What webpki does not take of a certificate that somebody else may.
fn odd(why: &CertificateError, shown: Option<&Certificate<'_>>) -> Error {
    let inner = match why {
        CertificateError::Other(other) => other.0.downcast_ref::<webpki::Error>(),
        _ => None,
    };
    if matches!(inner, Some(webpki::Error::CaUsedAsEndEntity)) && shown.is_some_and(Certificate::is_self_issued) {
        return self_signed(shown);
    }
    let what = match (why, inner) {
        (CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. }, _) => {
            return not_checked(&format!("it is signed by {}", algorithm(signature_algorithm_id)));
        }
        (
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id,
                public_key_algorithm_id,
            },
            _,
        ) => {
            let (signature, key) = (algorithm(signature_algorithm_id), algorithm(public_key_algorithm_id));
            return not_checked(&format!("it is signed by {signature} with a key of {key}"));
        }
        (_, Some(webpki::Error::UnsupportedCriticalExtension)) => strange_extension(shown),
        (_, Some(webpki::Error::CaUsedAsEndEntity)) => "it is a signer's (CA:TRUE), and no device's".to_owned(),
        (_, Some(webpki::Error::UnsupportedCertVersion)) => "it is no X.509 of version 3".to_owned(),
        (_, Some(other)) => format!("{other:?}"),
        (CertificateError::BadEncoding, _) => "it cannot be read, or is of an X.509 older than version 3".to_owned(),
        (CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }, _) => {
            "it is for another purpose than a server's (extended key usage)".to_owned()
        }
        (other, None) => other.to_string(),
    };
    fault(ConnectFault::CertificateUntrusted, format!("the target's certificate is not to be trusted: {what}"))
        .hint("give the device another, or trust this very certificate by its file")
        .remedy(Remedy::PinCertificate)
}

fn strange_extension(shown: Option<&Certificate<'_>>) -> String {
    let listed = shown.map(Certificate::not_understood).unwrap_or_default();
    if listed.is_empty() {
        return "one that leads to its signer has a critical extension that is not understood here".to_owned();
    }
    format!("it has what must be understood (a critical extension) and is not here: {}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_a_handshake_is_kept() {
        let alert_came = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        let failed = io::Error::new(io::ErrorKind::InvalidData, alert_came);
        let error = explain(failed, "r7", &[], &ClientCertificate::default(), true);
        assert_eq!(alert(&error), Some(AlertDescription::UnknownCA));
        let cut = explain(io::ErrorKind::ConnectionReset.into(), "r7", &[], &ClientCertificate::default(), true);
        let source = std::error::Error::source(&cut).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!((source.map(io::Error::kind), alert(&cut)), (Some(io::ErrorKind::ConnectionReset), None));
    }
}
