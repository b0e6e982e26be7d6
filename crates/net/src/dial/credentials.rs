//! What is sent as metadata with each call: who logs in, a token, and whatever else a device asks for. It is sent and
//! never shown.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::error::{Error, Remedy, Result};

/// What gRPC and HTTP/2 say themselves.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "user-agent",
];

/// A user's name and password, as gNMI and gNOI want them (metadata `username` and `password`), a bearer token
/// (`authorization`), and further metadata.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    login: Option<(HeaderValue, HeaderValue)>,
    more: HeaderMap,
}

impl Credentials {
    /// Fails on what cannot be an HTTP/2 header, without repeating the password.
    pub fn new(username: &str, password: &str) -> Result<Self> {
        let login = (value("the username", username)?, secret("the password", password)?);
        Ok(Self { login: Some(login), more: HeaderMap::new() })
    }

    /// With a token too, which is sent as `authorization: Bearer TOKEN`. Fails without repeating it.
    pub fn with_token(mut self, token: &str) -> Result<Self> {
        let word = token.get(..7).filter(|word| word.eq_ignore_ascii_case("bearer "));
        let token = word.map_or(token, |word| &token[word.len()..]);
        if token.is_empty() || token.contains(char::is_whitespace) {
            return Err(Error::invalid("the token is empty or has blanks in it").hint("give the token alone"));
        }
        self.put(header::AUTHORIZATION, secret("the token", &format!("Bearer {token}"))?)?;
        Ok(self)
    }

    /// With an entry of metadata too. A key that ends in `-bin` is of bytes; other values are printable ASCII. Fails on a
    /// key that is no key of gRPC or that is spoken for, without repeating the value.
    pub fn with_metadata(mut self, key: &str, value: &[u8]) -> Result<Self> {
        let name = key.to_ascii_lowercase();
        let wrong = |why: &str| Error::invalid(format!("metadata {key:?}: {why}"));
        let good = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-_.".contains(&letter);
        if name.is_empty() || !name.bytes().all(good) {
            return Err(wrong("a key has letters, digits, - _ and . alone").hint("such as x-tenant"));
        }
        if name.starts_with("grpc-") || RESERVED.contains(&name.as_str()) {
            return Err(wrong("gRPC itself says that").hint("leave it out"));
        }
        if self.login.is_some() && ["username", "password"].contains(&name.as_str()) {
            return Err(wrong("it is sent already, as who logs in").hint("give one of them"));
        }
        let text = if name.ends_with("-bin") {
            STANDARD_NO_PAD.encode(value)
        } else {
            String::from_utf8(value.to_vec())
                .map_err(|_| wrong("its value is no text").hint("end its key with -bin"))?
        };
        let name = HeaderName::try_from(name).map_err(|_| wrong("it is no key"))?;
        let hidden = secret(&format!("the value of metadata {key:?}"), &text)?;
        if name == header::AUTHORIZATION {
            self.put(name, hidden)?;
        } else {
            self.more.append(name, hidden);
        }
        Ok(self)
    }

    /// The bytes of a value of metadata that was written as base64, with padding or without.
    pub fn decoded(key: &str, text: &str) -> Result<Vec<u8>> {
        let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
        decoded.map_err(|_| {
            Error::invalid(format!("metadata {key:?}: its key ends with -bin, and its value is no base64"))
                .hint("give its bytes as base64")
        })
    }

    /// For a container that dials: what it is told to log in with.
    pub fn username(&self) -> &str {
        self.login.as_ref().and_then(|(username, _)| username.to_str().ok()).unwrap_or_default()
    }

    /// The same of the password.
    pub fn password(&self) -> &str {
        self.login.as_ref().and_then(|(_, password)| password.to_str().ok()).unwrap_or_default()
    }

    /// What is not there that a device may ask for, in words, and what gives it; none, where it can only be wrong.
    fn lacking(&self) -> Option<(&'static str, Remedy)> {
        let is_named = self.more.is_empty() && self.login.as_ref().is_some_and(|(_, password)| password.is_empty());
        is_named.then_some(("no password was given", Remedy::Password))
    }

