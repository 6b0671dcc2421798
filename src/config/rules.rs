//! The rules between keys, one function each.
//!
//! Pure: takes a configuration and returns the broken rules, with the dotted paths of the keys at fault.

use std::collections::HashSet;
use std::net::SocketAddr;

use secrecy::ExposeSecret;

use super::show::HIDDEN;
use super::{Config, Source};
use crate::fault::{Fault, Place};
use accoil_mapping::nearest;

/// A rule that does not hold.
pub(super) struct BrokenRule {
    /// The key at fault, then the keys that it conflicts with.
    pub(super) paths: Vec<String>,
    message: String,
    advice: String,
}

impl BrokenRule {
    fn new(paths: &[&str], message: impl Into<String>, advice: impl Into<String>) -> Self {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Self { paths, message: message.into(), advice: advice.into() }
    }

    pub(super) fn fault(self, place: Place) -> Fault {
        Fault { place, message: self.message, advice: self.advice }
    }
}

pub(super) fn broken_rules(config: &Config) -> Vec<BrokenRule> {
    let mut broken = Vec::new();
    names_are_unique("sources", config.sources.iter().map(|source| source.name.as_str()), &mut broken);
    names_are_unique("destinations", config.destinations.iter().map(|one| one.name.as_str()), &mut broken);
    destinations_exist(config, &mut broken);
    write_keys_are_distinct(&config.sources, &mut broken);
    listeners_are_protected(config, &mut broken);
    limits_are_ordered(config, &mut broken);
    schedules_have_both_systems(config, &mut broken);
    history_has_its_own_file(config, &mut broken);
    leases_outlast_calls(config, &mut broken);
    certificates_have_keys(config, &mut broken);
    broken
}

fn names_are_unique<'a>(section: &str, names: impl Iterator<Item = &'a str>, broken: &mut Vec<BrokenRule>) {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate().filter(|(_, name)| !name.is_empty()) {
        if !seen.insert(name) {
            broken.push(BrokenRule::new(
                &[&format!("{section}.{index}.name")],
                format!("two [[{section}]] have the name {name:?}"),
                "give each a name of its own",
            ));
        }
    }
}

fn destinations_exist(config: &Config, broken: &mut Vec<BrokenRule>) {
    let names: Vec<&str> = config.destinations.iter().map(|destination| destination.name.as_str()).collect();
    let add_one = "add [[destinations]] with a name and an api_key";
    if names.is_empty() && !config.sources.is_empty() {
        broken.push(BrokenRule::new(&["sources"], "there are sources but no destination", add_one));
        return;
    }
    // A destination whose name could not be read may be the one that is meant.
    if names.contains(&"") {
        return;
    }
    let sources = config.sources.iter().enumerate();
    let sources = sources.map(|(index, source)| (format!("sources.{index}"), &source.destinations));
    let sync = ("vitally_to_accoil".to_owned(), &config.vitally_to_accoil.destinations);
    for (section, listed) in sources.chain([sync]) {
        for (place, name) in listed.iter().enumerate() {
            let path = format!("{section}.destinations.{place}");
            if !names.contains(&name.as_str()) {
                let advice = match nearest(name, names.iter().copied()) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None if names.is_empty() => add_one.to_owned(),
                    None => format!("the destinations are {}", names.join(", ")),
                };
                broken.push(BrokenRule::new(&[&path], format!("there is no destination {name:?}"), advice));
            } else if listed.iter().take(place).any(|before| before == name)
                && names.iter().filter(|one| *one == name).count() == 1
            {
                let message = format!("the destination {name:?} is listed twice");
                broken.push(BrokenRule::new(&[&path], message, "list it once: it gets each event once"));
            }
        }
    }
}

/// The history is another database than the outbox.
fn history_has_its_own_file(config: &Config, broken: &mut Vec<BrokenRule>) {
    if config.history_path().is_some_and(|path| path == config.outbox.url.path) {
        broken.push(BrokenRule::new(
            &["history.url", "outbox.url"],
            "[history] and [outbox] name the same file",
            "give the history a file of its own, or leave its url out: it is then kept beside the outbox",
        ));
    }
}

/// A call that began in time ends before another relay takes its lane.
fn leases_outlast_calls(config: &Config, broken: &mut Vec<BrokenRule>) {
    let timeouts = config.destinations.iter().map(|destination| destination.request_timeout);
    let Some(longest) = timeouts.max() else { return };
    if config.outbox.lease.is_some_and(|lease| lease <= longest) {
        broken.push(BrokenRule::new(
            &["outbox.lease"],
            "the lease is not longer than the longest request_timeout of a destination",
            "raise it, or leave it out: it is then 10 seconds longer",
        ));
    }
}

