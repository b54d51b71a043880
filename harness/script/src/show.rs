//! How values of scripts are shown in steps and messages.

use std::fmt::Write;

use num_bigint::BigInt;
use serde_json::{Number, Value as Json};
use starlark::values::dict::DictRef;
use starlark::values::float::StarlarkFloat;
use starlark::values::list::ListRef;
use starlark::values::structs::StructRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{UnpackValue, Value, ValueLike};

use super::api::blob::Data;
use super::plain::{LIMIT, push_escaped};
pub(super) use super::plain::{bytes, plain, text};

/// Characters of a message that are kept.
pub(super) const MESSAGE: usize = 4000;
/// Elements of a list, tuple or dict that are shown.
const ELEMENTS: usize = 12;
/// Levels of nesting that are shown.
const DEPTH: usize = 4;
/// Bits of an integer that are shown as digits: with more, the conversion takes longer than anybody waits.
const LONGEST_INT: u64 = 1024;

/// Any Starlark value, shortened.
pub(super) fn value(value: Value<'_>) -> String {
    let mut out = String::new();
    push_value(&mut out, value, 0);
    shorten(out)
}

/// Any Starlark value for the record of steps, shortened.
pub(super) fn json(value: Value<'_>) -> Json {
    json_at(value, 0)
}

fn json_at(value: Value<'_>, depth: usize) -> Json {
    if value.is_none() {
        return Json::Null;
    }
    if let Some(text) = value.unpack_str() {
        return plain(text, LIMIT).into();
    }
    if let Some(data) = Data::from_blob(value) {
        return bytes(data).into();
    }
    if let (Some(list), true) = (ListRef::from_value(value), depth < DEPTH) {
        let elements = list.iter().take(ELEMENTS);
        let mut all: Vec<_> = elements.map(|v| json_at(v, depth + 1)).collect();
        if list.len() > ELEMENTS {
            all.push(format!("... {} in all", list.len()).into());
        }
        return all.into();
    }
    if let (Some(dict), true) = (DictRef::from_value(value), depth < DEPTH) {
        let entries = dict.iter().take(ELEMENTS);
        let mut all: serde_json::Map<_, _> = entries
            .map(|(k, v)| (argument(k), json_at(v, depth + 1)))
            .collect();
        if dict.len() > ELEMENTS {
            all.insert("...".into(), format!("{} in all", dict.len()).into());
        }
        return all.into();
    }
    if let (Some(fields), true) = (StructRef::from_value(value), depth < DEPTH) {
        let entries = fields.iter();
        let all: serde_json::Map<_, _> = entries
            .map(|(k, v)| {
                let shown = address(&k, v).map_or_else(|| json_at(v, depth + 1), Json::from);
                (k.as_str().to_owned(), shown)
            })
            .collect();
        return all.into();
    }
    if let Some(bool) = value.unpack_bool() {
        return bool.into();
    }
    match number(value) {
        Some(number) => Json::Number(number),
        None => self::value(value).into(),
    }
}

/// A number that JSON has.
fn number(value: Value<'_>) -> Option<Number> {
    if let Some(float) = value.downcast_ref::<StarlarkFloat>() {
        return Number::from_f64(float.0);
    }
    // Not by unpacking 64 bits: that one is too large is told with all its digits.
    let int = BigInt::unpack_value(value).ok().flatten()?;
    let signed = i64::try_from(&int).map(Number::from);
    signed
        .or_else(|_| u64::try_from(&int).map(Number::from))
        .ok()
}

/// The bits of an integer that has so many that nobody reads it.
fn bits_of_long(value: Value<'_>) -> Option<u64> {
    let int = BigInt::unpack_value(value).ok().flatten()?;
    Some(int.bits()).filter(|bits| *bits > LONGEST_INT)
}

/// A memory address as it stands in the chip's manual, for a field of a struct that is one.
fn address(name: &str, value: Value<'_>) -> Option<String> {
    let number = u64::unpack_value(value).ok().flatten();
    number
        .filter(|_| name == "address")
        .map(|number| format!("{number:#010x}"))
}

/// JSON whose texts are all printable and not long.
pub(super) fn clean(json: Json) -> Json {
    match json {
        Json::String(text) => plain(&text, MESSAGE).into(),
        Json::Array(all) => all.into_iter().map(clean).collect(),
        Json::Object(all) => all
            .into_iter()
            .map(|(name, value)| (plain(&name, LIMIT), clean(value)))
            .collect(),
        other => other,
    }
}

/// A value as an argument of a message: text without quotes, everything else as [`value`].
pub(super) fn argument(argument: Value<'_>) -> String {
    match argument.unpack_str() {
        Some(text) => plain(text, LIMIT),
        None => value(argument),
    }
}

