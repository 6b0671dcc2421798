//! What the demo prints: each sample, its answer, and the calls it became, readable in a terminal.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use super::samples::Sample;
use crate::deliver::Answer;
use crate::sandbox::Received;

pub(super) fn head() -> io::Result<()> {
    writeln!(io::stdout(), "Sample events, and the calls that each became at the stand-in Accoil:\n")
}

pub(super) fn sample(sample: &Sample, answer: &Answer, calls: &[Received]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", sample.title)?;
    writeln!(out, "  in   POST {}", sample.path)?;
    writeln!(out, "       {}", sample.body)?;
    writeln!(out, "  said {} {}", answer.status, String::from_utf8_lossy(&answer.body))?;
    for call in calls {
        writeln!(out, "  out  POST {}", call.path)?;
        writeln!(out, "       {}", call.body)?;
    }
    if calls.is_empty() {
        writeln!(out, "  out  nothing")?;
    }
    writeln!(out)
}

pub(super) fn next_steps(relay: SocketAddr, sandbox: SocketAddr, arrived: bool) -> io::Result<()> {
    let verdict = if arrived {
        "Every call arrived as it should."
    } else {
        "NOT every call arrived as it should: see above, and the log."
    };
    writeln!(
        io::stdout(),
        "{verdict}\n\n\
         Send your own (any write key will do here):\n\
         \x20 curl -d '{{\"type\":\"track\",\"event\":\"Hello\",\"userId\":\"me\"}}' http://{relay}/segment\n\
         See what the stand-in Accoil got:\n\
         \x20 curl http://{sandbox}/received"
    )
}
