//! Who logs in. The password is sent and never shown.

use std::fmt;

use http::{HeaderMap, HeaderValue};

use crate::error::Error;

/// A user's name and password, as gNMI and gNOI want them: metadata `username` and `password`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: HeaderValue,
    password: HeaderValue,
}

impl Credentials {
    /// Fails on what cannot be an HTTP/2 header, without repeating the password.
    pub fn new(username: &str, password: &str) -> Result<Self, Error> {
        let header = |what: &str, text: &str| {
            HeaderValue::from_str(text).map_err(|_| {
                Error::invalid(format!("the {what} has characters that gRPC metadata cannot carry"))
                    .hint("use printable ASCII")
            })
        };
        let mut credentials = Self { username: header("username", username)?, password: header("password", password)? };
        credentials.password.set_sensitive(true);
        Ok(credentials)
    }

    /// For a container that dials: what it is told to log in with.
    pub fn username(&self) -> &str {
        self.username.to_str().unwrap_or_default()
    }

    /// The same of the password.
    pub fn password(&self) -> &str {
        self.password.to_str().unwrap_or_default()
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        headers.insert("username", self.username.clone());
        headers.insert("password", self.password.clone());
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_no_text() {
        let credentials = Credentials::new("admin", "s3cret").expect("plain text");
        assert!(!format!("{credentials:?}").contains("s3cret"));
        let error = Credentials::new("admin", "s3cret\n").expect_err("a newline");
        assert!(!error.to_string().contains("s3cret"));
    }
}
