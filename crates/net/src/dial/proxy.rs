//! A proxy on the way to a target: HTTP CONNECT or SOCKS5. It resolves the target's name, and what it says of itself is
//! told as its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio_socks::tcp::Socks5Stream;
use tonic::body::Body;

use super::connection::root_cause;
use super::http1::{self, NoAnswer};
use super::{Address, BoxedIo};
use crate::error::{ConnectFault, Error, Kind, Remedy, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Socks5,
}

/// `http://[USER:PASSWORD@]HOST[:PORT]` or `socks5://…`. Its texts hold neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    scheme: Scheme,
    address: Address,
    login: Option<(String, String)>,
}

impl FromStr for Proxy {
    type Err = Error;

    /// Fails without repeating what may be a password.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::invalid(format!("the proxy: {why}")).hint(
                "write http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ before the host if it wants one",
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let (scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, 80),
            // Both are the same here: the proxy always resolves the name.
            "socks5" | "socks5h" => (Scheme::Socks5, 1080),
            "https" => {
                return Err(bad("none is reached by TLS itself; what goes through it is encrypted all the same"));
            }
            _ => return Err(bad("its scheme is neither http nor socks5")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        if place.contains(['/', '?', '#']) {
            return Err(bad("there is more behind its host and port"));
        }
        let address = Address::parse(place, port).map_err(|_| bad("its host or port cannot be read"))?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from);
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Ok((decoded(user)?, decoded(password)?))
        });
        let login = login.transpose().map_err(|_: std::str::Utf8Error| bad("its user or password is no text"))?;
        let too_long = |text: &str| text.is_empty() || text.len() > 255;
        if scheme == Scheme::Socks5
            && login.as_ref().is_some_and(|(user, password)| too_long(user) || too_long(password))
        {
            return Err(bad("SOCKS5 takes a user and a password of 1 to 255 bytes each"));
        }
        Ok(Self { scheme, address, login })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Proxy {
    /// Where it is itself.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// That it cannot be reached itself.
    pub(super) fn unreachable(&self, why: &str) -> Error {
        Error::new(Kind::Connect(ConnectFault::ProxyUnreachable), format!("the proxy {self} {why}"))
            .hint("is that the proxy, and does it run?")
            .remedy(Remedy::Proxy)
    }

    /// Has the proxy, which `io` leads to, connect to `target`; what it returns leads there.
    pub(super) async fn tunnel(&self, io: BoxedIo, target: &Address) -> Result<BoxedIo> {
        if let Some(zone) = target.zone() {
            return Err(Error::invalid(format!(
                "{target}: the zone {zone} is of this machine, and the proxy {self} is another"
            ))
            .hint("reach the device straight, or by an address that the proxy can reach"));
        }
        match self.scheme {
            Scheme::Http => self.connect(io, target).await,
            Scheme::Socks5 => self.socks(io, target).await,
        }
    }

    async fn connect(&self, io: BoxedIo, target: &Address) -> Result<BoxedIo> {
        let idle = |what: &str| self.unreachable(&format!("does not do its work: {what}"));
        let broken = |error: hyper::Error| idle(&root_cause(&error)).caused_by(Arc::new(error));
        let silent = |error: NoAnswer| {
            let what = if error.is_parse() { "its answer is no HTTP".to_owned() } else { error.why() };
            idle(&what).caused_by(Arc::new(error))
        };
        let (send, connection) = handshake(TokioIo::new(io)).await.map_err(broken)?;
        // It ends with the tunnel.
        let mut connection = tokio::spawn(connection.with_upgrades());
        let answer = http1::answer(send, self.request(target)?, &mut connection).await.map_err(silent)?;
        if !answer.status().is_success() {
            return Err(self.refused(answer.status(), answer.headers(), target));
        }
        let tunnel = hyper::upgrade::on(answer).await.map_err(broken)?;
        Ok(Box::new(TokioIo::new(tunnel)))
    }

    fn request(&self, target: &Address) -> Result<Request<Body>> {
        let authority = target.authority();
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .version(Version::HTTP_11)
            .uri(&authority)
            .header(header::HOST, &authority)
            .body(Body::empty())
            .map_err(|_| Error::invalid(format!("{target} is no authority for HTTP")))?;
        if let Some((user, password)) = &self.login {
            let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
                .map_err(|_| Error::invalid("the proxy's user or password cannot be sent"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        Ok(request)
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, target: &Address) -> Error {
        let said = format!("the proxy {self} answers {status}");
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let offered: Vec<String> = headers
                .get_all(header::PROXY_AUTHENTICATE)
                .iter()
                .filter_map(|value| {
                    value.to_str().ok()?.split_whitespace().next().map(|word| word.escape_debug().to_string())
                })
                .collect();
            let basic = offered.is_empty() || offered.iter().any(|way| way.eq_ignore_ascii_case("basic"));
            return self.login_wanted(said, if basic { None } else { Some(offered.join(", ")) });
        }
        if status.is_server_error() {
            return cannot_reach(&said, target);
        }
        let error = Error::new(Kind::Connect(ConnectFault::ProxyRefused), said);
        error.hint(format!("does it let this machine reach {target}, and is it a proxy?"))
    }

    async fn socks(&self, io: BoxedIo, target: &Address) -> Result<BoxedIo> {
        let place = (target.name(), target.port);
        let tunnel = match &self.login {
            Some((user, password)) => Socks5Stream::connect_with_password_and_socket(io, place, user, password).await,
            None => Socks5Stream::connect_with_socket(io, place).await,
        };
        match tunnel {
            Ok(tunnel) => Ok(Box::new(tunnel.into_inner())),
            Err(error) => Err(self.socks_refused(&error, target).caused_by(Arc::new(error))),
        }
    }

    fn socks_refused(&self, error: &tokio_socks::Error, target: &Address) -> Error {
        use tokio_socks::Error as Socks;
        let what = match error {
            // So the library calls a reply without a meaning too.
            Socks::UnknownAuthMethod => "a login or a reply that holdfast does not know".to_owned(),
            known => known.to_string().to_lowercase(),
        };
        let said = format!("the proxy {self} answers: {what}");
        let refused = |hint: &str| Error::new(Kind::Connect(ConnectFault::ProxyRefused), said.clone()).hint(hint);
        match error {
            Socks::GeneralSocksServerFailure
            | Socks::NetworkUnreachable
            | Socks::HostUnreachable
            | Socks::ConnectionRefused
            | Socks::TtlExpired => cannot_reach(&said, target),
            Socks::ConnectionNotAllowedByRuleset => refused(&format!("do its rules let this machine reach {target}?")),
            Socks::CommandNotSupported => refused("take another proxy"),
            Socks::AddressTypeNotSupported => refused("give the device's name, or an address of the other kind"),
            Socks::InvalidTargetAddress(_) => Error::invalid(format!("{target} is no host of SOCKS5")),
            Socks::InvalidResponseVersion | Socks::InvalidReservedByte | Socks::UnknownAddressType => {
                refused("is it a SOCKS5 proxy? one of HTTP has another scheme").remedy(Remedy::Proxy)
            }
            Socks::NoAcceptableAuthMethods | Socks::PasswordAuthFailure(_) | Socks::AuthorizationRequired => {
                self.login_wanted(said, None)
            }
            Socks::Io(_) => self.unreachable("closes the connection, and says nothing"),
            _ => refused("look at its log"),
        }
    }

    fn login_wanted(&self, said: String, instead: Option<String>) -> Error {
        let error = Error::new(Kind::Connect(ConnectFault::ProxyRefused), said);
        match (instead, &self.login) {
            (Some(ways), _) => {
                error.hint(format!("it wants {ways}, and holdfast logs in by Basic alone: take another proxy"))
            }
            (None, None) => error.hint("it wants a user and a password").remedy(Remedy::Proxy),
            (None, Some(_)) => error.hint("look at the user and the password for it").remedy(Remedy::Proxy),
        }
    }
}

/// What a proxy cannot do now, and may later.
fn cannot_reach(said: &str, target: &Address) -> Error {
    Error::new(Kind::Connect(ConnectFault::Unreachable), format!("{target}: {said}"))
        .hint("the proxy is there and does not reach the device: is the device up, and is this its gRPC port?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_shown_without_its_login() {
        for (text, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("HTTP://proxy", "http://proxy:80"),
            ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
            ("socks5h://[fd00::1]:9050/", "socks5://[fd00::1]:9050"),
            ("http://us%40er:s3%3acret@proxy:3128", "http://proxy:3128"),
            ("http://user:s3@cret@proxy:3128", "http://proxy:3128"),
        ] {
            let proxy: Proxy = text.parse().expect(text);
            assert_eq!(
                (proxy.to_string().as_str(), format!("{proxy:?}").as_str()),
                (shown, &*format!("Proxy({shown})"))
            );
        }
        let proxy: Proxy = "http://us%40er:s3%3acret@proxy".parse().expect("a proxy");
        assert_eq!(proxy.login, Some(("us@er".to_owned(), "s3:cret".to_owned())));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_secret() {
        for text in [
            "proxy:3128",
            "ftp://u:s3cret@proxy",
            "https://u:s3cret@proxy:443",
            "http://u:s3cret@proxy/path",
            "http://u:s3cret@",
            "http://u:s3cret@proxy:0",
            "http://u:s3cret%ff@proxy",
            "socks5://s3cret@proxy",
            "u:s3cret@proxy",
        ] {
            let error = text.parse::<Proxy>().expect_err(text);
            assert!(!format!("{error:?}").contains("s3cret") && error.hint.is_some(), "{error:?}");
        }
    }
}
