//! A destination that misbehaves, down to the bytes and the packets: raw TCP, no HTTP library between.
//!
//! A script says what each call meets. Counts which calls came whole, and which came again after one that
//! may have been acted on: those are the duplicates that a lost answer causes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(super) const OK: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// What a call meets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// These bytes, and the connection is kept.
    Answer(&'static str),
    /// These bytes, then nothing more, for ever.
    Stall(&'static str),
    /// These bytes, then the end of what is sent; reading goes on.
    HalfClose(&'static str),
    /// These bytes, then the connection is closed.
    Close(&'static str),
    /// These bytes, then those again and again, for ever.
    Endless(&'static str, &'static str),
    /// The connection is reset when the call has been read.
    Reset,
}

type Script = Box<dyn FnMut(&str) -> Act + Send>;

pub(super) struct StandIn {
    pub(super) address: String,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    /// Bodies of the calls that came whole, in order.
    calls: Vec<String>,
    /// By body: calls that may have been acted on.
    acted_on: HashMap<String, usize>,
}

impl StandIn {
    /// Resets so many connections before anything was read; then calls meet what the script says of their body.
    pub(super) async fn start(
        address: &str,
        resets: usize,
        script: impl FnMut(&str) -> Act + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (seen, mut tasks) = (Arc::new(Mutex::new(Seen::default())), JoinSet::new());
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        tasks.spawn(accept(listener, resets, Arc::clone(&seen), script));
        Self { address, seen, _tasks: tasks }
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.seen.lock().unwrap().calls.clone()
    }

    /// Calls that came once more than they had to.
    pub(super) fn duplicates(&self) -> usize {
        self.seen.lock().unwrap().acted_on.values().map(|times| times - 1).sum()
    }
}

async fn accept(
    listener: TcpListener,
    mut resets: usize,
    seen: Arc<Mutex<Seen>>,
    script: Arc<Mutex<Script>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if resets > 0 {
            resets -= 1;
            reset(&stream);
            continue;
        }
        connections.spawn(serve(stream, Arc::clone(&seen), Arc::clone(&script)));
    }
}

/// What is dropped next is reset instead of closed.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>, script: Arc<Mutex<Script>>) {
    while let Some(body) = read_call(&mut stream).await {
        let act = script.lock().unwrap()(&body);
        note(&mut seen.lock().unwrap(), body, act);
        if perform(&mut stream, act).await.is_none() {
            return;
        }
    }
}

fn note(seen: &mut Seen, body: String, act: Act) {
    let is_refusal = |text: &str| text.starts_with("HTTP/1.1 ") && !text.starts_with("HTTP/1.1 2");
    let refused = matches!(act, Act::Answer(text) if is_refusal(text));
    if !refused {
        *seen.acted_on.entry(body.clone()).or_default() += 1;
    }
    seen.calls.push(body);
}

/// `None` if the connection is over.
async fn perform(stream: &mut TcpStream, act: Act) -> Option<()> {
    match act {
        Act::Answer(text) => stream.write_all(text.as_bytes()).await.ok(),
        Act::Close(text) => {
            stream.write_all(text.as_bytes()).await.ok()?;
            None
        }
        Act::Stall(text) => {
            stream.write_all(text.as_bytes()).await.ok()?;
            until_closed(stream).await
        }
        Act::HalfClose(text) => {
            stream.write_all(text.as_bytes()).await.ok()?;
            stream.shutdown().await.ok()?;
            until_closed(stream).await
        }
        Act::Endless(text, again) => {
            stream.write_all(text.as_bytes()).await.ok()?;
            loop {
                stream.write_all(again.as_bytes()).await.ok()?;
            }
        }
        Act::Reset => {
            reset(stream);
            None
        }
    }
}

async fn until_closed(stream: &mut TcpStream) -> Option<()> {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    None
}

/// The body of the next call; `None` when the connection ends before a whole one.
async fn read_call(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if bytes.first() == Some(&0x16) {
            // A TLS greeting: what plain servers answer to it.
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.ok()?;
            // Lets the answer be read before the connection goes.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(bytes.get(..end)?).ok()?.to_ascii_lowercase();
            let length =
                head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
            if let Some(body) = bytes.get(end + 4..end + 4 + length) {
                return String::from_utf8(body.to_vec()).ok();
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
