//! The environment variables, passed in so that tests can set them, and the expansion of `${NAME}` in the file's strings.
//!
//! Never prints a variable's value: it may be a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::value::{Problem, Reading};
use crate::proxies::Proxies;

/// Environment variables, and the directory to search for `accoil-relay.toml`. Empty: the current directory.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    directory: PathBuf,
}

impl Environment {
    /// The environment of this process. A variable that is not UTF-8 counts as not set.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables, directory: PathBuf::new() }
    }

    pub fn new<N: Into<String>, V: Into<String>>(
        directory: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, directory: directory.into() }
    }

    /// Whether a file or a variable configures the relay.
    pub fn has_configuration(&self) -> bool {
        ["ACCOIL_RELAY_CONFIG", "ACCOIL_API_KEY", "ACCOIL_API_KEY_FILE"]
            .iter()
            .any(|name| self.get(name).is_some())
            || self.directory.join(super::file::FILE).exists()
    }

    /// The proxies that the variables name.
    pub fn proxies(&self) -> Proxies {
        Proxies::read(|name| self.get(name))
    }

    /// An empty variable counts as not set: compose files and unit files cannot leave a variable out.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The same environment with more variables.
    #[must_use]
    pub fn with(mut self, variables: &[(&str, &str)]) -> Self {
        self.variables
            .extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// The set variables with this prefix: name, name without the prefix, value.
    pub(super) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
        self.variables.iter().filter(|(_, value)| !value.is_empty()).filter_map(move |(name, value)| {
            name.strip_prefix(prefix).map(|rest| (name.as_str(), rest, value.as_str()))
        })
    }

    /// Replaces `${NAME}` and `${NAME:-default}` by the variable and `$$` by `$`. Adds each name to `used`.
    pub(super) fn expand(&self, text: &str, used: &mut BTreeSet<String>) -> Reading<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                expanded.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let (reference, after) = after.split_once('}').ok_or_else(|| {
                    Problem::new("has a ${ without its }", "close it, or write $$ for a plain dollar sign")
                })?;
                expanded.push_str(self.referred(reference, used)?);
                rest = after;
            } else {
                expanded.push('$');
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn referred<'a>(&'a self, reference: &'a str, used: &mut BTreeSet<String>) -> Reading<&'a str> {
        let (name, default) =
            reference.split_once(":-").map_or((reference, None), |(name, default)| (name, Some(default)));
        let usual = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if name.is_empty() || !name.chars().all(usual) {
            return Err(Problem::new(
                "has a ${…} that does not name an environment variable",
                "write ${NAME} or ${NAME:-default}, or $$ for a plain dollar sign",
            ));
        }
        used.insert(name.to_owned());
        self.get(name).or(default).ok_or_else(|| {
            Problem::new(
                format!("needs the environment variable {name}, which is not set"),
                format!("set it, or give a default with ${{{name}:-default}}"),
            )
        })
    }
}
