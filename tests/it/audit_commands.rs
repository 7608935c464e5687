//! `gateway audit …` as processes of their own, beside a gateway that writes and after it.

use std::collections::BTreeSet;
use std::path::Path;

use audit::verify::verify;
use gateway_tests::audit::{DECLARED, ask, exchanges, fill, ledger, sections};
use gateway_tests::client::Client;
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::process::Process;
use gateway_tests::upstream::{Upstream, text};

/// Two people of whom one upstream in Norway and one in Germany are told.
fn gateway(upstream: &Upstream) -> TestGateway {
    let key = |name: &str| format!("{{name: {name}, sha256: {}}}", sha256(&format!("{name}-key")));
    let keys = ["alice", "bob"].map(key).join(", ");
    let auth = format!("{{name: auth, config: {{api_keys: {{keys: [{keys}]}}}}}}");
    let redact = "{name: pii-redact, config: {request: {body: true}}}";
    let address = upstream.address();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
upstreams:
  orders: {{endpoints: [\"{address}\"], data: {{controller: Example AS, region: oslo, country: NO}}}}
  mail: {{endpoints: [\"{address}\"], data: {{controller: Mail GmbH, region: berlin, country: DE}}}}
{}routes:
  - {{name: orders, match: {{path: {{prefix: /orders}}}}, plugins: [{auth}, {redact}], upstream: orders, {DECLARED}}}
  - {{name: mail, match: {{path: {{prefix: /mail}}}}, plugins: [{auth}], upstream: mail, audit: {{purpose: newsletters, legal_basis: consent, retention: 30d}}}}
",
        sections("")
    );
    TestGateway::prepare(&yaml, |directory| {
        fill(directory);
        ["auth", "pii-redact"].iter().for_each(|plugin| install(plugin, &directory.join("plugins")));
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Three exchanges of Alice, two of Bob.
fn use_it(gateway: &TestGateway) {
    let mut client = Client::http1(gateway.address());
    for (path, key) in [
        ("/orders", "alice-key"),
        ("/orders", "bob-key"),
        ("/mail", "alice-key"),
        ("/mail", "bob-key"),
        ("/orders", "alice-key"),
    ] {
        let request = http::Request::post(path).header("x-api-key", key).header("content-type", "application/json");
        assert_eq!(client.send(request, r#"{"card": "4111 1111 1111 1111"}"#).status, 200);
    }
}

/// How many exchanges a question finds.
fn count(directory: &Path, question: &[&str]) -> usize {
    let arguments = [&["query", "--format", "json"], question].concat();
    let (code, text, said) = ask(directory, &arguments);
    assert_eq!(code, 0, "{said}");
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    found.as_array().expect("a list").len()
}

#[test]
fn an_auditor_verifies_asks_reports_and_erases_beside_a_gateway_that_writes() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let mut gateway = gateway(&upstream);
    use_it(&gateway);
    let directory = gateway.directory().to_owned();
    for (question, expected) in [
        (&[][..], 5),
        (&["--subject", "key:alice"], 3),
        (&["--subject", "key:bob", "--country", "DE"], 1),
        (&["--category", "card"], 3),
        (&["--upstream", "mail"], 2),
        (&["--route", "orders"], 3),
        (&["--from", "2020-01-01", "--to", "2020-01-02"], 0),
        (&["--subject", "key:nobody"], 0),
    ] {
        assert_eq!(count(&directory, question), expected, "{question:?}");
    }
    let (code, report, _) = ask(&directory, &["report"]);
    assert_eq!(code, 0);
    for word in ["order handling", "newsletters", "consent", "Example AS", "Mail GmbH", "NO", "DE", "365d", "card"] {
        assert!(report.contains(word), "{word} in\n{report}");
    }
    let (code, breach, _) = ask(&directory, &["report", "--article", "33", "--format", "json"]);
    let breach: serde_json::Value = serde_json::from_str(&breach).expect("JSON");
    assert_eq!(
        (code, breach["exchanges"].as_u64(), breach["subjects"].as_array().map(Vec::len)),
        (0, Some(5), Some(2))
    );

    // Alice is forgotten, by the gateway that runs, and the chain stays valid.
    let (code, text, said) = ask(&directory, &["erase", "--subject", "key:alice"]);
    assert_eq!(code, 0, "{text}{said}");
    assert_eq!((count(&directory, &["--subject", "key:alice"]), count(&directory, &["--subject", "key:bob"])), (0, 2));
    let (code, _, said) = ask(&directory, &["erase", "--subject", "key:alice"]);
    assert!(code == 1 && said.contains("no such subject"), "{said}");
    gateway.drain();
    // And Bob when none runs.
    assert_eq!(ask(&directory, &["erase", "--subject", "key:bob"]).0, 0);
    assert_eq!(count(&directory, &["--subject", "key:bob"]), 0);
    let (code, text, said) = ask(&directory, &["verify", "audit"]);
    assert_eq!(code, 0, "{text}{said}");
    for answer in [report, breach.to_string(), text] {
        assert!(!answer.contains("alice") && !answer.contains("4111"), "{answer}");
    }
}

#[test]
fn verify_says_what_was_changed_in_a_copy_and_where() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let mut gateway = gateway(&upstream);
    use_it(&gateway);
    gateway.drain();
    let directory = gateway.directory().to_owned();
    let (code, head, _) = ask(&directory, &["head", "audit"]);
    let heads: Vec<&str> = head.lines().collect();
    assert_eq!((code, heads.len()), (0, 2));
    let expected: Vec<&str> = heads.iter().flat_map(|head| ["--expect", head]).collect();
    let verify = |name: &str| ask(&directory, &[&["verify", name][..], &expected].concat());
    assert_eq!(verify("audit").0, 0);

    let segment = "edge-1/365d/0000000001.jsonl";
    let whole = std::fs::read_to_string(ledger(&directory).join(segment)).expect("a segment");
    let lines: Vec<&str> = whole.lines().collect();
    let flipped = whole.replacen("order handling", "order hardling", 1);
    let removed = [&lines[..2], &lines[3..]].concat().join("\n") + "\n";
    let cut = lines[..lines.len() - 2].join("\n") + "\n";
    for (what, content, place) in [
        ("flipped", flipped, format!("{segment}:2")),
        ("removed", removed, format!("{segment}:3")),
        ("cut", cut, "the end is missing".to_owned()),
    ] {
        copy(&ledger(&directory), &directory.join(what));
        std::fs::write(directory.join(what).join(segment), content).expect("written");
        let (code, text, said) = verify(what);
        assert_eq!(code, 1, "{what}: {text}{said}");
        assert!(text.contains(&place), "{what}: {place} in\n{text}");
    }
    let (code, _, said) = ask(&directory, &["verify", "nowhere"]);
    assert!(code == 2 && said.contains("nowhere"), "{said}");
    let (code, _, said) = ask(&directory, &["verify", "audit", "--expect", "x"]);
    assert!(code == 2 && said.contains("is no head"), "{said}");
}

/// Copies a directory.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("readable").map(|entry| entry.expect("readable").path()) {
        let name = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() { copy(&entry, &name) } else { std::fs::copy(&entry, &name).map(drop).expect("copied") }
    }
}

#[test]
fn a_replaced_pseudonym_key_finds_who_was_recorded_under_the_old_one() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let mut running = gateway(&upstream);
    use_it(&running);
    running.drain();
    let directory = running.directory();
    let config = directory.join("gateway.yaml");
    let old = std::fs::read_to_string(&config).expect("written");
    let port = gateway_tests::free_port();
    let old = old.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1) + "log: {format: json}\n";
    let rotated = old
        .replace("pseudonym_key: audit-key", "pseudonym_key: [new-key, audit-key]")
        .replace("secrets: {", &format!("secrets: {{new-key: {{value: \"{}\"}}, ", "fedcba9876543210".repeat(2)));
    assert_ne!(rotated, old);
    let counts = || ["key:alice", "key:bob"].map(|subject| count(directory, &["--subject", subject]));
    assert_eq!(counts(), [3, 2]);
    std::fs::write(&config, &rotated).expect("written");
    assert_eq!(counts(), [3, 2], "before a gateway has run with the new key");
    let subjects = || exchanges(directory).iter().filter_map(|found| found.caller).collect::<BTreeSet<_>>();
    let before = subjects();
    let mut process = Process::start(&config);
    process.wait_for("\"listening\"");
    for key in ["alice-key", "bob-key"] {
        assert_eq!(Client::http1(([127, 0, 0, 1], port).into()).get_with("/mail", &[("x-api-key", key)]).status, 200);
    }
    process.terminate();
    process.wait();
    assert_eq!(counts(), [4, 3], "one subject, whichever key was in use");
    assert_eq!(subjects(), before, "with the pseudonym that it had");
    // With the new key alone, whoever has called since is found, under the pseudonym of before.
    std::fs::write(&config, rotated.replace("[new-key, audit-key]", "new-key")).expect("written");
    assert_eq!(counts(), [4, 3]);
    std::fs::write(&config, rotated.replace("fedcba9876543210", "0000000000000000")).expect("written");
    assert_eq!(counts(), [4, 3], "by the key that was replaced, as long as it is named");
    let other = rotated.replace("fedcba9876543210", "0000000000000000").replace("[new-key, audit-key]", "new-key");
    std::fs::write(&config, other).expect("written");
    assert_eq!(counts(), [0, 0], "without a key nobody is found");
}

#[test]
fn heads_are_printed_logged_and_shown_as_a_metric_and_all_say_the_same() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let directory = tempfile::tempdir().expect("a directory");
    fill(directory.path());
    let [port, admin] = [gateway_tests::free_port(), gateway_tests::free_port()];
    let config = directory.path().join("gateway.yaml");
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:{port}\", protocols: [http1]}}]
admin: {{address: \"127.0.0.1:{admin}\"}}
log: {{format: json}}
access_log: off
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
{}routes: [{{name: all, upstream: one, {DECLARED}}}]
",
        upstream.address(),
        sections("")
    );
    std::fs::write(&config, yaml).expect("written");
    let mut process = Process::start(&config);
    process.wait_for("\"listening\"");
    assert_eq!(Client::http1(([127, 0, 0, 1], port).into()).get("/").status, 200);
    let (code, head, said) = ask(directory.path(), &["head"]);
    let head = head.trim();
    assert!(code == 0 && head.starts_with("edge-1/365d:"), "{head}{said}");
    let [chain, number, hash] = head.splitn(3, ':').collect::<Vec<_>>().try_into().expect("CHAIN:NUMBER:HASH");
    let page = Client::http1(([127, 0, 0, 1], admin).into()).get("/metrics").text();
    let series = format!("gateway_audit_head{{chain=\"{chain}\",hash=\"{hash}\"}} {number}");
    assert!(page.contains(&series), "{series} in\n{page}");
    process.wait_for(&format!("\"head\":\"{head}\""));
    process.terminate();
    process.wait();
}

#[test]
fn without_a_signing_key_verify_says_that_the_ledger_is_not_tamper_proof() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
{}routes: [{{name: all, upstream: one, {DECLARED}}}]
",
        upstream.address(),
        sections("").replace(", signing_key: audit-signing", "").replace(", audit-signing: {file: signing.pem}", "")
    );
    let gateway = TestGateway::start(&yaml, &[]);
    assert_eq!(Client::http1(gateway.address()).get("/").status, 200);
    let (code, text, said) = ask(gateway.directory(), &["verify"]);
    assert_eq!(code, 0, "{said}");
    assert!(text.contains("not tamper-proof"), "{text}");
    assert_eq!(exchanges(gateway.directory()).len(), 1);
    assert!(verify(&ledger(gateway.directory()), &Default::default()).expect("readable").is_good());
}
