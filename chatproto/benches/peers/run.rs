//! One run: a load on a server, and what is measured of it.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::crew::Crew;
use crate::generator::Generator;
use crate::options::Timing;
use crate::process::Running;
use crate::sample::{Metric, Sample};
use crate::servers::Kind;
use crate::work::{Flow, Load};

/// How long idle connections are idle before the server's memory is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// Puts the load on the server and measures it.
pub(crate) fn run(
    load: &Load,
    kind: Kind,
    server: &Running,
    timing: Timing,
) -> Result<Sample, String> {
    match load.flow {
        Flow::Idle { .. } => run_idle(load, kind, server),
        _ => run_busy(load, kind, server, timing),
    }
}

fn run_busy(load: &Load, kind: Kind, server: &Running, timing: Timing) -> Result<Sample, String> {
    let mut generator = Generator::new(load.flow, Crew::open(load, kind, server)?)?;
    generator.begin();
    generator.run_for(timing.warm_up)?;
    let (before, delivered) = (server.usage()?, generator.delivered);
    generator.latencies.clear();
    generator.run_for(timing.measured)?;
    let spent = server.usage()?.since(&before);
    let delivered = (generator.delivered - delivered) as f64;
    let mut metrics = BTreeMap::from([
        (Metric::Cpu, spent.server.as_secs_f64() * 1e6 / delivered),
        (Metric::Rate, delivered / spent.elapsed.as_secs_f64()),
    ]);
    for (metric, part) in [(Metric::P50, 0.5), (Metric::P99, 0.99), (Metric::P999, 0.999)] {
        metrics.extend(generator.latencies.quantile(part).map(|value| (metric, value)));
    }
    Ok(Sample { metrics, lost: generator.drain()?, disturbance: spent.disturbance() })
}

/// Connections that register one after the other, and then do nothing.
fn run_idle(load: &Load, kind: Kind, server: &Running) -> Result<Sample, String> {
    let (memory, before) = (server.memory()?, server.usage()?);
    let crew = Crew::open(load, kind, server)?;
    let spent = server.usage()?.since(&before);
    thread::sleep(SETTLE);
    let memory = server.memory()?.saturating_sub(memory) as f64;
    let count = crew.connections.len() as f64;
    let metrics = BTreeMap::from([
        (Metric::Memory, memory / count),
        (Metric::Accept, spent.server.as_secs_f64() * 1e6 / count),
    ]);
    Ok(Sample { metrics, lost: 0, disturbance: spent.disturbance() })
}
