//! Whom a target must be signed by, and what it is shown of us: from files.

use std::fmt;
use std::path::PathBuf;

use rustls::pki_types::CertificateDer;

use super::Tls;
use super::certificate_files::{certificates, private_key};
use super::tls::Trusted;
use crate::error::{Error, Remedy, Result};

/// What TLS is made of. Its text holds no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// A file of certificates that sign targets, or are targets' own; the system's where none is given.
    pub ca: Option<PathBuf>,
    /// A file with our certificate and those that lead to its signer.
    pub certificate: Option<PathBuf>,
    /// A file with its key.
    pub key: Option<PathBuf>,
    /// Of an encrypted key.
    pub key_password: Option<String>,
    /// What the target's certificate must be for, in place of the address' host.
    pub server_name: Option<String>,
    /// Trust whoever answers.
    pub skip_verify: bool,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca, certificate, key, server_name, skip_verify, .. } = self;
        f.debug_struct("Trust")
            .field("ca", ca)
            .field("certificate", certificate)
            .field("key", key)
            .field("server_name", server_name)
            .field("skip_verify", skip_verify)
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Reads the files.
    pub fn load(&self) -> Result<Tls> {
        let trusted = if self.skip_verify { Trusted::Anybody } else { Trusted::Named(self.named()?) };
        let ours = match (&self.certificate, &self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                Some((certificates(certificate)?, private_key(key, self.key_password.as_deref())?))
            }
            (Some(_), None) => {
                return Err(Error::invalid("a certificate of ours without its key").remedy(Remedy::Key));
            }
            (None, Some(_)) => return Err(Error::invalid("a key without its certificate").remedy(Remedy::Certificate)),
        };
        Tls::new(trusted, ours, self.server_name.clone()).map_err(|why| {
            let shown =
                |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            if matches!(why, rustls::Error::InconsistentKeys(_)) {
                return Error::invalid(format!("{} and {}: {why}", shown(&self.certificate), shown(&self.key)))
                    .hint("the key must be the one that the certificate was made for");
            }
            Error::invalid(format!("{}: the key is of a kind that cannot be used here: {why}", shown(&self.key)))
                .hint("holdfast signs with RSA from 2048 bits on, ECDSA on P-256 and P-384, and Ed25519: make another")
        })
    }

    fn named(&self) -> Result<Vec<CertificateDer<'static>>> {
        if let Some(path) = &self.ca {
            return certificates(path);
        }
        let found = rustls_native_certs::load_native_certs().certs;
        if found.is_empty() {
            return Err(Error::invalid("this system keeps no certificates of signers that it trusts")
                .hint("say who signs your devices' certificates")
                .remedy(Remedy::CertificateAuthority));
        }
        Ok(found)
    }
}
