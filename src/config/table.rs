//! The table of keys. `section!` declares a section once; its struct, reading, `config show`, `default.toml`, the page in
//! `docs` and the hints for misspelt keys all follow from it.

use super::section::Section;
use crate::event::SourceKind;

/// The keys of one section.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) lines: &'static [&'static str],
    pub(super) keys: &'static [Key],
}

#[derive(PartialEq, Eq)]
pub(super) enum Form {
    /// `[name]`, read with its defaults even if the file has none.
    Always,
    /// `[name]`, or nothing.
    Optional,
    /// Any number of `[[name]]`.
    List,
}

pub(super) struct Key {
    pub(super) name: &'static str,
    /// What it means, as lines of Markdown.
    pub(super) lines: &'static [&'static str],
    /// Its default or, if it has none, an example. TOML.
    pub(super) value: &'static str,
    pub(super) absence: Absence,
    /// The only kind of source that has the key.
    pub(super) only: Option<SourceKind>,
    /// For a secret: the name of the key for a file to read it from.
    pub(super) file_variant: Option<&'static str>,
}

/// What a missing key means.
#[derive(Clone, Copy)]
pub(super) enum Absence {
    /// Its default applies.
    Default,
    /// Something else, in words.
    Otherwise(&'static str),
    Fault,
}

/// A section that `section!` declared.
pub(super) trait Keys: Sized {
    const TABLE: &'static Table;

    /// `None` only if there is a fault.
    fn read(section: &mut Section<'_, '_>) -> Option<Self>;

    /// The value of each key of the table, if it has one to show.
    fn values(&self) -> Vec<Option<toml::Value>>;
}

impl Table {
    /// `[server]` or `[[sources]]`.
    pub(super) fn heading(&self) -> String {
        if self.form == Form::List { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }

    /// The default of a key, as TOML.
    pub(super) fn default_of(&self, name: &str) -> Option<&'static str> {
        self.keys.iter().find(|key| key.name == name).map(|key| key.value)
    }

    /// Every key that the file may have.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().flat_map(|key| [Some(key.name), key.file_variant]).flatten()
    }
}

/// Declares a section: `form [name] struct Name { … }`. A function in parentheses after the struct's name runs before the
/// keys are read. One entry for each key: its meaning as a comment, `name: Type = what a missing key means, reading;`.
///
/// - `default("30s")`: the default, in TOML
/// - `optional("https://relay.example.com", "none")`: an example, and the meaning of no value; for an `Option`
/// - `otherwise(["accoil"], "all", Vec::new())`: the same, with the value that applies; it may use the fields above
/// - `required("web")`: an example
/// - `secret("${TOKEN}")`, `required_secret("${KEY}")`: an example; `NAME_file` is a key too
///
/// `, only Amplitude` at the end: a key of this kind of source only.
macro_rules! section {
    (
        $(#[doc = $line:literal])+
        $form:ident [$table:ident] pub struct $name:ident $(($before:path))? {
            $(
                $(#[doc = $key_line:literal])+
                $key:ident: $type:ty = $absence:ident($($value:tt)+), $reading:expr $(, only $kind:ident)?;
            )+
        }
    ) => {
        $(#[doc = $line])+
        #[derive(Debug, Clone)]
        pub struct $name {
            $($(#[doc = $key_line])+ pub $key: $type,)+
        }

        impl $crate::config::table::Keys for $name {
            const TABLE: &'static $crate::config::table::Table = &$crate::config::table::Table {
                name: stringify!($table),
                form: $crate::config::table::Form::$form,
                lines: &[$($line),+],
                keys: &[$($crate::config::table::Key {
                    name: stringify!($key),
                    lines: &[$($key_line),+],
                    only: section!(@only $($kind)?),
                    ..section!(@key $key $absence $($value)+)
                }),+],
            };

            fn read(section: &mut $crate::config::section::Section<'_, '_>) -> Option<Self> {
                $($before(section);)?
                let mut keys = Self::TABLE.keys.iter();
                $(let $key = section!(@read section, keys.next()?, $reading, $absence $($value)+);)+
                Some(Self { $($key),+ })
            }

            fn values(&self) -> Vec<Option<toml::Value>> {
                vec![$($crate::config::show::Show::show(&self.$key)),+]
            }
        }
    };

    (@only) => { None };
    (@only $kind:ident) => { Some($crate::event::SourceKind::$kind) };

    (@key $key:ident default $value:tt) => { section!(@key Default, None, $value) };
    (@key $key:ident optional $value:tt, $words:literal) => { section!(@key Otherwise($words), None, $value) };
    (@key $key:ident otherwise $value:tt, $words:literal, $else:expr) => {
        section!(@key Otherwise($words), None, $value)
    };
    (@key $key:ident required $value:tt) => { section!(@key Fault, None, $value) };
    (@key $key:ident secret $value:tt) => {
        section!(@key Otherwise("none"), Some(concat!(stringify!($key), "_file")), $value)
    };
    (@key $key:ident required_secret $value:tt) => {
        section!(@key Fault, Some(concat!(stringify!($key), "_file")), $value)
    };
    (@key $absence:ident $(($words:literal))?, $file_variant:expr, $value:tt) => {
        $crate::config::table::Key {
            name: "",
            lines: &[],
            value: stringify!($value),
            absence: $crate::config::table::Absence::$absence $(($words))?,
            only: None,
            file_variant: $file_variant,
        }
    };

    (@read $section:ident, $key:expr, $reading:expr, default $value:tt) => { $section.default($key, $reading)? };
    (@read $section:ident, $key:expr, $reading:expr, optional $value:tt, $words:literal) => {
        $section.optional($key, $reading)
    };
    (@read $section:ident, $key:expr, $reading:expr, otherwise $value:tt, $words:literal, $else:expr) => {
        $section.optional($key, $reading).unwrap_or_else(|| $else)
    };
    (@read $section:ident, $key:expr, $reading:expr, required $value:tt) => { $section.required($key, $reading) };
    (@read $section:ident, $key:expr, $reading:expr, secret $value:tt) => { $section.secret($key, $reading) };
    (@read $section:ident, $key:expr, $reading:expr, required_secret $value:tt) => {
        $section.required_secret($key, $reading)
    };
}
pub(super) use section;
