//! Files that attack whoever reads or compiles them: what they cost the process, and what goes on meanwhile.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::guests::{self, built, other_build, put, replaced};
use gateway_tests::hostile::{files, nested_types, slow};
use gateway_tests::load::Spawned;
use gateway_tests::process::{Process, binary};

/// A route with a plugin that others swap, and one with a plugin whose file is attacked.
fn yaml(compile: &str, status: u16) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins, compile: {compile}}}
routes:
  - {{name: good, match: {{path: {{prefix: /good}}}}, plugins: [{{name: test-guest}}], respond: {{status: 200}}}}
  - {{name: evil, match: {{path: {{prefix: /evil}}}}, plugins: [{{name: evil-guest}}], respond: {{status: 200}}}}
  - {{name: edited, match: {{path: {{prefix: /edited}}}}, respond: {{status: {status}}}}}
"
    )
}

/// `test-guest` under another name.
fn evil() -> Vec<u8> {
    replaced(built("test-guest"), b"test-guest", b"evil-guest")
}

/// A module of the contract whose `describe` is this.
fn describing(describe: &str) -> Vec<u8> {
    guests::of_contract(describe, guests::ON_LOG)
}

fn start(compile: &str) -> TestGateway {
    let gateway = TestGateway::prepare(&yaml(compile, 200), |directory| {
        put(&directory.join("plugins"), "test-guest.wasm", &built("test-guest"));
        put(&directory.join("plugins"), "evil-guest.wasm", &evil());
    });
    gateway.unwrap_or_else(|error| panic!("{error}"))
}

/// Why a file is refused, by its status.
fn refusal(plugins: &Path) -> Option<String> {
    let status = std::fs::read(plugins.join("evil-guest.status.json")).ok()?;
    let status: serde_json::Value = serde_json::from_slice(&status).ok()?;
    status["error"].as_str().map(str::to_owned)
}

fn build(client: &mut Client) -> String {
    let response = client.get("/good");
    assert_eq!(response.status, 200, "{}", response.text());
    response.header("x-build").to_owned()
}

/// Swaps the good plugin, and edits the configuration, until it is told to end. How often, and the longest that it took.
fn change(gateway: &TestGateway, compile: &str, ended: &AtomicBool) -> (usize, Duration) {
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.address());
    let (mut rounds, mut longest) = (0, Duration::ZERO);
    while !ended.load(Ordering::Relaxed) {
        let started = Instant::now();
        let (bytes, expected, status) = match rounds % 2 {
            0 => (other_build(), "test-guest-build-B", 201),
            _ => (built("test-guest"), "test-guest-build-A", 202),
        };
        put(&plugins, "test-guest.wasm", &bytes);
        gateway.reload(&yaml(compile, status)).expect("it applies");
        assert_eq!(client.get("/edited").status, status);
        eventually(expected, || (build(&mut client) == expected).then_some(()));
        longest = longest.max(started.elapsed());
        rounds += 1;
    }
    (rounds, longest)
}

/// Also where an assertion fails: the threads of a test would go on for ever.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_hostile_file_harms_the_process_or_holds_up_another_plugin_or_a_configuration() {
    let compile = "{memory: 256MiB, time: 1s}";
    let gateway = start(compile);
    let plugins = gateway.directory().join("plugins");
    let (ended, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for path in ["/good", "/evil"] {
            let (gateway, ended, sent) = (&gateway, &ended, &sent);
            scope.spawn(move || {
                let mut client = Client::http1(gateway.address());
                while !ended.load(Ordering::Relaxed) {
                    assert_eq!(client.get(path).status, 200);
                    sent.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(9));
                }
            });
        }
        let changes = scope.spawn(|| change(&gateway, compile, &ended));
        let end = End(&ended);
        let mut before = None;
        for file in files(describing) {
            let started = Instant::now();
            put(&plugins, "evil-guest.wasm", &file.bytes);
            let told = eventually(file.what, || {
                let told = refusal(&plugins);
                if told == before { Err(told) } else { told.ok_or(None) }
            });
            println!("{}: {} bytes, {:?}: {told}", file.what, file.bytes.len(), started.elapsed());
            assert!(file.refusal.iter().any(|words| told.contains(words)), "{}: {told}", file.what);
            // What was said last tells one file from the next.
            put(&plugins, "evil-guest.wasm", &evil());
            eventually("a good one serves again", || (refusal(&plugins).is_none()).then_some(()));
            before = None;
        }
        drop(end);
        let (rounds, longest) = changes.join().expect("every change was applied");
        println!("{} requests, {rounds} changes, the longest took {longest:?}", sent.load(Ordering::Relaxed));
        assert!(rounds > 0);
    });
}

