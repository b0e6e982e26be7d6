//! How certificates are signed, in words: the algorithms by the names that OpenSSL gives them.

use x509_parser::oid_registry::Oid;

/// The tag of an object identifier in DER.
const OBJECT_IDENTIFIER: u8 = 6;

/// Of RFC 3279, 4055, 5480, 5639, 5758 and 8410, and the curves of SEC 2.
const NAMES: [(&str, &str); 25] = [
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.113549.1.1.11", "RSA with SHA-256"),
    ("1.2.840.113549.1.1.12", "RSA with SHA-384"),
    ("1.2.840.113549.1.1.13", "RSA with SHA-512"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("2.16.840.1.101.3.4.3.2", "DSA with SHA-256"),
    ("1.2.840.10045.2.1", "ECDSA"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

/// The algorithm of an `AlgorithmIdentifier`, and the curve that its parameters name; as numbers where they are not known.
pub fn algorithm(identifier: &[u8]) -> String {
    let mut names = Vec::new();
    let mut rest = identifier;
    while let [OBJECT_IDENTIFIER, length, after @ ..] = rest {
        let Some((content, next)) = after.split_at_checked(usize::from(*length)) else { break };
        let numbers = Oid::new(content.into()).to_id_string();
        let known = NAMES.iter().find(|(known, _)| *known == numbers);
        names.push(known.map_or(numbers, |(_, name)| (*name).to_owned()));
        rest = next;
    }
    if names.is_empty() { "an algorithm that cannot be read".to_owned() } else { names.join(" on ") }
}

#[cfg(test)]
mod tests {
    use super::algorithm;

    #[test]
    fn algorithms_have_their_names_and_those_that_are_not_known_their_numbers() {
        for (identifier, name) in [
            (&[6, 8, 42, 134, 72, 206, 61, 4, 3, 4][..], "ECDSA with SHA-512"),
            (&[6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 5, 43, 129, 4, 0, 35], "ECDSA on P-521"),
            (&[6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 5, 5, 0], "RSA with SHA-1"),
            (&[6, 3, 42, 3, 4], "1.2.3.4"),
            (&[6, 200, 42], "an algorithm that cannot be read"),
            (&[], "an algorithm that cannot be read"),
        ] {
            assert_eq!(algorithm(identifier), name, "{identifier:?}");
        }
    }
}
