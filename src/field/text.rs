//! Text, as its bytes or as the tokens that it is made of.

use serde::{Deserialize, Serialize};

use super::{
    kind::{FieldKind, Payload, Request, Role},
    list::{compile_lists, spec},
    tokens::{Made, Row, TokensFill},
};
use crate::{
    error::{Error, Result},
    function::ArraySpec,
    spec::{DType, FieldSpec},
    transform::{self, Between, CallInput, Calls, Tokenize},
};

/// A text for each sample: its UTF-8 bytes, a list of `uint8`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The most bytes that a sample has.
    #[serde(default)]
    pub capacity: usize,
}

/// What may be counted while rows are filled.
pub(super) const COUNTERS: &[&str] = &[];

impl FieldKind for Text {
    fn payload(&self, _name: &str) -> Result<Payload> {
        Ok(Payload::Entries(1))
    }

    fn image(&self) -> Option<&str> {
        None
    }

    fn make_room(&mut self, longest: usize) {
        self.capacity = longest;
    }

    fn capacity_mut(&mut self) -> Option<&mut usize> {
        Some(&mut self.capacity)
    }

    fn compile(&self, request: Request<'_>) -> Result<(FieldSpec, Role)> {
        if let Some(op) = request.ops.first()
            && let transform::Role::Text(tokenize) = &op.role
        {
            return tokenized(self.capacity, tokenize, request);
        }
        let are = "texts: where these are paths of image files, give the column as Images(...)";
        compile_lists(spec(request.name, DType::UInt8, &[], self.capacity), request, are)
    }

    fn describe(&self, name: &str) -> String {
        spec(name, DType::UInt8, &[], self.capacity).to_string()
    }
}

/// Compiles a field of texts of at most so many bytes, whose first operation makes tokens of them; after it, functions may
/// be called.
fn tokenized(longest: usize, tokenize: &Tokenize, request: Request<'_>) -> Result<(FieldSpec, Role)> {
    request.alone("it is tokens of a text")?;
    let Request { name, at, capacity, unbounded, .. } = request;
    let Some((op, rest)) = request.ops.split_first() else { return Err(request.refused("nothing makes tokens")) };
    let by = format!("field `{name}`: transform {}: {}", op.at, op.name);
    let refused = |what| Error::Config(format!("{by}: {what}"));
    let tokenizer = tokenize.tokenizer().map_err(refused)?;
    let Tokenize { dtype, max_length, padding, .. } = *tokenize;
    let length = max_length.filter(|_| padding);
    let pad = if padding { tokenize.pad().map_err(refused)? } else { 0 };
    let (made, output) = match rest {
        [] => {
            let output = if let Some(length) = length {
                request.without_capacity()?;
                FieldSpec::new(name, dtype, [length])
            } else {
                // A text has no more tokens than bytes, unless its normalization makes it longer: by one mark, often.
                let most = max_length.unwrap_or_else(|| longest.saturating_add(tokenizer.added_tokens() + 1));
                spec(name, dtype, &[], capacity.unwrap_or(most))
            };
            output.row_bytes()?;
            (Made::Row(output.clone()), output)
        }
        [next, ..] if matches!(next.role, transform::Role::Call(_)) => {
            let given = Between { spec: ArraySpec { dtype, shape: vec![length] }, layout: None };
            let input = CallInput { name, capacity, unbounded, is_followed: false };
            let (calls, output) = Calls::compile(input, given, rest)?;
            (Made::Given(calls), output)
        }
        [next, ..] => return Err(refused(format!("{} cannot follow: tokens are for functions alone", next.name))),
    };
    let row = Row { at, by, tokenize: tokenize.clone(), pad, made };
    Ok((output, Role::Tokens(TokensFill::new(tokenizer, row))))
}
