//! Writing a sample to its span among the values of a batch.

use crate::{
    error::{Failure, Stage},
    job::{CutFields, PaddedField},
    sampler::{Mark, Span},
    spec::FieldSpec,
    transform::{Rows, slot_row},
};

/// Rows of a slot, of which some fields have a span for the sample.
pub(super) struct SpanRows<'a, 'r> {
    rows: &'a mut [&'r mut [u8]],
    fields: &'a CutFields,
    span: Span,
    /// Samples of which a part is wanted, whole: by their fields.
    whole: Vec<(usize, Vec<u8>)>,
}

impl<'a, 'r> SpanRows<'a, 'r> {
    pub(super) fn new(rows: &'a mut [&'r mut [u8]], fields: &'a CutFields, span: Span) -> Self {
        Self { rows, fields, span, whole: Vec::new() }
    }

    /// Writes what the sample itself does not: the part of it that is wanted, padding, and the fields that tell of it.
    pub(super) fn finish(self) {
        let Self { rows, fields, span, whole } = self;
        for (at, values) in whole {
            let Some(field) = fields.cut.iter().find(|field| field.at == at) else { continue };
            let (from, len) = (span.skip as usize * field.value_bytes, span.len as usize * field.value_bytes);
            rows[at][..len].copy_from_slice(&values[from..from + len]);
        }
        let all = fields.cut.iter().chain(fields.marks.iter().map(|marked| &marked.field));
        for field in all {
            pad(&mut rows[field.at][span.len as usize * field.value_bytes..], &field.pad);
        }
        for marked in &fields.marks {
            let PaddedField { at, value_bytes, .. } = marked.field;
            let len = span.len as usize * value_bytes;
            match marked.mark {
                Mark::SegmentIds => numbers(&mut rows[at][..len], |_| span.segment),
                Mark::PositionIds => numbers(&mut rows[at][..len], |number| number),
                Mark::Mask => rows[at][..len].fill(1),
                Mark::Labels => {
                    // Fields that tell of others come behind them.
                    let (before, from) = rows.split_at_mut(at);
                    from[0][..len].copy_from_slice(&before[fields.cut[0].at][..len]);
                }
            }
        }
    }
}

/// Writes a row whose sample is left out: padding in its span, and zeros elsewhere.
pub(super) fn leave_out(rows: &mut [&mut [u8]], fields: &CutFields, span: Span) {
    for row in rows.iter_mut() {
        row.fill(0);
    }
    let padding = span.len + span.padding;
    SpanRows::new(rows, fields, Span { len: 0, padding, ..span }).finish();
}

/// Writes an int32 for each value.
fn numbers(values: &mut [u8], number: impl Fn(u32) -> u32) {
    for (value, at) in values.chunks_exact_mut(size_of::<i32>()).zip(0..) {
        value.copy_from_slice(&number(at).to_ne_bytes());
    }
}

fn pad(values: &mut [u8], pad: &[u8]) {
    match pad {
        [byte, others @ ..] if others.iter().all(|other| other == byte) => values.fill(*byte),
        _ => values.chunks_exact_mut(pad.len()).for_each(|element| element.copy_from_slice(pad)),
    }
}

