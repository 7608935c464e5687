//! What a call of a plugin tells its callee of the trace, and what is kept of it.

use http::Method;
use tokio::time::Instant;

use crate::message::FieldMap;
use crate::plugin::host::calls::CallError;
use crate::plugin::host::flights::CallResult;
use crate::plugin::wit::state::HostState;
use crate::sanitize::known_method;
use crate::trace::{CallRecord, Trace, numbers};

/// What is known of a call before it is made, where something is kept of it.
pub(super) type Traced = Option<Box<CallRecord>>;

impl HostState {
    /// Makes the fields of a call tell of the trace, whatever the plugin wrote into them. `number`: how many calls are made at
    /// the same time before it.
    pub(super) fn trace(&self, upstream: &str, method: &Method, number: usize, fields: &mut FieldMap) -> Traced {
        let trace = self.exchange.as_ref()?.trace.as_ref()?;
        let Some(record) = &trace.record else {
            trace.write(trace.span, fields);
            return None;
        };
        let span = trace.span.below(numbers::call(record.next_call() + number as u64));
        trace.write(span, fields);
        let upstream = self.context.upstreams.iter().find(|granted| ***granted == *upstream)?;
        let now = Instant::now().into_std();
        Some(Box::new(CallRecord {
            by: self.index,
            phase: self.phase,
            span,
            parent: trace.notes.as_ref().and_then(|notes| notes.current()),
            upstream: upstream.clone(),
            method: known_method(method),
            began: now,
            ended: now,
            outcome: Ok(0),
        }))
    }

    /// Notes what came of a call.
    pub(super) fn note(&mut self, traced: Traced, outcome: &CallResult, ended: Instant) {
        let Some(mut call) = traced else { return };
        call.ended = ended.into_std();
        call.outcome = outcome.as_ref().map(|response| response.status).map_err(|error| name(*error));
        let trace = self.exchange.as_mut().and_then(|exchange| exchange.trace.as_mut());
        if let Some(record) = trace.and_then(Trace::record) {
            record.call(*call);
        }
    }
}

/// The word used in traces.
const fn name(error: CallError) -> &'static str {
    match error {
        CallError::Denied => "denied",
        CallError::UnknownUpstream => "unknown-upstream",
        CallError::Timeout => "timeout",
        CallError::Connect => "connect",
        CallError::Busy => "busy",
        CallError::TooLarge => "too-large",
        CallError::Reset => "reset",
    }
}
