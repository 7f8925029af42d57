//! What a cut makes of the fields of a batch.

use super::Options;
use crate::{
    error::{Error, Result},
    sampler::{CutSpec, LengthCut, Mark},
    shm::SlotLayout,
    spec::{DType, FieldSpec, Ragged},
};

/// What stands for a padding value of labels, which losses leave out: the `ignore_index` of PyTorch's `cross_entropy`.
const NO_LABEL: f64 = -100.0;

/// A field whose samples are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaddedField {
    /// Its index among the fields of a batch.
    pub at: usize,
    /// The bytes of a value.
    pub value_bytes: usize,
    /// The bytes of one element of the padding.
    pub pad: Vec<u8>,
}

/// A field that tells of those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedField {
    /// Its index among the fields of a batch, its values, and what stands for padding.
    pub field: PaddedField,
    /// What it has.
    pub mark: Mark,
}

/// What a cut makes of the fields of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutFields {
    /// The name that errors have.
    pub name: String,
    /// The fields whose samples are put together.
    pub cut: Vec<PaddedField>,
    /// Those that tell of them, which no sample has.
    pub marks: Vec<MarkedField>,
    /// The specs of those.
    specs: Vec<FieldSpec>,
}

impl CutFields {
    /// Returns what a cut makes of fields that samples have.
    ///
    /// # Errors
    /// [`Error::Config`] for a field that samples do not have, whose samples do not vary along one axis, or that cannot have
    /// its padding; for a mark under a name that samples have.
    pub fn of(spec: &LengthCut, fields: &[FieldSpec]) -> Result<Self> {
        let (name, options) = (spec.name(), spec.options());
        let known = || fields.iter().map(|field| &*field.name).collect::<Vec<_>>().join(", ");
        let mut cut = Vec::new();
        for wanted in &options.fields {
            let Some(at) = fields.iter().position(|field| field.name == wanted.name) else {
                let (field, known) = (&wanted.name, known());
                return Err(Error::Config(format!("{name}: there is no field `{field}`; samples have {known}")));
            };
            let field = &fields[at];
            if field.ragged.is_none_or(|ragged| ragged.axes != 1) {
                return Err(Error::Config(format!(
                    "{name}: field `{}` is {field}, and what is put together are fields whose first axis varies",
                    field.name
                )));
            }
            cut.push(padded(name, at, field, wanted.pad)?);
        }
        let (mut marks, mut specs) = (Vec::new(), Vec::new());
        for wanted in &options.marks {
            if fields.iter().any(|field| field.name == wanted.name) {
                let field = &wanted.name;
                return Err(Error::Config(format!(
                    "{name}: samples have a field `{field}` already; choose another name"
                )));
            }
            let first = &fields[cut[0].at];
            let (dtype, pad, shape) = match wanted.mark {
                Mark::SegmentIds | Mark::PositionIds => (DType::Int32, 0.0, &[][..]),
                Mark::Mask => (DType::Bool, 0.0, &[][..]),
                Mark::Labels => (first.dtype, NO_LABEL, &first.shape[..]),
            };
            let ragged = Some(Ragged { axes: 1, capacity: 0 });
            let spec = FieldSpec { ragged, ..FieldSpec::new(wanted.name.clone(), dtype, shape) };
            let field = padded(name, fields.len() + specs.len(), &spec, pad)?;
            marks.push(MarkedField { field, mark: wanted.mark });
            specs.push(spec);
        }
        Ok(Self { name: name.to_owned(), cut, marks, specs })
    }

    /// Tells whether values of a field of a batch have spans of their own.
    fn has_spans(&self, name: &str, fields: &[FieldSpec]) -> bool {
        let is_cut = |field: &PaddedField| fields.get(field.at).is_some_and(|spec| spec.name == name);
        self.cut.iter().any(is_cut) || self.specs.iter().any(|spec| spec.name == name)
    }
}

fn padded(name: &str, at: usize, field: &FieldSpec, pad: f64) -> Result<PaddedField> {
    let pad = field.dtype.encoded(pad).ok_or_else(|| {
        Error::Config(format!(
            "{name}: field `{}` of {} cannot have {pad}, which stands for padding",
            field.name, field.dtype
        ))
    })?;
    Ok(PaddedField { at, value_bytes: field.entry_bytes(), pad })
}

impl Options {
    /// Returns what the cut makes of the fields of samples, where it puts samples together.
    ///
    /// # Errors
    /// Those of [`CutFields::of`].
    pub fn cut_fields(&self, fields: &[FieldSpec]) -> Result<Option<CutFields>> {
        let cut = self.cut.as_ref().and_then(CutSpec::lengths);
        cut.map(|cut| CutFields::of(cut, fields)).transpose()
    }

    /// Returns the layout of a slot for samples of these fields, told for each variant of batches; it tells all that a batch
    /// has.
    ///
    /// # Errors
    /// Those of [`CutFields::of`] and of [`SlotLayout::new`], and [`Error::Config`] where the cut has other variants.
    pub fn layout(&self, variants: &[impl AsRef<[FieldSpec]>]) -> Result<SlotLayout> {
        let most = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let groups = self.batch_size;
        match (&self.cut, variants) {
            (None, [fields]) => SlotLayout::new(groups as usize, fields.as_ref()),
            (Some(CutSpec::Lengths(cut)), [fields]) => {
                let fields = fields.as_ref();
                let made = CutFields::of(cut, fields)?;
                let all = [fields, &made.specs[..]].concat();
                let (rows, values) = (most(cut.most_samples(groups)), most(cut.values(groups)));
                SlotLayout::with_values(rows, &all, |field| made.has_spans(&field.name, fields).then_some(values))
            }
            (Some(CutSpec::Variants(cut)), variants) if cut.batch_sizes().len() == variants.len() => {
                let rows = cut.batch_sizes().iter().map(|size| *size as usize);
                SlotLayout::of_variants(&rows.zip(variants.iter().map(AsRef::as_ref)).collect::<Vec<_>>())
            }
            (Some(CutSpec::Variants(cut)), variants) => {
                let (name, sizes, variants) = (cut.name(), cut.batch_sizes().len(), variants.len());
                Err(Error::Config(format!("{name}: batch_sizes must be one for each variant, {variants}, not {sizes}")))
            }
            (None | Some(CutSpec::Lengths(_)), _) => Err(Error::config("variants are for a cut by MultiScale")),
        }
    }

    /// Checks what goes with a cut.
    pub(super) fn validate_cut(&self) -> Result<()> {
        let Some(cut) = &self.cut else { return Ok(()) };
        let name = cut.name();
        if cut.groups_are_batches() && self.batch_size != 1 {
            let given = self.batch_size;
            return Err(Error::Config(format!(
                "{name}: batch_size must be left out, not {given}: {name} says what a batch has"
            )));
        }
        if cut.lengths().is_some() && self.on_error == super::OnError::Replace {
            return Err(Error::Config(format!(
                "{name}: on_error must be \"raise\" or \"skip\", not \"replace\": a span has room for its own sample, and for \
                 no other one"
            )));
        }
        Ok(())
    }
}
