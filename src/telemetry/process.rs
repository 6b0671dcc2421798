//! The resources of this process, read from `/proc`; there are no values on systems other than Linux.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's figures for this process.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pub cpu: Duration,
    pub memory: u64,
    pub files: u64,
    pub most_files: u64,
}

impl Process {
    /// `None` if there is no `/proc`.
    pub fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let memory = number(&status, "VmRSS:")?.checked_mul(1024)?;
        let files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        // One of them is the descriptor that reads the folder.
        let files = files.saturating_sub(1);
        Some(Self { cpu: cpu()?, memory, files, most_files: number(&limits, "Max open files").unwrap_or(0) })
    }
}

/// Seconds since 1970.
pub fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The processor time of all threads, user and system, in nanoseconds if the system counts them.
fn cpu() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_something() {
        let process = Process::read().unwrap();
        assert!(
            process.memory > 1 << 20 && process.files > 2 && process.most_files >= process.files,
            "{process:?}"
        );
        assert!(process.cpu > Duration::ZERO);
    }
}
