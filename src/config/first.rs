//! `config init`: the text of a first configuration, with every key as a comment.

use super::reference;

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

# A second source, for Amplitude:
#[[sources]]
#name = "product"
#kind = "amplitude"
#write_key = "${PRODUCT_WRITE_KEY}"

# Below is every key with its default, for reference. Remove the # of a line to set its key.

"#;

pub fn first_file() -> String {
    let comment = |line: &str| match line {
        "" => String::new(),
        line if line.starts_with('#') => line.to_owned(),
        line => format!("#{line}"),
    };
    let reference: Vec<String> = reference::defaults().lines().map(comment).collect();
    format!("{START}{}\n", reference.join("\n"))
}
