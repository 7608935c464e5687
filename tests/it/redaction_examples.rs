//! What the README of `examples/redaction` promises, with its configurations as they are.

use gateway_tests::client::{Client, Response};
use gateway_tests::duplex::{Duplex, run, streamed};
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{ScriptBody, Upstream, text};

use crate::examples::redaction;

const FNR: &str = "02013299997";
const ADDRESS: &str = "kari@example.no";

fn json(body: String) -> http::Response<ScriptBody> {
    let mut response = text(200, body);
    response.headers_mut().insert("content-type", "application/json".parse().expect("valid"));
    response
}

#[test]
fn an_api_is_told_a_hash_and_no_card_and_its_clients_see_no_more_than_they_need() {
    let customer = serde_json::json!({
        "customer": {
            "fnr": FNR, "email": ADDRESS, "card": "4111 1111 1111 1111", "password": "hunter2",
            "address": {"street": "Storgata 1", "city": "Oslo"},
        },
        "notes": [{"id": 7, "text": "Kari rang fra jobben"}],
        "text": "Kunde siden 2019",
    });
    let upstream = Upstream::start(move |_| json(customer.to_string()));
    let gateway = TestGateway::start(&redaction("api", upstream.address()), &["pii-redact"]);
    let mut client = Client::http1(gateway.address());

    let response = client.get(&format!("/customers?fnr={FNR}"));
    let seen = upstream.seen().pop().expect("it was forwarded");
    let (_, hash) = seen.target.split_once("/customers?fnr=").expect("the query");
    assert!(hash.starts_with("fodselsnummer-") && hash.len() == "fodselsnummer-".len() + 16, "{hash}");
    let expected = serde_json::json!({
        "customer": {
            "fnr": hash, "email": "***", "card": "***1111", "password": "***",
            "address": {"street": "***", "city": "***"},
        },
        "notes": [{"id": 7, "text": "***"}],
        "text": "Kunde siden 2019",
    });
    assert_eq!((response.status, response.json()), (200, expected));

    let body = format!("{{\"fnr\":\"{FNR}\",\"email\":\"{ADDRESS}\"}}");
    assert_eq!(client.post("/customers", "application/json", body).status, 200);
    let seen = upstream.seen().pop().expect("it was forwarded");
    assert_eq!(String::from_utf8_lossy(&seen.body), format!("{{\"fnr\":\"{hash}\",\"email\":\"{ADDRESS}\"}}"));

    // A number in JSON and a number in a query; a number of that length which is no card passes.
    let pay = |card: &str| format!("{{\"payment\":{{\"card\":{card}}}}}");
    let post = |client: &mut Client, card: &str| client.post("/customers", "application/json", pay(card)).status;
    assert_eq!(post(&mut client, "\"4111 1111 1111 1111\""), 403);
    assert_eq!(post(&mut client, "4111111111111111"), 403);
    assert_eq!(client.get("/customers?card=4111111111111111").status, 403);
    assert_eq!(upstream.seen().len(), 2);
    assert_eq!(post(&mut client, "4111111111111112"), 200);
}

const BOUNDARY: &str = "a-boundary";

/// A part of a form: its name, what else its head says, and its content.
type Part<'a> = (&'a str, &'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, more, content) in parts {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn upload(client: &mut Client, parts: &[Part<'_>]) -> Response {
    client.post("/upload", &format!("multipart/form-data; boundary={BOUNDARY}"), form(parts))
}

const LETTER: &str = "; filename=\"letter.txt\"\r\nContent-Type: text/plain";
const MEMBERS: &str = "; filename=\"members.csv\"\r\nContent-Type: text/csv";
const PACKED: &str = "; filename=\"letter.txt.gz\"\r\nContent-Type: application/octet-stream";
const PICTURE: &str = "; filename=\"dot.gif\"\r\nContent-Type: image/gif";

