//! Content codings of bodies that a plugin reads, over every protocol, against encoders and decoders that are not ours: the
//! host takes them off before the plugin and puts one on again for the client.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use bytes::Bytes;
use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::duplex::{Duplex, run, streamed};
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::{ScriptBody, Upstream, text};
use plugin_rules::codings::{Bounds, Coding, Codings, Decoder, Encoder, RATIO};

const FNR: &str = "02013299997";

fn yaml(upstream: SocketAddr, plugin: &str, limits: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}, {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}]
workers: 1
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{upstream}\"]}}}}
routes:
  - {{name: all, match: {{path: {{prefix: /}}}}, upstream: one, limits: {{{limits}}}, plugins: [{plugin}]}}
"
    )
}

fn redacting(upstream: SocketAddr) -> TestGateway {
    let plugin = "{name: pii-redact, config: {request: {body: true}}}";
    TestGateway::start(&yaml(upstream, plugin, "body: 1MiB"), &["pii-redact"])
}

fn encoded(coding: Coding, content: &[u8]) -> Bytes {
    let mut encoder = Encoder::new(coding).expect("an encoder");
    encoder.write(content).and_then(|()| encoder.finish()).expect("encoded").into()
}

fn decoder(coding: Coding) -> Decoder {
    Decoder::new(&Codings::of([coding]), Bounds { size: None, ratio: RATIO }).expect("a decoder")
}

fn decoded(coding: Coding, content: &[u8]) -> String {
    let (mut decoder, mut all) = (decoder(coding), Vec::new());
    decoder.decode(content, &mut all).and_then(|()| decoder.finish()).expect("a whole content");
    String::from_utf8(all).expect("text")
}

/// A text as the program `gzip` writes it.
fn gzipped(text: &str) -> Bytes {
    let mut command = Command::new("gzip");
    let mut child = command.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip is there");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    child.wait_with_output().expect("it ends").stdout.into()
}

fn post(coding: &str) -> http::request::Builder {
    http::Request::post("/").header("content-type", "application/json").header("content-encoding", coding)
}

fn answer(coding: &str, body: impl Into<Bytes>) -> http::Response<ScriptBody> {
    let mut response = text(200, body);
    response.headers_mut().insert("content-encoding", coding.parse().expect("valid"));
    response.headers_mut().insert("etag", "\"as-it-came\"".parse().expect("valid"));
    response
}

#[test]
fn an_encoded_request_is_masked_and_goes_upstream_as_it_is() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = redacting(upstream.address());
    let content = format!("{{\"text\":\"fnr {FNR}\",\"more\":\"{}\"}}", "words and ".repeat(5000));
    let masked = content.replace(FNR, "***");
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        let bodies = Coding::ALL.map(|coding| (coding.name(), encoded(coding, content.as_bytes())));
        let twice = encoded(Coding::Br, &gzipped(&content));
        let framed = format!("{:x}\r\n{content}\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", content.len()).into();
        let others = [("x-gzip", gzipped(&content)), ("gzip, br", twice), ("aws-chunked", framed)];
        for (coding, body) in bodies.into_iter().chain(others) {
            assert_eq!(client.send(post(coding), body).status, 200, "{coding} over {protocol}");
            let seen = upstream.seen().pop().expect("it was forwarded");
            assert!(!seen.headers.contains_key("content-encoding"), "{coding} over {protocol}");
            assert!(seen.body == masked.as_bytes(), "{coding} over {protocol}: {} bytes", seen.body.len());
        }
    }
}

#[test]
fn a_request_that_can_t_be_decoded_is_refused() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = redacting(upstream.address());
    let whole = gzipped("{\"a\":\"text\"}");
    let bomb = encoded(Coding::Gzip, &vec![b' '; 64 << 20]);
    let deep = encoded(Coding::Gzip, &bomb);
    let long = encoded(Coding::Zstd, &vec![b' '; (1 << 20) + 1]);
    for protocol in PROTOCOLS {
        for (coding, body, status) in [
            ("gzip", whole.slice(..whole.len() - 1), 400),
            ("gzip", whole.slice(..12), 400),
            ("gzip", Bytes::from_static(b"plain"), 400),
            ("br", whole.clone(), 400),
            ("gzip", [&whole[..], b"GARBAGE"].concat().into(), 400),
            ("gzip", bomb.clone(), 413),
            ("gzip, gzip", deep.clone(), 413),
            ("zstd", long.clone(), 413),
            ("compress", whole.clone(), 415),
            ("gzip, nothing-that-is-known", whole.clone(), 415),
            ("gzip, gzip, gzip, gzip", whole.clone(), 415),
        ] {
            // A connection of its own: whoever refuses a body need not read the rest of it.
            let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
            let response = client.send(post(coding), body);
            assert_eq!(response.status, status, "{coding} over {protocol}");
            let accepts = if status == 415 { "gzip, deflate, br, zstd" } else { "" };
            assert_eq!(response.header("accept-encoding"), accepts, "{coding} over {protocol}");
        }
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        for coding in ["compress", "br", "UTF-8"] {
            assert_eq!(client.send(post(coding), "").status, 200, "{coding} over {protocol}: nothing is no {coding}");
        }
        assert_eq!(client.send(post("UTF-8"), format!("\"{FNR}\"")).status, 200, "{protocol}");
        assert_eq!(&upstream.seen().pop().expect("forwarded").body[..], b"\"***\"", "{protocol}");
    }
    let whole = upstream.seen().iter().filter(|seen| !seen.body.is_empty()).count();
    assert_eq!(whole, PROTOCOLS.len(), "nothing of what was refused got there whole");
}

