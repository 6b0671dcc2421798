//! A relay for the targets that need one: it accepts requests and delivers nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use accoil_relay::config::{Config, Environment};
use accoil_relay::facts::Facts;
use accoil_relay::outbox::Outbox;
use accoil_relay::receive::{self, Receiver, listen};
use accoil_relay::run;
use accoil_relay::tasks::Tasks;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub(super) const DESTINATION: &str = "accoil";
const CONFIGURATION: &str = r#"
[[sources]]
name = "web"
kind = "segment"
write_key = "w"
[[sources]]
name = "signed"
kind = "segment"
write_key = "s"
shared_secret = "secret"
[[sources]]
name = "product"
kind = "amplitude"
write_key = "p"
[[destinations]]
name = "accoil"
api_key = "key"
base_url = "http://127.0.0.1:9"
"#;
const LENGTH: &[u8] = b"content-length: *\r\n";
pub(super) const HEAD_END: &[u8] = b"\r\n\r\n";

/// A folder in memory, where syncs cost nothing, if the system has one.
pub(super) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder can be made")
}

/// A relay's configuration whose outbox is in this folder.
pub(super) fn configuration(folder: &Path) -> Config {
    std::fs::write(folder.join("accoil-relay.toml"), CONFIGURATION).expect("the folder takes a file");
    let outbox = format!("sqlite:{}", folder.join("relay.db").display());
    let environment = Environment::new(folder, [("ACCOIL_RELAY_OUTBOX__URL", outbox)]);
    Config::load(None, &environment).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A public listener with its outbox. Time is paused, so the time-outs pass as soon as the relay waits for more bytes.
pub(super) struct Listener {
    pub(super) runtime: Runtime,
    pub(super) outbox: Outbox,
    pub(super) folder: TempDir,
    address: SocketAddr,
}

impl Listener {
    pub(super) fn open() -> Self {
        let folder = folder();
        let config = configuration(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let (address, outbox) = {
            let _inside = runtime.enter();
            serve(&config)
        };
        Self { runtime, outbox, folder, address }
    }

    /// Sends the bytes on a connection of their own and reads until the relay ends it. A header `content-length: *` gets the length of
    /// the bytes after the head, so that a changed body still arrives completely.
    pub(super) fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let bytes = with_length(bytes);
        self.runtime.block_on(async {
            let stream = TcpStream::connect(self.address).await.expect("the relay listens");
            let (mut reader, mut writer) = stream.into_split();
            let mut answer = Vec::new();
            // The relay may end the connection before it has read everything.
            let _ = tokio::join!(writer.write_all(&bytes), reader.read_to_end(&mut answer));
            answer
        })
    }
}

fn serve(config: &Config) -> (SocketAddr, Outbox) {
    let outbox = Outbox::open(&run::outbox_options(config)).expect("a new outbox");
    let destinations = run::destinations(config).expect("the presets are sound");
    let facts = Facts::off();
    let sources = run::sources(config, &destinations, facts.counts());
    let limits = config.limits.clone();
    let timeout = config.server.request_timeout;
    let receiver = Receiver::new(sources, outbox.clone(), facts, limits, timeout, None, Vec::new());
    let listener = listen::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let limits = listen::ConnectionLimits { connections: 64, keep_alive: Duration::from_secs(60) };
    let (memory, tasks) = (receiver.memory(), Tasks::new(&CancellationToken::new()));
    let serving = listen::serve(listener, receive::router(receiver), limits, memory, |_| (), tasks.clone());
    tasks.spawn("listener", serving);
    (address, outbox)
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let find = |part: &[u8]| bytes.windows(part.len()).position(|window| window == part);
    let (Some(line), Some(head)) = (find(LENGTH), find(HEAD_END)) else { return bytes.to_vec() };
    if line > head {
        return bytes.to_vec();
    }
    let length = format!("content-length: {}\r\n", bytes.len() - head - HEAD_END.len());
    [&bytes[..line], length.as_bytes(), &bytes[line + LENGTH.len()..]].concat()
}
