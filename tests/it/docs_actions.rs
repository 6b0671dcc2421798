//! docs/actions.md must match mappings/actions.toml. `UPDATE_DOCS=1 cargo test --test it docs_actions` writes it.

use std::fmt::Write as _;
use std::fs;

use toml::{Table, Value};

const PAGE: &str = "docs/actions.md";

#[test]
fn the_page_lists_every_action_and_field() {
    let expected = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PAGE, &expected).unwrap();
    }
    assert!(
        fs::read_to_string(PAGE).unwrap() == expected,
        "run UPDATE_DOCS=1 cargo test --test it docs_actions"
    );
}

fn page() -> String {
    let table: Table = fs::read_to_string("mappings/actions.toml").unwrap().parse().unwrap();
    let mut page = "# Actions\n\n\
        The calls that a mapping can make, and their fields. This page is generated from \
        [`mappings/actions.toml`](../mappings/actions.toml).\n\n\
        - The trigger and the default of a field are what the presets use. A mapping of your own must name both.\n\
        - Fields marked *v2* are the relay's own. They exist only with `api = \"v2\"`, and their default also applies to a \
        mapping that does not name them \
        ([why](mappings-reference.md#fields-that-segment-does-not-have)).\n\
        - How values are checked and converted: [what is checked](mappings-reference.md#what-is-checked).\n"
        .to_owned();
    for action in list(&table, "actions") {
        let (slug, description, trigger) =
            (text(action, "slug"), text(action, "description"), text(action, "trigger"));
        write!(page, "\n## {slug}\n\n{description}. Usual trigger: `{trigger}`.\n").unwrap();
        let fields = list(action, "fields");
        if fields.is_empty() {
            page.push_str("\nThis action has no fields.\n");
        } else {
            page.push_str("\n| field | type | default | meaning |\n|---|---|---|---|\n");
        }
        for field in fields {
            let (key, kind) = (text(field, "key"), kind(field));
            writeln!(page, "| `{key}` | {kind} | {} | {} |", default(field), text(field, "description"))
                .unwrap();
        }
    }
    page
}

fn list<'t>(table: &'t Table, key: &str) -> Vec<&'t Table> {
    let items = table.get(key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_table).collect()
}

fn text<'t>(table: &'t Table, key: &str) -> &'t str {
    table[key].as_str().unwrap()
}

fn kind(field: &Table) -> String {
    let is = |key: &str| field.get(key).and_then(Value::as_bool) == Some(true);
    let mut kind = match (is("multiple"), text(field, "type")) {
        (true, kind) => format!("list of {kind}s"),
        (false, kind) => kind.to_owned(),
    };
    if let Some(format) = field.get("format") {
        write!(kind, ", {}", format.as_str().unwrap()).unwrap();
    }
    if is("required") {
        kind.push_str(", **required**");
    }
    if let Some(dialect) = field.get("dialect") {
        write!(kind, ", *{}*", dialect.as_str().unwrap()).unwrap();
    }
    kind
}

fn default(field: &Table) -> String {
    match field.get("default").and_then(Value::as_table) {
        Some(default) => match default.get("@path").and_then(Value::as_str) {
            Some(path) => format!("`{path}`"),
            None => "[computed](mappings-reference.md#fields-that-segment-does-not-have)".to_owned(),
        },
        None => String::new(),
    }
}
