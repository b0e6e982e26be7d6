//! Who is who in a lab's Kubernetes: its authority, its API server's certificate, a token for each part.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustix::rand::{GetRandomFlags, getrandom};

use holdfast_net::error::{Error, Result};

/// Names by which the API server is reached, beside its addresses.
const NAMES: [&str; 4] = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
/// The first address of the services' network, which is the API's own.
const SERVICE: &str = "10.96.0.1";

/// The files of a lab's Kubernetes that say who is who.
#[derive(Clone)]
pub struct Credentials {
    folder: PathBuf,
}

/// A part, as the API server knows it.
struct Party<'a> {
    file: &'a str,
    user: String,
    groups: &'a str,
}

impl Credentials {
    /// Of a lab with these nodes, whose API server has these addresses; as files in `folder`.
    pub fn make(folder: PathBuf, addresses: &[&str], nodes: &[String], api: &str) -> Result<Self> {
        let made = Self { folder };
        std::fs::create_dir_all(&made.folder).map_err(|error| Error::lab_io(made.folder.display(), error))?;
        made.certify(addresses)?;
        let node_parties =
            nodes.iter().map(|node| Party { file: node, user: format!("system:node:{node}"), groups: "system:nodes" });
        let parts = [
            Party { file: "admin", user: "admin".to_owned(), groups: "system:masters" },
            Party { file: "controllers", user: "system:kube-controller-manager".to_owned(), groups: "" },
            Party { file: "scheduler", user: "system:kube-scheduler".to_owned(), groups: "" },
        ];
        let mut tokens = String::new();
        for party in parts.into_iter().chain(node_parties) {
            let token = token()?;
            let Party { file, user, groups } = party;
            tokens.extend([&token, ",", &user, ",", file, ",\"", groups, "\"\n"]);
            made.write(&format!("{file}.kubeconfig"), &made.kubeconfig(api, &token)?)?;
        }
        made.write("tokens.csv", &tokens)?;
        Ok(made)
    }

    /// One of the files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How a part reaches the API.
    pub fn kubeconfig_of(&self, part: &str) -> PathBuf {
        self.file(&format!("{part}.kubeconfig"))
    }

    /// How whoever is not in the lab's networks reaches the API as its administrator, at `api`.
    pub fn for_outside(&self, api: &str) -> Result<PathBuf> {
        let file = self.kubeconfig_of("admin");
        let text = std::fs::read_to_string(&file).map_err(|error| Error::lab_io(file.display(), error))?;
        let told: serde_json::Value = serde_json::from_str(&text).map_err(|error| Error::lab(error.to_string()))?;
        let token = told["users"][0]["user"]["token"].as_str().unwrap_or_default();
        self.write("outside.kubeconfig", &self.kubeconfig(api, token)?)?;
        Ok(self.outside())
    }

    /// The kubeconfig of whoever is not in the lab's networks, once it was written.
    pub fn outside(&self) -> PathBuf {
        self.kubeconfig_of("outside")
    }

    fn certify(&self, addresses: &[&str]) -> Result<()> {
        let failed = |error: rcgen::Error| Error::lab(format!("no certificate for the API server: {error}"));
        let authority_key = KeyPair::generate().map_err(failed)?;
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "holdfast lab");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = authority.self_signed(&authority_key).map_err(failed)?;
        self.write("ca.crt", &certificate.pem())?;
        let names: Vec<String> =
            addresses.iter().chain(&[SERVICE]).chain(&NAMES).map(|name| (*name).to_owned()).collect();
        let mut server = CertificateParams::new(names).map_err(failed)?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let server_key = KeyPair::generate().map_err(failed)?;
        let issuer = Issuer::new(authority, authority_key);
        let signed = server.signed_by(&server_key, &issuer).map_err(failed)?;
        self.write("api.crt", &signed.pem())?;
        self.write("api.key", &server_key.serialize_pem())?;
        let accounts = KeyPair::generate().map_err(failed)?;
        self.write("accounts.pub", &accounts.public_key_pem())?;
        self.write("accounts.key", &accounts.serialize_pem())
    }

    fn kubeconfig(&self, api: &str, token: &str) -> Result<String> {
        let file = self.file("ca.crt");
        let authority = std::fs::read_to_string(&file).map_err(|error| Error::lab_io(file.display(), error))?;
        let told = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "holdfast-lab", "cluster": {
                "server": api,
                "certificate-authority-data": base64(authority.as_bytes()),
            }}],
            "users": [{"name": "holdfast-lab", "user": {"token": token}}],
            "contexts": [{"name": "holdfast-lab", "context": {"cluster": "holdfast-lab", "user": "holdfast-lab"}}],
            "current-context": "holdfast-lab",
        });
        Ok(told.to_string())
    }

    /// For its owner alone: each of them opens the cluster.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.file(name);
        write_secret(&path, text).map_err(|error| Error::lab_io(path.display(), error))
    }
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn token() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|error| Error::lab_io("getrandom", error.into()))?;
    Ok(hex::encode(bytes))
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}
