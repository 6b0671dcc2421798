//! What holds for any configuration: it is read or refused, no secret is shown, what is shown can be read again.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECRET: &str = "hush-4f1c9e";

/// Every secret there is, in a file that is otherwise in order.
fn secrets() -> String {
    let text = fixture("full.toml");
    let secret = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        // certificate_key names a file, whose path may be shown.
        let is_secret = key != "certificate_key"
            && (key.ends_with("key") || key.ends_with("token") || key.ends_with("secret"));
        if is_secret { format!("{key} = \"{SECRET}-{}\"\n", line.len()) } else { format!("{line}\n") }
    };
    text.lines()
        .map(secret)
        .collect::<String>()
        .replace("api_key_file = \"second-key\"", "api_key_file = \"key\"")
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".*|([\\[\\]a-z_ =.\"'{}$,\n0-9#]|\\[\\[?(server|sources|vitally)\\]\\]?\n|(listen|name|secret) = ){0,60}") {
        let _ = load(&text, &[]).map_err(|faults| faults.to_string());
    }

    #[test]
    fn any_variable_is_read_or_refused(name in "(SERVER|SOURCES|[A-Z0-9_]){0,3}(__([A-Z_]|[0-9]){0,9}){0,4}", value in ".*") {
        let name = format!("ACCOIL_RELAY_{name}");
        let _ = Config::load(None, &environment(&[("ACCOIL_API_KEY", "key"), (name.as_str(), value.as_str())]));
    }

    /// However the file is damaged, whichever faults follow.
    #[test]
    fn no_secret_is_ever_printed(damage in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "[\\[\\]=\"'\n${}#, a]?"), 0..4)) {
        let mut text = secrets();
        for (place, length, with) in damage {
            let start = place.index(text.len());
            let end = (start + length).min(text.len());
            // A damaged secret is another word; what must not be shown is the one that was written.
            text.replace_range(start..end, &with);
        }
        let outcome = load(&text, &[("USER_PROPERTY", "email")]);
        let mut shown = format!("{outcome:?}");
        match &outcome {
            Ok(config) => shown.push_str(&show(config)),
            Err(faults) => shown.push_str(&faults.to_string()),
        }
        prop_assert!(!shown.contains(SECRET), "{shown}");
    }

    #[test]
    fn config_show_prints_a_readable_configuration(
        text in "[^\u{0}]{1,20}", items in prop::collection::vec(".{1,9}", 0..3), number in 1..1000_usize,
        mut waits in prop::collection::vec(1..31_622_400_000_u64, 3), open in any::<bool>(),
    ) {
        let mut config = full();
        waits.sort_unstable();
        config.server.max_connections = number;
        config.deliver.retry_initial = Duration::from_millis(waits[0]);
        config.deliver.retry_max = Duration::from_millis(waits[1]);
        config.deliver.retry_max_age = Duration::from_millis(waits[2]);
        config.destinations[0].integration_name.clone_from(&text);
        config.sources[1].events.clone_from(&items);
        config.sources[1].user_id = open.then(|| text.clone());
        config.accounts.as_mut().unwrap().workspace_id = text;
        config.vitally = config.vitally.filter(|_| open);
        config.vitally_to_accoil.every = config.vitally_to_accoil.every.filter(|_| open);
        config.accoil_to_vitally.every = config.accoil_to_vitally.every.filter(|_| open);
        config.accoil_to_vitally.prefix.clone_from(&items.concat());
        config.accoil_to_vitally.prefix.push('_');
        let shown = show(&config);
        prop_assert!(!shown.contains("hush"));
        let again = load(&shown, &[]).map(|again| Config { directory: config.directory.clone(), ..again });
        prop_assert_eq!(format!("{:?}", again.unwrap()), format!("{config:?}"));
    }
}
