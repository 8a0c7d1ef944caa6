//! How many keys are in flight at once: as many as Barbican can use and a few more, without a knob.
//!
//! By Little's law, `busy = in_flight * unhurried / latency` is the number of keys that Barbican is
//! really at work on, if `unhurried` is the latency of a key that nothing stands in front of; the
//! rest waits. The limit follows that number with some room above it, so that no worker of Barbican
//! ever waits for us and no more than a short queue ever waits for them. While nothing queues the
//! room is what the limit grows by, and so it grows geometrically. This is the estimate of TCP Vegas
//! (Brakmo and Peterson, 1995) in the form that Netflix gave it for servers (concurrency-limits,
//! `GradientLimit`).
//!
//! The unhurried latency is measured: now and then somewhat less than what is busy is let in for a
//! moment, as BBR does to see the round trip without its own queue (Cardwell et al., 2016). The same is done
//! before a higher latency is taken for a queue: Barbican itself may have become slower.

use std::time::Duration;

use tokio::time::Instant;

/// Room above what is busy, as a share of it and in keys: covers noise in the measurements, and the
/// time that a key spends elsewhere than at Barbican.
const ROOM: (f64, f64) = (1.5, 2.5);

/// Answers that a measurement takes for each key in flight.
const PER_PLACE: usize = 2;

/// Answers that a measurement of the unhurried latency takes at least.
const FEWEST_UNHURRIED: usize = 8;

/// The share of what is busy that is let in to measure the unhurried latency.
const UNHURRIED: f64 = 0.75;

/// The time to the first measurement of the unhurried latency; it doubles up to the most.
const FIRST_PROBE: Duration = Duration::from_secs(2);

/// The most time between two measurements of the unhurried latency.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// A limit that would fall below this share of itself is measured once more first.
const STEEP: f64 = 0.67;

/// How much of a limit that Barbican pushed back against is kept to.
const KEPT: f64 = 0.9;

/// How long it is kept to.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// The limit of keys in flight.
#[derive(Debug)]
pub(crate) struct Concurrency {
    most: usize,
    limit: f64,
    /// The latency of a key that nothing stands in front of.
    unhurried: Option<f64>,
    measurement: Measurement,
    probing: Probing,
    pushback: Option<Pushback>,
}

/// The answers to keys that were begun under the limit as it is.
#[derive(Debug, Default)]
struct Measurement {
    since: Option<Instant>,
    latencies: Vec<Duration>,
    in_flight: usize,
}

/// What the keys under one limit showed.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// The median, in seconds, which one slow row does not move.
    latency: f64,
    /// The mean.
    in_flight: f64,
}

/// The measurements of the unhurried latency.
#[derive(Debug)]
struct Probing {
    /// While one is under way, what it interrupted.
    put_by: Option<PutBy>,
    last: Option<Instant>,
    interval: Duration,
}

/// A limit, and what was measured under it.
#[derive(Clone, Copy, Debug)]
struct PutBy {
    limit: f64,
    measured: Measured,
}

/// Barbican said that this was too much.
#[derive(Debug)]
struct Pushback {
    at: Instant,
    ceiling: f64,
    /// Nothing went well since.
    lasts: bool,
}

