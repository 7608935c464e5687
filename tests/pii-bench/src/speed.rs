//! How fast the detector reads, natively, in CPU time: synthetic texts of five kinds, in chunks as they come from a network.

use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use pii_redact::rules::Rules;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::adapter::redact;
use crate::values::one_of;

/// Bytes of each text.
const SIZE: usize = 8 * 1024 * 1024;
/// Bytes that come at once.
const CHUNK: usize = 64 * 1024;

/// How fast one kind of text was read.
pub(crate) struct Speed {
    /// The text.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// MB of input per second of CPU time, the median and the extremes.
    pub(crate) median: f64,
    /// The slowest run.
    pub(crate) least: f64,
    /// The fastest run.
    pub(crate) most: f64,
}

struct Corpus {
    name: &'static str,
    about: &'static str,
    content_type: &'static str,
    part: fn(&mut Rng) -> String,
}

const CORPORA: [Corpus; 5] = [
    Corpus {
        name: "clean JSON",
        about: "records of texts, two small numbers and a date each, no personal data",
        content_type: "application/json",
        part: clean,
    },
    Corpus {
        name: "dense JSON",
        about: "records of which every one holds an address, a phone number and a fødselsnummer",
        content_type: "application/json",
        part: dense,
    },
    Corpus {
        name: "digits",
        about: "an array of numbers of 6 to 13 digits",
        content_type: "application/json",
        part: |rng| (0..64).map(|_| rng.u64(100_000..9_999_999_999_999).to_string()).collect::<Vec<_>>().join(","),
    },
    Corpus {
        name: "log lines",
        about: "lines with a time, a level, a path, a status and a duration",
        content_type: "text/plain",
        part: log,
    },
    Corpus { name: "prose", about: "sentences without digits", content_type: "text/plain", part: prose },
];

const WORDS: [&str; 24] = [
    "vi",
    "har",
    "mottatt",
    "søknaden",
    "og",
    "den",
    "blir",
    "behandlet",
    "så",
    "snart",
    "alle",
    "vedlegg",
    "er",
    "på",
    "plass",
    "the",
    "meeting",
    "was",
    "moved",
    "to",
    "another",
    "room",
    "because",
    "of",
];

fn words(rng: &mut Rng, count: usize) -> String {
    (0..count).map(|_| one_of(rng, &WORDS)).collect::<Vec<_>>().join(" ")
}

fn prose(rng: &mut Rng) -> String {
    let count = rng.usize(6..20);
    words(rng, count) + ".\n"
}

fn clean(rng: &mut Rng) -> String {
    let (title, text) = (words(rng, 4), words(rng, 18));
    json!({
        "id": rng.u32(1..10_000), "title": title, "description": text, "status": "open", "active": rng.bool(),
        "tags": [words(rng, 1), words(rng, 1)], "count": rng.u32(0..100), "created": "2026-03-04T05:06:07Z",
    })
    .to_string()
}

fn dense(rng: &mut Rng) -> String {
    let name = words(rng, 2);
    let mail = format!("kari.{}@example.no", rng.u32(0..1000));
    let phone = format!("+47{}", rng.u32(90_000_000..99_999_999));
    json!({"name": name, "email": mail, "phone": phone, "fnr": "30108299920", "city": words(rng, 1)}).to_string()
}

fn log(rng: &mut Rng) -> String {
    let (hour, minute, second) = (rng.u32(0..24), rng.u32(0..60), rng.u32(0..60));
    let level = one_of(rng, &["INFO", "WARN", "DEBUG"]);
    let (path, id) = (words(rng, 2).replace(' ', "/"), rng.u64(..));
    format!(
        "2026-03-04T{hour:02}:{minute:02}:{second:02}.{:03}Z {level} no.example.Service GET /{path} status={} ms={} request={id:016x}\n",
        rng.u32(0..1000),
        one_of(rng, &["200", "204", "404"]),
        rng.u32(1..999),
    )
}

impl Corpus {
    /// A text of at least this size.
    fn text(&self, seed: u64, size: usize) -> String {
        let mut rng = Rng::with_seed(seed);
        let is_json = self.content_type == "application/json";
        let mut text = String::from(if is_json { "[" } else { "" });
        while text.len() < size {
            if is_json && text.len() > 1 {
                text.push(',');
            }
            text.push_str(&(self.part)(&mut rng));
        }
        text + if is_json { "]" } else { "" }
    }
}

/// Writes each text with 1 MiB, and the first with 3 KB as well, for measurements of a whole gateway: below `json` or `text`.
pub(crate) fn write(seed: u64, directory: &Path) -> std::io::Result<()> {
    for corpus in &CORPORA {
        let folder = directory.join(if corpus.content_type == "application/json" { "json" } else { "text" });
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(corpus.name.replace(' ', "-")), corpus.text(seed, 1 << 20))?;
    }
    std::fs::write(directory.join("json/answer"), CORPORA[0].text(seed, 3_000))
}

/// Reads every text so many times.
pub(crate) fn measure(rules: &Rules, seed: u64, runs: usize) -> Vec<Speed> {
    let speed = |corpus: &Corpus| {
        let text = corpus.text(seed, SIZE);
        let chunks: Vec<&[u8]> = text.as_bytes().chunks(CHUNK).collect();
        let mut speeds: Vec<f64> = (0..runs)
            .map(|_| {
                let before = cpu_time();
                let output = redact(rules, corpus.content_type, &chunks);
                let taken = (cpu_time() - before).as_secs_f64();
                std::hint::black_box(output);
                text.len() as f64 / 1e6 / taken.max(1e-9)
            })
            .collect();
        speeds.sort_by(f64::total_cmp);
        Speed {
            name: corpus.name,
            about: corpus.about,
            median: speeds[speeds.len() / 2],
            least: speeds[0],
            most: speeds[speeds.len() - 1],
        }
    };
    CORPORA.iter().map(speed).collect()
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_as_json_is_json() {
        for corpus in CORPORA.iter().filter(|corpus| corpus.content_type == "application/json") {
            assert!(serde_json::from_str::<serde_json::Value>(&corpus.text(1, 10_000)).is_ok(), "{}", corpus.name);
        }
    }
}