#[test]
fn an_encoded_response_is_masked_and_encoded_again_as_the_client_accepts_it() {
    let upstream = Upstream::start(|seen| {
        let coding = Coding::ALL.into_iter().find(|coding| seen.target == format!("/{}", coding.name()));
        let content = format!("fnr {FNR} {}", "and words ".repeat(5000));
        assert_eq!(seen.headers["accept-encoding"], "identity");
        coding.map_or_else(|| text(404, ""), |coding| answer(coding.name(), encoded(coding, content.as_bytes())))
    });
    let gateway = redacting(upstream.address());
    let masked = format!("fnr *** {}", "and words ".repeat(5000));
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        for own in Coding::ALL {
            let target = format!("/{}", own.name());
            for (accept, got) in [
                ("gzip, deflate, br, zstd", Some(own)),
                ("zstd;q=0.5, br", Some(Coding::Br)),
                ("identity", None),
                ("*;q=0", None),
                ("", None),
            ] {
                let case = format!("{} for {accept:?} over {protocol}", own.name());
                let response = client.get_with(&target, &[("accept-encoding", accept)]);
                assert_eq!(response.header("content-encoding"), got.map_or("", Coding::name), "{case}");
                assert_eq!((response.header("vary"), response.header("etag")), ("accept-encoding", ""), "{case}");
                let body = got.map_or_else(|| response.text(), |coding| decoded(coding, &response.body));
                assert!(body == masked, "{case}: {} bytes", body.len());
                let head = http::Request::head(&target).header("accept-encoding", accept);
                let head = client.send(head, "");
                assert_eq!(head.header("content-encoding"), got.map_or("", Coding::name), "HEAD {case}");
                assert_eq!((head.header("vary"), head.header("content-length")), ("accept-encoding", ""), "{case}");
            }
        }
        let plain = client.get(&format!("/{}", Coding::Gzip.name()));
        assert!(
            (plain.header("content-encoding"), plain.text()) == ("", masked.clone()),
            "{protocol}: it was not asked"
        );
    }
}