impl Concurrency {
    /// Begins with one key, and goes up to so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            limit: 1.0,
            unhurried: None,
            measurement: Measurement::default(),
            probing: Probing {
                put_by: None,
                last: None,
                interval: FIRST_PROBE,
            },
            pushback: None,
        }
    }

    /// The operator allows so many from now on.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most.max(1);
    }

    /// A pass begins, with one key: what was learnt may be out of date.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.most);
    }

    /// How many keys may be in flight, at least one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is at least one, and its fraction is what it has not grown to yet"
    )]
    pub(crate) fn limit(&self) -> usize {
        (self.limit as usize).clamp(1, self.most)
    }

    /// The requests of one key went well and took this long together; so many keys, this one among
    /// them, were in flight when it ended.
    pub(crate) fn answered(&mut self, latency: Duration, in_flight: usize, now: Instant) {
        if !self.measurement.counts(latency, now) {
            return;
        }
        self.measurement.latencies.push(latency);
        self.measurement.in_flight += in_flight;
        if self.measurement.latencies.len() < self.enough() {
            return;
        }
        let measured = self.measurement.take();
        if let Some(pushback) = &mut self.pushback {
            pushback.lasts = false;
        }
        match self.probing.put_by.take() {
            None => self.adjust(measured, now),
            Some(put_by) => {
                self.unhurried = Some(measured.latency);
                self.limit = put_by.limit;
                self.follow(put_by.measured, now);
            }
        }
    }

    /// Barbican answers 429 or 503, or not in time. What was in flight by then may say so too, and
    /// counts once.
    pub(crate) fn pushed_back(&mut self, now: Instant) {
        let latency = Duration::from_secs_f64(self.unhurried.unwrap_or_default());
        let put_by = self.probing.put_by.take();
        let limit = put_by.map_or(self.limit, |put_by| put_by.limit);
        match &mut self.pushback {
            Some(known) if now < known.at + latency => return,
            Some(known) if known.lasts => known.at = now,
            _ => {
                self.pushback = Some(Pushback {
                    at: now,
                    ceiling: limit * KEPT,
                    lasts: true,
                });
            }
        }
        self.probing.last = Some(now);
        self.set_limit(limit / 2.0, now);
    }

    /// How many answers make a measurement. One does for a beginning: the others follow it.
    fn enough(&self) -> usize {
        let each = self.limit() * PER_PLACE;
        match (&self.probing.put_by, self.unhurried) {
            (Some(_), _) => each.max(FEWEST_UNHURRIED),
            (None, Some(_)) => each,
            (None, None) => 1,
        }
    }

    /// Follows what was measured, unless it is time to see first what it is held against.
    fn adjust(&mut self, measured: Measured, now: Instant) {
        let unhurried = *self.unhurried.get_or_insert(measured.latency);
        let busy = measured.busy(unhurried);
        let doubtful = wanted(busy) < self.limit * STEEP || measured.latency < unhurried * STEEP;
        if !self.is_to_probe(doubtful, now) {
            self.follow(measured, now);
            return;
        }
        self.probing.put_by = Some(PutBy {
            limit: self.limit,
            measured,
        });
        self.set_limit(busy * UNHURRIED, now);
    }

    fn follow(&mut self, measured: Measured, now: Instant) {
        let busy = measured.busy(self.unhurried.unwrap_or(measured.latency));
        // Where it is not the limit that keeps more keys from being begun, it stays.
        let used = measured.in_flight * ROOM.0 + 1.0 >= self.limit;
        let limit = if used { wanted(busy) } else { self.limit };
        self.set_limit(limit.min(self.ceiling(now)), now);
    }

    fn is_to_probe(&mut self, doubtful: bool, now: Instant) -> bool {
        let last = *self.probing.last.get_or_insert(now);
        let due = now >= last + self.probing.interval;
        if due {
            self.probing.interval = (self.probing.interval * 2).min(PROBE_INTERVAL);
        }
        let probes = due || (doubtful && now >= last + FIRST_PROBE);
        if probes {
            self.probing.last = Some(now);
        }
        probes
    }

    fn ceiling(&self, now: Instant) -> f64 {
        let kept = self.pushback.as_ref();
        kept.filter(|pushback| now < pushback.at + KEPT_FOR)
            .map_or(f64::INFINITY, |pushback| pushback.ceiling)
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of keys is small")]
    fn set_limit(&mut self, limit: f64, now: Instant) {
        let before = self.limit();
        self.limit = limit.clamp(1.0, self.most as f64);
        self.measurement.latencies.clear();
        self.measurement.in_flight = 0;
        if self.limit() != before {
            self.measurement.since = Some(now);
        }
    }
}

impl Measurement {
    /// Whether the key was begun under this limit.
    fn counts(&self, latency: Duration, now: Instant) -> bool {
        let begun = now.checked_sub(latency);
        self.since.is_none_or(|since| begun >= Some(since))
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of keys is small")]
    fn take(&mut self) -> Measured {
        let count = self.latencies.len();
        let (_, median, _) = self.latencies.select_nth_unstable(count / 2);
        let measured = Measured {
            latency: median.as_secs_f64().max(1e-6),
            in_flight: self.in_flight as f64 / count as f64,
        };
        self.latencies.clear();
        self.in_flight = 0;
        measured
    }
}

impl Measured {
    /// How many keys Barbican was at work on.
    fn busy(&self, unhurried: f64) -> f64 {
        self.in_flight * unhurried / self.latency
    }
}

fn wanted(busy: f64) -> f64 {
    busy * ROOM.0 + ROOM.1
}

#[cfg(test)]
mod tests;
