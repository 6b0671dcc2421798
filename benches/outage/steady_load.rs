//! Accoil is down while events keep coming, then it is up again. Measures what arrives, in which order, and the memory.
//!
//! Delivery, outbox and a counting destination run in one process, so the memory is that of all three. The benchmark `outage` and
//! a shorter test use this.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use accoil_relay::accoil::Request;
use accoil_relay::decode::Form;
use accoil_relay::deliver::{self, Control, Endpoint, Pauses, Schedule, Target};
use accoil_relay::facts::Facts;
use accoil_relay::outbox::{Accepted, Options, Outbox, Retention, Submission};
use accoil_relay::tasks::Tasks;
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const USERS: usize = 500;
const TICK: Duration = Duration::from_millis(10);
const KEEP_ALL: Retention = Retention { age: Duration::from_secs(86_400), bytes: u64::MAX };
/// About the size of an event, and of its call.
const BYTES: usize = 450;

/// What the destination has received, and the memory of this process, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) accepted: usize,
    pub(crate) delivered: usize,
    pub(crate) resident_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) accepted: usize,
    pub(crate) delivered: usize,
    pub(crate) duplicates: usize,
    pub(crate) out_of_order: usize,
    pub(crate) dead: u64,
    /// Calls that the destination refused while it was down.
    pub(crate) probes: usize,
    /// From the end of the outage until every event had arrived.
    pub(crate) recovery: Duration,
    /// About one per second.
    pub(crate) samples: Vec<Sample>,
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, megabytes) = (self.at.as_secs(), self.resident_bytes >> 20);
        write!(
            formatter,
            "{seconds:5} s  accepted {:8}  delivered {:8}  memory {megabytes:4} MB",
            self.accepted, self.delivered
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.samples.iter().map(|sample| sample.resident_bytes >> 20).max().unwrap_or(0);
        write!(
            formatter,
            "accepted {}, delivered {}, dead letters {}, duplicates {}, out of order {}; {} calls while it was down; \
             all delivered {:.1} s after it was up; resident memory {most} MB at most",
            self.accepted,
            self.delivered,
            self.dead,
            self.duplicates,
            self.out_of_order,
            self.probes,
            self.recovery.as_secs_f64(),
        )
    }
}

/// Sends `rate` events per second during the outage and half as long after it.
pub(crate) async fn run(outage: Duration, rate: usize, mut watch: impl FnMut(&Sample)) -> Figures {
    let destination = Arc::new(Destination::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut server = JoinSet::new();
    server.spawn(serve(listener, Arc::clone(&destination)));

    let directory = tempfile::tempdir().expect("a folder");
    let outbox = open(directory.path());
    let tasks = Tasks::new(&CancellationToken::new());
    let status = deliver::start(&tasks, &outbox, &Facts::off(), target(&url));

    let (started, mut ended) = (Instant::now(), None);
    let (mut accepted, mut samples) = (0, Vec::<Sample>::new());
    let load = outage * 3 / 2;
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let at = started.elapsed();
        if at >= outage && ended.is_none() {
            destination.is_up.store(true, Ordering::Relaxed);
            ended = Some(Instant::now());
        }
        // Counted by the clock, so that a slow machine sends as many.
        let wanted = usize::try_from(at.min(load).as_millis()).unwrap_or(0) * rate / 1_000;
        if wanted > accepted {
            outbox.accept(submission(accepted..wanted)).await.expect("it is accepted");
            accepted = wanted;
        }
        let delivered = destination.delivered();
        if samples.last().is_none_or(|last| at.saturating_sub(last.at) >= Duration::from_secs(1)) {
            samples.push(Sample { at, accepted, delivered, resident_bytes: resident_bytes() });
            samples.last().into_iter().for_each(&mut watch);
        }
        let settled = status.borrow().delivered + status.borrow().dead;
        if at >= load && settled >= accepted as u64 {
            break;
        }
    }
    let figures = Figures {
        accepted,
        delivered: destination.delivered(),
        duplicates: destination.duplicates.load(Ordering::Relaxed),
        out_of_order: destination.out_of_order.load(Ordering::Relaxed),
        dead: status.borrow().dead,
        probes: destination.refused.load(Ordering::Relaxed),
        recovery: ended.map(|ended| ended.elapsed()).unwrap_or_default(),
        samples,
    };
    tasks.stop(Duration::from_secs(10)).await;
    outbox.close().await;
    figures
}

