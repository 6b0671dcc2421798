//! What the benchmarks of a whole relay share: its process, and a destination that accepts everything.

use std::convert::Infallible;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// The relay of this build.
pub(crate) const RELAY: &str = env!("CARGO_BIN_EXE_accoil-relay");

/// Where a relay keeps what it has accepted, if nothing else is measured.
pub(crate) const SQLITE: &str = "sqlite:relay.db";

/// Starts a relay on this outbox, whose only destination listens on the port `sink`. Returns its process and port.
pub(crate) fn start(
    program: &Path,
    folder: &Path,
    sink: u16,
    has_history: bool,
    outbox: &str,
) -> (Child, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The benchmarks' events may be older than the usual week.
    let history = if has_history { "[history]\nkeep = \"365d\"\n" } else { "[history]\nurl = \"off\"\n" };
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[[sources]]\nname = \"web\"\nkind = \"segment\"\nwrite_key = \"key\"\n\
         [[destinations]]\nname = \"accoil\"\napi_key = \"key\"\nbase_url = \"http://127.0.0.1:{sink}\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n[outbox]\nurl = \"{outbox}\"\n{history}"
    );
    std::fs::write(folder.join("accoil-relay.toml"), config).unwrap();
    let relay = Command::new(program).arg("serve").current_dir(folder).stdin(Stdio::null()).spawn().unwrap();
    (relay, port)
}

/// Returns when a connection can be made to the port.
pub(crate) async fn ready(port: u16) {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "the relay does not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The destination: answers each call with 202 and counts it.
pub(crate) async fn serve(listener: TcpListener, delivered: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let delivered = Arc::clone(&delivered);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let delivered = Arc::clone(&delivered);
            async move {
                request.into_body().collect().await.unwrap();
                delivered.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Response::builder().status(202).body(Empty::<Bytes>::new()).unwrap())
            }
        });
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
