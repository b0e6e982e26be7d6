//! Whether whoever answers is the target: by who signed its certificate, by that very certificate, or not at all.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::certificate::Certificate;

/// What fewer bits of an RSA key the library does not take.
pub const RSA_BITS: usize = 2048;
/// So many certificates are followed from a target's to those that signed it.
const LONGEST_CHAIN: usize = 8;

/// Schemes that the library cannot check. Where nobody is verified they are offered too, so that whoever has such a key
/// answers: P-521, Ed448, SHA-1, RSA-PSS keys, Brainpool.
const UNCHECKED_SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED448,
    SignatureScheme::Unknown(0x0809),
    SignatureScheme::Unknown(0x080a),
    SignatureScheme::Unknown(0x080b),
    SignatureScheme::Unknown(0x081a),
    SignatureScheme::Unknown(0x081b),
    SignatureScheme::Unknown(0x081c),
    SignatureScheme::RSA_PKCS1_SHA1,
    SignatureScheme::ECDSA_SHA1_Legacy,
];

/// Why a target is not trusted, with the certificate that it showed.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// What is wrong.
    pub why: Why,
    /// As DER.
    pub shown: CertificateDer<'static>,
    /// Of whom it says that they signed it, and of whom those do, as far as they were named or shown too.
    pub signers: Vec<CertificateDer<'static>>,
}

/// What is wrong with whoever answers.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// Its certificate.
    #[error("{0}")]
    Certificate(CertificateError),
    /// It signs the key exchange, and not with the key of its certificate.
    #[error("the signature of the key exchange is not by the certificate's key")]
    KeyNotHeld,
    /// The library cannot check how it signs the key exchange.
    #[error("the signature of the key exchange cannot be checked: {0}")]
    KeyUnchecked(String),
}

impl Refusal {
    fn error(why: Why, shown: &CertificateDer<'_>) -> rustls::Error {
        Self::signed_by(Vec::new(), why, shown)
    }

