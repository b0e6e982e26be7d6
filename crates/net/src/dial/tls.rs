//! TLS under a connection: the handshake, and what its failures mean.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::{Address, BoxedIo};
use crate::error::{ConnectFault, Error, Kind, Remedy};

static UNVERIFIED: LazyLock<Tls> = LazyLock::new(|| {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default TLS versions")
        .dangerous()
        .with_custom_certificate_verifier(any_certificate())
        .with_no_client_auth();
    Tls::new(config, None, false)
});

/// How a target is trusted, and what it is shown. Its text holds no key.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
    verified: bool,
}

impl Tls {
    /// Of rustls' own configuration; `server_name` stands in for the address' host.
    pub(super) fn new(mut config: ClientConfig, server_name: Option<String>, verified: bool) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { config: Arc::new(config), server_name, verified }
    }

    /// Encrypted, without a look at who answers.
    pub fn unverified() -> Self {
        UNVERIFIED.clone()
    }

    /// Whether the target must prove who it is.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Does the handshake over `io`.
    pub(super) async fn handshake(&self, io: BoxedIo, address: &Address) -> Result<BoxedIo, Error> {
        let host = self.server_name.as_ref().unwrap_or(&address.host);
        let name = ServerName::try_from(host.clone())
            .map_err(|_| Error::invalid(format!("{host:?} cannot be a TLS server name")))?;
        match TlsConnector::from(self.config.clone()).connect(name, io).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(explain(&error, host)),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server_name, verified, .. } = self;
        f.debug_struct("Tls").field("server_name", server_name).field("verified", verified).finish_non_exhaustive()
    }
}

fn explain(error: &io::Error, host: &str) -> Error {
    use ConnectFault::{
        CertificateExpired, CertificateForAnotherName, CertificateNotYetValid, CertificateUntrusted, PlaintextExpected,
        Unreachable,
    };
    let fault = |fault: ConnectFault, what: String, hint: &str| Error::new(Kind::Connect(fault), what).hint(hint);
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => fault(
            PlaintextExpected,
            "the target answers TLS with something else".to_owned(),
            "check the port, or ask for plaintext if that is what it serves",
        )
        .remedy(Remedy::Plaintext),
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => fault(
                CertificateExpired,
                format!("the target's certificate has expired: {why}"),
                "renew it on the device, check both clocks, or trust it all the same",
            )
            .remedy(Remedy::SkipVerify),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => fault(
                CertificateNotYetValid,
                format!("the target's certificate is not valid yet: {why}"),
                "check the device's clock and this machine's, or trust it all the same",
            )
            .remedy(Remedy::SkipVerify),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => fault(
                CertificateForAnotherName,
                format!("the target's certificate is not for {host:?}: {why}"),
                "reach it by a name that is in its certificate, or say which one",
            )
            .remedy(Remedy::ServerName),
            CertificateError::UnknownIssuer | CertificateError::BadSignature => fault(
                CertificateUntrusted,
                "nobody that is trusted signed the target's certificate".to_owned(),
                "give the certificate of who signed it",
            )
            .remedy(Remedy::CertificateAuthority),
            other => fault(
                CertificateUntrusted,
                format!("the target's certificate is not to be trusted: {other}"),
                "look at it: openssl s_client -connect HOST:PORT",
            ),
        },
        Some(rustls::Error::AlertReceived(alert)) => refused(&format!("{alert:?}")),
        _ => Error::new(Kind::Connect(Unreachable), format!("the TLS handshake failed: {error}"))
            .hint("is this the device's gRPC port, and does it speak TLS 1.2 or 1.3?"),
    }
}

fn refused(alert: &str) -> Error {
    Error::new(
        Kind::Connect(ConnectFault::ClientCertificateRefused),
        format!("the target ends the TLS handshake: {alert}"),
    )
    .hint("it wants a client's certificate, or another one")
    .remedy(Remedy::ClientCertificate)
}

/// Since TLS 1.3 a target refuses a client's certificate once the client believes the handshake to be over.
pub(super) fn explain_refusal(error: Error) -> Error {
    match error.message.split_once("received fatal alert: ") {
        Some((_, alert)) => refused(alert),
        None => error,
    }
}

/// Takes whatever certificate comes, if whoever shows it has its key.
pub(super) fn any_certificate() -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyCertificate(Arc::new(ring::default_provider())))
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
