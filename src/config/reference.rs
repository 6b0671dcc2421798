//! What the table of keys says for readers: the commented defaults, and the page in `docs`.

use super::SECTIONS;
use super::table::{Absence, Form, Key};

const PREAMBLE: &str = r#"# accoil-relay.toml: every key, its meaning and its default.
#
# A key without a comment sign is a default that is in force. A key behind a comment sign is an example or the default of an
# entry; copy the sections you need into your own accoil-relay.toml.
#
# Durations: a whole number and a unit, "250ms", "30s", "10m", "1h", "7d". Sizes: whole numbers of bytes.
# ${NAME} in a string is replaced by the environment variable NAME, ${NAME:-text} has a default, $$ is a dollar sign.
# Every secret has a second key ending in _file that names a file to read it from. Relative paths of mappings and
# secrets are relative to this file, the path of the outbox to the working directory.
# Any key can be set from outside: ACCOIL_RELAY_SERVER__LISTEN, ACCOIL_RELAY_SOURCES__0__WRITE_KEY (lists: a,b).
"#;

/// Every key as TOML, with its meaning as a comment.
pub(super) fn defaults() -> String {
    let mut page = PREAMBLE.to_owned();
    for table in SECTIONS {
        page.push('\n');
        comment(&mut page, "", table.lines);
        let sign = if table.form == Form::Always { "" } else { "#" };
        page.extend([sign, &table.heading(), "\n"]);
        for key in table.keys {
            comment(&mut page, &prefix(key), key.lines);
            match key.absence {
                Absence::Default => page.push_str(sign),
                Absence::Otherwise(words) => {
                    page.extend(["# Default: ", &words.replace('`', ""), ".\n#"]);
                }
                Absence::Fault => page.push('#'),
            }
            page.extend([key.name, " = ", key.value, "\n"]);
            if let Some(file_variant) = key.file_variant {
                page.extend(["#", file_variant, " = \"", &key.name.replace('_', "-"), "\"\n"]);
            }
        }
    }
    page
}

/// Every section as Markdown, with a table of its keys.
#[cfg(test)]
pub(super) fn page() -> String {
    let mut page = String::new();
    for table in SECTIONS {
        let meaning = joined(table.lines);
        page.extend([
            "\n### ",
            table.name,
            "\n\n",
            &meaning,
            "\n\n| key | default | meaning |\n|---|---|---|\n",
        ]);
        for key in table.keys {
            let names: Vec<String> =
                [Some(key.name), key.file_variant].iter().flatten().map(|name| format!("`{name}`")).collect();
            let default = match key.absence {
                Absence::Default => format!("`{}`", key.value),
                Absence::Otherwise(words) => words.to_owned(),
                Absence::Fault => "required".to_owned(),
            };
            let meaning = format!("{}{}", prefix(key), joined(key.lines));
            page.extend(["| ", &names.join(", "), " | ", &default, " | ", &meaning, " |\n"]);
        }
    }
    page
}

/// `Secret. Amplitude only. `
fn prefix(key: &Key) -> String {
    let secret = if key.file_variant.is_some() { "Secret. " } else { "" };
    let only = key.only.map(|kind| format!("{kind:?} only. ")).unwrap_or_default();
    format!("{secret}{only}")
}

fn comment(page: &mut String, prefix: &str, lines: &[&str]) {
    for (index, line) in lines.iter().enumerate() {
        let prefix = if index == 0 { prefix } else { "" };
        page.extend(["# ", prefix, &line.trim().replace('`', ""), "\n"]);
    }
}

#[cfg(test)]
fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}
