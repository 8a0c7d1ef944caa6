//! The limit against simulated Barbicans, beside the best number that could have been set by hand.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;

/// The least share of what the best fixed number of keys in flight reaches.
const SHARE: f64 = 0.97;

const MOST: usize = 32;

/// A Barbican, and how its answers take their time.
#[derive(Clone, Debug)]
struct Server {
    /// How many requests it works on at once.
    workers: usize,
    /// What a request takes, in seconds, once a worker has it.
    service: f64,
    /// The share of it that is exponentially distributed.
    noise: f64,
    /// One request in a thousand takes this many times as long.
    outlier: f64,
    /// More requests than this a second are refused.
    most_rate: Option<f64>,
}

impl Server {
    fn with_workers(workers: usize) -> Self {
        Self {
            workers,
            service: 0.014,
            noise: 0.5,
            outlier: 1.0,
            most_rate: None,
        }
    }

    /// Every request takes as long, however many there are.
    fn far_away(latency: f64) -> Self {
        Self {
            service: latency,
            noise: 0.0,
            ..Self::with_workers(usize::MAX)
        }
    }
}

/// What takes place, and when.
#[derive(Clone, Debug)]
struct Story {
    seconds: f64,
    /// What each key spends elsewhere than at Barbican.
    elsewhere: f64,
    server: Server,
    /// From then on it is another.
    then: Option<(f64, Server)>,
}

impl Story {
    fn of(server: Server) -> Self {
        Self {
            seconds: 40.0,
            elsewhere: 0.004,
            server,
            then: None,
        }
    }

    fn then(self, at: f64, server: Server) -> Self {
        Self {
            then: Some((at, server)),
            ..self
        }
    }
}

/// Who says how many keys are in flight.
enum Limit {
    Fixed(usize),
    Adapting(Concurrency),
}

impl Limit {
    fn now(&self) -> usize {
        match self {
            Self::Fixed(limit) => *limit,
            Self::Adapting(concurrency) => concurrency.limit(),
        }
    }
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    /// When each key was done.
    done: Vec<f64>,
    /// The limit, whenever it changed.
    limits: Vec<(f64, usize)>,
    refused: usize,
}

impl Outcome {
    fn limit_at(&self, at: f64) -> usize {
        let before = self.limits.iter().take_while(|(when, _)| *when <= at);
        before.last().map_or(1, |(_, limit)| *limit)
    }

    /// When it first was that high.
    fn reaches(&self, limit: usize) -> f64 {
        let first = self.limits.iter().find(|(_, known)| *known >= limit);
        first.map_or(f64::INFINITY, |(at, _)| *at)
    }

    /// The limit over this time, on average.
    fn mean_limit(&self, from: f64, to: f64) -> f64 {
        let steps = 1000;
        let at = |step: usize| from + (to - from) * step as f64 / steps as f64;
        let sum: usize = (0..steps).map(|step| self.limit_at(at(step))).sum();
        sum as f64 / steps as f64
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// The key sends its next request.
    Sends(usize),
    /// Its request is answered.
    Answered(usize),
}

struct Key {
    left: u32,
    sent: f64,
    latency: f64,
}

struct Simulation {
    story: Story,
    limit: Limit,
    random: u64,
    started: Instant,
    now: f64,
    sequence: u64,
    events: BinaryHeap<Reverse<(u64, u64, usize, bool)>>,
    keys: Vec<Key>,
    in_flight: usize,
    waiting: VecDeque<usize>,
    busy: usize,
    tokens: f64,
    tokens_at: f64,
    outcome: Outcome,
}

impl Simulation {
    fn run(story: &Story, limit: Limit, seed: u64) -> Outcome {
        let mut simulation = Self {
            story: story.clone(),
            limit,
            random: seed,
            started: Instant::now(),
            now: 0.0,
            sequence: 0,
            events: BinaryHeap::new(),
            keys: Vec::new(),
            in_flight: 0,
            waiting: VecDeque::new(),
            busy: 0,
            tokens: 1.0,
            tokens_at: 0.0,
            outcome: Outcome::default(),
        };
        simulation.begin_keys();
        while let Some(Reverse((at, _, key, answered))) = simulation.events.pop() {
            simulation.now = at as f64 / 1e9;
            if simulation.now > story.seconds {
                break;
            }
            let event = if answered {
                Event::Answered(key)
            } else {
                Event::Sends(key)
            };
            simulation.happens(event);
            simulation.begin_keys();
            simulation.note_limit();
        }
        simulation.outcome
    }

