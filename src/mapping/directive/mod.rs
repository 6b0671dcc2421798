//! STUB, dropped when the branch `directive` is merged: literal, object, `@path`, `@template`, `@if` only.

use std::borrow::Cow;

use crate::json::{Object, Value};

#[derive(Debug)]
pub struct Directive(Node);

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
        compile(value, "").map(Directive)
    }

    pub fn compile_mapping(mapping: &Value<'_>) -> Result<Directive, CompileError> {
        let mut fields = mapping.as_object().cloned().unwrap_or_default();
        let root = fields.remove("__segment_internal_directive").unwrap_or_default();
        let root = root.get("@transform");
        let apply = root.and_then(|body| body.get("apply")).cloned().unwrap_or_default();
        Ok(Directive(Node::Transform(
            Box::new(compile(&apply, "")?),
            Box::new(compile(&Value::Object(fields), "")?),
        )))
    }

    pub fn faults(&self) -> &[CompileError] {
        &[]
    }

    pub fn resolve<'e>(&'e self, event: &'e Value<'e>) -> Result<Option<Cow<'e, Value<'e>>>, ResolveError> {
        resolve(&self.0, event)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn compile(value: &Value<'_>, path: &str) -> Result<Node, CompileError> {
    let Some(object) = value.as_object() else { return Ok(Node::Literal(value.clone().into_owned())) };
    let Some((name, operand)) = object.iter().find(|(key, _)| key.starts_with('@')) else {
        let members = object
            .iter()
            .map(|(key, value)| Ok((key.to_owned(), compile(value, &join(path, key))?)))
            .collect::<Result<_, CompileError>>()?;
        return Ok(Node::Object(members));
    };
    let fail = |message: &str| CompileError { path: join(path, name), message: message.to_owned() };
    if object.len() > 1 {
        return Err(fail("one object holds one directive, but there is another key beside it"));
    }
    let here = join(path, name);
    let part =
        |key: &str| operand.get(key).map(|value| compile(value, &join(&here, key)).map(Box::new)).transpose();
    match (name, operand) {
        ("@literal", value) => Ok(Node::Literal(value.clone().into_owned())),
        ("@path", Value::String(text)) => Ok(Node::Path(split(text))),
        ("@template", Value::String(text)) => Ok(Node::Template(template(text))),
        ("@if", _) => Ok(Node::If {
            blank: operand.get("blank").is_some(),
            test: part("exists")?.or(part("blank")?).ok_or_else(|| fail("needs exists or blank"))?,
            then: part("then")?,
            other: part("else")?,
        }),
        ("@transform", _) => {
            let missing = || fail("needs apply and mapping");
            Ok(Node::Transform(part("apply")?.ok_or_else(missing)?, part("mapping")?.ok_or_else(missing)?))
        }
        _ => {
            let known = ["@literal", "@path", "@template", "@if", "@transform"];
            let near = crate::nearest::nearest(name, known.into_iter());
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            Err(fail(&format!("there is no directive {name}{hint}")))
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
