//! `config show`: prints the effective configuration as a configuration file, with its secrets hidden.
//!
//! Never reads a secret's value: it only checks whether there is one.

use secrecy::SecretString;

use super::{Config, Destination, Limits, Outbox, Source, destination, duration, history, server, source};

/// Printed in place of a secret.
pub(super) const HIDDEN: &str = "[hidden]";

/// Returns TOML with every key of every section in use, in the order of `default.toml`.
pub fn show(config: &Config) -> String {
    let mut page = Page(String::new());
    page.heading("[server]");
    page.text("listen", &config.server.listen.to_string());
    page.duration("request_timeout", config.server.request_timeout);
    page.duration("shutdown_timeout", config.server.shutdown_timeout);
    config.server.public_url.iter().for_each(|url| page.text("public_url", url));
    page.number("max_connections", config.server.max_connections);
    page.duration("keep_alive", config.server.keep_alive);
    limits(&mut page, &config.limits);
    page.heading("[admin]");
    page.text("listen", &config.admin.listen.to_string());
    page.secret("token", config.admin.token.as_ref());
    page.secret("viewer_token", config.admin.viewer_token.as_ref());
    page.pair("viewer_sees_payloads", config.admin.viewer_sees_payloads);
    config.sources.iter().for_each(|one| source(&mut page, one));
    config.destinations.iter().for_each(|one| destination(&mut page, one));
    page.heading("[outbox]");
    page.text("url", &format!("sqlite:{}", config.outbox.path.display()));
    outbox(&mut page, &config.outbox);
    page.heading("[deliver]");
    page.duration("retry_initial", config.deliver.retry_initial);
    page.duration("retry_max", config.deliver.retry_max);
    page.duration("retry_max_age", config.deliver.retry_max_age);
    page.number("retry_max_attempts", config.deliver.retry_max_attempts);
    history(&mut page, config);
    if let Some(accounts) = &config.accounts {
        page.heading("[accounts]");
        page.secret("token", Some(&accounts.token));
        page.text("workspace_id", &accounts.workspace_id);
        page.text("base_url", &accounts.base_url);
    }
    if let Some(vitally) = &config.vitally {
        page.heading("[vitally]");
        page.secret("secret", Some(&vitally.secret));
        page.text("base_url", &vitally.base_url);
    }
    sync(&mut page, config);
    page.heading("[log]");
    page.text("format", word(&server::LOG_FORMATS, &config.log.format));
    page.text("level", word(&server::LEVELS, &config.log.level));
    page.0
}

fn sync(page: &mut Page, config: &Config) {
    page.heading("[vitally_to_accoil]");
    let section = &config.vitally_to_accoil;
    section.every.iter().for_each(|every| page.duration("every", *every));
    page.list("destinations", &section.destinations);
    section.mrr_unit.iter().for_each(|unit| page.text("mrr_unit", word(&destination::MRR_UNITS, unit)));
    page.text("plan_trait", &section.plan_trait);
    page.text("status_trait", &section.status_trait);
    page.text("churned_status", &section.churned_status);
    page.list("traits", &section.traits);
    page.heading("[accoil_to_vitally]");
    let section = &config.accoil_to_vitally;
    section.every.iter().for_each(|every| page.duration("every", *every));
    page.text("match_type", &section.match_type);
    page.text("match_value", &section.match_value);
    page.text("prefix", &section.prefix);
    page.pair("insights", section.insights);
}

fn limits(page: &mut Page, limits: &Limits) {
    page.heading("[limits]");
    page.number("tracking_event_bytes", limits.tracking_event_bytes);
    page.number("tracking_batch_bytes", limits.tracking_batch_bytes);
    page.number("tracking_batch_events", limits.tracking_batch_events);
    page.number("webhook_bytes", limits.webhook_bytes);
    page.number("webhook_events", limits.webhook_events);
    page.number("amplitude_bytes", limits.amplitude_bytes);
    page.number("amplitude_batch_bytes", limits.amplitude_batch_bytes);
    page.number("amplitude_events", limits.amplitude_events);
    page.number("json_depth", limits.json_depth);
    page.number("buffered_bytes", limits.buffered_bytes);
}

