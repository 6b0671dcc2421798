//! The compiled form of a trigger, and how it is evaluated for an event.
//!
//! Contains the comparisons of Segment's evaluator (docs/segment.md#triggers). Allocates nothing.

use super::field::{ActualValue, Field};
use super::pattern::Pattern;
use crate::json::Value;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    Condition(Field, Test),
}

/// The test that a condition makes on a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Compare(Operator, Literal),
    /// The field is a text that contains this.
    Contains(String),
    /// The field is a text that does not contain this. Not the negation of the above: a missing field is not a text.
    Lacks(String),
    Match(Pattern),
    /// The field is a text that does not match.
    Mismatch(Pattern),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
}

impl Predicate {
    pub(super) fn holds<'e>(&self, event: &'e Value<'e>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(event)),
            Self::Any(any) => any.iter().any(|one| one.holds(event)),
            Self::Not(one) => !one.holds(event),
            Self::Condition(field, test) => !field.unreadable && test.holds(field.actual(event)),
        }
    }

    /// Whether an event of this type can make the predicate `wanted`, looking at each condition by itself.
    pub(super) fn may_be(&self, wanted: bool, kind: &str) -> bool {
        match self {
            Self::All(all) if wanted => all.iter().all(|one| one.may_be(true, kind)),
            Self::All(all) => all.iter().any(|one| one.may_be(false, kind)),
            Self::Any(any) if wanted => any.iter().any(|one| one.may_be(true, kind)),
            Self::Any(any) => any.iter().all(|one| one.may_be(false, kind)),
            Self::Not(one) => one.may_be(!wanted, kind),
            Self::Condition(..) if self.never_matches().is_some() => !wanted,
            Self::Condition(field, test) if field.is_type() => test.holds(ActualValue::Text(kind)) == wanted,
            Self::Condition(..) => true,
        }
    }

    /// Why a condition can never match, whatever the event.
    pub(super) fn never_matches(&self) -> Option<&'static str> {
        match self {
            Self::Condition(field, _) if field.unreadable => {
                Some("put a `\\` before a name that begins with a digit or is `and`, `or` or `null`")
            }
            Self::Condition(_, test) if test.never_holds() => Some("`<` and `>` compare with a number"),
            _ => None,
        }
    }

    /// The conditions, from left to right.
    pub(super) fn conditions(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::All(several) | Self::Any(several) => Box::new(several.iter().flat_map(Self::conditions)),
            Self::Not(one) => one.conditions(),
            Self::Condition(..) => Box::new(std::iter::once(self)),
        }
    }

    pub(super) fn path(&self) -> Option<&[String]> {
        if let Self::Condition(field, _) = self { Some(&field.path) } else { None }
    }

    /// The text that `type` must equal.
    pub(super) fn type_named(&self) -> Option<&str> {
        match self {
            Self::Condition(field, Test::Compare(Operator::Equal, Literal::Text(text)))
                if field.is_type() =>
            {
                Some(text)
            }
            _ => None,
        }
    }
}

impl Test {
    fn holds(&self, actual: ActualValue<'_>) -> bool {
        match (self, actual) {
            (Self::Compare(operator, literal), actual) => compare(*operator, literal, actual),
            (Self::Contains(part), ActualValue::Text(text)) => text.contains(part.as_str()),
            (Self::Lacks(part), ActualValue::Text(text)) => !text.contains(part.as_str()),
            (Self::Match(pattern), ActualValue::Text(text)) => pattern.matches(text),
            (Self::Mismatch(pattern), ActualValue::Text(text)) => !pattern.matches(text),
            (Self::Contains(_) | Self::Lacks(_) | Self::Match(_) | Self::Mismatch(_), _) => false,
        }
    }

    /// True for an order comparison with something that is not a number.
    fn never_holds(&self) -> bool {
        matches!(self, Self::Compare(operator, literal)
            if operator.is_order() && !matches!(literal, Literal::Number(_)))
    }
}

/// Numbers compare only with numbers, so a missing field is neither equal nor unequal to one. Every other literal
/// is unequal to whatever it does not equal, a missing field included.
fn compare(operator: Operator, literal: &Literal, actual: ActualValue<'_>) -> bool {
    let equal = match (literal, actual) {
        (Literal::Number(right), ActualValue::Number(left)) => return operator.holds(left, *right),
        (Literal::Number(_), _) => return false,
        (Literal::Text(right), ActualValue::Text(left)) => left == right,
        (Literal::Bool(right), ActualValue::Bool(left)) => left == *right,
        (Literal::Null, ActualValue::Missing) => true,
        _ => false,
    };
    match operator {
        Operator::Equal => equal,
        Operator::NotEqual => !equal,
        _ => false,
    }
}

impl Operator {
    pub(super) fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    #[expect(clippy::float_cmp, reason = "the language compares numbers exactly")]
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }

    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}