/// `message` with `{}` and `{0}` replaced by the arguments; `{{` and `}}` are braces.
/// Arguments that no placeholder asks for are appended: evidence is never dropped.
pub(super) fn format(message: &str, arguments: &[Value<'_>]) -> String {
    let mut out = String::new();
    let mut used = vec![false; arguments.len()];
    let mut next = 0;
    let mut rest = message;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            out.push_str(&brace[..1]);
            rest = &brace[2..];
            continue;
        }
        let field = brace.strip_prefix('{').and_then(|b| b.split_once('}'));
        let index = field.and_then(|(name, _)| match name {
            "" => Some(next),
            number => number.parse().ok(),
        });
        let value = index.and_then(|i| arguments.get(i));
        if let (Some((name, after)), Some(i), Some(value)) = (field, index, value) {
            out.push_str(&argument(*value));
            used[i] = true;
            next += usize::from(name.is_empty());
            rest = after;
        } else {
            out.push_str(&brace[..1]);
            rest = &brace[1..];
        }
    }
    out.push_str(rest);
    for (value, _) in arguments.iter().zip(&used).filter(|(_, used)| !**used) {
        let _ = write!(out, " {}", argument(*value));
    }
    plain(&out, MESSAGE)
}

fn push_value(out: &mut String, value: Value<'_>, depth: usize) {
    if out.len() > LIMIT {
        return;
    }
    if depth > DEPTH {
        out.push_str("...");
    } else if let Some(string) = value.unpack_str() {
        out.push_str(&text(string));
    } else if let Some(data) = Data::from_blob(value) {
        out.push_str(&bytes(data));
    } else if let Some(list) = ListRef::from_value(value) {
        push_all(out, "[", list.iter(), list.len(), "]", depth);
    } else if let Some(tuple) = TupleRef::from_value(value) {
        push_all(out, "(", tuple.iter(), tuple.len(), ")", depth);
    } else if let Some(dict) = DictRef::from_value(value) {
        let entries = dict.iter().map(|(k, v)| (argument(k), v));
        push_named(out, "{", ": ", entries, dict.len(), "}", depth);
    } else if let Some(fields) = StructRef::from_value(value) {
        let count = fields.iter().len();
        let entries = fields.iter().map(|(k, v)| (k.as_str().to_owned(), v));
        push_named(out, "struct(", " = ", entries, count, ")", depth);
    } else if let Some(bits) = bits_of_long(value) {
        let _ = write!(out, "(an integer of {bits} bits)");
    } else {
        push_escaped(out, &value.to_repr(), LIMIT, false);
    }
}

fn push_all<'v>(
    out: &mut String,
    open: &str,
    values: impl Iterator<Item = Value<'v>>,
    count: usize,
    close: &str,
    depth: usize,
) {
    out.push_str(open);
    for (i, value) in values.take(ELEMENTS).enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        push_value(out, value, depth + 1);
    }
    push_rest(out, count);
    out.push_str(close);
}

fn push_named<'v>(
    out: &mut String,
    open: &str,
    between: &str,
    entries: impl Iterator<Item = (String, Value<'v>)>,
    count: usize,
    close: &str,
    depth: usize,
) {
    out.push_str(open);
    for (i, (name, value)) in entries.take(ELEMENTS).enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(&name);
        out.push_str(between);
        match address(&name, value) {
            Some(address) => out.push_str(&address),
            None => push_value(out, value, depth + 1),
        }
    }
    push_rest(out, count);
    out.push_str(close);
}

fn push_rest(out: &mut String, count: usize) {
    if count > ELEMENTS {
        let _ = write!(out, ", ... {count} in all");
    }
}

fn shorten(mut text: String) -> String {
    const END: &str = "...";
    if text.len() > LIMIT * 2 {
        text.truncate(text.floor_char_boundary(LIMIT * 2));
        text.push_str(END);
    }
    text
}

#[cfg(test)]
mod tests {
    use starlark::values::Heap;

    use super::*;
    use crate::api::blob::Blob;

    #[test]
    fn messages_take_arguments_in_order_and_lose_none() {
        Heap::temp(|heap| {
            let one = heap.alloc("one");
            let two = heap.alloc(2);
            assert_eq!(format("{} and {}", &[one, two]), "one and 2");
            assert_eq!(format("{1}{0}", &[one, two]), "2one");
            assert_eq!(format("left", &[one, two]), "left one 2");
            assert_eq!(format("{{}} {} { {9}", &[one]), "{} one { {9}");
        });
    }

    #[test]
    fn values_stay_short() {
        Heap::temp(|heap| {
            let blob = heap.alloc(Blob::new(vec![0xAB; 100_000]));
            let many: Vec<_> = (0..1000).map(|_| blob).collect();
            let nested = heap.alloc(many);
            let shown = value(nested);
            assert!(shown.len() < 1000, "{}", shown.len());
            assert!(shown.contains("100000 bytes"), "{shown}");
        });
    }
}
