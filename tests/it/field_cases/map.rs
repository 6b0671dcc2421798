//! The files that `map` reads.

use super::{all, mapped};

#[test]
fn file_05_created_at_in_every_spelling() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "05-createdat.ndjson")), @"");
}

#[test]
fn file_06_created_at_without_a_zone_is_utc_in_v2_and_as_it_came_in_segments_form() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "06-createdat-without-zone.ndjson")), @"");
    insta::assert_snapshot!(all(&mapped(&["--source", "segment", "--api", "segment"], "06-createdat-without-zone.ndjson")), @"");
}

#[test]
fn file_07_impossible_years_become_the_time_of_receipt() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "07-impossible-years.ndjson")), @"");
}

#[test]
fn file_08_amplitude_times() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "08-amp-time-unreadable.ndjson")), @"");
}

#[test]
fn file_12_mappings_of_the_same_name_load_and_are_shown_apart() {
    let config = format!("{}/12-paste-same-names.toml", super::FOLDER);
    let shown = crate::commands::answers(&["check", "--config", &config], "").join("\n");
    assert!(shown.contains("Track Calls (2)"), "{shown}");
}

#[test]
fn file_15_placeholder_ids_are_refused_from_segment() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "15-placeholder-ids-segment.ndjson")), @"");
}

#[test]
fn file_16_placeholder_ids_are_skipped_from_amplitude() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "16-placeholder-ids-amplitude.ndjson")), @"");
}

#[test]
fn file_23_amplitude_properties_as_text() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "23-amp-properties-as-text.ndjson")), @"");
}

#[test]
fn file_24_amplitude_group_properties_directly_under_the_type() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "24-amp-group-properties-by-type.ndjson")), @"");
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude", "--api", "segment"], "24-amp-group-properties-by-type.ndjson")), @"");
}

/// Types without case, properties of another type, an export without properties, absent campaign parameters.
#[test]
fn file_24_other_shapes_of_groups() {
    insta::assert_snapshot!(all(&mapped(&["--source", "amplitude"], "24-amp-groups-more.ndjson")), @"");
}

#[test]
fn file_25_a_name_that_is_no_text_is_none() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "25-page-name-object.ndjson")), @"");
}

#[test]
fn file_27_spaces_around_an_address() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "27-email-padded.ndjson")), @"");
}

#[test]
fn file_28_only_an_identify_names_its_account() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "28-context-groupid-track.ndjson")), @"");
}

#[test]
fn file_30_blank_names_are_none() {
    insta::assert_snapshot!(all(&mapped(&["--source", "segment"], "30-blank-names.ndjson")), @"");
}
