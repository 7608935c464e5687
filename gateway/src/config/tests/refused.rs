//! What is refused, and what is said then.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::parse;

/// Errors of a text, without the file's name.
fn errors(text: &str) -> String {
    match parse(text) {
        Ok(_) => "accepted".to_owned(),
        Err(errors) => {
            let here = format!("({}/", std::env::current_dir().unwrap().display());
            errors.to_string().replace("gateway.yaml:", "").replace(&here, "(HERE/")
        }
    }
}

/// A valid config around one part.
fn with(part: &str) -> String {
    let mut text = String::new();
    for (key, value) in [("listeners", "[{name: a, address: '127.0.0.1:1'}]"), ("routes", "[]")] {
        if !part.contains(&format!("{key}:")) {
            writeln!(text, "{key}: {value}").unwrap();
        }
    }
    text + part
}

/// Inputs that are refused, one or more of each kind.
const REFUSED: &[&str] = &[
    // Syntax and bounds.
    "",
    "a: [1, 2",
    "- a",
    "a: 1\n---\nb: 2",
    "listeners: *nowhere",
    "routes: !!seq []",
    "? [a, b]\n: c",
    // Keys.
    "lisetners: []\nroutes: []",
    "drain_timeout: 1s\ndrain_timeout: 2s",
    "upstreams: {a: {endpoints: ['a:1'], active_health: {path: /}}}",
    "state: {backend: redis, url: 'redis://a'}",
    "upstreams: {a: {endpoints: ['a:1'], load_balancing: ring_hash}}",
    // Types and values.
    "workers: many",
    "workers: 0",
    "workers: '2'",
    "drain_timeout: 5",
    "forwarding: {forwarded: yes, trusted: [10.0.0.0/33], via: 'a b'}",
    "log: {level: warning, format: 5}",
    "routes: {}",
    "routes:",
    // Who vouches for plugins.
    "plugins: {trusted_keys: []}",
    "plugins: {trusted_keys: [keys/release.pub], pins: {auth: 9f86d081, a b: 'sha256:9f86d081'}}",
    // Environment.
    "workers: ${NOPE}",
    "workers: ${KEY",
    "drain_timeout: ${KEY}",
    // Listeners.
    "listeners: []",
    "listeners: [{}]",
    "listeners: [{name: a, address: 'localhost:80', protocols: [http1, http1]}]",
    "listeners: [{name: a, address: '0.0.0.0:80'}, {name: a, address: '127.0.0.1:80'}]",
    "listeners: [{name: a, address: '0.0.0.0:80', protocols: [http1, http3]}]",
    "listeners: [{name: a, address: '0.0.0.0:80', tls: {}}]",
    "listeners: [{name: a, address: '0.0.0.0:80', tls: {certificates: [{certificate: nope.pem, private_key: .}]}}]",
    "listeners: [{name: a, address: '0.0.0.0:80', limits: {header_bytes: 1KiB, streams: 0}}]",
    // Upstreams.
    "upstreams: {a: {}, 'b c': {endpoints: []}}",
    "upstreams: {a: {endpoints: [a, 'a:0', {address: 'a:1', zone: x}], host: 'http://a', keepalive: -1}}",
    // Routes.
    "routes: [{name: r}]",
    "routes: [{name: r, upstream: nope}]\nupstreams: {node: {endpoints: ['a:1']}}",
    "routes: [{name: r, respond: {status: 200}, redirect: {scheme: https}}]",
    "routes: [{name: r, respond: {status: 99}}, {name: r, respond: {status: 204, body: x}}]",
    "routes: [{name: r, redirect: {status: 200}}]",
    "routes: [{name: r, upstream: a, match: {path: {exact: /}}, rewrite: {prefix: /b}}]\nupstreams: {a: {endpoints: ['a:1']}}",
    "routes: [{name: r, respond: {status: 200}, rewrite: {prefix: /b}}]",
    "routes: [{name: r, respond: {status: 200}, match: {hostnames: ['a b'], path: {regex: (}, methods: [get], headers: {'a b': c}}}]",
    "routes: [{name: r, respond: {status: 200}, match: {path: {prefix: a, exact: /a}}}]",
    "routes: [{name: r, respond: {status: 200}, request_headers: {set: {Host: a, X-A: \"a\\nb\"}, remove: [te]}}]",
    "routes: [{name: a, upstream: x, nope: 1}, {name: a, upstream: y, plugins: [{name: p, shared: 5}]}]",
    "plugins: []\nupstreams: []\nroutes: [{name: r, upstream: x, plugins: [{name: p}]}]",
    // Plugins.
    "routes: [{name: r, respond: {status: 200}, plugins: [{name: auth, on_failure: opened}]}]",
    "routes: [{name: r, respond: {status: 200}, plugins: [{name: auth, config: [1]}]}]\nplugins: {directory: p}",
    "routes: [{name: r, respond: {status: 200}, plugins: [{name: ../x, config: {a: .nan}}]}]\nplugins: {directory: p}",
    "routes: [{name: r, respond: {status: 200}, plugins: [auth]}]",
    "routes: [{name: none, respond: {status: 200}}]",
    "routes: [{name: r, respond: {status: 200}, match: {path: {exact: /a//b}, headers: {Host: a, TE: b}}}]",
    "routes: [{name: r, respond: {status: 200}, match: {path: {prefix: /%00}, methods: [Get]}}]",
    "plugins: {limits: {p: {memory: 4GiB}}}",
    "plugins: {grants: {auth: {upstreams: [idp], secrets: [hmca]}}}\nsecrets: {hmac: {value: x}}",
    // Secrets, admin, access log.
    "secrets: {a: {}, b: {file: nope}, c: {env: NOPE}, d: {env: KEY, value: x}, e: {value: ''}}",
    "admin: {address: '0.0.0.0:9901'}",
    "admin: {address: '127.0.0.1:1'}",
    "admin: on",
    "access_log: {include: [cookies, 'request_headers.a b'], format: text}",
    "access_log: stdout",
    "access_log: []",
    "access_log: [{path: stdout}, {format: combined}, {path: stdout, syslog: {address: 'udp://a'}}]",
    "access_log: {syslog: {address: 'http://a', facility: local9, severity: warn, app_name: 'a b', max_message: 100}}",
    "access_log: {format: {json: {fields: [status, stauts]}, template: x}}",
    "access_log: {format: {json: {fields: [query, headers]}}}",
    "access_log: {format: {template: no variables}}",
    "access_log: {format: {template: '$remote_addr ${client.address}'}}",
    "access_log: {format: {template: '%START_TIME% ${client.address}'}}",
    "access_log: {format: {template: '${client.adress}'}}",
    "access_log: {format: {template: \"${client.address}\\n\"}}",
    "access_log: {format: {template: '${request.query} ${request.headers.user_agent}'}}",
    "access_log: {format: nginx, when: {}, sample: 101%}",
    "access_log: {when: [errors, {status: [6xx, 500-400], source: nobody, routes: [none]}], sample: {always: error}}",
    "routes: [{name: r, respond: {status: 200}, access_log: on}]",
    "routes: [{name: r, respond: {status: 200}, access_log: {include: [path], when: {routes: s}}}]",
];

