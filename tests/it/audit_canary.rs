//! Marked values through every input of audited routes: none of them is in the ledger, its indexes, the names and contents of
//! the key files, or in anything that `gateway audit` says.

use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gateway_tests::audit::{DECLARED, ask, exchanges, fill, ledger, sections};
use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::upstream::{Upstream, text};

/// Marked values, each with the input that it went through.
#[derive(Default)]
struct Marks(Vec<(String, String)>);

impl Marks {
    /// A value like nothing else: letters alone, so that it may be a part of a name.
    fn mark(&mut self, input: impl Into<String>) -> String {
        let number = 104_729_u64 * (self.0.len() as u64 + 97);
        let letters =
            format!("{number:010}").bytes().map(|digit| char::from(b'k' + (digit - b'0'))).collect::<String>();
        self.0.push((input.into(), format!("qz{letters}")));
        format!("qz{letters}")
    }
}

/// What a value may look like.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    // Wherever it stands in a longer text.
    let encoded = (0..3).map(|before| {
        let text = BASE64_STANDARD.encode([&b"xyz"[..before], value.as_bytes(), b"xyz"].concat());
        text[4..text.len() - 8].to_owned()
    });
    let plain = [value.to_owned(), value.to_uppercase(), hex.to_uppercase(), hex, percent, digest];
    plain.into_iter().chain(encoded).map(String::into_bytes).collect()
}

