//! Natively: the test host of this thread.

use crate::testing::Data;

/// An exchange of the test host.
pub(crate) type Handle<'a> = &'a Data;

pub(crate) mod exchange {
    use crate::Failure;
    use crate::bindings::edge::gateway::http::{FieldError, Part};
    use crate::bindings::edge::gateway::types::Header;
    use crate::testing::{Data, charge, exchange_calls};

    macro_rules! forward {
        ($($name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {
            $(pub(crate) fn $name(of: &Data $(, $arg: $ty)*) $(-> $out)? {
                charge();
                exchange_calls::$name(of $(, $arg)*)
            })*
        };
    }

    forward! {
        get(part: Part, name: &str) -> Option<Vec<u8>>;
        get_all(part: Part, name: Option<&str>) -> Vec<Header>;
        set(part: Part, name: &str, value: &[u8]) -> Result<(), FieldError>;
        append(part: Part, name: &str, value: &[u8]) -> Result<(), FieldError>;
        remove(part: Part, name: &str) -> Result<(), FieldError>;
        method() -> String;
        scheme() -> String;
        authority() -> String;
        path() -> String;
        property(name: &str) -> Option<String>;
        measure(name: &str) -> Option<u64>;
        upstream_failure() -> Option<Failure>;
        set_target(method: Option<&str>, authority: Option<&str>, path: Option<&str>) -> Result<(), FieldError>;
        set_upstream(name: &str) -> Result<(), String>;
        set_status(code: u16) -> Result<(), FieldError>;
        state() -> Vec<u8>;
        set_state(value: &[u8]);
        take_stream_state() -> Option<Vec<u8>>;
        set_stream_state(value: &[u8]);
        put_attribute(name: &str, value: &str) -> Result<(), FieldError>;
        store_response(key: &str, ttl_ms: u64);
        log_fields() -> Vec<(String, String)>;
        set_log_field(name: &str, value: Option<&str>);
    }
}

pub(crate) mod sys {
    use crate::bindings::edge::gateway::sys::Level;
    use crate::testing::{charge, current};

    pub(crate) fn log(at: Level, message: &str) {
        charge();
        current(|host| host.logs.borrow_mut().push((at, message.to_owned())));
    }

    pub(crate) fn max_level() -> Level {
        charge();
        current(|host| host.level.get())
    }

    pub(crate) fn unix_ms() -> u64 {
        charge();
        current(|host| u64::try_from(host.now.get().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn monotonic_ns() -> u64 {
        charge();
        current(|host| u64::try_from(host.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn random(count: u32) -> Vec<u8> {
        charge();
        current(|host| host.random(count as usize))
    }
}

pub(crate) mod secrets {
    use crate::testing::{charge, current};

    pub(crate) fn get(name: &str) -> Option<Vec<u8>> {
        charge();
        current(|host| host.secrets.borrow().get(name).cloned())
    }
}

pub(crate) mod metrics {
    use crate::bindings::edge::gateway::metrics::Label;
    use crate::testing::{Host, charge, current, metric_key};

    /// What is counted in `configure` is forgotten, and what can't be a series dropped.
    fn series(host: &Host, name: &str, labels: &[Label]) -> Option<String> {
        let labels: Vec<_> = labels.iter().map(|label| (&*label.key, &*label.value)).collect();
        metric_key(name, &labels).filter(|_| !host.configuring.get())
    }

    pub(crate) fn count(name: &str, labels: &[Label], delta: u64) {
        charge();
        current(|host| {
            if let Some(key) = series(host, name, labels) {
                *host.counts.borrow_mut().entry(key).or_default() += delta;
            }
        });
    }

    pub(crate) fn observe(name: &str, labels: &[Label], value: f64) {
        charge();
        current(|host| {
            // What is no number is dropped.
            if let Some(key) = series(host, name, labels).filter(|_| value.is_finite()) {
                host.observations.borrow_mut().entry(key).or_default().push(value);
            }
        });
    }
}

pub(crate) mod kv {
    use crate::bindings::edge::gateway::kv::Entry;
    use crate::testing::{charge, current};

    pub(crate) fn get(key: &str) -> Option<Entry> {
        charge();
        current(|host| host.state.borrow_mut().get(key, host.elapsed()))
    }

    pub(crate) fn put(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Option<u64> {
        charge();
        current(|host| host.state.borrow_mut().put(key, value, ttl_ms, host.elapsed()))
    }

    pub(crate) fn delete(key: &str) {
        charge();
        current(|host| host.state.borrow_mut().delete(key));
    }

    pub(crate) fn swap(
        key: &str,
        expect: Option<u64>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
    ) -> Result<Option<u64>, Option<Entry>> {
        charge();
        current(|host| host.state.borrow_mut().swap(key, expect, value, ttl_ms, host.elapsed()))
    }
}

pub(crate) mod counters {
    use crate::bindings::edge::gateway::counters::{Claim, Decision};
    use crate::testing::{charge, current};

    pub(crate) fn try_take(claims: &[Claim]) -> Option<Vec<Decision>> {
        charge();
        current(|host| host.state.borrow_mut().try_take(claims, host.elapsed()))
    }

    pub(crate) fn add(key: &str, delta: i64, window_ms: u64) -> i64 {
        charge();
        current(|host| host.state.borrow_mut().add(key, delta, window_ms, host.elapsed()))
    }
}

pub(crate) mod calls {
    use plugin_rules::calls::{MAX_AT_ONCE, MAX_BODY, Refusal, check_request, may_have};

    use crate::bindings::edge::gateway::calls::{Error, Request, Response};
    use crate::bindings::edge::gateway::types::Header;
    use crate::testing::{charge, current};

    /// The gateway's checks of what a plugin asks for.
    fn validate(of: &Request) -> Result<(), Error> {
        check_request(&of.method, &of.path, of.headers.len(), of.body.len()).map_err(|refusal| match refusal {
            Refusal::Denied => Error::Denied,
            Refusal::TooLarge => Error::TooLarge,
        })?;
        let fits = |field: &Header| may_have(&field.name.to_ascii_lowercase(), &field.value);
        if of.headers.iter().all(fits) { Ok(()) } else { Err(Error::Denied) }
    }

    pub(crate) fn send(of: &Request) -> Result<Response, Error> {
        charge();
        current(|host| host.refused.set(false));
        make(of)
    }

    fn make(of: &Request) -> Result<Response, Error> {
        // An upstream that isn't granted is denied, whether it exists or not.
        let upstream = current(|host| match host.configuring.get() {
            true => None,
            false => host.upstreams.borrow().get(&of.upstream).cloned(),
        });
        let upstream = upstream.ok_or(Error::Denied)?;
        validate(of)?;
        if current(|host| host.refusing.get()) {
            current(|host| host.refused.set(true));
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

    pub(crate) fn send_all(of: &[Request]) -> Vec<Result<Response, Error>> {
        assert!(of.len() <= MAX_AT_ONCE, "calls.send-all: at most {MAX_AT_ONCE} calls at once");
        current(|host| host.refused.set(false));
        of.iter()
            .map(|request| {
                charge();
                make(request)
            })
            .collect()
    }

    pub(crate) fn granted(upstream: &str) -> bool {
        charge();
        current(|host| host.upstreams.borrow().contains_key(upstream))
    }

    pub(crate) fn refused_here() -> bool {
        charge();
        current(|host| host.refused.get())
    }
}

pub(crate) mod crypto {
    pub(crate) use crate::testing::crypto::{Key, digest};
}

pub(crate) mod trace {
    use plugin_rules::phase::Phase;
    use plugin_rules::trace::Value as Ruled;

    use crate::FieldError;
    use crate::bindings::edge::gateway::trace::{Context, Value};
    use crate::testing::{Data, charge, current as host};

    pub(crate) fn is_recorded(of: &Data) -> bool {
        of.trace.is_some_and(|trace| trace.is_recorded())
    }

    pub(crate) fn current(of: &Data) -> Option<Context> {
        charge();
        of.trace.map(crate::trace::TraceContext::context)
    }

    pub(crate) fn set_attribute(of: &Data, to: Option<u32>, name: &str, value: &Value) -> Result<(), FieldError> {
        charge();
        let value = match value {
            Value::Text(text) => Ruled::Text(text.as_str()),
            Value::Integer(number) => Ruled::Integer(*number),
            Value::Real(number) => Ruled::Real(*number),
            Value::Truth(truth) => Ruled::Truth(*truth),
        };
        Ok(of.trace_notes.borrow_mut().set_attribute(0, to, name, value)?)
    }

    pub(crate) fn begin_span(of: &Data, name: &str) -> Result<Option<u32>, FieldError> {
        charge();
        let (phase, now) = (of.phase().unwrap_or(Phase::Describe), host(|host| host.elapsed()));
        Ok(of.trace_notes.borrow_mut().begin(0, phase, name, || ((), now)).map(Some)?)
    }

    pub(crate) fn end_span(of: &Data, span: u32) {
        charge();
        let now = host(|host| host.elapsed());
        of.trace_notes.borrow_mut().end(span, || now);
    }
}

pub(crate) mod audit {
    use plugin_rules::audit::check;
    use plugin_rules::phase::Phase;

    use crate::FieldError;
    use crate::testing::{Data, charge};

    pub(crate) fn note(of: &Data, category: &str, place: &str, action: &str, count: u32) -> Result<(), FieldError> {
        charge();
        let what = check(of.phase().unwrap_or(Phase::Describe), category, place, action)?;
        Ok(of.audit_notes.borrow_mut().add(0, category, what, count)?)
    }
}
