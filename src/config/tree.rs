//! Merges the configuration's layers into one tree, in which each value has its origin.
//!
//! The file overrides the embedded defaults, and the environment overrides both; then `section` reads the tree. Nothing here
//! knows a key.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

pub(super) type Table = BTreeMap<String, Node>;

/// Where a value was written.
#[derive(Clone)]
pub(super) enum Origin {
    /// In the embedded defaults, or set by the relay itself.
    Embedded,
    /// At this byte of the file.
    File(usize),
    /// In this environment variable.
    Variable(String),
}

pub(super) struct Node {
    /// The origin of the key or, for an item of a list, of the value.
    pub(super) key: Origin,
    pub(super) origin: Origin,
    pub(super) value: Value,
}

pub(super) enum Value {
    Text(String),
    Whole(i64),
    Switch(bool),
    List(Vec<Node>),
    Table(Table),
    /// A type that no key accepts.
    Other(&'static str),
}

impl Value {
    /// The name of the type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Whole(_) => "an integer",
            Self::Switch(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a section",
            Self::Other(kind) => kind,
        }
    }

    /// Recursion is bounded by the TOML parser's own limit of 80 levels.
    fn read(value: DeValue<'_>, at: &impl Fn(usize) -> Origin) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.into_owned()),
            DeValue::Boolean(switch) => Self::Switch(switch),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("an integer out of range"), Self::Whole),
            DeValue::Float(_) => Self::Other("a fraction"),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(items) => Self::List(
                items
                    .into_iter()
                    .map(|item| {
                        let origin = at(item.span().start);
                        Node { key: origin.clone(), origin, value: Self::read(item.into_inner(), at) }
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Self::Table(read_table(table, at)),
        }
    }
}

pub(super) fn read_table(table: DeTable<'_>, at: &impl Fn(usize) -> Origin) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let (start, origin) = (key.span().start, at(value.span().start));
            let node = Node { key: at(start), origin, value: Value::read(value.into_inner(), at) };
            (key.into_inner().into_owned(), node)
        })
        .collect()
}

/// Parses a text that is embedded in the binary. A test checks its syntax.
pub(super) fn embedded(text: &str) -> Table {
    read_table(DeTable::parse_recoverable(text).0.into_inner(), &|_| Origin::Embedded)
}

/// Overlays `base` with `over`: merges sections key by key and replaces everything else.
pub(super) fn overlay(base: &mut Table, over: Table) {
    for (key, node) in over {
        match (base.get_mut(&key), node) {
            (
                Some(Node { key, origin, value: Value::Table(below) }),
                Node { key: key_above, origin: origin_above, value: Value::Table(above) },
            ) => {
                (*key, *origin) = (key_above, origin_above);
                overlay(below, above);
            }
            (_, node) => drop(base.insert(key, node)),
        }
    }
}
