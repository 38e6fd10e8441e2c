//! The metric families: the one list of what a server exposes. The table in `monitoring/README.md` is made
//! from it.

use std::fmt;

use chatproto::metrics::{CountBy, Kind, Metrics, RefusalReason};
use shared::usage::Table;

use super::figures::Figures;
use super::page::{Family, Label, Page};
use super::process::Process;
use super::program::{AccountCounts, HistoryCounts, LogCounts};

/// The families of the server, whose names begin with `chatproto_`.
pub(crate) fn of_server(figures: &Figures, page: &mut Page<'_>) -> fmt::Result {
    let Figures { server, tables, .. } = figures;
    let build = Family::new("build", "The version of the server.");
    page.info(build, [("version", chatproto::VERSION)])?;
    users(server, page)?;
    traffic(server, page)?;
    errors(server, page)?;
    loops(server, page)?;
    bounds(tables, page)?;
    of_log(&figures.log, page)?;
    if let Some(history) = &figures.history {
        of_history(history, figures.is_history_failing, page)?;
    }
    match &figures.accounts {
        Some(accounts) => of_accounts(accounts, page),
        None => Ok(()),
    }
}

fn users(server: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    let counts = &server.counts;
    page.gauges(
        Family::new("connections", "Open connections, users or not, by transport."),
        by("transport", &counts.connections),
    )?;
    page.gauges(
        Family::new("users", "Registered users, by transport."),
        by("transport", &counts.users),
    )?;
    page.gauge(Family::new("rooms", "Rooms with members."), server.rooms as u64)?;
    page.counter(Family::new("accepted_connections", "Accepted connections."), server.accepted)?;
    page.counter(
        Family::new(
            "accept_pauses",
            "How often accepting stopped for a moment because the operating system refused a connection.",
        ),
        server.accept_pauses,
    )?;
    page.counter(
        Family::new("registrations", "Connections that became users."),
        counts.registered,
    )?;
    page.counters(
        Family::new("refusals", "Connections that did not become users, by reason."),
        by("reason", &counts.refused),
    )?;
    page.counters(
        Family::new("departures", "Users who left, by reason."),
        by("reason", &counts.departed),
    )?;
    page.counters(
        Family::new("tls_handshakes", "TLS handshakes on the chat ports, by result."),
        [
            ([("result", "completed")], counts.tls_handshakes),
            ([("result", "failed")], counts.tls_failures),
        ],
    )
}

fn traffic(server: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    page.counter(
        Family::new("received_messages", "Messages and commands that users sent."),
        server.messages_received,
    )?;
    page.counter(
        Family::bytes("received", "Bytes that peers sent, inside TLS."),
        server.bytes_received,
    )?;
    page.counter(
        Family::new("deliveries", "Objects queued for connections, each receiver counted."),
        server.deliveries,
    )?;
    page.counter(
        Family::bytes("sent", "Bytes that sockets accepted, before encryption."),
        server.bytes_sent,
    )?;
    page.counter(Family::new("writes", "Writes to sockets."), server.writes)?;
    page.counter(
        Family::new("slow_readers", "Connections that were closed because they read too slowly."),
        server.slow_readers,
    )?;
    page.counter(
        Family::new("missed_messages", "Messages that slow readers did not get."),
        server.missed,
    )?;
    page.counter(
        Family::new("rate_pauses", "How often the rate limit stopped reading from a connection."),
        server.rate_pauses,
    )
}

fn errors(server: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    let counts = &server.counts;
    let of_messages = by("class", &server.errors);
    let of_others = [
        ([("class", "name")], counts.refused.get(RefusalReason::InvalidName)),
        ([("class", "stranger")], counts.strangers),
    ];
    page.counters(
        Family::new("errors", "Input that the protocol does not allow, by class."),
        of_messages.chain(of_others),
    )?;
    page.counter(
        Family::new("denied_commands", "Commands denied for a role, a token or a password."),
        counts.denied,
    )
}

fn loops(server: &Metrics, page: &mut Page<'_>) -> fmt::Result {
    page.histograms_by_loop(
        Family::seconds("turn", "The time that turns of an event loop took, by loop."),
        &server.turn_times,
    )?;
    page.counter(
        Family::new("batches", "Batches of input that went through the hub."),
        server.batches,
    )?;
    page.counter(
        Family::new("work_units", "Units of work that users caused; a byte to encode is one."),
        server.work,
    )?;
    page.times_by_loop(
        Family::seconds(
            "lock_held",
            "The time for which event loops held the lock of the hub, by loop. One holds it at a time.",
        ),
        &server.lock_held,
    )
}

