//! What the registry makes of plugin files and configurations that change together.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use gateway::config;
use gateway::model::{Config, PluginLimits};
use gateway::plugin::{Host, HostOptions, Judgement, Pool, Registry, WorkerHost};
use gateway::telemetry::metrics::Metrics;
use gateway_tests::eventually;
use gateway_tests::gateway::compiler;
use gateway_tests::guests::{built, other_build, put, replaced};
use tempfile::TempDir;

/// A configuration with one entry of `test-guest` in each of three routes.
fn with_config(directory: &Path, entry: &str) -> Config {
    let routes = ["a", "b", "c"].map(|name| {
        format!("{{name: {name}, plugins: [{{name: test-guest, config: {entry}}}], respond: {{status: 200}}}}")
    });
    let text = format!(
        "listeners: [{{name: a, address: '127.0.0.1:0'}}]\nplugins: {{directory: plugins}}\nroutes: [{}]",
        routes.join(", ")
    );
    let file = directory.join("gateway.yaml");
    config::parse(&text, &file, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A version of `test-guest` that needs `limits`, which the others refuse as unknown.
fn needs_limits() -> Vec<u8> {
    replaced(built("rate-limit"), b"rate-limit", b"test-guest")
}

const PLAIN: &str = "{}";
const LIMITS: &str = "{limits: [{requests: 5, per: 1s}]}";

fn registry(instances: u32) -> (TempDir, Registry) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("plugins")).expect("the plugin directory");
    install(&directory, &built("test-guest"));
    let host = Host::new(HostOptions {
        compiler: Some(compiler()),
        instances_per_worker: instances,
        ..HostOptions::default()
    });
    let mut registry = Registry::new(host);
    serve(&mut registry, &with_config(directory.path(), PLAIN));
    (directory, registry)
}

fn install(directory: &TempDir, bytes: &[u8]) {
    put(&directory.path().join("plugins"), "test-guest.wasm", bytes);
}

fn serve(registry: &mut Registry, config: &Config) {
    let Judgement { findings, verdict, .. } = registry.judge(config);
    registry.learn(findings);
    let accepted = verdict.unwrap_or_else(|problems| panic!("{problems:?}"));
    registry.commit(accepted);
}

/// The messages of a configuration that must be refused.
fn refused(registry: &mut Registry, config: &Config) -> Vec<String> {
    let Judgement { findings, verdict, .. } = registry.judge(config);
    registry.learn(findings);
    verdict.err().expect("refused").iter().map(ToString::to_string).collect()
}

fn hash(registry: &Registry) -> String {
    registry.in_force().next().expect("a plugin serves").hash.to_owned()
}

fn state(registry: &Registry) -> String {
    registry.describe()[0]["state"].as_str().expect("a state").to_owned()
}

