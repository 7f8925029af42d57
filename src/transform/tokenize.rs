//! What is done to texts.

use std::{
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    spec::DType,
    stamp::Stamp,
    tokenizer::{ChatTemplate, Encode, Side, Tokenizer, TokenizerFile, Tokens},
};

/// What a row has for each token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenOutput {
    /// Its number in the vocabulary.
    #[default]
    InputIds,
    /// 1, and 0 for padding.
    AttentionMask,
    /// The number that the file's post-processor gives to a part of the text, and 0 for padding.
    TokenTypeIds,
    /// 1 for special tokens that were added and for padding, 0 for tokens of the text.
    SpecialTokensMask,
    /// Its number, and -100 for what no loss is taken of: padding, and in conversations what the assistant did not write.
    Labels,
}

/// What stands in labels where no loss is taken, by PyTorch's `cross_entropy`.
const IGNORED: i64 = -100;

/// Turns a text into tokens, as the fast tokenizers of Hugging Face's `transformers` do with the same `tokenizer.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tokenize {
    /// The file.
    pub tokenizer: TokenizerFile,
    /// The most tokens of a row, special ones included; none for any number.
    #[serde(default)]
    pub max_length: Option<usize>,
    /// Whether longer texts are cut; else they are bad samples.
    #[serde(default = "cuts")]
    pub truncation: bool,
    /// The side where they are cut.
    #[serde(default)]
    pub truncation_side: Side,
    /// Whether every row has `max_length` tokens.
    #[serde(default)]
    pub padding: bool,
    /// The side where rows are padded.
    #[serde(default)]
    pub padding_side: Side,
    /// The token of the padding; none for that of the file.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
    /// Whether the special tokens are added that the file's post-processor adds; by default, unless there is a chat
    /// template, which writes them itself.
    #[serde(default)]
    pub add_special_tokens: Option<bool>,
    /// What makes texts of conversations, where texts are such, in JSON.
    #[serde(default)]
    pub chat_template: Option<ChatTemplate>,
    /// What a row has for each token.
    #[serde(default)]
    pub output: TokenOutput,
    /// The type of that.
    #[serde(default = "ids")]
    pub dtype: DType,
    #[serde(skip)]
    loaded: Loaded,
}

const fn cuts() -> bool {
    true
}

const fn ids() -> DType {
    DType::Int64
}

/// The tokenizer, once it is loaded: the same for all copies of a transform.
#[derive(Clone, Default)]
struct Loaded(Arc<OnceLock<Arc<Tokenizer>>>);

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "loaded" } else { "not loaded" })
    }
}

impl PartialEq for Loaded {
    /// Whether it is loaded is no part of what a transform is.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Tokenize {
    /// Returns the transform by this file, with the defaults of everything else. The file is read when it is checked.
    ///
    /// # Errors
    /// [`Sys`](Error::Sys) where there is no such file.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |error| Error::sys(format!("find the tokenizer `{}`", path.display()), error);
        let stamp = Stamp::of(&path.metadata().map_err(failed)?);
        let tokenizer = TokenizerFile { path: std::path::absolute(path).map_err(failed)?, stamp };
        Ok(Self {
            tokenizer,
            max_length: None,
            truncation: cuts(),
            truncation_side: Side::default(),
            padding: false,
            padding_side: Side::default(),
            pad_token_id: None,
            add_special_tokens: None,
            chat_template: None,
            output: TokenOutput::default(),
            dtype: ids(),
            loaded: Loaded::default(),
        })
    }

    /// Sets `max_length`.
    #[must_use]
    pub const fn max_length(mut self, max_length: usize) -> Self {
        self.max_length = Some(max_length);
        self
    }

    /// Sets `padding`.
    #[must_use]
    pub const fn padding(mut self, padding: bool) -> Self {
        self.padding = padding;
        self
    }

    /// Sets `output`.
    #[must_use]
    pub const fn output(mut self, output: TokenOutput) -> Self {
        self.output = output;
        self
    }

    /// Sets `chat_template`.
    #[must_use]
    pub fn chat_template(mut self, chat_template: ChatTemplate) -> Self {
        self.chat_template = Some(chat_template);
        self
    }

    /// Checks the arguments, for which the tokenizer is loaded.
    pub(super) fn check(&self) -> Result<(), String> {
        if !matches!(self.dtype, DType::Int64 | DType::Int32) {
            return Err(format!("dtype must be int64 or int32, not {}", self.dtype));
        }
        if self.max_length == Some(0) {
            return Err("max_length must be at least 1, not 0".to_owned());
        }
        if self.padding && self.max_length.is_none() {
            return Err("padding = \"max_length\" needs max_length, the tokens of every row".to_owned());
        }
        if self.chat_template.is_some() && self.add_special_tokens == Some(true) {
            return Err("add_special_tokens must be False with a chat_template, which writes them itself".to_owned());
        }
        let pad = if self.padding { self.pad()? } else { 0 };
        if self.dtype == DType::Int32 && i32::try_from(pad).is_err() {
            return Err(format!("pad_token_id = {pad} is no int32"));
        }
        self.tokenizer().map(drop)
    }

    /// Returns the tokenizer, which is loaded when it is first asked for.
    ///
    /// # Errors
    /// As [`Tokenizer::load`].
    pub(crate) fn tokenizer(&self) -> Result<Arc<Tokenizer>, String> {
        if let Some(loaded) = self.loaded.0.get() {
            return Ok(Arc::clone(loaded));
        }
        let truncation = self.max_length.filter(|_| self.truncation).map(|most| (most, self.truncation_side));
        let tokenizer = Tokenizer::load(&Encode {
            file: self.tokenizer.clone(),
            truncation,
            add_special_tokens: self.add_special_tokens.unwrap_or_else(|| self.chat_template.is_none()),
            chat_template: self.chat_template.clone(),
        });
        let tokenizer = tokenizer.map_err(|what| format!("tokenizer {what}"))?;
        Ok(Arc::clone(self.loaded.0.get_or_init(|| tokenizer)))
    }

    /// Returns what stands where a row has no token.
    ///
    /// # Errors
    /// The reason why that is not known.
    pub(crate) fn pad(&self) -> Result<i64, String> {
        match self.output {
            TokenOutput::InputIds => {
                let pad = self.pad_token_id.or(self.tokenizer()?.pad_token_id());
                let path = self.tokenizer.path.display();
                pad.map(i64::from).ok_or_else(|| format!("`{path}` names no token for padding: give pad_token_id"))
            }
            TokenOutput::AttentionMask | TokenOutput::TokenTypeIds => Ok(0),
            TokenOutput::SpecialTokensMask => Ok(1),
            TokenOutput::Labels => Ok(IGNORED),
        }
    }

    /// Returns what a row has for each of these tokens.
    pub(crate) fn values<'t>(&self, tokens: &'t Tokens) -> impl ExactSizeIterator<Item = i64> + Clone + use<'t> {
        let (values, labelled) = match self.output {
            TokenOutput::InputIds => (tokens.ids(), None),
            TokenOutput::AttentionMask => (tokens.attention_mask(), None),
            TokenOutput::TokenTypeIds => (tokens.type_ids(), None),
            TokenOutput::SpecialTokensMask => (tokens.special_tokens_mask(), None),
            TokenOutput::Labels => (tokens.ids(), tokens.labelled()),
        };
        let is_ignored = move |at: usize| labelled.is_some_and(|labelled| !labelled[at]);
        let value = move |(at, value): (usize, &u32)| if is_ignored(at) { IGNORED } else { i64::from(*value) };
        values.iter().enumerate().map(value)
    }
}
