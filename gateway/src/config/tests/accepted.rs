//! What is accepted, and what it becomes.

use std::time::Duration;

use super::{EXAMPLE, accept, directory, parse_in};
use crate::model::*;

/// The least that is a config.
const MINIMAL: &str = "listeners: [{name: a, address: '127.0.0.1:0'}]\nroutes: []\n";

#[test]
fn the_example_of_the_design() {
    let (_guard, directory) = directory();
    let loaded = parse_in(&directory, EXAMPLE).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.warnings, []);
    let files = ["certs/api.key", "certs/api.pem", "gateway.yaml", "hmac"].map(|name| directory.join(name));
    assert_eq!(loaded.contents.files(), files);
    assert_eq!(loaded.places.file(&directory.join("certs/api.key")), Some((6, 64)));
    assert_eq!(loaded.places.listener("public"), Some((2, 11)));
    assert_eq!(loaded.places.upstream("idp"), Some((16, 3)));
    let config = loaded.config;
    let listener = &config.listeners[0];
    assert_eq!((&*listener.name, listener.http1, listener.http2, listener.http3), ("public", true, true, true));
    assert_eq!(listener.tls.as_ref().unwrap().certificates[0].certificate, directory.join("certs/api.pem"));
    let inventory = &config.upstreams["inventory"];
    assert_eq!(&*inventory.name, "inventory");
    assert_eq!(inventory.endpoints[1], EndpointConfig { host: "::1".to_owned(), port: 80, weight: 3 });
    assert_eq!(inventory.load_balancing, LoadBalancing::LeastRequest);
    assert_eq!(inventory.passive_health, PassiveHealth { max_failures: 3, fail_timeout: Duration::from_secs(30) });
    assert_eq!(inventory.timeouts.idle, Duration::from_secs(60));
    assert_eq!(config.upstreams["idp"].tls, Some(UpstreamTls::default()));
    assert_eq!(config.plugins.directory, Some(directory.join("plugins")));
    assert_eq!(config.plugins.grants["auth"].upstreams, ["idp"]);
    let route = &config.routes[0];
    assert_eq!(route.action, RouteAction::Upstream("inventory".into()));
    assert_eq!(route.limits.request_timeout, Some(Duration::from_secs(10)));
    assert_eq!(route.limits.max_body, 10 << 20);
    let breaker = &route.plugins[2];
    let expected = serde_json::json!({"minimum_requests": 3, "failure_ratio": 0.6, "open_for": "5s"});
    assert_eq!((&*breaker.name, &breaker.config), ("circuit-breaker", &expected));
    assert_eq!(config.secrets["session-hmac"].expose(), b"secret");
    assert_eq!(config.admin.unwrap().address.to_string(), "127.0.0.1:9901");
}

#[test]
fn the_config_of_the_benchmark() {
    let (_guard, directory) = directory();
    let text = r#"
listeners:
  - name: cleartext
    address: 127.0.0.1:8080
    protocols: [http1]
  - name: tls
    address: 127.0.0.1:8443
    protocols: [http1, http2, http3]
    tls:
      certificates: [{certificate: "certs/api.pem", private_key: "certs/api.key"}]
upstreams:
  origin:
    endpoints: ["127.0.0.1:9000"]
    protocol: http1
    keepalive: 128
routes:
  - name: all
    match: {path: {prefix: /}}
    upstream: origin
"#;
    let config = parse_in(&directory, text).unwrap_or_else(|errors| panic!("{errors}")).config;
    assert_eq!((config.upstreams["origin"].keepalive, config.admin.is_none()), (128, true));
}

#[test]
fn everything_has_a_default() {
    let config = accept(MINIMAL).config;
    assert!(config.workers >= 1);
    let limits = &config.listeners[0].limits;
    assert_eq!(
        (limits.connections, limits.header_bytes, limits.header_count, limits.streams),
        (65_536, 65_536, 100, 128)
    );
    assert_eq!(config.state, State { max_entries: 100_000, max_bytes: 64 << 20, stored_responses: 64 << 20 });
    let (format, selection) = (RecordFormat::Json(None), LogSelection::default());
    let log = AccessLog { target: LogTarget::Stdout, format, include: Disclosure::default(), selection };
    assert_eq!(config.access_log, [log]);
    assert_eq!(config.log, Log { level: tracing::Level::INFO, format: LogFormat::Text, plugin_messages: false });
    assert_eq!(config.forwarding.via, "gateway");
    assert_eq!(config.limits.requests_per_worker, 10_000);
    assert_eq!((config.limits.body_memory, config.limits.plugin_memory), (None, None));
    assert_eq!(config.drain, Drain { delay: Duration::ZERO, timeout: Duration::from_secs(30) });
}