fn status(directory: &TempDir) -> serde_json::Value {
    let text = std::fs::read(directory.path().join("plugins/test-guest.status.json")).expect("a status file");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn a_plugin_that_comes_before_the_configuration_that_it_needs_serves_with_it() {
    let (directory, mut registry) = registry(20);
    let before = hash(&registry);
    install(&directory, &needs_limits());
    let plain = with_config(directory.path(), PLAIN);
    for _ in 0..2 {
        serve(&mut registry, &plain);
        assert_eq!((hash(&registry), state(&registry).as_str()), (before.clone(), "rejected"));
        assert!(status(&directory)["error"].as_str().is_some_and(|error| error.contains("limits")));
    }
    serve(&mut registry, &with_config(directory.path(), LIMITS));
    assert_ne!(hash(&registry), before);
    assert_eq!(state(&registry), "serving");
    assert!(status(&directory)["error"].is_null());
}

#[test]
fn a_configuration_that_comes_before_the_plugin_that_it_needs_is_refused_without_a_trace() {
    let (directory, mut registry) = registry(20);
    let limits = with_config(directory.path(), LIMITS);
    let (told, shown) = (status(&directory), registry.describe());
    let problems = refused(&mut registry, &limits);
    assert!(problems.iter().any(|problem| problem.contains("limits")), "{problems:?}");
    assert_eq!((status(&directory), registry.describe()), (told, shown));
    install(&directory, &needs_limits());
    serve(&mut registry, &limits);
    assert_eq!(state(&registry), "serving");
}

#[test]
fn a_build_of_the_same_length_and_time_written_in_place_is_taken() {
    let (directory, mut registry) = registry(20);
    let before = hash(&registry);
    let path = directory.path().join("plugins/test-guest.wasm");
    let modified = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("its time");
    std::fs::write(&path, other_build()).expect("written in place");
    let file = std::fs::File::options().write(true).open(&path).expect("opened");
    file.set_modified(modified).expect("its time is put back");
    serve(&mut registry, &with_config(directory.path(), PLAIN));
    assert_ne!(hash(&registry), before);
}

#[test]
fn entries_that_did_not_change_are_the_same_and_keep_their_instances() {
    let (directory, mut registry) = registry(20);
    let config = with_config(directory.path(), "{id: x, configure: fine}");
    serve(&mut registry, &config);
    let judge = |config: &Config| registry.judge(config).verdict.expect("it works").plugins;
    let before = judge(&config);
    assert!(judge(&with_config(directory.path(), "{configure: fine, id: x}")).is_same(&before));
    assert!(!judge(&with_config(directory.path(), "{id: y, configure: fine}")).is_same(&before));
}

#[test]
fn a_configure_that_never_ends_costs_one_dry_run_and_not_one_per_route() {
    let (directory, mut registry) = registry(20);
    let started = std::time::Instant::now();
    let problems = refused(&mut registry, &with_config(directory.path(), "{configure: loop}"));
    let first = started.elapsed();
    assert_eq!(problems.len(), 1, "{problems:?}");
    // The next judgement, of whatever else has changed, does not pay for it again.
    let started = std::time::Instant::now();
    assert_eq!(refused(&mut registry, &with_config(directory.path(), "{configure: loop}")), problems);
    let again = started.elapsed();
    assert!(again < first / 2, "{first:?}, then {again:?}");
    // The bound is not the one that the configuration sets for calls.
    assert!(problems[0].contains("2000 ms of CPU time"), "{problems:?}");
    assert!(!problems[0].contains("plugins.limits"), "{problems:?}");
}

#[test]
fn a_file_that_could_not_be_asked_within_its_limits_is_asked_again_when_they_are_raised() {
    let (directory, mut registry) = registry(20);
    let before = hash(&registry);
    install(&directory, &other_build());
    let plain = with_config(directory.path(), PLAIN);
    let mut tight = plain.clone();
    tight.plugins.limits.insert("test-guest".into(), PluginLimits { memory: 64 << 10, ..PluginLimits::default() });
    for _ in 0..2 {
        let problems = refused(&mut registry, &tight);
        assert!(problems[0].contains("memory"), "{problems:?}");
    }
    serve(&mut registry, &plain);
    assert_ne!(hash(&registry), before);
}

#[test]
fn a_new_directory_must_hold_what_the_routes_need() {
    let (directory, mut registry) = registry(20);
    let mut config = with_config(directory.path(), PLAIN);
    config.plugins.directory = Some(directory.path().join("empty"));
    let problems = refused(&mut registry, &config);
    assert!(problems[0].contains("does not exist"), "{problems:?}");
    std::fs::rename(directory.path().join("plugins"), directory.path().join("empty")).expect("renamed");
    let before = hash(&registry);
    serve(&mut registry, &config);
    assert_eq!(hash(&registry), before);
}

#[test]
fn a_file_that_found_no_room_to_be_tried_in_is_tried_again() {
    let (directory, mut registry) = registry(1);
    let plain = with_config(directory.path(), PLAIN);
    let entry = registry.judge(&plain).verdict.expect("it serves").plugins.entries[0][0].clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime");
    let (calls, _calls) = tokio::sync::mpsc::unbounded_channel();
    let pool = Pool::new(entry, WorkerHost::new(calls, 1000, Metrics::new(&Default::default()).worker()));
    // Until the engine has no more, its reserve for such trials included.
    let mut instances = Vec::new();
    runtime.block_on(async {
        while let Ok(instance) = pool.checkout().await {
            instances.push(instance);
        }
    });
    assert!(!instances.is_empty());

    let before = hash(&registry);
    install(&directory, &other_build());
    serve(&mut registry, &plain);
    assert_eq!((hash(&registry), registry.should_try_again()), (before.clone(), true));
    // An entry that needs an instance of its own has none to fall back to: refused, and to be tried again all the same.
    install(&directory, &built("test-guest"));
    serve(&mut registry, &plain);
    assert!(!registry.should_try_again());
    refused(&mut registry, &with_config(directory.path(), "{id: other}"));
    assert!(registry.should_try_again());
    install(&directory, &other_build());
    drop(instances);
    pool.retire();
    assert_eq!(Rc::strong_count(&pool), 1);
    serve(&mut registry, &plain);
    assert_ne!(hash(&registry), before);
    assert!(!registry.should_try_again());
    assert_eq!(Arc::strong_count(pool.entry()), 1, "the old version is held by nobody else");
}

#[test]
fn what_is_wrong_with_the_machine_is_not_held_against_the_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("plugins")).expect("the plugin directory");
    install(&directory, &built("test-guest"));
    let program = directory.path().join("gateway");
    let compiler = gateway::plugin::compiler_at(&program);
    let mut registry = Registry::new(Host::new(HostOptions { compiler: Some(compiler), ..HostOptions::default() }));
    let plain = with_config(directory.path(), PLAIN);
    let problems = refused(&mut registry, &plain);
    assert!(problems[0].contains("cannot start the process that compiles plugins"), "{problems:?}");
    assert!(registry.should_try_again());
    std::os::unix::fs::symlink(gateway_tests::process::binary("gateway"), program).expect("a link");
    eventually("it is tried again", || {
        let Judgement { findings, verdict, .. } = registry.judge(&plain);
        registry.learn(findings);
        verdict.map_err(|problems| format!("{problems:?}"))
    });
}

