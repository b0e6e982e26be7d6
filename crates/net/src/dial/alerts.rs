//! Why a target ends a TLS handshake: each alert by the name and number that IANA gives it, and what helps.

use std::fmt;

use rustls::AlertDescription;

use crate::error::{ConnectFault, Error, Kind, Remedy};

/// What an alert is about.
#[derive(Clone, Copy)]
enum About {
    /// Our certificate, or that there is none.
    OurCertificate,
    /// Ciphers, curves, kinds of keys.
    Terms,
    /// The version of TLS.
    Version,
    /// The name that was asked for.
    Name,
    /// What is spoken inside.
    Protocol,
    /// Trouble of the target's own, which may pass.
    Passing,
    /// A message that the target does not take.
    Message,
}

use About::{Message, Name, OurCertificate, Passing, Protocol, Terms, Version};

/// Of <https://www.iana.org/assignments/tls-parameters>, and what each means to us.
const ALERTS: [(u8, &str, About, &str); 36] = [
    (0, "close_notify", Passing, "it wants no connection now"),
    (10, "unexpected_message", Message, "a message came that it did not expect"),
    (20, "bad_record_mac", Message, "a record came to it that something changed on the way"),
    (21, "decryption_failed", Message, "a record came to it that it cannot decrypt"),
    (22, "record_overflow", Message, "a record came to it that is too long"),
    (30, "decompression_failure", Message, "it cannot unpack what came"),
    (40, "handshake_failure", Terms, "it has no cipher suite, curve or kind of key in common with this machine"),
    (41, "no_certificate", OurCertificate, "it wants a certificate of ours, and got none"),
    (42, "bad_certificate", OurCertificate, "it finds our certificate bad"),
    (43, "unsupported_certificate", OurCertificate, "our certificate is of a kind that it does not take"),
    (44, "certificate_revoked", OurCertificate, "our certificate has been revoked"),
    (45, "certificate_expired", OurCertificate, "our certificate has expired, or is not valid yet by its clock"),
    (46, "certificate_unknown", OurCertificate, "it does not take our certificate, and does not say why"),
    (47, "illegal_parameter", Message, "a value came that it does not take"),
    (48, "unknown_ca", OurCertificate, "it does not know who signed our certificate"),
    (49, "access_denied", OurCertificate, "it knows our certificate and does not let it in"),
    (50, "decode_error", Message, "a message came that it cannot read"),
    (51, "decrypt_error", Message, "a signature or a key exchange is wrong for it"),
    (60, "export_restriction", Terms, "it speaks the weak ciphers of long ago only"),
    (70, "protocol_version", Version, "it speaks neither TLS 1.2 nor 1.3, and holdfast speaks nothing older"),
    (71, "insufficient_security", Terms, "it wants stronger ciphers than this machine has"),
    (80, "internal_error", Passing, "it has trouble of its own"),
    (86, "inappropriate_fallback", Version, "it takes this for a fallback to an older version"),
    (90, "user_canceled", Passing, "somebody there cancelled it"),
    (100, "no_renegotiation", Message, "it does not negotiate anew"),
    (109, "missing_extension", Message, "it misses an extension"),
    (110, "unsupported_extension", Message, "an extension came that it does not take"),
    (111, "certificate_unobtainable", OurCertificate, "it cannot fetch our certificate"),
    (112, "unrecognized_name", Name, "it does not know the name that it was asked for"),
    (113, "bad_certificate_status_response", Message, "it does not take the status of a certificate"),
    (114, "bad_certificate_hash_value", OurCertificate, "our certificate is not the one of its hash"),
    (115, "unknown_psk_identity", Terms, "it wants a key that is shared beforehand"),
    (116, "certificate_required", OurCertificate, "it wants a certificate of ours, and got none"),
    (117, "general_error", Passing, "it has trouble of its own"),
    (120, "no_application_protocol", Protocol, "it speaks no HTTP/2 (ALPN h2) on this port"),
    (121, "ech_required", Terms, "it wants an encrypted hello"),
];

/// What this machine can do, for whoever must make a device meet it.
pub const SPOKEN: &str = "holdfast speaks TLS 1.3 and TLS 1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305, on X25519, P-256 \
     and P-384, and checks keys of RSA from 2048 bits on, ECDSA on P-256 and P-384, and Ed25519: allow one of those on \
     the device; openssl s_client -connect HOST:PORT shows what it has";

/// What is known of the client's certificate in a handshake.
#[derive(Debug, Clone, Default)]
pub struct ClientCertificate {
    /// Whether the target asked for one.
    pub asked: bool,
    /// Whether there is one to show.
    pub given: bool,
    /// Whose signatures the target said it takes.
    pub signers: Vec<String>,
}

