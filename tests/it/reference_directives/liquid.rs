//! Generates random liquid templates: outputs, operators, filters and tags, most of them valid.

use super::generate::Generator;

const OPERANDS: [&str; 46] = [
    "a",
    "b",
    "s",
    "n",
    "list",
    "x",
    "a.b",
    "a[0]",
    "list[0]",
    "list[-1]",
    "list.first",
    "list.last",
    "list.size",
    "s.size",
    "a.size",
    "A",
    "missing",
    "missing.x",
    "\"text\"",
    "'AbC def'",
    "\"a-b-c\"",
    "''",
    "\" \"",
    "1",
    "2.5",
    "-3",
    "0",
    "true",
    "false",
    "b",
    "s",
    "a",
    "(1..3)",
    "list[a]",
    "x[\"a\"]",
    "\"<a href='b'>c</a>\"",
    "\"2024-02-29T23:05:09.123Z\"",
    "1000",
    "\"7\"",
    "v",
    "captured",
    "\"12\"",
    "\"a b  c\"",
    "size",
    "\"%41+b c/é\"",
    "\"x\\\"y\\n\"",
];
const OPERATORS: [&str; 12] = ["==", "!=", ">", "<", ">=", "<=", "contains", "and", "or", "and", "==", "not"];
const PLAIN: [&str; 34] = [
    "upcase",
    "downcase",
    "capitalize",
    "strip",
    "lstrip",
    "rstrip",
    "strip_newlines",
    "normalize_whitespace",
    "number_of_words",
    "escape",
    "xml_escape",
    "escape_once",
    "strip_html",
    "url_encode",
    "cgi_escape",
    "uri_escape",
    "base64_encode",
    "size",
    "first",
    "last",
    "join",
    "compact",
    "pop",
    "shift",
    "abs",
    "ceil",
    "floor",
    "round",
    "to_integer",
    "json",
    "sum",
    "nonsense",
    "raw",
    "default",
];
const WITH_ONE: [&str; 25] = [
    "append",
    "prepend",
    "remove",
    "remove_first",
    "remove_last",
    "split",
    "join",
    "default",
    "plus",
    "minus",
    "times",
    "divided_by",
    "modulo",
    "at_least",
    "at_most",
    "truncate",
    "truncatewords",
    "slice",
    "push",
    "unshift",
    "strip",
    "lstrip",
    "rstrip",
    "sum",
    "nonsense",
];
const WITH_TWO: [&str; 8] = [
    "replace",
    "replace_first",
    "replace_last",
    "slice",
    "truncate",
    "truncatewords",
    "divided_by",
    "nonsense",
];
/// Times that both engines read; JavaScript also guesses at other texts.
const DATES: [&str; 16] = [
    "\"2024-02-29T23:05:09.123Z\"",
    "1700000000",
    "\"1700000000\"",
    "2.5",
    "-3",
    "0",
    "true",
    "missing.x",
    "missing",
    "\"2023-12-31\"",
    "\"2024-01-01T00:00:00+05:30\"",
    "\"2021-08-06T02:29:00\"",
    "\"2021-08-06 02:29:00\"",
    "\"nothing\"",
    "\"1000\"",
    "\"1999-07-04T12:30:00.5-08:00\"",
];
const FORMATS: [&str; 14] = [
    "%Y-%m-%dT%H:%M:%SZ",
    "%s",
    "%A, %B %-d, %Y",
    "%e %b %y %l:%M %p",
    "%j %U %W %u %w %C",
    "%L %N %3N",
    "%:z %z %Z",
    "%^a %#B %_m %05d",
    "%q%%%n%t",
    "%k %I %P %h",
    "%F %",
    "%-",
    "%10Y|%-H",
    "no format",
];

