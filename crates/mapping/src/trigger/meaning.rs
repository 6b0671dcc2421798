//! What a literal beside a field means, field by field, as Segment's parser decides it (docs/segment.md#triggers),
//! and where Segment decides differently from the relay.

use super::difference::Difference;
use super::field::{Field, Kind, OBJECTS};
use super::lexer::Word;
use super::predicate::{Literal, Operator, Predicate, Test};
use crate::javascript;
use crate::nearest::nearest;

/// The event's own fields that the Segment spec names.
const SPEC_FIELDS: [&str; 20] = [
    "type",
    "event",
    "name",
    "userId",
    "properties",
    "traits",
    "context",
    "anonymousId",
    "groupId",
    "previousId",
    "messageId",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
    "integrations",
    "category",
    "channel",
    "version",
    "projectId",
];

/// The path of a word; `None` if nothing is left of the word. The editor writes `list[0]` as `list\[0\]`: a bracket
/// in a name is a step, as it is for Segment.
pub(super) fn field(word: &Word) -> Option<Field> {
    let steps = word.names.iter().flat_map(|name| name.split(['[', ']']));
    let path: Vec<String> = steps.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut field = Field { path, unreadable: false };
    field.unreadable = word.unreadable.is_some() && field.kind() == Kind::Nested;
    (!field.path.is_empty()).then_some(field)
}

pub(super) fn compile(field: Field, operator: Operator, literal: Literal) -> Predicate {
    let kind = field.kind();
    let literal = if operator.is_order() { ordered(kind, literal) } else { equated(kind, operator, literal) };
    // For fields that Segment cannot test, `!=` is the plain opposite of `=`: a missing field matches.
    let opposite = kind == Kind::Other && matches!(literal, Literal::Number(_) | Literal::Bool(_));
    if opposite && operator == Operator::NotEqual {
        let equal = Predicate::Condition(field, Test::Compare(Operator::Equal, literal));
        return Predicate::Not(Box::new(equal));
    }
    Predicate::Condition(field, Test::Compare(operator, literal))
}

/// The value that `=` and `!=` compare with.
fn equated(kind: Kind, operator: Operator, literal: Literal) -> Literal {
    let as_text = match kind {
        Kind::Label | Kind::Name => matches!(literal, Literal::Number(_) | Literal::Bool(_)),
        Kind::UserId if matches!(literal, Literal::Number(_)) => true,
        Kind::UserId | Kind::Nested => matches!(literal, Literal::Bool(_)) && operator == Operator::NotEqual,
        Kind::Other => false,
    };
    if as_text { Literal::Text(text(literal)) } else { literal }
}

/// The value that an order compares with: a number, or a text that is not a number and therefore never matches.
fn ordered(kind: Kind, literal: Literal) -> Literal {
    match literal {
        Literal::Bool(bool) if matches!(kind, Kind::Nested | Kind::Other) => {
            Literal::Number(f64::from(u8::from(bool)))
        }
        Literal::Number(_) => literal,
        literal => {
            let text = text(literal);
            javascript::number_from_text(&text).map_or(Literal::Text(text), Literal::Number)
        }
    }
}

/// `String(literal)`
pub(super) fn text(literal: Literal) -> String {
    match literal {
        Literal::Text(text) => text,
        Literal::Number(number) => javascript::number_to_text(number),
        Literal::Bool(bool) => bool.to_string(),
        Literal::Null => "null".to_owned(),
    }
}

/// Records where Segment reads the comparison differently.
pub(super) fn note(
    at: usize,
    field: &Field,
    operator: Operator,
    literal: &Literal,
    notes: &mut Vec<(usize, Difference)>,
) {
    note_field(at, field, notes);
    if field.kind() == Kind::Label && *literal == Literal::Null && !operator.is_order() {
        notes.push((at, Difference::NullLabel(field.path.concat())));
    }
}

/// Records where Segment reads a function of the field differently: Segment has no functions of `type`.
pub(super) fn note_function(at: usize, field: &Field, notes: &mut Vec<(usize, Difference)>) {
    note_field(at, field, notes);
    if field.is_type() {
        notes.push((at, Difference::UnknownField { name: "type".to_owned(), meant: None }));
    }
}

fn note_field(at: usize, field: &Field, notes: &mut Vec<(usize, Difference)>) {
    if field.path.iter().any(|name| name.contains('.')) {
        notes.push((at, Difference::DotInName));
    }
    if field.kind() != Kind::Other {
        return;
    }
    let Some(root) = field.path.first() else { return };
    notes.push((
        at,
        match root.as_str() {
            "type" | "event" | "name" | "userId" => Difference::PathIntoValue(root.clone()),
            object if OBJECTS.contains(&object) => Difference::WholeObject(root.clone()),
            other => {
                let meant = nearest(other, SPEC_FIELDS.into_iter()).filter(|meant| *meant != other);
                Difference::UnknownField { name: root.clone(), meant }
            }
        },
    ));
}
