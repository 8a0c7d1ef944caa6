//! The HTTP interface: what the loops are doing, for people, probes and Prometheus. It only reads.

#[cfg(test)]
mod documented;
mod events;
mod handlers;
mod healthcheck;
mod metrics;
mod openapi;
mod page;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;
mod thread;

pub(crate) use self::handlers::router;
pub(crate) use self::metrics::{Metrics, RequestDurations};
pub(crate) use self::server::{BindError, Listener};
pub(crate) use self::snapshot::{Known, Loop, View};
pub(crate) use self::thread::serve;
