//! TLS under a connection: the handshake, and whom it trusts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::address::without_zone;
use super::alerts::{self, ClientCertificate};
use super::certificate::distinguished_name_of;
use super::tls_failure;
use super::traffic::{Metered, Traffic};
use super::verify::{Anybody, Named};
use super::{Address, BoxedIo};
use crate::error::{ConnectFault, Error, Kind, Remedy};

/// How many signers a target's request is heard out about.
const SIGNERS: usize = 5;

static UNVERIFIED: LazyLock<Tls> =
    LazyLock::new(|| Tls::new(Trusted::Anybody, None, None).expect("ring supports the default TLS versions"));

/// Whom to trust.
pub(super) enum Trusted {
    /// Whoever answers.
    Anybody,
    /// Those whom these certificates signed, and those of whom they are.
    Named(Vec<CertificateDer<'static>>),
}

/// Our certificate, with those that lead to its signer, and its key.
pub(super) type Ours = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// How a target is trusted, and what it is shown. Its text holds no key.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
    verified: bool,
    client: Arc<Client>,
    /// Why a signature of a key exchange went unchecked, once one did.
    unchecked: Arc<OnceLock<String>>,
    /// Whether that was warned of.
    warned: Arc<AtomicBool>,
}

impl Tls {
    /// `server_name` stands in for the address' host. Fails where `ours` do not belong together.
    pub(super) fn new(
        trusted: Trusted,
        ours: Option<Ours>,
        server_name: Option<String>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let unchecked = Arc::<OnceLock<String>>::default();
        let verified = matches!(trusted, Trusted::Named(_));
        let verifier: Arc<dyn ServerCertVerifier> = match trusted {
            Trusted::Anybody => Arc::new(Anybody::new(provider.clone(), unchecked.clone())),
            Trusted::Named(certificates) => Arc::new(Named::new(certificates, provider.clone())),
        };
        let client = Arc::new(Client::new(ours, &provider)?);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(client.clone());
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { config: Arc::new(config), server_name, verified, client, unchecked, warned: Arc::default() })
    }

    /// Encrypted, without a look at who answers.
    pub fn unverified() -> Self {
        UNVERIFIED.clone()
    }

    /// Whether the target must prove who it is.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// For peers that speak HTTP/1.1, and may know no ALPN.
    #[must_use]
    pub fn without_alpn(mut self) -> Self {
        let mut config = (*self.config).clone();
        config.alpn_protocols.clear();
        self.config = Arc::new(config);
        self
    }

    /// Does the handshake over `io`.
    pub async fn handshake(&self, io: BoxedIo, address: &Address) -> Result<BoxedIo, Error> {
        let host = self.server_name.as_deref().map_or_else(|| address.name(), without_zone);
        let name = self.name(host)?;
        let traffic = Traffic::new();
        let connecting = TlsConnector::from(self.config.clone()).connect(name, Metered::new(io, traffic.clone()));
        let stream = connecting.await.map_err(|error| {
            tls_failure::explain(error, host, &traffic.first_bytes(), &self.client.seen(), self.verified)
        })?;
        if let Some(why) = self.unchecked.get()
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "{address}: whoever answers is trusted, and whether it has the key of its certificate is not known: {why}"
            );
        }
        Ok(Box::new(stream))
    }

    /// What the target must be; where nobody is verified, what it is asked for, if that can be asked for.
    fn name(&self, host: &str) -> Result<ServerName<'static>, Error> {
        match ServerName::try_from(host.to_owned()) {
            Ok(name) => Ok(name),
            Err(_) if !self.verified => Ok(ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
            Err(_) => Err(Error::invalid(format!("{host:?} cannot be a TLS server name"))
                .hint("say which name the target's certificate is for")
                .remedy(Remedy::ServerName)),
        }
    }

    /// Since TLS 1.3 a target refuses a client's certificate once the client believes the handshake to be over.
    pub(super) fn explain_refusal(&self, error: Error) -> Error {
        let client = self.client.seen();
        let silent = error.kind == Kind::Connect(ConnectFault::Unreachable);
        match tls_failure::alert(&error) {
            Some(alert) => Error { source: error.source, ..alerts::refused(alert, &client) },
            None if client.asked && !client.given && silent => {
                error.remedy(Remedy::ClientCertificate).hint("it asked for a certificate of ours, and got none")
            }
            None => error,
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server_name, verified, .. } = self;
        f.debug_struct("Tls").field("server_name", server_name).field("verified", verified).finish_non_exhaustive()
    }
}

/// Shows our certificate, and remembers whether any target asked for one.
struct Client {
    ours: Option<SingleCertAndKey>,
    asked: AtomicBool,
    signers: Mutex<Vec<String>>,
}

impl Client {
    fn new(ours: Option<Ours>, provider: &CryptoProvider) -> Result<Self, rustls::Error> {
        let certified = |(chain, key)| CertifiedKey::from_der(chain, key, provider).map(SingleCertAndKey::from);
        Ok(Self { ours: ours.map(certified).transpose()?, asked: AtomicBool::default(), signers: Mutex::default() })
    }

    fn seen(&self) -> ClientCertificate {
        ClientCertificate {
            asked: self.asked.load(Ordering::Acquire),
            given: self.ours.is_some(),
            signers: self.signers.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("given", &self.ours.is_some()).finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Client {
    fn resolve(&self, signers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.signers.lock().unwrap_or_else(PoisonError::into_inner) =
            signers.iter().take(SIGNERS).filter_map(|der| distinguished_name_of(der)).collect();
        self.asked.store(true, Ordering::Release);
        self.ours.as_ref().and_then(|ours| ours.resolve(signers, schemes))
    }

    fn has_certs(&self) -> bool {
        self.ours.is_some()
    }
}
