//! HTTP calls to upstreams that the operator granted: the only thing that waits.
//!
//! ```
//! use plugin_sdk::{calls, testing::{TestHost, TestResponse}};
//! let host = TestHost::new().upstream("idp", |request| {
//!     assert_eq!(request.path, "/keys");
//!     Ok(TestResponse::new(200).body("{}"))
//! });
//! let answer = host.enter(|| calls::get("idp", "/keys").header("accept", "application/json").send());
//! assert!(answer.is_ok_and(|answer| answer.is_success()));
//! ```

use std::borrow::Cow;
use std::time::Duration;

use crate::bindings::edge::gateway::{calls as wit, types};
use crate::exchange::millis;

pub use wit::Error;

/// A call to make.
#[derive(Clone, Debug)]
#[must_use = "nothing happens until it is sent"]
pub struct Call(wit::Request);

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The fields, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether its status is 200 to 299. An answer is there whatever its status: where it decides, look.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The first value of this name. What isn't UTF-8 is replaced, so that a field which is there is never taken for none.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(value))
    }
}

/// A GET.
pub fn get(upstream: &str, path: &str) -> Call {
    call("GET", upstream, path)
}

/// A POST.
pub fn post(upstream: &str, path: &str, body: impl Into<Vec<u8>>) -> Call {
    call("POST", upstream, path).body(body)
}

/// A call with any method; it may take two seconds, unless told otherwise.
pub fn call(method: &str, upstream: &str, path: &str) -> Call {
    Call(wit::Request {
        upstream: upstream.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 2000,
        single_flight: false,
    })
}

/// Whether the operator granted this upstream to the plugin. For `configure`, in which nothing can be called yet: a config
/// that names another one is a mistake to be reported there.
pub fn is_granted(upstream: &str) -> bool {
    crate::raw::calls::granted(upstream)
}

/// Whether it was the gateway itself that had no room for the last call, which then ended in [`Error::Connect`]: too many
/// instances wait for calls already, or there is no memory for it. That says nothing of the upstream, so there is nothing to
/// remember against it: the next caller may be luckier.
pub fn was_refused_here() -> bool {
    crate::raw::calls::refused_here()
}

impl Call {
    /// Adds a field.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push(types::Header { name: name.to_owned(), value: value.into() });
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// How long it may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = u32::try_from(millis(timeout)).unwrap_or(u32::MAX);
        self
    }

    /// Shares one call and its outcome with equal GETs in flight anywhere in the gateway, and with those that come just
    /// behind it; a header `cache-control: no-cache` says that only one that is under way will do.
    pub fn single_flight(mut self) -> Self {
        self.0.single_flight = true;
        self
    }

    /// Sends it and waits. A 403 is an answer as well: see [`Answer::is_success`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn send(self) -> Result<Answer, Error> {
        crate::raw::calls::send(&self.0).map(Into::into)
    }
}

impl From<wit::Response> for Answer {
    fn from(answer: wit::Response) -> Self {
        let headers = answer.headers.into_iter().map(|field| (field.name, field.value)).collect();
        Self { status: answer.status, headers, body: answer.body }
    }
}

/// Calls that the host makes at once.
const AT_ONCE: usize = 16;

/// Sends several calls and waits for all of them, 16 at a time; their outcomes, in their order. The answers have to fit into
/// the instance together.
///
/// ```
/// use plugin_sdk::{calls, testing::{TestHost, TestResponse}};
/// let host = TestHost::new().upstream("stock", |request| Ok(TestResponse::new(200).body(request.path.as_str())));
/// let answers = host.enter(|| calls::send_all(["/a", "/b"].map(|path| calls::get("stock", path))));
/// assert_eq!(answers[1].as_ref().unwrap().body, b"/b");
/// ```
pub fn send_all(calls: impl IntoIterator<Item = Call>) -> Vec<Result<Answer, Error>> {
    let calls: Vec<wit::Request> = calls.into_iter().map(|call| call.0).collect();
    let outcomes = calls.chunks(AT_ONCE).flat_map(crate::raw::calls::send_all);
    outcomes.map(|outcome| outcome.map(Into::into)).collect()
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::testing::{TestHost, TestResponse};

    #[test]
    fn more_calls_than_the_host_makes_at_once_are_sent_in_turn() {
        assert_eq!(AT_ONCE, plugin_rules::calls::MAX_AT_ONCE);
        let host = TestHost::new().upstream("one", |_| Ok(TestResponse::new(200)));
        let answers = host.enter(|| send_all((0..3 * AT_ONCE).map(|_| get("one", "/"))));
        assert!(answers.len() == 3 * AT_ONCE && answers.iter().all(Result::is_ok));
    }
}
