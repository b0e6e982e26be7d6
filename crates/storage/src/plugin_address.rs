//! Where a Docker volume plugin serves, in each way that an engine finds one, and a connection to it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

use holdfast_net::dial::trust::Trust;
use holdfast_net::dial::{Address, BoxedIo};
use holdfast_net::error::{ConnectFault, Error, Kind, Result};

/// A file that says where a plugin is has a line, or an object of three keys; in bytes.
const MAX_FILE: u64 = 64 << 10;
/// For a connection over TCP to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// Where a plugin serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP, as HOST:PORT.
    Tcp(String),
    /// TLS over that, and whom it trusts; the files are the node's.
    Tls(String, Trust),
    /// A `.spec` file with its URL, or a `.json` file with its `Addr`: looked at anew for each call, since a plugin
    /// that starts again may write it again.
    File(PathBuf),
}

impl From<PathBuf> for PluginAddress {
    fn from(socket: PathBuf) -> Self {
        Self::Unix(socket)
    }
}

impl FromStr for PluginAddress {
    type Err = Error;

    /// `unix:///PATH`, `tcp://HOST:PORT`, `https://HOST:PORT`, the path of a socket, or that of a `.spec` or `.json` file.
    fn from_str(text: &str) -> Result<Self> {
        let by_name = |path: &str| {
            let is_file = Path::new(path).extension().is_some_and(|kind| kind == "spec" || kind == "json");
            if is_file { Self::File(PathBuf::from(path)) } else { Self::Unix(PathBuf::from(path)) }
        };
        if text.starts_with('/') { Ok(by_name(text)) } else { url(text) }
    }
}

impl fmt::Display for PluginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) | Self::File(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Tls(address, _) => write!(f, "https://{address}"),
        }
    }
}

/// Where a node is, as this machine sees it: a socket is found in its files, and TCP in its networks.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// A process there; none, where that is this machine itself.
    pub process: Option<u32>,
}

