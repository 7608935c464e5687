//! Plugins that have to be signed or pinned: what is refused, when, and what serves on meanwhile.

use std::path::{Path, PathBuf};
use std::process::Command;

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::guests::{built, other_build, put};
use gateway_tests::process::binary;

const A: &str = "test-guest-build-A";
const B: &str = "test-guest-build-B";

/// Runs `gateway plugin …`; what it printed.
fn gateway_plugin(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(binary("gateway")).arg("plugin").args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Keys of somebody who signs plugins.
struct Keys {
    directory: tempfile::TempDir,
    public: String,
}

impl Keys {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = directory.path().join("a.key").display().to_string();
        gateway_plugin(&["keygen", "-W", "-s", &secret]).unwrap_or_else(|error| panic!("{error}"));
        let file = std::fs::read_to_string(directory.path().join("a.pub")).expect("a public key");
        let public = file.lines().nth(1).expect("two lines").to_owned();
        Self { directory, public }
    }

    /// The signature of a file's content.
    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let file = self.directory.path().join("test-guest.wasm");
        std::fs::write(&file, bytes).expect("written");
        let (key, name) = (self.directory.path().join("a.key").display().to_string(), file.display().to_string());
        gateway_plugin(&["sign", "-s", &key, "-t", "built on Monday", &name]).unwrap_or_else(|error| panic!("{error}"));
        std::fs::read(file.with_extension("wasm.minisig")).expect("a signature")
    }

    fn id(&self) -> String {
        let file = std::fs::read_to_string(self.directory.path().join("a.pub")).expect("a public key");
        file.lines().next().and_then(|line| line.rsplit(' ').next()).expect("a number").to_owned()
    }
}

fn yaml(trust: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins, {trust}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-guest}}], respond: {{status: 200}}}}]
"
    )
}

fn trusting(keys: &[&Keys]) -> String {
    let keys: Vec<&str> = keys.iter().map(|keys| keys.public.as_str()).collect();
    yaml(&format!("trusted_keys: [{}]", keys.join(", ")))
}

/// Starts with this file and this signature.
fn start(yaml: &str, file: &[u8], signature: Option<&[u8]>) -> Result<TestGateway, String> {
    TestGateway::prepare(yaml, |directory| place(&directory.join("plugins"), file, signature))
}

fn place(plugins: &Path, file: &[u8], signature: Option<&[u8]>) {
    if let Some(signature) = signature {
        put(plugins, "test-guest.wasm.minisig", signature);
    }
    put(plugins, "test-guest.wasm", file);
}

fn plugins(gateway: &TestGateway) -> PathBuf {
    gateway.directory().join("plugins")
}

fn serves(gateway: &TestGateway, build: &str) {
    let mut client = Client::http1(gateway.address());
    eventually(build, || (client.get("/").header("x-build") == build).then_some(()));
}

/// Waits until `/plugins` says this of the file.
fn refused(gateway: &TestGateway, why: &str) {
    eventually(why, || {
        let (_, text) = gateway.admin_page("/plugins");
        if text.contains(why) { Ok(()) } else { Err(text) }
    });
}

