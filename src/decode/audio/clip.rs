//! One file, decoded.

use std::io::Cursor;

use symphonia::{
    core::{
        audio::{AudioBuffer, AudioBufferRef, Signal, SignalSpec},
        codecs::DecoderOptions,
        errors::Error,
        formats::{FormatOptions, FormatReader},
        io::{MediaSourceStream, MediaSourceStreamOptions},
    },
    default::{
        formats::{FlacReader, MpaReader, OggReader, WavReader},
        get_codecs,
    },
};

use super::{MAX_RATE, headers};
use crate::{
    budget::Budget,
    error::{Failure, Stage},
    panics::caught,
};

/// The bytes of a sample in memory.
const SAMPLE: u64 = size_of::<f32>() as u64;

/// A waveform as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Samples a second.
    pub rate: u32,
    /// The samples of each channel, all as many: those of the file, or their mean where one channel was asked for.
    pub planes: Vec<Vec<f32>>,
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Wav,
    Flac,
    Mp3,
    Ogg,
}

impl Format {
    /// Returns the format, and where in the file it begins: a tag may stand before it.
    fn of(data: &[u8]) -> Result<(Self, usize), String> {
        let start = tag_bytes(data);
        match data.get(start..).unwrap_or_default() {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Ok((Self::Wav, start)),
            [b'f', b'L', b'a', b'C', ..] => Ok((Self::Flac, start)),
            [b'O', b'g', b'g', b'S', ..] => Ok((Self::Ogg, start)),
            [0xff, second, ..] if second & 0xe0 == 0xe0 => Ok((Self::Mp3, start)),
            _ if start > 0 => Ok((Self::Mp3, start)),
            _ => Err("it is no audio file that can be read: these are WAV, FLAC, MP3 and Ogg Vorbis".into()),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Wav => "WAV",
            Self::Flac => "FLAC",
            Self::Mp3 => "MP3",
            Self::Ogg => "Ogg",
        }
    }

    /// Tells whether the number of samples in the header is exact, and no estimate.
    const fn counts(self) -> bool {
        matches!(self, Self::Wav | Self::Flac)
    }
}

/// Returns the bytes of an `ID3v2` tag at the beginning, which says its length in four times seven bits.
fn tag_bytes(data: &[u8]) -> usize {
    match data {
        [b'I', b'D', b'3', _, _, _, a, b, c, d, ..] => {
            [a, b, c, d].iter().fold(0, |size, byte| size << 7 | usize::from(*byte & 0x7f)) + 10
        }
        _ => 0,
    }
}

impl Clip {
    /// Decodes a file to `channels` channels: the mean of all where that is 1, and else just as many as the file has.
    ///
    /// # Errors
    /// A [`Failure`] of the decode stage: for bytes of another format; for Opus; for a file that is damaged, cut, empty or
    /// of another number of channels; for a rate of 0 or over [`MAX_RATE`]; or where there is no budget for its samples.
    pub fn decode(data: &[u8], channels: usize, budget: &mut Budget) -> Result<Self, Failure> {
        let (format, start) = Format::of(data).map_err(failure)?;
        let file = data.get(start..).unwrap_or_default();
        let of_format = |reason: String| failure(format!("{}: {reason}", format.name()));
        budget.take(file.len() as u64, "a copy of the file").map_err(of_format)?;
        // The decoders count on headers to make sense, and panic where some do not.
        let decoded = caught(|| decode(format, file, channels, budget));
        decoded.unwrap_or_else(|panic| Err(format!("it is damaged: {panic}"))).map_err(of_format)
    }
}

fn failure(reason: String) -> Failure {
    Failure::new(Stage::Decode, reason)
}

fn decode(format: Format, file: &[u8], channels: usize, budget: &mut Budget) -> Result<Clip, String> {
    if format == Format::Ogg {
        budget.take(headers::vorbis_bytes(file)?, "codebooks")?;
    }
    let mut reader = open(format, file).map_err(|error| told(&error))?;
    let track = reader.tracks().first().ok_or("it has no track")?;
    let (id, parameters) = (track.id, track.codec_params.clone());
    let promised = parameters.n_frames.filter(|_| format.counts());
    let mut taken =
        Taken { channels, spec: None, planes: vec![Vec::new(); channels], left: budget.left(), floats: None };
    if let Some(frames) = promised {
        taken.fits(frames)?;
    }
    let mut decoder = get_codecs().make(&parameters, &DecoderOptions::default()).map_err(|error| told(&error))?;
    loop {
        let packet = match reader.next_packet() {
            Ok(packet) => packet,
            Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(told(&error)),
        };
        if packet.track_id() == id {
            let piece = decoder.decode(&packet).map_err(|error| told(&error))?;
            taken.add(piece)?;
        }
    }
    if let Some(frames) = parameters.n_frames.filter(|_| format == Format::Ogg) {
        // What the last page holds beyond its position fills its packet up (Vorbis I specification, appendix A.2).
        taken.planes.iter_mut().for_each(|plane| plane.truncate(usize::try_from(frames).unwrap_or(usize::MAX)));
    }
    let frames = taken.frames();
    if let Some(promised) = promised.filter(|&promised| promised > frames) {
        return Err(format!("its header says {promised} samples, and it has {frames}: it is cut or damaged"));
    }
    let spec = taken.spec.filter(|_| frames > 0).ok_or("it holds no samples")?;
    budget.take(frames * channels as u64 * SAMPLE, "decoding")?;
    Ok(Clip { rate: spec.rate, planes: taken.planes })
}

