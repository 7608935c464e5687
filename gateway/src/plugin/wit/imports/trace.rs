//! Interface `trace`: the exchange's place in a trace, and what plugins add to it. Where nothing of the exchange is recorded,
//! nothing is even checked: what it may be depends on nothing but the plugin, whose own tests show it.

use std::time::Instant;

use crate::exchange::Exchange;
use crate::plugin::wit::bindings::edge::gateway::http::{Exchange as Handle, FieldError};
use crate::plugin::wit::bindings::edge::gateway::trace::{self as contract, Context, Span};
use crate::plugin::wit::state::HostState;
use crate::trace::{Notes, SpanId, Value};

impl From<contract::Value> for Value<String> {
    fn from(value: contract::Value) -> Self {
        match value {
            contract::Value::Text(text) => Self::Text(text),
            contract::Value::Integer(number) => Self::Integer(number),
            contract::Value::Real(number) => Self::Real(number),
            contract::Value::Truth(truth) => Self::Truth(truth),
        }
    }
}

/// Where what is added is kept, if it is.
fn notes(exchange: &mut Exchange) -> Option<&mut Notes> {
    exchange.trace.as_mut()?.notes.as_deref_mut()
}

impl contract::Host for HostState {
    fn current(&mut self, of: Handle) -> wasmtime::Result<Option<Context>> {
        let Some(trace) = &self.exchange(of)?.trace else { return Ok(None) };
        let [high, low] = halves(trace.id.bytes());
        let recorded = trace.notes.is_some();
        let (span, trace_flags) = (u64::from_be_bytes(trace.span.bytes()), trace.flags());
        Ok(Some(Context { trace_high: high, trace_low: low, span, trace_flags, recorded }))
    }

    fn set_attribute(
        &mut self,
        of: Handle,
        to: Option<Span>,
        name: String,
        value: contract::Value,
    ) -> wasmtime::Result<Result<(), FieldError>> {
        let by = self.index;
        let Some(notes) = notes(self.exchange(of)?) else { return Ok(Ok(())) };
        Ok(notes.set_attribute(by, to, &name, Value::from(value)).map_err(Into::into))
    }

    fn begin_span(&mut self, of: Handle, name: String) -> wasmtime::Result<Result<Option<Span>, FieldError>> {
        let (by, phase) = (self.index, self.phase);
        let Some(notes) = notes(self.exchange(of)?) else { return Ok(Ok(None)) };
        let begun = notes.begin(by, phase, &name, || (SpanId::random(), Instant::now()));
        Ok(begun.map(Some).map_err(Into::into))
    }

    fn end_span(&mut self, of: Handle, ended: Span) -> wasmtime::Result<()> {
        if let Some(notes) = notes(self.exchange(of)?) {
            notes.end(ended, Instant::now);
        }
        Ok(())
    }
}

