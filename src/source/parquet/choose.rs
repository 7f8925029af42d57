//! Choosing the columns, and what fields they become.

use std::collections::BTreeMap;

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use arrow_schema::{DataType, FieldRef, Fields};

use super::{
    hugging_face::{self, Feature},
    layout::{Element, Layout},
    request::{Nulls, ParquetRequest, element_bytes},
    spec::{ParquetColumn, ReadFrom},
};
use crate::{
    error::{Error, Result},
    field::{Bytes, Field, Image, Kind, Label, List, Tensor, Text},
    spec::DType,
};

/// The names of the classes of each field that is a label.
type Classes = BTreeMap<String, Vec<String>>;

/// A column of the files that was chosen.
pub(super) struct Chosen {
    pub(super) column: ParquetColumn,
    pub(super) path: Vec<String>,
    pub(super) data_type: DataType,
}

impl ParquetRequest {
    /// Chooses the columns of the first file, and returns them with the names of their classes.
    pub(super) fn choose(&self, metadata: &ArrowReaderMetadata) -> Result<(Vec<Chosen>, Classes), String> {
        let schema = metadata.schema();
        let features = hugging_face::features(schema.metadata().get("huggingface").map(AsRef::as_ref));
        let own = || schema.fields().iter().map(|field| (field.name().clone(), field.name().clone())).collect();
        let (mut chosen, mut classes) = (Vec::new(), Classes::new());
        for (name, column) in self.columns.clone().unwrap_or_else(own) {
            let is_partition = schema.field_with_name(&column).is_err() && self.partitions.contains(&column);
            if is_partition {
                continue;
            }
            let found = find(schema.fields(), &column)?;
            let one = self
                .chosen(name, found, features.get(&column))
                .map_err(|reason| format!("column `{column}` {reason}"))?;
            if let (Kind::Label(_), Some(Feature::ClassLabel(names))) = (&one.column.field.kind, features.get(&column))
            {
                classes.insert(one.column.field.name.clone(), names.clone());
            }
            chosen.push(one);
        }
        Ok((chosen, classes))
    }

    /// Says what a column becomes.
    fn chosen(
        &self,
        name: String,
        (mut path, mut data_type): (Vec<String>, DataType),
        feature: Option<&Feature>,
    ) -> Result<Chosen, String> {
        let encoded = match self.audio.get(&name) {
            Some(audio) => Some(audio.clone().into()),
            None if self.images.contains(&name) || feature == Some(&Feature::Image) => Some(Image::default().into()),
            None => None,
        };
        if let DataType::Struct(fields) = &data_type
            && (encoded.is_some() || feature == Some(&Feature::Audio))
            && let Some(bytes) = fields.iter().find(|field| field.name() == "bytes")
        {
            path.push("bytes".to_owned());
            data_type = bytes.data_type().clone();
        }
        let layout = Layout::of(&data_type)?;
        let is_binary = layout == Layout { axes: Vec::new(), element: Element::Binary }
            || matches!(data_type, DataType::FixedSizeBinary(_));
        let kind = match (encoded, is_binary) {
            (Some(kind), true) => kind,
            (Some(kind), false) => {
                let files = if matches!(kind, Kind::Image(_)) { "images" } else { "audio files" };
                return Err(format!("is {data_type}, and {files} are binaries, or structs that have `bytes`"));
            }
            (None, true) => Bytes { capacity: 0 }.into(),
            (None, false) => self.kind(&name, &layout, feature)?,
        };
        let fill = self.fill(&name, &kind, layout.element)?;
        let column = ParquetColumn { field: Field::new(name, kind), from: ReadFrom::Column(path.clone()), fill };
        Ok(Chosen { column, path, data_type })
    }

    fn kind(&self, name: &str, layout: &Layout, feature: Option<&Feature>) -> Result<Kind, String> {
        let Some(dtype) = layout.element.dtype() else {
            return match layout.axes[..] {
                [] => Ok(Text { capacity: 0 }.into()),
                _ => Err("is a list of texts or bytes, which no field holds: choose other columns".to_owned()),
            };
        };
        let is_whole = !dtype.is_float() && dtype != DType::Bool && dtype != DType::UInt64;
        if matches!(feature, Some(Feature::ClassLabel(_))) && layout.axes.is_empty() && is_whole {
            return Ok(Label {}.into());
        }
        let extents = match self.shapes.get(name) {
            Some(shape) => fitting(shape, &layout.axes)?,
            None => layout.axes.clone(),
        };
        let is_list = extents.first() == Some(&None);
        let shape: Option<Vec<usize>> = extents.iter().skip(usize::from(is_list)).copied().collect();
        let shape = shape.ok_or_else(|| {
            format!("is a list of lists: if the inner ones are of one length, say it, as in shapes={{\"{name}\": (None, 4)}}")
        })?;
        Ok(if is_list { List { dtype, shape, capacity: 0 }.into() } else { Tensor { dtype, shape }.into() })
    }

