//! `config init`: writes a first configuration, made from `default.toml`.

use super::DEFAULTS;

/// One source and one destination. Every other key follows, commented out, with its meaning and default.
const START: &str = r#"# A configuration of accoil-relay to start from. Secrets come from the environment: WEB_WRITE_KEY is the write key
# that your Segment source sends, ACCOIL_API_KEY the ingestion key of your Accoil product.

[[sources]]
name = "web"
kind = "segment"
write_key = "${WEB_WRITE_KEY}"

[[destinations]]
name = "accoil"
api_key = "${ACCOIL_API_KEY}"

# Below is every key with its default, for reference. Remove the # of a line to set its key.

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