#[test]
fn a_drain_has_a_delay_and_a_short_form() {
    let drain = |text: &str| accept(&format!("{MINIMAL}{text}")).config.drain;
    let seconds = |delay, timeout| Drain { delay: Duration::from_secs(delay), timeout: Duration::from_secs(timeout) };
    assert_eq!(drain("drain: {delay: 5s}"), seconds(5, 30));
    assert_eq!(drain("drain: {timeout: 1m}"), seconds(0, 60));
    assert_eq!(drain("drain_timeout: 7s"), seconds(0, 7));
}

#[test]
fn limits_of_the_process_and_of_an_upstream() {
    let text = format!(
        "{MINIMAL}limits: {{body_memory: 64MiB, plugin_memory: 1GiB}}
upstreams:
  small: {{endpoints: ['127.0.0.1:1'], limits: {{requests: 5}}}}
  other: {{endpoints: ['127.0.0.1:1']}}
"
    );
    let config = accept(&text).config;
    assert_eq!((config.limits.body_memory, config.limits.plugin_memory), (Some(64 << 20), Some(1 << 30)));
    assert_eq!((config.upstreams["small"].max_requests, config.upstreams["other"].max_requests), (Some(5), None));
}

#[test]
fn limits_of_a_plugin_that_is_named_and_of_one_that_is_not_agree() {
    let config = accept(&format!("{MINIMAL}plugins: {{limits: {{a: {{}}}}}}")).config;
    assert_eq!(config.plugins.limits["a"], PluginLimits::default());
}

#[test]
fn json_is_a_subset() {
    let text = r#"{"listeners": [{"name": "a", "address": "127.0.0.1:0", "limits": {"streams": 5}}],
        "routes": [{"name": "r", "respond": {"status": 200, "body": "a\u0062\n"}}]}"#;
    let config = accept(text).config;
    assert_eq!(config.listeners[0].limits.streams, 5);
    assert!(matches!(&config.routes[0].action, RouteAction::Respond(response) if response.body == "ab\n"));
}

#[test]
fn the_environment_fits_every_type() {
    let text = "
listeners: [{name: a, address: '${HOST}:${PORT}', limits: {connections: '${PORT}'}}]
forwarding: {forwarded: '${YES}'}
plugins: {directory: p}
routes:
  - name: r
    respond: {status: 200, body: '$${PORT}'}
    plugins:
      - name: p
        config:
          number: ${KEY}
          text: '${KEY}'
          both: port ${PORT}
          '${KEY}': keys stay as they are
";
    let config = accept(text).config;
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.listeners[0].limits.connections, 8080);
    assert!(config.forwarding.forwarded);
    assert!(matches!(&config.routes[0].action, RouteAction::Respond(response) if response.body == "${PORT}"));
    let expected = serde_json::json!({
        "number": 123, "text": "123", "both": "port 8080", "${KEY}": "keys stay as they are",
    });
    assert_eq!(config.routes[0].plugins[0].config, expected);
}

