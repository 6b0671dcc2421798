//! Prints the demo's results: each sample, its answer and its calls.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use super::samples::Sample;
use crate::accounts::sync::{Change, Direction, Summary};
use crate::sandbox::Received;

pub(super) fn head() -> io::Result<()> {
    writeln!(io::stdout(), "Sample events, and the calls that each became at the stand-in Accoil:\n")
}

pub(super) fn sample(sample: &Sample, status: u16, body: &[u8], calls: &[Received]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", sample.title)?;
    writeln!(out, "  in   POST {}", sample.path)?;
    writeln!(out, "       {}", sample.body)?;
    writeln!(out, "  answer {} {}", status, String::from_utf8_lossy(body))?;
    for call in calls {
        writeln!(out, "  out  POST {}", call.path)?;
        writeln!(out, "       {}", call.body)?;
    }
    if calls.is_empty() {
        writeln!(out, "  out  nothing")?;
    }
    writeln!(out)
}

/// Prints the result of a sync and its first call.
pub(super) fn sync(summary: &Summary, first: Option<&Change>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let title = match summary.direction {
        Direction::VitallyToAccoil => "Vitally's accounts at Accoil",
        Direction::AccoilToVitally => "Accoil's scores at Vitally",
    };
    writeln!(out, "{title}: sync {}", summary.direction.name())?;
    if let Some(first) = first {
        writeln!(out, "  out  {} {}", first.method, first.path)?;
        writeln!(out, "       {}", first.body)?;
    }
    for (count, what) in [
        (summary.written, "accounts written"),
        (summary.unknown.len(), "unknown to Accoil"),
        (summary.skipped.len(), "without an externalId, skipped"),
        (summary.failed.len(), "FAILED"),
    ] {
        if count > 0 {
            writeln!(out, "  {count:>4} {what}")?;
        }
    }
    summary.ended.iter().try_for_each(|why| writeln!(out, "  ENDED EARLY  {why}"))?;
    writeln!(out)
}

pub(super) fn next_steps(relay: SocketAddr, sandbox: SocketAddr, arrived: bool) -> io::Result<()> {
    let verdict = if arrived {
        "Every call arrived as expected."
    } else {
        "NOT every call arrived as expected: see above and the log."
    };
    writeln!(
        io::stdout(),
        "{verdict}\n\n\
         Send your own events (the demo accepts any write key):\n\
         \x20 curl -d '{{\"type\":\"track\",\"event\":\"Hello\",\"userId\":\"me\"}}' http://{relay}/segment\n\
         Show what the stand-ins for Accoil and Vitally received:\n\
         \x20 curl http://{sandbox}/received\n\
         \x20 curl http://{sandbox}/vitally/writes"
    )
}
