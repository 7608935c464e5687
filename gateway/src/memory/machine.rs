//! How much memory this process may use: what its control groups allow, or what the machine has.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Bytes, the least of all limits; `None` where nothing says how much.
pub(super) fn memory() -> Option<u64> {
    least(Path::new("/"))
}

/// The same of the files below `root`.
fn least(root: &Path) -> Option<u64> {
    let groups = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| group_limits(root, line)).flatten();
    limits.chain(total(root)).min()
}

/// The limits of one line of `/proc/self/cgroup`, `ID:CONTROLLERS:PATH`, up to the root of its tree. A container sees its
/// own group as that root, whatever the path says.
fn group_limits(root: &Path, line: &str) -> Vec<Option<u64>> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (tree, file) = match controllers {
        // Version 2 has one tree, and no names of controllers.
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let groups: Vec<PathBuf> =
        Path::new(path.trim_start_matches('/')).ancestors().map(|group| root.join(tree).join(group)).collect();
    groups.iter().map(|group| number(&read_to_string(group.join(file)).ok()?)).collect()
}

/// `max` is no limit. Version 1 says a number beyond all memory instead.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `MemTotal` of `/proc/meminfo`, which is in KiB.
fn total(root: &Path) -> Option<u64> {
    let text = read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    number(line.trim().strip_suffix("kB")?).map(|kibibytes| kibibytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        least(root.path())
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        8000000 kB\nMemFree:  1 kB\n");

    #[test]
    fn without_groups_it_is_the_machines() {
        assert_eq!(machine(&[]), None);
        assert_eq!(machine(&[MEMINFO]), Some(8_192_000_000));
    }

    #[test]
    fn the_least_limit_up_the_tree_counts() {
        let group = ("proc/self/cgroup", "0::/a.slice/b.service\n");
        let own = ("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
        let parent = ("sys/fs/cgroup/a.slice/memory.max", "1000000\n");
        assert_eq!(machine(&[MEMINFO, group, own]), Some(8_192_000_000));
        assert_eq!(machine(&[MEMINFO, group, own, parent]), Some(1_000_000));
    }

    #[test]
    fn a_container_sees_its_group_as_the_root() {
        let group = ("proc/self/cgroup", "0::/docker/4711\n");
        assert_eq!(machine(&[MEMINFO, group, ("sys/fs/cgroup/memory.max", "536870912\n")]), Some(512 << 20));
    }

    #[test]
    fn version_1_says_it_in_another_file() {
        let groups = ("proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/a\n");
        let beyond = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let own = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2000000\n");
        assert_eq!(machine(&[MEMINFO, groups, beyond]), Some(8_192_000_000));
        assert_eq!(machine(&[MEMINFO, groups, beyond, own]), Some(2_000_000));
    }
}