/// A certificate is of no use without its key.
fn certificates_have_keys(config: &Config, broken: &mut Vec<BrokenRule>) {
    if config.outbox.certificate.is_some() != config.outbox.certificate_key.is_some() {
        broken.push(BrokenRule::new(
            &["outbox.certificate", "outbox.certificate_key"],
            "outbox.certificate and outbox.certificate_key belong together, and one is missing",
            "name both files, or neither",
        ));
    }
}

/// Both systems of a scheduled sync must be configured.
fn schedules_have_both_systems(config: &Config, broken: &mut Vec<BrokenRule>) {
    let has_destinations = !config.destinations.is_empty();
    let missing = |section: &str| format!("add [{section}], or leave every out");
    for (key, is_scheduled, section, is_there) in [
        ("vitally_to_accoil.every", config.vitally_to_accoil.every, "vitally", config.vitally.is_some()),
        ("vitally_to_accoil.every", config.vitally_to_accoil.every, "[destinations]", has_destinations),
        ("accoil_to_vitally.every", config.accoil_to_vitally.every, "vitally", config.vitally.is_some()),
        ("accoil_to_vitally.every", config.accoil_to_vitally.every, "accounts", config.accounts.is_some()),
    ] {
        if is_scheduled.is_some() && !is_there {
            let message = format!("the sync is scheduled, but there is no [{section}]");
            broken.push(BrokenRule::new(&[key], message, missing(section)));
        }
    }
}

/// A request's route gives the kind of its source, and the write key the source itself.
fn write_keys_are_distinct(sources: &[Source], broken: &mut Vec<BrokenRule>) {
    let mut seen = HashSet::new();
    for (index, source) in sources.iter().enumerate() {
        let key = source.write_key.as_ref().map(ExposeSecret::expose_secret);
        // In the output of `config show`, which is a configuration too, all keys are equal.
        if key != Some(HIDDEN) && !seen.insert((source.kind, key)) {
            broken.push(BrokenRule::new(
                &[&format!("sources.{index}.write_key")],
                format!("an earlier {} source has the same write_key, or also none", source.kind.name()),
                "give each source of a kind a write_key of its own: it tells them apart",
            ));
        }
    }
}

fn listeners_are_protected(config: &Config, broken: &mut Vec<BrokenRule>) {
    let is_open = |listen: SocketAddr| !listen.ip().is_loopback();
    if is_open(config.admin.listen) && config.admin.token.is_none() {
        broken.push(BrokenRule::new(
            &["admin.listen", "admin.token"],
            "the admin listener is open to other machines and has no token",
            "add token = \"${NAME_OF_A_VARIABLE}\" to [admin], or listen on 127.0.0.1",
        ));
    }
    for (index, source) in config.sources.iter().enumerate() {
        if is_open(config.server.listen) && source.write_key.is_none() {
            broken.push(BrokenRule::new(
                &[&format!("sources.{index}.write_key"), "server.listen"],
                format!(
                    "the source {:?} has no write_key, and the relay is open to other machines",
                    source.name
                ),
                "give it a write_key (without a file: ACCOIL_RELAY_WRITE_KEY), or listen on 127.0.0.1",
            ));
        }
    }
    if config.server.listen == config.admin.listen && config.server.listen.port() != 0 {
        broken.push(BrokenRule::new(
            &["admin.listen", "server.listen"],
            "[server] and [admin] listen on the same address",
            "give one of them another port: the admin API is never on the public one",
        ));
    }
}

/// Limits that must not exceed another limit.
fn limits_are_ordered(config: &Config, broken: &mut Vec<BrokenRule>) {
    let (limits, deliver) = (&config.limits, &config.deliver);
    let whole = limits.buffered_bytes;
    for (less, least, more, most) in [
        (
            "tracking_event_bytes",
            limits.tracking_event_bytes,
            "tracking_batch_bytes",
            limits.tracking_batch_bytes,
        ),
        ("tracking_batch_bytes", limits.tracking_batch_bytes, "buffered_bytes", whole),
        ("webhook_bytes", limits.webhook_bytes, "buffered_bytes", whole),
        ("amplitude_bytes", limits.amplitude_bytes, "buffered_bytes", whole),
        ("amplitude_batch_bytes", limits.amplitude_batch_bytes, "buffered_bytes", whole),
    ] {
        check_order("limits", &(less, least), &(more, most), broken);
    }
    let (initial, longest) = (("retry_initial", deliver.retry_initial), ("retry_max", deliver.retry_max));
    check_order("deliver", &initial, &longest, broken);
    check_order("deliver", &longest, &("retry_max_age", deliver.retry_max_age), broken);
}

fn check_order<T: PartialOrd>(
    section: &str,
    less: &(&str, T),
    more: &(&str, T),
    broken: &mut Vec<BrokenRule>,
) {
    if less.1 > more.1 {
        broken.push(BrokenRule::new(
            &[&format!("{section}.{}", less.0), &format!("{section}.{}", more.0)],
            format!("{} in [{section}] is more than {}", less.0, more.0),
            "lower the first or raise the second",
        ));
    }
}
