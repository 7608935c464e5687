//! The audit trail of exchanges: who writes which record, and when. What a record is and how it is kept is the crate
//! `audit`'s.
//!
//! An audited exchange has two records, whatever becomes of it ([`Records`]): the opening one is confirmed before the first byte
//! goes upstream, the closing one before the client's last byte ([`sealed`] holds that back). What goes nowhere has both before its
//! end, and what is given up has the rest of them written behind it. Calls that plugins make on their own (`calls.send`)
//! come before the opening record: it says who called, which only a plugin can have found out.

mod describe;
mod records;
mod route;
mod sealed;
mod shipping;
#[cfg(test)]
mod tests;
mod trail;
mod unfinished;

pub use self::records::Records;
pub use self::route::AuditedRoute;
pub use self::sealed::seal;
pub use self::trail::{OpenTrailError, Trail};
pub use self::unfinished::Unfinished;
