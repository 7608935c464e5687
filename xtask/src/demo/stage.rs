//! How the demo shows and checks: each exchange as it was sent and received, each expectation as ok or FAIL.

use std::time::{Duration, Instant};

use super::children::Children;
use super::client::{Clients, Protocol, Request, Response};
use super::place::Place;
use crate::Result;

/// How much of a body is shown.
const SHOWN: usize = 320;

/// The demo while it runs.
pub(super) struct Stage {
    check: bool,
    passed: usize,
    pub(super) place: Place,
    pub(super) clients: Clients,
    pub(super) children: Children,
}

impl Stage {
    pub(super) fn new(check: bool, place: Place, clients: Clients, children: Children) -> Self {
        Self { check, passed: 0, place, clients, children }
    }

    /// Begins a part of the demo.
    pub(super) fn scene(&self, title: &str) {
        println!("\n== {title}");
    }

    /// Sends a request and shows it with its response; of the header fields those named.
    pub(super) fn exchange(&self, protocol: Protocol, request: &Request, show: &[&str]) -> Result<Response> {
        let method = if request.body.is_some() { "POST" } else { "GET" };
        println!("-> {method} {}  [{}]", request.url, protocol.name());
        for header in &request.headers {
            println!("   {}", cut(header, 100));
        }
        if let Some(body) = &request.body {
            println!("   {body}");
        }
        let response = self.clients.send(protocol, request)?;
        print_response(&response, show);
        Ok(response)
    }

    /// Says whether what was promised happened. With `--check`, a failure ends the demo.
    pub(super) fn expect(&mut self, what: &str, holds: bool) -> Result {
        if holds {
            self.passed += 1;
            println!("   ok    {what}");
            return Ok(());
        }
        println!("   FAIL  {what}");
        if self.check { Err(format!("the demo's check failed: {what}")) } else { Ok(()) }
    }

    /// How many expectations held.
    pub(super) const fn passed(&self) -> usize {
        self.passed
    }

    /// What to try by hand.
    pub(super) fn print_urls(&self) {
        let (place, key) = (&self.place, super::steps::SHOP_KEY);
        println!("\nThe gateway stays up until Ctrl-C. Try, in another terminal:");
        println!("  curl -k -H 'x-api-key: {key}' {}", place.https("/orders"));
        println!("  curl -k -H 'x-api-key: {key}' {}", place.https("/inventory/boots"));
        println!("  curl -k -H 'x-api-key: {}' {}", super::steps::CRM_KEY, place.https("/customers"));
        println!("  curl -X POST http://{}/-/fail      # and /-/recover", place.service("inventory"));
        println!("  curl -X POST 'http://{}/-/token?sub=kari&scope=orders'", place.service("identity"));
        println!("  curl {}    # and /metrics, /readyz", place.admin("/plugins"));
        for (what, file) in [
            ("configuration, watched", "gateway.yaml"),
            ("plugins, watched", "plugins"),
            ("access log", "access.log"),
            ("the gateway's own log", "gateway.log"),
        ] {
            println!("  {what}: {}", place.file(file).display());
        }
    }
}

/// Shows a response; of the header fields those named.
pub(super) fn print_response(response: &Response, show: &[&str]) {
    println!("<- {} {}", response.version, response.status);
    for (name, value) in response.headers.iter().filter(|(name, _)| show.iter().any(|s| name.eq_ignore_ascii_case(s))) {
        println!("   {name}: {value}");
    }
    if !response.body.trim().is_empty() {
        println!("   {}", cut(response.body.trim(), SHOWN));
    }
}

fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length).chain("...".chars()).collect()
}

/// Asks again until there is an answer or the time is up.
pub(super) fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
