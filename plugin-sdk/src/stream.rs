//! What a plugin remembers of a body from one chunk to the next.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::raw;

/// What [`crate::Exchange::stream`] lends to one call: it goes back into the exchange when it is dropped, so nothing has to
/// be remembered to be kept. At the end of a body it is let go.
///
/// It belongs to its exchange and to the request or the response of it, and there is no way to another one's. Each chunk
/// may come to another instance of the plugin, so it travels as bytes: plain `#[derive(Serialize, Deserialize)]`, without
/// `flatten`, `untagged` and `skip_serializing_if`, which the compact encoding does not know. At most 64 KiB of it are
/// kept; of what is more, the stream is reset, whatever the plugin's failure policy.
#[derive(Debug)]
pub struct Stream<'a, S: Serialize> {
    of: raw::Handle<'a>,
    _lent: Lent<'a>,
    state: S,
    kept: bool,
}

/// That a call has the state: of two, the one that goes back last would take the place of the other.
#[derive(Debug)]
struct Lent<'a>(&'a Cell<bool>);

impl<'a> Lent<'a> {
    fn begin(lent: &'a Cell<bool>) -> Self {
        assert!(
            !lent.replace(true),
            "the state of the stream is lent already: drop it before it is taken or begun again"
        );
        Self(lent)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<'a, S: Serialize + DeserializeOwned> Stream<'a, S> {
    /// Takes what was kept.
    pub(crate) fn take(of: raw::Handle<'a>, lent: &'a Cell<bool>, last: bool) -> Option<Self> {
        let lent = Lent::begin(lent);
        let bytes = raw::exchange::take_stream_state(of)?;
        match postcard::take_from_bytes(&bytes) {
            Ok((state, [])) => Some(Self { of, _lent: lent, state, kept: !last }),
            Ok((_, rest)) => panic!("the stream's state is not what was kept: {} bytes are left of it", rest.len()),
            Err(error) => panic!("the stream's state is not what was kept: {error}"),
        }
    }
}

impl<'a, S: Serialize> Stream<'a, S> {
    pub(crate) fn new(of: raw::Handle<'a>, lent: &'a Cell<bool>, state: S, last: bool) -> Self {
        Self { of, _lent: Lent::begin(lent), state, kept: !last }
    }

    /// Nothing more is remembered: the next chunk finds no state.
    pub fn end(mut self) {
        self.kept = false;
    }
}

impl<S: Serialize> Deref for Stream<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S: Serialize> DerefMut for Stream<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}

impl<S: Serialize> Drop for Stream<'_, S> {
    fn drop(&mut self) {
        // After a panic there is no next call.
        if self.kept && !std::thread::panicking() {
            match postcard::to_allocvec(&self.state) {
                Ok(bytes) => raw::exchange::set_stream_state(self.of, &bytes),
                Err(error) => panic!("the stream's state can't be kept: {error}"),
            }
        }
    }
}
