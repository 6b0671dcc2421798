//! The files that `map` reads.

use super::{all, mapped};

#[test]
fn file_05_created_at_in_every_spelling() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "05-createdat.ndjson")), @r#"
    /v2/group {"groupId":"g1","timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2014-06-05T20:19:30Z","name":"ruby sdk offset bug"},"userId":"u1"} ! createdAt was a string in another form; it is sent as RFC 3339
    /v2/group {"groupId":"g1","timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2024-01-15T10:30:00Z","name":"java OffsetDateTime on the minute"},"userId":"u1"} ! createdAt was a string in another form; it is sent as RFC 3339
    /v2/group {"groupId":"g1","timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2024-01-15T10:30:00Z","name":"java LocalDateTime on the minute"},"userId":"u1"} ! createdAt was a string in another form; it is sent as RFC 3339
    /v2/group {"groupId":"g1","timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2024-01-15T10:30:00Z","name":"js Date.toUTCString"},"userId":"u1"} ! createdAt was a string in another form; it is sent as RFC 3339
    /v2/group {"groupId":"g1","timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2024-01-15T10:30:00Z","name":"php json_encode(DateTime)"},"userId":"u1"} ! createdAt was an object in another form; it is sent as RFC 3339
    "#);
}

#[test]
fn file_06_created_at_without_a_zone_is_utc_in_v2_and_as_it_came_in_segments_form() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "06-createdat-without-zone.ndjson")), @r#"
    /v2/identify {"timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2024-01-15T10:30:00Z"},"userId":"u1"}
    /v2/identify {"timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2024-01-15T10:30:00Z"},"userId":"u1"}
    "#);
    insta::assert_snapshot!(all(&mapped(&["--source", "segment", "--api", "segment"], "06-createdat-without-zone.ndjson")), @r#"
    /segment {"timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2024-01-15 10:30:00"},"type":"identify","userId":"u1"}
    /segment {"timestamp":"2026-01-02T03:04:05Z","traits":{"createdAt":"2024-01-15T10:30:00"},"type":"identify","userId":"u1"}
    "#);
}

#[test]
fn file_07_impossible_years_become_the_time_of_receipt() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "07-impossible-years.ndjson")), @r#"
    /v2/track {"event":"E","timestamp":"RECEIVED","userId":"u1"} ! timestamp is before 1970 or in the future; the time of receipt is sent instead
    /v2/track {"event":"E","timestamp":"RECEIVED","userId":"u1"} ! timestamp is before 1970 or in the future; the time of receipt is sent instead
    /v2/track {"event":"E","timestamp":"RECEIVED","userId":"u1"} ! timestamp is before 1970 or in the future; the time of receipt is sent instead
    "#);
}

#[test]
fn file_08_amplitude_times() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "08-amp-time-unreadable.ndjson")), @r#"
    /v2/track {"event":"microseconds","timestamp":"2023-11-14T22:13:20.123Z","userId":"user1"}
    /v2/track {"event":"us date","timestamp":"2023-11-14T22:13:00.000Z","userId":"user1"}
    /v2/track {"event":"no seconds","timestamp":"2023-11-14T22:13:00.000Z","userId":"user1"}
    /v2/track {"event":"negative","timestamp":"RECEIVED","userId":"user1"} ! time cannot be read; the time of receipt is sent instead
    "#);
}

/// Equal names, no name, and a name that looks like a numbered one.
#[test]
fn file_12_mappings_of_any_name_load_and_are_shown_apart() {
    let config = format!("{}/12-paste-same-names.toml", super::FOLDER);
    let shown = crate::commands::answers(&["check", "--config", &config], "");
    insta::assert_snapshot!(shown.join("\n"), @r#"
    destination  mapping              trigger                                        action  source
    accoil       Track Calls          type = "track" and event != "Order Completed"  track   12-paste-same-names.json
    accoil       Track Calls (2)      type = "track" and event = "Order Completed"   track   12-paste-same-names.json
    accoil       Track                type = "track" and event = "A"                 track   12-paste-same-names.json
    accoil       Track (2)            type = "track" and event = "B"                 track   12-paste-same-names.json
    accoil       Track (3)            type = "track" and event = "C"                 track   12-paste-same-names.json
    accoil       Track Calls (2) (2)  type = "track" and event = "D"                 track   12-paste-same-names.json
    0 faults, 0 warnings
    "#);
}

#[test]
fn file_15_placeholder_ids_are_refused_from_segment() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "15-placeholder-ids-segment.ndjson")), @"
    rejected userId: must be an id, but is a placeholder for a missing value; send the id, or none
    rejected userId: must be an id, but is a placeholder for a missing value; send the id, or none
    rejected userId: must be an id, but is a placeholder for a missing value; send the id, or none
    rejected userId: must be an id, but is a boolean; send the id, or none
    rejected groupId: must be an id, but is a placeholder for a missing value; send the id, or none
    rejected groupId: must be an id, but is a placeholder for a missing value; send the id, or none
    ");
}

#[test]
fn file_16_placeholder_ids_are_skipped_from_amplitude() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "16-placeholder-ids-amplitude.ndjson")), @r#"
    skipped: no user id
    skipped: no user id
    skipped: no user id
    /v2/track {"event":"group undefined","timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"} ! groups.org was left out: the id is a placeholder for a missing value; send the id, or none; group_properties.org was left out: the event's `groups` does not name the group that it describes
    /v2/track {"event":"group null","timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"} ! groups.org was left out: the id is a placeholder for a missing value; send the id, or none; group_properties.org was left out: the event's `groups` does not name the group that it describes
    "#);
}

