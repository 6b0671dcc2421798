//! `config init`: a configuration to start from, made of `default.toml`.

use super::DEFAULTS;

/// One source and one destination; below them every key, its meaning and its default, commented out.
const START: &str = r#"# A configuration of accoil-relay to start from. Secrets come from the environment: WEB_WRITE_KEY is the write key
# that your Segment source sends, ACCOIL_API_KEY the ingestion key of your Accoil product.

[[sources]]
name = "web"
kind = "segment"
write_key = "${WEB_WRITE_KEY}"

[[destinations]]
name = "accoil"
api_key = "${ACCOIL_API_KEY}"

# What follows is every key with its default, for reference. A line is in force once you remove its comment sign.

"#;

pub fn first_file() -> String {
    let comment = |line: &str| match line {
        "" => String::new(),
        line if line.starts_with('#') => line.to_owned(),
        line => format!("#{line}"),
    };
    let reference: Vec<String> = DEFAULTS.lines().map(comment).collect();
    format!("{START}{}\n", reference.join("\n"))
}
