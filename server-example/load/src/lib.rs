//! `load`: puts a server under load, from one thread and event loop, and reports what it did.
//!
//! ```text
//! options ─► stress    bots like people          ┐             ┌► live    while it runs
//!            compare ─► scenario  side by side   ├─► report ───┼► output  report.json, samples.csv
//!            ramp ─► worker  until it breaks     ┘             └► html    report.html, plots
//!               │
//!               ▼
//!            stage ─► traffic ─► ledger ─► gaps  who is owed what   gauge, latency, usage: figures
//!               └───► net ─► peer ─► connect, outgoing  sockets  payload: what is in each msg
//! ```

#![forbid(unsafe_code)]

mod compare;
mod connect;
mod crew;
mod figures;
mod gaps;
mod gauge;
mod html;
mod latency;
mod ledger;
mod live;
mod net;
mod options;
mod outgoing;
mod output;
mod payload;
mod peer;
mod plot;
mod ramp;
mod report;
mod scenario;
mod stage;
mod stress;
mod traffic;
mod usage;
mod websocket;
mod worker;

use shared::failure::Failure;

use self::live::Live;
pub use self::options::LoadOptions;
use self::options::{CompareOptions, LoadCommand, RampOptions, StressOptions};
use self::output::Output;
use self::report::{Kind, Report};
use self::scenario::Plan;
use self::stage::{Stop, Target};

/// Runs a load to its end, and reports.
///
/// # Errors
/// An option cannot be used, the load could not run, or a check of its report failed.
pub fn run(options: &LoadOptions) -> Result<(), Failure> {
    match &options.command {
        LoadCommand::Stress(options) => stress(options),
        LoadCommand::Compare(options) => compare(options),
        LoadCommand::Ramp(options) => ramp(options),
        LoadCommand::Worker => worker(),
    }
}

fn stress(options: &StressOptions) -> Result<(), Failure> {
    let target = Target::new(&options.common)?;
    target.check(options.peer)?;
    let output = Output::new(&options.common)?;
    let stop = Stop::on_signals()?;
    raise_descriptor_limit();
    let mut live = Live::new();
    let mut report = Report::begin(Kind::Stress, &target);
    let (checks, run) = stress::run(options, &target, &stop, &mut live)?;
    drop(live);
    report.runs.push(run);
    report.conclude(checks, stop.is_asked());
    output.write(&report)
}

fn ramp(options: &RampOptions) -> Result<(), Failure> {
    let target = Target::new(&options.common)?;
    target.check(options.peer)?;
    let output = Output::new(&options.common)?;
    let stop = Stop::on_signals()?;
    let descriptors = raise_descriptor_limit();
    let mut live = Live::new();
    let mut report = Report::begin(Kind::Ramp, &target);
    let (checks, run, ramp) = ramp::run(options, &target, &stop, &mut live, descriptors)?;
    drop(live);
    report.runs.push(run);
    report.ramp = Some(ramp);
    report.conclude(checks, stop.is_asked());
    output.write(&report)
}

/// Clients of a ramp that another process of this program leads. That one has them leave at Ctrl-C,
/// which the terminal sends to all.
fn worker() -> Result<(), Failure> {
    let _is_left_to_the_other = Stop::on_signals()?;
    raise_descriptor_limit();
    worker::run_process()
}

fn compare(options: &CompareOptions) -> Result<(), Failure> {
    if options.list {
        return output::print(scenario::READY_MADE);
    }
    let plan = Plan::new(options)?;
    let target = Target::new(&options.common)?;
    plan.scenarios.iter().try_for_each(|scenario| target.check(scenario.peer))?;
    let output = Output::new(&options.common)?;
    let stop = Stop::on_signals()?;
    raise_descriptor_limit();
    let mut live = Live::new();
    for scenario in &plan.scenarios {
        live.say(&format!("{}: {}", scenario.name, scenario.describe()));
    }
    let mut report = Report::begin(Kind::Compare, &target);
    let (checks, runs) = compare::run(&plan, &target, &stop, &mut live)?;
    drop(live);
    report.runs = runs;
    report.conclude(checks, stop.is_asked());
    output.write(&report)
}

/// As many clients as this process may have; what it lacks is said when it lacks it.
fn raise_descriptor_limit() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX)
        .or_else(|_| rlimit::Resource::NOFILE.get_soft())
        .unwrap_or(1024)
}
