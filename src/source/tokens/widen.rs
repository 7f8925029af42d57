//! Tokens as a batch has them, of tokens as files have them.

use crate::{
    error::{Error, Result},
    spec::DType,
};

/// How tokens of a file become those of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widening {
    /// The bytes of a token in a file, where it is an integer without a sign, or one whose sign makes it none.
    pub(super) input: usize,
    /// The bytes of a token in a batch.
    pub(super) output: usize,
    /// The first number that is no token, where the file's dtype has such.
    limit: Option<u64>,
    is_signed: bool,
}

impl Widening {
    /// Returns how tokens of one dtype become those of another.
    pub(super) fn of(dtype: DType, output: DType, limit: u64) -> Result<Self> {
        let is_read = matches!(dtype, DType::UInt8 | DType::UInt16 | DType::UInt32 | DType::Int32);
        if !is_read || !matches!(output, DType::Int64 | DType::Int32) {
            let (from, to) = (dtype.name(), output.name());
            return Err(Error::Config(format!("tokens of {from} do not become {to}")));
        }
        // A number that the batch's dtype, or that of the file, has with a minus is no token.
        let is_signed = dtype == DType::Int32;
        let held = if output == DType::Int32 || is_signed { 1 << 31 } else { u64::MAX };
        let limit = limit.min(held);
        let limit = (limit < 1 << (8 * dtype.size())).then_some(limit);
        Ok(Self { input: dtype.size(), output: output.size(), limit, is_signed })
    }

    /// Writes the tokens of a window as a batch has them. Of the first that is none, its number and what is there is returned.
    pub(super) fn widen(self, window: &[u8], out: &mut [u8]) -> Result<(), (usize, i64)> {
        if let Some(limit) = self.limit
            && self.largest(window) >= limit
            && let Some(at) = (0..window.len() / self.input).find(|at| self.token(window, *at) >= limit)
        {
            let token = self.token(window, at);
            return Err((at, if self.is_signed { i64::from(token as u32 as i32) } else { token as i64 }));
        }
        match (self.input, self.output) {
            (1, 8) => each(window, out, |[byte]: [u8; 1]| i64::from(byte).to_ne_bytes()),
            (2, 8) => each(window, out, |bytes| i64::from(u16::from_le_bytes(bytes)).to_ne_bytes()),
            (_, 8) => each(window, out, |bytes| i64::from(u32::from_le_bytes(bytes)).to_ne_bytes()),
            (1, _) => each(window, out, |[byte]: [u8; 1]| i32::from(byte).to_ne_bytes()),
            (2, _) => each(window, out, |bytes| i32::from(u16::from_le_bytes(bytes)).to_ne_bytes()),
            (_, _) => each(window, out, |bytes| u32::from_le_bytes(bytes).to_ne_bytes()),
        }
        Ok(())
    }

    /// Returns a token of a window.
    pub(super) fn token(self, window: &[u8], at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..self.input].copy_from_slice(&window[at * self.input..][..self.input]);
        u64::from_le_bytes(bytes)
    }

    fn largest(self, window: &[u8]) -> u64 {
        match self.input {
            1 => u64::from(window.iter().copied().max().unwrap_or(0)),
            2 => u64::from(window.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).max().unwrap_or(0)),
            _ => u64::from(window.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).max().unwrap_or(0)),
        }
    }
}

/// Writes a number for each: a loop without a branch, of which the compiler makes vectors.
fn each<const FROM: usize, const TO: usize>(window: &[u8], out: &mut [u8], convert: impl Fn([u8; FROM]) -> [u8; TO]) {
    for (to, from) in out.as_chunks_mut().0.iter_mut().zip(window.as_chunks().0) {
        *to = convert(*from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widened(dtype: DType, output: DType, limit: u64, window: &[u8]) -> Result<Vec<u8>, (usize, i64)> {
        let widening = Widening::of(dtype, output, limit).unwrap();
        let mut out = vec![0; window.len() / dtype.size() * output.size()];
        widening.widen(window, &mut out)?;
        Ok(out)
    }

    #[test]
    fn every_dtype_becomes_every_other() {
        let numbers = [0_u32, 1, 200, 255];
        let long = numbers.map(|number| i64::from(number).to_ne_bytes()).concat();
        let short = numbers.map(u32::to_ne_bytes).concat();
        for (output, expected) in [(DType::Int64, long), (DType::Int32, short)] {
            for (dtype, size) in [(DType::UInt8, 1), (DType::UInt16, 2), (DType::UInt32, 4), (DType::Int32, 4)] {
                let window = numbers.map(|number| number.to_le_bytes()[..size].to_vec()).concat();
                assert_eq!(widened(dtype, output, u64::MAX, &window), Ok(expected.clone()), "{dtype:?}");
                assert_eq!(widened(dtype, output, 256, &window), Ok(expected.clone()), "{dtype:?}");
                assert_eq!(widened(dtype, output, 200, &window), Err((2, 200)), "{dtype:?}");
            }
        }
    }

    #[test]
    fn what_no_token_can_be_is_told() {
        let high = [5_u32, u32::MAX].map(u32::to_le_bytes).concat();
        assert_eq!(widened(DType::Int32, DType::Int64, u64::MAX, &high), Err((1, -1)));
        assert_eq!(widened(DType::UInt32, DType::Int32, u64::MAX, &high), Err((1, i64::from(u32::MAX))));
        let wide = [5_i64, i64::from(u32::MAX)].map(i64::to_ne_bytes).concat();
        assert_eq!(widened(DType::UInt32, DType::Int64, u64::MAX, &high), Ok(wide));
        let message = Widening::of(DType::Float32, DType::Int64, 9).unwrap_err().to_string();
        assert_eq!(message, "tokens of float32 do not become int64");
    }
}
