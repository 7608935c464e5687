//! What the process uses, under the names that Prometheus clients agree on.

use std::fs;
use std::time::UNIX_EPOCH;

use rustix::process::{Pid, Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::page::{Families, Kind};

pub(super) fn render(out: &mut Families, started: std::time::SystemTime) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    out.begin("process_cpu_seconds_total", Kind::Counter, "CPU time used.");
    out.sample(&[], cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    out.begin("process_start_time_seconds", Kind::Gauge, "When the process started, since 1970.");
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    out.sample(&[], started.as_secs_f64());
    if let Some(bytes) = resident_memory() {
        out.begin("process_resident_memory_bytes", Kind::Gauge, "Memory in RAM.");
        out.sample(&[], bytes);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        out.begin("process_open_fds", Kind::Gauge, "Open file descriptors.");
        // The one that reads the directory does not count.
        out.sample(&[], descriptors.count().saturating_sub(1));
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        out.begin("process_max_fds", Kind::Gauge, "The limit of open file descriptors.");
        out.sample(&[], limit);
    }
}

/// CPU time of a thread of this process, from `/proc` (proc_pid_schedstat(5)); `None` where it has ended, and on other systems.
pub(super) fn cpu_seconds(thread: Pid) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero())).ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 / 1e9)
}

/// From `/proc`; `None` on other systems.
fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
