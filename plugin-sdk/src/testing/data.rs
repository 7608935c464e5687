//! The exchange that the test host owns, and the functions that a plugin calls on it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use plugin_rules::class::{Direction, same_when_folded};
use plugin_rules::phase::Phase;

use super::message::FieldList;
use super::notes::TraceNotes;
use super::stored::Edited;
use crate::Failure;
use crate::bindings::edge::gateway::http::Part;
use crate::trace::TraceContext;

/// One exchange in a test host.
#[derive(Debug, Default)]
pub struct Data {
    pub(super) method: RefCell<String>,
    pub(super) scheme: String,
    pub(super) authority: RefCell<String>,
    pub(super) target: RefCell<String>,
    pub(super) parts: [RefCell<FieldList>; 4],
    /// The request's fields that the plugin changed, with the client's values.
    pub(super) edited: RefCell<Edited>,
    /// The response's fields that the plugin set or took off: no trailer may bring them back.
    pub(super) barred: RefCell<BTreeSet<String>>,
    /// The plugin itself has named the principal.
    pub(super) named_here: Cell<bool>,
    /// The head of the request has gone out: changes come too late.
    pub(super) request_sent: Cell<bool>,
    /// There is a response.
    pub(super) responded: Cell<bool>,
    /// The head of the response has gone out.
    pub(super) response_sent: Cell<bool>,
    /// The phase that runs.
    pub(super) phase: Cell<Option<Phase>>,
    /// Upstreams that `set_upstream` may name.
    pub(super) granted: Vec<String>,
    pub(super) properties: RefCell<BTreeMap<String, String>>,
    pub(super) measures: RefCell<BTreeMap<String, u64>>,
    pub(super) failure: Cell<Option<Failure>>,
    pub(super) state: RefCell<Vec<u8>>,
    /// What is kept of the bodies of the request and of the response.
    pub(super) streams: [RefCell<Option<Vec<u8>>>; 2],
    /// More was to be kept of them than may be: for good, whatever is kept later.
    pub(super) lost: [Cell<bool>; 2],
    /// None where the plugin takes one back.
    pub(super) log_fields: RefCell<Vec<(String, Option<String>)>>,
    pub(super) store: RefCell<Option<(String, u64)>>,
    /// Its place in a trace.
    pub(crate) trace: Option<TraceContext>,
    /// What the plugin has added to that.
    pub(crate) trace_notes: RefCell<TraceNotes>,
    /// What it has told the audit trail.
    pub(crate) audit_notes: RefCell<plugin_rules::audit::Notes>,
}

impl Data {
    /// The phase that runs.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.phase.get()
    }

    pub(super) fn part(&self, part: Part) -> &RefCell<FieldList> {
        &self.parts[part as usize]
    }

    /// The trailers of a message as they go out, without what the plugin set or took off in its head.
    pub(super) fn trailers(&self, of: Direction) -> FieldList {
        let (part, names): (_, Vec<String>) = match of {
            Direction::Request => (Part::RequestTrailers, self.edited.borrow().keys().cloned().collect()),
            Direction::Response => (Part::ResponseTrailers, self.barred.borrow().iter().cloned().collect()),
        };
        let mut trailers = self.part(part).borrow().clone();
        trailers.retain(|(name, _)| !names.iter().any(|barred| same_when_folded(barred, name)));
        trailers
    }
}

/// The functions of `http`.
pub(crate) mod exchange_calls {

    use plugin_rules::body::{MAX_STREAM_STATE, stream_of};
    use plugin_rules::fields::{self, Progress, check_allowed, check_name, check_room, check_writable, trim_value};
    use plugin_rules::kv::kept_by;
    use plugin_rules::phase::Phase;
    use plugin_rules::{notes, response, target};

    use super::{Data, Part};
    use crate::Failure;
    use crate::bindings::edge::gateway::http::FieldError;
    use crate::bindings::edge::gateway::types::Header;

    /// The gateway ends a plugin that breaks bounds.
    fn bounded(result: Result<(), &'static str>) {
        if let Err(breach) = result {
            panic!("{breach}");
        }
    }

    /// Whether a part can still be changed.
    fn writable(of: &Data, part: Part) -> Result<(), FieldError> {
        let progress = Progress {
            request_sent: of.request_sent.get(),
            has_response: of.responded.get(),
            response_sent: of.response_sent.get(),
        };
        Ok(check_writable(part.into(), progress)?)
    }

