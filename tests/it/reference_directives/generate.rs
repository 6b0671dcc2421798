//! Generates random mappings and events: all directives inside each other, valid and invalid. The same seed gives the
//! same cases.
//!
//! The alphabets are small so that paths often hit, patterns often match and names often collide.

use accoil_relay::json::{Number, Object, Value};

pub(super) struct Generator(u64);

type Json = Value<'static>;

const KEYS: [&str; 12] = ["a", "b", "c", "n", "s", "list", "my key", "1", "0", "A", "a.b", "x"];
const TEXTS: [&str; 30] = [
    "",
    " ",
    "0",
    "a",
    "ab",
    "AbC",
    "a-b-c",
    "aaa",
    "5",
    "1.50",
    "true",
    "null",
    "ß",
    "İé",
    "ΑΣ",
    "$.a",
    "a",
    "b.c",
    "{{a}}",
    "{\"a\":1}",
    "[1,{\"b\":null}]",
    "x.y",
    "a,b",
    "$&",
    "longer than ten",
    ".",
    "a\u{a0}b",
    "\"q\"",
    "ſK",
    "}}",
];
const NUMBERS: [f64; 10] = [0.0, 1.0, -1.0, 2.0, 5.0, 0.5, 1.5, 1e21, 1e-7, 9_007_199_254_740_991.0];

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Generates one `{"mapping","event"}`.
    pub(super) fn case(&mut self) -> Json {
        let mapping = if self.one_in(8) {
            object([("x", object([("@liquid", Value::from(self.liquid(true)))]))])
        } else if self.one_in(12) {
            self.rooted()
        } else {
            self.fields(4)
        };
        let event = if self.one_in(200) { self.json(2) } else { self.object(3, 7) };
        object([("mapping", mapping), ("event", event)])
    }

    /// The generator known as `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(super) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn key(&mut self) -> &'static str {
        self.pick(&KEYS)
    }

    fn text(&mut self) -> String {
        self.pick(&TEXTS).to_owned()
    }

    fn scalar(&mut self) -> Json {
        match self.below(8) {
            0 => Value::Null,
            1 => Value::Bool(self.one_in(2)),
            2 | 3 => Value::Number(Number::from_f64(self.pick(&NUMBERS)).unwrap()),
            _ => Value::from(self.text()),
        }
    }

    fn json(&mut self, depth: usize) -> Json {
        match self.below(if depth == 0 { 3 } else { 6 }) {
            0..3 => self.scalar(),
            3 => Value::Array((0..self.below(4)).map(|_| self.json(depth - 1)).collect()),
            _ => self.object(depth - 1, 4),
        }
    }

    fn object(&mut self, depth: usize, most: usize) -> Json {
        let members = (0..self.below(most + 1)).map(|_| (self.key(), self.json(depth)));
        Value::Object(members.collect::<Vec<_>>().into_iter().collect())
    }

    fn path(&mut self) -> String {
        if self.one_in(20) {
            return self
                .pick(&[
                    "", "$", "$.", ".", "..", "$.a[", "a]b", "['a'].s", "$['a']", "$.a[0]]", "$.$.a", "[a]",
                ])
                .to_owned();
        }
        let mut path = self.pick(&["$.", "$.", "$.", "", "$"]).to_owned();
        for step in 0..=self.below(3) {
            let key = if self.one_in(15) { "length" } else { self.key() };
            let part = match self.below(8) {
                0 => format!("[{}]", self.below(3)),
                1 => format!("['{key}']"),
                _ if step == 0 => key.to_owned(),
                _ => format!(".{key}"),
            };
            path.push_str(&part);
        }
        path
    }

    fn template(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(3) {
            let path = self.path();
            let piece = match self.below(8) {
                0 => self.text(),
                1 => format!("{{{{{{{path}}}}}}}"),
                2 => format!("{{{{ {path} }}}}}}"),
                3 => self.pick(&["{{}}", "{{ }}", "{{{", "}}", "{", "{{a}", "{{{a}}", "{{a} b}}"]).to_owned(),
                4 => format!("Hi {{{{{}}}}}", self.key()),
                _ => format!("{{{{{}}}}}", path.replacen("$.", "", 1)),
            };
            text.push_str(&piece);
        }
        text
    }

    /// Generates an object of mapping values, most of them directives.
    fn fields(&mut self, depth: usize) -> Json {
        let members = (0..=self.below(2)).map(|_| (self.key(), self.mapping(depth)));
        Value::Object(members.collect::<Vec<_>>().into_iter().collect())
    }

    /// Generates a mapping with a root directive.
    fn rooted(&mut self) -> Json {
        let mut fields = match self.fields(3) {
            Value::Object(fields) => fields,
            _ => Object::new(),
        };
        let root = match self.below(6) {
            0 => self.directive(2),
            1 => self.json(1),
            2 => object([("@merge", object([("direction", "left".into()), ("objects", self.list(2))]))]),
            _ => object([("@transform", object([("apply", self.fields(2))]))]),
        };
        fields.insert("__segment_internal_directive", root);
        Value::Object(fields)
    }

    fn mapping(&mut self, depth: usize) -> Json {
        match self.below(if depth == 0 { 2 } else { 12 }) {
            0 => self.scalar(),
            1 => object([("@path", Value::from(self.path()))]),
            2 => self.fields(depth - 1),
            3 => self.list(depth - 1),
            _ => self.directive(depth - 1),
        }
    }

    fn list(&mut self, depth: usize) -> Json {
        Value::Array((0..self.below(4)).map(|_| self.mapping(depth)).collect())
    }

    fn directive(&mut self, depth: usize) -> Json {
        let (name, operand) = match self.below(13) {
            0 => ("@path", self.text_or_directive(depth, Self::path)),
            1 => ("@template", self.text_or_directive(depth, Self::template)),
            2 => ("@literal", self.mapping(depth)),
            3 => ("@if", self.options(depth, &["exists", "blank", "then", "else"], 4)),
            4 => ("@case", self.case_options(depth)),
            5 => ("@replace", self.replace_options(depth)),
            6 => ("@arrayPath", self.array_path(depth)),
            7 => ("@flatten", self.flatten_options(depth)),
            8 => ("@json", self.json_options(depth)),
            9 => ("@merge", self.merge_options(depth)),
            10 => ("@transform", self.transform_options(depth)),
            11 => ("@excludeWhenNull", self.mapping(depth)),
            _ => ("@liquid", Value::from(self.liquid(false))),
        };
        let operand = if self.one_in(50) { self.json(1) } else { operand };
        let mut members: Object<'static> = [(name, operand)].into_iter().collect();
        match self.below(100) {
            0 => members.insert("_metadata", self.json(1)),
            1 => members.insert("@literal", self.json(1)),
            2 => members.insert(self.key(), self.json(1)),
            3 => return object([(self.pick(&["@pth", "@arraypath", "@", "@Path"]), self.json(1))]),
            _ => {}
        }
        Value::Object(members)
    }

    fn text_or_directive(&mut self, depth: usize, text: fn(&mut Self) -> String) -> Json {
        if self.one_in(6) { self.mapping(depth) } else { Value::from(text(self)) }
    }

    /// Includes each option with this chance, with any value.
    fn options(&mut self, depth: usize, names: &[&'static str], chance: usize) -> Json {
        let mut options = Object::new();
        for name in names {
            if !self.one_in(chance) {
                options.insert(*name, self.mapping(depth));
            }
        }
        if self.one_in(60) {
            options.insert(self.key(), self.mapping(depth));
        }
        Value::Object(options)
    }

    /// Returns these options, each with a small chance of being left out or broken.
    fn given(&mut self, options: Vec<(&'static str, Json)>) -> Json {
        let mut kept = Object::new();
        for (name, value) in options {
            match self.below(40) {
                0 => {}
                1 => kept.insert(name, self.json(1)),
                2 => kept.insert(name, self.mapping(1)),
                _ => kept.insert(name, value),
            }
        }
        Value::Object(kept)
    }

    fn subject(&mut self, depth: usize) -> Json {
        if self.one_in(3) { Value::from(self.text()) } else { self.mapping(depth) }
    }

    fn case_options(&mut self, depth: usize) -> Json {
        let options = vec![
            ("operator", self.pick(&["lower", "upper", "upper", "Lower"]).into()),
            ("value", self.subject(depth)),
        ];
        self.given(options)
    }

    fn replace_options(&mut self, depth: usize) -> Json {
        let patterns = ["a", "-", ".", "5", "true", "K", "S", "İ", " ", "a-", "[", "$", "ab", "\\", "0"];
        let replacements = ["", "_", "$&$&", "$$", "$`", "$'", "$1", "x", "$", "b"];
        let mut options = vec![("pattern", self.pick(&patterns).into()), ("value", self.subject(depth))];
        if !self.one_in(4) {
            options.push(("replacement", self.pick(&replacements).into()));
        }
        if self.one_in(3) {
            options.push(("pattern2", self.pick(&patterns).into()));
            options.push(("replacement2", self.pick(&replacements).into()));
        }
        for flag in ["global", "ignorecase"] {
            if self.one_in(3) {
                options.push((flag, Value::Bool(self.one_in(2))));
            }
        }
        self.given(options)
    }

    fn array_path(&mut self, depth: usize) -> Json {
        let mut operands = vec![self.text_or_directive(depth, Self::path)];
        if !self.one_in(4) {
            operands.push(if self.one_in(3) { self.mapping(depth) } else { self.fields(depth) });
        }
        Value::Array(operands)
    }

    fn flatten_options(&mut self, depth: usize) -> Json {
        let mut options =
            vec![("separator", self.pick(&[".", "_", "--", ""]).into()), ("value", self.mapping(depth))];
        if self.one_in(3) {
            options.push(("omitArrays", self.json(0)));
        }
        self.given(options)
    }

    fn json_options(&mut self, depth: usize) -> Json {
        let options = vec![
            ("mode", self.pick(&["encode", "encode", "decode", "ENCODE"]).into()),
            ("value", self.subject(depth)),
        ];
        self.given(options)
    }

    fn merge_options(&mut self, depth: usize) -> Json {
        let members = (0..self.below(4)).map(|_| {
            if self.one_in(20) {
                self.scalar()
            } else if self.one_in(2) {
                self.fields(depth)
            } else {
                self.directive(depth)
            }
        });
        let objects = Value::Array(members.collect());
        let options = vec![("direction", self.pick(&["left", "right", "LEFT"]).into()), ("objects", objects)];
        self.given(options)
    }

    fn transform_options(&mut self, depth: usize) -> Json {
        let apply = if self.one_in(12) {
            self.rooted()
        } else if self.one_in(4) {
            self.directive(depth)
        } else {
            self.fields(depth)
        };
        let mapping = if self.one_in(2) { self.fields(depth) } else { self.directive(depth) };
        self.given(vec![("apply", apply), ("mapping", mapping)])
    }
}

fn object<const N: usize>(members: [(&'static str, Json); N]) -> Json {
    Value::Object(members.into_iter().collect())
}
