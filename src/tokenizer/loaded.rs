//! A tokenizer that is loaded.

use std::{borrow::Cow, fmt, fs::File, io::Read};

use tokenizers::{
    Encoding, ModelWrapper, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy,
    utils::parallelism::set_parallelism,
};

use super::{Encode, Side, Text, TokenizerFile, chat::Chat, growth::growth, words::Words};
use crate::{panics, stamp::Stamp};

/// The largest file; that of a vocabulary of 262,144 tokens has 33 MB.
const MOST_BYTES: u64 = 512 << 20;
/// The longest reason that an error gives.
const MOST_REASON: usize = 300;
/// The tokens that stand for padding where a file does not say which one does.
const PAD_TOKENS: [&str; 3] = ["[PAD]", "<pad>", "<|pad|>"];
/// What a text takes of memory while it is tokenized, in bytes for each of its own: mostly where each byte of the
/// normalized text comes from, and the tokens of those in their different forms.
const BYTES_PER_BYTE: u64 = 300;
/// How many times as long a file may make texts without that being counted: marks for spaces, and Unicode's forms.
const FREE_GROWTH: u64 = 100;
/// The most special tokens that are added to a text.
const MOST_ADDED: usize = 65_536;

/// A tokenizer that is loaded.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    encode: Encode,
    chat: Option<Chat>,
    words: Option<Words>,
    pad_token_id: Option<u32>,
    /// How many times as long as it is a text may become.
    growth: u64,
}

/// The tokens of a text.
#[derive(Debug)]
pub struct Tokens {
    encoding: Encoding,
    /// Which are labels; none where all are, or where nobody asked.
    labelled: Option<Vec<bool>>,
}

impl Tokenizer {
    /// Reads a file.
    pub(super) fn new(encode: &Encode) -> Result<Self, String> {
        // Threads of its own would be lost in a fork, and the pool has as many as it was asked for.
        set_parallelism(false);
        let json = read(&encode.file)?;
        let growth = growth(&json).map_err(|what| unreadable(&what))?;
        let parsed = panics::caught(|| tokenizers::Tokenizer::from_bytes(json));
        let parsed = parsed.map_err(|panic| unreadable(&panic))?;
        let mut inner = parsed.map_err(|error| unreadable(&error.to_string()))?;
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some_and(|dropout| dropout > 0.0)
        {
            return Err("has a dropout, which draws at random, and not by seed, epoch and index: set it to null".into());
        }
        let padding = inner.get_padding().map(|padding| padding.pad_id);
        let pad_token_id = padding.or_else(|| PAD_TOKENS.iter().find_map(|token| inner.token_to_id(token)));
        inner.with_padding(None);
        let chat = encode.chat_template.as_ref().map(Chat::new).transpose();
        let chat = chat.map_err(|what| format!("cannot have such conversations: {}", shortened(&what)))?;
        let words = Words::of(&inner);
        let mut tokenizer = Self { inner, encode: encode.clone(), chat, words, pad_token_id, growth };
        if tokenizer.processor_tokens() > MOST_ADDED {
            return Err(format!("adds {} special tokens, and may add {MOST_ADDED}", tokenizer.processor_tokens()));
        }
        tokenizer.truncate()?;
        Ok(tokenizer)
    }

    /// Sets where texts are cut.
    fn truncate(&mut self) -> Result<(), String> {
        let failed = |error: tokenizers::Error| error.to_string();
        let Some((max_length, side)) = self.encode.truncation else {
            return self.inner.with_truncation(None).map(drop).map_err(failed);
        };
        let added = self.added_tokens();
        if max_length < added {
            return Err(format!("adds {added} special tokens, and max_length is {max_length}"));
        }
        let direction = match side {
            Side::Left => TruncationDirection::Left,
            Side::Right => TruncationDirection::Right,
        };
        // It takes off the special tokens also where none are added, and counts below zero.
        let most = max_length.max(self.processor_tokens());
        let params =
            TruncationParams { direction, max_length: most, strategy: TruncationStrategy::LongestFirst, stride: 0 };
        self.inner.with_truncation(Some(params)).map_err(failed)?;
        if let Some(params) = self.inner.get_truncation_mut() {
            params.max_length = max_length;
        }
        Ok(())
    }

