//! Runs a liquid template against an event. The root is the event itself, as in Segment.
//!
//! No piece runs twice, so the template's length limits the steps. The budget limits what they build.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::ResolveError;
use super::super::resolved::{Budget, View};
use super::data::Data;
use super::expression::{Chain, Literal, Operand, Operator, Term};
use super::parse::Piece;
use crate::javascript;
use crate::json::Value;

type Outcome<'v> = Result<Data<'v>, ResolveError>;

pub(super) fn render<'v>(
    pieces: &'v [Piece],
    root: View<'v, 'v>,
    budget: &Budget,
) -> Result<String, ResolveError> {
    let mut renderer = Renderer {
        root,
        budget,
        variables: HashMap::new(),
        counters: HashMap::new(),
        turns: HashMap::new(),
        stopped: false,
    };
    let mut out = String::new();
    renderer.pieces(pieces, &mut out)?;
    Ok(out)
}

struct Renderer<'v, 'b> {
    root: View<'v, 'v>,
    budget: &'b Budget,
    /// The variables that `assign` and `capture` set; they hide the event's members.
    variables: HashMap<&'v str, Data<'v>>,
    /// The counters of `increment` and `decrement`; they hide the event's members.
    counters: HashMap<&'v str, f64>,
    /// The next operand of each `cycle`.
    turns: HashMap<String, usize>,
    stopped: bool,
}

