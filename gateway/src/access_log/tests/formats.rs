//! Records as NCSA combined, by templates, and as messages of syslog.

use http::HeaderValue;
use http::header::{COOKIE, REFERER, USER_AGENT};
use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::model::{LinePiece, LogField, Syslog, SyslogAddress};

fn combined() -> Config {
    Config { format: RecordFormat::Combined, ..config(LogTarget::Stdout) }
}

fn template(pieces: Vec<LinePiece>) -> Config {
    let mut config = config(LogTarget::Stdout);
    config.include.request_headers = vec![USER_AGENT];
    Config { format: RecordFormat::Template(pieces), ..config }
}

fn syslog(max_message: usize) -> LogTarget {
    let address = SyslogAddress::Unix("/dev/log".into());
    LogTarget::Syslog(Syslog { address, facility: 16, severity: 6, app_name: "gateway".to_owned(), max_message })
}

#[test]
fn combined_is_written_as_nginx_does_it_without_personal_data() {
    let mut exchange = exchange("/users/kari@example.no?token=1");
    exchange.request.headers.insert("user-agent", HeaderValue::from_static("curl/8 \"x\""));
    exchange.request.headers.insert("referer", HeaderValue::from_static("https://a.no/"));
    let begin = "192.0.2.0 - - [14/Nov/2023:22:13:20 +0000] \"GET /users/*** HTTP/3.0\" 200 2";
    assert_eq!(line(&combined(), &exchange), format!("{begin} \"-\" \"-\""));
    let mut config = combined();
    config.include = Disclosure { full_address: true, full_path: true, request_headers: vec![REFERER, USER_AGENT] };
    let begin = "192.0.2.77 - - [14/Nov/2023:22:13:20 +0000] \"GET /users/kari@example.no?token=1 HTTP/3.0\" 200 2";
    assert_eq!(line(&config, &exchange), format!("{begin} \"https://a.no/\" \"curl/8 \\x22x\\x22\""));
    exchange.response = None;
    assert!(line(&config, &exchange).contains("\" 000 2 "));
    exchange.failure = Some(crate::error::Failure::Cancelled);
    assert!(line(&config, &exchange).contains("\" 499 2 "));
}

#[test]
fn a_template_says_what_it_names_and_a_dash_for_what_is_not_there() {
    let text = |text: &str| LinePiece::Text(text.to_owned());
    let config = template(vec![
        LinePiece::Field(LogField::TimeUnix),
        text(" "),
        LinePiece::Field(LogField::TimeLocal),
        text(" å \""),
        LinePiece::RequestHeader(USER_AGENT),
        text("\" "),
        LinePiece::RequestHeader(USER_AGENT),
        text(" "),
        LinePiece::Field(LogField::TraceId),
        text(" "),
        LinePiece::Field(LogField::Duration),
    ]);
    let mut exchange = exchange("/");
    let begin = "1700000000.123 14/Nov/2023:22:13:20\\x20+0000 å";
    assert_eq!(line(&config, &exchange), format!("{begin} \"-\" - - 12.034"));
    exchange.request.headers.append("user-agent", HeaderValue::from_static("a b"));
    exchange.request.headers.append("user-agent", HeaderValue::from_static("c"));
    assert_eq!(line(&config, &exchange), format!("{begin} \"a b, c\" a\\x20b,\\x20c - 12.034"));
}

/// What RFC 5424 section 6 allows, for messages of this gateway's.
fn message() -> Regex {
    let time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z";
    Regex::new(&format!(
        r#"^<(?<pri>\d{{1,3}})>1 {time} [!-~]{{1,255}} [!-~]{{1,48}} [!-~]{{1,128}} [!-~]{{1,32}} \[[!-~]+( [!-<>-~]+="[^"\\\]]*")*\] (?<msg>.*)$"#
    ))
    .unwrap()
}

#[test]
fn a_message_of_syslog_has_its_header_and_says_when_it_is_not_ascii() {
    let mut exchange = exchange("/");
    exchange.log_fields = vec![noted(("navn", Some("Kåre 😀")))];
    let json = line(&config(syslog(8192)), &exchange);
    let parts = message().captures(&json).unwrap_or_else(|| panic!("{json}"));
    assert_eq!(&parts["pri"], "134");
    assert!(json.is_ascii(), "{json}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&parts["msg"]).unwrap()["fields"]["navn"], "Kåre 😀");
    let of = |text: &str| {
        let pieces = vec![LinePiece::Text(text.to_owned()), LinePiece::Field(LogField::Status)];
        line(&Config { target: syslog(8192), ..template(pieces) }, &exchange)
    };
    assert_eq!(&message().captures(&of("status=")).unwrap()["msg"], "status=200");
    assert_eq!(&message().captures(&of("på=")).unwrap()["msg"], "\u{feff}på=200", "RFC 5424 section 6.4");
}

proptest! {
    /// Whoever sends whatever: one line, with the columns that belong to it, and the same bytes when it is read back.
    #[test]
    fn no_value_forges_a_line_or_a_column(
        agent in any::<Vec<u8>>(), referer in any::<Vec<u8>>(), path in "[ -~]{0,40}", name in any::<String>()
    ) {
        let mut exchange = exchange("/");
        for (field, value) in [(USER_AGENT, &agent), (REFERER, &referer), (COOKIE, &agent)] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                exchange.request.headers.insert(field, value);
            }
        }
        if let Ok(target) = format!("/{path}").parse::<http::uri::PathAndQuery>() {
            exchange.request.path_and_query = target.into();
        }
        exchange.route = Some(name.as_str().into());
        let include = Disclosure { full_address: true, full_path: true, request_headers: vec![REFERER, USER_AGENT] };
        let shape = Regex::new(
            r#"^(?<address>[0-9.]+) - - \[[^\]]+\] "(?<request>[^"]*)" (?<status>\d{3}) (?<bytes>\d+) "(?<referer>[^"]*)" "(?<agent>[^"]*)"$"#
        ).unwrap();
        for target in [LogTarget::Stdout, syslog(8192)] {
            let is_syslog = target != LogTarget::Stdout;
            let unwrapped = |line: String| match is_syslog {
                true => message().captures(&line).map(|parts| parts["msg"].to_owned()),
                false => Some(line),
            };
            let combined = Config { target: target.clone(), include: include.clone(), ..combined() };
            let combined = unwrapped(line(&combined, &exchange)).unwrap();
            prop_assert!(combined.is_ascii());
            let parts = shape.captures(&combined);
            prop_assert!(parts.is_some(), "{}", combined);
            let parts = parts.unwrap();
            prop_assert_eq!((&parts["address"], &parts["status"], &parts["bytes"]), ("192.0.2.77", "200", "2"));
            let json = unwrapped(line(&config(target.clone()), &exchange)).unwrap();
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&json).unwrap()["route"], &name[..]);
            let columns = template(vec![
                LinePiece::RequestHeader(USER_AGENT),
                LinePiece::Text(" ".to_owned()),
                LinePiece::Field(LogField::Route),
                LinePiece::Text(" ".to_owned()),
                LinePiece::Field(LogField::Path),
            ]);
            let columns = unwrapped(line(&Config { target, ..columns }, &exchange)).unwrap();
            prop_assert_eq!(columns.split(' ').count(), 3, "{}", columns);
        }
    }
}
