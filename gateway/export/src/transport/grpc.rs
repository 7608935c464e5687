//! Bodies by gRPC: one unary call each, by tonic over the same connections as HTTP.

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use prost::Message as _;
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::connect::Connector;
use super::route::{Route, USER_AGENT as OURS};
use super::signal::Signal;
use crate::answer::{ExportAnswer, MAX_ANSWER, retry_info};
use crate::failure::Failure;
use crate::settings::Compression;

/// A collector that is called.
#[derive(Debug)]
pub(crate) struct Grpc {
    client: Client<Channel>,
    connector: Connector,
    origin: Uri,
    path: PathAndQuery,
    headers: HeaderMap,
    compression: Compression,
}

impl Grpc {
    pub(super) fn new(route: &Route, signal: Signal) -> Self {
        let settings = route.settings();
        let mut headers = HeaderMap::new();
        for header in &settings.headers {
            headers.append(header.name.clone(), header.value.clone());
        }
        let origin = route.endpoint().join("");
        Self {
            client: client(&route.connector, &origin, settings.compression),
            connector: route.connector.clone(),
            origin,
            path: PathAndQuery::from_static(signal.method()),
            headers,
            compression: settings.compression,
        }
    }

    pub(super) async fn send(&mut self, body: Bytes) -> Result<u64, Failure> {
        let mut request = Request::new(body);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        self.client.ready().await.map_err(|error| Failure::of(&error))?;
        match self.client.unary(request, self.path.clone(), Encoded).await {
            Ok(answer) => Ok(answer.get_ref().rejected()),
            Err(status) => Err(failure(&status)),
        }
    }

    /// Begins anew with the next call: a connection on which nothing comes stays open over HTTP/2.
    pub(super) fn abandon(&mut self) {
        self.client = client(&self.connector, &self.origin, self.compression);
    }
}

fn client(connector: &Connector, origin: &Uri, compression: Compression) -> Client<Channel> {
    // The connector does what the scheme says, so tonic is to know none that it would act upon.
    let endpoint = Endpoint::from_static("http://collector").origin(origin.clone());
    let endpoint = endpoint.clone().user_agent(OURS).unwrap_or(endpoint);
    let client = Client::new(endpoint.connect_with_connector_lazy(connector.clone()));
    let client = client.max_decoding_message_size(MAX_ANSWER);
    // Many servers answer as they were asked, whatever the client says that it takes. What is unpacked has the same bound.
    let client = client.accept_compressed(CompressionEncoding::Gzip);
    match compression {
        Compression::None => client,
        Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
    }
}

/// What a status comes down to: one of the collector, or of tonic for a connection that isn't there.
fn failure(status: &Status) -> Failure {
    if let Some(source) = std::error::Error::source(status) {
        return Failure::of(source);
    }
    Failure::Grpc { code: status.code(), retry_after: retry_info(status.details()) }
}

/// Bodies that are encoded already, each once for all its tries.
#[derive(Debug)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ExportAnswer;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, body: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(body);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ExportAnswer;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<ExportAnswer>, Status> {
        // The call has succeeded, also where its answer can't be read.
        let answer = ExportAnswer::decode(&mut *from).unwrap_or_default();
        from.advance(from.remaining());
        Ok(Some(answer))
    }
}
