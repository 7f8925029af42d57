//! `{% generation %}`, by which a template says what the assistant writes. The language has no such block: it is written as
//! a filter that marks what it gets, and the marks are taken out of what was rendered.

use std::ops::Range;

/// The variable by which a template is asked for what begins an answer.
pub(super) const PROMPT: &str = "add_generation_prompt";
/// The name of the filter, and what begins a block of it.
pub(super) const FILTER: &str = "generation";
const BLOCK: &str = "filter generation";
/// Marks: code points that stand for no characters, and never will.
const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';
/// What they are, in words.
pub(super) const MARKS_ARE: &str = "U+FDD0 or U+FDD1, which are no characters, and mark what is generated";

/// Tells whether a text has marks.
pub(super) fn has_marks(text: &str) -> bool {
    text.contains([BEGIN, END])
}

/// Tells whether JSON has marks, as they are or escaped.
pub(super) fn may_have_marks(json: &str) -> bool {
    let escaped = |at: usize| json.get(at + 2..at + 6).map(str::to_ascii_lowercase);
    let is_mark = |(at, _)| escaped(at).is_some_and(|code| code == "fdd0" || code == "fdd1");
    has_marks(json) || json.match_indices("\\u").any(is_mark)
}

/// Marks a text.
pub(super) fn marked(text: &str) -> String {
    format!("{BEGIN}{text}{END}")
}

/// Returns a template with filters in the place of these blocks, and whether it has any.
pub(super) fn as_filters(template: &str) -> (String, bool) {
    let (mut made, mut rest, mut has) = (String::with_capacity(template.len()), template, false);
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        made.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (inner, after) = (&tag[..end + 2], &tag[end + 2..]);
        match tag[2..end].trim_matches(['-', '+']).trim() {
            "generation" => {
                has = true;
                made.push_str(&inner.replace("generation", BLOCK));
            }
            "endgeneration" => made.push_str(&inner.replace("endgeneration", "endfilter")),
            _ => made.push_str(inner),
        }
        rest = after;
    }
    made.push_str(rest);
    (made, has)
}

/// Returns a text without its marks, and the parts between them; none where one is missing.
pub(super) fn parts(text: &str) -> Option<(String, Vec<Range<usize>>)> {
    let (mut plain, mut parts, mut begun) = (String::with_capacity(text.len()), Vec::new(), Vec::new());
    for piece in text.split_inclusive([BEGIN, END]) {
        plain.push_str(piece.trim_end_matches([BEGIN, END]));
        if piece.ends_with(BEGIN) {
            begun.push(plain.len());
        } else if piece.ends_with(END) {
            let start = begun.pop()?;
            // Those inside of others are parts of these.
            if begun.is_empty() {
                parts.push(start..plain.len());
            }
        }
    }
    begun.is_empty().then_some((plain, parts))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_become_filters_with_their_signs() {
        let template = "a{% generation %}b{%- endgeneration -%}{%+generation-%}{% if generation %}{{ '{%' }}";
        let (made, has) = as_filters(template);
        assert!(has);
        let filters = "a{% filter generation %}b{%- endfilter -%}{%+filter generation-%}{% if generation %}{{ '{%' }}";
        assert_eq!(made, filters);
        assert_eq!(as_filters("{% if a %}{{ b }}{% endif %}"), ("{% if a %}{{ b }}{% endif %}".to_owned(), false));
    }

    #[test]
    fn marks_are_known_in_json() {
        assert!(may_have_marks("\"\u{fdd0}\""));
        assert!(may_have_marks(r#""\uFDd1""#));
        assert!(!may_have_marks(r#""\ufdd2 \u é fdd0""#));
        assert_eq!(parts("a\u{fdd0}b"), None);
        assert_eq!(parts("a\u{fdd1}b"), None);
    }

    proptest! {
        #[test]
        fn parts_are_what_was_marked(texts in prop::collection::vec(("[a-zé]{0,5}", "[a-zé]{0,5}"), 0..6)) {
            let text: String = texts.iter().flat_map(|(plain, part)| [plain.clone(), marked(part)]).collect();
            let (plain, found) = parts(&text).unwrap();
            prop_assert_eq!(&plain, &texts.iter().flat_map(|(plain, part)| [plain.clone(), part.clone()]).collect::<String>());
            let found: Vec<&str> = found.into_iter().map(|part| &plain[part]).collect();
            prop_assert_eq!(found, texts.iter().map(|(_, part)| part.as_str()).collect::<Vec<_>>());
        }
    }
}