/// Each input with its whole output; lines count from the two (or one) that [`with`] puts in front.
#[test]
fn messages() {
    let mut table = String::new();
    for &input in REFUSED {
        let text =
            if input.is_empty() || input.starts_with(['-', '?']) || input.contains("---") || input.contains("[1, 2") {
                input.to_owned()
            } else {
                with(input)
            };
        writeln!(
            table,
            "{text}\n{}\n",
            errors(&text).lines().map(|line| format!("  > {line}\n")).collect::<String>().trim_end()
        )
        .unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn messages_do_not_show_what_came_from_the_environment() {
    let text = with(
        "workers: 'x${KEY}'\nlog: {level: '${KEY}'}\nroutes: [{name: r, upstream: a, match: {path: {prefix: '${KEY}'}}}]",
    );
    let errors = errors(&text);
    assert!(errors.contains("${KEY}") && !errors.contains("123"), "{errors}");
}

#[test]
fn hints_and_names_do_not_show_what_came_from_the_environment() {
    let text = "listeners: [{name: a, address: '127.0.0.1:1'}]
routes:
  - {name: r, upstream: '${SECRET}', match: {methods: ['${SECRET}'], path: {exact: '/${SECRET}//x'}}}
  - {name: '${SECRET}', respond: {status: 200}}
  - {name: '${SECRET}', respond: {status: 200}}
plugins: {directory: p, grants: {auth: {secrets: ['${SECRET}']}}}
secrets: {other: {value: x}}
upstreams: {other: {endpoints: ['a:1']}}
";
    let parsed = super::super::parse_all(text, "gateway.yaml".as_ref(), &|_| Some("hunter".to_owned()));
    let errors = parsed.unwrap_err();
    assert!(errors.errors().len() >= 4, "{errors}");
    assert!(!errors.to_string().to_lowercase().contains("hunter"), "{errors}");
}

/// Where the word stands in each of these, in whatever form, it must not stand in what is said of them.
#[test]
fn no_message_shows_a_secret() {
    let plugin = |config: &str| {
        format!(
            "plugins: {{directory: p}}\nroutes: [{{name: r, respond: {{status: 200}}, plugins: [{{name: a, config: {config}}}]}}]"
        )
    };
    let route = |rest: &str| format!("routes: [{{name: r, respond: {{status: 200}}, {rest}}}]");
    let inputs = [
        "secrets: hunter2".to_owned(),
        "secrets: [hunter2]".to_owned(),
        "secrets: {a: hunter2}".to_owned(),
        "secrets: {a: [hunter2]}".to_owned(),
        "secrets: {a: {vlaue: x, hunter2: y}}".to_owned(),
        "secrets: {a: {hunter2: x, hunter2: y}}".to_owned(),
        "secrets: {'hunter2 = a': {value: x}}".to_owned(),
        "secrets: {a: {value: [hunter2]}}".to_owned(),
        "secrets: {a: {value: {x: hunter2}}}".to_owned(),
        "secrets: {a: {value: hunter2, env: KEY}}".to_owned(),
        "secrets: {a: {value: 'x${hunter2}'}}".to_owned(),
        "secrets: {a: {env: hunter2}}".to_owned(),
        "secrets: {a: {file: \"-----BEGIN PRIVATE KEY-----\\nhunter2\"}}".to_owned(),
        "secrets: {a: {value: @hunter2}}".to_owned(),
        "secrets: {a: {value: *hunter2}}".to_owned(),
        "secrets: {a: {value: !hunter2 x}}".to_owned(),
        "secrets: {a: {value: hunter2".to_owned(),
        "secrets: {a: {value: \"hunter2\\q\"}}".to_owned(),
        "x: &v [hunter2]\nsecrets: {a: *v}".to_owned(),
        "secrets: {a: {value: &v hunter2}}\nworkers: *v".to_owned(),
        route("request_headers: {set: {authorization: \"Bearer hunter2\\n\"}}"),
        route("request_headers: {set: {x-shared: \"hunter2\\n\"}}"),
        route("response_headers: {set: {x-shared: [hunter2]}}"),
        route("request_headers: {set: {x-api-key: 'x$hunter2'}}"),
        route("request_headers: {set: {x-api-key: 'hunter2$x'}}"),
        route("request_headers: {set: {x-api-key: 'x$(hunter2)'}}"),
        route("request_headers: {set: {x-api-key: 'a%hunter2%b'}}"),
        route("request_headers: {set: {x-api-key: '%REQ(hunter2)%'}}"),
        route("request_headers: {set: {x-api-key: '%[hunter2]'}}"),
        route("request_headers: {set: {x-api-key: '{hunter2}'}}"),
        route("request_headers: {set: {x-api-key: '${hunter2.x}'}}"),
        route("request_headers: {set: {x-api-key: 'x${hunter2}'}}"),
        route("request_headers: {set: {x-api-key: '${hunter2'}}"),
        route("request_headers: {set: {x-api-key: 'abc$hunter2'}}"),
        route("request_headers: {set: {x-api-key: 'hun$hunter2_x$remote_addr'}}"),
        route("request_headers: {set: {x-api-key: 'a%HUNTER%b'}}"),
        route("request_headers: {set: {x-api-key: 'a%HUNTER(hunter2)%b'}}"),
        route("request_headers: {set: {x-api-key: 'hunter2%[src]'}}"),
        route("request_headers: {set: {x-api-key: '{{hunter2}}'}}"),
        route("request_headers: {set: {x-api-key: 'x${hunter2.x}'}}"),
        route("match: {headers: {x-origin: {regex: 'hunter2('}}}"),
        route("match: {query: {token: [hunter2]}}"),
        "listeners: [{name: a, address: '0.0.0.0:80', tls: {certificates: [{certificate: c, private_key: \"-----BEGIN \
         EC PRIVATE KEY-----hunter2\"}]}}]"
            .to_owned(),
        "upstreams: {a: {endpoints: ['http://user:hunter2@a:80', 'user:hunter2@a:80', {address: 'https://hunter2@a'}]}}"
            .to_owned(),
        "state: 'redis://:hunter2@a:6379'".to_owned(),
        "state: {backend: 'redis://:hunter2@a:6379', url: 'redis://:hunter2@a'}".to_owned(),
        "admin: {address: 'https://admin:hunter2@a'}".to_owned(),
        "log: {level: 'Bearer hunter2'}".to_owned(),
        plugin("{api_key: .inf, password: [hunter2], x: '${hunter2}'}"),
        "drain: {delay: 'Basic hunter2'}".to_owned(),
    ];
    for input in inputs {
        let said = errors(&with(&input));
        let lower = said.to_lowercase();
        assert!(!lower.contains("hunter") || lower.contains("variable hunter2"), "{input}\n{said}");
        assert!(said != "accepted", "{input}");
    }
}

#[test]
fn no_message_shows_what_a_secret_s_number_is() {
    let said = errors(&with("secrets: {a: {value: 123456789}}"));
    assert_eq!(said, "3:22: expected text, found a number (not shown); put it in quotes");
}

#[test]
fn an_access_log_that_can_not_be_made_is_refused_at_its_place() {
    let said = errors(&with("access_log: {path: no/access.log}"));
    assert_eq!(
        said,
        "3:20: the access log \"no/access.log\" can't be opened (HERE/no/access.log): its directory does not exist"
    );
    let said = errors(&with("access_log: {path: '/${KEY}/access.log'}"));
    assert_eq!(said, "3:20: the access log \"/${KEY}/access.log\" can't be opened: its directory does not exist");
}

#[test]
fn what_a_plugin_says_of_its_config_repeats_no_secret() {
    let text = with(
        "plugins: {directory: p}
routes: [{name: r, respond: {status: 200}, plugins: [{name: a, config: {
  password: hunter2, by: 'x-${KEY}', keys: [{pem: hunter3, name: visible}], secret: named}}]}]",
    );
    let config = parse(&text).unwrap_or_else(|errors| panic!("{errors}")).config;
    let hidden = &config.routes[0].plugins[0].hidden;
    assert_eq!(
        hidden.redact("hunter2, hunter3, x-123, visible, named"),
        "(not shown), (not shown), x-(not shown), visible, named"
    );
    assert!(!format!("{hidden:?}").contains("hunter"), "{hidden:?}");
}

#[test]
fn both_forms_of_the_drain_at_once_are_refused() {
    let said = errors(&with("drain_timeout: 5s\ndrain: {delay: 1s}"));
    assert_eq!(said, "4:1: \"drain_timeout\" and \"drain\" exclude each other; keep one of them");
}

#[test]
fn redirects_that_lead_back_are_refused() {
    for (route, hint) in [
        ("redirect: {scheme: https}", "; write match: {scheme: http}"),
        ("redirect: {scheme: https, port: 8443}", "; write match: {scheme: http}"),
        ("match: {scheme: https}, redirect: {scheme: https}", ""),
        ("match: {hostnames: [www.a.no]}, redirect: {hostname: www.a.no}", ""),
        ("match: {hostnames: ['*.a.no']}, redirect: {hostname: www.a.no}", ""),
        ("match: {path: {prefix: /a}}, redirect: {path: /a/b}", ""),
        ("match: {headers: {x-a: b}, query: {'c d': {present: true}}}, redirect: {path: /new}", ""),
    ] {
        let text = with(&format!("routes: [{{name: r, {route}}}]"));
        assert_eq!(errors(&text), format!("2:17: the redirect of \"r\" leads back to itself{hint}"), "{route}");
    }
}

#[test]
fn a_redirect_to_a_name_that_may_be_another_server_is_no_circle() {
    let parsed = super::super::parse_all(
        &with("routes: [{name: r, redirect: {hostname: www.a.no}}]"),
        "gateway.yaml".as_ref(),
        &|_| None,
    );
    assert!(parsed.is_ok(), "{:?}", parsed.err());
}

#[test]
fn a_tab_is_reported_on_its_own_line() {
    for (text, place) in [
        ("listeners:\n  - name: a\n    address: 127.0.0.1:1\n\tprotocols: [http1]\n", "4:1"),
        ("listeners:\n\t- name: a\n", "2:1"),
        ("a:\n  b: c\n  \td: e\n", "3:3"),
    ] {
        assert_eq!(errors(text), format!("{place}: a tab in the indentation; indent with spaces"), "{text}");
    }
}

#[test]
fn what_is_missing_at_the_end_is_missed_inside_the_text() {
    for (text, place) in [("a: {b: c}\nd}e: [f,\r\n  g", "3:4: "), ("a: [1, 2", "1:9: "), ("a: [1, 2\n", "2:1: ")] {
        assert!(errors(text).starts_with(place), "{}", errors(text));
    }
}

#[test]
fn an_environment_variable_in_braces_and_a_merge_key_get_a_hint() {
    for text in ["secrets: {a: {value: ${KEY}}}", "a: [${KEY}]"] {
        assert!(errors(text).contains("`${NAME}` needs quotes"), "{}", errors(text));
    }
    let merged = errors(&with("log: &log {level: info}\naccess_log: {<<: *log, path: off}"));
    assert!(
        merged.contains("4:14: merge keys (`<<`) are not supported") && !merged.contains("unknown key"),
        "{merged}"
    );
}

#[test]
fn files_that_a_refused_config_names_are_known() {
    let text = with("secrets: {a: {file: comes/later}}");
    let files = parse(&text).unwrap_err().contents().files();
    let absolute = std::path::absolute("comes/later").unwrap();
    assert_eq!(files, [absolute, std::path::PathBuf::from("gateway.yaml")]);
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "b{level}: &a{level} [{items}]").unwrap();
    }
    assert!(errors(&text).contains("copies by aliases included"));
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), "a: ".to_owned() + &"{a: ".repeat(1_000), "- ".repeat(5_000)] {
        assert!(errors(&text).contains("nested more than 64 levels deep"), "{}", errors(&text));
    }
    // An alias counts with what it brings.
    let text = format!("a: &a {}{}\nb: {}*a{}", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert!(errors(&text).contains("nested more than 64 levels deep"));
}

