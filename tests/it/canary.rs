//! Marked values through every input of a gateway that writes all that it can, at its most talkative: none of them is in any
//! of its outputs, in any form.
//!
//! A new input is a line in one of the lists below, and a new output one in [`outputs`].

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gateway_tests::certs::Authority;
use gateway_tests::client::{Client, PROTOCOLS, connect_http3};
use gateway_tests::gateway::install;
use gateway_tests::process::binary;
use gateway_tests::raw::Http2;
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{PATIENCE, eventually, free_port};

/// The marked values that have gone in, with the inputs that they went through.
#[derive(Default)]
struct Marks(Vec<(String, String)>);

impl Marks {
    /// A value for an input, of the next shape.
    fn new(&mut self, input: impl Into<String>) -> String {
        let shape = self.0.len() % 4;
        self.shaped(input, shape)
    }

    /// One of letters alone, which may be a part of a name.
    fn letters(&mut self, input: impl Into<String>) -> String {
        self.shaped(input, 0)
    }

    fn shaped(&mut self, input: impl Into<String>, shape: usize) -> String {
        // Like nothing else in an output, and different for each input.
        let number = 7_919_u64 * (self.0.len() as u64 + 101);
        let letters: String = format!("{number:09}").bytes().map(|digit| char::from(b'k' + (digit - b'0'))).collect();
        let value = match shape {
            0 => format!("zq{letters}"),
            1 => format!("47{number:09}"),
            2 => format!("{letters}@kanari.example"),
            _ => format!("{:x}ab7f{number:x}", number * 31),
        };
        self.0.push((input.into(), value.clone()));
        value
    }
}

/// What a value may look like in an output.
fn forms(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let percent = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    });
    // Wherever it stands in a longer text.
    let encoded = (0..3).map(|before| {
        let text = BASE64_STANDARD.encode([&b"xyz"[..before], bytes, b"xyz"].concat());
        text[4..text.len() - 8].to_owned()
    });
    let plain = [value.to_owned(), value.to_lowercase(), value.to_uppercase(), hex, percent, value.replace('@', "%40")];
    plain.into_iter().chain(encoded).collect()
}

/// A gateway in a process of its own, whose outputs are files.
struct Talkative {
    child: Child,
    directory: PathBuf,
    clear: SocketAddr,
    tls: SocketAddr,
    admin: SocketAddr,
}

impl Drop for Talkative {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Talkative {
    fn start(directory: &Path, yaml: &str, environment: &[(&str, String)], ports: [u16; 3]) -> Self {
        std::fs::write(directory.join("gateway.yaml"), yaml).expect("written");
        let file = |name: &str| Stdio::from(std::fs::File::create(directory.join(name)).expect("made"));
        let child = Command::new(binary("gateway"))
            .args(["run", "-c"])
            .arg(directory.join("gateway.yaml"))
            .env("CACHE_DIRECTORY", directory.join("cache"))
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(file("access.log"))
            .stderr(file("error.log"))
            .spawn()
            .expect("it starts");
        let [clear, tls, admin] = ports.map(|port| ([127, 0, 0, 1], port).into());
        let gateway = Self { child, directory: directory.to_owned(), clear, tls, admin };
        eventually("the gateway is ready", || match TcpStream::connect(gateway.clear) {
            Ok(_) if gateway.file("error.log").contains("plugin serves") => Ok(()),
            _ => Err(gateway.file("error.log")),
        });
        gateway
    }