impl Surroundings {
    fn file(&self, path: &Path) -> PathBuf {
        match self.process {
            Some(process) => Path::new(&format!("/proc/{process}/root")).join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

impl PluginAddress {
    /// A connection, from within a node's surroundings.
    pub async fn connect(&self, from: &Surroundings) -> Result<BoxedIo> {
        match self {
            Self::File(path) => match read(path, from)? {
                Self::File(_) => Err(not_a_place(path, "it names another file")),
                found => Box::pin(found.connect(from)).await.map_err(|error| {
                    let message = format!("{found}, as {} says: {}", path.display(), error.message);
                    Error { message, ..error }
                }),
            },
            Self::Unix(path) => {
                let stream = UnixStream::connect(from.file(path)).await;
                stream.map(|stream| Box::new(stream) as BoxedIo).map_err(|error| unreachable(&error))
            }
            Self::Tcp(address) => tcp(address, from).await,
            Self::Tls(address, trust) => {
                let tls = seen_from(trust, from).load().map_err(|error| Error { kind: UNREACHABLE, ..error })?;
                tls.without_alpn().handshake(tcp(address, from).await?, &parted(address)).await
            }
        }
    }
}

const UNREACHABLE: Kind = Kind::Connect(ConnectFault::Unreachable);

async fn tcp(address: &str, from: &Surroundings) -> Result<BoxedIo> {
    let (address, process) = (address.to_owned(), from.process);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // a thread of its own: one that has entered other networks is of no more use to anybody else
    std::thread::spawn(move || sender.send(dial(&address, process)));
    let stream = receiver.await.unwrap_or_else(|_| Err(io::Error::other("the thread that dials ended")));
    let stream = stream.and_then(TcpStream::from_std).map_err(|error| unreachable(&error))?;
    Ok(Box::new(stream))
}

/// The files of a node, by the paths that this machine has for them.
fn seen_from(trust: &Trust, from: &Surroundings) -> Trust {
    let seen = |path: &Option<PathBuf>| path.as_ref().map(|path| from.file(path));
    Trust { ca: seen(&trust.ca), certificate: seen(&trust.certificate), key: seen(&trust.key), ..trust.clone() }
}

/// HOST:PORT; that it has a port was seen when it was read.
fn parted(address: &str) -> Address {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    Address { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().unwrap_or_default() }
}

fn unreachable(error: &io::Error) -> Error {
    Error::new(Kind::Connect(ConnectFault::Unreachable), error.to_string())
        .hint("is the plugin running, and may this user open its socket?")
}

fn not_a_place(path: &Path, why: &str) -> Error {
    Error::new(Kind::Connect(ConnectFault::Unreachable), format!("{}: {why}", path.display())).hint(
        "a .spec file has a URL in it, and a .json file an Addr: unix:///PATH, tcp://HOST:PORT or https://HOST:PORT",
    )
}

fn dial(address: &str, process: Option<u32>) -> io::Result<std::net::TcpStream> {
    if let Some(process) = process {
        enter_network(process)?;
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match std::net::TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Moves this thread into the network of a process.
#[cfg(target_os = "linux")]
fn enter_network(process: u32) -> io::Result<()> {
    use std::os::fd::AsFd;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    let networks = File::open(format!("/proc/{process}/ns/net"))?;
    Ok(move_into_link_name_space(networks.as_fd(), Some(LinkNameSpaceType::Network))?)
}

#[cfg(not(target_os = "linux"))]
fn enter_network(_: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "networks of processes are Linux' alone"))
}

/// What the URL of a plugin means.
fn url(text: &str) -> Result<PluginAddress> {
    let wrong = |why: &str| {
        Error::invalid(format!("a plugin's address {why}"))
            .hint("unix:///PATH, tcp://HOST:PORT, https://HOST:PORT, or a path")
    };
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(PluginAddress::Unix(PathBuf::from(path))),
        Some((scheme @ ("tcp" | "http" | "https"), rest)) => {
            let address = rest.split('/').next().unwrap_or_default();
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            let usual = match scheme {
                "http" => ":80",
                "https" => ":443",
                _ => "",
            };
            let address = match (address.contains('@'), port) {
                (true, _) => return Err(wrong("has a user in it")),
                (false, Some(_)) => address.to_owned(),
                (false, None) if !usual.is_empty() && !address.is_empty() => format!("{address}{usual}"),
                (false, None) => return Err(wrong("has no port")),
            };
            Ok(match scheme {
                "https" => PluginAddress::Tls(address, Trust::default()),
                _ => PluginAddress::Tcp(address),
            })
        }
        _ => Err(wrong("is of no kind that is known")),
    }
}

/// A field of what a plugin answers or writes, as engines read it, whose JSON asks for no case of a key's letters.
pub(crate) fn field<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let same = |held: &'a serde_json::Map<String, Value>| {
        held.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let held = answer.as_object();
    held.and_then(|held| held.get(name).or_else(|| same(held))).unwrap_or(&Value::Null)
}

/// What a file of a plugin's says.
fn read(path: &Path, from: &Surroundings) -> Result<PluginAddress> {
    let seen = from.file(path);
    let is_file = fs::metadata(&seen).map_err(|error| not_a_place(path, &error.to_string()))?.is_file();
    if !is_file {
        return Err(not_a_place(path, "it is no regular file")); // a FIFO would be waited for
    }
    let mut text = String::new();
    let opened = File::open(&seen).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    opened.map_err(|error| not_a_place(path, &error.to_string()))?;
    let found = if path.extension().is_some_and(|kind| kind == "json") {
        let held: Value = serde_json::from_str(&text).map_err(|_| not_a_place(path, "it is no JSON"))?;
        let address = url(field(&held, "Addr").as_str().unwrap_or_default().trim());
        address.map(|address| trusting(address, field(&held, "TLSConfig")))
    } else {
        url(text.trim())
    };
    found.map_err(|error| not_a_place(path, &error.message))
}

/// An address as an engine takes it: TLS is for `https://` alone, and without a `CAFile` whoever answers is trusted.
fn trusting(address: PluginAddress, asked: &Value) -> PluginAddress {
    match (address, asked.is_object()) {
        (PluginAddress::Tls(address, _), true) => {
            let file = |key: &str| {
                let path = field(asked, key).as_str().filter(|path| !path.is_empty());
                path.map(PathBuf::from)
            };
            let ca = file("CAFile");
            let skip_verify = ca.is_none() || field(asked, "InsecureSkipVerify") == &Value::Bool(true);
            let trust =
                Trust { ca, certificate: file("CertFile"), key: file("KeyFile"), skip_verify, ..Trust::default() };
            PluginAddress::Tls(address, trust)
        }
        (address, _) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_name_a_plugin_is_known() {
        for (text, shown) in [
            ("unix:///run/a.sock", "/run/a.sock"),
            ("/run/a.sock", "/run/a.sock"),
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:80"),
            ("tcp://[::1]:80/plugin", "tcp://[::1]:80"),
            ("http://host", "tcp://host:80"),
            ("https://host", "https://host:443"),
            ("https://[::1]:8443/plugin", "https://[::1]:8443"),
            ("/etc/docker/plugins/a.spec", "/etc/docker/plugins/a.spec"),
        ] {
            assert_eq!(text.parse::<PluginAddress>().map(|found| found.to_string()).ok().as_deref(), Some(shown));
        }
        for text in ["", "a.sock", "unix://a.sock", "tcp://host", "tcp://u:p@host:1", "https://u@host:1", "npipe:////x"]
        {
            assert!(text.parse::<PluginAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_that_names_a_plugin_says_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let said = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap_or_else(|error| panic!("{error}"));
            read(&path, &Surroundings::default()).map_err(|error| error.message)
        };
        let trust = |text: &str| match said("t.json", text) {
            Ok(PluginAddress::Tls(_, trust)) => Some(trust),
            _ => None,
        };
        let file = |name: &str| Some(PathBuf::from(name));
        let asked = r#"{"CAFile": "/ca", "CertFile": "/c", "KeyFile": "/k", "InsecureSkipVerify": false}"#;
        let whole = Trust { ca: file("/ca"), certificate: file("/c"), key: file("/k"), ..Trust::default() };
        assert_eq!(trust(&format!(r#"{{"Addr": "https://h:1", "TLSConfig": {asked}}}"#)), Some(whole));
        assert_eq!(trust(r#"{"Addr": "https://h:1"}"#), Some(Trust::default()), "the system's authorities");
        let whoever = Some(Trust { skip_verify: true, ..Trust::default() });
        assert_eq!(trust(r#"{"Addr": "https://h:1", "TLSConfig": {}}"#), whoever, "as an engine has it");
        let tcp = r#"{"Addr": "tcp://h:1", "TLSConfig": {"CAFile": "/ca"}}"#;
        assert_eq!(said("t.json", tcp), Ok(PluginAddress::Tcp("h:1".to_owned())), "which an engine does not encrypt");
        let unix = Ok(PluginAddress::Unix(PathBuf::from("/a.sock")));
        assert_eq!(said("a.spec", "unix:///a.sock\n"), unix);
        assert_eq!(said("a.json", r#"{"Name": "a", "Addr": "unix:///a.sock", "TLSConfig": {}}"#), unix);
        assert_eq!(said("a.json", r#"{"addr": "unix:///a.sock"}"#), unix, "an engine asks for no case");
        for (name, text, why) in [
            ("b.spec", "", "of no kind that is known"),
            ("b.spec", "tcp://host", "has no port"),
            ("b.json", "unix:///a.sock", "no JSON"),
            ("b.json", "[]", "of no kind that is known"),
            ("b.json", r#"{"Addr": "https://"}"#, "has no port"),
        ] {
            let error = said(name, text).err().unwrap_or_default();
            assert!(error.contains(why) && error.contains(name), "{error}");
        }
        assert!(read(&folder.path().join("none.spec"), &Surroundings::default()).is_err());
        assert!(read(folder.path(), &Surroundings::default()).is_err_and(|error| error.message.contains("no regular")));
    }
}
