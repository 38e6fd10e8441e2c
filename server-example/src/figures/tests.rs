//! The figures of a server with accounts and a history, as they are exposed, documented and used by the alert rules
//! and the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chatproto::accounts::AccountPolicy;
use chatproto::{Message, Server, ServerError};
use metrics::{Exposition, Health};
use store::accounts::AccountTable;
use store::{Store, StoreOptions};
use tracing_subscriber::filter::LevelFilter;

use super::*;
use crate::accounts::book::{AccountBook, BookOptions};
use crate::audit::AuditFile;
use crate::keeper::Keeper;
use crate::sanctions::Sanctions;
use crate::test_dir::TempDir;

#[path = "../../metrics/tests/support/open_metrics.rs"]
mod open_metrics;

use open_metrics::{Family, parse, values};

/// Longer than anything takes here, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct-horse-9";

/// A server that stores everything in a directory.
struct Served {
    address: SocketAddr,
    handle: ServerHandle,
    program: Arc<ProgramFigures>,
    /// The server has it too.
    _book: Arc<AccountBook>,
    _sanctions: Arc<Sanctions>,
    running: Option<JoinHandle<Result<(), ServerError>>>,
    /// Removed after the server has ended.
    directory: Option<TempDir>,
}

impl Served {
    fn start() -> Self {
        let directory = TempDir::new();
        let mut served = Served::start_in(directory.path());
        served.directory = Some(directory);
        served
    }

    fn start_in(directory: &Path) -> Self {
        let mut store = Store::open(directory, StoreOptions::default()).unwrap();
        let journal = Arc::new(Journal::new(LevelFilter::OFF));
        let table = AccountTable::new(store.connect().unwrap());
        let book = Arc::new(AccountBook::open(table, &BookOptions::default(), |_| ()).unwrap());
        let keeper =
            Keeper::new(&mut store, Some(Arc::clone(&book)), Arc::clone(&journal)).unwrap();
        let moderation = store.moderation().unwrap();
        let sanctions = Arc::new(Sanctions::start(moderation, Arc::clone(&journal)).unwrap());
        let file = AuditFile::open(None).unwrap();
        let audit = Arc::new(AuditLog::start(file, Arc::clone(&journal)).unwrap());
        let server = Server::builder()
            .threads(2)
            .accounts(AccountPolicy::Optional, Arc::clone(&book))
            .history(keeper)
            .bind(([127, 0, 0, 1], 0))
            .unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let weak = Some(Arc::downgrade(&book));
        let data = DataGauges::new(store.usage(), weak, Arc::downgrade(&sanctions));
        let program = ProgramFigures::new(handle.clone(), journal, audit, Some(data), true);
        let run = move || {
            // the store keeps other servers out as long as the server runs
            let _store = store;
            server.run()
        };
        Served {
            address,
            handle,
            program: Arc::new(program),
            _book: book,
            _sanctions: sanctions,
            running: Some(thread::spawn(run)),
            directory: None,
        }
    }

    fn exposition(&self) -> Exposition {
        Exposition::new(self.handle.clone(), Arc::clone(&self.program) as Arc<dyn Program>)
    }

