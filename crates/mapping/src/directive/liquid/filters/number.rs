//! Filters on numbers, in JavaScript's floating point. A value that is not a number counts as 0.

use super::{Data, Filter};

pub(super) fn named(name: &str) -> Option<Filter> {
    let filter: Filter = match name {
        "abs" => |value, _, _| Ok(Data::Number(number(value).abs())),
        "ceil" => |value, _, _| Ok(Data::Number(number(value).ceil())),
        "floor" => |value, _, _| Ok(Data::Number(number(value).floor())),
        "round" => |value, arguments, _| {
            let digits = arguments.first().map_or(0.0, number);
            let scale = 10_f64.powf(digits);
            let scaled = number(value) * scale * (1.0 + f64::EPSILON);
            Ok(Data::Number((scaled + 0.5).floor() / scale))
        },
        "plus" => |value, arguments, _| Ok(Data::Number(number(value) + argument(arguments))),
        "minus" => |value, arguments, _| Ok(Data::Number(number(value) - argument(arguments))),
        "times" => |value, arguments, _| Ok(Data::Number(number(value) * argument(arguments))),
        "modulo" => |value, arguments, _| {
            let by = argument(arguments);
            Ok(Data::Number(((number(value) % by) + by) % by))
        },
        "divided_by" => |value, arguments, _| {
            let quotient = number(value) / argument(arguments);
            let whole = arguments.get(1).is_some_and(|whole| number(whole) != 0.0);
            Ok(Data::Number(if whole { quotient.floor() } else { quotient }))
        },
        "at_least" => {
            |value, arguments, _| Ok(Data::Number(arguments.iter().map(number).fold(number(value), f64::max)))
        }
        "at_most" => {
            |value, arguments, _| Ok(Data::Number(arguments.iter().map(number).fold(number(value), f64::min)))
        }
        "to_integer" => |value, _, _| Ok(Data::Number(value.number())),
        _ => return None,
    };
    Some(filter)
}

/// JavaScript's `+value || 0`.
pub(super) fn number(value: &Data<'_>) -> f64 {
    let number = value.number();
    if number.is_nan() { 0.0 } else { number }
}

/// Returns the first argument; without arguments the result is NaN.
fn argument(arguments: &[Data<'_>]) -> f64 {
    arguments.first().map_or(f64::NAN, number)
}