#[test]
fn a_file_that_no_trusted_key_signed_is_refused_at_the_start_before_anything_looks_into_it() {
    let (keys, others) = (Keys::new(), Keys::new());
    let yaml = trusting(&[&keys]);
    let told = |file: &[u8], signature: Option<&[u8]>| start(&yaml, file, signature).err().expect("refused");
    // Whatever parses it would say that this is no wasm binary.
    let garbage = b"not wasm at all, and long enough to tell";
    for (signature, why) in [
        (None, "is not signed"),
        (Some(others.sign(garbage)), "which plugins.trusted_keys does not have"),
        (Some(keys.sign(b"something else")), "is not what the key"),
        (Some(b"not a signature".to_vec()), "is no signature as minisign makes them"),
    ] {
        let error = told(garbage, signature.as_deref());
        assert!(error.contains(why) && !error.contains("wasm binary"), "{error}");
    }
    assert!(told(garbage, Some(&keys.sign(garbage))).contains("not a wasm binary"), "it may be looked at now");
    let (good, signature) = (built("test-guest"), keys.sign(&built("test-guest")));
    assert!(told(&other_build(), Some(&signature)).contains("is not what the key"));
    start(&yaml, &good, Some(&signature)).unwrap_or_else(|error| panic!("{error}"));
    start(&trusting(&[&others, &keys]), &good, Some(&signature)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_file_that_is_not_signed_leaves_the_version_serving_until_its_signature_comes() {
    let (keys, others) = (Keys::new(), Keys::new());
    let (good, signature) = (built("test-guest"), keys.sign(&built("test-guest")));
    let gateway = start(&trusting(&[&keys]), &good, Some(&signature)).unwrap_or_else(|error| panic!("{error}"));
    serves(&gateway, A);
    let signed_by = || {
        let plugins: serde_json::Value = serde_json::from_str(&gateway.admin_page("/plugins").1).expect("JSON");
        plugins[0]["signed_by"].clone()
    };
    assert_eq!(signed_by(), serde_json::json!({"key": keys.id(), "comment": "built on Monday"}));
    let plugins = plugins(&gateway);

    // Its signature is that of the file before, which is what one sees who swaps the two one after the other.
    place(&plugins, &other_build(), None);
    refused(&gateway, "is not what the key");
    serves(&gateway, A);
    place(&plugins, &other_build(), Some(&others.sign(&other_build())));
    refused(&gateway, "which plugins.trusted_keys does not have");
    std::fs::remove_file(plugins.join("test-guest.wasm.minisig")).expect("removed");
    refused(&gateway, "is not signed");
    serves(&gateway, A);
    // The signature alone: nothing happens to the file itself.
    put(&plugins, "test-guest.wasm.minisig", &keys.sign(&other_build()));
    serves(&gateway, B);
}

#[test]
fn a_pinned_plugin_is_that_file_and_no_other_at_the_start_and_at_a_swap() {
    let pin = |bytes: &[u8]| {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("test-guest.wasm");
        std::fs::write(&file, bytes).expect("written");
        let shown = gateway_plugin(&["check", &file.display().to_string()]).unwrap_or_else(|error| panic!("{error}"));
        let hash = shown.lines().find_map(|line| line.strip_prefix("sha256 ")).expect("its hash").trim().to_owned();
        format!("pins: {{test-guest: \"sha256:{hash}\"}}")
    };
    let (good, other) = (built("test-guest"), other_build());
    let error = start(&yaml(&pin(&good)), &other, None).err().expect("refused");
    assert!(error.contains("another file than the one that is pinned"), "{error}");
    let gateway = start(&yaml(&pin(&good)), &good, None).unwrap_or_else(|error| panic!("{error}"));
    serves(&gateway, A);
    place(&plugins(&gateway), &other, None);
    refused(&gateway, "another file than the one that is pinned");
    serves(&gateway, A);
    // The new pin and its file belong together.
    gateway.reload(&yaml(&pin(&other))).unwrap_or_else(|error| panic!("{error}"));
    serves(&gateway, B);
    // Nor does what serves stand in for a file that a new pin refuses.
    let error = gateway.reload(&yaml(&pin(&good))).expect_err("refused");
    assert!(error.contains("another file than the one that is pinned"), "{error}");
}

#[test]
fn what_serves_does_not_stand_in_for_a_file_that_a_new_configuration_no_longer_trusts() {
    let (keys, others) = (Keys::new(), Keys::new());
    let good = built("test-guest");
    // Loaded while nothing had to be signed.
    let gateway = start(&yaml(""), &good, None).unwrap_or_else(|error| panic!("{error}"));
    let error = gateway.reload(&trusting(&[&keys])).expect_err("refused");
    assert!(error.contains("is not signed") && error.contains("was not signed when it was loaded"), "{error}");
    serves(&gateway, A);
    place(&plugins(&gateway), &good, Some(&keys.sign(&good)));
    gateway.reload(&trusting(&[&keys])).unwrap_or_else(|error| panic!("{error}"));
    // The key is taken out of the configuration.
    let error = gateway.reload(&trusting(&[&others])).expect_err("refused");
    assert!(error.contains("which plugins.trusted_keys does not have"), "{error}");
    put(&plugins(&gateway), "test-guest.wasm.minisig", &others.sign(&good));
    gateway.reload(&trusting(&[&others])).unwrap_or_else(|error| panic!("{error}"));
    serves(&gateway, A);
}

#[test]
fn compiled_code_in_the_cache_is_no_way_round_a_signature() {
    let (keys, cache) = (Keys::new(), tempfile::tempdir().expect("a directory"));
    let with = |yaml: &str| {
        format!(
            "{}\n",
            yaml.replace("directory: plugins", &format!("directory: plugins, cache: {}", cache.path().display()))
        )
    };
    let good = built("test-guest");
    start(&with(&yaml("")), &good, None).unwrap_or_else(|error| panic!("{error}"));
    assert!(std::fs::read_dir(cache.path().join("gateway-plugins")).expect("a cache").count() > 0);
    let error = start(&with(&trusting(&[&keys])), &good, None).err().expect("refused");
    assert!(error.contains("is not signed"), "{error}");
    start(&with(&trusting(&[&keys])), &good, Some(&keys.sign(&good))).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_check_tells_who_signed_and_a_key_is_made_once() {
    let keys = Keys::new();
    let good = built("test-guest");
    let gateway = start(&trusting(&[&keys]), &good, Some(&keys.sign(&good))).unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(binary("gateway"))
        .args(["check", "-c"])
        .arg(gateway.directory().join("gateway.yaml"))
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("signed by {} (built on Monday)", keys.id())), "{text}");
    let secret = keys.directory.path().join("a.key").display().to_string();
    let error = gateway_plugin(&["keygen", "-W", "-s", &secret]).expect_err("it is there");
    assert!(error.contains("already there"), "{error}");
    let error = gateway_plugin(&["sign", "-s", "nowhere.key", &secret]).expect_err("no key");
    assert!(error.contains("gateway plugin keygen"), "{error}");
}

#[test]
fn minisign_itself_takes_what_the_gateway_signed_and_the_gateway_what_minisign_signed() {
    // Not everybody has the program, and nothing else depends on it.
    if Command::new("minisign").arg("-v").output().is_err() {
        return;
    }
    let minisign = |arguments: &[&str]| {
        let output = Command::new("minisign").args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    };
    let (keys, good) = (Keys::new(), built("test-guest"));
    keys.sign(&good);
    let path = |name: &str| keys.directory.path().join(name).display().to_string();
    minisign(&["-V", "-p", &path("a.pub"), "-m", &path("test-guest.wasm")]);
    for legacy in [&["-l"][..], &[]] {
        let (file, key) = (path("test-guest.wasm"), path("a.key"));
        minisign(&[&["-S", "-s", &key, "-m", &file][..], legacy].concat());
        let signature = std::fs::read(path("test-guest.wasm.minisig")).expect("a signature");
        start(&trusting(&[&keys]), &good, Some(&signature)).unwrap_or_else(|error| panic!("{error}"));
    }
}
