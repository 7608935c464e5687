//! Listeners: binding, TLS, accepting.
//!
//! Sockets are bound once, on the main thread ([`bind::plan`]), one per worker with `SO_REUSEPORT`; a reload changes
//! certificates and limits, never a socket that is already bound.

pub mod bind;
pub mod fdlimit;
pub mod quic;
pub mod tcp;
pub mod tls;
