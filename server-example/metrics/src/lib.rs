//! Metrics and health of a server, as texts for an HTTP server to send. This crate serves nothing itself.
//!
//! ```text
//! ServerHandle ─┐
//! Program ──────┼─► Figures ─► Exposition  OpenMetrics, or the text format of Prometheus
//! /proc ────────┘
//! ServerHandle, Program ─────► Health      /livez and /readyz
//! ```
//!
//! | path | handler |
//! |---|---|
//! | `GET /metrics` | [`Exposition::respond`], with the request's `Accept` |
//! | `GET /livez`, `GET /livez?verbose` | [`Health::livez`], then [`Report::respond`] |
//! | `GET /readyz`, `GET /readyz?verbose` | [`Health::readyz`], then [`Report::respond`] |
//!
//! Each returns an [`Answer`]: a status, a content type and a body. [`Exposition::respond`] takes a fraction of
//! a millisecond. The checks wait for the event loops, for at most a second each: call them on a thread that
//! may block.
//!
//! A label value is a `&'static str` or the number of an event loop. So no label can contain the name of a
//! user, a room or an address, and their number does not grow.

#![forbid(unsafe_code)]

mod answer;
mod exposition;
mod families;
mod figures;
mod health;
mod page;
mod process;
mod program;
mod text;

pub use answer::Answer;
pub use exposition::{Exposition, OPEN_METRICS, TEXT};
pub use health::{Check, Health, Report};
pub use program::{AccountCounts, HistoryCounts, LogCounts, OrderCount, Program};