    fn processor_tokens(&self) -> usize {
        self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false))
    }

    /// Returns what it does.
    pub fn encoding(&self) -> &Encode {
        &self.encode
    }

    /// Returns how many special tokens are added to every text.
    pub fn added_tokens(&self) -> usize {
        if self.encode.add_special_tokens { self.processor_tokens() } else { 0 }
    }

    /// Returns the token that stands for padding, where the file has one.
    pub fn pad_token_id(&self) -> Option<u32> {
        self.pad_token_id
    }

    /// Returns what it takes of memory to tokenize a text of so many bytes.
    pub fn memory(&self, bytes: usize) -> u64 {
        (bytes as u64).saturating_mul(BYTES_PER_BYTE).saturating_mul(self.growth.div_ceil(FREE_GROWTH))
    }

    /// Returns the text of what a sample has: itself, or what the chat template makes of a conversation. With `labels`, it
    /// is said which parts of that are labels.
    ///
    /// # Errors
    /// The reason why there is none: it is no conversation, or one that the template refuses.
    pub fn text<'t>(&self, data: &'t str, labels: bool) -> Result<Text<'t>, String> {
        match &self.chat {
            None => Ok(Text { text: Cow::Borrowed(data), labelled: None }),
            Some(chat) => match panics::caught(|| chat.text(data, labels)) {
                Ok(made) => made.map_err(|what| shortened(&what)),
                Err(panic) => Err(shortened(&panic)),
            },
        }
    }

    /// Returns the tokens of a text.
    ///
    /// # Errors
    /// The reason why it has none: a word that is not in the vocabulary, where no token stands for those.
    pub fn encode(&self, text: &Text<'_>) -> Result<Tokens, String> {
        let Text { text, labelled } = text;
        let add = self.encode.add_special_tokens;
        let encoded = panics::caught(|| match (labelled, &self.words) {
            (None, Some(words)) => words.encode(&self.inner, text, add),
            (None, None) => self.inner.encode_fast(&**text, add),
            // Where a token comes from is kept by this one only.
            (Some(_), _) => self.inner.encode(&**text, add),
        });
        let encoding = match encoded {
            Ok(Ok(encoding)) => encoding,
            Ok(Err(error)) => return Err(shortened(&error.to_string())),
            Err(panic) => return Err(shortened(&panic)),
        };
        let labelled = labelled.as_ref().map(|parts| {
            let overlaps = |(start, end): (usize, usize)| {
                let next = parts.partition_point(|part| part.end <= start);
                parts.get(next).is_some_and(|part| end > part.start)
            };
            encoding.get_offsets().iter().copied().map(overlaps).collect()
        });
        Ok(Tokens { encoding, labelled })
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("encode", &self.encode).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Returns their numbers in the vocabulary.
    pub fn ids(&self) -> &[u32] {
        self.encoding.get_ids()
    }

    /// Returns 1 for each of them.
    pub fn attention_mask(&self) -> &[u32] {
        self.encoding.get_attention_mask()
    }

    /// Returns the number that the post-processor gives to each part of a text.
    pub fn type_ids(&self) -> &[u32] {
        self.encoding.get_type_ids()
    }

    /// Returns which of them are labels; none where all are, or where nobody asked.
    pub fn labelled(&self) -> Option<&[bool]> {
        self.labelled.as_deref()
    }

    /// Returns 1 for each special token that was added, 0 for others.
    pub fn special_tokens_mask(&self) -> &[u32] {
        self.encoding.get_special_tokens_mask()
    }
}

/// Returns the bytes of a file, if it is still the same.
fn read(file: &TokenizerFile) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    let opened = File::open(&file.path).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("is no file".to_owned());
    }
    if metadata.len() > MOST_BYTES {
        return Err(format!("has {} bytes, and a tokenizer has at most {MOST_BYTES}", metadata.len()));
    }
    if Stamp::of(&metadata) != file.stamp {
        return Err("was changed after it was chosen".to_owned());
    }
    let mut json = Vec::with_capacity(metadata.len() as usize);
    opened.take(MOST_BYTES).read_to_end(&mut json).map_err(failed)?;
    Ok(json)
}

fn unreadable(what: &str) -> String {
    format!("is no tokenizer that can be read: {}", shortened(what))
}

