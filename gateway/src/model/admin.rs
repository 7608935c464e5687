//! The `admin` section.

use std::net::SocketAddr;

use super::reload::Deferred;

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Loopback by default.
    pub address: SocketAddr,
}

impl Admin {
    /// The listener is bound by the start.
    pub(super) fn keep(new: &mut Option<Self>, running: &Option<Self>, deferred: &mut Deferred) {
        let show = |admin: &Option<Self>| admin.as_ref().map_or("off".to_owned(), |admin| admin.address.to_string());
        deferred.keep(new, running, |new| {
            let (now, next) = (show(running), show(new));
            format!("admin changes from {now} to {next} at the next start; until then it stays as it is")
        });
    }
}
