//! Which parameters name an account, and the path that they make.

use super::*;

#[test]
fn parameters_name_one_account_or_say_what_is_missing() {
    let id = |id: &str| Ok(Some(Lookup::Id(id.to_owned())));
    let by_domain = Lookup::Match { kind: "domain".to_owned(), value: "techcorp.com".to_owned() };
    for (parameters, expected) in [
        ([None, None, None], Ok(None)),
        ([Some(" "), Some(""), None], Ok(None)),
        ([Some("456"), None, None], id("456")),
        ([Some(" a b"), Some(""), None], id(" a b")),
        ([None, Some("domain"), Some("techcorp.com")], Ok(Some(by_domain))),
        ([None, Some("domain"), Some(" ")], Err(QueryError::NoMatchValue)),
        ([None, None, Some("techcorp.com")], Err(QueryError::NoMatchType)),
        ([Some("456"), Some("domain"), None], Err(QueryError::IdAndMatch)),
        ([Some("456"), Some("domain"), Some("techcorp.com")], Err(QueryError::IdAndMatch)),
    ] {
        let [id, kind, value] = parameters.map(|text| text.map(str::to_owned));
        assert_eq!(Lookup::from_parameters(id, kind, value), expected, "{parameters:?}");
    }
}

#[test]
fn expand_is_a_list_and_an_unknown_word_has_its_nearest() {
    let all = ExpandBlocks { insights: true, traits: true, segments: true };
    for (text, expected) in [
        ("", ExpandBlocks::default()),
        ("traits", ExpandBlocks { traits: true, ..ExpandBlocks::default() }),
        (" segments , ,traits,segments", ExpandBlocks { insights: false, ..all }),
        ("insights,traits,segments", all),
    ] {
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }
    let error_of = |text: &str| text.parse::<ExpandBlocks>().unwrap_err().to_string();
    insta::assert_snapshot!(error_of("traits,insight"), @r#"expand has no block "insight", did you mean insights?: give insights, traits and segments, with commas between"#);
    insta::assert_snapshot!(error_of("all"), @r#"expand has no block "all": give insights, traits and segments, with commas between"#);
}

#[test]
fn the_path_has_every_documented_parameter_and_what_is_given_exactly() {
    let path = |lookup: Lookup, expand: &str, workspace_id: Option<&str>| {
        let query = Query {
            lookup: None,
            expand: expand.parse().unwrap(),
            workspace_id: workspace_id.map(str::to_owned),
        };
        query.path(&lookup, "123")
    };
    let id = |text: &str| Lookup::Id(text.to_owned());
    let by = |kind: &str, value: &str| Lookup::Match { kind: kind.to_owned(), value: value.to_owned() };
    assert_eq!(path(id("456"), "", None).unwrap(), "/v1/accounts?workspace_id=123&id=456");
    assert_eq!(
        path(by("domain", "techcorp.com"), "traits,insights", Some("7")).unwrap(),
        "/v1/accounts?workspace_id=7&match_type=domain&match_value=techcorp.com&expand=insights%2Ctraits"
    );
    assert_eq!(
        path(by("my trait", "a/b%2F c+d&é"), "", None).unwrap(),
        "/v1/accounts?workspace_id=123&match_type=my+trait&match_value=a%2Fb%252F+c%2Bd%26%C3%A9"
    );
    let long = "x".repeat(MAX_VALUE_BYTES + 1);
    assert_eq!(path(id(&long), "", None), Err(QueryError::TooLong { parameter: "id" }));
    assert!(path(id(&long[1..]), "", None).unwrap().len() < 65_000);
}
