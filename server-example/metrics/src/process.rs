//! The use of the machine by this process, as Linux reports it under `/proc`. Other systems report nothing.

#[cfg(target_os = "linux")]
use std::fs;

/// Figures of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) open_descriptors: u64,
    /// `None` if there is no limit.
    pub(crate) most_descriptors: Option<u64>,
    /// Seconds since 1970.
    pub(crate) started: f64,
}

#[cfg(not(target_os = "linux"))]
impl Process {
    pub(crate) fn read() -> Option<Self> {
        None
    }
}

#[cfg(target_os = "linux")]
impl Process {
    pub(crate) fn read() -> Option<Self> {
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let booted = boot_time(&fs::read_to_string("/proc/stat").ok()?)?;
        Some(Process {
            cpu_seconds: stat.cpu_ticks as f64 / ticks,
            resident_bytes: stat.resident_pages * rustix::param::page_size() as u64,
            virtual_bytes: stat.virtual_bytes,
            open_descriptors: open_descriptors()?,
            most_descriptors: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            started: booted as f64 + stat.started_ticks as f64 / ticks,
        })
    }
}

/// The fields of `/proc/self/stat` that are used here.
#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// In user and system mode, of all threads.
    cpu_ticks: u64,
    /// Since the machine booted.
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

#[cfg(target_os = "linux")]
impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // the name, in parentheses, may contain anything; the state, the third field, follows it
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(target_os = "linux")]
fn boot_time(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(target_os = "linux")]
fn open_descriptors() -> Option<u64> {
    const DIRECTORY: &str = "/proc/self/fd";
    // since Linux 6.2 this is the number; before, each entry must be read
    let known = fs::metadata(DIRECTORY).ok()?.len();
    if known > 0 {
        return Some(known);
    }
    // without the one that reads them
    Some((fs::read_dir(DIRECTORY).ok()?.count() as u64).saturating_sub(1))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_no_field() {
        let fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let text = format!("1234 (a) S (b) S {}\n", fields.join(" "));
        let expected =
            Stat { cpu_ticks: 14 + 15, started_ticks: 22, virtual_bytes: 23, resident_pages: 24 };
        assert_eq!(Stat::parse(&text), Some(expected));
        assert_eq!(Stat::parse("1234 (short) S 1 2 3\n"), None);
        assert_eq!(boot_time("cpu  1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000));
    }

    #[test]
    fn this_process_is_known() {
        let before = Process::read().unwrap();
        assert!(before.resident_bytes > 100_000, "{before:?}");
        assert!(before.virtual_bytes >= before.resident_bytes, "{before:?}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - before.started;
        assert!((-2.0..3_600.0).contains(&age), "{before:?} at {now:?}");
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // other tests open and close some
        let more = Process::read().unwrap().open_descriptors;
        assert!(more >= before.open_descriptors + 30, "{more} after {before:?}");
        drop(files);
    }
}