    fn health(&self) -> Health {
        Health::new(self.handle.clone(), Arc::clone(&self.program) as Arc<dyn Program>)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(running) = self.running.take() {
            let ended = running.join();
            if !thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn join(address: SocketAddr, name: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        (&stream).write_all(format!("{name}\n").as_bytes()).unwrap();
        let mut client = Client(BufReader::new(stream));
        client.read();
        client
    }

    fn send(&mut self, to: &str, text: &str) {
        let line = Message::new("x", "", to, text).to_json() + "\n";
        self.0.get_ref().write_all(line.as_bytes()).unwrap();
    }

    fn ask(&mut self, to: &str, text: &str) -> String {
        self.send(to, text);
        self.read()
    }

    fn read(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        Message::decode(line.as_bytes()).unwrap().msg
    }
}

fn monitoring(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(monitoring(file)).unwrap()
}

/// The label values of a family, by label.
fn labels(family: &Family) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in family.samples.iter().flat_map(|sample| &sample.labels) {
        labels.entry(name).or_default().insert(value);
    }
    labels
}

/// The rows that describe all metrics, and below them the values that are too many for a row.
fn table(text: &str) -> String {
    let (mut tables, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    let mut table = "| metric | type | unit | labels | |\n|---|---|---|---|---|\n".to_owned();
    let families = parse(text);
    for family in &families {
        let Family { name, kind, unit, help, .. } = family;
        let suffix = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let unit = unit.as_deref().unwrap_or("");
        let labels = labels(family).into_iter().map(|(label, values)| {
            let values: Vec<_> = match label {
                // numbers
                "le" | "loop" | "version" => Vec::new(),
                "table" | "kind" => {
                    let list = if label == "table" { &mut tables } else { &mut kinds };
                    list.extend(values);
                    Vec::new()
                }
                _ => values.into_iter().map(|value| format!("`{value}`")).collect(),
            };
            let colon = if values.is_empty() { "" } else { ": " };
            format!("`{label}`{colon}{}", values.join(", "))
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        let _ = writeln!(table, "| `{name}{suffix}` | {kind} | {unit} | {labels} | {help} |");
    }
    for (label, values) in [("table", tables), ("kind", kinds)] {
        let _ = writeln!(table, "\nThe values of `{label}`:\n");
        for value in values {
            let _ = writeln!(table, "- `{value}`");
        }
    }
    table
}

/// With `CHATPROTO_WRITE=1` in the environment the table is written instead.
#[test]
fn the_table_of_metrics_is_in_the_readme() {
    const MARKS: [&str; 2] = ["<!-- table -->\n", "<!-- end of the table -->\n"];
    if !cfg!(target_os = "linux") {
        // the process is not known
        return;
    }
    let served = Served::start();
    let table = table(&served.exposition().text());
    let readme = read("README.md");
    let [begin, end] = MARKS.map(|mark| readme.find(mark).expect(mark));
    let begin = begin + MARKS[0].len();
    if std::env::var_os("CHATPROTO_WRITE").is_some() {
        let written = format!("{}{table}{}", &readme[..begin], &readme[end..]);
        return std::fs::write(monitoring("README.md"), written).unwrap();
    }
    let command = "CHATPROTO_WRITE=1 cargo test -p server-example --lib the_table_of_metrics";
    assert_eq!(&readme[begin..end], table, "to write it: {command}");
}

/// The metrics that expressions name, each with what it demands of its labels.
fn selectors(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let is_of_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = ["chatproto_", "process_"].iter().filter_map(|p| rest.find(p)).min() {
        let is_whole = !rest[..at].ends_with(is_of_name);
        let name_end = rest[at..].find(|c| !is_of_name(c)).map_or(rest.len(), |end| at + end);
        let name = rest[at..name_end].to_owned();
        rest = &rest[name_end..];
        let matchers = rest.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let matchers = matchers.map_or("", |(matchers, _)| matchers);
        let matchers = matchers.split(',').filter_map(|matcher| {
            let (label, value) = matcher.split_once('=')?;
            let value = value.trim_start_matches('~').replace('\\', "");
            Some((label.trim().to_owned(), value.trim_matches('"').to_owned()))
        });
        if is_whole {
            found.push((name, matchers.collect()));
        }
    }
    found
}

#[test]
fn alert_rules_and_dashboard_use_what_is_exposed() {
    let served = Served::start();
    let text = served.exposition().text();
    let mut exposed: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for sample in parse(&text).into_iter().flat_map(|family| family.samples) {
        exposed.entry(sample.name).or_default().extend(sample.labels);
    }
    let of_prometheus = ["job", "instance"];
    for file in ["alerts.yml", "alerts_test.yml", "dashboard.json"] {
        let selectors = selectors(&read(file));
        assert!(selectors.len() > 10, "{file}");
        for (name, matchers) in selectors {
            let Some(labels) = exposed.get(&name) else {
                panic!("{file} uses {name}, which is not exposed")
            };
            for (label, value) in matchers {
                if of_prometheus.contains(&label.as_str()) {
                    continue;
                }
                for value in value.split('|') {
                    let is_exposed = labels.contains(&(label.clone(), value.to_owned()));
                    assert!(is_exposed, "{file} uses {name} with {label}={value:?}");
                }
            }
        }
    }
}

#[test]
fn selectors_are_found_with_their_labels() {
    let text =
        r#"sum(rate(chatproto_a_total{job="$job",reason=~"x|y"}[5m])) / process_b > nochatproto_c"#;
    let [(a, of_a), (b, of_b)] = &selectors(text)[..] else { panic!("{:?}", selectors(text)) };
    assert_eq!((a.as_str(), b.as_str(), of_b.len()), ("chatproto_a_total", "process_b", 0));
    let expected = [("job", "$job"), ("reason", "x|y")].map(|(l, v)| (l.to_owned(), v.to_owned()));
    assert_eq!(of_a[..], expected);
}

/// Runs `promtool`, which judges what Prometheus would read. `None` if it is not installed.
fn promtool(arguments: &[&str], input: &str) -> Option<()> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(monitoring(""));
    let started =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = match started {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let reason = "promtool is not installed";
            assert!(std::env::var_os("NO_TEST_MAY_BE_SKIPPED").is_none(), "{reason}");
            eprintln!("not tested: {reason}");
            return None;
        }
        started => started.unwrap(),
    };
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = promtool.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    Some(())
}

#[test]
fn prometheus_accepts_the_metrics_and_the_alert_rules() {
    let served = Served::start();
    let text = served.exposition().respond(None).body;
    if promtool(&["check", "metrics"], &text).is_none() {
        return;
    }
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
}

#[test]
fn logins_are_counted_by_what_became_of_them() {
    let served = Served::start();
    let text = served.exposition();
    let mut alice = Client::join(served.address, "alice");
    assert!(alice.ask("/register", PASSWORD).contains("is yours"));
    assert!(alice.ask("/passwd", &format!("wrong-{PASSWORD} other-{PASSWORD}")).starts_with('❌'));
    assert!(alice.ask("/register", "short").starts_with('❌'));
    drop(alice);
    let mut other = Client::join(served.address, "bob");
    assert!(other.ask("/login", &format!("alice {PASSWORD}")).contains("logged in as alice"));
    let orders = |order: &str, result: &str| {
        let series = format!("chatproto_account_orders_total{{order={order:?},result={result:?}}}");
        values(&text.text())[&series]
    };
    let counted = [
        ("register", "done", 1.0),
        ("change_password", "wrong_password", 1.0),
        ("login", "done", 1.0),
        ("login", "wrong_password", 0.0),
        ("login", "throttled", 0.0),
    ];
    for (order, result, count) in counted {
        assert_eq!(orders(order, result), count, "{order} {result}");
    }
    assert_eq!(values(&text.text())["chatproto_accounts{}"], 1.0);
    // guesses from elsewhere are throttled after the free ones
    let mut guesser = Client::join(served.address, "eve");
    let begun = Instant::now();
    while orders("login", "throttled") == 0.0 {
        assert!(begun.elapsed() < PATIENCE, "nothing is throttled");
        guesser.ask("/login", "alice not-the-password");
    }
    assert!((1.0..=3.0).contains(&orders("login", "wrong_password")));
}

#[test]
fn stored_messages_are_counted() {
    let served = Served::start();
    let text = served.exposition();
    let mut alice = Client::join(served.address, "alice");
    alice.ask("/join", "#tea");
    for _ in 0..10 {
        alice.send("#tea", "hi");
    }
    while !alice.ask("/sync", "").starts_with("synced") {}
    let all = values(&text.text());
    assert_eq!(all["chatproto_history_stored_messages_total{}"], 10.0);
    assert_eq!(all["chatproto_history_missing_messages_total{}"], 0.0);
    assert!((1.0..=10.0).contains(&all["chatproto_history_commits_total{}"]));
    assert!(all["chatproto_history_commit_seconds_total{}"] > 0.0);
    assert!(all["chatproto_history_file_bytes{}"] > 0.0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_with_a_full_disk_is_alive_and_not_ready() {
    use crate::small_disk::SmallDisk;
    let directory = TempDir::new();
    let path = directory.path().join("disk");
    let Some(disk) = SmallDisk::mount(&path, "size=8m") else { return };
    let served = Served::start_in(&path);
    let (health, text) = (served.health(), served.exposition());
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", health.readyz());
            thread::yield_now();
        }
    };
    until("it is ready", &|| health.readyz().is_healthy());
    disk.fill(None);
    let mut alice = Client::join(served.address, "alice");
    alice.ask("/join", "#tea");
    while health.readyz().is_healthy() {
        alice.send("#tea", &"x".repeat(30_000));
        alice.ask("/sync", "");
    }
    let answer = health.readyz().respond(false);
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("[-]history: failed: "), "{}", answer.body);
    assert!(answer.body.contains("disk is full"), "{}", answer.body);
    assert!(health.livez().is_healthy());
    let all = values(&text.text());
    assert_eq!(all["chatproto_history_failing{}"], 1.0);
    assert!(all["chatproto_history_commit_failures_total{}"] >= 1.0);
    disk.make_room();
    until("it is ready again", &|| health.readyz().is_healthy());
    assert_eq!(values(&text.text())["chatproto_history_failing{}"], 0.0);
}

#[test]
fn a_server_without_the_data_file_that_it_should_have_is_not_ready() {
    let served = Served::start();
    let program = ProgramFigures {
        data: None,
        handle: served.handle.clone(),
        journal: Arc::clone(&served.program.journal),
        audit: Arc::clone(&served.program.audit),
        wants_data: true,
    };
    let health = Health::new(served.handle.clone(), Arc::new(program));
    let report = health.readyz();
    assert!(report.to_string().contains("[-]data: failed: nothing is stored"), "{report}");
}