    fn put(&mut self, name: HeaderName, value: HeaderValue) -> Result<()> {
        if self.more.contains_key(&name) {
            return Err(Error::invalid(format!("{name} is sent twice")).hint("give a token, or that metadata"));
        }
        self.more.insert(name, value);
        Ok(())
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        if let Some((username, password)) = &self.login {
            headers.insert("username", username.clone());
            headers.insert("password", password.clone());
        }
        for (name, value) in &self.more {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// The same error; of a device that does not know who asks, with what was not given to tell it, where something was not.
pub(super) fn with_lacking(error: Error, given: Option<&Credentials>) -> Error {
    if error.remedy != Some(Remedy::Credentials) || error.hint.is_some() {
        return error;
    }
    let nobody = Some(("neither a username nor a token was given", Remedy::Login));
    match given.map_or(nobody, Credentials::lacking) {
        Some((what, remedy)) => error.hint(what).remedy(remedy),
        None => error,
    }
}

fn value(what: &str, text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).ok().filter(|value| value.to_str().is_ok()).ok_or_else(|| {
        Error::invalid(format!("{what} has characters that gRPC metadata cannot carry")).hint("use printable ASCII")
    })
}

fn secret(what: &str, text: &str) -> Result<HeaderValue> {
    let mut value = value(what, text)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.more.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Credentials").field("username", &self.username()).field("keys", &keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(credentials: &Credentials) -> HeaderMap {
        let mut headers = HeaderMap::new();
        credentials.apply(&mut headers);
        headers
    }

    #[test]
    fn no_secret_is_in_any_text() {
        let credentials = Credentials::new("admin", "s3cret").expect("plain text");
        let credentials = credentials.with_token("s3cret-token").and_then(|it| it.with_metadata("x-key", b"s3cret"));
        let credentials = credentials.expect("plain text");
        let shown = format!("{credentials:?} {:?}", sent(&credentials));
        assert!(!shown.contains("s3cret") && shown.contains("x-key"), "{shown}");
        for error in [
            Credentials::new("admin", "s3cret\n").expect_err("a newline"),
            Credentials::default().with_token("s3cret\n").expect_err("a newline"),
            Credentials::default().with_token("s3cret b").expect_err("a blank"),
            Credentials::default().with_metadata("x-key", b"s3cret\n").expect_err("a newline"),
            Credentials::default().with_metadata("x-key", b"s3cret\xff").expect_err("no text"),
            Credentials::decoded("x-bin", "s3cret!").expect_err("no base64"),
        ] {
            assert!(!format!("{error:?}").contains("s3cret") && error.hint.is_some(), "{error}");
        }
    }

    #[test]
    fn a_device_that_does_not_know_who_asks_is_told_from_one_that_was_told_nothing() {
        let refused = Error::from_status(&tonic::Status::unauthenticated("wrong username or password"));
        let about = |given: Option<Credentials>| with_lacking(refused.clone(), given.as_ref()).remedy;
        let named = |password| Credentials::new("admin", password).expect("plain text");
        assert_eq!(about(None), Some(Remedy::Login));
        assert_eq!(about(Some(named(""))), Some(Remedy::Password));
        assert_eq!(about(Some(named("s3cret"))), Some(Remedy::Credentials));
        assert_eq!(about(named("").with_token("abc").ok()), Some(Remedy::Credentials));
        assert_eq!(about(Credentials::default().with_metadata("x-key", b"x").ok()), Some(Remedy::Credentials));
        let denied = Error::from_status(&tonic::Status::permission_denied("no"));
        assert_eq!(with_lacking(denied, None).remedy, None);
    }

    #[test]
    fn a_token_is_sent_as_a_bearers() {
        for token in ["abc", "Bearer abc", "bearer abc"] {
            let headers = sent(&Credentials::default().with_token(token).expect("a token"));
            assert_eq!(headers.get("authorization").expect("sent"), "Bearer abc");
        }
        assert!(sent(&Credentials::default()).is_empty());
    }

    #[test]
    fn metadata_is_sent_as_it_was_given() {
        let credentials = Credentials::default().with_metadata("X-Tenant", b"a").expect("an entry");
        let credentials = credentials.with_metadata("x-tenant", b"b").expect("another");
        let credentials = credentials.with_metadata("trace-bin", &[0, 255]).expect("bytes");
        let headers = sent(&credentials);
        let tenants: Vec<_> = headers.get_all("x-tenant").iter().map(|value| value.to_str().expect("text")).collect();
        assert_eq!(tenants, ["a", "b"]);
        assert_eq!(headers.get("trace-bin").expect("sent"), "AP8");
        assert_eq!(Credentials::decoded("trace-bin", "AP8=").expect("padded"), [0, 255]);
    }

    #[test]
    fn what_is_no_metadata_or_contradicts_is_refused() {
        let login = Credentials::new("admin", "p").expect("plain text");
        let bearer = Credentials::default().with_token("abc").expect("a token");
        for (credentials, key) in [
            (Credentials::default(), ""),
            (Credentials::default(), ":path"),
            (Credentials::default(), "a key"),
            (Credentials::default(), "grpc-timeout"),
            (Credentials::default(), "Content-Type"),
            (login, "username"),
            (bearer, "authorization"),
        ] {
            credentials.with_metadata(key, b"x").expect_err(key);
        }
    }
}
