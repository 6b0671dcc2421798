//! Connects to the cluster: TLS, credentials, the version check. After a lost connection the client itself reconnects, for as long as
//! the relay runs.

use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use secrecy::ExposeSecret as _;

use super::error::OpenError;
use super::options::Options;
use crate::plain::without_credentials;

/// The oldest server version that keeps every batch that it acknowledged.
const OLDEST: (u32, u32, u32) = (2, 12, 3);
/// The smallest `max_payload` that the outbox accepts: one commit must fit into a few messages.
const SMALLEST_PAYLOAD: usize = 1_000_000;
/// How long the relay waits at its start for a cluster that has no leader yet.
const TRIES: u32 = 8;
/// The time between two pings. The client gives up a connection after two pings without an answer.
const PING: Duration = Duration::from_secs(1);

/// Connects, and checks that the server supports everything that the outbox needs.
pub(super) async fn connect(options: &Options) -> Result<(Client, Context), OpenError> {
    let servers = without_credentials(&options.servers);
    let mut connect = ConnectOptions::new()
        .name("accoil-relay")
        .ping_interval(PING)
        .connection_timeout(Duration::from_secs(2))
        .reconnect_delay_callback(|tries| Duration::from_millis(100 * (tries as u64).min(10)));
    if let Some(path) = &options.credentials {
        let failed = |source| OpenError::Credentials { path: path.clone(), source };
        connect = connect.credentials_file(path).await.map_err(failed)?;
    }
    if let Some(seed) = &options.nkey {
        connect = connect.nkey(seed.expose_secret().to_owned());
    }
    if let Some(path) = &options.ca {
        connect = connect.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &options.certificate {
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    let unreachable = |source: async_nats::ConnectError| OpenError::Unreachable {
        servers: servers.clone(),
        source: Box::new(source),
    };
    let client = connect.connect(&options.servers[..]).await.map_err(unreachable)?;
    let info = client.server_info();
    if !is_new_enough(&info.version) {
        return Err(OpenError::TooOld { servers, found: info.version });
    }
    if info.max_payload < SMALLEST_PAYLOAD {
        return Err(OpenError::SmallPayload { servers, found: info.max_payload });
    }
    let mut context = jetstream::new(client.clone());
    context.set_timeout(Duration::from_secs(2));
    let mut tries = 0;
    while let Err(source) = context.query_account().await {
        tries += 1;
        if tries > TRIES {
            return Err(OpenError::NoJetStream { servers, source: Box::new(source) });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok((client, context))
}

fn is_new_enough(version: &str) -> bool {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_12_3_are_too_old() {
        for (version, expected) in [
            ("2.9.10", false),
            ("2.12.2", false),
            ("2.12.3", true),
            ("2.12.3-RC.1", true),
            ("2.15.1", true),
            ("3.0.0", true),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), expected, "{version}");
        }
    }
}
