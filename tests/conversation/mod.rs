//! Conversations with a peer that follows a script, down to the bytes of HTTP/2, and what may come of them.

pub mod calls;
pub mod check;
pub mod drawn;
pub mod frames;
pub mod peer;
pub mod script;
pub mod told;
