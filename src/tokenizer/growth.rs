//! How much longer a file may make texts, found before it is loaded: what it takes of memory is bounded by that.

use serde::Deserialize;
use serde_json::{Map, Value};

/// What of a file may make texts longer.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
}

/// Returns how many times as long as it is a text may become: the product of what each step may do. The forms of Unicode,
/// some ten times at most, are not counted.
///
/// # Errors
/// The reason, for what is no JSON, and for a table of characters that is cut short, for which the library would take as
/// much memory as it says.
pub(super) fn growth(json: &[u8]) -> Result<u64, String> {
    let Parts { normalizer, pre_tokenizer, post_processor } =
        serde_json::from_slice(json).map_err(|error| error.to_string())?;
    [normalizer, pre_tokenizer, post_processor]
        .iter()
        .try_fold(1, |grown: u64, part| Ok(grown.saturating_mul(of(part)?)))
}

fn of(value: &Value) -> Result<u64, String> {
    let (own, parts): (u64, Vec<&Value>) = match value {
        Value::Object(step) => (of_step(step)?, step.values().collect()),
        Value::Array(steps) => (1, steps.iter().collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(1),
    };
    parts.into_iter().try_fold(own, |grown, part| Ok(grown.saturating_mul(of(part)?)))
}

/// Returns what one step may do, of which kind it is by what it has: the library takes some that do not say it.
fn of_step(step: &Map<String, Value>) -> Result<u64, String> {
    let text = |name| step.get(name).and_then(Value::as_str);
    if let Some(table) = text("precompiled_charsmap") {
        return longest_entry(table);
    }
    if let (Some(pattern), Some(content)) = (step.get("pattern"), text("content")) {
        let least = pattern.get("String").and_then(Value::as_str).map_or(0, str::len);
        // What an empty match is replaced by comes between all characters.
        return Ok(if least == 0 { content.len() + 1 } else { content.len().div_ceil(least).max(1) } as u64);
    }
    if let Some(before) = text("prepend") {
        return Ok(before.len() as u64 + 1);
    }
    let pieces = step.get("single").and_then(Value::as_array);
    let texts = pieces.map(|pieces| pieces.iter().filter(|piece| piece.get("Sequence").is_some()).count());
    Ok(texts.unwrap_or(1).max(1) as u64)
}

/// Returns the length of the longest text of a table: behind four bytes with its length an index, then texts that end with
/// a zero.
fn longest_entry(table: &str) -> Result<u64, String> {
    let broken = || "its precompiled_charsmap is cut short".to_owned();
    let bytes = decoded(table).ok_or_else(broken)?;
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
    let texts = rest.get(u32::from_le_bytes(*size) as usize..).ok_or_else(broken)?;
    Ok(texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0).max(1) as u64)
}

/// Returns the bytes of a text in base64.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|digit| match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes().into_iter().skip(1).take(four.len() * 3 / 4)
    });
    Some(bytes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_normalizer(normalizer: &str) -> Result<u64, String> {
        growth(format!(r#"{{"version": "1.0", "normalizer": {normalizer}, "model": [1, 2]}}"#).as_bytes())
    }

    #[test]
    fn steps_multiply() {
        let replaced = |pattern: &str, content: &str| {
            format!(r#"{{"type": "Replace", "pattern": {pattern}, "content": "{content}"}}"#)
        };
        assert_eq!(of_normalizer("null"), Ok(1));
        assert_eq!(of_normalizer(r#"{"type": "NFC"}"#), Ok(1));
        assert_eq!(of_normalizer(&replaced(r#"{"String": "ab"}"#, "12345")), Ok(3));
        assert_eq!(of_normalizer(&replaced(r#"{"String": "ab"}"#, "")), Ok(1));
        assert_eq!(of_normalizer(&replaced(r#"{"Regex": "x*"}"#, "12345")), Ok(6));
        let double = replaced(r#"{"String": "a"}"#, "aa");
        let nested = format!(r#"{{"normalizers": [{double}, {{"prepend": "abc"}}, {{"normalizers": [{double}]}}]}}"#);
        assert_eq!(of_normalizer(&nested), Ok(16));
        let many = vec![double; 100].join(",");
        assert_eq!(of_normalizer(&format!(r#"{{"normalizers": [{many}]}}"#)), Ok(u64::MAX));
        let template = br#"{"post_processor": {"single": [{"Sequence": 1}, {"SpecialToken": 1}, {"Sequence": 1}]}}"#;
        assert_eq!(growth(template), Ok(2));
        assert!(growth(b"{").is_err());
        assert!(growth(br#"{"normalizer": null, "normalizer": null}"#).is_err());
    }

    #[test]
    fn a_table_is_as_long_as_it_says() {
        let table = |text: &str| of_normalizer(&format!(r#"{{"precompiled_charsmap": "{text}"}}"#));
        // An index of one number, and "ab", "abc".
        assert_eq!(table("BAAAAAAAAABhYgBhYmMA"), Ok(3));
        assert_eq!(table("AAAAAA=="), Ok(1));
        for broken in ["//////////8=", "AAAA", "", "BAAAAAAA", "!"] {
            assert_eq!(table(broken), Err("its precompiled_charsmap is cut short".to_owned()), "{broken}");
        }
        assert_eq!(decoded("aGVsbG8="), Some(b"hello".to_vec()));
        assert_eq!(decoded("aGk="), Some(b"hi".to_vec()));
    }
}
