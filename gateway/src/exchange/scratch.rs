//! What the host keeps for one plugin of the chain during one exchange.

use std::time::Duration;

use bytes::Bytes;

use crate::message::headers::Direction;
use crate::sensitive::Sensitive;

/// A response that a plugin asked to keep (`store-response`).
#[derive(Clone, Debug)]
pub struct StoreRequest {
    /// The plugin's own part of the key.
    pub key: Sensitive<String>,
    /// How long it may be given out.
    pub ttl: Duration,
}

/// What the host keeps for one plugin of the chain during one exchange.
#[derive(Debug, Default)]
pub struct PluginScratch {
    /// `state`/`set-state`: at most 64 KiB.
    pub state: Sensitive<Bytes>,
    /// Set by `store-response` in the response-headers phase.
    pub store: Option<StoreRequest>,
    /// What the plugin keeps of the request's body from chunk to chunk.
    pub request_stream: StreamState,
    /// The same of the response's.
    pub response_stream: StreamState,
}

impl PluginScratch {
    /// What is kept of the body of this message.
    pub fn stream(&mut self, of: Direction) -> &mut StreamState {
        match of {
            Direction::Request => &mut self.request_stream,
            Direction::Response => &mut self.response_stream,
        }
    }
}

/// What a plugin keeps of a body between its chunks. It is lent to one call at a time.
#[derive(Debug, Default)]
pub enum StreamState {
    /// Nothing.
    #[default]
    None,
    /// These bytes.
    Kept(Sensitive<Bytes>),
    /// It wanted to keep more than it may: the body can't be read on.
    Lost,
}
