//! The outbox compared with a map, in random runs of accept, load, settle, crash and open.
//!
//! A crash leaves what is stored at that moment, while the first outbox still runs.

use std::collections::{HashSet, VecDeque};

use accoil_relay::outbox::chunk::Job;
use accoil_relay::outbox::{Lane, Outbox, Position, Settlement};
use chrono::{DateTime, Utc};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Home, LIMIT};
use crate::outbox::{
    attempt, bodies, dead, delivered, event, flush, jobs, lanes, newest_letters, parked_of, request, settle,
    submission,
};

const DESTINATIONS: [&str; 2] = ["a", "b"];
const USERS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Events of (user, id, both destinations or the first alone), in one submission.
    Accept(Vec<(usize, Option<u8>, bool)>),
    /// A loaded request of a destination, chosen by number, leaves its chunk.
    Settle {
        destination: usize,
        pick: usize,
        ending: Ending,
    },
    /// The first parked request of a user leaves its row, or stays.
    Unpark {
        destination: usize,
        user: usize,
        ending: Ending,
    },
    Reopen,
    Crash,
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Deliver,
    Park,
    Bury,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Parked,
    Dead,
    Delivered,
}

#[derive(Debug)]
struct ModelCall {
    destination: usize,
    user: usize,
    body: String,
    state: State,
}

