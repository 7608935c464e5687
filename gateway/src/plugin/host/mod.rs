//! What the host does for guests, and what it refuses, whatever ABI they speak: on the gateway's own types.

pub mod calls;
pub(super) mod clock;
pub mod fields;
pub(super) mod flights;
pub(super) mod log_gate;
pub(super) mod notes;
pub(super) mod own_words;
pub(super) mod properties;
pub mod response;
pub mod target;