/// The two halves of an id, as numbers.
fn halves(id: [u8; 16]) -> [u64; 2] {
    let id = u128::from_be_bytes(id);
    // The halves are cut off on purpose.
    #[allow(clippy::cast_possible_truncation)]
    [(id >> 64) as u64, id as u64]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::Method;
    use http::uri::PathAndQuery;
    use plugin_rules::audit::{Action, Place};
    use wasmtime::Store;
    use wasmtime::component::{Component, Instance};

    use super::*;
    use crate::exchange::{ConnectionInfo, Protocol, RequestHead};
    use crate::message::FieldMap;
    use crate::message::headers::RequestId;
    use crate::model::PluginLimits;
    use crate::plugin::compile::nameless;
    use crate::plugin::engine::Host;
    use crate::plugin::wit::Linker;
    use crate::trace::{Trace, TraceId};

    /// What a guest calls the exchange.
    const OF: u32 = 5;

    /// A guest that makes every call of `trace` and `audit`. `run` gives the id of the exchange's span, `late` how an attribute
    /// was refused that came after its span's end, `noted` how a note was.
    const GUEST: &str = r#"(component
        (import "edge:gateway/trace@0.1.0" (instance $trace
            (type $context' (record (field "trace-high" u64) (field "trace-low" u64) (field "span" u64)
                (field "trace-flags" u8) (field "recorded" bool)))
            (export "context" (type $context (eq $context')))
            (type $value' (variant (case "text" string) (case "integer" s64) (case "real" f64) (case "truth" bool)))
            (export "value" (type $value (eq $value')))
            (type $error' (enum "invalid-name" "invalid-value" "not-allowed" "too-large" "too-late"))
            (export "field-error" (type $error (eq $error')))
            (export "current" (func (param "of" u32) (result (option $context))))
            (export "set-attribute" (func (param "of" u32) (param "to" (option u32)) (param "name" string)
                (param "value" $value) (result (result (error $error)))))
            (export "begin-span" (func (param "of" u32) (param "name" string)
                (result (result (option u32) (error $error)))))
            (export "end-span" (func (param "of" u32) (param "ended" u32)))))
        (import "edge:gateway/audit@0.1.0" (instance $audit
            (type $error' (enum "invalid-name" "invalid-value" "not-allowed" "too-large" "too-late"))
            (export "field-error" (type $error (eq $error')))
            (export "note" (func (param "of" u32) (param "category" string) (param "place" string)
                (param "action" string) (param "count" u32) (result (result (error $error)))))))
        (core module $memory (memory (export "memory") 1) (data (i32.const 0) "outer.value.card.request.body.masked"))
        (core instance $memory (instantiate $memory))
        (core func $current (canon lower (func $trace "current") (memory (core memory $memory "memory"))))
        (core func $set (canon lower (func $trace "set-attribute") (memory (core memory $memory "memory"))))
        (core func $begin (canon lower (func $trace "begin-span") (memory (core memory $memory "memory"))))
        (core func $end (canon lower (func $trace "end-span")))
        (core func $note (canon lower (func $audit "note") (memory (core memory $memory "memory"))))
        (core module $guest
            (import "host" "memory" (memory 1))
            (import "host" "current" (func $current (param i32 i32)))
            (import "host" "set" (func $set (param i32 i32 i32 i32 i32 i32 i64 i32 i32)))
            (import "host" "begin" (func $begin (param i32 i32 i32 i32)))
            (import "host" "end" (func $end (param i32 i32)))
            (import "host" "note" (func $note (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (func (export "run") (param $of i32) (result i64)
                (call $current (local.get $of) (i32.const 256))
                (call $begin (local.get $of) (i32.const 0) (i32.const 5) (i32.const 512))
                (call $set (local.get $of) (i32.const 1) (i32.load (i32.const 520)) (i32.const 0) (i32.const 11)
                    (i32.const 0) (i64.const 6) (i32.const 5) (i32.const 600))
                (call $set (local.get $of) (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 5)
                    (i32.const 1) (i64.const -7) (i32.const 0) (i32.const 600))
                (call $end (local.get $of) (i32.load (i32.const 520)))
                (call $set (local.get $of) (i32.const 1) (i32.load (i32.const 520)) (i32.const 6) (i32.const 5)
                    (i32.const 3) (i64.const 1) (i32.const 0) (i32.const 608))
                (call $begin (local.get $of) (i32.const 6) (i32.const 5) (i32.const 512))
                (call $note (local.get $of) (i32.const 12) (i32.const 4) (i32.const 17) (i32.const 12)
                    (i32.const 30) (i32.const 6) (i32.const 3) (i32.const 616))
                (call $note (local.get $of) (i32.const 12) (i32.const 4) (i32.const 17) (i32.const 7)
                    (i32.const 30) (i32.const 6) (i32.const 3) (i32.const 624))
                (i64.load (i32.const 280)))
            (func (export "late") (result i32) (i32.load8_u (i32.const 609)))
            (func (export "noted") (result i32) (i32.load8_u (i32.const 625))))
        (core instance $guest (instantiate $guest (with "host" (instance
            (export "memory" (memory $memory "memory")) (export "current" (func $current)) (export "set" (func $set))
            (export "begin" (func $begin)) (export "end" (func $end)) (export "note" (func $note))))))
        (func (export "run") (param "of" u32) (result u64) (canon lift (core func $guest "run")))
        (func (export "late") (result u32) (canon lift (core func $guest "late")))
        (func (export "noted") (result u32) (canon lift (core func $guest "noted"))))"#;

    fn exchange(trace: Option<Trace>) -> Box<Exchange> {
        let path = PathAndQuery::from_static("/");
        let request = RequestHead::new(Method::GET, "https", "a.example".to_owned(), path, FieldMap::new());
        let connection = ConnectionInfo::local(Protocol::Http2);
        let mut exchange = Exchange::new(RequestId::random(), connection, [192, 0, 2, 1].into(), request);
        exchange.trace = trace;
        Box::new(exchange)
    }

    fn trace(notes: Option<Box<Notes>>) -> Trace {
        let mut trace = Trace::new(TraceId::random(), SpanId::random(), true);
        trace.notes = notes;
        trace
    }

    /// Runs the guest, third of its chain, over an exchange; how it was refused what it was.
    fn run(exchange: Box<Exchange>) -> (Box<Exchange>, u64, [u32; 2]) {
        let host = Host::to_compile();
        let engine = &host.runtime().unwrap().engine;
        let linker = Linker::new(engine, false).unwrap();
        let component = Component::new(engine, wat::parse_str(GUEST).unwrap()).unwrap();
        let mut state = HostState::new(Arc::new(nameless(&host, PluginLimits::default())), None);
        (state.exchange, state.handle, state.index) = (Some(exchange), OF, 2);
        (state.host_calls, state.phase) = (9, crate::phase::Phase::RequestHeaders);
        state.clock.start(Duration::from_secs(60), false, false);
        let mut store = Store::new(engine, state);
        store.set_epoch_deadline(u64::MAX / 2);
        let instance: Instance = linker.0.instantiate(&mut store, &component).unwrap();
        let calls = instance.get_typed_func::<(u32,), (u64,)>(&mut store, "run").unwrap();
        let (span,) = calls.call(&mut store, (OF,)).unwrap();
        let refused = ["late", "noted"].map(|name| {
            let told = instance.get_typed_func::<(), (u32,)>(&mut store, name).unwrap();
            told.call(&mut store, ()).unwrap().0
        });
        assert_eq!(store.data().host_calls, 0, "each call is charged");
        (store.data_mut().exchange.take().unwrap(), span, refused)
    }

    #[test]
    fn what_a_guest_adds_is_kept_with_the_exchange() {
        let (exchange, told, [late, noted]) = run(exchange(Some(trace(Some(Box::default())))));
        let trace = exchange.trace.as_ref().unwrap();
        assert_eq!(told, u64::from_be_bytes(trace.span.bytes()), "it reads the context");
        let notes = trace.notes.as_deref().unwrap();
        let [outer, left] = notes.spans() else { panic!("two spans: {notes:?}") };
        assert_eq!((&*outer.name, outer.by, outer.ended.is_some()), ("outer", 2, true));
        assert_eq!((&*left.name, left.parent, left.ended), ("value", None, None), "whoever called it ends it");
        assert_eq!(notes.current(), Some(left.id));
        let [text, number] = notes.attributes() else { panic!("two attributes: {notes:?}") };
        assert_eq!((&*text.name, text.span, &text.value), ("outer.value", Some(0), &Value::Text("value".into())));
        assert_eq!((&*number.name, number.span, &number.value), ("value", None, &Value::Integer(-7)));
        assert_eq!(late, FieldError::TooLate as u32);
        let [note] = exchange.audit_notes.as_slice() else { panic!("one note") };
        assert_eq!((note.by, &*note.category, note.count), (2, "card", 3));
        assert_eq!((note.place, note.action), (Place::RequestBody, Action::Masked));
        assert_eq!(noted, FieldError::InvalidValue as u32);
    }

    #[test]
    fn where_nothing_is_recorded_nothing_is_kept_and_nothing_refused() {
        for unrecorded in [None, Some(trace(None))] {
            let (exchange, _, [late, _]) = run(exchange(unrecorded));
            assert!(exchange.trace.is_none_or(|trace| trace.notes.is_none()));
            assert_eq!(late, 0);
            assert_eq!(exchange.audit_notes.as_slice().len(), 1, "the audit trail is another matter");
        }
    }

    #[test]
    fn an_id_has_two_halves() {
        let id: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap_or(0));
        assert_eq!(halves(id), [0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f]);
    }
}