    fn file(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.join(name)).unwrap_or_default()).into_owned()
    }

    /// What comes back for these bytes in clear text.
    fn says(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.clear).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.write_all(bytes).expect("sent");
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The configuration: routes to a service, to endpoints that answer nonsense, and to one whose certificate is for another name.
fn yaml(
    [clear, tls, admin]: [u16; 3],
    service: SocketAddr,
    nonsense: SocketAddr,
    goaway: SocketAddr,
    other: SocketAddr,
) -> String {
    format!(
        "listeners:
  - {{name: clear, address: \"127.0.0.1:{clear}\", protocols: [http1, http2]}}
  - {{name: tls, address: \"127.0.0.1:{tls}\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
workers: 1
admin: {{address: \"127.0.0.1:{admin}\"}}
log: {{level: trace, format: json}}
secrets: {{from-file: {{file: secret}}, from-environment: {{env: CANARY_SECRET}}}}
plugins: {{directory: plugins, grants: {{test-guest: {{secrets: [from-file, from-environment]}}}}}}
upstreams:
  service: {{endpoints: [\"{service}\"]}}
  nonsense: {{endpoints: [\"{nonsense}\"]}}
  goaway: {{endpoints: [\"{goaway}\"], protocol: http2}}
  other-name: {{endpoints: [\"{other}\"], tls: {{ca: ca.pem, server_name: service.example}}}}
routes:
  - {{name: nonsense, match: {{path: {{prefix: /nonsense}}}}, upstream: nonsense}}
  - {{name: goaway, match: {{path: {{prefix: /goaway}}}}, upstream: goaway}}
  - {{name: other-name, match: {{path: {{prefix: /other-name}}}}, upstream: other-name}}
  - {{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-guest, config: {{id: \"${{CANARY_CONFIG}}\"}}}}], upstream: service}}
"
    )
}

/// Answers each connection with what `answer` makes of the first bytes that come.
fn raw_upstream(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0; 4096];
            let Ok(count) = stream.read(&mut first) else { continue };
            let _ = stream.write_all(&answer(&first[..count]));
            let _ = stream.shutdown(Shutdown::Write);
            // Until the gateway has read it.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

/// Well-formed requests over each protocol, with a mark wherever a client can put one.
fn requests(gateway: &Talkative, upstream: &Upstream, marks: &mut Marks) -> usize {
    let mut made = 0;
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.tls, "localhost");
        let mut mark = |input: &str| marks.new(format!("{protocol} {input}"));
        let path: Vec<_> = (0..4).map(|_| mark("path")).filter(|mark| !mark.starts_with("zq")).collect();
        let target = format!("/{}?{}={}", path.join("/"), mark("query name"), mark("query value"));
        let mut request = http::Request::post(target);
        for name in [
            "authorization",
            "cookie",
            "x-request-id",
            "x-forwarded-for",
            "x-forwarded-host",
            "forwarded",
            "via",
            "from",
            "referer",
            "user-agent",
            "traceparent",
            "tracestate",
            "baggage",
            "b3",
            "x-b3-traceid",
            "accept-language",
            "if-match",
            "range",
            "x-told",
        ] {
            request = request.header(name, mark(name));
        }
        let basic = BASE64_STANDARD.encode(format!("{}:{}", mark("user"), mark("password")));
        request = request.header("proxy-authorization", format!("Basic {basic}"));
        let name = marks.letters(format!("{protocol} name of a field"));
        request = request.header(format!("x-{name}"), "1").header("x-do", "request_headers=tell");
        let body = marks.new(format!("{protocol} body"));
        let response = client.send(request, body.clone());
        assert_eq!(response.status, 200, "{protocol}: {}", response.text());
        let seen = upstream.seen().pop().expect("it went through");
        assert!(seen.headers.contains_key(format!("x-{name}")) && seen.body == body, "{protocol}: {seen:?}");
        // A panic of the plugin tells what it has read.
        let told = marks.new(format!("{protocol} panic of a plugin"));
        let panicked = client.get_with("/panics", &[("x-do", "request_headers=tell-panic"), ("x-told", &told)]);
        assert_eq!(panicked.status, 503, "{protocol}");
        made += 2;
        let sni = format!("{}.example", marks.letters(format!("{protocol} server name and authority")));
        if let Ok(mut client) = Client::try_tls(protocol, gateway.tls, &sni) {
            assert_eq!(client.get("/sni").status, 200, "{protocol}");
            made += 1;
        }
    }
    made
}

/// What no decent client sends over HTTP/1. Each is answered, by the gateway where it begins with 4 or 5.
fn nonsense_over_http1(gateway: &Talkative, marks: &mut Marks) -> Vec<String> {
    const REST: &str = "host: a.example\r\nconnection: close\r\n";
    let mut answers = Vec::new();
    let mut send = |input: &str, status: &str, make: &dyn Fn(&str) -> String| {
        let answer = gateway.says(make(&marks.letters(format!("http1 {input}"))).as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{input}: {answer}");
        answers.push(answer);
    };
    send("method", "200", &|mark| format!("{} / HTTP/1.1\r\n{REST}\r\n", mark.to_uppercase()));
    send("request line", "400", &|mark| format!("{mark} {mark}\r\n{REST}\r\n"));
    send("version", "400", &|mark| format!("GET / {mark}/1.1\r\n{REST}\r\n"));
    send("field without a colon", "400", &|mark| format!("GET / HTTP/1.1\r\n{mark}\r\n{REST}\r\n"));
    send("value with a control character", "400", &|mark| format!("GET / HTTP/1.1\r\nx: {mark}\x01\r\n{REST}\r\n"));
    send("two hosts", "400", &|mark| format!("GET / HTTP/1.1\r\nhost: {mark}\r\n{REST}\r\n"));
    send("host that is none", "400", &|mark| format!("GET / HTTP/1.1\r\nhost: {mark}/..\r\nconnection: close\r\n\r\n"));
    send("password in the target", "400", &|mark| {
        format!("GET http://{mark}:{mark}@a.example/ HTTP/1.1\r\n{REST}\r\n")
    });
    send("content-length", "400", &|mark| format!("POST / HTTP/1.1\r\ncontent-length: {mark}\r\n{REST}\r\n"));
    send("transfer-encoding", "", &|mark| format!("POST / HTTP/1.1\r\ntransfer-encoding: {mark}\r\n{REST}\r\n"));
    send("size of a chunk", "400", &|mark| {
        format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n{REST}\r\n{mark}\r\n0\r\n\r\n")
    });
    send("chunk, extension and trailer", "200", &|mark| {
        let size = format!("{:x}", mark.len());
        format!(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n{REST}\r\n{size};{mark}\r\n{mark}\r\n0\r\nx-{mark}: {mark}\r\n\r\n"
        )
    });
    send("expect", "", &|mark| format!("GET / HTTP/1.1\r\nexpect: {mark}\r\n{REST}\r\n"));
    send("upgrade", "", &|mark| {
        format!("GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close, upgrade\r\nupgrade: {mark}\r\n\r\n")
    });
    send("max-forwards", "", &|mark| format!("OPTIONS / HTTP/1.1\r\nmax-forwards: {mark}\r\n{REST}\r\n"));
    answers
}

/// The same over HTTP/2 and HTTP/3: pseudo-fields, header blocks that can't be read, and what a peer says as it goes.
fn nonsense_over_streams(gateway: &Talkative, marks: &mut Marks) -> usize {
    let literal = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).expect("short");
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    let fields = [":method", ":scheme", ":path", ":authority", ":status", ":protocol", "content-length", "te"];
    for name in fields {
        let mark = marks.letters(format!("http2 {name}"));
        let known = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.example")];
        let known = known.iter().filter(|(known, _)| *known != name).flat_map(|(name, value)| literal(name, value));
        let block: Vec<u8> = known.chain(literal(name, &format!("{mark} {mark}"))).collect();
        let mut client = Http2::connect(gateway.clear, &[]);
        client.send(1, 5, 1, &block);
        client.wait_for("a refusal or an answer", |frame| frame.stream == 1 || frame.kind == 7);
    }
    let mark = marks.letters("http2 bad HPACK");
    let mut client = Http2::connect(gateway.clear, &[]);
    client.send(1, 5, 1, &[&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], mark.as_bytes()].concat());
    client.wait_for("GOAWAY", |frame| frame.kind == 7);
    let mark = marks.letters("http2 debug data of GOAWAY");
    let mut client = Http2::connect(gateway.clear, &[]);
    client.send(7, 0, 0, &[&[0, 0, 0, 0, 0, 0, 0, 11], mark.as_bytes()].concat());
    // It is read before the end that follows.
    drop(client);
    let (reason, section) = (marks.letters("http3 reason of a close"), marks.letters("http3 bad QPACK"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, _endpoint, connection) = connect_http3(gateway.tls, "localhost").await.expect("connected");
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        let section = [&[0xff, 0xff, 0x7f, 0xff], section.as_bytes()].concat();
        let frame = [&[1, u8::try_from(section.len()).expect("short")], &section[..]].concat();
        send.write_all(&frame).await.expect("sent");
        // The stream is refused, or the connection with it.
        let _ = recv.read_to_end(1 << 16).await;
        drop(sender);
        let (sender, endpoint, connection) = connect_http3(gateway.tls, "localhost").await.expect("connected");
        connection.close(quinn::VarInt::from_u32(0x102), reason.as_bytes());
        endpoint.wait_idle().await;
        drop(sender);
    });
    fields.len() + 4
}

/// Everything that leaves the gateway for people to read, by name.
fn outputs(gateway: &Talkative, answers: &[String]) -> Vec<(&'static str, String)> {
    let page = |path: &str| Client::http1(gateway.admin).get(path).text();
    let checked =
        Command::new(binary("gateway")).args(["check", "-c"]).arg(gateway.directory.join("gateway.yaml")).output();
    let checked = checked.expect("it runs");
    vec![
        ("access log", gateway.file("access.log")),
        ("error log", gateway.file("error.log")),
        ("metrics", page("/metrics")),
        ("plugins page", page("/plugins")),
        ("admin's answers", [page("/healthz"), page("/readyz"), page("/nothing")].concat()),
        ("status file", gateway.file("plugins/test-guest.status.json")),
        ("problem details", answers.concat()),
        ("gateway check", String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned()),
    ]
}

#[test]
fn no_marked_value_leaves_by_any_output_in_any_form() {
    let mut marks = Marks::default();
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let [field, name, reply] = ["value", "name", "body"].map(|part| marks.letters(format!("upstream's {part}")));
    let answer = move || {
        let mut response = text(200, reply.clone());
        let name = http::HeaderName::try_from(format!("x-{name}")).expect("a name");
        response.headers_mut().insert(name, field.parse().expect("a value"));
        response.headers_mut().insert("set-cookie", field.parse().expect("a value"));
        response
    };
    let upstream = Upstream::start(move |_| answer());
    let (line, said) = (marks.letters("upstream's status line"), marks.letters("upstream's GOAWAY"));
    let nonsense = raw_upstream(move |_| format!("{line} {line}\r\n\r\n").into_bytes());
    let goaway = raw_upstream(move |_| {
        let length = u8::try_from(said.len() + 8).expect("short");
        [&[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11][..], said.as_bytes()]
            .concat()
    });
    let (authority, host) = (Authority::new(), marks.letters("name in an upstream's certificate"));
    std::fs::write(directory.join("ca.pem"), authority.pem()).expect("written");
    let other = foreign_name(&authority, directory, &format!("{host}.example"));
    std::fs::create_dir(directory.join("plugins")).expect("made");
    install("test-guest", &directory.join("plugins"));
    std::fs::write(directory.join("secret"), marks.new("secret of a file")).expect("written");
    let environment = ["CANARY_SECRET", "CANARY_CONFIG", "CANARY_UNUSED"]
        .map(|name| (name, marks.new(format!("environment {name}"))));
    let ports = [free_port(), free_port(), free_port()];
    let yaml = yaml(ports, upstream.address(), nonsense, goaway, other);
    let gateway = Talkative::start(directory, &yaml, &environment, ports);

    let mut made = requests(&gateway, &upstream, &mut marks);
    let mut answers = nonsense_over_http1(&gateway, &mut marks);
    for path in ["/nonsense", "/goaway", "/other-name"] {
        let answer =
            gateway.says(format!("GET {path} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 502"), "{path}: {answer}");
        answers.push(answer);
    }
    // Other fields of theirs are for plugins to set.
    let own = |line: &&str| line.starts_with("HTTP/") || line.starts_with("proxy-status") || line.starts_with('{');
    let answers: Vec<String> =
        answers.iter().flat_map(|answer| answer.lines().filter(own)).map(str::to_owned).collect();
    made += nonsense_over_streams(&gateway, &mut marks) + 18;
    eventually("all is in the log", || {
        let (log, errors) = (gateway.file("access.log"), gateway.file("error.log"));
        let all = log.lines().count() >= 12 && log.contains("/other-name") && errors.contains("the field says");
        all.then_some(()).ok_or((log, errors))
    });
    let outputs = outputs(&gateway, &answers);
    let found = find(&marks, &outputs);
    println!("{} inputs in {made} exchanges, {} outputs", marks.0.len(), outputs.len());
    assert!(found.is_empty(), "{found:#?}");
    assert!(marks.0.len() > 120 && made > 30, "{} inputs, {made} exchanges", marks.0.len());
}

/// Where marked values are in outputs; each output has something to look through.
fn find(marks: &Marks, outputs: &[(&'static str, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (output, text) in outputs {
        assert!(text.len() > 30, "{output} is empty: {text}");
        for (input, value) in &marks.0 {
            if let Some(form) = forms(value).into_iter().find(|form| text.contains(form.as_str())) {
                let line = text.lines().find(|line| line.contains(&form)).unwrap_or_default();
                found.push(format!("{input} ({form}) in {output}: {line}"));
            }
        }
    }
    found
}

/// A TLS endpoint whose certificate, of a trusted authority, is for another name.
fn foreign_name(authority: &Authority, directory: &Path, name: &str) -> SocketAddr {
    use rustls_pki_types::pem::PemObject as _;
    let (certificate, key) = authority.issue(directory, "other", &[name]);
    let chain = vec![rustls_pki_types::CertificateDer::from_pem_file(certificate).expect("a certificate")];
    let key = rustls_pki_types::PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("supported")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("valid");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let config = std::sync::Arc::new(config);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Ok(mut connection) = rustls::ServerConnection::new(config.clone()) else { continue };
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
    address
}

#[test]
fn a_value_is_found_in_each_of_its_forms() {
    let mut marks = Marks::default();
    let value = marks.letters("an input");
    let padding = "x".repeat(40);
    for form in [
        value.clone(),
        value.to_uppercase(),
        BASE64_STANDARD.encode(format!("user:{value}:more")),
        value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        value.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    ] {
        assert_eq!(find(&marks, &[("an output", format!("{padding}{form}"))]).len(), 1, "{form}");
    }
    assert!(find(&marks, &[("an output", padding)]).is_empty());
}