/// By decoders that are not ours.
#[test]
fn curl_reads_what_is_encoded_again() {
    let upstream = Upstream::start(|seen| {
        let coding = Coding::ALL.into_iter().find(|coding| seen.target.ends_with(coding.name()));
        let coding = coding.expect("one that is known");
        answer(coding.name(), encoded(coding, format!("fnr {FNR} {}", "and words ".repeat(9000)).as_bytes()))
    });
    let gateway = redacting(upstream.address());
    for version in ["--http1.1", "--http2"] {
        for coding in Coding::ALL {
            let url = format!("https://{}/{}", gateway.listener("tls"), coding.name());
            let output = Command::new("curl")
                .args(["--silent", "--show-error", "--insecure", "--noproxy", "*", "--compressed", version])
                .args(["--write-out", "%header{content-encoding}", &url])
                .output()
                .expect("curl is there");
            let printed = String::from_utf8_lossy(&output.stdout);
            let expected = format!("fnr *** {}{}", "and words ".repeat(9000), coding.name());
            assert!(printed == expected, "{version} {}: {}", coding.name(), String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn a_response_that_can_t_be_decoded_is_refused_or_cut() {
    let whole = gzipped("a text");
    let bomb = encoded(Coding::Gzip, &vec![b' '; 64 << 20]);
    let upstream = Upstream::start(move |seen| match seen.target.as_str() {
        "/cut" => answer("gzip", whole.slice(..whole.len() - 1)),
        "/plain" => answer("gzip", "plain"),
        "/unknown" => answer("compress", "x"),
        "/empty" => answer("compress", ""),
        _ => answer("gzip", bomb.clone()),
    });
    let gateway = redacting(upstream.address());
    for protocol in PROTOCOLS {
        let ask = |target: &str| {
            let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
            client.try_send(http::Request::get(target), "")
        };
        // Whether the first bytes have come with the head is a matter of moments.
        for target in ["/cut", "/plain", "/bomb"] {
            if let Ok(response) = ask(target) {
                assert_eq!(response.status, 502, "{target} over {protocol}");
            }
        }
        assert_eq!(ask("/unknown").expect("an answer").status, 502, "{protocol}");
        let empty = ask("/empty").expect("an answer");
        assert_eq!((empty.status, empty.body.len()), (200, 0), "{protocol}");
    }
}

#[test]
fn an_encoded_event_arrives_before_the_next_one_is_sent() {
    for (own, accept, got) in [
        (Coding::Gzip, "gzip", Some(Coding::Gzip)),
        (Coding::Br, "br", Some(Coding::Br)),
        (Coding::Zstd, "gzip", Some(Coding::Gzip)),
        (Coding::Gzip, "", None),
    ] {
        let (give, mut responses) = tokio::sync::mpsc::unbounded_channel();
        let upstream = Service::start(move |_| {
            let (sender, mut response) = streamed("text/event-stream");
            response.headers_mut().insert("content-encoding", own.name().parse().expect("valid"));
            let _ = give.send(sender);
            async move { response }
        });
        let gateway = redacting(upstream.address());
        for protocol in PROTOCOLS {
            let case = format!("{} for {accept:?} over {protocol}", own.name());
            run(&case, async {
                let request = http::Request::get("/").header("accept-encoding", accept);
                let mut client = Duplex::open(protocol, &gateway, request).await;
                client.finish().await;
                let mut sender = responses.recv().await.expect("a request");
                let (mut encoder, mut decoder) = (Encoder::new(own).expect("an encoder"), got.map(decoder));
                for (number, (event, expected)) in [
                    ("data: one of kari@example.no\n\n", "data: one of ***\n\n"),
                    ("data: two\n\n", "data: two\n\n"),
                    ("data: three of ola@example.no\n\n", "data: three of ***\n\n"),
                ]
                .into_iter()
                .enumerate()
                {
                    encoder.write(event.as_bytes()).and_then(|()| encoder.flush()).expect("encoded");
                    sender.send_data(encoder.take().into()).await.expect("sent");
                    if number == 0 {
                        let head = client.head().await;
                        let coding = head.headers().get("content-encoding").map(|value| value.as_bytes());
                        assert_eq!(coding, got.map(|coding| coding.name().as_bytes()), "{case}");
                    }
                    let mut seen = Vec::new();
                    while !seen.ends_with(b"\n\n") {
                        let piece = client.piece().await;
                        match &mut decoder {
                            Some(decoder) => decoder.decode(&piece, &mut seen).expect("well encoded"),
                            None => seen.extend_from_slice(&piece),
                        }
                    }
                    assert_eq!(String::from_utf8_lossy(&seen), expected, "{case}");
                }
                sender.send_data(encoder.finish().expect("encoded").into()).await.expect("sent");
                drop(sender);
                let (rest, _) = client.rest().await.expect("whole");
                if let Some(mut decoder) = decoder {
                    decoder.decode(&rest, &mut Vec::new()).and_then(|()| decoder.finish()).expect("well ended");
                }
            });
        }
    }
}

#[test]
fn a_body_that_no_plugin_reads_passes_as_it_came() {
    let upstream = Upstream::start(|_| answer("compress", "whatever that is"));
    let plugin = "{name: pii-redact, config: {request: {body: false}, response: {body: false}}}";
    let gateway = TestGateway::start(&yaml(upstream.address(), plugin, ""), &["pii-redact"]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        let response = client.send(post("compress"), "anything");
        assert_eq!(
            (response.status, response.header("content-encoding"), response.text().as_str()),
            (200, "compress", "whatever that is"),
            "{protocol}"
        );
        let seen = upstream.seen().pop().expect("forwarded");
        assert_eq!(
            (&seen.body[..], &seen.headers["content-encoding"]),
            (&b"anything"[..], &"compress".parse().unwrap())
        );
    }
}

/// That no body follows a head may show only later; until then its coding means nothing.
#[test]
fn a_request_whose_end_comes_behind_its_head_is_as_empty_as_one_that_ends_with_it() {
    let upstream = Upstream::start(|_| text(200, "passed"));
    let gateway = TestGateway::start(&yaml(upstream.address(), "{name: test-guest}", ""), &["test-guest"]);
    for coding in ["br", "compress"] {
        for protocol in PROTOCOLS {
            let case = format!("{coding} over {protocol}");
            run(&case, async {
                let request = http::Request::post("/")
                    .header("x-do", "request_headers=whole,request_body=respond")
                    .header("content-encoding", coding);
                let mut client = Duplex::open(protocol, &gateway, request).await;
                // Long enough for the head to be looked at by itself.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                client.finish().await;
                assert_eq!(client.head().await.status(), 298, "{case}");
            });
        }
    }
    assert!(upstream.seen().is_empty());
}