impl Generator {
    /// Generates a template; `alone` means that it is the mapping's only directive.
    pub(super) fn liquid(&mut self, alone: bool) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(3) {
            text.push_str(&self.liquid_piece(2, alone));
        }
        text
    }

    fn operand(&mut self) -> &'static str {
        self.pick(&OPERANDS)
    }

    fn expression(&mut self) -> String {
        let mut text = self.operand().to_owned();
        while self.one_in(3) {
            match self.pick(&OPERATORS) {
                "not" => text = format!("not {text}"),
                "==" if self.one_in(2) => {
                    text = format!("{text} == {}", self.pick(&["empty", "blank", "nil"]));
                }
                operator => text = format!("{text} {operator} {}", self.operand()),
            }
        }
        text
    }

    fn chain(&mut self) -> String {
        if self.one_in(10) {
            return self.date();
        }
        let mut text = self.expression();
        while !self.one_in(2) {
            let filter = match self.below(9) {
                0..3 => self.pick(&PLAIN).to_owned(),
                3..6 => format!("{}: {}", self.pick(&WITH_ONE), self.operand()),
                6 | 7 => format!("{}: {}, {}", self.pick(&WITH_TWO), self.operand(), self.operand()),
                _ if self.one_in(3) => format!("round: {}", self.below(4)),
                _ => format!("default: {}, allow_false: {}", self.operand(), self.pick(&["true", "false"])),
            };
            text = format!("{text} | {filter}");
        }
        text
    }

    fn date(&mut self) -> String {
        let (date, format) = (self.pick(&DATES), self.pick(&FORMATS));
        match self.below(5) {
            0 => format!("{date} | date: \"{format}\", {}", self.pick(&["60", "-330", "0", "missing"])),
            1 => format!("{date} | {}", self.pick(&["date", "date_to_xmlschema", "date_to_rfc822"])),
            _ => format!("{date} | date: \"{format}\""),
        }
    }

    fn liquid_piece(&mut self, depth: usize, alone: bool) -> String {
        if self.one_in(60) {
            return self
                .pick(&[
                    "{{ }}",
                    "{{ a",
                    "{% if %}",
                    "{% nothing %}",
                    "{{ a | }}",
                    "{{ a b }}",
                    "{{ a | size b }}",
                    "{{ a. }}",
                    "}}",
                    "{% for i in a %}{% endfor %}",
                ])
                .to_owned();
        }
        let (open, close) = (self.pick(&["", "", "", "-"]), self.pick(&["", "", "", "-"]));
        let tag = |inside: &str| format!("{{%{open} {inside} {close}%}}");
        match self.below(if depth == 0 { 4 } else { 12 }) {
            0 => self.pick(&["text", " ", "a\n b", " } { % ", "é"]).to_owned(),
            1..5 => format!("{{{{{open} {} {close}}}}}", self.chain()),
            5 => {
                let (inner, other) =
                    (self.liquid_piece(depth - 1, alone), self.liquid_piece(depth - 1, alone));
                let (one, two) = (self.expression(), self.expression());
                format!(
                    "{}{inner}{{% elsif {two} %}}x{{% else %}}{other}{{% endif %}}",
                    tag(&format!("if {one}"))
                )
            }
            6 => {
                let (condition, inner) = (self.expression(), self.liquid_piece(depth - 1, alone));
                let other = if self.one_in(2) { "{% else %}no" } else { "" };
                format!("{}{inner}{other}{}", tag(&format!("unless {condition}")), tag("endunless"))
            }
            7 => tag(&format!("assign v = {}", self.chain())) + "{{ v }}",
            8 => format!(
                "{}{}{{% endcapture %}}[{{{{captured}}}}]",
                tag("capture captured"),
                self.liquid_piece(depth - 1, alone)
            ),
            // Segment counts in the event itself, where the next directive sees it; the relay does not.
            9 if alone => tag(self.pick(&["increment count", "decrement count"])),
            9 => tag(self.pick(&["cycle 'a', b, 'c'", "echo s | upcase", "break", "# note"])),
            10 => format!("{}{{{{ raw }}}} {{% if %}}{}", tag("raw"), tag("endraw")),
            _ => format!("{} hidden {}", tag("comment"), tag("endcomment")),
        }
    }
}
