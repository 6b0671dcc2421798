//! Generates random triggers and events that share a few paths, so that both results are frequent.

use accoil_relay::json::{Object, Value};

/// Splitmix64: small, and the same on every machine.
pub(super) struct Generator(u64);

const TEXTS: [&str; 16] = [
    "",
    "track",
    "page",
    "Report Created",
    "Report",
    "a",
    "5",
    "true",
    "null",
    "it's",
    "tilde~",
    "two\nlines",
    "back\\slash",
    "na\u{ef}ve \u{1f600}",
    "[a]?",
    "(and)",
];

/// As users of the editor type them, below an object.
const NAMES: [&str; 18] = [
    "n",
    "s",
    "b",
    "my key",
    "list",
    "list[0]",
    "list[1].s",
    "list.length",
    "s.length",
    "s[0]",
    "nested.n",
    "nested.s.x",
    "or",
    "null.x",
    "1st",
    "list.0",
    "order-id",
    "\u{e9}t\u{e9}",
];

const ODD_FIELDS: [&str; 12] = [
    "groupId",
    "type.x",
    "properties",
    "integrations.All",
    "context.page.path",
    "properties.a\\.b",
    "properties.\\1st",
    "Event",
    "properties.\\[\\]",
    "\\properties.n",
    "traits.\u{1f600}",
    "properties..n",
];

