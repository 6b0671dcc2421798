//! `accoil-relay sandbox`: the stand-in Accoil and Vitally alone, until Ctrl-C.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::sandbox::{Options, Sandbox};

/// All of them are in memory.
const MOST_ACCOUNTS: u64 = 1_000_000;

/// Runs a stand-in Accoil that keeps and shows what it is sent, and a stand-in Vitally beside it.
#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// How many requests to keep and show, the newest; 0 only counts them
    #[arg(long, value_name = "NUMBER", default_value_t = Options::default().keep)]
    pub keep: usize,
    /// How many companies have accounts there, in both
    #[arg(long, value_name = "NUMBER", default_value_t = Options::default().accounts,
        value_parser = RangedU64ValueParser::<usize>::new().range(0..=MOST_ACCOUNTS))]
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
        "It shows keys and events to whoever can reach this address.\n"
    };
    // Talk, not data: nobody is harmed if stderr is closed.
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
