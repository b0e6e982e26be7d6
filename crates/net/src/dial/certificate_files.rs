//! Certificates and keys as files have them: PEM with comments and whatever line ends, or DER.

use std::fs;
use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfoOwned;
use pkcs8::der::Decode;
use pkcs8::der::pem::PemLabel;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::parse_x509_certificate;

use super::certificate::Certificate;
use crate::error::{Error, Remedy, Result};

const BEGIN: &[u8] = b"-----BEGIN ";
/// How a certificate is labelled, by today's tools and by older ones.
const LABELS: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];

/// All certificates of a file, in its order. Each can be read.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    let wrong = |what: String, hint: &str| Error::invalid(format!("{}: {what}", path.display())).hint(hint);
    if !contains(&bytes, BEGIN) {
        let (what, hint) = neither(&bytes);
        return der_certificate(&bytes).map(|it| vec![it]).ok_or_else(|| wrong(what.to_owned(), hint));
    }
    let whole = "give it as it was written, from each line BEGIN to its line END";
    let sections =
        pem::parse_many(&bytes).map_err(|error| wrong(format!("it is no PEM that can be read: {error}"), whole))?;
    if sections.len() < count(&bytes, BEGIN) {
        return Err(wrong("one of its parts has a line BEGIN and no line END".to_owned(), whole));
    }
    let labelled: Vec<&pem::Pem> = sections.iter().filter(|section| LABELS.contains(&section.tag())).collect();
    if labelled.is_empty() {
        let held: Vec<&str> = sections.iter().map(pem::Pem::tag).collect();
        let what = format!("there is no certificate in it, but {}", held.join(", "));
        return Err(wrong(what, other_kind(&held)));
    }
    let mut found = Vec::new();
    for (index, section) in labelled.iter().enumerate() {
        match der_certificate(section.contents()) {
            Some(certificate) => found.push(certificate),
            None => {
                tracing::warn!("{}: certificate {} in it cannot be read, and is left out", path.display(), index + 1);
            }
        }
    }
    if found.is_empty() {
        return Err(wrong("no certificate in it can be read".to_owned(), "look at it: openssl x509 -text -in FILE"));
    }
    Ok(found)
}

/// The first private key of a file; `password` opens one that is encrypted.
pub fn private_key(path: &Path, password: Option<&str>) -> Result<PrivateKeyDer<'static>> {
    let bytes = read(path)?;
    let none = |why: String| Error::invalid(format!("{}: no private key: {why}", path.display()));
    if !contains(&bytes, BEGIN) {
        if EncryptedPrivateKeyInfoOwned::from_der(&bytes).is_ok() {
            return decrypted(path, &bytes, password);
        }
        return PrivateKeyDer::try_from(bytes).map_err(|why| none(why.to_owned()).hint("give a PEM file, or DER"));
    }
    let text = String::from_utf8_lossy(&bytes);
    let begin = format!("-----BEGIN {}-----", EncryptedPrivateKeyInfoOwned::PEM_LABEL);
    if text.contains(&begin) {
        let sections = pem::parse_many(&bytes).map_err(|error| none(error.to_string()))?;
        let encrypted = sections.iter().find(|section| section.tag() == EncryptedPrivateKeyInfoOwned::PEM_LABEL);
        let contents = encrypted.map(pem::Pem::contents).ok_or_else(|| none("it is cut short".to_owned()))?;
        return decrypted(path, contents, password);
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Error::invalid(format!("{}: a key that is encrypted in OpenSSL's old way", path.display()))
            .hint("write it anew: openssl pkcs8 -topk8 -in OLD -out NEW"));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let sections = pem::parse_many(&bytes).unwrap_or_default();
        let held: Vec<&str> = sections.iter().map(pem::Pem::tag).collect();
        if held.contains(&"OPENSSH PRIVATE KEY") {
            return none("it is one of OpenSSH's own form".to_owned())
                .hint("write it anew, in place: ssh-keygen -p -m PKCS8 -f FILE");
        }
        if held.is_empty() {
            return none(error.to_string()).hint("give a PEM file, or DER");
        }
        none(format!("there is none in it, but {}", held.join(", ")))
            .hint("give the file with a part BEGIN PRIVATE KEY")
    })
}