fn open(format: Format, file: &[u8]) -> Result<Box<dyn FormatReader>, Error> {
    let bytes = match format {
        Format::Wav => headers::bare_wav(file),
        Format::Flac => headers::bare_flac(file),
        Format::Mp3 | Format::Ogg => file.to_vec(),
    };
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
    let options = FormatOptions { enable_gapless: true, ..FormatOptions::default() };
    Ok(match format {
        Format::Wav => Box::new(WavReader::try_new(stream, &options)?),
        Format::Flac => Box::new(FlacReader::try_new(stream, &options)?),
        Format::Mp3 => Box::new(MpaReader::try_new(stream, &options)?),
        Format::Ogg => Box::new(OggReader::try_new(stream, &options)?),
    })
}

/// Returns what an error means.
fn told(error: &Error) -> String {
    match error {
        Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "it is cut off".into(),
        Error::IoError(_)
        | Error::DecodeError(_)
        | Error::SeekError(_)
        | Error::Unsupported(_)
        | Error::LimitError(_)
        | Error::ResetRequired => error.to_string(),
    }
}

/// The samples so far.
struct Taken {
    channels: usize,
    spec: Option<SignalSpec>,
    planes: Vec<Vec<f32>>,
    /// What of the budget is left for them.
    left: u64,
    /// Memory for those of one packet.
    floats: Option<AudioBuffer<f32>>,
}

impl Taken {
    fn frames(&self) -> u64 {
        self.planes.first().map_or(0, Vec::len) as u64
    }

    /// Refuses more samples than there is memory for.
    fn fits(&self, frames: u64) -> Result<(), String> {
        let bytes = frames.saturating_mul(self.channels as u64).saturating_mul(SAMPLE);
        Budget::new(self.left).take(bytes, "decoding")
    }

    fn add(&mut self, decoded: AudioBufferRef<'_>) -> Result<(), String> {
        let spec = *decoded.spec();
        let (has, wanted) = (spec.channels.count(), self.channels);
        match self.spec {
            Some(before) if before != spec => return Err("its rate or channels change in its midst".into()),
            Some(_) => {}
            None if spec.rate == 0 || spec.rate > MAX_RATE => {
                return Err(format!("it has {} samples a second; 1 to {MAX_RATE} can be read", spec.rate));
            }
            None if has == 0 || (wanted > 1 && has != wanted) => {
                return Err(format!("it has {has} channels, and channels={wanted}"));
            }
            None => self.spec = Some(spec),
        }
        self.fits(self.frames() + decoded.frames() as u64)?;
        let mut floats = match self.floats.take() {
            Some(kept) if kept.capacity() == decoded.capacity() => kept,
            Some(_) | None => decoded.make_equivalent(),
        };
        decoded.convert(&mut floats);
        for (channel, plane) in self.planes.iter_mut().enumerate() {
            plane.extend_from_slice(floats.chan(channel));
        }
        if let ([plane], true) = (&mut self.planes[..], has > 1) {
            let start = plane.len() - floats.frames();
            let mixed = &mut plane[start..];
            for channel in 1..has {
                mixed.iter_mut().zip(floats.chan(channel)).for_each(|(sum, sample)| *sum += sample);
            }
            for sum in mixed {
                *sum /= has as f32;
            }
        }
        self.floats = Some(floats);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(channels: u16, rate: u32, samples: &[i16]) -> Vec<u8> {
        let size = samples.len() as u32 * 2;
        let mut file = b"RIFF".to_vec();
        file.extend((36 + size).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend((rate.wrapping_mul(u32::from(channels) * 2)).to_le_bytes());
        file.extend((channels * 2).to_le_bytes());
        file.extend(b"\x10\0data");
        file.extend(size.to_le_bytes());
        file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        file
    }

    fn reason(data: &[u8], channels: usize, budget: u64) -> String {
        Clip::decode(data, channels, &mut Budget::new(budget)).unwrap_err().reason
    }

    #[test]
    fn samples_are_those_of_the_file_or_their_mean() {
        let file = wav(2, 8000, &[16384, 0, -32768, 16384]);
        let clip = |channels| Clip::decode(&file, channels, &mut Budget::new(1 << 20)).unwrap();
        assert_eq!(clip(2), Clip { rate: 8000, planes: vec![vec![0.5, -1.0], vec![0.0, 0.5]] });
        assert_eq!(clip(1), Clip { rate: 8000, planes: vec![vec![0.25, -0.25]] });
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let file = wav(2, 8000, &[1; 200]);
        assert_eq!(reason(&file, 3, 1 << 20), "WAV: it has 2 channels, and channels=3");
        assert!(reason(&file, 2, 700).contains("max_sample_bytes"), "{}", reason(&file, 2, 700));
        assert!(reason(&file[..300], 2, 1 << 20).starts_with("WAV: "));
        assert_eq!(reason(&wav(1, 8000, &[]), 1, 1 << 20), "WAV: it holds no samples");
        assert!(reason(&wav(1, 4_000_000_000, &[1; 9]), 1, 1 << 20).contains("4000000000 samples a second"));
        assert!(reason(b"no audio", 1, 100).starts_with("it is no audio file"));
        assert!(reason(b"", 1, 100).starts_with("it is no audio file"));
        let opus = [&b"OggS"[..], &[0; 22], b"\x01\x13OpusHead", &[0; 11]].concat();
        assert!(reason(&opus, 1, 1 << 20).starts_with("Ogg: Opus cannot be decoded"));
        Clip::decode(&wav(0, 8000, &[1; 9]), 1, &mut Budget::new(1 << 20)).unwrap_err();
    }
}