    fn begin_keys(&mut self) {
        while self.in_flight < self.limit.now() {
            self.in_flight += 1;
            self.keys.push(Key {
                left: 3,
                sent: 0.0,
                latency: 0.0,
            });
            let elsewhere = self.story.elsewhere;
            self.at(elsewhere, Event::Sends(self.keys.len() - 1));
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Sends(_) if self.refuses() => self.refused(),
            Event::Sends(key) => {
                self.keys[key].sent = self.now;
                self.waiting.push_back(key);
            }
            Event::Answered(key) => {
                self.busy -= 1;
                self.keys[key].left -= 1;
                self.keys[key].latency += self.now - self.keys[key].sent;
                if self.keys[key].left > 0 {
                    self.at(0.0, Event::Sends(key));
                } else {
                    self.done(key);
                }
            }
        }
        while self.busy < self.server().workers
            && let Some(key) = self.waiting.pop_front()
        {
            self.busy += 1;
            let service = self.service();
            self.at(service, Event::Answered(key));
        }
    }

    fn done(&mut self, key: usize) {
        let latency = Duration::from_secs_f64(self.keys[key].latency);
        let now = self.instant();
        if let Limit::Adapting(concurrency) = &mut self.limit {
            concurrency.answered(latency, self.in_flight, now);
        }
        self.outcome.done.push(self.now);
        self.in_flight -= 1;
    }

    /// Another key takes its place.
    fn refused(&mut self) {
        let now = self.instant();
        if let Limit::Adapting(concurrency) = &mut self.limit {
            concurrency.pushed_back(now);
        }
        self.outcome.refused += 1;
        self.in_flight -= 1;
    }

    fn refuses(&mut self) -> bool {
        let Some(rate) = self.server().most_rate else {
            return false;
        };
        let grown = self.tokens + (self.now - self.tokens_at) * rate;
        self.tokens = grown.min(rate / 5.0);
        self.tokens_at = self.now;
        let refuses = self.tokens < 1.0;
        if !refuses {
            self.tokens -= 1.0;
        }
        refuses
    }

    fn service(&mut self) -> f64 {
        let Server {
            service,
            noise,
            outlier,
            ..
        } = self.server().clone();
        let exponential = -(1.0 - self.uniform()).ln();
        let usual = service * (1.0 - noise) + service * noise * exponential;
        if self.uniform() < 0.001 {
            usual * outlier
        } else {
            usual
        }
    }

    fn server(&self) -> &Server {
        match &self.story.then {
            Some((at, then)) if self.now >= *at => then,
            _ => &self.story.server,
        }
    }

    fn at(&mut self, after: f64, event: Event) {
        self.sequence += 1;
        let at = ((self.now + after) * 1e9) as u64;
        let (key, answered) = match event {
            Event::Sends(key) => (key, false),
            Event::Answered(key) => (key, true),
        };
        self.events
            .push(Reverse((at, self.sequence, key, answered)));
    }

    fn instant(&self) -> Instant {
        self.started + Duration::from_secs_f64(self.now)
    }

    fn note_limit(&mut self) {
        let limit = self.limit.now();
        if self
            .outcome
            .limits
            .last()
            .is_none_or(|(_, last)| *last != limit)
        {
            self.outcome.limits.push((self.now, limit));
        }
    }

