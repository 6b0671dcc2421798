//! Prints the demo's results: one line for each sample, one for each sync, and the addresses to open next.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use serde_json::Value;

use super::cluster::Cluster;
use super::samples::Sample;
use crate::accounts::sync::{Direction, Summary};
use crate::plain::one_line;
use crate::run::Relay;
use crate::sandbox::Received;

pub(super) fn head() -> io::Result<()> {
    writeln!(
        io::stdout(),
        "\nThe demo runs the relay, and stand-ins for Accoil and Vitally. Nothing leaves this machine.\n"
    )
}

/// An event, the relay's answer, and the calls that the event became.
pub(super) fn sample(sample: &Sample, status: u16, answer: &[u8], calls: &[Received]) -> io::Result<()> {
    let became = match calls {
        [] if status == 200 => "nothing: it is skipped and counted".to_owned(),
        [] => format!("refused: {}", refusal(answer)),
        calls => calls.iter().map(call).collect::<Vec<_>>().join(", "),
    };
    let Sample { sender, title, .. } = sample;
    writeln!(io::stdout(), "  {sender:<17} {title:<31} {status}  {became}")
}

/// `POST /v2/track "Report Created"`
fn call(call: &Received) -> String {
    match call.body.get("event").and_then(|event| event.as_str()) {
        Some(event) => format!("{} \"{}\"", call.path, one_line(event)),
        None => call.path.clone(),
    }
}

/// The reason in the relay's answer.
fn refusal(answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(one_line);
    let reasons = ["errors", "rejected", "reasons"].iter().find_map(|key| answer[key].as_array()?.first());
    let field = reasons.and_then(|reason| text(&reason["field"]));
    let reason = reasons.and_then(|reason| text(&reason["reason"])).or_else(|| text(&answer["error"]));
    [field, reason].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The result of a sync.
pub(super) fn sync(summary: &Summary) -> io::Result<()> {
    let (from, to) = match summary.direction {
        Direction::VitallyToAccoil => ("Vitally's accounts", "to Accoil"),
        Direction::AccoilToVitally => ("Accoil's scores", "to Vitally"),
    };
    let counts = [
        (summary.written, "written"),
        (summary.unknown.len(), "unknown to Accoil"),
        (summary.skipped.len(), "without an externalId"),
        (summary.failed.len(), "FAILED"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts = counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ");
    writeln!(io::stdout(), "  {from:<17} {to:<31}      {counts}")?;
    summary.ended.iter().try_for_each(|why| writeln!(io::stdout(), "  ENDED EARLY: {why}"))
}

/// Prints whether all calls arrived, and the addresses to open next.
pub(super) fn next_steps(
    relays: &[Relay],
    sandbox: SocketAddr,
    cluster: Option<&Cluster>,
    arrived: bool,
) -> io::Result<()> {
    let verdict = if arrived {
        "Every call arrived as expected."
    } else {
        "NOT every call arrived as expected: compare the lines above with the log."
    };
    writeln!(io::stdout(), "\n{verdict}\n")?;
    for relay in relays {
        writeln!(io::stdout(), "  Dashboard    http://{}", relay.admin_address)?;
    }
    writeln!(io::stdout(), "  Received     http://{sandbox}/received")?;
    for relay in relays {
        let event = r#"{"type":"track","event":"Hello","userId":"me"}"#;
        writeln!(io::stdout(), "  Send one     curl -d '{event}' http://{}/segment", relay.address)?;
    }
    for server in cluster.into_iter().flat_map(|cluster| &cluster.servers) {
        writeln!(io::stdout(), "  NATS server  {}, process {}", server.address, server.pid)?;
    }
    writeln!(io::stdout())
}

/// Prints the last line, while the demo keeps sending events.
pub(super) fn runs_on() -> io::Result<()> {
    writeln!(
        io::stdout(),
        "The demo keeps sending events, some of them faulty, so that every page has something to show.\n\
         Ctrl-C ends it and removes its files."
    )
}