#[test]
fn an_alias_of_itself_is_refused() {
    assert!(errors("a: &a [*a]").contains("refers to a value that contains it"));
}

#[test]
fn a_huge_file_is_refused() {
    assert!(errors(&"#".repeat(5 << 20)).contains("at most 4194304 are read"));
}

/// A text made of pieces that mean something to YAML and to the config.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "listeners",
            "routes",
            "upstreams",
            "plugins",
            "secrets",
            "name",
            "address",
            "tls",
            "match",
            "path",
            "config",
            "endpoints",
            "a",
            "1",
            "2s",
            "16MiB",
            "${PORT}",
            "${",
            "$${",
            "127.0.0.1:80",
            "/",
            "http3",
            "off",
            "~",
            "\"x\"",
            "'",
            "\"",
            ": ",
            ":",
            "\n",
            "\n  ",
            "\n    ",
            "\n- ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "&a ",
            "*a",
            "!!str ",
            "# ",
            "|\n",
            ">-\n",
            "? ",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "<<",
            "\t",
            "\r\n",
            "\u{feff}",
            "å",
            "\0",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_the_parser_panic(text in yaml_like()) {
        if let Err(errors) = parse(&text) {
            prop_assert!(!errors.errors().is_empty());
            prop_assert!(errors.errors().iter().all(|error| error.line >= 1 && error.column >= 1));
        }
    }

    #[test]
    fn no_characters_make_the_parser_panic(text in ".{0,200}") {
        let _ = parse(&text);
    }
}

