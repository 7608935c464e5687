//! The microservices example by clients that are not ours, over all three protocols: what comes back is the same.
//!
//! Each protocol gets a gateway and services of its own, fresh, and the same requests in the same order. So what
//! depends on what came before (a limit, a breaker, a list of orders) has to agree as well.

use gateway_tests::client::PROTOCOLS;
use gateway_tests::foreign::{Answer, Question, ask};
use gateway_tests::gateway::TestGateway;
use gateway_tests::process::ExampleService;

use crate::examples::{PLUGINS, example};

const SHOP: &str = "x-api-key: demo-shop-key";
const CRM: &str = "x-api-key: demo-crm-key";

/// Personal data in the answers of the customers' service, and in what is asked of it.
const PERSONAL: [&str; 6] =
    ["kari@example.no", "kari.nordmann@example.org", "912 34 567", "91234567", "02013299997", "1234.56.78903"];

/// The example with its services.
struct World {
    protocol: &'static str,
    gateway: TestGateway,
    services: Vec<(&'static str, ExampleService)>,
}

impl World {
    fn start(protocol: &'static str) -> Self {
        let mut yaml = example("microservices");
        // Times that no machine is too slow for: nobody earns another order, no breaker tries again.
        for (from, to) in [("per: 1m", "per: 1d"), ("open_for: 5s", "open_for: 1h"), ("response: 2s", "response: 30s")]
        {
            assert!(yaml.contains(from), "the example has no `{from}`");
            yaml = yaml.replace(from, to);
        }
        let services = [("orders", 5001), ("inventory", 5002), ("customers", 5003), ("identity", 5004)];
        let services = services.map(|(name, port)| {
            let service = ExampleService::start(name);
            yaml = yaml.replace(&format!("127.0.0.1:{port}"), &service.address().to_string());
            (name, service)
        });
        Self { protocol, gateway: TestGateway::start(&yaml, &PLUGINS), services: services.into() }
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&str>) -> Answer {
        let url = format!("https://localhost:{}{path}", self.gateway.listener("public").port());
        ask(self.protocol, Question { method, url: &url, headers, body })
    }

    fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.ask("GET", path, headers, None)
    }

    /// Asks a service itself.
    fn control(&self, method: &str, service: &str, path: &str) -> Answer {
        let address = self.services.iter().find(|(name, _)| *name == service).expect("a service").1.address();
        ask("http1", Question { method, url: &format!("http://{address}{path}"), headers: &[], body: None })
    }

    /// How many requests of the gateway a service had, by its own count.
    fn reached(&self, service: &str) -> u64 {
        self.control("GET", service, "/-/requests").json()["requests"].as_u64().expect("a number")
    }
}

/// Status, sorted header fields, body.
type Comparable = (u16, Vec<(String, String)>, String);

/// What is compared: everything but what belongs to one request or connection.
fn comparable(protocol: &str, mut answer: Answer) -> Comparable {
    let version = match protocol {
        "http1" => "HTTP/1.1",
        "http2" => "HTTP/2",
        _ => "HTTP/3",
    };
    assert_eq!(answer.version, version);
    let id = answer.header("x-request-id").to_owned();
    assert!(!id.is_empty(), "{answer:?}");
    let again = format!("again in {} s", answer.header("retry-after"));
    // Where the gateway answers by itself, it also says to which trace the request belongs.
    let parsed = serde_json::from_str::<serde_json::Value>(&answer.text());
    let trace = parsed.ok().and_then(|body| Some(body["trace_id"].as_str()?.to_owned())).unwrap_or_default();
    let traced = format!("\"trace_id\":\"{trace}\"");
    let body = answer.text().replace(&id, "ID").replace(&traced, "TRACE").replace(&again, "again in SECONDS s");
    // Alt-Svc tells clients of TCP about HTTP/3, and has a port that is each gateway's own.
    answer.headers.retain(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "alt-svc"));
    for (name, value) in &mut answer.headers {
        match name.as_str() {
            // Whole seconds that have gone by, or are left.
            "age" | "retry-after" => {
                value.parse::<u64>().unwrap_or_else(|_| panic!("{name}: {value}"));
                *value = "SECONDS".to_owned();
            }
            "ratelimit" => {
                *value = value.split(';').filter(|part| !part.starts_with("t=")).collect::<Vec<_>>().join(";");
            }
            "cache-status" => {
                *value = value.split(';').filter(|part| !part.trim().starts_with("ttl=")).collect::<Vec<_>>().join(";");
            }
            _ => {}
        }
    }
    (answer.status, answer.headers, body)
}

