//! STUB, dropped when the branch `directive` is merged: literal, object, `@path`, `@template`, `@if` only.

use std::borrow::Cow;

use crate::json::{Object, Value};

#[derive(Debug)]
pub struct Directive(Node, Vec<CompileError>);

#[derive(Debug)]
enum Node {
    Literal(Value<'static>),
    Path(Vec<String>),
    Template(Vec<(String, Option<Vec<String>>)>),
    If {
        blank: bool,
        test: Box<Node>,
        then: Option<Box<Node>>,
        other: Option<Box<Node>>,
    },
    Object(Vec<(String, Node)>),
    /// `@transform`: apply, mapping.
    Transform(Box<Node>, Box<Node>),
}

#[derive(Debug)]
pub struct CompileError {
    pub path: String,
    pub message: String,
}

#[derive(Debug)]
pub struct ResolveError {
    pub path: String,
    pub message: String,
}

impl Directive {
    pub fn compile(value: &Value<'_>) -> Result<Directive, CompileError> {
        let mut faults = Vec::new();
        Ok(Directive(compile(value, "", &mut faults)?, faults))
    }

    pub fn compile_mapping(mapping: &Value<'_>) -> Result<Directive, CompileError> {
        let mut fields = mapping.as_object().cloned().unwrap_or_default();
        let root = fields.remove("__segment_internal_directive").unwrap_or_default();
        let root = root.get("@transform");
        let apply = root.and_then(|body| body.get("apply")).cloned().unwrap_or_default();
        let mut faults = Vec::new();
        let apply = compile(&apply, "", &mut faults)?;
        let mapping = compile(&Value::Object(fields), "", &mut faults)?;
        Ok(Directive(Node::Transform(Box::new(apply), Box::new(mapping)), faults))
    }

    pub fn faults(&self) -> &[CompileError] {
        &self.1
    }

    pub fn resolve<'e>(&'e self, event: &'e Value<'e>) -> Result<Option<Cow<'e, Value<'e>>>, ResolveError> {
        resolve(&self.0, event)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn compile(value: &Value<'_>, path: &str, faults: &mut Vec<CompileError>) -> Result<Node, CompileError> {
    for (index, item) in value.as_array().unwrap_or_default().iter().enumerate() {
        if let Err(error) = compile(item, &join(path, &index.to_string()), faults) {
            faults.push(error);
        }
    }
    let Some(object) = value.as_object() else { return Ok(Node::Literal(value.clone().into_owned())) };
    let Some((name, operand)) = object.iter().find(|(key, _)| key.starts_with('@')) else {
        let members = object
            .iter()
            .map(|(key, value)| Ok((key.to_owned(), compile(value, &join(path, key), faults)?)))
            .collect::<Result<_, CompileError>>()?;
        return Ok(Node::Object(members));
    };
    let fail = |message: &str| CompileError { path: join(path, name), message: message.to_owned() };
    if object.len() > 1 {
        let keys: Vec<&str> = object.iter().map(|(key, _)| key).collect();
        let message =
            format!("an object with a directive has no other key, but here are {}", keys.join(", "));
        return Err(CompileError { path: path.to_owned(), message });
    }
    let here = join(path, name);
    let mut part = |key: &str| {
        operand.get(key).map(|value| compile(value, &join(&here, key), faults).map(Box::new)).transpose()
    };
    match (name, operand) {
        ("@literal", value) => Ok(Node::Literal(value.clone().into_owned())),
        ("@path", Value::String(text)) => Ok(Node::Path(split(text))),
        ("@template", Value::String(text)) => Ok(Node::Template(template(text))),
        ("@if", _) => {
            let (exists, blank) = (part("exists")?, part("blank")?);
            let (then, other, is_blank) = (part("then")?, part("else")?, blank.is_some());
            let Some(test) = exists.or(blank) else {
                let message =
                    "needs `exists` or `blank`: a directive, or a value other than \"\", 0, false and null";
                faults.push(fail(message));
                return Ok(Node::Literal(Value::Null));
            };
            Ok(Node::If { blank: is_blank, test, then, other })
        }
        ("@transform", _) => {
            let missing = || fail("needs apply and mapping");
            Ok(Node::Transform(part("apply")?.ok_or_else(missing)?, part("mapping")?.ok_or_else(missing)?))
        }
        _ => {
            let known = ["@literal", "@path", "@template", "@if", "@transform"];
            let near = crate::nearest::nearest(name, known.into_iter());
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            Err(fail(&format!("{name} is not a directive{hint}")))
        }
    }
}

fn split(path: &str) -> Vec<String> {
    path.replacen("$.", "", 1).split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn template(text: &str) -> Vec<(String, Option<Vec<String>>)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (path, after) = after.split_once("}}").unwrap_or((after, ""));
        parts.push((before.to_owned(), Some(split(path.trim()))));
        rest = after;
    }
    parts.push((rest.to_owned(), None));
    parts
}

fn lookup<'e>(path: &[String], event: &'e Value<'e>) -> Option<&'e Value<'e>> {
    path.iter().try_fold(event, |value, key| value.get(key))
}

fn resolve<'e>(node: &'e Node, event: &'e Value<'e>) -> Result<Option<Cow<'e, Value<'e>>>, ResolveError> {
    Ok(match node {
        Node::Literal(value) => Some(Cow::Borrowed(value)),
        Node::Path(path) => lookup(path, event).map(Cow::Borrowed),
        Node::Template(parts) => {
            let mut text = String::new();
            for (before, path) in parts {
                text.push_str(before);
                match path.as_ref().and_then(|path| lookup(path, event)) {
                    None | Some(Value::Null) => {}
                    Some(Value::String(found)) => text.push_str(found),
                    Some(other) => text.push_str(&other.to_string()),
                }
            }
            Some(Cow::Owned(Value::from(text)))
        }
        Node::If { blank, test, then, other } => {
            let value = resolve(test, event)?;
            let holds = match value.as_deref() {
                None | Some(Value::Null) => false,
                Some(Value::String(text)) => !(*blank && text.is_empty()),
                Some(_) => true,
            };
            match if holds { then } else { other } {
                Some(branch) => resolve(branch, event)?,
                None => None,
            }
        }
        Node::Transform(apply, mapping) => {
            let root = resolve(apply, event)?.map(Cow::into_owned).unwrap_or_default().into_owned();
            resolve(mapping, &root)?.map(|value| Cow::Owned(value.into_owned().into_owned()))
        }
        Node::Object(members) => {
            let mut object = Object::new();
            for (key, node) in members {
                if let Some(value) = resolve(node, event)? {
                    object.insert(key.as_str(), value.into_owned());
                }
            }
            Some(Cow::Owned(Value::Object(object)))
        }
    })
}
