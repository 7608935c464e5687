//! Marked values through every input of a gateway that writes all that it can, at its most talkative: none of them is in any
//! of its outputs, in any form.
//!
//! A new input is a line in one of the lists below, and a new output one in [`outputs`].

mod marks;
mod streams;
mod talkative;
mod upstreams;

use std::net::SocketAddr;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gateway_tests::certs::Authority;
use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::gateway::install;
use gateway_tests::process::binary;
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{eventually, free_port};

use marks::{Marks, find};
use talkative::{Format, Receivers, Talkative, syslog, yaml};
use upstreams::{broken_answers, foreign_name, raw_upstream};

/// Well-formed requests over each protocol, with a mark wherever a client can put one.
fn requests(gateway: &Talkative, upstream: &Upstream, marks: &mut Marks) -> usize {
    let mut made = 0;
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.tls, "localhost");
        let mut mark = |input: &str| marks.mark(format!("{protocol} {input}"));
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
        // One that is valid, so that what comes with it is read.
        let state = format!("{}={}", marks.letters(format!("{protocol} tracestate")), "1");
        request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        request = request.header("tracestate", state);
        let mut mark = |input: &str| marks.mark(format!("{protocol} {input}"));
        let basic = BASE64_STANDARD.encode(format!("{}:{}", mark("user"), mark("password")));
        request = request.header("proxy-authorization", format!("Basic {basic}"));
        let name = marks.letters(format!("{protocol} name of a field"));
        request = request.header(format!("x-{name}"), "1").header("x-do", "request_headers=tell");
        let body = marks.mark(format!("{protocol} body"));
        let response = client.send(request, body.clone());
        assert_eq!(response.status, 200, "{protocol}: {}", response.text());
        let seen = upstream.seen().pop().expect("it went through");
        assert!(seen.headers.contains_key(format!("x-{name}")) && seen.body == body, "{protocol}: {seen:?}");
        // All that a plugin can write, of a head, of a body and of what it was granted.
        for (told, verbs) in [
            (marks.mark(format!("{protocol} field that a plugin tells")), "request_headers=tell-all"),
            (
                marks.letters(format!("{protocol} field that a plugin names things by")),
                "request_headers=tell-all,log=tell-all",
            ),
            (marks.mark(format!("{protocol} body that a plugin tells")), "request_headers=chunks,request_body=tell"),
        ] {
            let request = http::Request::post("/tells").header("x-do", verbs).header("x-told", &told);
            assert_eq!(client.send(request, told).status, 200, "{protocol} {verbs}");
            made += 1;
        }
        assert_eq!(client.get("/secrets").status, 200, "{protocol}");
        made += 1;
        // A panic of the plugin tells what it has read.
        let told = marks.mark(format!("{protocol} panic of a plugin"));
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

/// Everything that leaves the gateway for people to read, by name.
fn outputs(gateway: &Talkative, answers: &[String]) -> Vec<(&'static str, String)> {
    let page = |path: &str| Client::http1(gateway.admin).get(path).text();
    let checked =
        Command::new(binary("gateway")).args(["check", "-c"]).arg(gateway.directory.join("gateway.yaml")).output();
    let checked = checked.expect("it runs");
    vec![
        ("access log", gateway.file("access.log")),
        ("access log in combined format", gateway.file("combined.log")),
        ("access log of a template", gateway.file("template.log")),
        ("syslog", gateway.receivers.syslog.lock().expect("whole").clone()),
        ("error log", gateway.file("error.log")),
        ("exported spans", Receivers::text(&gateway.receivers.spans)),
        ("exported metrics", Receivers::text(&gateway.receivers.metrics)),
        ("metrics", page("/metrics")),
        ("metrics in OpenMetrics' format", {
            let accept = [("accept", "application/openmetrics-text; version=1.0.0")];
            Client::http1(gateway.admin).get_with("/metrics", &accept).text()
        }),
        ("plugins page", page("/plugins")),
        ("admin's answers", [page("/healthz"), page("/readyz"), page("/nothing")].concat()),
        ("status file", gateway.file("plugins/test-guest.status.json")),
        ("problem details", answers.concat()),
        ("gateway check", String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned()),
    ]
}

#[test]
fn no_marked_value_leaves_by_any_output_in_any_form() {
    nothing_leaks(Format::Otlp);
}

#[test]
fn no_marked_value_leaves_by_any_output_in_any_form_where_spans_go_to_zipkin() {
    nothing_leaks(Format::Zipkin);
}

/// Where the configuration asks for all that plugins say, it has that, and the secrets in it are not shown for all that.
#[test]
fn no_secret_leaves_where_all_that_plugins_say_is_shown() {
    let (marks, outputs) = run(Format::Otlp, |yaml| {
        let logs = yaml.replace("log: {level: trace,", "log: {include: [plugin_messages], level: trace,");
        logs.replace("- {path: stdout}", "- {path: stdout, include: [plugin_fields]}")
    });
    let of = |kinds: &[&str]| {
        let is_one = |(input, _): &&(String, String)| kinds.iter().any(|kind| input.contains(kind));
        Marks(marks.0.iter().filter(is_one).cloned().collect())
    };
    let found = find(&of(&["secret", "environment"]), &outputs);
    assert!(found.is_empty(), "{} secrets leave: {found:#?}", found.len());
    let told = find(&of(&["a plugin tells"]), &outputs);
    for output in ["access log:", "error log:", "exported spans:", "exported metrics:", "metrics:"] {
        assert!(told.iter().any(|told| told.contains(&format!(" in {output}"))), "nothing in {output} {told:#?}");
    }
}