#[test]
fn a_plugins_config_keeps_order_and_positions() {
    let text = "listeners: [{name: a, address: '127.0.0.1:0'}]
plugins: {directory: p}
routes:
  - name: r
    respond: {status: 200}
    plugins:
      - name: p
        config:
          z: 1
          a/b~c:
            - x
            - {y: ~}
      - name: q
";
    let config = accept(text).config;
    let [first, second] = &config.routes[0].plugins[..] else { panic!("two plugins") };
    assert_eq!(first.config.to_string(), r#"{"z":1,"a/b~c":["x",{"y":null}]}"#);
    let places = [
        ("", (9, 11)),
        ("/z", (9, 11)),
        ("/a~1b~0c", (10, 11)),
        ("/a~1b~0c/0", (11, 15)),
        ("/a~1b~0c/1", (12, 15)),
        ("/a~1b~0c/1/y", (12, 16)),
    ];
    for (pointer, place) in places {
        assert_eq!(first.positions.0.get(pointer), Some(&place), "{pointer}");
    }
    assert_eq!(first.positions.0.len(), places.len());
    assert_eq!((second.config.to_string(), second.positions.find("/x")), ("{}".to_owned(), Some((13, 15))));
}

#[test]
fn aliases_are_copies() {
    let text = "listeners: [{name: a, address: '127.0.0.1:0'}]
upstreams:
  a: {endpoints: ['127.0.0.1:1'], timeouts: &slow {response: 9s}}
  b: {endpoints: ['127.0.0.1:2'], timeouts: *slow}
routes: [{name: a, upstream: a}, {name: b, upstream: b, match: {path: {exact: /b}}}]
";
    assert_eq!(accept(text).config.upstreams["b"].timeouts.response, Duration::from_secs(9));
}

#[test]
fn the_config_of_a_plugin_can_be_written_once() {
    let text = "listeners: [{name: a, address: '127.0.0.1:0'}]
plugins: {directory: p}
routes:
  - {name: a, respond: {status: 200}, plugins: [{name: auth, config: &auth {realm: x, keys: [1]}}]}
  - {name: b, respond: {status: 200}, plugins: [{name: auth, config: *auth}]}
";
    let config = accept(text).config;
    let [first, second] = [0, 1].map(|route: usize| &config.routes[route].plugins[0]);
    assert_eq!(first.config, second.config);
    // A mistake in it is shown where it can be mended.
    assert_eq!(second.positions.find("/keys/0"), first.positions.find("/keys/0"));
    assert_eq!(second.positions.find("/keys/0").map(|(line, _)| line), Some(4));
}

#[test]
fn every_kind_of_route() {
    let text = r#"
listeners: [{name: a, address: "127.0.0.1:0"}]
upstreams: {u: {endpoints: ["u:80"], host: api.example.no}}
routes:
  - name: forward
    match:
      hostnames: ["*.Example.no", 127.0.0.1]
      path: {prefix: /a/}
      headers: {X-Tenant: {regex: "[a-z]+"}, x-any: {present: true}, x-one: one}
      query: {v: {exact: "2"}}
    upstream: u
    rewrite: {prefix: /}
    request_headers: {set: {X-A: b}, remove: [x-b]}
    response_headers: {remove: [server]}
    timeouts: {request: off}
    limits: {body: 1MiB}
  - {name: https, match: {scheme: http, path: {exact: /b}}, redirect: {scheme: https, port: 8443}}
  - {name: gone, match: {path: {regex: "/c/[0-9]+"}}, respond: {status: 410, body: gone}}
"#;
    let config = accept(text).config;
    let [forward, https, gone] = &config.routes[..] else { panic!("three routes") };
    let matches = &forward.matches;
    assert_eq!(
        matches.hostnames,
        [HostnameMatch::Wildcard("example.no".to_owned()), HostnameMatch::Exact("127.0.0.1".to_owned())]
    );
    assert!(matches!(&matches.path, PathMatch::Prefix(prefix) if prefix == "/a/"));
    assert_eq!(matches.headers[0].0, "x-tenant");
    assert!(matches!(&matches.headers[0].1, ValueMatch::Regex(regex) if regex.is_match("ab") && !regex.is_match("a1")));
    assert!(matches!((&matches.headers[1].1, &matches.query[0].1), (ValueMatch::Present, ValueMatch::Exact(_))));
    assert_eq!(
        (forward.rewrite_prefix.as_deref(), forward.limits.request_timeout, forward.limits.max_body),
        (Some("/"), None, 1 << 20)
    );
    assert_eq!(forward.request_headers.set[0], ("x-a".parse().unwrap(), "b".parse().unwrap()));
    assert!(
        matches!(&https.action, RouteAction::Redirect(Redirect { port: Some(8443), status, .. }) if status.as_u16() == 308)
    );
    assert!(matches!(&gone.action, RouteAction::Respond(response) if response.status.as_u16() == 410));
}

#[test]
fn logs_show_personal_data_only_by_name() {
    let include = "access_log: {include: [client.address, request_headers.User-Agent]}";
    let log = accept(&format!("{MINIMAL}{include}")).config.access_log.remove(0);
    assert_eq!((log.include.full_address, log.include.full_path), (true, false));
    assert_eq!(log.include.request_headers, ["user-agent"]);
    for off in ["off", "{path: off, include: [path]}", "[{path: off}]"] {
        assert_eq!(accept(&format!("{MINIMAL}access_log: {off}")).config.access_log, [], "{off}");
    }
}

#[test]
fn access_logs_have_targets_formats_and_selections_of_their_own() {
    let logs = "access_log:
- {format: {json: {fields: [status, query]}}, include: [path]}
- syslog: {address: 'udp://192.0.2.1', facility: daemon, severity: notice, app_name: edge, max_message: 2KiB}
  format: combined
  when: [error, {status: [404, 5xx], slower_than: 1s, source: upstream, routes: r, failed: false, sampled: true}]
  sample: {share: 0.5%, always: error}
routes:
- {name: r, respond: {status: 200}, access_log: {when: {status: 200}, sample: 10%}}
- {name: s, match: {path: {prefix: /s}}, respond: {status: 200}, access_log: off}
";
    let config = accept(&format!("listeners: [{{name: a, address: '127.0.0.1:0'}}]\n{logs}")).config;
    let [json, syslog] = &config.access_log[..] else { panic!("{:?}", config.access_log) };
    assert_eq!(json.format, RecordFormat::Json(Some(vec![LogField::Status, LogField::Query])));
    assert_eq!(syslog.format, RecordFormat::Combined);
    let address = SyslogAddress::Udp { host: "192.0.2.1".to_owned(), port: 514 };
    let app_name = "edge".to_owned();
    let to = Syslog { address, facility: 3, severity: 5, app_name, max_message: 2048 };
    assert_eq!(syslog.target, LogTarget::Syslog(to));
    let conditions = LogConditions {
        statuses: Some(vec![404..=404, 500..=599]),
        failed: Some(false),
        slower_than: Some(Duration::from_secs(1)),
        routes: Some(vec!["r".into()]),
        sources: Some(vec!["upstream"]),
        sampled: Some(true),
    };
    assert_eq!(syslog.selection.when, [LogCondition::Error, LogCondition::All(conditions)]);
    let always = vec![LogCondition::Error];
    assert_eq!(syslog.selection.sample, Some(LogSample { per_million: 5_000, always }));
    let only = LogConditions { statuses: Some(vec![200..=200]), ..LogConditions::default() };
    let sample = Some(LogSample { per_million: 100_000, always: Vec::new() });
    let selection = LogSelection { when: vec![LogCondition::All(only)], sample };
    assert_eq!(config.routes[0].access_log, RouteLog::Only(selection));
    assert_eq!(config.routes[1].access_log, RouteLog::Off);
}

#[test]
fn templates_of_access_logs_are_compiled() {
    let template = "'${client.address} \"${request.headers.user_agent}\" $$host 5$'";
    let include = "include: [request_headers.user-agent]";
    let log = accept(&format!("{MINIMAL}access_log: {{format: {{template: {template}}}, {include}}}"));
    let text = |text: &str| LinePiece::Text(text.to_owned());
    let pieces = vec![
        LinePiece::Field(LogField::Client),
        text(" \""),
        LinePiece::RequestHeader(http::header::USER_AGENT),
        text("\" $host 5$"),
    ];
    assert_eq!(log.config.access_log[0].format, RecordFormat::Template(pieces));
}

#[test]
fn http3_alone_may_share_a_port_number_with_tcp() {
    let tls = "tls: {self_signed: [localhost]}";
    let text = format!(
        "listeners: [{{name: a, address: '127.0.0.1:1', protocols: [http1]}}, {{name: b, address: '127.0.0.1:1', \
         protocols: [http3], {tls}}}]\nroutes: []"
    );
    assert_eq!(accept(&text).config.listeners.len(), 2);
}

#[test]
fn what_does_nothing_is_warned_of() {
    let text = format!(
        "{MINIMAL}upstreams: {{u: {{endpoints: ['a:1']}}}}\nsecrets: {{s: {{env: KEY}}}}\nplugins: {{grants: {{p: {{}}}}}}"
    );
    let warnings: Vec<_> = accept(&text).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "gateway.yaml:3:13: no route and no grant uses the upstream \"u\"",
            "gateway.yaml:4:11: no plugin is granted the secret \"s\"",
            "gateway.yaml:5:20: no route uses the plugin \"p\"",
        ]
    );
}

