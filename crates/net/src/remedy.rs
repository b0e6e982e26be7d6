//! What to say otherwise about how a target is reached. Each front end words it with the names it gives its settings.

macro_rules! remedies {
    ($($remedy:ident $word:literal $doc:literal)*) => {
        /// A setting to give, to change or to leave out. A hint that stands beside it leads up to it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Remedy {
            $(#[doc = $doc] $remedy,)*
        }

        impl Remedy {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$remedy),*];

            /// What it is called where it crosses to a front end.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$remedy => $word,)*
                }
            }
        }
    };
}

remedies! {
    Plaintext "plaintext" "Ask for plaintext."
    Tls "tls" "Do not ask for plaintext."
    CertificateAuthority "certificate-authority" "Say who signed the target's certificate."
    ClientCertificate "client-certificate" "Show a certificate of ours, with its key."
    Certificate "certificate" "Give the certificate that belongs to the key."
    Key "key" "Give the key that belongs to the certificate."
    KeyPassword "key-password" "Give what opens the key."
    ServerName "server-name" "Say which name the target's certificate is for."
    SkipVerify "skip-verify" "Trust whoever answers."
    PinCertificate "pin-certificate" "Name the target's own certificate as one that is trusted."
    Proxy "proxy" "Say by which proxy the target is reached."
    Credentials "credentials" "Look at the username and the password."
    Login "login" "Say who logs in."
    Password "password" "Give the password of who logs in."
    Platform "platform" "Say which image of an archive is meant, by its platform."
    ReadyDeadline "ready-deadline" "Give the standby longer to get ready."
}
