//! The exposition: all figures as text, in the format that the scraper asks for.

use std::fmt;
use std::sync::Arc;

use chatproto::ServerHandle;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::answer::Answer;
use super::families;
use super::figures::Figures;
use super::page::Page;
use super::program::Program;
use super::text::as_prometheus_text;

/// The content type of OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of Prometheus' own text format.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of a server. It can be read from any thread.
pub struct Exposition {
    handle: ServerHandle,
    program: Arc<dyn Program>,
}

impl Exposition {
    /// Of this server, in this program.
    pub fn new(handle: ServerHandle, program: Arc<dyn Program>) -> Self {
        Exposition { handle, program }
    }

    /// The answer to a scrape. `accept` is the value of the request's `Accept`, if there is one. A scraper that
    /// accepts OpenMetrics gets it. Others, such as browsers, get Prometheus' own text format.
    pub fn respond(&self, accept: Option<&str>) -> Answer {
        let open_metrics = self.text();
        if accept.is_some_and(accepts_open_metrics) {
            return Answer { status: 200, content_type: OPEN_METRICS, body: open_metrics };
        }
        Answer { status: 200, content_type: TEXT, body: as_prometheus_text(&open_metrics) }
    }

    /// All figures in the text format of OpenMetrics 1.0.
    pub fn text(&self) -> String {
        encode(Figures::read(&self.handle, &*self.program))
    }
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposition").finish_non_exhaustive()
    }
}

fn encode(figures: Figures) -> String {
    let figures = Arc::new(figures);
    let mut of_server = Registry::with_prefix("chatproto");
    of_server.register_collector(Box::new(OfServer(Arc::clone(&figures))));
    let mut of_process = Registry::default();
    of_process.register_collector(Box::new(OfProcess(figures)));
    let mut page = String::new();
    text::encode_registry(&mut page, &of_server)
        .and_then(|()| text::encode_registry(&mut page, &of_process))
        .and_then(|()| text::encode_eof(&mut page))
        .expect("a string takes everything");
    page
}

#[derive(Debug)]
struct OfServer(Arc<Figures>);

impl Collector for OfServer {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::of_server(&self.0, &mut Page(encoder))
    }
}

#[derive(Debug)]
struct OfProcess(Arc<Figures>);

impl Collector for OfProcess {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        match &self.0.process {
            Some(process) => families::of_process(process, &mut Page(encoder)),
            None => Ok(()),
        }
    }
}

/// Whether a value of `Accept` names OpenMetrics of a version that this is, and does not refuse it.
fn accepts_open_metrics(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts
            .next()
            .is_some_and(|media| media.eq_ignore_ascii_case("application/openmetrics-text"));
        let is_possible = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => matches!(value, "1.0.0" | "0.0.1"),
                "q" => value.parse() != Ok(0.0),
                _ => true,
            }
        };
        is_named && parts.all(is_possible)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        // as Prometheus 2 and 3 ask
        for accept in [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             text/plain;version=0.0.4;q=0.3",
            "Application/OpenMetrics-Text",
        ] {
            assert!(accepts_open_metrics(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/openmetrics-text;q=0, text/plain",
            "application/openmetrics-text; version=2.0.0",
            "application/openmetrics-text-x",
        ] {
            assert!(!accepts_open_metrics(accept), "{accept}");
        }
    }
}