#[test]
fn a_file_that_changed_while_it_was_read_is_refused_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.yaml");
    std::fs::write(&file, "routes: []").unwrap();
    let errors = super::super::load::whole(&file, Ok(None)).unwrap_err();
    assert!(errors.to_string().contains("gateway.yaml: changed while it was read"), "{errors}");
    assert_eq!(errors.contents().now().changed_since(errors.contents()), [file.as_path()]);
}

#[test]
fn mistakes_of_an_audit_trail_are_told_with_their_places() {
    use super::accepted::audited;
    let declared = "purpose: a, legal_basis: contract, retention: 365d";
    for (part, route, said) in [
        ("pseudonym_key: nobody", declared, "3:38: there is no secret \"nobody\""),
        (
            "pseudonym_key: short",
            declared,
            "3:38: the secret \"short\" is no pseudonym key: a pseudonym key is shorter than 32 bytes",
        ),
        ("pseudonym_key: k, signing_key: k", declared, "3:54: the secret \"k\" is no Ed25519 private key"),
        ("pseudonym_key: k, gateway: a b", declared, "is not a name"),
        (
            "pseudonym_key: k, durability: fast",
            declared,
            "\"fast\" is no durability; write sync, async, or {batch: 10ms}",
        ),
        ("pseudonym_key: k, on_failure: ignore", declared, "unknown value \"ignore\""),
        ("pseudonym_key: k, categories: ['kari@example.no']", declared, "is not a name"),
        ("", declared, "\"pseudonym_key\" is missing"),
        ("pseudonym_key: k, segments: {age: 1ms}", declared, "3:57: \"1ms\" is too short"),
        ("pseudonym_key: k, ship: {bucket: A, access_key: k, secret_key: k}", declared, "\"A\" is no bucket's name"),
        ("pseudonym_key: k, ship: {bucket: abc, access_key: k}", declared, "\"secret_key\" is missing"),
        (
            "pseudonym_key: k, ship: {bucket: abc, access_key: nobody, secret_key: k}",
            declared,
            "3:73: there is no secret \"nobody\"",
        ),
        (
            "pseudonym_key: k, ship: {bucket: abc, access_key: k, secret_key: lines}",
            declared,
            "3:88: the secret \"lines\" is no key of a store",
        ),
        (
            "pseudonym_key: k, ship: {bucket: abc, endpoint: 's3.example.com', access_key: k, secret_key: k}",
            declared,
            "is no URL of a store",
        ),
        ("pseudonym_key: k", "purpose: a, legal_basis: legitimate, retention: 365d", "unknown value \"legitimate\""),
        ("pseudonym_key: k", "purpose: '<b>', legal_basis: contract, retention: 365d", "\"<b>\" is not a label"),
        ("pseudonym_key: k", "purpose: a, legal_basis: contract, retention: 1500ms", "whole days, hours or seconds"),
        ("pseudonym_key: k", "purpose: a, legal_basis: contract", "\"retention\" is missing"),
    ] {
        let found = errors(&audited(part, route));
        assert!(found.contains(said), "{part} {route}: {found}");
    }
    let country = audited("pseudonym_key: k", declared).replace("\"NO\"", "XX");
    assert!(errors(&country).contains("\"XX\" is not a country"), "{}", errors(&country));
    let lower = audited("pseudonym_key: k", declared).replace("\"NO\"", "se");
    assert!(errors(&lower).contains("write \"SE\""), "{}", errors(&lower));
    let place = audited("pseudonym_key: k", declared).replace("directory: .", "directory: Cargo.toml/audit");
    assert!(errors(&place).contains("there is a file in its place"), "{}", errors(&place));
    let without: Vec<String> =
        audited("", declared).lines().filter(|line| !line.starts_with("audit:")).map(str::to_owned).collect();
    assert!(errors(&without.join("\n")).contains("needs the audit trail"), "{}", errors(&without.join("\n")));
}
