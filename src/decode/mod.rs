//! Encoded images to pixels, by default of 8-bit RGB.
//!
//! The format is found in the first bytes, never in the file's name. Dimensions are checked against a limit
//! before any memory is taken for pixels. Images come out as Pillow's `convert` would give them: alpha is dropped, grey
//! is repeated; 16 bits are cut to the high 8, unless a deeper dtype is asked for.
//!
//! Lowest first: `image`, `mask`, `options` and `kept` are what formats take and give, `format` says what one is, `scale`
//! by how much it makes an image smaller, `directory` reads tags, as TIFF and EXIF have them, `orientation` finds how an
//! image is to be turned, `palette` makes colours of indices, `convert` makes the pixels that were asked for of those that
//! a file has, then come the formats, each in its file or folder, `recognise` with the list of them, and `encoded`,
//! `decoder`, `mask_decoder` and `cutout`, which take any. `audio` stands apart: it decodes and resamples waveforms.

#[cfg(feature = "audio")]
pub mod audio;
mod bmp;
mod convert;
mod cutout;
mod decoder;
mod directory;
mod encoded;
mod format;
mod gif;
mod image;
mod jpeg;
mod kept;
mod mask;
mod mask_decoder;
mod options;
mod orientation;
mod palette;
mod png;
mod pnm;
mod recognise;
mod scale;
mod segments;
mod tiff;
mod webp;

pub use self::{
    cutout::{Cutout, decode_jpeg},
    decoder::Decoder,
    encoded::Encoded,
    image::Image,
    mask::Mask,
    mask_decoder::decode_mask,
    options::{Corrupt, DecodeImage, MAX_PIXELS, Mode, Truncated},
    recognise::is_image,
    segments::Segments,
};

#[cfg(test)]
mod tests;