#[test]
fn a_route_that_takes_all_of_a_scheme_is_warned_of_where_it_hides_others() {
    let routes = |first: &str| {
        let text = format!(
            "listeners: [{{name: a, address: '127.0.0.1:0'}}]\nroutes:\n  - {first}\n  - {{name: login, match: {{path: \
             {{exact: /login}}}}, respond: {{status: 200}}}}"
        );
        accept(&text).warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let hides = routes("{name: all, match: {scheme: https}, respond: {status: 200}}");
    let message = "\"all\" takes every https request from the routes without match.scheme, whatever their paths";
    assert_eq!(hides, [format!("gateway.yaml:3:12: {message}")]);
    assert!(routes("{name: all, match: {scheme: http}, redirect: {scheme: https}}").is_empty());
    assert!(routes("{name: all, match: {scheme: https, path: {prefix: /a}}, respond: {status: 200}}").is_empty());
}

#[test]
fn the_wildcard_of_ipv6_is_said_to_serve_no_ipv4() {
    let warnings = |listeners: &str| {
        let routes = "routes: [{name: r, match: {path: {prefix: /}}, respond: {status: 200}}]";
        let loaded = accept(&format!("listeners: [{listeners}]\n{routes}"));
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let message = "listener \"a\": [::]:8443 serves IPv6 only; for clients of IPv4 add a listener at 0.0.0.0:8443";
    assert_eq!(warnings("{name: a, address: '[::]:8443'}"), [format!("gateway.yaml:1:32: {message}")]);
    for fine in [
        "{name: a, address: '[::]:8443'}, {name: b, address: '0.0.0.0:8443'}",
        "{name: a, address: '[::]:8443'}, {name: b, address: '127.0.0.1:8443'}",
        "{name: a, address: '[::1]:8443'}",
        "{name: a, address: '0.0.0.0:8443'}",
    ] {
        assert!(warnings(fine).is_empty(), "{fine}");
    }
}

#[test]
fn redirects_that_lead_elsewhere_are_accepted() {
    for routes in [
        "{name: r, match: {scheme: http}, redirect: {scheme: https}}",
        "{name: r, match: {hostnames: [a.no]}, redirect: {hostname: b.no}}",
        "{name: r, redirect: {hostname: www.a.no}}, {name: www, match: {hostnames: [www.a.no]}, respond: {status: 200}}",
        "{name: r, match: {path: {exact: /}}, redirect: {path: /start}}",
        "{name: r, match: {path: {regex: /old/.*}}, redirect: {path: /new}}",
        "{name: r, redirect: {port: 8443}}",
        "{name: r, match: {methods: [POST], path: {prefix: /a}, headers: {x-a: {regex: b}}}, redirect: {path: /a/b}}",
    ] {
        accept(&format!("listeners: [{{name: a, address: '127.0.0.1:0'}}]\nroutes: [{routes}]"));
    }
}

#[test]
fn secrets_come_from_files_the_environment_or_the_config() {
    let (_guard, directory) = directory();
    std::fs::write(directory.join("dos"), "x\r\n").unwrap();
    std::fs::write(directory.join("two"), "x\n\n").unwrap();
    let text = format!("{MINIMAL}secrets: {{a: {{file: dos}}, b: {{file: two}}, c: {{env: KEY}}, d: {{value: v}}}}");
    let secrets = parse_in(&directory, &text).unwrap_or_else(|errors| panic!("{errors}")).config.secrets;
    let of = |name: &str| secrets[name].expose();
    assert_eq!((of("a"), of("b"), of("c"), of("d")), (&b"x"[..], &b"x\n"[..], &b"123"[..], &b"v"[..]));
}

#[test]
fn a_file_is_loaded_with_its_directory() {
    let (_guard, directory) = directory();
    let path = directory.join("gateway.yaml");
    std::fs::write(&path, EXAMPLE).unwrap();
    assert_eq!(super::super::load(&path).unwrap().contents.files().len(), 4);
    std::fs::write(&path, b"a: 1\nb: \xff").unwrap();
    let errors = super::super::load(&path).unwrap_err();
    assert_eq!(errors.contents().files()[..], [&*path], "it is watched until it is mended");
    assert_eq!(errors.to_string(), format!("{}:2:4: this is not UTF-8; save the file as UTF-8", path.display()));
    assert!(super::super::load(&directory).unwrap_err().to_string().contains("not a regular file"));
    assert!(super::super::load(&directory.join("none")).unwrap_err().to_string().contains("can't be read"));
}

#[test]
fn a_token_from_the_environment_is_sent_as_it_is_whatever_signs_it_holds() {
    let loaded = accept(
        "listeners: [{name: a, address: '127.0.0.1:1'}]
routes: [{name: r, upstream: u, request_headers: {set: {x-a: '${SIGNS}', x-b: 'Bearer ${SIGNS}', x-c: '${SIGNS} ${client.address}'}}}]
upstreams: {u: {endpoints: ['a:1']}}",
    );
    let edits = format!("{:?}", loaded.config.routes[0].request_headers);
    assert_eq!(edits.matches("a$$b%%c$d%ef{g}").count(), 3, "{edits}");
}

/// A configuration with an audit trail; `part` stands in its section, `route` in its route.
pub(super) fn audited(part: &str, route: &str) -> String {
    format!(
        "listeners: [{{name: a, address: '127.0.0.1:1'}}]
upstreams: {{u: {{endpoints: ['a:1'], data: {{controller: Example AS, region: oslo, country: \"NO\"}}}}}}
audit: {{directory: ., {part}}}
secrets: {{k: {{value: 0123456789abcdef0123456789abcdef}}, old: {{value: fedcba9876543210fedcba9876543210}}, short: {{value: abc}}, lines: {{value: \"a\\nb\"}}}}
routes: [{{name: r, upstream: u, audit: {{{route}}}}}]
"
    )
}

#[test]
fn an_audit_trail_and_what_is_declared_for_it() {
    use std::time::Duration;

    use ::audit::ledger::Durability;
    let declared = "purpose: order handling, legal_basis: contract, retention: 365d";
    let config = accept(&audited("pseudonym_key: k", declared)).config;
    let trail = config.audit.as_ref().unwrap();
    assert_eq!(
        (trail.gateway.as_str(), trail.durability, trail.timeout),
        ("gateway", Durability::SYNC, Duration::from_secs(2))
    );
    assert_eq!((trail.pseudonym_keys.len(), trail.signing_key.is_some()), (1, false));
    let route = config.routes[0].audit.as_deref().unwrap();
    assert_eq!((route.name.as_str(), route.purpose.as_str()), ("r", "order handling"));
    assert_eq!((route.legal_basis.as_str(), route.retention.as_str()), ("contract", "365d"));
    let data = &config.upstreams["u"].data;
    assert_eq!(data.country.map(|country| country.to_string()).as_deref(), Some("NO"));
    let part = "pseudonym_key: [k, old], durability: {batch: 10ms}, on_failure: alarm, categories: [customer-number]";
    let config = accept(&audited(part, declared)).config;
    let trail = config.audit.as_ref().unwrap();
    assert_eq!(trail.durability, Durability::Batch(Duration::from_millis(10)));
    assert_eq!((trail.pseudonym_keys.len(), trail.categories.len()), (2, 1));
    assert_eq!((trail.segment_bytes, trail.segment_age), (64 << 20, Duration::from_secs(86_400)));
    assert_eq!(trail.ship, None);
    let ship =
        "ship: {bucket: ledger, endpoint: 'http://127.0.0.1:5555/', prefix: a/b, access_key: k, secret_key: old}";
    let part = format!("pseudonym_key: k, segments: {{size: 1MiB, age: 1h}}, {ship}");
    let config = accept(&audited(&part, declared)).config;
    let trail = config.audit.as_ref().unwrap();
    assert_eq!((trail.segment_bytes, trail.segment_age), (1 << 20, Duration::from_secs(3600)));
    let ship = trail.ship.as_ref().unwrap();
    assert_eq!((ship.bucket.as_str(), ship.region.as_str(), ship.prefix.as_str()), ("ledger", "us-east-1", "a/b"));
    assert_eq!((ship.endpoint.as_deref(), ship.every), (Some("http://127.0.0.1:5555"), Duration::from_secs(60)));
    assert_eq!((ship.access_key.expose().len(), ship.secret_key.expose().len()), (32, 32));
}

#[test]
fn an_open_ledger_stays_as_it_is_until_the_next_start() {
    let declared = "purpose: a, legal_basis: consent, retention: 1d";
    let running = accept(&audited("pseudonym_key: k", declared)).config;
    let mut new = accept(&audited("pseudonym_key: old, gateway: other, on_failure: alarm", declared)).config;
    let deferred = crate::config::diff(&running, &mut new).deferred;
    let later = |key: &str| format!("audit.{key} changes at the next start; until then it stays as it is");
    assert_eq!(deferred, [later("gateway"), later("pseudonym_key")]);
    let trail = new.audit.as_ref().unwrap();
    assert_eq!(trail.on_failure, AuditFailure::Alarm, "followed at once");
    assert_eq!(trail.gateway.as_str(), "gateway");
    let mut without = accept("listeners: [{name: a, address: '127.0.0.1:1'}]\nroutes: []").config;
    let deferred = crate::config::diff(&running, &mut without).deferred;
    assert_eq!(deferred, ["audit ends at the next start; until then the ledger stays open"]);
    assert!(without.audit.is_some());
    let mut begun = running.clone();
    without.audit = None;
    assert!(crate::config::diff(&without, &mut begun).deferred.is_empty() && begun.audit.is_some());
}