/// The error for an alert that the target sent.
pub fn refused(alert: AlertDescription, client: &ClientCertificate) -> Error {
    let number = u8::from(alert);
    let known = ALERTS.iter().find(|(each, ..)| *each == number);
    let (name, about, words) = known
        .map_or(("unknown alert", Message, "it does not say why"), |(_, name, about, words)| (*name, *about, *words));
    let error = |fault: ConnectFault, words: &dyn fmt::Display| {
        Error::new(Kind::Connect(fault), format!("the target ends the TLS handshake with {name} ({number}): {words}"))
    };
    let failed = ConnectFault::TlsHandshakeFailed;
    match about {
        OurCertificate if client.asked => about_ours(error(ConnectFault::ClientCertificateRefused, &words), client),
        OurCertificate => error(failed, &"it speaks of a certificate of ours, and did not ask for one")
            .hint("look at the device's own certificate and key, and at its log"),
        // Before TLS 1.3 that is the word for a missing certificate too.
        Terms if client.asked && !client.given => {
            let what = "it wants a certificate of ours, and got none";
            about_ours(error(ConnectFault::ClientCertificateRefused, &what), client)
        }
        Terms => error(failed, &words).hint(SPOKEN),
        Version => error(failed, &words).hint("allow TLS 1.2 or 1.3 on the device"),
        Name => error(failed, &words).hint("say which name it serves").remedy(Remedy::ServerName),
        Protocol => {
            error(ConnectFault::NotGrpc, &words).hint("check the port: gNMI and gNOI are often on 9339, 6030 or 57400")
        }
        Passing => error(ConnectFault::Unreachable, &words).hint("look at the device's log"),
        Message => error(failed, &words).hint("look at the device's log, and at what stands between"),
    }
}

fn about_ours(error: Error, client: &ClientCertificate) -> Error {
    let signed = match client.signers.as_slice() {
        [] => String::new(),
        signers => format!(" that one of these signed: {}", signers.join("; ")),
    };
    let hint = if client.given { "give another certificate" } else { "give a certificate" };
    error.hint(format!("{hint}{signed}")).remedy(Remedy::ClientCertificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(number: u8, asked: bool, given: bool) -> ConnectFault {
        let client = ClientCertificate { asked, given, signers: Vec::new() };
        match refused(AlertDescription::from(number), &client).kind {
            Kind::Connect(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_alert_is_of_our_certificate_only_where_one_was_asked_for() {
        use ConnectFault::{ClientCertificateRefused, NotGrpc, TlsHandshakeFailed, Unreachable};
        for (number, asked, given, fault) in [
            (40, false, false, TlsHandshakeFailed),
            (40, true, false, ClientCertificateRefused),
            (40, true, true, TlsHandshakeFailed),
            (42, true, true, ClientCertificateRefused),
            (42, false, false, TlsHandshakeFailed),
            (48, true, true, ClientCertificateRefused),
            (70, true, true, TlsHandshakeFailed),
            (80, false, false, Unreachable),
            (116, true, false, ClientCertificateRefused),
            (120, false, false, NotGrpc),
            (250, false, false, TlsHandshakeFailed),
        ] {
            assert_eq!(kind(number, asked, given), fault, "{number}");
        }
    }

    #[test]
    fn every_alert_has_its_name_and_what_to_try() {
        for (number, name, ..) in ALERTS {
            for client in [false, true].map(|asked| ClientCertificate { asked, ..ClientCertificate::default() }) {
                let error = refused(AlertDescription::from(number), &client);
                assert!(error.message.contains(&format!("{name} ({number})")), "{error}");
                assert!(error.hint.is_some(), "{error}");
            }
        }
        let unknown = refused(AlertDescription::from(99), &ClientCertificate::default());
        assert!(unknown.message.contains("unknown alert (99)"), "{unknown}");
    }

    #[test]
    fn every_alert_of_rustls_is_in_the_table() {
        for number in 0..=u8::MAX {
            let named = !matches!(AlertDescription::from(number), AlertDescription::Unknown(_));
            assert!(!named || ALERTS.iter().any(|(each, ..)| *each == number), "{number}");
        }
    }

    #[test]
    fn it_is_said_whose_signatures_are_taken() {
        let client = ClientCertificate { asked: true, given: false, signers: vec!["CN=Lab".to_owned()] };
        let error = refused(AlertDescription::CertificateRequired, &client);
        assert_eq!(error.hint.as_deref(), Some("give a certificate that one of these signed: CN=Lab"));
    }
}
