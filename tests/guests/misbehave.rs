//! What hostile guests do, whatever they are asked.

use plugin_sdk::kv;

/// Loops, traps, grows or calls without end; other verbs are the guest's own.
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
        _ => {}
    }
}
