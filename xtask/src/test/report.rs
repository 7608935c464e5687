//! What `cargo test` prints, made short: a line for each set of tests, and all of it where one fails.

use std::io::Write;
use std::time::{Duration, Instant};

/// How often a long set of tests says how far it is.
const PROGRESS: Duration = Duration::from_secs(20);

/// Counts of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl Total {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The tests of one binary, or the doc tests of one crate.
struct Set {
    name: String,
    lines: Vec<String>,
    total: Total,
    /// Of its summaries: doc tests have several.
    results: usize,
    announced: usize,
    done: usize,
    /// Tests that its last list of failures names.
    failures: Vec<String>,
    in_failures: bool,
}

/// Takes lines, and writes what is to be shown.
pub(super) struct Report<W> {
    out: W,
    set: Option<Set>,
    total: Total,
    /// With the set that each belongs to.
    failures: Vec<String>,
    spoke: Instant,
}

/// The set that begins with this line of cargo's, by name.
fn begins(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("doc tests of {name}"));
    }
    // `Running unittests src/lib.rs (target/debug/deps/gateway-0123456789abcdef)`
    let (source, file) = line.strip_prefix("Running ")?.strip_suffix(')')?.split_once(" (")?;
    let file = file.rsplit('/').next().unwrap_or(file);
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    Some(format!("{name} ({})", source.trim_start_matches("unittests ")))
}

/// The counts of `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn result(line: &str) -> Option<Total> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        let found = counts.split("; ").find_map(|part| part.strip_suffix(what));
        found.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    };
    Some(Total { passed: count(" passed"), failed: count(" failed"), skipped: count(" ignored") })
}

impl Set {
    fn new(name: String) -> Self {
        Self {
            name,
            lines: Vec::new(),
            total: Total::default(),
            results: 0,
            announced: 0,
            done: 0,
            failures: Vec::new(),
            in_failures: false,
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(counts) = result(line) {
            self.total.add(counts);
            self.results += 1;
            self.in_failures = false;
        } else if line == "failures:" {
            // The first list has what the tests printed, the last one their names.
            self.failures.clear();
            self.in_failures = true;
        } else if self.in_failures && line.starts_with("    ") {
            self.failures.push(line.trim().to_owned());
        } else if let Some(count) = line.strip_prefix("running ").and_then(|rest| rest.split(' ').next()?.parse().ok())
        {
            let count: usize = count;
            self.announced += count;
        } else if line.starts_with("test ") && line.contains(" ... ") {
            self.done += 1;
        }
        self.lines.push(line.to_owned());
    }
}

impl<W: Write> Report<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, set: None, total: Total::default(), failures: Vec::new(), spoke: Instant::now() }
    }

    /// Whether it can be written matters to nobody here.
    fn say(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        self.spoke = Instant::now();
    }

    pub(super) fn line(&mut self, line: &str) {
        if let Some(name) = begins(line) {
            self.end_set();
            self.set = Some(Set::new(name));
            return;
        }
        // What is compiled, and with which errors, is shown as it comes.
        let Some(set) = &mut self.set else { return self.say(line) };
        set.line(line);
        if self.spoke.elapsed() >= PROGRESS {
            let said = format!("{}: {} of {}", set.name, set.done, set.announced);
            self.say(&said);
        }
    }

    fn end_set(&mut self) {
        let Some(mut set) = self.set.take() else { return };
        let broke_off = set.results == 0;
        if broke_off {
            // The process ended in the middle: which test that was its output tells.
            set.total.failed += 1;
            set.failures = vec!["ended without a result".to_owned()];
        }
        if set.total.failed > 0 {
            let lines = set.lines.join("\n");
            self.say(&lines);
        }
        if set.total != Total::default() {
            let said = format!("{}: {}", set.name, set.total);
            self.say(&said);
        }
        self.total.add(set.total);
        self.failures.extend(set.failures.iter().map(|test| format!("{}: {test}", set.name)));
    }

    /// The end: what failed once more, and the total.
    pub(super) fn finish(mut self) -> Total {
        self.end_set();
        if !self.failures.is_empty() {
            let list = self.failures.iter().map(|test| format!("\n    {test}")).collect::<String>();
            self.say(&format!("\nfailed:{list}"));
        }
        let total = self.total;
        self.say(&format!("\n{total}"));
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> (String, Total) {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out);
        text.lines().for_each(|line| report.line(line));
        let total = report.finish();
        (String::from_utf8(out).unwrap(), total)
    }

    const GOOD: &str = "   Compiling gateway v0.1.0
    Finished `test` profile
     Running unittests src/lib.rs (target/debug/deps/gateway-0123456789abcdef)

running 3 tests
WARN a plugin failed
thread 'worker' panicked at src/lib.rs:1:1
test one ... ok
test two ... ok
test three ... ignored

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running it/main.rs (target/debug/deps/it-0123456789abcdef)

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 260 filtered out; finished in 0.00s

   Doc-tests plugin_sdk

running 1 test
test plugin-sdk/src/kv.rs - kv (line 3) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s


running 2 tests
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn what_tests_print_is_not_shown_where_they_pass_and_doc_tests_count() {
        let (said, total) = report(GOOD);
        assert_eq!(total, Total { passed: 5, failed: 0, skipped: 1 });
        assert_eq!(
            said,
            "   Compiling gateway v0.1.0
    Finished `test` profile
gateway (src/lib.rs): 2 passed, 0 failed, 1 skipped
doc tests of plugin_sdk: 3 passed, 0 failed, 0 skipped

5 passed, 0 failed, 1 skipped
"
        );
    }

    #[test]
    fn what_fails_is_shown_whole_and_named_again_at_the_end() {
        let (said, total) = report(&format!(
            "{GOOD}     Running unittests src/main.rs (target/debug/deps/xtask-0123456789abcdef)

running 2 tests
test good ... ok
test a::bad ... FAILED

failures:

---- a::bad stdout ----
    an indented line
thread 'a::bad' panicked

failures:
    a::bad

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

error: test failed, to rerun pass `-p xtask --bin xtask`
"
        ));
        assert_eq!(total, Total { passed: 6, failed: 1, skipped: 1 });
        assert!(said.contains("thread 'a::bad' panicked"), "{said}");
        assert!(!said.contains("WARN a plugin failed"), "{said}");
        assert!(
            said.ends_with("\nfailed:\n    xtask (src/main.rs): a::bad\n\n6 passed, 1 failed, 1 skipped\n"),
            "{said}"
        );
    }

    #[test]
    fn tests_whose_process_ends_in_the_middle_have_failed() {
        let (said, total) = report(
            "     Running it/main.rs (target/debug/deps/it-0123456789abcdef)

running 2 tests
test one ... ok
thread 'two' has overflowed its stack
",
        );
        assert_eq!(total, Total { passed: 0, failed: 1, skipped: 0 });
        assert!(said.contains("has overflowed its stack"), "{said}");
        assert!(
            said.ends_with("failed:\n    it (it/main.rs): ended without a result\n\n0 passed, 1 failed, 0 skipped\n")
        );
    }
}