#[test]
fn file_23_amplitude_properties_as_text() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "23-amp-properties-as-text.ndjson")), @r#"
    /v2/identify {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"email":"ada@example.com"},"userId":"user1"}
    /v2/group {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"org","name":"Acme"},"userId":"user1"}
    /v2/track {"event":"A","groupTraits":[{"groupId":"a1","traits":{"group_type":"org","name":"Acme"}}],"timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"}
    /v2/identify {"timestamp":"2023-11-14T22:13:20.000Z","traits":{"email":"ada@example.com"},"userId":"user1"}
    "#);
}

#[test]
fn file_24_amplitude_group_properties_directly_under_the_type() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "24-amp-group-properties-by-type.ndjson")), @r#"
    /v2/group {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"org","name":"Acme","plan":"pro"},"userId":"user1"}
    /v2/track {"event":"A","groupTraits":[{"groupId":"a1","traits":{"group_type":"org","name":"Acme","plan":"pro"}}],"timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"}
    "#);
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude", "--api", "segment"], "24-amp-group-properties-by-type.ndjson")), @r#"
    /segment {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"org","name":"Acme","plan":"pro"},"type":"group","userId":"user1"}
    /segment {"event":"A","groupTraits":[{"groupId":"a1","traits":{"group_type":"org","name":"Acme","plan":"pro"}}],"timestamp":"2023-11-14T22:13:20.000Z","type":"track","userId":"user1"}
    "#);
}

/// Types in another case, properties of another type, an export without properties, absent campaign parameters.
#[test]
fn file_24_other_shapes_of_groups() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "24-amp-groups-more.ndjson")), @r#"
    /v2/group {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"Org","name":"Acme"},"userId":"user1"}
    /v2/track {"event":"case","groupTraits":[{"groupId":"a1","traits":{"group_type":"Org","name":"Acme"}}],"timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"}
    /v2/group {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"org"},"userId":"user1"} ! group_properties.team was left out: the event's `groups` does not name the group that it describes
    /v2/track {"event":"other type","groupTraits":[{"groupId":"a1","traits":{"group_type":"org"}}],"timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"} ! group_properties.team was left out: the event's `groups` does not name the group that it describes
    /v2/group {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"org"},"userId":"user1"} ! group_properties.org was left out: the event's `groups` does not name the group that it describes
    /v2/track {"event":"other id","groupTraits":[{"groupId":"a1","traits":{"group_type":"org"}}],"timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"} ! group_properties.org was left out: the event's `groups` does not name the group that it describes
    /v2/group {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"org"},"userId":"user1"}
    /v2/track {"event":"empty","groupTraits":[{"groupId":"a1","traits":{"group_type":"org"}}],"timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"}
    /v2/group {"groupId":"a1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"org","name":"Acme"},"userId":"user1"}
    /v2/track {"event":"flat","groupTraits":[{"groupId":"a1","traits":{"group_type":"org","name":"Acme"}}],"timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"}
    skipped: the event has nothing that Accoil stores
    /v2/identify {"timestamp":"2023-11-14T22:13:20.000Z","traits":{"plan":null},"userId":"user1"}
    /v2/identify {"timestamp":"2023-11-14T22:13:20.000Z","traits":{"plan":"pro"},"userId":"user1"} ! user_properties.$add was left out: it changes a value, and Accoil stores values; send the value with $set
    /v2/track {"event":"operators","timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"} ! user_properties.$add was left out: it changes a value, and Accoil stores values; send the value with $set
    /v2/track {"event":"object as id","timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"} ! groups.org was left out: it is of kind object; send the id as text
    /v2/track {"event":"list of groups","timestamp":"2023-11-14T22:13:20.000Z","userId":"user1"} ! groups was left out: it is of kind array; send an object
    "#);
}

#[test]
fn file_25_a_name_that_is_not_text_is_left_out() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "25-page-name-object.ndjson")), @r#"
    skipped: the page or screen has no name, category or title
    skipped: the page or screen has no name, category or title
    /v2/track {"event":"Viewed Docs Page","timestamp":"2026-01-02T03:04:05Z","userId":"u1"} ! name was left out: it is an object that was turned into text, which cannot be a name; send text
    rejected event: must be a name, but is an object that was turned into text
    "#);
}

#[test]
fn file_27_spaces_around_an_address() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "27-email-padded.ndjson")), @r#"
    /v2/identify {"timestamp":"2026-01-02T03:04:05Z","traits":{"email":"ada@example.com"},"userId":"u1"} ! email had spaces or line ends around it; they were removed
    /v2/identify {"timestamp":"2026-01-02T03:04:05Z","traits":{"email":"ada@example.com"},"userId":"u1"} ! email had spaces or line ends around it; they were removed
    /v2/identify {"timestamp":"2026-01-02T03:04:05Z","traits":{},"userId":"u1"} ! email was left out: it must be an email address, but is a string of another form
    /v2/identify {"timestamp":"2026-01-02T03:04:05Z","traits":{},"userId":"u1"} ! email was left out: it must be an email address, but is a string of another form
    "#);
}

#[test]
fn file_28_only_an_identify_names_its_account() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "28-context-groupid-track.ndjson")), @r#"
    /v2/track {"event":"E","timestamp":"2026-01-02T03:04:05Z","userId":"u1"}
    /v2/track {"event":"Viewed P Page","timestamp":"2026-01-02T03:04:05Z","userId":"u1"}
    /v2/identify {"groupId":"g1","timestamp":"2026-01-02T03:04:05Z","traits":{},"userId":"u1"}
    "#);
}

#[test]
fn file_30_blank_names_count_as_missing() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "30-blank-names.ndjson")), @"
    rejected event: is required and must be a string, but `$.event` is missing, null, empty or blank in this event
    rejected userId: is required and must be a string, but `$.userId` is missing, null, empty or blank in this event
    ");
}