    /// SplitMix64.
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn adapting(story: &Story, seed: u64) -> Outcome {
    Simulation::run(story, Limit::Adapting(Concurrency::new(MOST)), seed)
}

/// What the best fixed number of keys in flight gets done.
fn best(story: &Story, seed: u64) -> usize {
    let fixed = |limit| Simulation::run(story, Limit::Fixed(limit), seed);
    let limits = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
    let done = limits.map(|limit| fixed(limit).done.len());
    done.into_iter().max().expect("several")
}

/// It gets done nearly what the best fixed number does.
fn keeps_up(name: &str, story: &Story, share: f64) -> Outcome {
    let seed = 7;
    let ours = adapting(story, seed);
    let reached = ours.done.len() as f64 / best(story, seed) as f64;
    assert!(reached >= share, "{name}: only {reached:.3}");
    ours
}

/// At most as many keys wait for the workers as these work on, and a few.
fn queue_is_short(name: &str, ours: &Outcome, workers: usize, from: f64, to: f64) {
    let mean = ours.mean_limit(from, to);
    let short = workers as f64 * 2.0 + 4.0;
    assert!(mean <= short, "{name}: {mean:.1} keys in flight");
}

#[test]
fn it_reaches_what_any_number_of_workers_can_do_with_a_short_queue() {
    for workers in [1, 2, 4, 8, 16] {
        let name = format!("{workers} workers");
        let story = Story::of(Server::with_workers(workers));
        let ours = keeps_up(&name, &story, SHARE);
        queue_is_short(&name, &ours, workers, 10.0, 40.0);
    }
}

#[test]
fn it_does_so_where_latencies_are_all_noise_or_a_few_requests_hang() {
    for workers in [1, 2, 4] {
        let noise = Server {
            noise: 1.0,
            ..Server::with_workers(workers)
        };
        keeps_up("noise", &Story::of(noise), SHARE);
    }
    let hanging = Server {
        outlier: 100.0,
        ..Server::with_workers(4)
    };
    keeps_up("hanging", &Story::of(hanging), SHARE);
}

#[test]
fn it_covers_the_time_that_keys_spend_elsewhere() {
    let story = Story {
        elsewhere: 0.04,
        ..Story::of(Server::with_workers(4))
    };
    keeps_up("elsewhere", &story, SHARE);
}

#[test]
fn where_nothing_queues_it_reaches_the_most_within_two_seconds() {
    for noise in [0.0, 0.5] {
        let server = Server {
            noise,
            ..Server::far_away(0.025)
        };
        let ours = keeps_up("far away", &Story::of(server), SHARE);
        assert!(ours.reaches(MOST) < 2.0, "{}", ours.reaches(MOST));
        assert!(ours.mean_limit(2.0, 40.0) > 31.0);
    }
}

#[test]
fn it_begins_with_one_key_and_with_one_again_at_each_pass() {
    let mut concurrency = Concurrency::new(MOST);
    assert_eq!(concurrency.limit(), 1);
    let now = grown(&mut concurrency);
    assert_eq!(concurrency.limit(), MOST);
    concurrency.restart();
    assert_eq!(concurrency.limit(), 1);
    concurrency.answered(LATENCY, 1, now + LATENCY);
    assert_eq!(concurrency.limit(), 4);
}

#[test]
fn a_barbican_that_becomes_slower_is_not_taken_for_a_queue() {
    let story = Story::of(Server::far_away(0.025)).then(20.0, Server::far_away(0.075));
    let ours = keeps_up("slower", &story, SHARE);
    assert!(ours.mean_limit(24.0, 40.0) > 30.0);
    let slower = Server {
        service: 0.042,
        ..Server::with_workers(4)
    };
    let story = Story::of(Server::with_workers(4)).then(20.0, slower);
    let ours = keeps_up("slower workers", &story, 0.96);
    queue_is_short("slower workers", &ours, 4, 25.0, 40.0);
}

#[test]
fn a_barbican_that_becomes_faster_is_followed_at_once_and_its_queue_is_short_again_soon() {
    let slow = Server {
        service: 0.042,
        ..Server::with_workers(4)
    };
    let story = Story {
        seconds: 80.0,
        ..Story::of(slow).then(20.0, Server::with_workers(4))
    };
    let ours = keeps_up("faster", &story, SHARE);
    queue_is_short("faster", &ours, 4, 52.0, 80.0);
}

#[test]
fn workers_that_come_are_used_and_those_that_go_are_not_queued_for() {
    let story = Story::of(Server::with_workers(1)).then(20.0, Server::with_workers(8));
    let ours = keeps_up("more", &story, SHARE);
    queue_is_short("more", &ours, 8, 25.0, 40.0);
    let story = Story::of(Server::with_workers(8)).then(20.0, Server::with_workers(1));
    let ours = keeps_up("fewer", &story, SHARE);
    queue_is_short("fewer", &ours, 1, 25.0, 40.0);
}

#[test]
fn what_is_refused_above_a_rate_is_seldom_tried_and_nearly_all_of_the_rate_is_used() {
    let rate = 600.0;
    let server = Server {
        most_rate: Some(rate),
        ..Server::far_away(0.025)
    };
    let ours = adapting(&Story::of(server), 7);
    let reached = ours.done.len() as f64 / (40.0 * rate / 3.0);
    assert!(reached > 0.9, "{reached:.3}");
    let share = ours.refused as f64 / ours.done.len() as f64;
    assert!(share < 0.01, "{share:.4} of all keys were refused");
}

#[test]
fn a_pushback_halves_once_for_all_that_was_in_flight() {
    let mut concurrency = Concurrency::new(MOST);
    let now = grown(&mut concurrency);
    for step in 0..10 {
        concurrency.pushed_back(now + step * LATENCY / 11);
    }
    assert_eq!(concurrency.limit(), MOST / 2);
    concurrency.pushed_back(now + LATENCY);
    assert_eq!(concurrency.limit(), MOST / 4);
    for step in 1..20 {
        concurrency.pushed_back(now + step * 2 * LATENCY);
    }
    assert_eq!(concurrency.limit(), 1);
}

#[test]
fn what_was_pushed_back_against_is_not_tried_again_for_half_a_minute() {
    let mut concurrency = Concurrency::new(MOST);
    let mut now = grown(&mut concurrency);
    concurrency.pushed_back(now);
    let pushed_back = now;
    let mut highest = 0;
    while now < pushed_back + KEPT_FOR {
        assert!(concurrency.limit() <= 28);
        highest = highest.max(concurrency.limit());
        now = round(&mut concurrency, now);
    }
    assert_eq!(highest, 28);
    let now = (0..5).fold(now, |now, _| round(&mut concurrency, now));
    assert_eq!(concurrency.limit(), MOST, "{:?}", now - pushed_back);
}

#[test]
fn an_outage_is_recovered_from_within_a_second() {
    let mut concurrency = Concurrency::new(MOST);
    let mut now = grown(&mut concurrency);
    for _ in 0..40 {
        concurrency.pushed_back(now);
        now += 2 * LATENCY;
    }
    assert_eq!(concurrency.limit(), 1);
    let healed = now;
    while concurrency.limit() < 28 {
        now = round(&mut concurrency, now);
    }
    assert!(now - healed < Duration::from_secs(1));
}

#[test]
fn a_limit_that_is_not_used_stays_as_it_is() {
    let mut concurrency = Concurrency::new(MOST);
    let mut now = grown(&mut concurrency);
    // A probe waits for a few answers and then goes back.
    let mut lowest_settled = MOST;
    for _ in 0..400 {
        now += LATENCY;
        concurrency.answered(LATENCY, 3, now);
        if concurrency.probing.put_by.is_none() {
            lowest_settled = lowest_settled.min(concurrency.limit());
        }
    }
    assert_eq!(lowest_settled, MOST);
}

#[test]
fn a_new_most_is_kept_at_once() {
    let mut concurrency = Concurrency::new(MOST);
    let now = grown(&mut concurrency);
    concurrency.set_most(5);
    assert_eq!(concurrency.limit(), 5);
    concurrency.set_most(0);
    assert_eq!(concurrency.limit(), 1);
    concurrency.set_most(MOST);
    let now = (0..9).fold(now, |now, _| round(&mut concurrency, now));
    assert_eq!(concurrency.limit(), MOST, "{now:?}");
}

const LATENCY: Duration = Duration::from_millis(75);

/// As many keys as may be in flight begin and end together, twice.
fn round(concurrency: &mut Concurrency, now: Instant) -> Instant {
    let mut now = now;
    for _ in 0..2 {
        let limit = concurrency.limit();
        now += LATENCY;
        for _ in 0..limit {
            concurrency.answered(LATENCY, limit, now);
        }
    }
    now
}

/// Nothing queues until the limit is at the most.
fn grown(concurrency: &mut Concurrency) -> Instant {
    let mut now = Instant::now();
    while concurrency.limit() < MOST {
        now = round(concurrency, now);
    }
    now
}
