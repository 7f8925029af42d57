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
    tokenizer::{Encode, Side, Tokenizer, TokenizerFile, Tokens},
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
}

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
    /// Whether the special tokens are added that the file's post-processor adds.
    #[serde(default = "adds")]
    pub add_special_tokens: bool,
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

const fn adds() -> bool {
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
            add_special_tokens: adds(),
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
        let add_special_tokens = self.add_special_tokens;
        let tokenizer = Tokenizer::load(&Encode { file: self.tokenizer.clone(), truncation, add_special_tokens });
        let tokenizer = tokenizer.map_err(|what| format!("tokenizer {what}"))?;
        Ok(Arc::clone(self.loaded.0.get_or_init(|| tokenizer)))
    }

    /// Returns what stands where a row has no token.
    ///
    /// # Errors
    /// The reason why that is not known.
    pub(crate) fn pad(&self) -> Result<u32, String> {
        match self.output {
            TokenOutput::InputIds => self.pad_token_id.or(self.tokenizer()?.pad_token_id()).ok_or_else(|| {
                format!("`{}` names no token for padding: give pad_token_id", self.tokenizer.path.display())
            }),
            TokenOutput::AttentionMask | TokenOutput::TokenTypeIds => Ok(0),
            TokenOutput::SpecialTokensMask => Ok(1),
        }
    }

    /// Returns what a row has for each of these tokens.
    pub(crate) fn values<'t>(&self, tokens: &'t Tokens) -> &'t [u32] {
        match self.output {
            TokenOutput::InputIds => tokens.ids(),
            TokenOutput::AttentionMask => tokens.attention_mask(),
            TokenOutput::TokenTypeIds => tokens.type_ids(),
            TokenOutput::SpecialTokensMask => tokens.special_tokens_mask(),
        }
    }
}