fn open(directory: &std::path::Path) -> Outbox {
    let options = Options {
        path: directory.join("relay.db"),
        deduplication_ids: 0,
        longest_window: Duration::ZERO,
        max_bytes: u64::MAX,
        min_free_disk: 0,
        dead_letters: KEEP_ALL,
        rejects: KEEP_ALL,
    };
    Outbox::open(&options).expect("an outbox")
}

fn target(url: &str) -> Target {
    Target {
        name: Arc::from("accoil"),
        endpoint: Arc::new(Endpoint::new(url).expect("a URL")),
        concurrency: 64,
        rate: None,
        timeout: Duration::from_secs(30),
        schedule: Schedule {
            initial: Duration::from_secs(1),
            longest: Duration::from_secs(600),
            most_age: Duration::from_secs(86_400),
            most_attempts: 60,
        },
        pauses: Pauses::default(),
        control: Control::default(),
    }
}

fn submission(numbers: std::ops::Range<usize>) -> Submission {
    let accepted = numbers.map(|number| Accepted {
        event: accoil_relay::event_id::EventId(1),
        original: Bytes::from(vec![b'x'; BYTES]),
        message_id: None,
        requests: vec![request(number % USERS, number / USERS)],
        warned: Vec::new(),
        title: None,
    });
    Submission {
        source: Arc::from("web"),
        form: Form::SegmentWebhook,
        received_at: chrono::Utc::now(),
        deduplication_window: Duration::ZERO,
        accepted: accepted.collect(),
        rejects: Vec::new(),
        skipped: Vec::new(),
        envelope: None,
        mappings: 0,
    }
}

/// The body has the user, the number of the user's call, and filler up to the size of an event.
fn request(user: usize, number: usize) -> Request {
    Request {
        destination: Arc::from("accoil"),
        mapping: Arc::from("Track Calls"),
        action: "track",
        path: "/v2/track",
        user: format!("user-{user}"),
        fingerprints: Vec::new(),
        warnings: String::new(),
        body: format!("{user} {number} {}", "x".repeat(BYTES)).into_bytes(),
    }
}

/// Counts the calls, and checks each user's numbers.
struct Destination {
    is_up: AtomicBool,
    refused: AtomicUsize,
    duplicates: AtomicUsize,
    out_of_order: AtomicUsize,
    /// The number that each user's next call must have.
    next: Mutex<Vec<usize>>,
}

impl Default for Destination {
    fn default() -> Self {
        Self {
            is_up: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            duplicates: AtomicUsize::new(0),
            out_of_order: AtomicUsize::new(0),
            next: Mutex::new(vec![0; USERS]),
        }
    }
}

impl Destination {
    fn delivered(&self) -> usize {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).iter().sum()
    }

    /// Counts a call and returns the status to answer with.
    fn take(&self, body: &[u8]) -> u16 {
        if !self.is_up.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return 503;
        }
        let text = String::from_utf8_lossy(body);
        let mut words = text.split(' ').map_while(|word| word.parse::<usize>().ok());
        let (Some(user), Some(number)) = (words.next(), words.next()) else { return 400 };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = next.get_mut(user) else { return 400 };
        if number < *next {
            self.duplicates.fetch_add(1, Ordering::Relaxed);
        } else {
            if number > *next {
                self.out_of_order.fetch_add(1, Ordering::Relaxed);
            }
            *next = number + 1;
        }
        202
    }
}

async fn serve(listener: TcpListener, destination: Arc<Destination>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let destination = Arc::clone(&destination);
        let service = service_fn(move |request: http::Request<Incoming>| {
            let destination = Arc::clone(&destination);
            async move {
                let body = request.into_body().collect().await.map(Collected::to_bytes);
                let mut response = http::Response::new(Empty::<Bytes>::new());
                let status = body.map_or(400, |body| destination.take(&body));
                *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
                Ok::<_, Infallible>(response)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        connections.spawn(connection.serve_connection(TokioIo::new(stream), service));
    }
}

/// Resident memory of this process; 0 if it cannot be read.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1_024
}
