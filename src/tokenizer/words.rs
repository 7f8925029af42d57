//! The words of byte-level vocabularies, whose tokens are remembered.
//!
//! Such a vocabulary is applied to one word of a pattern after another, and a word has the same tokens wherever it stands. The
//! library copies each word several times, with where each byte of it comes from; what is remembered here is looked up by
//! the word as it stands in the text. Tokens are the same: those of words that are not known are the model's.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, TryLockError},
};

use tokenizers::{
    Encoding, Model, ModelWrapper, OffsetReferential, OffsetType, PreTokenizerWrapper, SplitDelimiterBehavior,
    TruncationDirection, pre_tokenizers::split::SplitPattern, utils::SysRegex,
};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// The pattern of a byte-level vocabulary that has no other, GPT-2's.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// The most words that a thread remembers, and the longest of them in bytes: 4 MiB, and as much for tables.
const MOST_WORDS: usize = 1 << 16;
const LONGEST_WORD: usize = 64;

/// A pattern of words, and what is remembered of them.
pub(super) struct Words {
    pattern: SysRegex,
    /// The character that stands for each byte.
    characters: [char; 256],
    /// What each thread remembers that tokenizes nothing now.
    known: Mutex<Vec<Known>>,
}

/// The tokens of words.
#[derive(Default)]
struct Known {
    /// Where the tokens of each word begin and end.
    words: HashMap<Box<str>, (u32, u32), Xxh3DefaultBuilder>,
    tokens: Vec<u32>,
}

impl Words {
    /// Returns what remembers the words of a tokenizer, where it has a byte-level vocabulary.
    pub(super) fn of(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        let ModelWrapper::BPE(_) = tokenizer.get_model() else { return None };
        let before = tokenizer.get_pre_tokenizer()?;
        let pattern = if let PreTokenizerWrapper::ByteLevel(bytes) = before
            && bytes.use_regex
            && !bytes.add_prefix_space
        {
            WORDS
        } else if let PreTokenizerWrapper::Sequence(steps) = before
            && let [PreTokenizerWrapper::Split(split), PreTokenizerWrapper::ByteLevel(bytes)] = steps.as_ref()
            && let SplitPattern::Regex(pattern) = &split.pattern
            && split.behavior == SplitDelimiterBehavior::Isolated
            && !split.invert
            && !bytes.use_regex
            && !bytes.add_prefix_space
        {
            pattern
        } else {
            return None;
        };
        let pattern = SysRegex::new(pattern).ok()?;
        Some(Self { pattern, characters: characters(), known: Mutex::new(Vec::new()) })
    }