fn nothing_leaks(format: Format) {
    let (marks, outputs) = run(format, |yaml| yaml);
    let found = find(&marks, &outputs);
    let bytes: usize = outputs.iter().map(|(_, text)| text.len()).sum();
    let (inputs, places) = (marks.0.len(), outputs.len());
    let counted =
        format!("{inputs} inputs, looked for in {places} outputs of {bytes} bytes: {} pairs", inputs * places);
    println!("{counted}");
    assert!(found.is_empty(), "{} values leave, of {counted}: {found:#?}", found.len());
    assert!(inputs > 155 && places > 12, "{counted}");
}

/// A service, one that answers nonsense, one whose answers break, and one that ends its connections; and those broken answers.
fn upstreams(marks: &mut Marks) -> (Upstream, [SocketAddr; 3], Vec<(&'static str, String)>) {
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
    let broken_answers = broken_answers(marks);
    let answers = broken_answers.clone();
    let broken = raw_upstream(move |request| {
        let index = String::from_utf8_lossy(request)
            .strip_prefix("GET /broken/")
            .map(|path| usize::from(path.as_bytes()[0] - b'0'));
        answers[index.expect("a request for one of them")].1.clone().into_bytes()
    });
    let goaway = raw_upstream(move |_| {
        let length = u8::try_from(said.len() + 8).expect("short");
        [&[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11][..], said.as_bytes()]
            .concat()
    });
    (upstream, [nonsense, broken, goaway], broken_answers)
}

/// Pushes marked values through all inputs of a gateway with this configuration, once it has been changed; what went in, and what came
/// out.
fn run(format: Format, change: impl Fn(String) -> String) -> (Marks, Vec<(&'static str, String)>) {
    let mut marks = Marks::default();
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let (upstream, [nonsense, broken, goaway], broken_answers) = upstreams(&mut marks);
    let (authority, host) = (Authority::new(), marks.letters("name in an upstream's certificate"));
    std::fs::write(directory.join("ca.pem"), authority.pem()).expect("written");
    let other = foreign_name(&authority, directory, &format!("{host}.example"));
    std::fs::create_dir(directory.join("plugins")).expect("made");
    ["test-guest", "conformance"].iter().for_each(|guest| install(guest, &directory.join("plugins")));
    std::fs::write(directory.join("secret"), marks.mark("secret of a file")).expect("written");
    let environment = ["CANARY_SECRET", "CANARY_CONFIG", "CANARY_MISTAKE", "CANARY_UNUSED"]
        .map(|name| (name, marks.mark(format!("environment {name}"))));
    let ports = [free_port(), free_port(), free_port()];
    let (syslog_port, syslog) = syslog();
    let receivers =
        Receivers { syslog, spans: Upstream::start(|_| text(200, "")), metrics: Upstream::start(|_| text(200, "")) };
    let spans = match format {
        Format::Otlp => {
            format!("otlp: {{endpoint: \"http://{}\", protocol: http, compression: none}}", receivers.spans.address())
        }
        Format::Zipkin => format!("zipkin: {{endpoint: \"http://{}\"}}", receivers.spans.address()),
    };
    let yaml = yaml(
        ports,
        syslog_port,
        (spans, receivers.metrics.address()),
        [upstream.address(), nonsense, broken, goaway, other],
    );
    let yaml = change(yaml);
    let gateway = Talkative::start(directory, &yaml, &environment, ports, receivers);

    let mut made = requests(&gateway, &upstream, &mut marks);
    let mut answers = nonsense_over_http1(&gateway, &mut marks);
    let paths = ["/nonsense", "/goaway", "/other-name"].map(|path| ("502", path.to_owned()));
    let broken = broken_answers.iter().enumerate().map(|(index, (status, _))| (*status, format!("/broken/{index}")));
    for (status, path) in broken.chain(paths) {
        let answer =
            gateway.says(format!("GET {path} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(
            answer.is_empty() && status.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
        answers.push(answer);
    }
    // Other fields of theirs are for plugins to set.
    let own = |line: &&str| ["HTTP/", "proxy-status", "server-timing", "{"].iter().any(|begin| line.starts_with(begin));
    let answers: Vec<String> =
        answers.iter().flat_map(|answer| answer.lines().filter(own)).map(str::to_owned).collect();
    made += streams::nonsense(&gateway, &upstream, &mut marks) + 18 + broken_answers.len();
    eventually("all is in the log", || {
        let (log, errors) = (gateway.file("access.log"), gateway.file("error.log"));
        let all = log.lines().count() >= 12 && log.contains("/other-name") && errors.contains("the field says");
        let others = [
            gateway.file("combined.log"),
            gateway.file("template.log"),
            gateway.receivers.syslog.lock().expect("whole").clone(),
        ];
        let all = all && others.iter().all(|log| log.contains("/other-name"));
        // What came with it is there too, without what it is about.
        let (spans, metrics) = (Receivers::text(&gateway.receivers.spans), Receivers::text(&gateway.receivers.metrics));
        let all = all && spans.contains("/other-name") && spans.contains("plugin.test_guest.telling");
        let all = all && metrics.contains("tellings") && log.contains("this was told: ");
        all.then_some(()).ok_or(Box::new((log, errors, others, spans, metrics)))
    });
    // The mistakes are where secrets are: in a value of the environment, and beside a secret's own.
    let inline = marks.letters("secret in a configuration with a mistake");
    let mistakes = [
        ("workers: 1", "workers: \"${CANARY_MISTAKE}\"".to_owned()),
        ("secrets: {", format!("secrets: {{inline: {{value: {inline}, valeu: {inline}}}, ")),
    ];
    gateway.refuses(&mistakes.iter().fold(yaml, |yaml, (place, mistake)| yaml.replace(place, mistake)));
    let outputs = outputs(&gateway, &answers);
    println!("{made} exchanges");
    assert!(made > 65, "{made} exchanges");
    (marks, outputs)
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
