//! libwebp, Google's decoder, which Pillow uses as well: what it is asked for, without pointers.

#![expect(unsafe_code, reason = "it is a library of C")]

use std::mem::MaybeUninit;

use libwebp_sys::{
    VP8StatusCode, WEBP_CSP_MODE, WebPBitstreamFeatures, WebPDecode, WebPDecoderConfig, WebPFreeDecBuffer,
    WebPGetFeatures,
};

use crate::geometry::{Rect, Size};

/// The format of an image that is stored as it is.
const LOSSLESS: i32 = 2;

/// Where pixels go.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// The bytes of all rows, each `stride` behind the one before it.
    pub(super) bytes: &'a mut [u8],
    /// The bytes from one row to the next.
    pub(super) stride: usize,
    /// Whether a pixel is red, green, blue and alpha, or the first three alone.
    pub(super) has_alpha: bool,
}

/// What the header of an image says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) size: Size,
    /// Whether there is an alpha channel.
    pub(super) has_alpha: bool,
    /// Whether every pixel is stored as it is.
    pub(super) is_lossless: bool,
}

/// Reads the header of an image, which may have a chunk of its alpha channel before it.
///
/// # Errors
/// The reason why it cannot be read.
pub(super) fn header(coded: &[u8]) -> Result<Header, String> {
    let mut features = MaybeUninit::<WebPBitstreamFeatures>::zeroed();
    // SAFETY: the pointer and the length are those of a slice, and all zeros are a value of the structure, which the
    // function overwrites.
    let (status, features) = unsafe {
        let status = WebPGetFeatures(coded.as_ptr(), coded.len(), features.as_mut_ptr());
        (status, features.assume_init())
    };
    good(status)?;
    let size = Size { height: features.height.unsigned_abs(), width: features.width.unsigned_abs() };
    Ok(Header { size, has_alpha: features.has_alpha != 0, is_lossless: features.format == LOSSLESS })
}

/// Decodes `region` of an image, made smaller to `size` where that is another one.
///
/// The even rows and columns at which it must begin are those of the colours, which are stored at half the resolution.
///
/// # Errors
/// The reason why it cannot be decoded.
///
/// # Panics
/// Where the region begins at an odd row or column, does not lie in the image, or the target has no room for it.
pub(super) fn decode(coded: &[u8], region: Rect, size: Size, target: Target<'_>) -> Result<(), String> {
    let Size { height, width } = size;
    let row = width as usize * if target.has_alpha { 4 } else { 3 };
    assert!(region.top % 2 == 0 && region.left % 2 == 0, "libwebp would begin elsewhere");
    assert!(row <= target.stride && height > 0 && (height as usize - 1) * target.stride + row <= target.bytes.len());
    assert_eq!(region.intersection(header(coded)?.size), Some(region));
    let mut config = WebPDecoderConfig::new().map_err(|()| "libwebp has another version".to_owned())?;
    // These are below 2^14, as libwebp's edges are.
    let number = |value: i64| value as i32;
    config.options.use_cropping = 1;
    config.options.crop_left = number(region.left);
    config.options.crop_top = number(region.top);
    config.options.crop_width = number(region.size.width.into());
    config.options.crop_height = number(region.size.height.into());
    config.options.use_scaling = i32::from(size != region.size);
    config.options.scaled_width = number(width.into());
    config.options.scaled_height = number(height.into());
    config.output.colorspace = if target.has_alpha { WEBP_CSP_MODE::MODE_RGBA } else { WEBP_CSP_MODE::MODE_RGB };
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = target.bytes.as_mut_ptr();
    config.output.u.RGBA.stride = target.stride as i32;
    config.output.u.RGBA.size = target.bytes.len();
    // SAFETY: the pointers and the lengths are those of slices that live longer than the calls. That of the pixels is
    // borrowed alone, has room for every row, and stays ours: libwebp frees only what it has allocated itself.
    let status = unsafe {
        let status = WebPDecode(coded.as_ptr(), coded.len(), &raw mut config);
        WebPFreeDecBuffer(&raw mut config.output);
        status
    };
    good(status)
}

fn good(status: VP8StatusCode) -> Result<(), String> {
    let reason = match status {
        VP8StatusCode::VP8_STATUS_OK => return Ok(()),
        VP8StatusCode::VP8_STATUS_OUT_OF_MEMORY => "there is not enough memory for it",
        VP8StatusCode::VP8_STATUS_INVALID_PARAM => "libwebp was asked for what it cannot do",
        VP8StatusCode::VP8_STATUS_BITSTREAM_ERROR => "the image's data are broken",
        VP8StatusCode::VP8_STATUS_UNSUPPORTED_FEATURE => "it has a feature that libwebp does not know",
        VP8StatusCode::VP8_STATUS_SUSPENDED | VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA => "unexpected end of data",
        VP8StatusCode::VP8_STATUS_USER_ABORT => "decoding was stopped",
    };
    Err(reason.to_owned())
}