impl<'v> Renderer<'v, '_> {
    fn pieces(&mut self, pieces: &'v [Piece], out: &mut String) -> Result<(), ResolveError> {
        for piece in pieces {
            if self.stopped {
                break;
            }
            let before = out.len();
            self.piece(piece, out)?;
            self.budget.text(out.len() - before)?;
        }
        Ok(())
    }

    fn piece(&mut self, piece: &'v Piece, out: &mut String) -> Result<(), ResolveError> {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Output(chain) => self.chain(chain)?.print(out),
            Piece::Assign(name, chain) => {
                let value = self.chain(chain)?;
                self.variables.insert(name, value);
            }
            Piece::Capture(name, pieces) => {
                let mut text = String::new();
                self.pieces(pieces, &mut text)?;
                self.variables.insert(name, Data::text(text));
            }
            Piece::Count { name, down } => out.push_str(&javascript::number_to_text(self.count(name, *down))),
            Piece::Cycle { key, group, operands } => {
                let group = group.as_ref().map_or(Ok(Data::Undefined), |group| self.operand(group))?;
                let turn = self.turns.entry(format!("{}:{key}", group.script_text())).or_insert(0);
                let operand = operands.get(*turn % operands.len());
                *turn += 1;
                let value = operand.map_or(Ok(Data::Undefined), |operand| self.operand(operand))?;
                // This tag does not print a value that is falsy in JavaScript.
                if value.is_given() {
                    value.print(out);
                }
            }
            Piece::Stop => self.stopped = true,
            Piece::Block(pieces) => self.pieces(pieces, out)?,
            Piece::Choice(branches) => {
                for branch in branches {
                    let holds = match &branch.condition {
                        Some(condition) => self.chain(condition)?.is_truthy() == branch.holds,
                        None => true,
                    };
                    if holds {
                        return self.pieces(&branch.pieces, out);
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, name: &'v str, down: bool) -> f64 {
        let start = if let Data::Number(number) = self.member(name) { number } else { 0.0 };
        let counter = self.counters.entry(name).or_insert(start);
        let before = *counter;
        *counter += if down { -1.0 } else { 1.0 };
        if down { *counter } else { before }
    }

    fn chain(&self, chain: &'v Chain) -> Outcome<'v> {
        let mut value = self.terms(&chain.terms)?;
        for step in &chain.filters {
            let arguments: Result<Vec<Data<'v>>, ResolveError> = step
                .arguments
                .iter()
                .map(|(name, operand)| {
                    let value = self.operand(operand)?.plain();
                    // A named argument reaches a filter as the pair of its name and value.
                    Ok(name
                        .as_ref()
                        .map_or(value.clone(), |name| Data::List(vec![Data::text(name.as_str()), value])))
                })
                .collect();
            value = (step.filter)(&value.plain(), &arguments?, self.budget)?;
        }
        Ok(value)
    }

    fn terms(&self, terms: &'v [Term]) -> Outcome<'v> {
        let mut operands: Vec<Data<'v>> = Vec::new();
        for term in terms {
            let result = match term {
                Term::Operand(operand) => self.operand(operand)?,
                Term::Operator(operator) => {
                    let right = operands.pop().unwrap_or(Data::Undefined);
                    let left = if *operator == Operator::Not { None } else { operands.pop() };
                    Data::Bool(apply(*operator, &left.unwrap_or(Data::Undefined), &right))
                }
            };
            operands.push(result);
        }
        Ok(operands.into_iter().next().unwrap_or(Data::Undefined))
    }

    fn operand(&self, operand: &'v Operand) -> Outcome<'v> {
        match operand {
            Operand::Literal(literal) => Ok(of_literal(literal)),
            Operand::Range(low, high) => {
                let (low, high) = (self.operand(low)?.number(), self.operand(high)?.number());
                self.budget.values(index(high - low + 1.0))?;
                let items = (0..).map(|step| low + f64::from(step)).take_while(|number| *number <= high);
                Ok(Data::List(items.map(Data::Number).collect()))
            }
            Operand::Path(base, keys) => {
                let mut keys = keys.iter();
                let mut at = match (base, keys.next()) {
                    (None, None) => return Ok(Data::Undefined),
                    (None, Some(first)) => self.variable(&self.operand(first)?.plain().script_text())?,
                    (Some(base), None) => of_literal(base),
                    (Some(base), Some(first)) => member(&of_literal(base), &self.operand(first)?.plain()),
                };
                for key in keys {
                    at = member(&at, &self.operand(key)?.plain());
                }
                Ok(at)
            }
        }
    }

    fn variable(&self, name: &str) -> Outcome<'v> {
        let Some(value) = self.variables.get(name) else { return Ok(self.member(name)) };
        match value {
            Data::List(items) => self.budget.values(items.len())?,
            Data::Text(Cow::Owned(text)) => self.budget.text(text.len())?,
            _ => {}
        }
        Ok(value.clone())
    }

    /// Returns a member of the event, or the counter of the same name.
    fn member(&self, name: &str) -> Data<'v> {
        if let Some(counter) = self.counters.get(name) {
            return Data::Number(*counter);
        }
        match self.root.member(name) {
            View::Undefined if name == "size" => Data::Number(0.0),
            member => Data::from(member),
        }
    }
}

fn of_literal(literal: &Literal) -> Data<'_> {
    match literal {
        Literal::Text(text) => Data::Text(Cow::Borrowed(text)),
        Literal::Number(number) => Data::Number(*number),
        Literal::Bool(bool) => Data::Bool(*bool),
        Literal::Nil => Data::Nil,
        Literal::Empty => Data::Empty,
        Literal::Blank => Data::Blank,
    }
}

fn apply<'v>(operator: Operator, left: &Data<'v>, right: &Data<'v>) -> bool {
    match operator {
        Operator::Equal => left.equals(right),
        Operator::NotEqual => !left.equals(right),
        Operator::Greater => left.compare(right).is_some_and(std::cmp::Ordering::is_gt),
        Operator::Less => left.compare(right).is_some_and(std::cmp::Ordering::is_lt),
        Operator::GreaterOrEqual => left.compare(right).is_some_and(std::cmp::Ordering::is_ge),
        Operator::LessOrEqual => left.compare(right).is_some_and(std::cmp::Ordering::is_le),
        Operator::Contains => left.contains(right),
        Operator::Not => !right.is_truthy(),
        Operator::And => left.is_truthy() && right.is_truthy(),
        Operator::Or => left.is_truthy() || right.is_truthy(),
    }
}

/// Returns a member of a value: a key, an index (from the end if negative), `size`, `first` or `last`.
pub(super) fn member<'v>(of: &Data<'v>, key: &Data<'_>) -> Data<'v> {
    if of.is_nil() {
        return of.clone();
    }
    let name = key.script_text();
    if let Some(items) = of.items() {
        return item(&items, key, &name);
    }
    match of {
        Data::Text(text) => match name.as_str() {
            "size" => Data::Number(length(javascript::text_length(text))),
            name => match javascript::character(text, name) {
                Some(Value::Number(number)) => Data::Number(number.as_f64().unwrap_or_default()),
                Some(Value::String(character)) => Data::text(character),
                _ => Data::Undefined,
            },
        },
        Data::Event(view) => match view.member(&name) {
            View::Undefined if name == "size" => {
                Data::Number(length(view.members().map_or(0, |members| members.len())))
            }
            member => Data::from(member),
        },
        _ => Data::Undefined,
    }
}

fn item<'v>(items: &[Data<'v>], key: &Data<'_>, name: &str) -> Data<'v> {
    let found = match (key, name) {
        (Data::Number(number), _) if *number < 0.0 && number.fract() == 0.0 => {
            items.len().checked_sub(index(-number)).and_then(|at| items.get(at))
        }
        (_, "first") => items.first(),
        (_, "last") => items.last(),
        (_, "size" | "length") => return Data::Number(length(items.len())),
        (_, name) => javascript::array_index(name).and_then(|index| items.get(index)),
    };
    found.cloned().unwrap_or(Data::Undefined)
}

/// Returns a number as an index or a count: without its fraction, and 0 if it is negative or not a number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, as wanted")]
pub(super) fn index(number: f64) -> usize {
    number as usize
}

/// Returns a length as a number of JavaScript.
pub(super) fn length(length: usize) -> f64 {
    u32::try_from(length).map_or(f64::INFINITY, f64::from)
}
