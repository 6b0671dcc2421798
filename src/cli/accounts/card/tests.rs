//! The card for odd accounts: any data is readable and controls no terminal.

use proptest::prelude::*;
use serde_json::json;

use super::card;
use crate::accounts::accoil::Account;

fn read(text: &str) -> Account {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_card_shows_whatever_came() {
    let odd = r#"{
        "id": 7, "name": "Evil\u001b[31m\nCorp", "region": "EU\u0007", "metrics": {
            "engagement_score": "high", "raw_score": -1234567, "activation_rate": 85, "first_seen": null,
            "churn_risk": "low"
        },
        "traits": {
            "address": {"city": "Oslo", "lines": [], "geo": {"lat": 59.9, "lon": 10.70}},
            "a very long trait name indeed": true, "empty": {}, "none": null, "tags": ["a", 2, false],
            "note": "first line\nsecond \u009b2Jline",
            "word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftsaufseherobermeisterin"
        },
        "segments": [
            {"id": 1, "name": "Power users"}, ["x", ["y", "z"]], "Plain", [], null
        ],
        "insights": {
            "summary": "The account has grown by a third over the last quarter, and most of that comes from one team that uses reports every day.",
            "recommendations": ["Ask the champion for a reference.", "Show dashboards to finance; they log in rarely and leave again within a minute, which is less than others do."]
        },
        "_expansions": {"error": "insights are late"}, "_links": {"self": {"href": "/x"}}
    }"#;
    insta::assert_snapshot!(card(&read(odd)), @"
    Evil [31m Corp
    Accoil id             7

    Scores
      Raw score             -1,234,567
      Activation rate       85
      churn_risk            low

    Traits
      a very long trait name indeed  yes
      address
        city                  Oslo
        geo
          lat                   59.9
          lon                   10.7
        lines                 none
      empty                 none
      none                  none
      note
        first line
        second 2Jline
      tags                  a, 2, no
      word
        Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftsaufseherobermeisterin

    Segments
      - id                    1
        name                  Power users
      - - x
        - - y
          - z
      - Plain
      - none
      - none

    Insights
      recommendations
        - Ask the champion for a reference.
        - Show dashboards to finance; they log in rarely and leave again within a minute, which is less
          than others do.
      summary
        The account has grown by a third over the last quarter, and most of that comes from one team
        that uses reports every day.

    Other
      region                EU

    Accoil says
      insights are late
    ");
}

#[test]
fn a_card_of_little_says_what_there_is() {
    for (text, expected) in [
        (r#"{"id":"7"}"#, "7\nAccoil id             7\n"),
        ("{}", "(no name)\n"),
        (
            r#"{"id":"7","domain":"a.example","traits":{},"segments":[],"insights":null}"#,
            "a.example\nDomain                a.example\nAccoil id             7\n\nTraits\n  none\n\nSegments\n  none\n",
        ),
    ] {
        assert_eq!(card(&read(text)), expected, "{text}");
    }
}

proptest! {
    /// Whatever the texts are, and wherever they occur.
    #[test]
    fn nothing_in_a_card_controls_the_terminal(text in any::<String>(), name in any::<String>(), depth in 0..60_usize) {
        let nested = (0..depth).fold(json!(text), |inner, at| {
            if at % 2 == 0 { json!([inner, text]) } else { json!({ name.as_str(): inner }) }
        });
        let body = json!({
            "id": text, "name": text, "metrics": {"owner_name": text, name.as_str(): text}, "traits": {name.as_str(): text},
            "segments": [text], "insights": nested, "_expansions": {"error": text},
        });
        let card = card(&read(&body.to_string()));
        prop_assert!(!card.contains(|sign: char| sign != '\n' && sign.is_control()), "{card:?}");
    }
}
