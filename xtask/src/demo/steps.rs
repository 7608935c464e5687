//! What the demo shows, scene by scene, except for the plugin swap.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Protocol, Request, Response};
use super::stage::{Stage, eventually, print_response};
use super::start_service;
use crate::Result;

/// API keys of the example: their SHA-256 stands in its gateway.yaml.
pub(super) const SHOP_KEY: &str = "demo-shop-key";
pub(super) const CRM_KEY: &str = "demo-crm-key";

/// Personal data in the customers service's answers.
const PERSONAL: [&str; 6] =
    ["kari@example.no", "kari.nordmann@example.org", "912 34 567", "91234567", "02013299997", "1234.56.78903"];

/// All scenes.
pub(super) fn all(stage: &mut Stage) -> Result {
    protocols(stage)?;
    redirect(stage)?;
    credentials(stage)?;
    token(stage)?;
    rate_limit(stage)?;
    redaction(stage)?;
    breaker(stage)?;
    open_breaker(stage)
}

/// A request with an API key.
pub(super) fn with_key(url: String, key: &str) -> Request {
    Request { url, headers: vec![format!("x-api-key: {key}")], body: None }
}

fn protocols(stage: &mut Stage) -> Result {
    stage.scene("Three protocols, one port");
    let mut bodies = Vec::new();
    for protocol in Protocol::ALL {
        let request = Request { url: stage.place.https("/"), ..Request::default() };
        let response = stage.exchange(protocol, &request, &["alt-svc"])?;
        let spoken = response.version == protocol.version();
        stage.expect(&format!("answered over {}", protocol.version()), spoken && response.status == 200)?;
        if protocol != Protocol::Http3 {
            let announced = response.header("alt-svc").is_some_and(|value| value.contains("h3="));
            stage.expect("HTTP/3 is announced", announced)?;
        }
        bodies.push(response.body);
    }
    stage.expect("the body is the same over all three", bodies.iter().all(|body| *body == bodies[0]))
}

fn redirect(stage: &mut Stage) -> Result {
    stage.scene("Clear text is redirected");
    let request = Request { url: stage.place.http("/orders?page=2"), ..Request::default() };
    let response = stage.exchange(Protocol::Http1, &request, &["location"])?;
    let to = stage.place.https("/orders?page=2");
    stage.expect("308 to the same place over TLS", response.status == 308 && response.header("location") == Some(&to))
}

fn credentials(stage: &mut Stage) -> Result {
    stage.scene("Without credentials, with a key, with a key of too little scope");
    let url = stage.place.https("/orders/seen");
    for protocol in Protocol::ALL {
        let bare = Request { url: url.clone(), ..Request::default() };
        let response = stage.exchange(protocol, &bare, &["www-authenticate"])?;
        let asked = response.header("www-authenticate").is_some();
        stage.expect("401 with WWW-Authenticate", response.status == 401 && asked)?;

        let mut request = with_key(url.clone(), SHOP_KEY);
        // Whoever claims to be someone is not believed.
        request.headers.push("x-auth-subject: the-director".to_owned());
        let response = stage.exchange(protocol, &request, &["x-hello"])?;
        let seen: Value = serde_json::from_str(&response.body).unwrap_or_default();
        stage
            .expect("200; the service is told X-Real-IP", response.status == 200 && seen["x_real_ip"] == "127.0.0.1")?;
        stage.expect("an identity header from the client is taken off", seen["subject"].is_null())?;

        let response = stage.exchange(protocol, &with_key(url.clone(), CRM_KEY), &["www-authenticate"])?;
        stage.expect("403: that key has no scope for orders", response.status == 403)?;
    }
    Ok(())
}

fn token(stage: &mut Stage) -> Result {
    stage.scene("A JSON Web Token; its key is fetched from the identity provider");
    let minted = format!("http://{}/-/token?sub=kari&scope=orders", stage.place.service("identity"));
    println!("-> POST {minted}  [the identity provider itself]");
    let answer = stage.clients.post(&minted)?;
    print_response(&answer, &[]);
    let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
    for protocol in Protocol::ALL {
        let headers = vec![format!("authorization: Bearer {token}")];
        let request = Request { url: stage.place.https("/orders/seen"), headers, body: None };
        let response = stage.exchange(protocol, &request, &[])?;
        let seen: Value = serde_json::from_str(&response.body).unwrap_or_default();
        stage.expect("200; the service is told the subject", response.status == 200 && seen["subject"] == "kari")?;
    }
    let fetched = requests_of(stage, "identity")?;
    stage.expect(&format!("the key set was fetched once ({fetched} by the provider's count)"), fetched == 1)?;
    let mut forged = token.into_bytes();
    // The last character of a signature may carry unused bits, so another is changed.
    if let Some(at) = forged.len().checked_sub(20) {
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    }
    let headers = vec![format!("authorization: Bearer {}", String::from_utf8_lossy(&forged))];
    let request = Request { url: stage.place.https("/orders/seen"), headers, body: None };
    let response = stage.exchange(Protocol::Http2, &request, &["www-authenticate"])?;
    stage.expect("401 for a changed signature", response.status == 401)?;
    // A key may have been replaced under its name, so a signature that does not hold has the set fetched anew: in time, and once.
    let again = requests_of(stage, "identity")?;
    stage.expect(&format!("and for it at most once more ({again})"), again <= fetched + 1)
}

