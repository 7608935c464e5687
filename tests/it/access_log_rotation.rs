//! An access log whose file is moved, removed, cut or full while it is written.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::load::Spawned;

const ROUTE: &str = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}]
routes: [{name: all, respond: {status: 200, body: hello}}]
";

/// The paths of all records of these logs; each line is whole.
fn paths(directory: &Path, prefix: &str) -> Vec<String> {
    let names = std::fs::read_dir(directory)
        .expect("the directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let texts = names
        .filter(|name| name.starts_with(prefix))
        .map(|name| std::fs::read_to_string(directory.join(name)).expect("a log"));
    let of = |text: String| {
        let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line"));
        records.map(|record| record["path"].as_str().expect("a path").to_owned()).collect::<Vec<_>>()
    };
    texts.flat_map(of).collect()
}

/// Sends requests from two clients until `meanwhile` is done, and returns the paths of those that were answered.
fn under_load(gateway: &Spawned, meanwhile: impl FnOnce()) -> BTreeSet<String> {
    let (stop, address) = (AtomicBool::new(false), gateway.listener("clear"));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|client| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut connection = Client::http1(address);
                    let next = |number: u32| {
                        let path = format!("/{client}/{number}");
                        assert_eq!(connection.get(&path).status, 200);
                        path
                    };
                    (0..).take_while(|number| *number < 50 || !stop.load(Relaxed)).map(next).collect::<Vec<_>>()
                })
            })
            .collect();
        meanwhile();
        stop.store(true, Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    })
}

#[test]
fn sighup_under_load_loses_no_line_and_tears_none() {
    let mut gateway = Spawned::start(ROUTE, |_| {});
    let log = gateway.directory().join("access.log");
    let sent = under_load(&gateway, || {
        for number in 1..=10 {
            eventually("records in the new file", || {
                std::fs::metadata(&log).is_ok_and(|log| log.len() > 0).then_some(())
            });
            std::fs::rename(&log, gateway.directory().join(format!("access.log.{number}"))).expect("moved");
            gateway.process.signal("HUP");
            eventually("a new file", || log.exists().then_some(()));
        }
    });
    gateway.process.signal("TERM");
    assert_eq!(gateway.process.wait().code(), Some(0));
    let logged = paths(gateway.directory(), "access.log");
    assert_eq!(logged.len(), sent.len(), "each once");
    assert_eq!(logged.into_iter().collect::<BTreeSet<_>>(), sent);
}

#[test]
fn a_file_that_was_removed_is_made_again_without_a_signal() {
    let gateway = Spawned::start(ROUTE, |_| {});
    let log = gateway.directory().join("access.log");
    std::fs::remove_file(&log).expect("removed");
    let mut client = Client::http1(gateway.listener("clear"));
    eventually("a new file with whole lines", || {
        client.get("/again");
        (log.exists() && !paths(gateway.directory(), "access.log").is_empty()).then_some(())
    });
}

#[test]
fn a_full_disk_is_told_counted_and_over_when_there_is_room() {
    let full = |directory: &Path| {
        std::os::unix::fs::symlink("/dev/full", directory.join("access.log")).expect("a link");
    };
    let gateway = Spawned::start(ROUTE, full);
    let log = gateway.directory().join("access.log");
    let mut client = Client::http1(gateway.listener("clear"));
    client.get("/lost");
    let told = gateway.process.wait_for("the access log can't be written");
    assert!(told.contains("No space left"), "{told}");
    let page = Client::http1(gateway.admin()).get("/metrics").text();
    assert!(page.contains("gateway_access_log_dropped_total 1\n"), "{page}");
    std::fs::remove_file(&log).expect("removed");
    gateway.process.signal("HUP");
    eventually("a new file", || log.exists().then_some(()));
    client.get("/kept");
    gateway.process.wait_for("the access log is written again");
    assert_eq!(paths(gateway.directory(), "access.log"), ["/kept"]);
}