    pub(in crate::testing) fn field_name(part: Part, name: &str) -> Result<String, fields::FieldError> {
        check_name(name)?;
        let name = name.to_ascii_lowercase();
        check_allowed(&name, part.into())?;
        Ok(name)
    }

    pub(in crate::testing) fn field_value(value: &[u8]) -> Result<Vec<u8>, fields::FieldError> {
        let value = trim_value(value)?;
        if fields::is_value(value) { Ok(value.to_vec()) } else { Err(fields::FieldError::InvalidValue) }
    }

    fn note_edit(of: &Data, part: Part, name: &str) {
        if part == Part::Response {
            of.barred.borrow_mut().insert(name.to_owned());
        }
        if part == Part::Request && !of.edited.borrow().contains_key(name) {
            let fields = of.part(part).borrow();
            let sent = fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect();
            of.edited.borrow_mut().insert(name.to_owned(), sent);
        }
    }

    /// A field for a part that has room for it. `replaces`: in place of those of its name.
    fn checked(
        of: &Data,
        part: Part,
        (name, value): (&str, &[u8]),
        replaces: bool,
    ) -> Result<(String, Vec<u8>), FieldError> {
        writable(of, part)?;
        let (name, value) = (field_name(part, name)?, field_value(value)?);
        let fields = of.part(part).borrow();
        let is_there = || replaces && fields.iter().any(|(key, _)| *key == name);
        let bytes = || fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        check_room(fields.len(), value.len(), is_there, bytes)?;
        Ok((name, value))
    }

