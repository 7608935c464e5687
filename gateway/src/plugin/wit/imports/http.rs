//! Interface `http`: the exchange as a plugin sees it. What is allowed, and done, is in [`crate::plugin::host`].

use std::time::Duration;

use plugin_rules::notes::BAD_ATTRIBUTE;

use crate::message::FieldValue;
use crate::plugin::grants::Need;
use crate::plugin::host::{fields, notes, properties, response, target};
use crate::plugin::wit::bindings::edge::gateway::http::{self as contract, Exchange as Handle, FieldError, Part};
use crate::plugin::wit::bindings::edge::gateway::types::{Failure, Header};
use crate::plugin::wit::state::HostState;
use crate::sanitize::PluginField;

type Fallible<T> = wasmtime::Result<Result<T, FieldError>>;

/// A breach of bounds is a trap.
fn bounded<T>(result: Result<T, &'static str>) -> wasmtime::Result<T> {
    result.map_err(wasmtime::Error::msg)
}

impl contract::Host for HostState {
    fn get(&mut self, of: Handle, part: Part, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(fields::get(self.exchange(of)?, part.into(), name.as_str()))
    }

    fn get_all(&mut self, of: Handle, part: Part, name: Option<String>) -> wasmtime::Result<Vec<Header>> {
        let exchange = self.exchange(of)?;
        let Some(fields) = fields::fields(exchange, part.into()) else { return Ok(Vec::new()) };
        let header =
            |name: &str, value: FieldValue<'_>| Header { name: name.to_owned(), value: value.expose().to_vec() };
        Ok(match name {
            None => fields.iter().map(|(name, value)| header(name.expose_str(), value)).collect(),
            Some(name) => {
                let name = name.to_ascii_lowercase();
                fields.get_all(&name).map(|value| header(&name, value)).collect()
            }
        })
    }

    fn set(&mut self, of: Handle, part: Part, name: String, value: Vec<u8>) -> Fallible<()> {
        let index = self.index;
        let (name, value) = (fields::parsed_name(&name), fields::field_value(&value));
        Ok(fields::set(self.exchange(of)?, index, part.into(), name, value).map_err(FieldError::from))
    }

    fn append(&mut self, of: Handle, part: Part, name: String, value: Vec<u8>) -> Fallible<()> {
        let index = self.index;
        Ok(fields::append(self.exchange(of)?, index, part.into(), &name, &value).map_err(FieldError::from))
    }

    fn remove(&mut self, of: Handle, part: Part, name: String) -> Fallible<()> {
        let index = self.index;
        Ok(fields::remove(self.exchange(of)?, index, part.into(), &name).map_err(FieldError::from))
    }

    fn method(&mut self, of: Handle) -> wasmtime::Result<String> {
        Ok(self.exchange(of)?.request.method.expose().as_str().to_owned())
    }

    fn scheme(&mut self, of: Handle) -> wasmtime::Result<String> {
        Ok(self.exchange(of)?.request.scheme.to_owned())
    }

    fn authority(&mut self, of: Handle) -> wasmtime::Result<String> {
        Ok(self.exchange(of)?.request.authority.expose().clone())
    }

    fn path(&mut self, of: Handle) -> wasmtime::Result<String> {
        Ok(self.exchange(of)?.request.path_and_query.expose().as_str().to_owned())
    }

    fn property(&mut self, of: Handle, name: String) -> wasmtime::Result<Option<String>> {
        let reads = self.reads;
        let exchange = self.exchange(of)?;
        Ok(if name == "body.mode" { properties::body_mode(reads) } else { properties::property(exchange, &name) })
    }

    fn measure(&mut self, of: Handle, name: String) -> wasmtime::Result<Option<u64>> {
        Ok(properties::measure(self.exchange(of)?, &name))
    }

    fn upstream_failure(&mut self, of: Handle) -> wasmtime::Result<Option<Failure>> {
        Ok(self.exchange(of)?.failure.map(Into::into))
    }

    fn set_target(
        &mut self,
        of: Handle,
        method: Option<String>,
        authority: Option<String>,
        path: Option<String>,
    ) -> Fallible<()> {
        Ok(target::retarget(self.exchange(of)?, method, authority, path).map_err(FieldError::from))
    }

    fn set_upstream(&mut self, of: Handle, name: String) -> wasmtime::Result<Result<(), String>> {
        let granted = self.context.upstreams.iter().find(|upstream| ***upstream == *name).cloned();
        if self.exchange(of)?.request.sent {
            return Ok(Err("the request has been sent".to_owned()));
        }
        let Some(upstream) = granted else { return Ok(Err(self.context.refuse(Need::Upstreams, &name))) };
        let exchange = self.exchange(of)?;
        exchange.upstream = Some(upstream);
        Ok(Ok(()))
    }

    fn set_status(&mut self, of: Handle, code: u16) -> Fallible<()> {
        Ok(response::set_status(self.exchange(of)?, code).map_err(FieldError::from))
    }

    fn state(&mut self, of: Handle) -> wasmtime::Result<Vec<u8>> {
        let index = self.index;
        Ok(notes::state(self.exchange(of)?, index).to_vec())
    }

    fn set_state(&mut self, of: Handle, value: Vec<u8>) -> wasmtime::Result<()> {
        let index = self.index;
        bounded(notes::set_state(self.exchange(of)?, index, value))
    }

    fn take_stream_state(&mut self, of: Handle) -> wasmtime::Result<Option<Vec<u8>>> {
        let (index, phase) = (self.index, self.phase);
        Ok(notes::take_stream_state(self.exchange(of)?, index, phase).map(Into::into))
    }

    fn set_stream_state(&mut self, of: Handle, value: Vec<u8>) -> wasmtime::Result<()> {
        let (index, phase, memory) = (self.index, self.phase, self.context.memory.clone());
        bounded(notes::set_stream_state(self.exchange(of)?, index, phase, value, &memory))
    }

    fn set_attribute(&mut self, of: Handle, name: String, value: String) -> wasmtime::Result<()> {
        let index = self.index;
        bounded(notes::set_attribute(self.exchange(of)?, index, &name, value).map_err(|_| BAD_ATTRIBUTE))
    }

    fn put_attribute(&mut self, of: Handle, name: String, value: String) -> Fallible<()> {
        let index = self.index;
        Ok(notes::set_attribute(self.exchange(of)?, index, &name, value).map_err(FieldError::from))
    }

    fn store_response(&mut self, of: Handle, key: String, ttl_ms: u64) -> wasmtime::Result<()> {
        let (index, phase) = (self.index, self.phase);
        bounded(notes::store_response(self.exchange(of)?, index, phase, key, Duration::from_millis(ttl_ms)))
    }

    fn log_fields(&mut self, of: Handle) -> wasmtime::Result<Vec<(String, String)>> {
        let exchange = self.exchange(of)?;
        Ok(exchange
            .log_fields
            .iter()
            .filter_map(|field| Some((field.name.expose().clone(), field.value.as_ref()?.expose().clone())))
            .collect())
    }

    fn set_log_field(&mut self, of: Handle, name: String, value: Option<String>) -> wasmtime::Result<()> {
        let (context, own) = (&self.context, &mut self.own);
        let value = value.map(|value| context.without_secrets(value));
        let field = PluginField::new(context.without_secrets(name), value);
        // Before it is cut: half of a number looks like none.
        let field = field.with_own(|text| own.masked(&context.words, text));
        notes::set_log_field(self.exchange(of)?, field);
        Ok(())
    }
}
