//! Cases for a plugin: what comes in, and what is expected of it. The same file runs natively, on the SDK's test host, and on
//! the built wasm file, on the gateway's runtime; this crate is what both need: the format, and whether what was seen is what
//! was expected.
//!
//! ```yaml
//! - name: a key is asked for
//!   config: {header: x-key}
//!   steps:
//!     - request: {target: /a}
//!       expect: {status: 401, forwarded: null}
//!     - request: {target: /a, headers: {x-key: k}}
//!       upstream: {status: 200, body: hello}
//!       expect: {status: 200, body: hello, forwarded: {headers: {x-key: null}}, log: {user: k}}
//! ```
//!
//! `encoded: gzip` (`deflate`, `br`, `zstd`) beside a body, of a request or an upstream's answer, says that it is sent with this
//! content coding; bodies that are expected stand as whoever gets them reads them.
//!
//! A file is a list of cases, or an object with `cases` and the `version` of the format. What an expectation does not name is
//! not looked at; `null` says that something is not there.

mod coded;
mod format;
mod seen;
mod yaml;

pub use coded::{Encoded, Sent};
pub use format::{Answer, Case, Expect, Fails, Forward, Host, Message, Request, Step, VERSION, parse};
pub use seen::{Forwarded, Response, Seen};
