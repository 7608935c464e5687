//! Natively: the test host of this thread.

use crate::testing::Data;

/// An exchange of the test host.
pub(crate) type Handle<'a> = &'a Data;

pub(crate) mod exchange {
    pub(crate) use crate::testing::exchange_calls::*;
}

pub(crate) mod sys {
    use crate::bindings::edge::gateway::sys::Level;
    use crate::testing::current;

    pub(crate) fn log(at: Level, message: &str) {
        current(|host| host.logs.borrow_mut().push((at, message.to_owned())));
    }

    pub(crate) fn max_level() -> Level {
        current(|host| host.level.get())
    }

    pub(crate) fn unix_ms() -> u64 {
        current(|host| u64::try_from(host.now.get().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn monotonic_ns() -> u64 {
        current(|host| u64::try_from(host.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn random(count: u32) -> Vec<u8> {
        current(|host| host.random(count as usize))
    }
}

pub(crate) mod secrets {
    pub(crate) fn get(name: &str) -> Option<Vec<u8>> {
        crate::testing::current(|host| host.secrets.borrow().get(name).cloned())
    }
}

pub(crate) mod metrics {
    use crate::bindings::edge::gateway::metrics::Label;
    use crate::testing::{current, metric_key};

    fn valid_name(name: &str) -> bool {
        (1..=100).contains(&name.len())
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }

    /// The gateway ends a plugin that makes one of these mistakes.
    fn check(name: &str, labels: &[Label]) {
        assert!(valid_name(name), "a metric's name has letters, digits and underscores, at most 100: {name:?}");
        assert!(labels.len() <= 8, "a metric has at most 8 labels: {name}");
        for Label { key, .. } in labels {
            assert!(valid_name(key), "a label's key has letters, digits and underscores, at most 100: {key:?}");
        }
    }

    pub(crate) fn count(name: &str, labels: &[Label], delta: u64) {
        check(name, labels);
        let labels: Vec<_> = labels.iter().map(|label| (&*label.key, &*label.value)).collect();
        current(|host| *host.counts.borrow_mut().entry(metric_key(name, &labels)).or_default() += delta);
    }

    pub(crate) fn observe(name: &str, labels: &[Label], value: f64) {
        check(name, labels);
        // What is no number is dropped.
        if !value.is_finite() {
            return;
        }
        let labels: Vec<_> = labels.iter().map(|label| (&*label.key, &*label.value)).collect();
        current(|host| host.observations.borrow_mut().entry(metric_key(name, &labels)).or_default().push(value));
    }
}

pub(crate) mod kv {
    use crate::bindings::edge::gateway::kv::Entry;
    use crate::testing::current;

    pub(crate) fn get(key: &str) -> Option<Entry> {
        current(|host| host.state.borrow_mut().get(key, host.elapsed()))
    }

    pub(crate) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> u64 {
        current(|host| host.state.borrow_mut().set(key, value, ttl_ms, host.elapsed()))
    }

    pub(crate) fn delete(key: &str) {
        current(|host| host.state.borrow_mut().delete(key));
    }

    pub(crate) fn compare_and_swap(
        key: &str,
        expect: Option<u64>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
    ) -> Result<u64, Option<Entry>> {
        current(|host| host.state.borrow_mut().compare_and_swap(key, expect, value, ttl_ms, host.elapsed()))
    }
}

pub(crate) mod counters {
    use crate::bindings::edge::gateway::counters::{Claim, Decision};
    use crate::testing::current;

    pub(crate) fn take(claims: &[Claim]) -> Vec<Decision> {
        current(|host| host.state.borrow_mut().take(claims, host.elapsed()))
    }

    pub(crate) fn add(key: &str, delta: i64, window_ms: u64) -> i64 {
        current(|host| host.state.borrow_mut().add(key, delta, window_ms, host.elapsed()))
    }
}

pub(crate) mod calls {
    use crate::bindings::edge::gateway::calls::{Error, Request, Response};
    use crate::bindings::edge::gateway::types::Header;
    use crate::testing::{current, owned_by_host};

    /// Largest body of a request or a response of a call.
    const MAX_BODY: usize = 1 << 20;

    /// The gateway's checks of what a plugin asks for.
    fn validate(of: &Request) -> Result<(), Error> {
        let token = |text: &str| {
            let mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
        };
        let visible = of.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if matches!(&*of.method, "CONNECT" | "TRACE") || !token(&of.method) || !of.path.starts_with('/') || !visible {
            return Err(Error::Denied);
        }
        if of.body.len() > MAX_BODY || of.headers.len() > 100 {
            return Err(Error::TooLarge);
        }
        let printable = |value: &[u8]| value.iter().all(|&byte| (byte >= 0x20 || byte == b'\t') && byte != 0x7f);
        let fits = |field: &Header| token(&field.name) && printable(&field.value) && !owned_by_host(&field.name);
        if of.headers.iter().all(fits) { Ok(()) } else { Err(Error::Denied) }
    }

    pub(crate) fn send(of: &Request) -> Result<Response, Error> {
        // An upstream that isn't granted is denied, whether it exists or not.
        let upstream = current(|host| match host.configuring.get() {
            true => None,
            false => host.upstreams.borrow().get(&of.upstream).cloned(),
        });
        let upstream = upstream.ok_or(Error::Denied)?;
        validate(of)?;
        let is_refused = current(|host| host.refusing.get());
        current(|host| host.refused.set(is_refused));
        if is_refused {
            return Err(Error::Connect);
        }
        current(|host| host.calls.borrow_mut().push(of.clone()));
        let answer = upstream(of)?;
        let headers = answer.headers.into_iter().map(|(name, value)| Header { name, value }).collect();
        let body = answer.chunks.concat();
        if body.len() > MAX_BODY {
            return Err(Error::TooLarge);
        }
        Ok(Response { status: answer.status, headers, body })
    }

    pub(crate) fn granted(upstream: &str) -> bool {
        current(|host| host.upstreams.borrow().contains_key(upstream))
    }

    pub(crate) fn refused_here() -> bool {
        current(|host| host.refused.get())
    }
}

pub(crate) mod crypto {
    pub(crate) use crate::testing::crypto::{Key, digest};
}