#[test]
fn a_cache_that_cant_be_used_costs_the_cache_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("plugins")).expect("the plugin directory");
    install(&directory, &built("test-guest"));
    let cache = directory.path().join("cache");
    std::fs::write(&cache, "a file where a directory should be").expect("written");
    let options = HostOptions { compiler: Some(compiler()), cache: Some(cache), ..HostOptions::default() };
    serve(&mut Registry::new(Host::new(options)), &with_config(directory.path(), PLAIN));
}

#[test]
fn entries_of_one_plugin_in_one_route_are_told_apart_by_their_order() {
    let (directory, mut registry) = registry(20);
    let twice = |first: &str, second: &str| {
        let mut config = with_config(directory.path(), first);
        let mut other = with_config(directory.path(), second);
        let more = Arc::make_mut(&mut other.routes[0]).plugins.remove(0);
        Arc::make_mut(&mut config.routes[0]).plugins.push(more);
        config
    };
    serve(&mut registry, &twice("{id: x}", "{id: y}"));
    let judge = |config: &Config| registry.judge(config).verdict.expect("it works").plugins.entries;
    let before = judge(&twice("{id: x}", "{id: y}"));
    let changed = judge(&twice("{id: x}", "{id: z}"));
    assert!(Arc::ptr_eq(&before[0][0], &changed[0][0]) && !Arc::ptr_eq(&before[0][1], &changed[0][1]));
    let swapped = judge(&twice("{id: y}", "{id: x}"));
    assert!(before[0].iter().zip(&swapped[0]).all(|(one, other)| !Arc::ptr_eq(one, other)));
}

#[test]
fn nothing_of_what_a_link_leads_to_is_shown_where_that_is_no_plugin() {
    let (directory, mut registry) = registry(20);
    let secret = directory.path().join("shadow");
    std::fs::write(&secret, "root:$6$hunter2:19000::").expect("written");
    let link = directory.path().join("plugins/test-guest.wasm");
    std::fs::remove_file(&link).expect("removed");
    std::os::unix::fs::symlink(&secret, &link).expect("linked");
    serve(&mut registry, &with_config(directory.path(), PLAIN));
    let told = [status(&directory).to_string(), registry.describe().to_string()];
    for told in &told {
        assert!(told.contains("rejected") && told.contains("not a wasm binary"), "{told}");
        assert!(!told.contains("root") && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_status_file_goes_with_the_gateway_and_with_the_plugin() {
    let (directory, mut registry) = registry(20);
    let file = directory.path().join("plugins/test-guest.status.json");
    assert_eq!(status(&directory)["pid"], std::process::id());
    let mut without = with_config(directory.path(), PLAIN);
    for route in &mut without.routes {
        Arc::make_mut(route).plugins.clear();
    }
    serve(&mut registry, &without);
    assert!(!file.exists(), "no route names it any more");
    serve(&mut registry, &with_config(directory.path(), PLAIN));
    assert!(file.exists());
    registry.remove_status_files(|_| true);
    assert!(!file.exists(), "the gateway stopped");
}