fn rate_limit(stage: &mut Stage) -> Result {
    stage.scene("Five orders a minute for each caller, whatever the protocol");
    let mut request = with_key(stage.place.https("/orders"), SHOP_KEY);
    request.headers.push("content-type: application/json".to_owned());
    request.body = Some(r#"{"item":"boots","quantity":1}"#.to_owned());
    let fields = ["retry-after", "ratelimit", "ratelimit-policy"];
    let (began, mut placed) = (Instant::now(), 0);
    for protocol in Protocol::ALL {
        // More than it takes: a slow machine earns another order meanwhile.
        let refused = (0..20).find_map(|_| match stage.exchange(protocol, &request, &fields) {
            Ok(response) if response.status == 201 => {
                placed += 1;
                None
            }
            other => Some(other),
        });
        let is_429 = refused.transpose()?.is_some_and(|response| {
            response.status == 429 && fields.iter().all(|name| response.header(name).is_some())
        });
        stage.expect(
            &format!("429 over {} with Retry-After, RateLimit and RateLimit-Policy", protocol.version()),
            is_429,
        )?;
    }
    let most = 5 + began.elapsed().as_secs() / 12;
    stage.expect(&format!("{placed} were placed, of 5 and one more for each 12 seconds"), (5..=most).contains(&placed))
}

fn redaction(stage: &mut Stage) -> Result {
    stage.scene("Personal data leaves neither by the response nor by the log");
    let direct = format!("http://{}/customers/1", stage.place.service("customers"));
    println!("-> GET {direct}  [the service itself]");
    let answer = stage.clients.plain(&direct)?;
    print_response(&answer, &[]);
    stage.expect("the service answers with personal data", PERSONAL.iter().all(|text| answer.body.contains(text)))?;
    let mut bodies = Vec::new();
    for protocol in Protocol::ALL {
        let url = stage.place.https("/customers/kari@example.no?fnr=02013299997");
        let response = stage.exchange(protocol, &with_key(url, CRM_KEY), &[])?;
        let clean = !PERSONAL.iter().any(|text| response.body.contains(text));
        let whole = serde_json::from_str::<Value>(&response.body).is_ok_and(|body| body["name"].is_string());
        stage.expect("redacted, and still JSON", response.status == 200 && clean && whole)?;
        bodies.push(response.body);
    }
    stage.expect("the same over all three protocols", bodies.iter().all(|body| *body == bodies[0]))?;
    let seen = control(stage, "customers", "/-/last")?["target"].as_str().unwrap_or_default().to_owned();
    println!("   the service was asked for: {seen}");
    let pseudonym = seen.rsplit_once("fnr=").map(|(_, value)| value.to_owned()).unwrap_or_default();
    let is_pseudonym = pseudonym.strip_prefix("fodselsnummer-").is_some_and(|digits| digits.len() == 16);
    stage.expect("the service saw a pseudonym in the query", is_pseudonym)?;
    let records = eventually(Duration::from_secs(10), || {
        let records: Vec<String> = log_of(stage, "customers");
        (records.len() >= Protocol::ALL.len()).then_some(records)
    })
    .unwrap_or_default();
    println!("   the access log:");
    for record in &records {
        println!("   {record}");
    }
    let looked_up = format!("/customers/***?fnr={pseudonym}");
    let kept = records.iter().all(|record| {
        serde_json::from_str(record).is_ok_and(|record: Value| record["fields"]["lookup"] == looked_up.as_str())
    });
    stage.expect("what lookup-log noted is in the log, with the same pseudonym", kept && !records.is_empty())?;
    let text = std::fs::read_to_string(stage.place.file("access.log")).unwrap_or_default();
    let clean = !PERSONAL.iter().any(|personal| text.contains(personal));
    stage.expect("three records, and no personal data in the log", records.len() == Protocol::ALL.len() && clean)
}

fn breaker(stage: &mut Stage) -> Result {
    stage.scene("A service dies: the breaker opens and answers from the last good response, until it is back");
    let request = with_key(stage.place.https("/inventory/boots"), SHOP_KEY);
    let show = ["age", "cache-status", "retry-after", "proxy-status"];
    let good = stage.exchange(Protocol::Http1, &request, &show)?;
    stage.expect("200 while it lives", good.status == 200 && good.header("age").is_none())?;
    let id = stage.children.kill("inventory");
    println!("   killed: the inventory service, process {}", id.unwrap_or_default());
    println!(
        "   the first requests fail: the breaker opens once it has seen enough of them (minimum_requests, failure_ratio)"
    );

    let (mut failures, mut stored) = (0, None);
    for protocol in Protocol::ALL.into_iter().cycle().take(12) {
        let response = stage.exchange(protocol, &request, &show)?;
        if is_stored(&response, &good) {
            stored = Some(response);
            break;
        }
        failures += usize::from(response.status >= 500);
    }
    stage.expect(&format!("{failures} failures, then a stored response"), failures > 0 && stored.is_some())?;
    for protocol in Protocol::ALL {
        // After open_for one request is let through as a probe, and fails: the next one is answered from the store.
        let mut held = false;
        for _ in 0..3 {
            held = is_stored(&stage.exchange(protocol, &request, &show)?, &good);
            if held {
                break;
            }
        }
        stage.expect(&format!("stored response over {}, with Age and Cache-Status", protocol.version()), held)?;
    }
    start_service(&stage.children, &stage.place, "inventory")?;
    println!("   started: the inventory service");
    recovers(stage, &request)?;
    let asked = requests_of(stage, "inventory")?;
    stage.expect(&format!("the service itself answers again ({asked} requests by its count)"), asked >= 1)
}

fn open_breaker(stage: &mut Stage) -> Result {
    stage.scene("A service fails, but lives, and counts: an open breaker makes no attempt");
    let request = with_key(stage.place.https("/inventory/boots"), SHOP_KEY);
    let show = ["age", "cache-status", "retry-after"];
    let good = stage.exchange(Protocol::Http1, &request, &show)?;
    let said = stage.clients.post(&format!("http://{}/-/fail", stage.place.service("inventory")))?;
    println!("   the inventory service: {}", said.body.trim());
    for protocol in Protocol::ALL {
        // What is not answered from the store is a failure that the breaker counts, or a probe after open_for.
        let mut held = None;
        for _ in 0..12 {
            let before = requests_of(stage, "inventory")?;
            let response = stage.exchange(protocol, &request, &show)?;
            let reached = requests_of(stage, "inventory")? - before;
            if is_stored(&response, &good) {
                held = Some(reached);
                break;
            }
            let counted = response.status == 500 && reached == 1;
            stage.expect("closed, or probing: the service's own failure, one more by its count", counted)?;
        }
        let what =
            format!("open, over {}: a stored response, and no request by the service's count", protocol.version());
        stage.expect(&what, held == Some(0))?;
    }
    let said = stage.clients.post(&format!("http://{}/-/recover", stage.place.service("inventory")))?;
    println!("   the inventory service: {}", said.body.trim());
    recovers(stage, &request)
}

fn recovers(stage: &mut Stage, request: &Request) -> Result {
    let recovered = eventually(Duration::from_secs(20), || {
        let response = stage.clients.send(Protocol::Http2, request).ok()?;
        (response.status == 200 && response.header("age").is_none()).then_some(response)
    });
    if let Some(response) = &recovered {
        println!("-> GET {}  [{}]", request.url, Protocol::Http2.name());
        print_response(response, &[]);
    }
    stage.expect("after open_for a probe goes through, and the breaker closes", recovered.is_some())
}

/// Whether it is the earlier response, out of the gateway's store.
fn is_stored(response: &Response, good: &Response) -> bool {
    let hit = response.header("cache-status").is_some_and(|value| value.contains("hit"));
    response.status == 200 && response.body == good.body && response.header("age").is_some() && hit
}

/// The lines of the access log about a route. Only whole ones.
fn log_of(stage: &Stage, route: &str) -> Vec<String> {
    let text = std::fs::read_to_string(stage.place.file("access.log")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let about = |line: &&str| serde_json::from_str(line).is_ok_and(|line: Value| line["route"] == route);
    whole.lines().filter(about).map(str::to_owned).collect()
}

/// How many requests a service counted.
fn requests_of(stage: &Stage, service: &str) -> Result<u64> {
    let answer = control(stage, service, "/-/requests")?;
    answer["requests"].as_u64().ok_or_else(|| format!("the service {service} did not say how many requests it had"))
}

/// What a service says of itself.
fn control(stage: &Stage, service: &str, path: &str) -> Result<Value> {
    let answer = stage.clients.plain(&format!("http://{}{path}", stage.place.service(service)))?;
    Ok(serde_json::from_str(&answer.body).unwrap_or_default())
}
