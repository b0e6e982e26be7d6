//! What a certificate says of itself, for people. It comes from whoever answers, so its texts are escaped and short.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, X509Extension};
use x509_parser::oid_registry::{OID_PKCS1_RSAENCRYPTION, OID_X509_EXT_SUBJECT_ALT_NAME};
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

/// How many names are listed.
const LISTED: usize = 12;
/// How much of one text is shown.
const SHOWN: usize = 120;

/// The extensions that webpki looks at.
const UNDERSTOOD: [&str; 6] = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"];
/// Others of RFC 5280.
const EXTENSIONS: [(&str, &str); 5] = [
    ("2.5.29.18", "issuer alternative name"),
    ("2.5.29.32", "certificate policies"),
    ("2.5.29.33", "policy mappings"),
    ("2.5.29.36", "policy constraints"),
    ("2.5.29.54", "inhibit any policy"),
];

/// A certificate that can be read, whether or not it is a good one.
pub struct Certificate<'a>(X509Certificate<'a>);

impl<'a> Certificate<'a> {
    /// None where it is no X.509 of any version.
    pub fn read(der: &'a [u8]) -> Option<Self> {
        parse_x509_certificate(der).ok().map(|(_, read)| Self(read))
    }

    /// Whom it is of.
    pub fn subject(&self) -> String {
        distinguished_name(self.0.subject())
    }

    /// Who signed it.
    pub fn issuer(&self) -> String {
        distinguished_name(self.0.issuer())
    }

    /// Whether it names itself as who signed it.
    pub fn is_self_issued(&self) -> bool {
        self.0.subject().as_raw() == self.0.issuer().as_raw()
    }

    /// Whether it says that `other` signed it.
    pub fn is_issued_by(&self, other: &Self) -> bool {
        self.0.issuer().as_raw() == other.0.subject().as_raw()
    }

    /// What it says must be understood, and the library does not look at.
    pub fn not_understood(&self) -> Vec<String> {
        let strange = |extension: &&X509Extension<'_>| {
            extension.critical && !UNDERSTOOD.contains(&extension.oid.to_id_string().as_str())
        };
        let named = |extension: &X509Extension<'_>| {
            let numbers = extension.oid.to_id_string();
            match EXTENSIONS.iter().find(|(known, _)| *known == numbers) {
                Some((_, name)) => format!("{name} ({numbers})"),
                None => numbers,
            }
        };
        self.0.extensions().iter().filter(strange).take(LISTED).map(named).collect()
    }

    /// Whether it says that it signs others, or that it signs none; None where it says neither.
    pub fn says_authority(&self) -> Option<bool> {
        self.0.basic_constraints().ok().flatten().map(|constraints| constraints.value.ca)
    }

    /// From when it is valid until when, in seconds since 1970.
    pub fn validity(&self) -> (i64, i64) {
        (self.0.validity().not_before.timestamp(), self.0.validity().not_after.timestamp())
    }

    /// Its key, with the algorithm it is for, as DER.
    pub fn public_key(&self) -> &SubjectPublicKeyInfo<'a> {
        &self.0.tbs_certificate.subject_pki
    }

    /// How many bits its key has, if that is RSA's.
    pub fn rsa_bits(&self) -> Option<usize> {
        let key = self.public_key();
        match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if key.algorithm.algorithm == OID_PKCS1_RSAENCRYPTION => Some(rsa.key_size()),
            _ => None,
        }
    }

    /// The DNS names and IP addresses of its subject alternative names (SAN): what a host is compared with.
    pub fn names(&self) -> Vec<Name> {
        self.alternative_names().iter().filter_map(Name::of).collect()
    }

    /// Those names in words; of a certificate without, what it has instead.
    pub fn names_in_words(&self) -> String {
        let all = self.alternative_names();
        let mut listed: Vec<String> = all.iter().take(LISTED).map(general_name).collect();
        if all.len() > LISTED {
            listed.push(format!("{} more", all.len() - LISTED));
        }
        listed.join(", ")
    }

    fn alternative_names(&self) -> &[GeneralName<'a>] {
        use x509_parser::extensions::ParsedExtension::SubjectAlternativeName;
        let extension = self.0.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME);
        match extension.map(X509Extension::parsed_extension) {
            Some(SubjectAlternativeName(names)) => &names.general_names,
            _ => &[],
        }
    }
}

/// A name that a host is compared with.
#[derive(Debug, PartialEq, Eq)]
pub enum Name {
    /// A DNS name, perhaps with a wildcard.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl Name {
    fn of(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(Self::Dns((*name).to_owned())),
            GeneralName::IPAddress(bytes) => ip(bytes).map(Self::Ip),
            _ => None,
        }
    }

    /// Whether it is, letter by letter, the name that is wanted.
    pub fn is(&self, wanted: &ServerName<'_>) -> bool {
        match (self, wanted) {
            (Self::Dns(name), ServerName::DnsName(wanted)) => name.eq_ignore_ascii_case(wanted.as_ref()),
            (Self::Ip(address), ServerName::IpAddress(wanted)) => *address == IpAddr::from(*wanted),
            _ => false,
        }
    }
}

/// A distinguished name as DER, in words.
pub fn distinguished_name_of(der: &[u8]) -> Option<String> {
    use x509_parser::prelude::FromDer;
    X509Name::from_der(der).ok().map(|(_, name)| distinguished_name(&name))
}

/// Seconds since 1970 as a day and a time, UTC.
pub fn when(seconds: i64) -> String {
    let Ok(time) = ASN1Time::from_timestamp(seconds).map(|time| time.to_datetime()) else {
        return "no date that can be read".to_owned();
    };
    let (day, clock, month) = (time.date(), time.time(), u8::from(time.month()));
    format!("{:04}-{month:02}-{:02} {:02}:{:02} UTC", day.year(), day.day(), clock.hour(), clock.minute())
}

fn distinguished_name(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    if text.is_empty() { "nobody (its subject is empty)".to_owned() } else { readable(&text) }
}

fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS {}", readable(name)),
        GeneralName::IPAddress(bytes) => ip(bytes)
            .map_or_else(|| format!("an IP address of {} bytes", bytes.len()), |address| format!("IP {address}")),
        GeneralName::URI(text) => format!("URI {}", readable(text)),
        GeneralName::RFC822Name(text) => format!("email {}", readable(text)),
        _ => "a name of another kind".to_owned(),
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Without what a terminal or a page would take for its own.
fn readable(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect::<String>().escape_default().to_string();
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}