/// Every route of the example, each with what has to come back; the answers, to be compared.
fn story(protocol: &'static str) -> Vec<(String, Comparable)> {
    let world = World::start(protocol);
    let mut told = Vec::new();
    let mut tell = |what: &str, status: u16, answer: Answer| {
        assert_eq!(answer.status, status, "{protocol}, {what}: {}", answer.text());
        told.push((what.to_owned(), comparable(protocol, answer.clone())));
        answer
    };

    tell("a response of the gateway's own", 200, world.get("/", &[]));
    tell("no route", 404, world.get("/nowhere", &[]));
    tell("no route for the method", 404, world.ask("DELETE", "/inventory/boots", &[SHOP], None));

    for path in ["/orders", "/inventory/boots", "/customers/1"] {
        let refused = tell("no credentials", 401, world.get(path, &[]));
        assert!(!refused.header("www-authenticate").is_empty(), "{refused:?}");
        tell("a key that nobody has", 401, world.get(path, &["x-api-key: guessed"]));
        tell("a key of too little scope", 403, world.get(path, &[if path == "/customers/1" { SHOP } else { CRM }]));
    }
    tell("no credentials for an order", 401, world.ask("POST", "/orders", &[], Some("{}")));

    let listed = tell("orders", 200, world.get("/orders", &[SHOP]));
    assert_eq!((listed.header("x-hello"), listed.text().as_str()), ("hei", "{\"orders\":[]}\n"));
    let seen = tell("what the service sees", 200, world.get("/orders/seen", &[SHOP, "x-auth-subject: the-director"]));
    assert_eq!((&seen.json()["x_real_ip"], &seen.json()["subject"]), (&"127.0.0.1".into(), &().into()));
    tell("an error of the service", 404, world.get("/orders/nothing", &[SHOP]));
    let token = world.control("POST", "identity", "/-/token?sub=kari&scope=orders").json();
    let bearer = format!("authorization: Bearer {}", token["access_token"].as_str().expect("a token"));
    let seen = tell("a token", 200, world.get("/orders/seen", &[&bearer]));
    assert_eq!(seen.json()["subject"], "kari");
    tell("a token that was changed", 401, world.get("/orders/seen", &[&bearer.replace('.', ".e")]));

    let place = || world.ask("POST", "/orders", &[SHOP, "content-type: application/json"], Some(r#"{"item":"boots"}"#));
    for number in 1..=5 {
        assert_eq!(tell("an order", 201, place()).json()["number"], number);
    }
    let refused = tell("one order too many", 429, place());
    for name in ["retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(!refused.header(name).is_empty(), "{name} in {refused:?}");
    }
    tell("orders are still read", 200, world.get("/orders", &[SHOP]));

    let whole = world.control("GET", "customers", "/customers/1").text();
    assert!(PERSONAL.iter().all(|text| whole.contains(text)), "{whole}");
    for path in ["/customers/1", "/customers", "/customers/kari@example.no?fnr=02013299997"] {
        let redacted = tell("customers", 200, world.get(path, &[CRM]));
        assert!(!PERSONAL.iter().any(|text| redacted.text().contains(text)), "{path}: {}", redacted.text());
        assert!(redacted.text().contains("Kari Nordmann"), "{path}: {}", redacted.text());
        redacted.json();
    }
    let last = world.control("GET", "customers", "/-/last").json();
    let pseudonym = last["target"].as_str().and_then(|target| target.split_once("?fnr=")).expect("a target").1;
    assert!(pseudonym.starts_with("fodselsnummer-") && pseudonym.len() == 30, "the service saw {pseudonym}");

    breaker(&world, &mut tell);

    // Once the gateway has ended, the log is whole.
    let World { mut gateway, .. } = world;
    gateway.drain();
    let log = gateway.access_log();
    assert!(log.iter().filter(|record| record["route"] == "customers").count() > 3, "{log:?}");
    let noted = format!("/customers/***?fnr={pseudonym}");
    assert!(log.iter().any(|record| record["fields"]["lookup"] == noted.as_str()), "{log:?}");
    for record in &log {
        let record = record.to_string();
        assert!(!PERSONAL.iter().any(|text| record.contains(text)), "{record}");
    }
    told
}

/// The inventory fails, the breaker opens, and nothing reaches the service any more: by the service's own count.
fn breaker(world: &World, tell: &mut impl FnMut(&str, u16, Answer) -> Answer) {
    let boots = || world.get("/inventory/boots", &[SHOP]);
    let good = tell("an item", 200, boots());
    tell("an item's head", 200, world.ask("HEAD", "/inventory/boots", &[SHOP], None));
    world.control("POST", "inventory", "/-/fail");
    let before = world.reached("inventory");
    for _ in 0..3 {
        tell("the service's failure", 500, boots());
    }
    assert_eq!(world.reached("inventory"), before + 3);
    for _ in 0..3 {
        let stored = tell("the last good response", 200, boots());
        assert_eq!(stored.body, good.body);
        assert!(!stored.header("age").is_empty() && stored.header("cache-status").contains("hit"), "{stored:?}");
    }
    tell("its head", 200, world.ask("HEAD", "/inventory/boots", &[SHOP], None));
    let refused = tell("an item of which nothing is stored", 503, world.get("/inventory/hats", &[SHOP]));
    assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    assert_eq!(world.reached("inventory"), before + 3, "an open breaker makes no attempt upstream");
}

#[test]
fn every_route_of_the_example_answers_alike_to_curl_and_aioquic() {
    let stories = std::thread::scope(|scope| {
        let stories = PROTOCOLS.map(|protocol| scope.spawn(move || story(protocol)));
        stories.map(|story| story.join().expect("no panic"))
    });
    let [first, others @ ..] = stories;
    for (other, protocol) in others.iter().zip(&PROTOCOLS[1..]) {
        assert_eq!(first.len(), other.len());
        for (one, two) in first.iter().zip(other) {
            assert_eq!(one, two, "{} over http1 and {protocol}", one.0);
        }
    }
}

#[test]
fn the_redirect_of_the_example_is_the_same_over_both_protocols_in_clear_text() {
    let gateway = TestGateway::start(&example("microservices"), &PLUGINS);
    let url = format!("http://localhost:{}/orders?page=2", gateway.listener("plain").port());
    let answers = ["http1", "http2"].map(|protocol| {
        let answer = ask(protocol, Question { method: "GET", url: &url, headers: &[], body: None });
        assert_eq!((answer.status, answer.header("location")), (308, "https://localhost:8443/orders?page=2"));
        comparable(protocol, answer)
    });
    assert_eq!(answers[0], answers[1]);
}