    /// Returns what stands for a null element of a field; none where a null is a bad sample.
    fn fill(&self, name: &str, kind: &Kind, element: Element) -> Result<Option<Vec<u8>>, String> {
        let is_file = matches!(kind, Kind::Image(_) | Kind::Audio(_));
        match self.fill.get(name) {
            Some(_) if is_file => Err("is of image or audio files, and nothing stands for one that is null".to_owned()),
            Some(value) => element_bytes(value, element).map(Some),
            None if self.nulls == Nulls::Error || is_file => Ok(None),
            None => Ok(Some(vec![0; element.dtype().map_or(0, DType::size)])),
        }
    }

    /// Refuses arguments that name no field.
    pub(super) fn check_names(&self, chosen: &[Chosen]) -> Result<()> {
        let given = |argument, names: Vec<&String>| {
            names.into_iter().map(move |name| (argument, name.clone())).collect::<Vec<_>>()
        };
        let all = [
            given("images", self.images.iter().collect()),
            given("audio", self.audio.keys().collect()),
            given("shapes", self.shapes.keys().collect()),
            given("fill", self.fill.keys().collect()),
        ];
        for (argument, name) in all.concat() {
            let is_there = chosen.iter().any(|chosen| chosen.column.field.name == name);
            let is_partition = argument == "fill" && self.partitions.contains(&name);
            if !is_there && !is_partition {
                let names: Vec<&str> = chosen.iter().map(|chosen| chosen.column.field.name.as_str()).collect();
                return Err(Error::Config(format!(
                    "Parquet: {argument} names `{name}`, which is no field; fields are {}",
                    names.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// Adds the partition columns that are asked for.
    pub(super) fn add_partitions(&self, columns: &mut Vec<ParquetColumn>) -> Result<()> {
        let own = || self.partitions.iter().map(|name| (name.clone(), name.clone())).collect();
        for (field, column) in self.columns.clone().unwrap_or_else(own) {
            let Some(at) = self.partitions.iter().position(|name| *name == column) else { continue };
            if columns.iter().any(|other| other.field.name == field) {
                continue;
            }
            let values = || self.files.iter().filter_map(|file| file.partitions.get(at));
            let is_whole = values().all(|value| value.is_null() || value.is_i64());
            let (kind, element): (Kind, _) = if is_whole {
                (Tensor { dtype: DType::Int64, shape: Vec::new() }.into(), Element::Number(DType::Int64))
            } else {
                (Text { capacity: 0 }.into(), Element::Text)
            };
            let fill = self.fill(&field, &kind, element);
            let fill = fill.map_err(|reason| Error::Config(format!("Parquet: column `{column}` {reason}")))?;
            columns.push(ParquetColumn { field: Field::new(field, kind), from: ReadFrom::Partition(at), fill });
        }
        if columns.is_empty() {
            return Err(Error::config("Parquet: columns is empty; None takes all"));
        }
        Ok(())
    }

    /// Adds fields that tell where there are values.
    pub(super) fn add_validity(&self, columns: &mut Vec<ParquetColumn>) {
        let may_be_null = |column: &ParquetColumn| column.fill.is_some() && matches!(column.from, ReadFrom::Column(_));
        let masks = columns.iter().enumerate().filter(|(_, column)| self.nulls == Nulls::Mask && may_be_null(column));
        let masks = masks.map(|(at, column)| ParquetColumn {
            field: Field::new(format!("{}_valid", column.field.name), Tensor { dtype: DType::Bool, shape: Vec::new() }),
            from: ReadFrom::Validity(at),
            fill: None,
        });
        let masks: Vec<_> = masks.collect();
        columns.extend(masks);
    }
}

/// Returns the path and the type of a column, which may stand within structs.
fn find(fields: &Fields, column: &str) -> Result<(Vec<String>, DataType), String> {
    let whole = vec![column.to_owned()];
    let parts = column.split('.').map(str::to_owned).collect();
    for path in [whole, parts] {
        if let Some(data_type) = type_at(fields, &path) {
            return Ok((path, data_type));
        }
    }
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    Err(format!("there is no column `{column}`; columns are {}", names.join(", ")))
}

/// Returns the type of a column.
pub(super) fn type_at(fields: &Fields, path: &[String]) -> Option<DataType> {
    let (first, rest) = path.split_first()?;
    let field: &FieldRef = fields.iter().find(|field| field.name() == first)?;
    let data_type = field.data_type();
    if rest.is_empty() {
        return Some(data_type.clone());
    }
    let DataType::Struct(inner) = data_type else { return None };
    type_at(inner, rest)
}

/// Returns the extents that a field is to have, where a column of these axes can have them.
fn fitting(shape: &[Option<usize>], axes: &[Option<usize>]) -> Result<Vec<Option<usize>>, String> {
    let fits = shape.len() == axes.len()
        && shape.iter().zip(axes).all(|(given, own)| own.is_none() || given == own)
        && shape.iter().skip(1).all(Option::is_some);
    if !fits {
        return Err(format!("has axes of extents {}, and shapes says {}", shown(axes), shown(shape)));
    }
    Ok(shape.to_vec())
}

/// Returns extents as Python shows a tuple.
fn shown(extents: &[Option<usize>]) -> String {
    let extents: Vec<String> =
        extents.iter().map(|extent| extent.map_or("None".into(), |extent| extent.to_string())).collect();
    format!("({})", extents.join(", "))
}