impl Rows for SpanRows<'_, '_> {
    fn begin(&mut self, at: usize, spec: &FieldSpec, shape: &[usize]) -> Result<&mut [u8], Failure> {
        let Some(field) = self.fields.cut.iter().find(|field| field.at == at) else {
            return slot_row(&mut *self.rows[at], spec, shape);
        };
        let (len, span) = (shape.first().copied().unwrap_or(0), self.span);
        if len != span.whole as usize {
            let reason = format!(
                "field `{}` has {len} values, and the lengths of {} say {}",
                spec.name, self.fields.name, span.whole
            );
            return Err(Failure::new(Stage::Transform, reason));
        }
        let bytes = len * field.value_bytes;
        if span.len == span.whole {
            return Ok(&mut self.rows[at][..bytes]);
        }
        self.whole.retain(|(other, _)| *other != at);
        self.whole.push((at, vec![0; bytes]));
        Ok(self.whole.last_mut().map_or(&mut [], |(_, values)| &mut values[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sampler::{CutField, CutOptions, Filling, Grouping, LengthCut, MarkField},
        spec::{DType, Ragged},
    };

    fn spec(name: &str, dtype: DType, shape: &[usize]) -> FieldSpec {
        FieldSpec { ragged: Some(Ragged { axes: 1, capacity: 9 }), ..FieldSpec::new(name, dtype, shape) }
    }

    fn fields() -> CutFields {
        let marks = [Mark::SegmentIds, Mark::PositionIds, Mark::Mask, Mark::Labels];
        let marks = marks.into_iter().map(|mark| MarkField { name: format!("{mark:?}"), mark }).collect();
        let fields = [("x", 7.0), ("y", 9.0)].map(|(name, pad)| CutField { name: name.into(), pad }).into();
        let packing = Grouping::Packing { seq_len: 5, strategy: Filling::Concat };
        let options = CutOptions { fields, marks, ..CutOptions::new(packing, "x") };
        let specs = [spec("x", DType::Int16, &[]), spec("y", DType::UInt8, &[2])];
        CutFields::of(&LengthCut::new(options, &[5]).unwrap(), &specs).unwrap()
    }

    fn written(span: Span) -> Vec<Vec<u8>> {
        let len = span.extent() as usize;
        let mut bytes: Vec<Vec<u8>> = [2, 2, 4, 4, 1, 2].iter().map(|size| vec![0xee; size * len]).collect();
        let mut rows: Vec<&mut [u8]> = bytes.iter_mut().map(|row| &mut row[..]).collect();
        let fields = fields();
        let mut spanned = SpanRows::new(&mut rows, &fields, span);
        let values: Vec<u8> = (10_i16..).take(span.whole as usize).flat_map(i16::to_ne_bytes).collect();
        let shape = [span.whole as usize];
        spanned.begin(0, &spec("x", DType::Int16, &[]), &shape).unwrap().copy_from_slice(&values);
        spanned.begin(1, &spec("y", DType::UInt8, &[2]), &[shape[0], 2]).unwrap().fill(5);
        spanned.finish();
        bytes
    }

    fn of<const N: usize>(bytes: &[u8]) -> Vec<[u8; N]> {
        bytes.as_chunks().0.to_vec()
    }

    #[test]
    fn a_sample_a_part_of_one_and_padding_are_written_whole() {
        let span = Span { start: 0, len: 3, padding: 2, skip: 0, whole: 3, segment: 2 };
        for (span, first) in [(span, 10), (Span { skip: 4, whole: 8, ..span }, 14)] {
            let rows = written(span);
            let values = |bytes: &[u8]| of(bytes).into_iter().map(i16::from_ne_bytes).collect::<Vec<_>>();
            let numbers = |bytes: &[u8]| of(bytes).into_iter().map(i32::from_ne_bytes).collect::<Vec<_>>();
            assert_eq!(values(&rows[0]), [first, first + 1, first + 2, 7, 7]);
            assert_eq!(rows[1], [5, 5, 5, 5, 5, 5, 9, 9, 9, 9]);
            assert_eq!((numbers(&rows[2]), numbers(&rows[3])), (vec![2, 2, 2, 0, 0], vec![0, 1, 2, 0, 0]));
            assert_eq!(rows[4], [1, 1, 1, 0, 0]);
            assert_eq!(values(&rows[5]), [first, first + 1, first + 2, -100, -100]);
        }
    }

    #[test]
    fn what_is_left_out_is_padding() {
        let span = Span { start: 0, len: 3, padding: 1, skip: 0, whole: 3, segment: 2 };
        let mut bytes: Vec<Vec<u8>> = [2, 2, 4, 4, 1, 2].iter().map(|size| vec![0xee; size * 4]).collect();
        bytes.push(vec![0xee; 3]);
        let mut rows: Vec<&mut [u8]> = bytes.iter_mut().map(|row| &mut row[..]).collect();
        leave_out(&mut rows, &fields(), span);
        assert_eq!(of(&bytes[0]).into_iter().map(i16::from_ne_bytes).collect::<Vec<_>>(), [7; 4]);
        assert_eq!((&bytes[1], &bytes[4], &bytes[6]), (&vec![9; 8], &vec![0; 4], &vec![0; 3]));
        assert!(bytes[2].iter().chain(&bytes[3]).all(|byte| *byte == 0));
        assert_eq!(of(&bytes[5]).into_iter().map(i16::from_ne_bytes).collect::<Vec<_>>(), [-100; 4]);
    }

    #[test]
    fn a_sample_of_another_length_is_a_bad_one() {
        let span = Span { start: 0, len: 3, padding: 0, skip: 0, whole: 3, segment: 1 };
        let mut bytes = [0; 6];
        let fields = fields();
        let mut rows = [&mut bytes[..]];
        let mut spanned = SpanRows::new(&mut rows, &fields, span);
        let failure = spanned.begin(0, &spec("x", DType::Int16, &[]), &[4]).unwrap_err();
        assert_eq!(failure.reason, "field `x` has 4 values, and the lengths of Packing say 3");
    }
}