/// Returns the beginning of what may have a whole vocabulary in it.
fn shortened(what: &str) -> String {
    let end = what.floor_char_boundary(MOST_REASON);
    if end < what.len() { format!("{} ...", &what[..end]) } else { what.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Arc};

    use super::*;

    const WORDS: &str = r#"{
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 3,
                    "pad_type_id": 0, "pad_token": "x"},
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {"type": "BertProcessing", "sep": ["]", 2], "cls": ["[", 1]},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"?": 0, "[": 1, "]": 2, "x": 3, "a": 4, "b": 5}, "unk_token": "?"}
    }"#;

    fn written(folder: &Path, json: &str) -> TokenizerFile {
        let path = folder.join("tokenizer.json");
        fs::write(&path, json).unwrap();
        let stamp = Stamp::of(&path.metadata().unwrap());
        TokenizerFile { path, stamp }
    }

    fn ids(file: &TokenizerFile, truncation: Option<(usize, Side)>, add: bool, text: &str) -> Result<Vec<u32>, String> {
        let encode = Encode { file: file.clone(), truncation, add_special_tokens: add, chat_template: None };
        let tokenizer = Tokenizer::load(&encode)?;
        tokenizer.encode(&tokenizer.text(text, false)?).map(|tokens| tokens.ids().to_vec())
    }

    #[test]
    fn the_files_own_truncation_and_padding_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = written(folder.path(), WORDS);
        assert_eq!(ids(&file, None, true, "a b z"), Ok(vec![1, 4, 5, 0, 2]));
        assert_eq!(ids(&file, None, false, ""), Ok(vec![]));
        let encode = Encode { file, truncation: None, add_special_tokens: true, chat_template: None };
        assert_eq!(Tokenizer::load(&encode).unwrap().pad_token_id(), Some(3));
    }

    #[test]
    fn what_is_cut_leaves_room_for_special_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let file = written(folder.path(), WORDS);
        let cut = |most, side, add| ids(&file, Some((most, side)), add, "a b z");
        assert_eq!(cut(3, Side::Right, true), Ok(vec![1, 4, 2]));
        assert_eq!(cut(3, Side::Left, true), Ok(vec![1, 0, 2]));
        assert_eq!(cut(2, Side::Right, true), Ok(vec![1, 2]));
        assert_eq!(cut(1, Side::Right, false), Ok(vec![4]));
        assert_eq!(cut(1, Side::Left, false), Ok(vec![0]));
        let refused = cut(1, Side::Right, true).unwrap_err();
        assert!(refused.ends_with("tokenizer.json` adds 2 special tokens, and max_length is 1"), "{refused}");
    }

    #[test]
    fn a_tokenizer_is_loaded_once() {
        let folder = tempfile::tempdir().unwrap();
        let encode = Encode {
            file: written(folder.path(), WORDS),
            truncation: None,
            add_special_tokens: true,
            chat_template: None,
        };
        let (one, two) = (Tokenizer::load(&encode).unwrap(), Tokenizer::load(&encode).unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        let other = Tokenizer::load(&Encode { add_special_tokens: false, ..encode }).unwrap();
        assert!(!Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |json: &str| ids(&written(folder.path(), json), None, true, "a").unwrap_err();
        for json in ["", "{}", "[1]", "\"tokenizer\"", &WORDS[..400], &WORDS.replace("1.0", "2.0")] {
            let message = refused(json);
            assert!(message.contains("is no tokenizer that can be read: "), "{message}");
        }
        let long = refused(&format!("[\"{}\"]", "x".repeat(10_000)));
        assert!(long.len() < 600, "{long}");
        let bpe = r#"{"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}"#;
        let model = WORDS.find("{\"type\": \"WordLevel\"").unwrap();
        assert!(refused(&format!("{}{bpe}}}", &WORDS[..model])).contains("dropout"));
    }

    #[test]
    fn a_file_that_was_changed_or_is_gone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = written(folder.path(), WORDS);
        file.stamp.size += 1;
        assert!(ids(&file, None, true, "a").unwrap_err().contains("was changed after it was chosen"));
        fs::remove_file(&file.path).unwrap();
        assert!(ids(&file, None, true, "a").unwrap_err().contains("cannot be read: No such file"));
        fs::create_dir(&file.path).unwrap();
        assert!(ids(&file, None, true, "a").unwrap_err().contains("is no file"));
    }

    #[test]
    fn a_word_that_nothing_stands_for_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = written(folder.path(), &WORDS.replace("\"unk_token\": \"?\"", "\"unk_token\": \"none\""));
        assert_eq!(ids(&file, None, false, "a b"), Ok(vec![4, 5]));
        assert!(ids(&file, None, false, "z").unwrap_err().contains("[UNK]"));
    }
}
