//! Plugins and configurations are swapped under load, with no request lost and no memory kept.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::built_plugin;
use gateway_tests::load::{Load, Service, Spawned, mib};
use gateway_tests::upstream::text;

const SWAPS: usize = 150;
const RELOADS: usize = 30;

/// What the process may grow by in sixty swaps: so far apart are the middles of the windows that are compared.
const GROWTH: usize = 10 << 20;

fn config(upstream: &Service, value: &str) -> String {
    format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
upstreams: {{echo: {{endpoints: [\"{}\"]}}}}
plugins: {{directory: plugins}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    plugins: [{{name: hello-plugin, config: {{value: {value}}}}}]
    upstream: echo
",
        upstream.address()
    )
}

/// Writes the plugin with a custom section of its own: another artifact with another hash and the same code.
fn install(wasm: &[u8], salt: &str, directory: &Path) {
    let mut wasm = wasm.to_vec();
    let name = b"build";
    let length = 1 + name.len() + salt.len();
    assert!(length < 128, "one byte of LEB128 is enough");
    wasm.extend([0, length as u8, name.len() as u8]);
    wasm.extend_from_slice(name);
    wasm.extend_from_slice(salt.as_bytes());
    let part = directory.join(".hello-plugin.wasm.part");
    std::fs::write(&part, wasm).expect("written");
    std::fs::rename(part, directory.join("hello-plugin.wasm")).expect("renamed");
}

fn hash(admin: &mut Client) -> String {
    let plugins = admin.get("/plugins").json();
    assert!(plugins[0]["last_error"].is_null(), "{plugins}");
    plugins[0]["hash"].as_str().expect("a hash").to_owned()
}

#[test]
fn plugin_swaps_and_reloads_under_load_lose_no_request_and_keep_no_memory() {
    let path = built_plugin("hello-plugin");
    let wasm = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{} is needed ({error}); run `cargo xtask plugins` first", path.display()));
    let upstream = Service::start(|request| {
        let answer = text(200, request.uri().path().to_owned());
        async move { answer }
    });
    let run = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos();
    let gateway = Spawned::start(&config(&upstream, "v-0"), |directory| {
        install(&wasm, &format!("{run}"), &directory.join("plugins"));
    });
    let plugins = gateway.directory().join("plugins");
    let address = gateway.listener("tls");
    let load = Load::start(address, 2, Duration::from_millis(5), |target, response| {
        let hello = response.header("x-hello");
        match (response.status, response.text() == target, hello.starts_with("v-")) {
            (200, true, true) => Ok(()),
            _ => Err(format!("{} {:?} x-hello: {hello:?}", response.status, response.text())),
        }
    });
    let mut admin = Client::http1(gateway.admin());
    let mut probe = Client::tls("http2", address, "localhost");
    let mut hashes = vec![hash(&mut admin)];
    let (mut memory, mut slowest, mut reloads) = (Vec::new(), Duration::ZERO, 0);
    for swap in 1..=SWAPS {
        let began = Instant::now();
        install(&wasm, &format!("{run}-{swap}"), &plugins);
        let new = eventually("the new plugin serves", || {
            let now = hash(&mut admin);
            (now != hashes[swap - 1]).then_some(now)
        });
        assert!(!hashes.contains(&new));
        hashes.push(new);
        slowest = slowest.max(began.elapsed());
        if swap % (SWAPS / RELOADS) == 0 {
            reloads += 1;
            let value = format!("v-{reloads}");
            gateway.configure(&config(&upstream, &value));
            eventually("the new configuration serves", || {
                (probe.get("/probe").header("x-hello") == value).then_some(())
            });
        }
        memory.push(gateway.memory());
    }
    // Loading takes memory for a moment, which the allocator gives back at a time of its own, so one sample says little
    // and the middle one of many a lot: over 500 swaps, that of every twenty but the first stayed within 8 MiB.
    let middle = |samples: &[usize]| {
        let mut samples = samples.to_vec();
        samples.sort_unstable();
        samples[samples.len() / 2]
    };
    let (early, late) = (middle(&memory[SWAPS / 5..3 * SWAPS / 5]), middle(&memory[3 * SWAPS / 5..]));
    let (outcomes, elapsed) = load.stop();
    let answered: usize = outcomes.iter().map(|outcome| outcome.answered.len()).sum();
    eprintln!(
        "{SWAPS} swaps (slowest {slowest:?}) and {reloads} reloads in {elapsed:?} under {answered} requests; memory {:.1} \
         MiB after the first fifth, {:.1} MiB in the last two",
        mib(early),
        mib(late)
    );
    for outcome in &outcomes {
        assert_eq!(outcome.failed, None, "{}", outcome.protocol);
        eprintln!("{}: {} answered, none failed", outcome.protocol, outcome.answered.len());
        assert!(outcome.answered.len() > SWAPS, "{} was under load", outcome.protocol);
    }
    assert_eq!(reloads, RELOADS);
    assert!(late < early + GROWTH, "memory grew from {:.1} to {:.1} MiB", mib(early), mib(late));
}
