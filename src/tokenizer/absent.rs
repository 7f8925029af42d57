//! What there is in place of tokenizers where they are not built in: nothing.

use std::sync::Arc;

use super::{Encode, Text};

/// A tokenizer that is loaded: there is none.
#[derive(Debug)]
pub enum Tokenizer {}

/// The tokens of a text: there are none.
#[derive(Debug)]
pub enum Tokens {}

#[expect(missing_docs, reason = "as where they are built in")]
impl Tokenizer {
    #[expect(clippy::missing_errors_doc, reason = "as where they are built in")]
    pub fn load(_encode: &Encode) -> Result<Arc<Self>, String> {
        Err("this program was built without the feature `tokenize`".to_owned())
    }

    pub fn encoding(&self) -> &Encode {
        match *self {}
    }

    pub fn added_tokens(&self) -> usize {
        match *self {}
    }

    pub fn pad_token_id(&self) -> Option<u32> {
        match *self {}
    }

    pub fn memory(&self, _bytes: usize) -> u64 {
        match *self {}
    }

    #[expect(clippy::missing_errors_doc, reason = "as where they are built in")]
    pub fn text<'t>(&self, _data: &'t str, _labels: bool) -> Result<Text<'t>, String> {
        match *self {}
    }

    #[expect(clippy::missing_errors_doc, reason = "as where they are built in")]
    pub fn encode(&self, _text: &Text<'_>) -> Result<Tokens, String> {
        match *self {}
    }
}

#[expect(missing_docs, reason = "as where they are built in")]
impl Tokens {
    pub fn ids(&self) -> &[u32] {
        match *self {}
    }

    pub fn attention_mask(&self) -> &[u32] {
        match *self {}
    }

    pub fn type_ids(&self) -> &[u32] {
        match *self {}
    }

    pub fn labelled(&self) -> Option<&[bool]> {
        match *self {}
    }

    pub fn special_tokens_mask(&self) -> &[u32] {
        match *self {}
    }
}
