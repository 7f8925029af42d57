//! How much memory, how many descriptors and how many processors there are to use.
//!
//! Asked before anything is allocated: a memory cgroup answers an allocation that is too large by killing
//! the process, not by an error.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::sys::resource::{Resource, getrlimit};

use crate::error::{Error, Result};

/// A limit on memory: what sets it, and how many bytes it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Where the limit comes from, in words.
    pub by: String,
    /// The bytes that can still be used under it.
    pub left: u64,
}

/// Checks that `need` bytes of shared memory fit under every limit of this process; `advice` says what to do if they do not.
///
/// # Errors
/// [`Error::Memory`] with the need, the limit and what is left under it.
pub fn check_memory(need: u64, what: &str, advice: &str) -> Result<()> {
    check(need, what, advice, memory_limits(Path::new("/"), true))
}

/// Checks that `need` bytes, of which some are private, fit under every limit of this process.
///
/// # Errors
/// As [`check_memory`].
pub fn check_memory_of(need: u64, what: &str, advice: &str) -> Result<()> {
    check(need, what, advice, memory_limits(Path::new("/"), false))
}

fn check(need: u64, what: &str, advice: &str, limits: Vec<MemoryLimit>) -> Result<()> {
    match limits.into_iter().filter(|limit| limit.left < need).min_by_key(|limit| limit.left) {
        None => Ok(()),
        Some(MemoryLimit { by, left }) => {
            Err(Error::Memory(format!("{what} needs {} but {by} leaves {}; {advice}", ByteSize(need), ByteSize(left))))
        }
    }
}

/// Checks that this process may open `need` more descriptors.
///
/// # Errors
/// [`Error::Sys`] with `EMFILE`, naming the need and the limit.
pub fn check_descriptors(need: u64) -> Result<()> {
    let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    if open.saturating_add(need) <= limit {
        return Ok(());
    }
    let call = format!("{need} more descriptors are needed, {open} of {limit} are open; raise `ulimit -n`");
    Err(Error::sys(call, nix::errno::Errno::EMFILE))
}

/// Returns the bytes of memory that this process has for itself: not what it shares, as the arena.
pub fn own_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or(0, |kilobytes| kilobytes << 10)
}

/// Returns every limit on memory that can be read, under a root that is `/` but for tests; those on files too if they are
/// what is `shared`.
fn memory_limits(root: &Path, shared: bool) -> Vec<MemoryLimit> {
    let mut limits = cgroup_limits(root);
    if let Some(left) = mem_available(root) {
        limits.push(MemoryLimit { by: "the machine (MemAvailable)".into(), left });
    }
    for (resource, name) in [(Resource::RLIMIT_AS, "RLIMIT_AS"), (Resource::RLIMIT_FSIZE, "RLIMIT_FSIZE")] {
        if (shared || resource == Resource::RLIMIT_AS)
            && let Ok((soft, _)) = getrlimit(resource)
            && soft != libc::RLIM_INFINITY
        {
            let used = if resource == Resource::RLIMIT_AS { address_space(root) } else { 0 };
            limits.push(MemoryLimit { by: name.into(), left: soft.saturating_sub(used) });
        }
    }
    limits
}

fn mem_available(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

fn address_space(root: &Path) -> u64 {
    let pages = fs::read_to_string(root.join("proc/self/statm"))
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// The memory cgroup of this process: the folder that shows it, the top of that tree, and whether it is version 2.
struct Group {
    path: PathBuf,
    top: PathBuf,
    unified: bool,
}

fn memory_groups(root: &Path) -> Vec<Group> {
    let membership = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let group = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let unified = controllers.is_empty();
        if !unified && !controllers.split(',').any(|name| name == "memory") {
            return None;
        }
        let (mount, part) = find_mount(&mounts, unified)?;
        // In a container the mount may show only a part of the tree that the path is told from.
        let inside = path.strip_prefix(part.as_str()).filter(|_| part != "/").unwrap_or(path);
        let top = root.join(mount.strip_prefix("/").unwrap_or(&mount));
        Some(Group { path: top.join(inside.trim_start_matches('/')), top, unified })
    };
    membership.lines().filter_map(group).collect()
}

/// Returns the limits of this process's memory cgroup and of all its ancestors, of both cgroup versions.
fn cgroup_limits(root: &Path) -> Vec<MemoryLimit> {
    let mut limits = Vec::new();
    for Group { mut path, top, unified } in memory_groups(root) {
        loop {
            limits.extend(group_limit(&path, unified));
            if path == top || !path.pop() {
                break;
            }
        }
    }
    limits
}

/// Returns where the memory controller is mounted, and which part of its tree is.
fn find_mount(mounts: &str, unified: bool) -> Option<(PathBuf, String)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut after = right.split(' ');
        let kind = after.next()?;
        let options = after.nth(1)?;
        let fits =
            if unified { kind == "cgroup2" } else { kind == "cgroup" && options.split(',').any(|o| o == "memory") };
        let mut before = left.split(' ').skip(3);
        let (part, mount) = (before.next()?, before.next()?);
        fits.then(|| (PathBuf::from(mount), part.to_owned()))
    })
}