const ODD_VALUES: [&str; 14] = [
    "'track'",
    "track",
    "an",
    "nu",
    "nul",
    "n",
    "a",
    "or",
    "null",
    "1e3",
    "-0.5",
    "\"unclosed",
    "5.",
    "properties.n",
];

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Generates a trigger as the editor writes it, and an event.
    pub(super) fn editor_case(&mut self) -> Value<'static> {
        let trigger = self.editor_trigger();
        self.case(trigger)
    }

    /// Generates a trigger as people write it, with an occasional mistake, and an event.
    pub(super) fn any_case(&mut self) -> Value<'static> {
        let mut trigger = self.loose_line(2);
        if self.chance(20) {
            let mut chars: Vec<char> = trigger.chars().collect();
            let place = self.below(chars.len());
            if self.chance(50) {
                chars.remove(place);
            } else {
                let char = self.pick(&[' ', '(', ')', '!', '"', '\r', '\\', '.', 'a', '5', '=']);
                chars.insert(place, char);
            }
            trigger = chars.into_iter().collect();
        }
        self.case(trigger)
    }

    fn case(&mut self, trigger: String) -> Value<'static> {
        let mut case = Object::new();
        case.insert("trigger", Value::from(trigger));
        case.insert("event", self.event());
        Value::Object(case)
    }

    /// Generates one level, all `and` or all `or`, with groups of the other kind in it. A function in a group is its
    /// last condition, because Segment ends a group after its first function.
    fn editor_trigger(&mut self) -> String {
        let (outer, inner) = if self.chance(50) { (" and ", " or ") } else { (" or ", " and ") };
        let parts: Vec<String> = (0..=self.below(4))
            .map(|_| {
                if self.chance(80) {
                    return self.editor_condition();
                }
                let mut group: Vec<String> = (0..=self.below(2)).map(|_| self.comparison()).collect();
                group.push(self.editor_condition());
                format!("({})", group.join(inner))
            })
            .collect();
        parts.join(outer)
    }

    fn editor_condition(&mut self) -> String {
        if self.chance(60) { self.comparison() } else { self.function() }
    }

    fn comparison(&mut self) -> String {
        let field = self.field();
        if field == "type" || field == "event" {
            let operator = self.pick(&["=", "!="]);
            return format!("{field} {operator} {}", self.text_or_scalar());
        }
        match self.below(4) {
            0 => format!("{field} {} null", self.pick(&["=", "!="])),
            1 => format!("{field} {} {}", self.pick(&["<", "<=", ">", ">="]), self.number()),
            _ => format!("{field} {} {}", self.pick(&["=", "!="]), self.text_or_scalar()),
        }
    }

    fn function(&mut self) -> String {
        let field = loop {
            let field = self.field();
            // Segment has no function of the type, and uses half of a name that it misreads as the field.
            let misread = [".or", ".1st", ".list.0"].iter().any(|name| field.ends_with(name));
            if field != "type" && !misread {
                break field;
            }
        };
        let negation = self.pick(&["", "!"]);
        let text = self.pick(&TEXTS);
        match self.below(3) {
            0 => format!("{negation}contains({field}, {})", self.text_or_scalar()),
            1 => format!("{negation}match({field}, \"{text}*\")"),
            _ => format!("{negation}match({field}, \"*{text}\")"),
        }
    }

    fn field(&mut self) -> String {
        if self.chance(45) {
            return self.pick(&["type", "event", "name", "userId"]).to_owned();
        }
        let mut field = self.pick(&["properties.", "properties.", "traits.", "context."]).to_owned();
        for char in self.pick(&NAMES).chars() {
            if !char.is_ascii_alphanumeric() && !"._-".contains(char) {
                field.push('\\');
            }
            field.push(char);
        }
        field
    }

    fn text_or_scalar(&mut self) -> String {
        match self.below(6) {
            0 => self.number(),
            1 => self.pick(&["true", "false"]).to_owned(),
            _ => format!("\"{}\"", self.pick(&TEXTS)),
        }
    }

    fn number(&mut self) -> String {
        self.pick(&["0", "1", "2", "5", "-5", "0.5", "NaN", "Infinity", "12345678901234567890"]).to_owned()
    }

    fn loose_line(&mut self, depth: usize) -> String {
        let mut line = self.loose_operand(depth);
        let connectives = self.pick(&[&[" and "][..], &[" or "], &[" and ", " or ", " or", "and ", " AND "]]);
        for _ in 0..self.below(3) {
            line.push_str(self.pick(connectives));
            line.push_str(&self.loose_operand(depth));
        }
        line
    }

    fn loose_operand(&mut self, depth: usize) -> String {
        match self.below(10) {
            0 | 1 if depth > 0 => format!("{}({})", self.pick(&["", "", "!"]), self.loose_line(depth - 1)),
            2 => self.loose_function(),
            3..=5 => self.editor_condition(),
            _ => {
                let field = if self.chance(70) { self.field() } else { self.pick(&ODD_FIELDS).to_owned() };
                let operator = self.pick(&["=", "!=", "<", "<=", ">", ">="]);
                let value =
                    if self.chance(60) { self.text_or_scalar() } else { self.pick(&ODD_VALUES).to_owned() };
                format!("{field}{}{operator}{}{value}", self.space(), self.space())
            }
        }
    }

    fn loose_function(&mut self) -> String {
        let field = if self.chance(70) { self.field() } else { self.pick(&ODD_FIELDS).to_owned() };
        let negation = self.pick(&["", "!", "! "]);
        let pattern = self.pick(&["*", "**", "R*d", "Report", "*port*", "R[a-z]port*", "??*e*", ""]);
        if self.chance(50) {
            return format!("{negation}match({}{field},{}\"{pattern}\")", self.space(), self.space());
        }
        let value = if self.chance(60) { self.text_or_scalar() } else { self.pick(&ODD_VALUES).to_owned() };
        format!("{negation}contains{}({field},{value}{})", self.space(), self.space())
    }

    fn space(&mut self) -> &'static str {
        self.pick(&["", " ", " ", " ", "\t", "  \n"])
    }

    fn event(&mut self) -> Value<'static> {
        let mut event = Object::new();
        for key in ["type", "event", "name", "userId", "groupId"] {
            if self.chance(75) {
                let value = self.value(1);
                event.insert(key, value);
            }
        }
        for key in ["properties", "traits", "context"] {
            if self.chance(90) {
                let value = if self.chance(90) { self.object(2) } else { self.value(1) };
                event.insert(key, value);
            }
        }
        Value::Object(event)
    }

    fn object(&mut self, depth: usize) -> Value<'static> {
        let mut object = Object::new();
        let names = [
            "n",
            "s",
            "b",
            "my key",
            "list",
            "nested",
            "or",
            "null",
            "1st",
            "order-id",
            "\u{e9}t\u{e9}",
            "x",
            "0",
        ];
        for name in names {
            if self.chance(40) {
                let value = self.value(depth);
                object.insert(name, value);
            }
        }
        Value::Object(object)
    }

    fn value(&mut self, depth: usize) -> Value<'static> {
        let choices = if depth == 0 { 8 } else { 11 };
        match self.below(choices) {
            0 => Value::Null,
            1 => Value::Bool(self.chance(50)),
            2 | 3 => Value::parse(self.pick(&[
                "0",
                "1",
                "2",
                "5",
                "-5",
                "0.5",
                "5.0",
                "12345678901234567890",
                "1e30",
            ]))
            .unwrap(),
            4..=7 => Value::from(self.pick(&TEXTS)),
            8 => Value::Array((0..self.below(3)).map(|_| self.value(depth - 1)).collect()),
            _ => self.object(depth - 1),
        }
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}
