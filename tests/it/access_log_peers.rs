//! Access logs and the programs that receive, move and read them: rsyslogd, logrotate, GoAccess.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Spawned;
use gateway_tests::{eventually, free_port};

const LISTENER: &str = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}]\n";

/// A program that may lie where only administrators look for it.
fn program(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin", "/usr/local/bin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is needed; run `cargo xtask setup`"))
}

/// A running rsyslogd. It ends with the value.
struct Rsyslogd(Child);

impl Rsyslogd {
    fn start(directory: &Path, tcp: u16, udp: u16) -> Self {
        let here = directory.display();
        let _ = std::fs::remove_file(directory.join("rsyslogd.pid"));
        let config = format!(
            "global(workDirectory=\"{here}\" maxMessageSize=\"8k\")
module(load=\"imtcp\")
module(load=\"imudp\")
module(load=\"imuxsock\" sysSock.use=\"off\")
input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tcp}\")
input(type=\"imudp\" address=\"127.0.0.1\" port=\"{udp}\")
input(type=\"imuxsock\" socket=\"{here}/log.sock\" useSpecialParser=\"off\" parseHostname=\"on\")
template(name=\"parts\" type=\"string\" string=\"%inputname%|%protocol-version%|%syslogfacility-text%.%syslogseverity-text%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")
action(type=\"omfile\" file=\"{here}/received.log\" template=\"parts\")
"
        );
        std::fs::write(directory.join("rsyslogd.conf"), config).expect("written");
        let child = Command::new(program("rsyslogd"))
            .arg("-n")
            .arg("-f")
            .arg(directory.join("rsyslogd.conf"))
            .arg("-i")
            .arg(directory.join("rsyslogd.pid"))
            .stdout(Stdio::null())
            .spawn()
            .expect("rsyslogd starts");
        eventually("rsyslogd listens", || std::net::TcpStream::connect(("127.0.0.1", tcp)).is_ok().then_some(()));
        Self(child)
    }
}

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What rsyslogd made of messages, by input.
fn received(directory: &Path, input: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(directory.join("received.log")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parts = |line: &str| line.splitn(7, '|').map(str::to_owned).collect::<Vec<_>>();
    whole.lines().map(parts).filter(|parts| parts[0] == input).collect()
}

#[test]
fn rsyslogd_receives_records_over_tcp_udp_and_its_socket_and_after_its_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let (tcp, udp) = (free_port(), free_port());
    let daemon = Rsyslogd::start(directory.path(), tcp, udp);
    let socket = directory.path().join("log.sock");
    let gateway = TestGateway::start(
        &format!(
            "{LISTENER}access_log:
- syslog: {{address: 'tcp://127.0.0.1:{tcp}', facility: local3, severity: notice, app_name: edge}}
- {{syslog: {{address: 'udp://127.0.0.1:{udp}'}}, format: combined}}
- {{syslog: {{address: 'unix://{}'}}, format: {{template: 'status=${{response.status}} path=${{request.path}}'}}}}
routes: [{{name: all, respond: {{status: 200}}}}]
",
            socket.display()
        ),
        &[],
    );
    let mut client = Client::http1(gateway.address());
    client.get("/one");
    let of = |input: &str| received(directory.path(), input);
    let first = |input: &str| eventually("a message", || of(input).into_iter().next().ok_or(of("")));
    let message = first("imtcp");
    assert_eq!(message[1..5], ["1", "local3.notice", "edge", "access"]);
    assert!(message[5].starts_with("[origin software=\"gateway\" swVersion=\""), "{message:?}");
    let record: serde_json::Value = serde_json::from_str(&message[6]).expect("JSON");
    assert_eq!((&record["path"], &record["status"]), (&"/one".into(), &200.into()));
    let message = first("imudp");
    assert_eq!(message[1..5], ["1", "local0.info", "gateway", "access"]);
    assert!(message[6].ends_with("\"GET /one HTTP/1.1\" 200 0 \"-\" \"-\""), "{message:?}");
    assert_eq!(first("imuxsock")[6], "status=200 path=/one");

    drop(daemon);
    let _ = std::fs::remove_file(&socket);
    client.get("/two");
    let _daemon = Rsyslogd::start(directory.path(), tcp, udp);
    eventually("what waited for the receiver", || {
        let all = (of("imtcp"), of("imuxsock"));
        let has = |messages: &[Vec<String>]| messages.iter().any(|message| message[6].contains("/two"));
        if has(&all.0) && has(&all.1) { Ok(()) } else { Err(all) }
    });
    assert_eq!(of("imtcp").len(), 2, "each once");
}

/// Runs logrotate once with these directives.
fn rotate(gateway: &Spawned, directives: &str) {
    let directory = gateway.directory();
    let config = directory.join("logrotate.conf");
    let text = format!("{}/access.log {{\nrotate 9\n{directives}\n}}\n", directory.display());
    std::fs::write(&config, text).expect("written");
    let ran = Command::new(program("logrotate"))
        .args(["--force", "--state"])
        .arg(directory.join("logrotate.state"))
        .arg(&config)
        .output()
        .expect("logrotate starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn logrotate_moves_and_copies_the_log_and_no_line_is_lost() {
    let yaml = format!("{LISTENER}routes: [{{name: all, respond: {{status: 200}}}}]\n");
    let gateway = Spawned::start(&yaml, |_| {});
    let mut client = Client::http1(gateway.listener("clear"));
    let path = |name: &str| gateway.directory().join(name);
    let paths = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(path(name)).unwrap_or_default();
        let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line"));
        records.map(|record| record["path"].as_str().expect("a path").to_owned()).collect()
    };
    let mut logged = |name: &str| {
        client.get(name);
        eventually("its record", || {
            let all = paths("access.log");
            if all.iter().any(|path| path == name) { Ok(()) } else { Err(all) }
        });
    };
    logged("/one");
    let pid = gateway.process.id();
    rotate(&gateway, &format!("create 0640\npostrotate\nkill -HUP {pid}\nendscript"));
    logged("/two");
    assert_eq!((paths("access.log.1"), paths("access.log")), (vec!["/one".to_owned()], vec!["/two".to_owned()]));
    rotate(&gateway, "copytruncate");
    logged("/three");
    assert_eq!((paths("access.log.1"), paths("access.log")), (vec!["/two".to_owned()], vec!["/three".to_owned()]));
}

#[test]
fn goaccess_reads_combined() {
    let gateway = TestGateway::start(
        &format!(
            "{LISTENER}access_log: {{path: combined.log, format: combined, include: [path, request_headers.user-agent, \
             request_headers.referer]}}
routes: [{{name: all, respond: {{status: 200, body: hello}}}}]
"
        ),
        &[],
    );
    let mut client = Client::http1(gateway.address());
    let hostile = [("user-agent", "Mozilla/5.0 (\"X11\" \\ \u{e5})"), ("referer", "https://a.no/?q=\"x\"")];
    for path in ["/a", "/b?q=%22x%22", "/c%20d"] {
        client.get_with(path, &hostile);
    }
    let log = gateway.directory().join("combined.log");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    eventually("the records", || (lines() == 3).then_some(()));
    let report = gateway.directory().join("report.json");
    let ran = Command::new(program("goaccess"))
        .arg(&log)
        .args(["--no-global-config", "--log-format=COMBINED", "--ignore-panel=KEYPHRASES", "--output"])
        .arg(&report)
        .stdin(Stdio::null())
        .output()
        .expect("goaccess starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(report).expect("a report")).expect("JSON");
    let general = &report["general"];
    assert_eq!((&general["valid_requests"], &general["failed_requests"]), (&3.into(), &0.into()), "{general}");
    let paths: Vec<&str> =
        report["requests"]["data"].as_array().expect("requests").iter().filter_map(|it| it["data"].as_str()).collect();
    assert!(paths.contains(&"/a") && paths.len() == 3, "{paths:?}");
}