fn group_limit(group: &Path, unified: bool) -> Option<MemoryLimit> {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    let (limit, usage, inactive) = if unified {
        (number("memory.max")?, number("memory.current")?, "inactive_file ")
    } else {
        (number("memory.limit_in_bytes")?, number("memory.usage_in_bytes")?, "total_inactive_file ")
    };
    // Version 1 says "no limit" by a number near 2^63.
    if limit > 1 << 60 {
        return None;
    }
    let reclaimable = fs::read_to_string(group.join("memory.stat"))
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix(inactive)?.trim().parse::<u64>().ok()))
        .unwrap_or(0);
    let left = limit.saturating_sub(usage.saturating_sub(reclaimable));
    Some(MemoryLimit { by: format!("the memory limit of cgroup {} ({})", group.display(), ByteSize(limit)), left })
}

/// Returns how many times the out-of-memory killer has struck in this process's memory cgroup.
pub fn oom_kills() -> u64 {
    let count = |group: Group| {
        let file = if group.unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(group.path.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
    };
    memory_groups(Path::new("/")).into_iter().filter_map(count).max().unwrap_or(0)
}

/// Returns how many processors this process may keep busy: its affinity, cut by its cgroup's quota.
pub fn processors() -> usize {
    let affinity = std::thread::available_parallelism().map_or(1, usize::from);
    let quota = cpu_quota().map_or(affinity, |cpus| (cpus.ceil() as usize).max(1));
    affinity.min(quota)
}

/// `available_parallelism` reads the quotas of version 2 only where it finds them; version 1 often sits elsewhere.
fn cpu_quota() -> Option<f64> {
    let number = |file: &str| fs::read_to_string(file).ok()?.trim().parse::<f64>().ok();
    let quota = number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").filter(|&quota| quota > 0.0)?;
    Some(quota / number("/sys/fs/cgroup/cpu/cpu.cfs_period_us")?)
}

/// A number of bytes, for people.
#[derive(Clone, Copy, Debug)]
pub struct ByteSize(pub u64);

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..1024 => write!(f, "{} B", self.0),
            1024..1_048_576 => write!(f, "{:.1} KiB", bytes / 1024.0),
            1_048_576..1_073_741_824 => write!(f, "{:.1} MiB", bytes / 1_048_576.0),
            _ => write!(f, "{:.2} GiB", bytes / 1_073_741_824.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn lefts(root: &Path) -> Vec<u64> {
        cgroup_limits(root).iter().map(|limit| limit.left).collect()
    }

    #[test]
    fn version_2_counts_every_ancestor_and_gives_back_cold_cache() {
        let root = tree(&[
            ("proc/self/cgroup", "0::/job/step\n"),
            ("proc/self/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/job/step/memory.max", "max\n"),
            ("sys/fs/cgroup/job/step/memory.current", "10\n"),
            ("sys/fs/cgroup/job/memory.max", "1000\n"),
            ("sys/fs/cgroup/job/memory.current", "900\n"),
            ("sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 300\n"),
        ]);
        assert_eq!(lefts(root.path()), [400]);
    }

    #[test]
    fn version_1_strips_the_part_that_a_container_does_not_see() {
        let root = tree(&[
            ("proc/self/cgroup", "4:memory:/docker/abc\n2:cpu:/docker/abc\n"),
            ("proc/self/mountinfo", "31 24 0:27 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "2000\n"),
        ]);
        assert_eq!(lefts(root.path()), [3000]);
    }

    #[test]
    fn version_1_without_a_limit_is_none() {
        let root = tree(&[
            ("proc/self/cgroup", "4:memory:/\n"),
            ("proc/self/mountinfo", "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "2000\n"),
        ]);
        assert!(lefts(root.path()).is_empty());
    }

    #[test]
    fn a_need_beyond_the_machine_is_refused_with_the_numbers() {
        let error = check_memory(1 << 60, "the arena", "lower it").unwrap_err().to_string();
        assert!(error.contains("the arena needs 1073741824.00 GiB") && error.ends_with("; lower it"), "{error}");
        assert!(check_memory(1, "the arena", "lower it").is_ok());
    }

    #[test]
    fn a_need_for_descriptors_is_refused_with_the_numbers() {
        assert!(check_descriptors(1).is_ok());
        assert!(check_descriptors(u64::MAX).unwrap_err().to_string().contains("ulimit -n"));
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [ByteSize(12), ByteSize(1536), ByteSize(3 << 20), ByteSize(5 << 30)].map(|s| s.to_string()),
            ["12 B", "1.5 KiB", "3.0 MiB", "5.00 GiB"]
        );
    }
}
