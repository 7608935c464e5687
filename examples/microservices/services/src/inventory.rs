//! Inventory: stock of items; it can be told to fail, or be killed.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::serve::{self, Answer, Service};
use crate::trace::Trace;

/// The service.
#[derive(Default)]
pub(crate) struct Inventory {
    fails: AtomicBool,
}

impl Service for Inventory {
    const NAME: &str = "inventory";

    async fn answer(&self, request: &Parts, _: &[u8], _: &Trace) -> Answer {
        let path = request.uri.path();
        match (&request.method, path) {
            (&Method::POST, "/-/fail") => {
                self.fails.store(true, Relaxed);
                return serve::text(StatusCode::OK, "failing from now on\n");
            }
            (&Method::POST, "/-/recover") => {
                self.fails.store(false, Relaxed);
                return serve::text(StatusCode::OK, "well again\n");
            }
            _ if self.fails.load(Relaxed) => {
                return serve::text(StatusCode::INTERNAL_SERVER_ERROR, "the database is gone\n");
            }
            (&Method::GET | &Method::HEAD, _) => {}
            _ => return serve::text(StatusCode::METHOD_NOT_ALLOWED, "read only\n"),
        }
        let Some(item) = path.strip_prefix("/inventory/").filter(|item| !item.is_empty() && !item.contains('/')) else {
            return serve::text(StatusCode::NOT_FOUND, "no such item\n");
        };
        let stock = item.bytes().map(u32::from).sum::<u32>() % 100;
        let mut answer = serve::json(StatusCode::OK, &json!({"item": item, "stock": stock}));
        // Fresh for a moment only: what the breaker serves while this service is away is stale, and says so by Age.
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1"));
        answer
    }
}
