//! A connection between a relay and a server that can be cut, delayed, or lose the answers. Servers of the tests do not advertise
//! their own addresses, so that a relay has no other way.

#![expect(clippy::disallowed_methods, reason = "the proxy is not part of the relay")]

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Open,
    /// Each piece arrives this much later.
    Slow(Duration),
    /// What the relay sends arrives; what the server answers does not. Only a new connection recovers.
    NoAnswers,
    Cut,
}

pub(crate) struct Proxy {
    port: u16,
    line: watch::Sender<Line>,
    _end: DropGuard,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (line, watched) = watch::channel(Line::Open);
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(accept(listener, server, watched)));
        Self { port, line, _end: end.drop_guard() }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// A connection is refused by closing it at once.
async fn accept(listener: TcpListener, server: u16, line: watch::Receiver<Line>) {
    loop {
        let (relay, _) = listener.accept().await.unwrap();
        if *line.borrow() == Line::Cut {
            continue;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
        let (from_relay, to_relay) = relay.into_split();
        let (from_server, to_server) = server.into_split();
        let (asked, answered) = (line.clone(), line.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = pass(from_relay, to_server, asked, false) => {}
                _ = pass(from_server, to_relay, answered, true) => {}
            }
        });
    }
}

/// Passes bytes on until one side closes or the line is cut.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    is_answer: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            _ = line.wait_for(|line| *line == Line::Cut) => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        let now = *line.borrow();
        match now {
            Line::NoAnswers if is_answer => continue,
            Line::Open | Line::NoAnswers => {}
            Line::Slow(by) => tokio::time::sleep(by).await,
            Line::Cut => return Ok(()),
        }
        to.write_all(&buffer[..read]).await?;
    }
}
