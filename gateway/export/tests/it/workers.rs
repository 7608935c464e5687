//! Many threads that hand over at once.

use std::time::Duration;

use telemetry_export::{Protocol, QueueSettings};

use crate::made::{export, quick, span};
use crate::receiver::Receiver;

const WORKERS: usize = 4;
const EXCHANGES: usize = 500;

#[tokio::test]
async fn what_threads_hand_over_at_once_arrives_whole_and_adds_up() {
    for protocol in [Protocol::OtlpHttp, Protocol::OtlpGrpc] {
        let receiver = Receiver::start(protocol, &[]).await;
        // One has room for all of it, the other for some.
        for max_items in [WORKERS * EXCHANGES * 2, 200] {
            let queue = QueueSettings { max_items, batch_items: 100, ..quick() };
            let export = export(receiver.settings(), queue);
            let counters = export.counters().clone();
            let before = receiver.count();
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| {
                    let sink = export.sink();
                    std::thread::spawn(move || {
                        let pair = |number| vec![span(&format!("{worker} {number}")), span("child")];
                        (0..EXCHANGES).filter(|number| sink.send(pair(*number))).count()
                    })
                })
                .collect();
            let handed_over = tokio::task::spawn_blocking(|| {
                workers.into_iter().map(|worker| worker.join().expect("a worker")).sum::<usize>()
            });
            let taken = handed_over.await.expect("workers");
            export.finish(Duration::from_secs(10)).await;
            let sent = counters.sent();
            assert_eq!(sent, taken as u64 * 2, "all that was taken is sent");
            assert_eq!(sent + counters.dropped_in_all(), (WORKERS * EXCHANGES * 2) as u64);
            assert_eq!((counters.queued(), counters.queued_bytes()), (0, 0));
            let requests = receiver.requests(before).await;
            let names: Vec<String> = requests[before..].iter().flat_map(|one| one.message.spans()).collect();
            assert_eq!(names.len() as u64, sent);
            // What was handed over together comes together, and a worker's in its order.
            for worker in 0..WORKERS {
                let of_worker = names.iter().filter_map(|name| name.strip_prefix(&format!("{worker} ")));
                let numbers: Vec<usize> = of_worker.map(|number| number.parse().expect("a number")).collect();
                assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
            }
            assert!(names.chunks(2).all(|pair| pair[0] != "child" && pair[1] == "child"));
        }
    }
}