fn outbox(page: &mut Page, outbox: &Outbox) {
    page.number("deduplication_ids", outbox.deduplication_ids);
    page.size("max_bytes", outbox.max_bytes);
    page.size("min_free_disk", outbox.min_free_disk);
    page.duration("keep_dead_letters", outbox.keep_dead_letters);
    page.size("max_dead_letter_bytes", outbox.max_dead_letter_bytes);
    page.duration("keep_rejects", outbox.keep_rejects);
    page.size("max_reject_bytes", outbox.max_reject_bytes);
}

fn history(page: &mut Page, config: &Config) {
    page.heading("[history]");
    let url =
        config.history_path().map_or_else(|| "off".to_owned(), |path| format!("sqlite:{}", path.display()));
    page.text("url", &url);
    let section = &config.history;
    page.duration("keep", section.keep);
    page.size("max_bytes", section.max_bytes);
    page.size("payload_rate", section.payload_rate);
    page.text("payloads", word(&history::PAYLOADS, &section.payloads));
    section.archive.iter().for_each(|folder| page.text("archive", &folder.display().to_string()));
    page.heading("[privacy]");
    page.list("redact", &config.privacy.redact);
    page.pair("hash_users", config.privacy.hash_users);
}

fn source(page: &mut Page, source: &Source) {
    page.heading("[[sources]]");
    page.text("name", &source.name);
    page.text("kind", source.kind.name());
    page.secret("write_key", source.write_key.as_ref());
    page.secret("shared_secret", source.shared_secret.as_ref());
    // An Amplitude source has no shared secret and refuses this key.
    if source.shared_secret.is_some() {
        page.text("unsigned", word(&source::UNSIGNED, &source.unsigned));
    }
    page.list("destinations", &source.destinations);
    page.text("anonymous", word(&source::ANONYMOUS, &source.anonymous));
    page.list("events", &source.events);
    page.list("exclude_events", &source.exclude_events);
    page.list("event_properties", &source.event_properties);
    source.user_id.iter().for_each(|path| page.text("user_id", path));
    source.prefer_group_type.iter().for_each(|group_type| page.text("prefer_group_type", group_type));
    page.duration("deduplication_window", source.deduplication_window);
}

fn destination(page: &mut Page, destination: &Destination) {
    page.heading("[[destinations]]");
    page.text("name", &destination.name);
    page.secret("api_key", Some(&destination.api_key));
    page.text("api", destination.api.name());
    page.text("base_url", &destination.base_url);
    let mappings: Vec<String> = destination.mappings.iter().map(|one| one.text.clone()).collect();
    page.list("mappings", &mappings);
    page.pair("strict", destination.strict);
    page.text("integration_name", &destination.integration_name);
    page.text("mrr_unit", word(&destination::MRR_UNITS, &destination.mrr_unit));
    page.number("concurrency", destination.concurrency);
    destination.rate.iter().for_each(|rate| page.pair("rate", *rate));
    page.duration("connect_timeout", destination.connect_timeout);
    page.duration("request_timeout", destination.request_timeout);
}

fn word<T: PartialEq>(words: &[(&'static str, T)], choice: &T) -> &'static str {
    words.iter().find(|(_, one)| one == choice).map_or("", |(word, _)| word)
}

/// The TOML text that is being built.
struct Page(String);

impl Page {
    fn heading(&mut self, heading: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(heading);
        self.0.push('\n');
    }

    fn pair(&mut self, key: &str, value: impl Into<toml::Value>) {
        let value: toml::Value = value.into();
        self.0.extend([key, " = ", &value.to_string(), "\n"]);
    }

    /// Doubles each dollar sign, because the file's strings are expanded.
    fn text(&mut self, key: &str, text: &str) {
        self.pair(key, escape(text));
    }

    fn list(&mut self, key: &str, items: &[String]) {
        if !items.is_empty() {
            self.pair(key, items.iter().map(|item| escape(item)).collect::<Vec<_>>());
        }
    }

    fn number(&mut self, key: &str, number: usize) {
        self.pair(key, i64::try_from(number).unwrap_or(i64::MAX));
    }

    fn size(&mut self, key: &str, bytes: u64) {
        self.pair(key, i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn duration(&mut self, key: &str, duration: std::time::Duration) {
        self.pair(key, duration::print(duration));
    }

    fn secret(&mut self, key: &str, secret: Option<&SecretString>) {
        if secret.is_some() {
            self.pair(key, HIDDEN);
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('$', "$$")
}