    /// Returns the tokens of a text, without where they come from.
    ///
    /// # Errors
    /// Those of the library.
    pub(super) fn encode(
        &self,
        tokenizer: &tokenizers::Tokenizer,
        text: &str,
        add_special_tokens: bool,
    ) -> tokenizers::Result<Encoding> {
        let most = match tokenizer.get_truncation() {
            Some(cut) if matches!(cut.direction, TruncationDirection::Right) => cut.max_length,
            Some(_) | None => usize::MAX,
        };
        let pieces = tokenizer.get_added_vocabulary().extract_and_normalize(tokenizer.get_normalizer(), text);
        let mut known = self.taken();
        let mut ids = Vec::with_capacity(text.len() / 4);
        for (piece, _, added) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            match added {
                Some(tokens) => ids.extend(tokens.iter().map(|token| token.id)),
                None => self.piece(tokenizer.get_model(), piece, most, &mut known, &mut ids)?,
            }
            if ids.len() >= most {
                break;
            }
        }
        self.put_back(known);
        let encoding = ids.into_iter().map(|id| (id, String::new(), (0, 0), None, 0)).collect();
        tokenizer.post_process(encoding, None, add_special_tokens)
    }

    /// Adds the tokens of a piece of text, until there are enough.
    fn piece(
        &self,
        model: &impl Model,
        piece: &str,
        most: usize,
        known: &mut Known,
        ids: &mut Vec<u32>,
    ) -> tokenizers::Result<()> {
        let mut behind = 0;
        for (start, end) in self.pattern.find_iter(piece) {
            // What the pattern does not match is a word, too.
            for word in [&piece[behind..start], &piece[start..end]] {
                self.word(model, word, known, ids)?;
            }
            behind = end;
            if ids.len() >= most {
                return Ok(());
            }
        }
        self.word(model, &piece[behind..], known, ids)
    }

    fn word(&self, model: &impl Model, word: &str, known: &mut Known, ids: &mut Vec<u32>) -> tokenizers::Result<()> {
        if word.is_empty() {
            return Ok(());
        }
        if let Some((start, end)) = known.words.get(word) {
            ids.extend_from_slice(&known.tokens[*start as usize..*end as usize]);
            return Ok(());
        }
        let characters: String = word.bytes().map(|byte| self.characters[usize::from(byte)]).collect();
        let first = ids.len();
        ids.extend(model.tokenize(&characters)?.into_iter().map(|token| token.id));
        if word.len() <= LONGEST_WORD && known.words.len() < MOST_WORDS {
            let start = known.tokens.len() as u32;
            known.tokens.extend_from_slice(&ids[first..]);
            known.words.insert(word.into(), (start, known.tokens.len() as u32));
        }
        Ok(())
    }

    /// Takes what some thread remembered. It never waits: whoever has the lock may be gone, in a process that was forked.
    fn taken(&self) -> Known {
        match self.known.try_lock() {
            Ok(mut known) => known.pop().unwrap_or_default(),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => Known::default(),
        }
    }

    fn put_back(&self, known: Known) {
        if let Ok(mut all) = self.known.try_lock() {
            all.push(known);
        }
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

/// Returns the characters that stand for bytes: themselves where they print, and else those from U+0100 on.
fn characters() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let prints = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if prints { byte as u32 } else { next };
        next += u32::from(!prints);
        char::from_u32(code).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A byte-level vocabulary of single bytes, and of a few pairs of them.
    fn tokenizer(pre_tokenizer: &str, normalizer: &str) -> tokenizers::Tokenizer {
        let mut vocabulary = serde_json::Map::new();
        for (id, character) in characters().iter().enumerate() {
            vocabulary.insert(character.to_string(), id.into());
        }
        let merges = ["a b", "ab c", "\u{120} a", "\u{120}a b", "1 2", "\u{c3} \u{a9}"];
        for merge in merges {
            vocabulary.insert(merge.replace(' ', ""), vocabulary.len().into());
        }
        let json = format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
                {{"id": 300, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": true,
                  "normalized": false, "special": true}}],
                "normalizer": {normalizer}, "pre_tokenizer": {pre_tokenizer},
                "post_processor": {{"type": "RobertaProcessing", "sep": ["a", 64], "cls": ["b", 65],
                                    "trim_offsets": true, "add_prefix_space": false}},
                "decoder": null, "model": {{"type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": false, "vocab": {}, "merges": {}}}}}"#,
            serde_json::to_string(&vocabulary).unwrap(),
            serde_json::to_string(&merges).unwrap(),
        );
        tokenizers::Tokenizer::from_bytes(json).unwrap()
    }

    const BYTES: &str = r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#;
    const SPLIT: &str = r#"{"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\p{L}+|\\p{N}{1,3}"}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}"#;

    #[test]
    fn other_vocabularies_are_left_to_the_library() {
        let words = |pre_tokenizer: &str| Words::of(&tokenizer(pre_tokenizer, "null")).is_some();
        assert!(words(BYTES));
        assert!(words(SPLIT));
        for other in [
            "null",
            &BYTES.replace("\"add_prefix_space\": false", "\"add_prefix_space\": true"),
            &BYTES.replace("\"use_regex\": true", "\"use_regex\": false"),
            &SPLIT.replace("Isolated", "Removed"),
            &SPLIT.replace("\"invert\": false", "\"invert\": true"),
            &SPLIT.replace("Regex", "String"),
        ] {
            assert!(!words(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn tokens_are_those_of_the_library(
            texts in prop::collection::vec("([ab1-3é ]|ab|abc|<s>|\\PC|[\n\t\u{1}]){0,30}", 1..8),
            (splits, composes, add, left) in any::<(bool, bool, bool, bool)>(),
            most in prop::option::of(2_usize..9),
        ) {
            let normalizer = if composes { r#"{"type": "NFC"}"# } else { "null" };
            let mut theirs = tokenizer(if splits { SPLIT } else { BYTES }, normalizer);
            let direction = if left { TruncationDirection::Left } else { TruncationDirection::Right };
            let cut = most.map(|max_length| tokenizers::TruncationParams { max_length, direction, ..Default::default() });
            theirs.with_truncation(cut).unwrap();
            let ours = Words::of(&theirs).unwrap();
            // The second time, all words are known.
            for text in texts.iter().chain(&texts) {
                let expected = theirs.encode_fast(text.as_str(), add).unwrap();
                let found = ours.encode(&theirs, text, add).unwrap();
                prop_assert_eq!(found.get_ids(), expected.get_ids());
                prop_assert_eq!(found.get_type_ids(), expected.get_type_ids());
                prop_assert_eq!(found.get_special_tokens_mask(), expected.get_special_tokens_mask());
                prop_assert_eq!(found.get_attention_mask(), expected.get_attention_mask());
            }
        }
    }
}
