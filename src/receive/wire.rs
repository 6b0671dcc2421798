//! The bytes of one connection: disconnects a client that does not read its answers, and checks the heads of
//! requests.
//!
//! While an answer cannot be written, nothing more is read, so that nobody can pipeline requests without reading.
//! Each line of a head must end with CR and LF. A bare LF, which two servers may read differently, is made unreadable
//! for the parser, which then answers 400. A long head takes memory from that of all bodies.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::heads::Heads;
use super::memory::HeadRoom;

/// The time for the client to read an answer that does not fit into the system's buffers.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection's stream.
pub(super) struct Wire {
    stream: TcpStream,
    heads: Heads,
    room: HeadRoom,
    /// Runs while an answer cannot be written.
    blocked: Option<Pin<Box<Sleep>>>,
    state: Arc<State>,
}

/// What the connection's task must know about its client.
#[derive(Debug, Default)]
pub(super) struct State {
    /// True if it does not read its answer.
    pub(super) is_blocked: AtomicBool,
    /// True if it sends requests without waiting for answers.
    pub(super) is_pipelined: AtomicBool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, room: HeadRoom) -> Self {
        Self { stream, heads: Heads::default(), room, blocked: None, state: Arc::default() }
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Handles the result of a write of this many bytes.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
        all: usize,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(written)) if written == all => {
                if self.blocked.take().is_some() {
                    self.state.is_blocked.store(false, Ordering::Relaxed);
                }
            }
            // Progress, however slow, does not stop the timer.
            Poll::Ready(_) => {}
            Poll::Pending => {
                ready!(self.poll_blocked(context))?;
            }
        }
        outcome
    }

    /// Fails if the client has not read for too long.
    fn poll_blocked(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &self.state;
        let timer = self.blocked.get_or_insert_with(|| {
            state.is_blocked.store(true, Ordering::Relaxed);
            Box::pin(tokio::time::sleep(WRITE_TIMEOUT))
        });
        timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.blocked.is_some() {
            // The stream wakes it when it can be written, or the timer does.
            return self.poll_blocked(context);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(read) = buffer.filled_mut().get_mut(before..) {
            self.heads.check(read);
        }
        self.state.is_pipelined.store(self.heads.is_pipelined(), Ordering::Relaxed);
        let head = self.heads.unfinished();
        self.room.hold(head).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, outcome, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = slices.iter().map(|slice| slice.len()).sum();
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, outcome, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
