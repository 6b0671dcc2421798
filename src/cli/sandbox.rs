//! `sandbox`: runs the stand-in for Accoil and Vitally until Ctrl-C.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::sandbox::{Options, Sandbox};

/// All accounts are in memory.
const MAX_ACCOUNTS: u64 = 1_000_000;

/// Runs a stand-in for Accoil that keeps and shows the calls it receives, and a stand-in for Vitally.
#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// The number of newest requests to keep and show; 0 only counts requests
    #[arg(long, value_name = "NUMBER", default_value_t = Options::default().keep)]
    pub keep: usize,
    /// The number of accounts at both stand-ins
    #[arg(long, value_name = "NUMBER", default_value_t = Options::default().accounts,
        value_parser = RangedU64ValueParser::<usize>::new().range(0..=MAX_ACCOUNTS))]
    pub accounts: usize,
}

pub async fn run(args: SandboxArgs) -> anyhow::Result<()> {
    let SandboxArgs { listen, keep, accounts } = args;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; choose another address with --listen"))?;
    announce(listener.local_addr()?);

    let stop = CancellationToken::new();
    let sandbox = Sandbox::new(Options { keep, accounts, ..Options::default() });
    let serving = sandbox.serve(listener, stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return served.context("the sandbox stopped serving"),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C")?,
    }
    stop.cancel();
    serving.await.context("the sandbox did not stop cleanly")
}

fn announce(address: SocketAddr) {
    let warning = if address.ip().is_loopback() {
        ""
    } else {
        "It shows keys and events to everybody who can reach this address.\n"
    };
    // Ignore write errors: stderr may be closed.
    drop(write!(
        std::io::stderr(),
        "Sandbox: a stand-in Accoil and Vitally. Nothing that is sent here goes any further.\n\
         {warning}\
         \x20 send to    http://{address}  (/v2/*, /v1/*, /segment; any key)\n\
         \x20 accounts   http://{address}/v1/accounts  (any token that begins with accoil_)\n\
         \x20 vitally    http://{address}/resources/accounts  (any token; writes at /vitally/writes)\n\
         \x20 received   http://{address}/received\n\
         \x20 faults     http://{address}/faults\n\
         Ctrl-C stops it.\n"
    ));
}
