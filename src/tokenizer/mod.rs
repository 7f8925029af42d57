//! Tokenizers in files as the `tokenizers` package of Hugging Face writes them, `tokenizer.json`, by its own code.
//!
//! A file is read and checked once in a process. What is asked of all texts alike, where they are cut and whether special
//! tokens are added, is a part of what is loaded; the file's own truncation and padding are left out.

#[cfg(not(feature = "tokenize"))]
mod absent;
#[cfg(feature = "tokenize")]
mod chat;
#[cfg(feature = "tokenize")]
mod growth;
#[cfg(feature = "tokenize")]
mod loaded;
#[cfg(feature = "tokenize")]
mod registry;
#[cfg(feature = "tokenize")]
mod words;

use std::{borrow::Cow, collections::BTreeMap, ops::Range, path::PathBuf};

use serde::{Deserialize, Serialize};

#[cfg(not(feature = "tokenize"))]
pub use self::absent::{Tokenizer, Tokens};
#[cfg(feature = "tokenize")]
pub use self::loaded::{Tokenizer, Tokens};
use crate::stamp::Stamp;

/// A file, as it was when somebody chose it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFile {
    /// Its absolute path.
    pub path: PathBuf,
    /// What it is known again by.
    pub stamp: Stamp,
}

/// An end of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Side {
    /// The beginning.
    Left,
    /// The end.
    #[default]
    Right,
}

/// A tokenizer, and what it does to every text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encode {
    /// The tokenizer.
    pub file: TokenizerFile,
    /// The tokens that are left of a longer text, special ones included, and the side where others are cut off.
    pub truncation: Option<(usize, Side)>,
    /// Whether the special tokens are added that the file's post-processor adds.
    pub add_special_tokens: bool,
    /// What makes texts of conversations, where texts are such.
    pub chat_template: Option<ChatTemplate>,
}

/// What makes a text of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatTemplate {
    /// A template in the language of Jinja.
    pub template: String,
    /// Its variables, besides those of the conversation: an object of JSON, whose order is kept.
    pub variables: String,
    /// Whether what begins an answer is put behind a conversation.
    pub add_generation_prompt: bool,
    /// What `strftime_now` gives for each directive, such as `Y`.
    pub now: BTreeMap<String, String>,
}

/// A text to be tokenized.
#[derive(Debug)]
pub struct Text<'t> {
    /// The text.
    pub text: Cow<'t, str>,
    /// The parts of it whose tokens are labels; none where all are, or where nobody asked.
    pub labelled: Option<Vec<Range<usize>>>,
}
