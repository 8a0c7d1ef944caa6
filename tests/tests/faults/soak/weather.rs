//! When what fails, and how: drawn from a seed, so that the same weather can be had again.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use key_migrator_tests::fault_proxy::{Fault, FaultProxy, Request, Rule};
use tokio::time::{Instant, sleep_until};

use super::disk::{Disk, Trouble};

/// A burst takes so many seconds.
const BURST: std::ops::Range<u64> = 2..7;

/// A burst is a fifth of the time that it stands in.
const FIFTH: u32 = 5;

/// How long an answer is held back by a service that is slow.
const SLOW: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    until: Instant,
    seed: u64,
}

/// What happened to one service.
#[derive(Debug)]
pub(crate) struct Told {
    service: &'static str,
    bursts: u32,
    failing: Duration,
    of: Duration,
    /// Requests that met a fault.
    met: u64,
}

/// How a service fails for the time of a burst.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// Nobody listens, and every connection is cut.
    Away,
    /// These requests meet this fault.
    Each(Request, Fault),
}

/// One burst after another, up to the end.
struct Bursts {
    random: fastrand::Rng,
    began: Instant,
    from: Instant,
    until: Instant,
    told: Told,
}

struct Burst {
    begins: Instant,
    ends: Instant,
}

/// What happens to requests of Barbican and of the database alike.
const FAULTS: [Fault; 9] = [
    Fault::Unavailable,
    Fault::FailAfter,
    Fault::ResetBefore,
    Fault::ResetAfter,
    Fault::ReplyLost,
    Fault::Truncate,
    Fault::HalfClose,
    Fault::Drop,
    Fault::Delay(SLOW),
];

/// Each fault on each kind of request, and the service away.
fn failures(requests: &[Request], faults: impl IntoIterator<Item = Fault>) -> Vec<Failure> {
    let each = faults.into_iter().flat_map(|fault| {
        requests
            .iter()
            .map(move |request| Failure::Each(*request, fault))
    });
    [Failure::Away, Failure::Away]
        .into_iter()
        .chain(each)
        .collect()
}

impl Weather {
    pub(crate) fn new(time: Duration, seed: u64) -> Self {
        Self {
            until: Instant::now() + time,
            seed,
        }
    }

    /// Each burst begins with a token that Barbican rejects, as nobody would ask Keystone for
    /// another while the first one lives.
    pub(crate) async fn keystone(&self, proxy: &FaultProxy, barbican: &FaultProxy) -> Result<Told> {
        let mut failures = vec![Failure::Away];
        for fault in [
            Fault::Unavailable,
            Fault::ResetBefore,
            Fault::ResetAfter,
            Fault::ReplyLost,
            Fault::Truncate,
            Fault::HalfClose,
            Fault::Drop,
            Fault::Delay(SLOW),
        ] {
            failures.push(Failure::Each(Request::Any, fault));
        }
        let mut bursts = self.bursts("Keystone", 1);
        while let Some(burst) = bursts.next() {
            sleep_until(burst.begins).await;
            let rejected = barbican.add(Rule::once(Request::Any, Fault::Unauthorized));
            bursts.told.met += fail(proxy, bursts.choose(&failures), &burst).await?;
            rejected.heal();
        }
        Ok(bursts.told)
    }

    pub(crate) async fn barbican(&self, proxy: &FaultProxy) -> Result<Told> {
        let requests = [
            Request::Any,
            Request::Store,
            Request::SetReaders,
            Request::Payload,
        ];
        let failures = failures(&requests, FAULTS.into_iter().chain([Fault::Late]));
        self.storm("Barbican", 2, proxy, &failures).await
    }

    /// Not with answers that come after the program has given up: it waits half a minute for a
    /// transaction, and five for a count, which is longer than the calm.
    pub(crate) async fn mariadb(&self, proxy: &FaultProxy) -> Result<Told> {
        let requests = [Request::Any, Request::Update, Request::Commit];
        let failures = failures(&requests, FAULTS);
        self.storm("MariaDB", 3, proxy, &failures).await
    }

    /// The ledger's disk as the process with this ID sees it.
    pub(crate) async fn disk(&self, disk: &Disk, pid: u32) -> Result<Told> {
        let mut bursts = self.bursts("disk", 4);
        while let Some(burst) = bursts.next() {
            sleep_until(burst.begins).await;
            let trouble = disk.trouble(bursts.choose(&Trouble::ALL), pid).await?;
            sleep_until(burst.ends).await;
            bursts.told.met += trouble.end().await?;
        }
        Ok(bursts.told)
    }

    async fn storm(
        &self,
        service: &'static str,
        salt: u64,
        proxy: &FaultProxy,
        failures: &[Failure],
    ) -> Result<Told> {
        let mut bursts = self.bursts(service, salt);
        while let Some(burst) = bursts.next() {
            sleep_until(burst.begins).await;
            let failure = bursts.choose(failures);
            bursts.told.met += fail(proxy, failure, &burst).await?;
        }
        Ok(bursts.told)
    }

    fn bursts(&self, service: &'static str, salt: u64) -> Bursts {
        let now = Instant::now();
        Bursts {
            random: fastrand::Rng::with_seed(self.seed.wrapping_mul(31).wrapping_add(salt)),
            began: now,
            from: now,
            until: self.until,
            told: Told {
                service,
                bursts: 0,
                failing: Duration::ZERO,
                of: self.until - now,
                met: 0,
            },
        }
    }
}

/// Fails until the burst ends, and says how many requests met it.
async fn fail(proxy: &FaultProxy, failure: Failure, burst: &Burst) -> Result<u64> {
    match failure {
        Failure::Away => {
            proxy.take_away().await?;
            sleep_until(burst.ends).await;
            proxy.give_back().await?;
            Ok(0)
        }
        Failure::Each(request, fault) => {
            let rule = proxy.add(Rule::until_healed(request, fault));
            sleep_until(burst.ends).await;
            rule.heal();
            Ok(rule.count())
        }
    }
}

impl Bursts {
    /// One of these, told to whoever looks into the output of a test that failed.
    fn choose<T: Copy + fmt::Debug>(&mut self, all: &[T]) -> T {
        let one = all[self.random.usize(..all.len())];
        let since = Instant::now() - self.began;
        let service = self.told.service;
        eprintln!("{:6.1} s: {service}: {one:?}", since.as_secs_f32());
        one
    }

    /// The next burst, at a random place of a time five times its own.
    fn next(&mut self) -> Option<Burst> {
        let long = Duration::from_secs(self.random.u64(BURST));
        let end = self.from + long * FIFTH;
        if end > self.until {
            return None;
        }
        let before = (long * (FIFTH - 1)).mul_f64(self.random.f64());
        let begins = self.from + before;
        self.from = end;
        self.told.bursts += 1;
        self.told.failing += long;
        Some(Burst {
            begins,
            ends: begins + long,
        })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<8} failed {} times for {} of {} s; {} requests met a fault",
            self.service,
            self.bursts,
            self.failing.as_secs(),
            self.of.as_secs(),
            self.met
        )
    }
}
