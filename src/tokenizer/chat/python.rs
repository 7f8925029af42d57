//! What Python makes of values: its JSON, its numbers, its spaces and its dates.

use std::{collections::BTreeMap, fmt::Write};

use minijinja::{Value, value::ValueKind};

/// The widest indentation.
const MOST_INDENT: usize = 64;

/// How JSON is laid out, by the arguments of `json.dumps`.
#[derive(Debug, Default)]
pub(super) struct JsonLayout {
    pub(super) ensure_ascii: bool,
    pub(super) indent: Option<usize>,
    /// Between items, and between a key and its value.
    pub(super) separators: Option<Vec<String>>,
    pub(super) sort_keys: bool,
}

/// Returns a value as JSON.
///
/// # Errors
/// The reason why it is none.
pub(super) fn json(value: &Value, layout: &JsonLayout) -> Result<String, String> {
    let (item, key) = match layout.separators.as_deref() {
        None if layout.indent.is_some() => (",", ": "),
        None => (", ", ": "),
        Some([item, key]) => (item.as_str(), key.as_str()),
        Some(_) => return Err("tojson: separators are two texts".to_owned()),
    };
    if layout.indent.is_some_and(|indent| indent > MOST_INDENT) {
        return Err(format!("tojson: indent is at most {MOST_INDENT}"));
    }
    let mut writer = Writer { layout, item, key, out: String::new() };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer<'a> {
    layout: &'a JsonLayout,
    item: &'a str,
    key: &'a str,
    out: String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        let unfit = || format!("tojson: {} is no JSON", value.kind());
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => self.text(value.as_str().ok_or_else(unfit)?),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter().map_err(|error| error.to_string())?.collect();
                self.parts('[', ']', items, depth, |writer, item| writer.value(&item, depth + 1))?;
            }
            ValueKind::Map => {
                let keys = value.try_iter().map_err(|error| error.to_string())?;
                let mut keys: Vec<Value> = keys.collect();
                if self.layout.sort_keys {
                    keys.sort();
                }
                self.parts('{', '}', keys, depth, |writer, key| {
                    writer.text(&key_of(&key).ok_or_else(unfit)?);
                    writer.out.push_str(writer.key);
                    let entry = value.get_item(&key).map_err(|error| error.to_string())?;
                    writer.value(&entry, depth + 1)
                })?;
            }
            ValueKind::Undefined | ValueKind::Bytes | ValueKind::Plain | ValueKind::Invalid | _ => return Err(unfit()),
        }
        Ok(())
    }

    fn parts(
        &mut self,
        open: char,
        close: char,
        parts: Vec<Value>,
        depth: usize,
        mut write: impl FnMut(&mut Self, Value) -> Result<(), String>,
    ) -> Result<(), String> {
        self.out.push(open);
        let is_empty = parts.is_empty();
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                self.out.push_str(self.item);
            }
            self.line(depth + 1);
            write(self, part)?;
        }
        if !is_empty {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.layout.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if u32::from(c) < 0x20 || (self.layout.ensure_ascii && !c.is_ascii()) => {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                        write!(self.out, "\\u{unit:04x}").ok();
                    });
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// Returns the text that a key becomes.
fn key_of(key: &Value) -> Option<String> {
    match key.kind() {
        ValueKind::String => key.as_str().map(str::to_owned),
        ValueKind::None => Some("null".to_owned()),
        ValueKind::Bool => Some(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => Some(number(key)),
        ValueKind::Undefined
        | ValueKind::Bytes
        | ValueKind::Seq
        | ValueKind::Map
        | ValueKind::Iterable
        | ValueKind::Plain
        | ValueKind::Invalid
        | _ => None,
    }
}

/// Returns a number as Python writes it.
fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if !value.is_integer() => float(number),
        Ok(_) | Err(_) => value.to_string(),
    }
}

/// Returns the shortest digits that mean this number; with an exponent from 1e16 on, and below 1e-4.
fn float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) || number == 0.0 {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Tells whether Python takes a character for space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Returns a date by a format of `strftime`, where each directive is given what it stands for.
///
/// # Errors
/// The reason, for other directives.
pub(super) fn time(format: &str, now: &BTreeMap<String, String>) -> Result<String, String> {
    let (mut made, mut rest) = (String::new(), format);
    while let Some((before, after)) = rest.split_once('%') {
        made.push_str(before);
        let sign = usize::from(after.starts_with('-'));
        let end = sign + after[sign..].chars().next().map_or(0, char::len_utf8);
        let (directive, behind) = after.split_at(end);
        match now.get(directive) {
            _ if directive == "%" => made.push('%'),
            Some(value) => made.push_str(value),
            None => return Err(format!("strftime_now: there is no `%{directive}`")),
        }
        rest = behind;
    }
    made.push_str(rest);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumped(text: &str, layout: &JsonLayout) -> String {
        json(&serde_json::from_str::<Value>(text).unwrap(), layout).unwrap()
    }

    #[test]
    fn json_is_that_of_python() {
        let plain = JsonLayout::default();
        let value = r#"{"b": [1, -2.5, 1e16, 1e-7, 0.0001, 1e15, true, null, [], {}], "a": "é\u0001\"\\<'&>\u007f"}"#;
        let expected = "{\"b\": [1, -2.5, 1e+16, 1e-07, 0.0001, 1000000000000000.0, true, null, [], {}], \
                        \"a\": \"é\\u0001\\\"\\\\<'&>\u{7f}\"}";
        assert_eq!(dumped(value, &plain), expected);
        assert_eq!(dumped("[-0.0, 1.5e300]", &plain), "[-0.0, 1.5e+300]");
        let ascii = JsonLayout { ensure_ascii: true, ..JsonLayout::default() };
        assert_eq!(dumped("\"é😀\"", &ascii), r#""\u00e9\ud83d\ude00""#);
        let lines = JsonLayout { indent: Some(2), sort_keys: true, ..JsonLayout::default() };
        assert_eq!(dumped(r#"{"b": [1], "a": {}}"#, &lines), "{\n  \"a\": {},\n  \"b\": [\n    1\n  ]\n}");
        let dense = JsonLayout { separators: Some(vec![",".into(), ":".into()]), ..JsonLayout::default() };
        assert_eq!(dumped(r#"{"b": [1, 2]}"#, &dense), r#"{"b":[1,2]}"#);
        assert!(json(&Value::UNDEFINED, &plain).unwrap_err().contains("undefined"));
    }

    #[test]
    fn directives_are_what_they_are_given() {
        let now = BTreeMap::from([("d".to_owned(), "07".to_owned()), ("-d".to_owned(), "7".to_owned())]);
        assert_eq!(time("%d|%-d|100%%é", &now), Ok("07|7|100%é".to_owned()));
        assert_eq!(time("%q", &now), Err("strftime_now: there is no `%q`".to_owned()));
        assert_eq!(time("%", &now), Err("strftime_now: there is no `%`".to_owned()));
    }
}
