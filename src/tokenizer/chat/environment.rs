//! The language of chat templates, as `transformers` sets it up: Jinja with Python's values and methods, two functions more,
//! and no files.

use std::collections::BTreeMap;

use minijinja::{Environment, Error, ErrorKind, State, Value, syntax::SyntaxConfig, value::Kwargs};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{generation, python};

/// What a template may do before it is given up: so many instructions, or 64 bytes each of what it makes, so that neither
/// time nor memory is without bounds.
const FUEL: u64 = 1 << 22;

/// Returns the language, in which the time is what the directives of `strftime` are given here.
pub(super) fn new(now: BTreeMap<String, String>) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.unwrap_or_default());
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(method);
    environment.add_filter("tojson", to_json);
    environment.add_filter("trim", |text: &str, chars: Option<&str>| trimmed(text, chars, true, true).to_owned());
    environment.add_filter(generation::FILTER, |text: &str| generation::marked(text));
    environment.add_function("raise_exception", |message: &str| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()))
    });
    environment.add_function("strftime_now", move |format: &str| {
        python::time(format, &now).map_err(|what| Error::new(ErrorKind::InvalidOperation, what))
    });
    environment
}

/// Calls a method that a value has in Python. Those that look for spaces have Python's.
fn method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let chars = match args {
        [] | [_] if args.iter().all(|chars| chars.is_none() || chars.as_str().is_some()) => {
            args.first().and_then(Value::as_str)
        }
        _ => return unknown_method_callback(state, value, method, args),
    };
    let (start, end) = match method {
        "strip" => (true, true),
        "lstrip" => (true, false),
        "rstrip" => (false, true),
        _ => return unknown_method_callback(state, value, method, args),
    };
    match value.as_str() {
        Some(text) => Ok(Value::from(trimmed(text, chars, start, end))),
        None => unknown_method_callback(state, value, method, args),
    }
}

/// Returns a text without these characters, or spaces, at its ends.
fn trimmed<'t>(text: &'t str, chars: Option<&str>, start: bool, end: bool) -> &'t str {
    let is_out = |c: char| chars.map_or_else(|| python::is_space(c), |chars| chars.contains(c));
    let text = if start { text.trim_start_matches(is_out) } else { text };
    if end { text.trim_end_matches(is_out) } else { text }
}

/// Python's `json.dumps`, with the arguments that `transformers` lets templates give.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let layout = python::JsonLayout {
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        indent: options.get::<Option<usize>>("indent")?,
        separators: options.get::<Option<Vec<String>>>("separators")?,
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let text = python::json(value, &layout).map_err(|what| Error::new(ErrorKind::InvalidOperation, what))?;
    Ok(Value::from(text))
}