fn decrypted(path: &Path, der: &[u8], password: Option<&str>) -> Result<PrivateKeyDer<'static>> {
    let wrong = |what: String| Error::invalid(format!("{}: {what}", path.display()));
    let Some(password) = password else {
        return Err(wrong("the key is encrypted".to_owned()).hint("give its password").remedy(Remedy::KeyPassword));
    };
    let unread = |error: String| {
        wrong(format!("the key is encrypted in a way that is not read here: {error}"))
            .hint("encrypt it anew: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW")
    };
    let encrypted = EncryptedPrivateKeyInfoOwned::from_der(der).map_err(|error| unread(error.to_string()))?;
    let key = encrypted.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_) => {
            wrong("the key does not open with that password".to_owned()).hint("is it another key's?")
        }
        other => unread(other.to_string()),
    })?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())))
}

/// One certificate; OpenSSL's TRUSTED CERTIFICATE has more behind it, which is left out.
fn der_certificate(bytes: &[u8]) -> Option<CertificateDer<'static>> {
    let (rest, _) = parse_x509_certificate(bytes).ok()?;
    let certificate = &bytes[..bytes.len() - rest.len()];
    Certificate::read(certificate).map(|_| CertificateDer::from(certificate.to_vec()))
}

/// What a file is that holds neither PEM nor a certificate as DER, and what makes one of it.
fn neither(bytes: &[u8]) -> (&'static str, &'static str) {
    const PKCS7: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    match bytes {
        [] => ("it is empty", "give a PEM file, or DER"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("it is text in UTF-16", "save it as ASCII or UTF-8"),
        [0x30, ..] if bytes.get(..40).unwrap_or(bytes).windows(PKCS7.len()).any(|window| window == PKCS7) => (
            "there is no certificate in it, but PKCS #7 as DER",
            "write it as PEM: openssl pkcs7 -inform DER -in FILE -print_certs -out NEW",
        ),
        [0x30, ..] => (
            "there is no certificate in it: it is DER of another kind, perhaps PKCS #12 or a key",
            "of PKCS #12 take the certificates: openssl pkcs12 -in FILE -nokeys -out NEW",
        ),
        _ => ("there is no certificate in it", "give a PEM file, or DER"),
    }
}

fn other_kind(labels: &[&str]) -> &'static str {
    if labels.iter().any(|label| label.contains("PRIVATE KEY")) {
        "that is a key: the certificate is in another file"
    } else if labels.iter().any(|label| label.contains("REQUEST")) {
        "that is a request: give the certificate that was made of it"
    } else if labels.iter().any(|label| label.contains("PKCS7")) {
        "write its certificates: openssl pkcs7 -in FILE -print_certs -out NEW"
    } else {
        "give a file with a part BEGIN CERTIFICATE"
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    count(bytes, wanted) > 0
}

fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).filter(|window| window == &wanted).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate")
    }

    fn read_back(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
        let folder = std::env::temp_dir().join(format!("holdfast-certificates-{:?}", std::thread::current().id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("file");
        fs::write(&file, bytes).expect("a file");
        let found = certificates(&file);
        fs::remove_dir_all(&folder).expect("the folder");
        found
    }

    #[test]
    fn a_certificate_is_read_however_it_was_written() {
        let (one, two) = (made("one.example").cert, made("two.example").cert);
        let both = format!("Issuer: somebody\n{}\r\n# and\n{}", one.pem(), two.pem());
        let labelled = |label: &str| one.pem().replace("CERTIFICATE", label);
        for (text, count) in [
            (both.clone(), 2),
            (both.replace('\n', "\r\n"), 2),
            (format!("\u{feff}{}", one.pem()), 1),
            (labelled("X509 CERTIFICATE"), 1),
            (labelled("TRUSTED CERTIFICATE"), 1),
            (format!("{}{}", made("key").signing_key.serialize_pem(), one.pem()), 1),
        ] {
            let found = read_back(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((found.len(), found[0].as_ref()), (count, one.der().as_ref()), "{text}");
        }
        assert_eq!(read_back(one.der()).expect("DER"), [one.der().clone()]);
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let made = made("one.example");
        let pem = made.cert.pem();
        for (bytes, words) in [
            (made.signing_key.serialize_pem().into_bytes(), "but PRIVATE KEY"),
            (pem.as_bytes()[..pem.len() / 2].to_vec(), "no line END"),
            (pem.replace("MII", "***").into_bytes(), "no PEM that can be read"),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
                "no certificate in it can be read",
            ),
            (vec![0x30, 0x03, 0x02, 0x01, 0x03], "PKCS #12"),
            (b"\xff\xfe-\0-\0".to_vec(), "UTF-16"),
            (b"nothing".to_vec(), "there is no certificate in it"),
            (Vec::new(), "it is empty"),
        ] {
            let error = read_back(&bytes).expect_err(words);
            assert!(error.to_string().contains(words) && error.hint.is_some(), "{error}");
        }
    }
}