#[test]
fn an_upload_is_masked_part_by_part_and_refused_where_a_part_can_not_be_read() {
    let upstream = Upstream::start(|_| text(200, "stored\n"));
    let gateway = TestGateway::start(&redaction("files", upstream.address()), &["pii-redact"]);
    let mut client = Client::http1(gateway.address());
    let picture = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xFF\xFF\xFF,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let members = "Navn;E-post;Kontonummer;Beløp\nKari Nordmann;kari@example.no;12345678903;1500\n";
    let sent: [Part<'_>; 4] = [
        ("navn", "", b"Kari Nordmann"),
        ("letter", LETTER, "Ring meg på 987 65 432.\n".as_bytes()),
        ("members", MEMBERS, members.as_bytes()),
        ("picture", PICTURE, picture),
    ];
    let expected: [Part<'_>; 4] = [
        ("navn", "", b"***"),
        ("letter", LETTER, "Ring meg på ***.\n".as_bytes()),
        ("members", MEMBERS, "Navn;E-post;Kontonummer;Beløp\n***;[email];***8903;1500\n".as_bytes()),
        ("picture", PICTURE, picture),
    ];
    let response = upload(&mut client, &sent);
    assert_eq!((response.status, response.text().as_str()), (200, "stored\n"));
    let seen = upstream.seen().pop().expect("it was forwarded");
    assert_eq!(String::from_utf8_lossy(&seen.body), String::from_utf8_lossy(&form(&expected)));

    // The start of a gzip file (RFC 1952 section 2.3), behind a part that could be read.
    let packed: Part<'_> = ("packed", PACKED, b"\x1F\x8B\x08\0\0\0\0\0\0\x03\x4B\xCC\x4B\x04\0");
    let response = upload(&mut client, &[sent[1], packed]);
    assert_eq!((response.status, response.header("content-type")), (415, "application/problem+json"));
    assert_eq!(upstream.seen().len(), 1);
}

/// An event of a chat with the next piece of its text.
fn event(text: &str) -> String {
    let data = serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    format!("data: {data}\n\n")
}

/// The text of all events of a chat.
fn joined(events: &str) -> String {
    let data = events.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| {
        let data: serde_json::Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data}"));
        data["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    })
    .collect()
}

#[test]
fn a_model_sees_placeholders_and_its_reader_the_values_event_by_event_but_not_in_links() {
    let (give, mut questions) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::start(move |seen| {
        let (sender, response) = streamed("text/event-stream");
        let _ = give.send((seen.body.clone(), sender));
        response
    });
    let gateway = TestGateway::start(&redaction("llm", upstream.address()), &["pii-redact"]);
    let question = serde_json::json!({
        "stream": true,
        "messages": [{"role": "user", "content": format!("Write to {ADDRESS}, fnr {FNR}.")}],
    })
    .to_string();
    let mut before = String::new();
    for protocol in ["http1", "http2"] {
        let placeholder = run(protocol, async {
            let request = http::Request::post("/v1/chat/completions").header("content-type", "application/json");
            let mut client = Duplex::open(protocol, &gateway, request).await;
            client.send(question.clone()).await.expect("sent");
            client.finish().await;

            let (body, mut sender) = questions.recv().await.expect("a question");
            let asked: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let asked = asked["messages"][0]["content"].as_str().expect("text").to_owned();
            let of = |category: &str| {
                let found = asked.split([' ', ',', '.']).find(|word| word.starts_with(&format!("PII{category}X")));
                found.unwrap_or_else(|| panic!("{protocol}: {asked}")).to_owned()
            };
            let (address, number) = (of("email"), of("fodselsnummer"));
            assert_eq!(asked, format!("Write to {address}, fnr {number}."), "{protocol}");

            // Each is sent when the client has the one before.
            let (front, back) = address.split_at(7);
            let mut events = Vec::from(["I wrote to ", front, back, " (", number.as_str()].map(event));
            events.extend([") today. See ", "https://crm.example.com/?q=", front, back, " for more."].map(event));
            events.push("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned());
            let mut got = String::new();
            for (index, event) in events.into_iter().enumerate() {
                sender.send_data(event.into()).await.expect("sent");
                if index == 0 {
                    assert_eq!(client.head().await.status(), 200, "{protocol}");
                }
                while got.matches("\n\n").count() <= index {
                    got.push_str(&String::from_utf8_lossy(&client.piece().await));
                }
            }
            sender.send_data("data: [DONE]\n\n".into()).await.expect("sent");
            drop(sender);
            let (rest, _) = client.rest().await.expect("whole");
            got.push_str(&String::from_utf8_lossy(&rest));
            assert!(got.ends_with("data: [DONE]\n\n"), "{protocol}: {got}");
            let expected =
                format!("I wrote to {ADDRESS} ({FNR}) today. See https://crm.example.com/?q={address} for more.");
            assert_eq!(joined(&got), expected, "{protocol}: {got}");
            address
        });
        assert_ne!(placeholder, before, "the provider could tell that both are about the same person");
        before = placeholder;
    }
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.post("/v1/chat/completions", "text/plain", "Is 4111 1111 1111 1111 a card?").status, 403);
    assert_eq!(upstream.seen().len(), 2);
}
