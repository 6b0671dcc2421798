//! A destination that misbehaves, down to the bytes and the packets. It uses raw TCP, without an HTTP library.
//!
//! A script names the act for each call. The stand-in counts the calls that arrived completely, and those that arrived again
//! after it may have acted on them: the duplicates that a lost answer causes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(super) const OK: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// What happens to a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// Sends these bytes and keeps the connection.
    Answer(&'static str),
    /// Sends these bytes, then nothing more.
    Stall(&'static str),
    /// Sends these bytes, then closes the sending side; it continues to read.
    HalfClose(&'static str),
    /// Sends these bytes, then closes the connection.
    Close(&'static str),
    /// Sends these bytes again and again, without end.
    Endless(&'static str, &'static str),
    /// Resets the connection after it has read the call.
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
    /// The bodies of the calls that arrived completely, in order.
    calls: Vec<String>,
    /// By body: the number of calls on which it may have acted.
    acted_on: HashMap<String, usize>,
}

impl StandIn {
    /// Resets this many connections before anything was read. After that, `script` returns the act for a call's body.
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

    /// Returns the number of calls that arrived again although it may have acted on them.
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

/// Makes the next drop of this stream a reset instead of a close.
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

/// Returns `None` if the connection is over.
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

/// Returns the body of the next call; `None` if the connection ends before it is complete.
async fn read_call(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if bytes.first() == Some(&0x16) {
            // A TLS greeting, answered as plain servers do.
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.ok()?;
            // Gives the client time to read the answer before the connection closes.
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
