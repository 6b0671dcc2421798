//! Connects to the cluster: TLS, credentials, the version check. After a lost connection the client itself reconnects, for as long as
//! the relay runs.

use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use percent_encoding::percent_decode_str;
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
    if let Some((user, password)) = user_and_password(&options.servers)? {
        connect = connect.user_and_password(user, password);
    }
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
    let client = connect.connect(&options.servers[..]).await.map_err(|error| {
        let (servers, kind, source) = (servers.clone(), error.kind(), Box::new(error));
        match kind {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                OpenError::SignIn { servers, source }
            }
            _ => OpenError::Unreachable { servers, source },
        }
    })?;
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

/// The user and the password in the addresses of the servers, which the client library does not read by itself. One user signs in
/// at all servers.
fn user_and_password(servers: &[String]) -> Result<Option<(String, String)>, OpenError> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut found = None;
    for server in servers {
        let host = server.split_once("://").map_or(server.as_str(), |(_, host)| host);
        let Some((before, _)) = host.rsplit_once('@') else { continue };
        let one = before.split_once(':').map(|(user, password)| (decoded(user), decoded(password)));
        let one = one.filter(|(user, password)| !user.is_empty() && !password.is_empty());
        if one.is_none() || found.as_ref().is_some_and(|found| Some(found) != one.as_ref()) {
            return Err(OpenError::Users { servers: without_credentials(servers) });
        }
        found = one;
    }
    Ok(found)
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
    fn one_user_signs_in_at_all_servers() {
        let of = |servers: &[&str]| {
            let servers: Vec<_> = servers.iter().map(|&server| server.to_owned()).collect();
            user_and_password(&servers).map_err(|error| error.to_string())
        };
        let me = Ok(Some(("me".to_owned(), "p@ss:word".to_owned())));
        assert_eq!(of(&["nats://a:4222", "nats://b:4222"]), Ok(None));
        assert_eq!(of(&["nats://me:p%40ss:word@a:4222", "nats://b:4222"]), me);
        assert_eq!(of(&["nats://b:4222", "tls://me:p@ss%3Aword@a:4222"]), me);
        for refused in [
            &["nats://token@a:4222"][..],
            &["nats://me:@a:4222"],
            &["nats://me:one@a:4222", "nats://me:two@b:4222"],
        ] {
            let told = of(refused).unwrap_err();
            assert!(
                told.contains("outbox.nkey") && !told.contains("one") && !told.contains("token"),
                "{told}"
            );
        }
    }

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
