//! What hostile guests do, whatever they are asked.

use plugin_sdk::__private::bindings::edge::gateway::http;
use plugin_sdk::kv;

/// Loops, traps, grows, calls without end, makes up a handle, or works for a while; other verbs are the guest's own.
#[expect(clippy::infinite_loop, reason = "that is what it is for")]
pub(crate) fn misbehave(verb: &str) {
    match verb {
        "loop" => loop {
            std::hint::black_box(());
        },
        "panic" => panic!("told to"),
        "grow" => {
            let mut kept = Vec::new();
            loop {
                kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "calls" => loop {
            std::hint::black_box(kv::get("x"));
        },
        // No handle that this call was given.
        "forge" => drop(http::get(u32::MAX, http::Part::Request, "x")),
        // So many thousand turns of work.
        verb => {
            let thousands = verb.strip_prefix("work-").and_then(|turns| turns.parse().ok()).unwrap_or(0_u64);
            (0..thousands * 1000).for_each(|turn| {
                std::hint::black_box(turn);
            });
        }
    }
}
