//! Whom a target must be signed by, and what it is shown of us: from PEM files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfoOwned;
use pkcs8::der::Decode;
use pkcs8::der::pem::PemLabel;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::Tls;
use super::tls::any_certificate;
use crate::error::{Error, Remedy, Result};

/// What TLS is made of. Its text holds no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// A PEM file of certificates that sign targets; the system's where none is given.
    pub ca: Option<PathBuf>,
    /// A PEM file with our certificate and those that lead to its signer.
    pub certificate: Option<PathBuf>,
    /// A PEM file with its key.
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
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::invalid(format!("TLS: {error}")))?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(any_certificate())
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                builder.with_client_auth_cert(chain, self.private_key(key)?).map_err(|error| {
                    Error::invalid(format!("{} and {}: {error}", certificate.display(), key.display()))
                        .hint("the key must be the one that the certificate was made for")
                })?
            }
            (Some(_), None) => {
                return Err(Error::invalid("a certificate of ours without its key").remedy(Remedy::Key));
            }
            (None, Some(_)) => return Err(Error::invalid("a key without its certificate").remedy(Remedy::Certificate)),
        };
        Ok(Tls::new(config, self.server_name.clone(), !self.skip_verify))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(Error::invalid("this system keeps no certificates of signers that it trusts")
                .hint("say who signs your devices' certificates")
                .remedy(Remedy::CertificateAuthority));
        }
        Ok(roots)
    }

    fn private_key(&self, path: &Path) -> Result<PrivateKeyDer<'static>> {
        let pem = read(path)?;
        let text = String::from_utf8_lossy(&pem);
        let begin = format!("-----BEGIN {}-----", EncryptedPrivateKeyInfoOwned::PEM_LABEL);
        if let Some(at) = text.find(&begin) {
            return self.decrypted(path, &text[at..]);
        }
        if text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(Error::invalid(format!("{}: a key that is encrypted in OpenSSL's old way", path.display()))
                .hint("write it anew: openssl pkcs8 -topk8 -in OLD -out NEW"));
        }
        PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
            Error::invalid(format!("{}: no private key: {error}", path.display())).hint("give a PEM file")
        })
    }

    fn decrypted(&self, path: &Path, text: &str) -> Result<PrivateKeyDer<'static>> {
        let shown = path.display();
        let Some(password) = &self.key_password else {
            return Err(Error::invalid(format!("{shown}: the key is encrypted"))
                .hint("give its password")
                .remedy(Remedy::KeyPassword));
        };
        let wrong = |what: String| Error::invalid(format!("{shown}: {what}"));
        let (_, document) = pkcs8::der::Document::from_pem(text).map_err(|error| wrong(error.to_string()))?;
        let encrypted = EncryptedPrivateKeyInfoOwned::from_der(document.as_bytes())
            .map_err(|error| wrong(format!("no encrypted key: {error}")))?;
        let key = encrypted
            .decrypt(password)
            .map_err(|_| wrong("the key does not open with that password".to_owned()).hint("is it another key's?"))?;
        Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |what: String| Error::invalid(format!("{}: {what}", path.display())).hint("give a PEM file");
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let found = found.map_err(|error| wrong(format!("no certificate: {error}")))?;
    if found.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
}