    fn signed_by(signers: Vec<CertificateDer<'static>>, why: Why, shown: &CertificateDer<'_>) -> rustls::Error {
        let refusal = Self { why, shown: shown.clone().into_owned(), signers };
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// Trusts those whom named certificates signed, and who shows one of the named certificates itself.
pub struct Named {
    certificates: Vec<CertificateDer<'static>>,
    /// None where none of them signs others.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Named {
    /// Of certificates that can be read.
    pub fn new(certificates: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        // Who pins a device's certificate does not trust whatever the device signs.
        let signs =
            |der: &CertificateDer<'_>| Certificate::read(der).is_some_and(|it| it.says_authority() != Some(false));
        roots.add_parsable_certificates(certificates.iter().filter(|der| signs(der)).cloned());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok();
        Self { certificates, authorities, provider }
    }

    fn explained(
        &self,
        checked: Result<HandshakeSignatureValid, rustls::Error>,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // rustls takes only certificates that it can read; one that was named needs no more than its key to be read.
        checked.or_else(|_| match check_key_exchange(&self.provider, message, shown, signed) {
            Checked::Good => Ok(HandshakeSignatureValid::assertion()),
            Checked::Wrong => Err(Refusal::error(Why::KeyNotHeld, shown)),
            Checked::Not(why) => Err(Refusal::error(Why::KeyUnchecked(why), shown)),
        })
    }
}

/// Of whom a certificate says that they signed it, one after the other, as far as they are among `known`.
fn signers(shown: &CertificateDer<'_>, known: &[&CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
    let mut found: Vec<CertificateDer<'static>> = Vec::new();
    let mut last = shown.clone().into_owned();
    while found.len() < LONGEST_CHAIN {
        let signs = |der: &&&CertificateDer<'_>| {
            Certificate::read(&last).zip(Certificate::read(der)).is_some_and(|(of, by)| of.is_issued_by(&by))
        };
        let Some(next) = known.iter().find(signs).map(|der| (**der).clone().into_owned()) else { break };
        if next == last || found.contains(&next) {
            break;
        }
        found.push(next.clone());
        last = next;
    }
    found
}

/// Whether a certificate that was named itself is valid now, and for the name, if it is for any.
fn verify_named(shown: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let certificate = Certificate::read(shown).ok_or(CertificateError::BadEncoding)?;
    let (not_before, not_after) = certificate.validity();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let time =
        |seconds: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds.try_into().unwrap_or(0)));
    if seconds > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after: time(not_after) });
    }
    if seconds < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before: time(not_before) });
    }
    let names = certificate.names();
    if names.is_empty() {
        return Ok(()); // it can be for no name, and it is the one that was named
    }
    let for_name = match webpki::EndEntityCert::try_from(shown) {
        Ok(read) => read.verify_is_valid_for_subject_name(name).is_ok(),
        Err(_) => names.iter().any(|each| each.is(name)),
    };
    if for_name { Ok(()) } else { Err(CertificateError::NotValidForName) }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("certificates", &self.certificates.len()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = if self.certificates.contains(shown) {
            verify_named(shown, name, now)
        } else {
            match &self.authorities {
                None => Err(CertificateError::UnknownIssuer),
                Some(authorities) => match authorities.verify_server_cert(shown, between, name, ocsp, now) {
                    Err(rustls::Error::InvalidCertificate(why)) => Err(why),
                    other => return other,
                },
            }
        };
        verified.map(|()| ServerCertVerified::assertion()).map_err(|why| {
            let known: Vec<_> = self.certificates.iter().chain(between).collect();
            Refusal::signed_by(signers(shown, &known), Why::Certificate(why), shown)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.explained(verify_tls12_signature(message, shown, signed, algorithms), message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !is_of_tls13(signed.scheme) {
            return Err(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        self.explained(verify_tls13_signature(message, shown, signed, algorithms), message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Trusts whoever answers, whatever the certificate. That it has the key of what it shows is checked where that can be.
#[derive(Debug)]
pub struct Anybody {
    provider: Arc<CryptoProvider>,
    unchecked: Arc<OnceLock<String>>,
}

impl Anybody {
    /// Says in `unchecked` why the first signature could not be checked that could not.
    pub fn new(provider: Arc<CryptoProvider>, unchecked: Arc<OnceLock<String>>) -> Self {
        Self { provider, unchecked }
    }

    fn check(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match check_key_exchange(&self.provider, message, shown, signed) {
            Checked::Good => {}
            Checked::Wrong => return Err(Refusal::error(Why::KeyNotHeld, shown)),
            Checked::Not(why) => {
                let _ = self.unchecked.set(why); // the first is told
            }
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        schemes.extend(UNCHECKED_SCHEMES);
        schemes
    }
}

enum Checked {
    Good,
    Wrong,
    /// It could not be, and why.
    Not(String),
}

/// Whether the key of a certificate, of whatever version and however odd, signed the key exchange.
fn check_key_exchange(
    provider: &CryptoProvider,
    message: &[u8],
    shown: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Checked {
    let Some(certificate) = Certificate::read(shown) else {
        return Checked::Not("its certificate cannot be read".to_owned());
    };
    if let Some(bits) = certificate.rsa_bits().filter(|bits| *bits < RSA_BITS) {
        return Checked::Not(format!("its RSA key has {bits} bits, and fewer than {RSA_BITS} are not checked"));
    }
    let mapping = provider.signature_verification_algorithms.mapping;
    let Some((_, algorithms)) = mapping.iter().find(|(scheme, _)| *scheme == signed.scheme) else {
        return Checked::Not(format!("it is of a kind that is not checked ({})", scheme_name(signed.scheme)));
    };
    let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
    let Ok(key) = webpki::RawPublicKeyEntity::try_from(&key) else {
        return Checked::Not("its key cannot be read".to_owned());
    };
    for algorithm in *algorithms {
        match key.verify_signature(*algorithm, message, signed.signature()) {
            Ok(()) => return Checked::Good,
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
            Err(_) => return Checked::Wrong,
        }
    }
    Checked::Not(format!("its key is of a kind that is not checked ({})", scheme_name(signed.scheme)))
}

fn scheme_name(scheme: SignatureScheme) -> String {
    match scheme {
        SignatureScheme::Unknown(number) => format!("scheme 0x{number:04x}"),
        named => format!("{named:?}"),
    }
}

/// TLS 1.3 signs the handshake with neither SHA-1 nor PKCS #1.
fn is_of_tls13(scheme: SignatureScheme) -> bool {
    use SignatureScheme::{ECDSA_SHA1_Legacy, RSA_PKCS1_SHA1, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
    !matches!(scheme, ECDSA_SHA1_Legacy | RSA_PKCS1_SHA1 | RSA_PKCS1_SHA256 | RSA_PKCS1_SHA384 | RSA_PKCS1_SHA512)
}