#[test]
fn a_hostile_file_is_an_error_of_the_start_and_of_the_check() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("plugins")).expect("the plugin directory");
    std::fs::write(directory.path().join("gateway.yaml"), yaml("{}", 200)).expect("written");
    put(&directory.path().join("plugins"), "test-guest.wasm", &built("test-guest"));
    put(&directory.path().join("plugins"), "evil-guest.wasm", &nested_types(1500));
    for arguments in [&["run"][..], &["check"], &["plugin", "check", "plugins/evil-guest.wasm"]] {
        let output =
            Command::new(binary("gateway")).args(arguments).current_dir(directory.path()).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains("evil-guest") && text.contains("nested too deep"), "{arguments:?}: {text}");
    }
}

/// What a compilation may use that is to last.
const AMPLE: &str = "{memory: 1GiB, time: 10m}";

/// A process with the two plugins.
fn spawn() -> Spawned {
    Spawned::start(&yaml(AMPLE, 200), |directory| {
        put(&directory.join("plugins"), "test-guest.wasm", &built("test-guest"));
        put(&directory.join("plugins"), "evil-guest.wasm", &evil());
    })
}

/// The processes that a process has started and that have not ended.
fn children(of: u32) -> Vec<u32> {
    let parent = |stat: &str| stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok();
    let processes = std::fs::read_dir("/proc").expect("the process table").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            parent(&stat) == Some(of) && !stat.contains(") Z ")
        })
        .collect()
}

fn only_child(process: &Process) -> u32 {
    eventually("it is being compiled", || match children(process.id())[..] {
        [only] => Ok(only),
        _ => Err(children(process.id())),
    })
}

#[test]
fn a_newer_file_ends_the_compilation_of_the_older_one_and_the_end_of_the_gateway_ends_it_too() {
    let mut gateway = spawn();
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.listener("clear"));
    put(&plugins, "evil-guest.wasm", &slow());
    let child = only_child(&gateway.process);
    gateway.process.wait_for("compiling it takes long");
    put(&plugins, "evil-guest.wasm", &replaced(evil(), b"evil-guest-build-A", b"evil-guest-build-C"));
    eventually("the newer one serves", || {
        (client.get("/evil").header("x-build") == "evil-guest-build-C").then_some(())
    });
    eventually("nothing is compiled", || (!children(gateway.process.id()).contains(&child)).then_some(()));

    put(&plugins, "evil-guest.wasm", &slow());
    let child = only_child(&gateway.process);
    gateway.process.signal("KILL");
    gateway.process.wait();
    eventually("it ends with the gateway", || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn a_configuration_waits_for_a_plugin_that_it_needs_and_holds_up_nothing_else() {
    let gateway = spawn();
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.listener("clear"));
    put(&plugins, "slow-guest.wasm", &slow());
    let more =
        "  - {name: slow, match: {path: {prefix: /slow}}, plugins: [{name: slow-guest}], respond: {status: 200}}\n";
    gateway.configure(&(yaml(AMPLE, 201) + more));
    gateway.process.wait_for("the new configuration waits for plugins that are being compiled");
    let child = only_child(&gateway.process);
    put(&plugins, "test-guest.wasm", &other_build());
    eventually("another plugin is swapped", || (build(&mut client) == "test-guest-build-B").then_some(()));
    assert_eq!(client.get("/edited").status, 200, "the configuration is not in force");
    gateway.configure(&yaml(AMPLE, 202));
    eventually("the next one is", || (client.get("/edited").status == 202).then_some(()));
    eventually("what nothing needs is not compiled", || {
        (!children(gateway.process.id()).contains(&child)).then_some(())
    });
}