/// A gateway that knows its callers by keys whose names are marked, and reads bodies.
fn gateway(upstream: &Upstream, names: &[String]) -> TestGateway {
    let hash = |text: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let keys: Vec<_> =
        names.iter().map(|name| format!("{{name: {name}, sha256: {}}}", hash(&format!("{name}-key")))).collect();
    let auth = format!("{{name: auth, config: {{api_keys: {{keys: [{}]}}}}}}", keys.join(", "));
    let redact = "{name: pii-redact, config: {request: {body: true}, response: {body: true}}}";
    let yaml = format!(
        "listeners:
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
plugins: {{directory: plugins}}
upstreams:
  one: {{endpoints: [\"{}\"], data: {{controller: Example AS, region: oslo, country: NO}}}}
  gone: {{endpoints: [\"127.0.0.1:1\"]}}
{}routes:
  - {{name: gone, match: {{path: {{prefix: /gone}}}}, upstream: gone, {DECLARED}}}
  - {{name: noted, match: {{path: {{prefix: /noted}}}}, plugins: [{{name: test-guest, config: {{id: a}}}}], upstream: one, {DECLARED}}}
  - {{name: all, match: {{path: {{prefix: /}}}}, plugins: [{auth}, {redact}], upstream: one, {DECLARED}}}
",
        upstream.address(),
        sections(""),
    );
    TestGateway::prepare(&yaml, |directory| {
        fill(directory);
        ["auth", "pii-redact", "test-guest"].iter().for_each(|plugin| install(plugin, &directory.join("plugins")));
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

/// One exchange over a protocol with a mark wherever a client can put one; answered with this status.
fn exchange(gateway: &TestGateway, protocol: &str, path: &str, key: &str, status: u16, marks: &mut Marks) {
    let mut mark = |input: &str| marks.mark(format!("{protocol} {path} {input}"));
    let target = format!("{path}/{}?{}={}", mark("path"), mark("query name"), mark("query value"));
    let mut request = http::Request::post(target).header("x-api-key", key).header("content-type", "application/json");
    for name in [
        "authorization",
        "cookie",
        "x-request-id",
        "x-forwarded-for",
        "forwarded",
        "via",
        "user-agent",
        "traceparent",
        "tracestate",
        "baggage",
        "referer",
        "x-correlation-id",
    ] {
        request = request.header(name, mark(name));
    }
    request = request.header(format!("x-{}", mark("name of a field")), "1");
    if path == "/noted" {
        request = request.header("x-do", "a/request_headers=audit-note");
    }
    let body = format!(
        "{{\"{}\": \"{}@{}.example\", \"card\": \"4111 1111 1111 1111\", \"text\": \"{}\"}}",
        mark("key of the body"),
        mark("address"),
        mark("domain"),
        mark("text of the body"),
    );
    let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
    let response = client.send(request, body);
    assert_eq!(response.status, status, "{protocol} {path}: {}", response.text());
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Which values are in which outputs.
fn leaks(marks: &Marks, outputs: &[(String, Vec<u8>)]) -> Vec<String> {
    let known = ("body".to_owned(), "4111 1111".to_owned());
    let mut leaks = Vec::new();
    for (output, content) in outputs {
        for (input, value) in marks.0.iter().chain([&known]) {
            let is_there = |form: &Vec<u8>| content.windows(form.len()).any(|part| part == form.as_slice());
            if forms(value).iter().any(is_there) {
                leaks.push(format!("{input} in {output}"));
            }
        }
    }
    leaks
}

#[test]
fn no_value_of_a_client_is_in_ledger_index_key_files_or_reports() {
    let mut marks = Marks::default();
    let names: Vec<String> = (0..2).map(|_| marks.mark("principal")).collect();
    let said = marks.mark("upstream's body");
    let field = marks.mark("upstream's field");
    let upstream = Upstream::start(move |_| {
        let mut response = text(200, format!("{said}@mail.example"));
        response.headers_mut().insert("set-cookie", field.parse().expect("a value"));
        response
    });
    let mut gateway = gateway(&upstream, &names);
    let mut made = 0;
    for protocol in PROTOCOLS {
        for (path, name, status) in [
            ("/a", Some(&names[0]), 200),
            ("/b", Some(&names[1]), 200),
            ("/c", None, 401),
            ("/gone", None, 502),
            ("/noted", None, 200),
        ] {
            let key = name.map_or_else(|| marks.mark("unknown key"), |name| format!("{name}-key"));
            exchange(&gateway, protocol, path, &key, status, &mut marks);
            made += 1;
        }
    }
    let directory = gateway.directory().to_owned();
    let found = exchanges(&directory);
    assert_eq!(found.len(), made);
    assert!(
        found.iter().any(|found| found.closing.as_ref().is_some_and(|end| !end.categories.is_empty())),
        "{found:?}"
    );

    let principal = format!("key:{}", names[0]);
    let mut outputs: Vec<(String, Vec<u8>)> = Vec::new();
    let answer = |outputs: &mut Vec<(String, Vec<u8>)>, arguments: &[&str]| {
        let (code, text, said) = ask(&directory, arguments);
        assert!(code == 0 && !text.is_empty(), "{arguments:?}: {text}{said}");
        outputs.push((arguments[0].to_owned(), [text, said].concat().into_bytes()));
    };
    for arguments in [
        &["verify"][..],
        &["query"],
        &["query", "--format", "json"],
        &["query", "--subject", &principal],
        &["query", "--subject", &principal, "--format", "json"],
        &["report"],
        &["report", "--format", "json"],
        &["report", "--article", "33"],
        &["report", "--article", "33", "--format", "json"],
        &["head", "--notes"],
    ] {
        answer(&mut outputs, arguments);
    }
    outputs.push(("metrics".to_owned(), gateway.admin_page("/metrics").1.into_bytes()));
    // One subject is erased by the gateway that runs, the other stays in the key file.
    answer(&mut outputs, &["erase", "--subject", &principal]);
    gateway.drain();
    answer(&mut outputs, &["verify"]);

    let files = files(&ledger(&directory));
    for (what, ending) in [("a segment", ".jsonl"), ("an index", ".index")] {
        assert!(files.iter().any(|file| file.to_string_lossy().ends_with(ending)), "{what} is there: {files:?}");
    }
    assert!(files.iter().any(|file| file.ends_with(".keys/edge-1")), "the key file is there: {files:?}");
    for file in &files {
        let name = file.to_string_lossy().into_owned();
        outputs.push((format!("name {name}"), name.clone().into_bytes()));
        outputs.push((name, std::fs::read(file).expect("readable")));
    }
    let leaks = leaks(&marks, &outputs);
    println!("{} inputs in {made} exchanges, {} outputs", marks.0.len(), outputs.len());
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(marks.0.len() > 250 && outputs.len() > 15, "{} inputs, {} outputs", marks.0.len(), outputs.len());
}

#[test]
fn a_value_would_be_found_in_each_of_its_forms() {
    let mut marks = Marks::default();
    let value = marks.mark("an input");
    for text in [value.clone(), value.to_uppercase(), BASE64_STANDARD.encode(format!("user:{value}:more"))] {
        let found = forms(&value).iter().any(|form| text.as_bytes().windows(form.len()).any(|part| part == &form[..]));
        assert!(found, "{text}");
    }
}
