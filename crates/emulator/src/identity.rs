//! Who an emulated device is: certificates made on the spot, signed by an authority of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::settings::{Encryption, Quirk};

/// The authority's certificate, for clients to trust.
pub const CA: &str = "ca.pem";
/// A client's certificate, and its key.
pub const CLIENT: (&str, &str) = ("client.pem", "client-key.pem");

/// Makes all certificates, writes what a client needs into `folder`, and gives what the device serves with.
pub fn make(
    folder: &Path,
    hosts: &[IpAddr],
    encryption: Encryption,
    quirks: &[Quirk],
) -> io::Result<Arc<ServerConfig>> {
    fs::create_dir_all(folder)?;
    let authority = authority().map_err(io::Error::other)?;
    let server = KeyPair::generate().map_err(io::Error::other)?;
    let served = server_certificate(hosts, quirks).and_then(|params| params.signed_by(&server, &authority));
    let served = served.map_err(io::Error::other)?;
    write(&folder.join(CA), &authority.pem(), 0o644)?;
    write_client(folder, &authority)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match encryption {
        Encryption::Mutual => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).map_err(io::Error::other)?;
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(io::Error::other)?)
        }
        Encryption::None | Encryption::Server => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.serialize_der()));
    let mut config = builder.with_single_cert(vec![served.der().clone()], key).map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    let made = crate::state::now();
    params.distinguished_name.push(DnType::CommonName, format!("holdfast emulator's authority {made}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn server_certificate(hosts: &[IpAddr], quirks: &[Quirk]) -> Result<CertificateParams, rcgen::Error> {
    let names = if quirks.contains(&Quirk::CertificateForAnotherName) {
        vec!["another.example".to_owned()]
    } else {
        let names = ["localhost".to_owned(), "emulator.example".to_owned()];
        hosts.iter().map(ToString::to_string).chain(names).collect()
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "holdfast emulator");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if quirks.contains(&Quirk::CertificateExpired) {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    }
    if quirks.contains(&Quirk::CertificateNotYetValid) {
        (params.not_before, params.not_after) = (date_time_ymd(2200, 1, 1), date_time_ymd(2201, 1, 1));
    }
    Ok(params)
}

fn write_client(folder: &Path, authority: &CertifiedIssuer<'static, KeyPair>) -> io::Result<()> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "holdfast");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, authority).map_err(io::Error::other)?;
    write(&folder.join(CLIENT.0), &certificate.pem(), 0o644)?;
    write(&folder.join(CLIENT.1), &key.serialize_pem(), 0o600)
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}