#[test]
fn however_many_files_take_long_another_plugin_is_swapped_meanwhile() {
    // More than are compiled at a time, those that take long included.
    let count = 1 + 2 * std::thread::available_parallelism().map_or(1, usize::from).clamp(2, 4);
    let name = |at: usize| format!("slo{at}-guest");
    let routes: String = (0..count)
        .map(|at| {
            let name = name(at);
            format!("  - {{name: {name}, match: {{path: {{prefix: /{name}}}}}, plugins: [{{name: {name}}}], respond: {{status: 200}}}}\n")
        })
        .collect();
    let gateway = Spawned::start(&(yaml(AMPLE, 200) + &routes), |directory| {
        let plugins = directory.join("plugins");
        put(&plugins, "test-guest.wasm", &built("test-guest"));
        put(&plugins, "evil-guest.wasm", &evil());
        for name in (0..count).map(name) {
            put(&plugins, &format!("{name}.wasm"), &replaced(built("test-guest"), b"test-guest", name.as_bytes()));
        }
    });
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.listener("clear"));
    for name in (0..count).map(name) {
        put(&plugins, &format!("{name}.wasm"), &slow());
    }
    eventually("several are being compiled", || (children(gateway.process.id()).len() > 1).then_some(()));
    put(&plugins, "test-guest.wasm", &other_build());
    eventually("another plugin is swapped", || (build(&mut client) == "test-guest-build-B").then_some(()));
    assert!(children(gateway.process.id()).len() < count, "those that take long are not all compiled at once");
}

/// A route with a plugin that is not there yet.
fn route_with(name: &str, config: &str) -> String {
    format!(
        "  - {{name: {name}, match: {{path: {{prefix: /{name}}}}}, plugins: [{{name: {name}, config: {config}}}], respond: \
         {{status: 200}}}}\n"
    )
}

#[test]
fn two_new_plugins_are_compiled_once_each_and_serve_also_where_they_cannot_be_kept() {
    let gateway = spawn();
    let plugins = gateway.directory().join("plugins");
    for name in ["hello-plugin", "rate-limit"] {
        put(&plugins, &format!("{name}.wasm"), &built(name));
    }
    let more =
        route_with("hello-plugin", "{value: hello}") + &route_with("rate-limit", "{limits: [{requests: 5, per: 1s}]}");
    // No cache: what is forgotten is compiled anew.
    gateway.configure(&(yaml(&format!("{AMPLE}, cache: /dev/null/none"), 201) + &more));
    let mut client = Client::http1(gateway.listener("clear"));
    eventually("both serve", || (client.get("/edited").status == 201).then_some(()));
}

#[test]
fn a_configuration_that_is_refused_for_its_plugins_has_them_compiled_once_each() {
    let gateway = spawn();
    let plugins = gateway.directory().join("plugins");
    // Neither is a matter of how much processor there is.
    for (name, depth) in [("deep-guest", 1500), ("vast-guest", 300_000)] {
        put(&plugins, &format!("{name}.wasm"), &nested_types(depth));
    }
    let (ended, id) = (AtomicBool::new(false), gateway.process.id());
    let (swaps, seen) = std::thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                seen.extend(children(id));
                std::thread::sleep(Duration::from_millis(10));
            }
            seen
        });
        let end = End(&ended);
        let more = route_with("deep-guest", "{}") + &route_with("vast-guest", "{}");
        gateway.configure(&(yaml(&format!("{AMPLE}, cache: /dev/null/none"), 201) + &more));
        let refused = || gateway.process.wait_for("the new configuration is refused");
        while !["deep-guest", "vast-guest"].iter().all(|name| refused().contains(&format!("plugin `{name}`"))) {}
        // Each swap has what was refused tried again.
        let mut client = Client::http1(gateway.listener("clear"));
        let swaps = ['C', 'D', 'E'];
        for build in swaps {
            let name = format!("test-guest-build-{build}");
            put(&plugins, "test-guest.wasm", &replaced(built("test-guest"), b"test-guest-build-A", name.as_bytes()));
            eventually(&name, || (self::build(&mut client) == name).then_some(()));
        }
        drop(end);
        (swaps.len(), counting.join().expect("it counts"))
    });
    assert!(seen.len() <= 2 + swaps, "{} compilations", seen.len());
}