fn step() -> impl Strategy<Value = Step> {
    let ending = || prop_oneof![2 => Just(Ending::Deliver), 2 => Just(Ending::Park), 1 => Just(Ending::Bury)];
    let events = vec((0..USERS, proptest::option::of(0_u8..12), any::<bool>()), 1..5);
    let (settled, unparked) = ((0_usize..2, 0_usize..8, ending()), (0_usize..2, 0..USERS, ending()));
    prop_oneof![
        4 => events.prop_map(Step::Accept),
        6 => settled.prop_map(|(destination, pick, ending)| Step::Settle { destination, pick, ending }),
        3 => unparked.prop_map(|(destination, user, ending)| Step::Unpark { destination, user, ending }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// The outbox, and the content that it must have.
struct Run {
    home: Home,
    outbox: Outbox,
    /// The requests that a dispatcher would have: loaded and not yet settled.
    loaded: [VecDeque<Job>; 2],
    /// For each destination and lane.
    cursors: [Vec<Position>; 2],
    model: Vec<ModelCall>,
    ids: HashSet<u8>,
}

impl Run {
    async fn new(home: Home) -> Self {
        let outbox = home.open().await;
        Self {
            home,
            cursors: starts(&outbox),
            outbox,
            loaded: Default::default(),
            model: Vec::new(),
            ids: HashSet::new(),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Accept(events) => self.accept(&events).await,
            Step::Settle { destination, pick, ending } => self.settle(destination, pick, ending).await,
            Step::Unpark { destination, user, ending } => self.unpark(destination, user, ending).await,
            Step::Reopen => {
                self.outbox.close().await;
                self.start().await;
            }
            Step::Crash => {
                // Earlier settlements are durable with the next commit, which is this one.
                flush(&self.outbox).await;
                self.home.crash();
                self.start().await;
            }
        }
    }

    async fn accept(&mut self, events: &[(usize, Option<u8>, bool)]) {
        let (mut accepted, mut duplicates) = (Vec::new(), 0);
        for (user, id, both) in events {
            let destinations = if *both { 2 } else { 1 };
            let is_new = id.is_none_or(|id| self.ids.insert(id));
            let mut requests = Vec::new();
            for (destination, name) in DESTINATIONS.iter().enumerate().take(destinations) {
                let body = if is_new { self.model.len().to_string() } else { "duplicate".to_owned() };
                requests.push(request(name, &user.to_string(), body.clone()));
                if is_new {
                    self.model.push(ModelCall { destination, user: *user, body, state: State::Waiting });
                }
            }
            duplicates += usize::from(!is_new);
            accepted.push(event(id.map(|id| id.to_string()).as_deref(), requests));
        }
        let receipt = self.outbox.accept(submission(accepted, Vec::new())).await.unwrap();
        assert_eq!((receipt.accepted, receipt.duplicates), (events.len() - duplicates, duplicates));
    }

    /// Loads new requests, as a dispatcher does, and settles one of them.
    async fn settle(&mut self, destination: usize, pick: usize, ending: Ending) {
        for (lane, cursor) in lanes(&self.outbox).iter().zip(&mut self.cursors[destination]) {
            while let Some(chunk) = lane.next_chunk(*cursor).await.unwrap() {
                *cursor = chunk.position();
                self.loaded[destination].extend(chunk.jobs(DESTINATIONS[destination]).unwrap());
            }
        }
        let length = self.loaded[destination].len();
        if length > 0 {
            let job = self.loaded[destination].remove(pick % length).unwrap();
            self.settle_as(job, ending);
        }
    }

    async fn unpark(&mut self, destination: usize, user: usize, ending: Ending) {
        let user = user.to_string();
        let rows = parked_of(&self.outbox, DESTINATIONS[destination], vec![user]).await;
        if let Some(first) = rows.into_iter().next() {
            self.settle_as(first.job, ending);
        }
    }

    fn settle_as(&mut self, job: Job, ending: Ending) {
        let body = std::str::from_utf8(&job.body).unwrap();
        let known = self
            .model
            .iter_mut()
            .find(|known| known.body == body && DESTINATIONS[known.destination] == job.destination.as_str());
        let known = known.expect("what is claimed was accepted");
        let (state, settlement) = match ending {
            Ending::Deliver => (State::Delivered, delivered(job.place)),
            Ending::Bury => (State::Dead, dead(job, "no")),
            Ending::Park => {
                let at: Option<DateTime<Utc>> = Some(Utc::now());
                let attempts = vec![attempt("later")];
                (State::Parked, Settlement::Parked { job: Box::new(job), attempts, next_attempt_at: at })
            }
        };
        known.state = state;
        settle(&self.outbox, vec![settlement]);
    }

    /// Opens the outbox again. Its content must then equal the model's.
    async fn start(&mut self) {
        self.outbox = self.home.open().await;
        self.cursors = starts(&self.outbox);
        for (destination, name) in DESTINATIONS.iter().enumerate() {
            let (waiting, is_sound) = jobs(&self.outbox, name).await;
            assert!(is_sound);
            assert_eq!(bodies(&waiting), self.bodies(destination, None, State::Waiting));
            for user in 0..USERS {
                let parked = parked_of(&self.outbox, name, vec![user.to_string()]).await;
                let parked: Vec<Job> = parked.into_iter().map(|row| row.job).collect();
                let expected = self.bodies(destination, Some(user), State::Parked);
                // At most 16 are returned at a time.
                assert_eq!(bodies(&parked), expected[..expected.len().min(16)]);
            }
            self.loaded[destination].clear();
        }
        let mut dead: Vec<_> = newest_letters(&self.outbox, 1000).await;
        dead.sort_by_key(|letter| String::from_utf8(letter.body.clone()).unwrap().parse::<usize>().unwrap());
        let dead: Vec<_> =
            dead.iter().map(|letter| String::from_utf8(letter.body.clone()).unwrap()).collect();
        let dead_letters = self.model.iter().filter(|known| known.state == State::Dead);
        assert_eq!(dead, dead_letters.map(|known| known.body.clone()).collect::<Vec<_>>());
        let is_empty = !self.model.iter().any(|known| matches!(known.state, State::Waiting | State::Parked));
        assert_eq!(self.outbox.waiting_bytes() == 0, is_empty);
    }

    fn bodies(&self, destination: usize, user: Option<usize>, state: State) -> Vec<&str> {
        let meant = |known: &&ModelCall| {
            known.destination == destination
                && known.state == state
                && user.is_none_or(|user| known.user == user)
        };
        self.model.iter().filter(meant).map(|known| known.body.as_str()).collect()
    }
}

fn starts(outbox: &Outbox) -> [Vec<Position>; 2] {
    let starts: Vec<Position> = lanes(outbox).iter().map(Lane::start).collect();
    [starts.clone(), starts]
}

/// Random runs over outboxes from this constructor.
pub(super) fn all_clauses_hold_in_random_runs(make: fn() -> Home) {
    // A crash over a server costs the time until its lease has ended.
    let (cases, max_shrink_iters) = if matches!(make(), Home::Nats(_)) { (4, 0) } else { (48, 200) };
    let config = ProptestConfig { cases, max_shrink_iters, ..ProptestConfig::default() };
    proptest!(config, |(steps in vec(step(), 1..50))| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let run = async {
            let mut run = Run::new(make()).await;
            for step in steps {
                run.step(step).await;
            }
            run.step(Step::Crash).await;
            run.step(Step::Reopen).await;
        };
        runtime.block_on(async { tokio::time::timeout(3 * LIMIT, run).await.expect("it ends in time") });
    });
}