/// The unit of most tables, which each family has in its name.
const BYTES: &str = "bytes";

fn bounds(tables: &[Table], page: &mut Page<'_>) -> fmt::Result {
    let figures = |of: fn(&Table) -> usize, is_of: fn(&&Table) -> bool| {
        let tables = tables.iter().filter(is_of);
        tables.map(move |table| ([("table", table.name)], of(table) as u64)).collect::<Vec<_>>()
    };
    let (used, most) = (|table: &Table| table.usage.bytes, |table: &Table| table.usage.most);
    let (bytes, rows) =
        (|table: &&Table| table.unit == BYTES, |table: &&Table| table.unit != BYTES);
    page.gauges(
        Family::bytes("table_used", "The used part of each bound in bytes."),
        figures(used, bytes),
    )?;
    page.gauges(
        Family::bytes(
            "table_limit",
            "Each bound in bytes. At it, users are refused or miss messages.",
        ),
        figures(most, bytes),
    )?;
    page.gauges(
        Family::new("table_used_rows", "The used part of each bound in rows."),
        figures(used, rows),
    )?;
    page.gauges(Family::new("table_limit_rows", "Each bound in rows."), figures(most, rows))
}

fn of_log(log: &LogCounts, page: &mut Page<'_>) -> fmt::Result {
    page.counters(
        Family::new(
            "log_hidden_lines",
            "Lines that the log counted and did not write, because there were too many of their kind in a second.",
        ),
        log.hidden.iter().map(|&(kind, count)| ([("kind", kind)], count)),
    )?;
    page.counter(
        Family::new(
            "log_dropped_lines",
            "Lines of the log that standard error did not take in time.",
        ),
        log.dropped,
    )
}

fn of_history(history: &HistoryCounts, is_failing: bool, page: &mut Page<'_>) -> fmt::Result {
    page.gauge(
        Family::new("history_failing", "1 while messages cannot be stored, 0 otherwise."),
        u64::from(is_failing),
    )?;
    page.counter(
        Family::new("history_stored_messages", "Messages written to the data file."),
        history.stored,
    )?;
    page.counter(
        Family::new("history_missing_messages", "Messages that were delivered and not stored."),
        history.missing,
    )?;
    page.counter(
        Family::new("history_commits", "Transactions that wrote messages."),
        history.commits,
    )?;
    page.counter(
        Family::new("history_commit_failures", "Transactions that failed; they are tried again."),
        history.commit_failures,
    )?;
    page.counter_of_time(
        Family::seconds("history_commit", "The time that the transactions took."),
        history.commit_time,
    )?;
    page.counters(
        Family::new("history_removed_messages", "Messages removed by the retention, by reason."),
        [
            ([("reason", "age")], history.removed_old),
            ([("reason", "size")], history.removed_surplus),
        ],
    )?;
    page.gauge(Family::bytes("history_file", "Bytes in use in the data file."), history.file_bytes)
}

fn of_accounts(accounts: &AccountCounts, page: &mut Page<'_>) -> fmt::Result {
    page.gauge(Family::new("accounts", "Accounts."), accounts.accounts as u64)?;
    let orders = accounts.orders.iter();
    page.counters(
        Family::new("account_orders", "Logins and changes of accounts, by order and result."),
        orders.map(|each| ([("order", each.order), ("result", each.result)], each.count)),
    )
}

/// The families of the process, with the names that every Prometheus client uses.
pub(crate) fn of_process(process: &Process, page: &mut Page<'_>) -> fmt::Result {
    page.counter_of_seconds(
        Family::seconds("process_cpu", "User and system CPU time."),
        process.cpu_seconds,
    )?;
    page.gauge(
        Family::bytes("process_resident_memory", "Resident memory."),
        process.resident_bytes,
    )?;
    page.gauge(Family::bytes("process_virtual_memory", "Virtual memory."), process.virtual_bytes)?;
    page.gauge(
        Family::new("process_open_fds", "Open file descriptors."),
        process.open_descriptors,
    )?;
    if let Some(most) = process.most_descriptors {
        page.gauge(Family::new("process_max_fds", "The limit of open file descriptors."), most)?;
    }
    page.gauge_of_seconds(
        Family::seconds("process_start_time", "When the process started, since 1970."),
        process.started,
    )
}

/// The counts of each kind, with a label for it.
fn by<K: Kind>(
    label: &'static str,
    counts: &CountBy<K>,
) -> impl Iterator<Item = ([Label; 1], u64)> {
    counts.iter().map(move |(kind, count)| ([(label, kind.label())], count))
}