    pub(crate) fn get(of: &Data, part: Part, name: &str) -> Option<Vec<u8>> {
        let fields = of.part(part).borrow();
        fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    pub(crate) fn get_all(of: &Data, part: Part, name: Option<&str>) -> Vec<Header> {
        let fields = of.part(part).borrow();
        let fields = fields.iter().filter(|(key, _)| name.is_none_or(|name| key.eq_ignore_ascii_case(name)));
        fields.map(|(name, value)| Header { name: name.clone(), value: value.clone() }).collect()
    }

    pub(crate) fn set(of: &Data, part: Part, name: &str, value: &[u8]) -> Result<(), FieldError> {
        let checked = checked(of, part, (name, value), true);
        if checked.is_err() && fields::stays_when_not_set(part.into()) {
            return checked.map(drop);
        }
        writable(of, part)?;
        let name = field_name(part, name)?;
        note_edit(of, part, &name);
        of.part(part).borrow_mut().retain(|(key, _)| *key != name);
        checked.map(|field| of.part(part).borrow_mut().push(field))
    }

    pub(crate) fn append(of: &Data, part: Part, name: &str, value: &[u8]) -> Result<(), FieldError> {
        let field = checked(of, part, (name, value), false)?;
        // What is there stays, so a response's trailers may go on bringing more of it.
        if part == Part::Request {
            note_edit(of, part, &field.0);
        }
        of.part(part).borrow_mut().push(field);
        Ok(())
    }

    /// Whether the gateway has nothing to remove from: no response, or no trailers.
    fn is_missing(of: &Data, part: Part) -> bool {
        match part {
            Part::Request => false,
            Part::Response => !of.responded.get(),
            Part::RequestTrailers | Part::ResponseTrailers => of.part(part).borrow().is_empty(),
        }
    }

    pub(crate) fn remove(of: &Data, part: Part, name: &str) -> Result<(), FieldError> {
        if is_missing(of, part) {
            return Ok(());
        }
        writable(of, part)?;
        let name = field_name(part, name)?;
        note_edit(of, part, &name);
        of.part(part).borrow_mut().retain(|(key, _)| *key != name);
        Ok(())
    }

    pub(crate) fn method(of: &Data) -> String {
        of.method.borrow().clone()
    }

    pub(crate) fn scheme(of: &Data) -> String {
        of.scheme.clone()
    }

    pub(crate) fn authority(of: &Data) -> String {
        of.authority.borrow().clone()
    }

    pub(crate) fn path(of: &Data) -> String {
        of.target.borrow().clone()
    }

    pub(crate) fn property(of: &Data, name: &str) -> Option<String> {
        of.properties.borrow().get(name).cloned()
    }

    pub(crate) fn measure(of: &Data, name: &str) -> Option<u64> {
        of.measures.borrow().get(name).copied()
    }

    pub(crate) fn upstream_failure(of: &Data) -> Option<Failure> {
        of.failure.get()
    }

    pub(crate) fn set_target(
        of: &Data,
        method: Option<&str>,
        authority: Option<&str>,
        path: Option<&str>,
    ) -> Result<(), FieldError> {
        writable(of, Part::Request)?;
        method.map_or(Ok(()), target::check_method)?;
        let authority = authority.map(target::authority).transpose().map_err(|_| FieldError::InvalidValue)?;
        let path = path.map(|path| target::replacement(path, &of.target.borrow()).ok_or(FieldError::InvalidValue));
        let path = path.transpose()?;
        for (part, value) in [(&of.method, method.map(str::to_owned)), (&of.authority, authority), (&of.target, path)] {
            if let Some(value) = value {
                *part.borrow_mut() = value;
            }
        }
        Ok(())
    }

    pub(crate) fn set_upstream(of: &Data, name: &str) -> Result<(), String> {
        if of.request_sent.get() {
            return Err("the request has been sent".to_owned());
        }
        if !of.granted.iter().any(|granted| granted == name) {
            return Err(format!("the upstream `{name}` is not granted to the plugin"));
        }
        of.properties.borrow_mut().insert("upstream.name".to_owned(), name.to_owned());
        Ok(())
    }

    pub(crate) fn set_status(of: &Data, code: u16) -> Result<(), FieldError> {
        writable(of, Part::Response)?;
        if !response::is_status(code) {
            return Err(FieldError::InvalidValue);
        }
        of.measures.borrow_mut().insert("response.status".to_owned(), code.into());
        Ok(())
    }

    pub(crate) fn state(of: &Data) -> Vec<u8> {
        of.state.borrow().clone()
    }

    pub(crate) fn set_state(of: &Data, value: &[u8]) {
        bounded(notes::check_state(value.len()));
        *of.state.borrow_mut() = value.to_vec();
    }

    /// The body that the call is for: where what is kept of it lies.
    fn stream(of: &Data) -> Option<usize> {
        Some(stream_of(of.phase.get()?)? as usize)
    }

    pub(crate) fn take_stream_state(of: &Data) -> Option<Vec<u8>> {
        of.streams[stream(of)?].take()
    }

    pub(crate) fn set_stream_state(of: &Data, value: &[u8]) {
        let stream = stream(of).expect("set-stream-state: only in headers and body phases");
        if value.len() > MAX_STREAM_STATE {
            of.lost[stream].set(true);
        }
        *of.streams[stream].borrow_mut() = (!of.lost[stream].get()).then(|| value.to_vec());
    }

    pub(crate) fn put_attribute(of: &Data, name: &str, value: &str) -> Result<(), FieldError> {
        let mut properties = of.properties.borrow_mut();
        let count = properties.keys().filter(|key| key.starts_with("attribute.")).count();
        let key = format!("attribute.{name}");
        notes::check_attribute(name, value, count, || properties.contains_key(&key))?;
        if name == notes::PRINCIPAL {
            of.named_here.set(true);
        }
        properties.insert(key, value.to_owned());
        Ok(())
    }

    pub(crate) fn store_response(of: &Data, key: &str, ttl_ms: u64) {
        bounded(notes::check_store(of.phase.get().unwrap_or(Phase::Describe)));
        *of.store.borrow_mut() = Some((kept_by(key).into_owned(), ttl_ms));
    }

    pub(crate) fn log_fields(of: &Data) -> Vec<(String, String)> {
        let fields = of.log_fields.borrow();
        fields.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }

    pub(crate) fn set_log_field(of: &Data, name: &str, value: Option<&str>) {
        let mut fields = of.log_fields.borrow_mut();
        let at = fields.iter().position(|(key, _)| key == name);
        if !notes::takes_log_field(name, fields.len() - usize::from(at.is_some())) {
            return;
        }
        let others = fields.iter().filter(|(key, _)| key != name).filter_map(|(_, value)| value.as_ref());
        let others = others.map(String::len).sum();
        let value = value.map(|value| value[..notes::kept_of_log_value(value, others)].to_owned());
        match at {
            Some(at) => fields[at].1 = value,
            None => fields.push((name.to_owned(), value)),
        }
    }
}
