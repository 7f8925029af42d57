//! What an Arrow type is to us: axes and elements.

#![expect(clippy::wildcard_enum_match_arm, reason = "the types are Arrow's: what is not listed is refused by name")]

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};

use crate::spec::DType;

/// An Arrow type as axes, outermost first, around elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The extent of each axis; none where it varies.
    pub(super) axes: Vec<Option<usize>>,
    pub(super) element: Element,
}

/// What the elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// Numbers that lie in memory as they are.
    Number(DType),
    /// 32-bit counts of days, seconds or milliseconds, which become `int64`.
    Count32,
    Text,
    Binary,
}

impl Element {
    /// Returns the dtype of what numbers become; none for texts and bytes.
    pub(super) const fn dtype(self) -> Option<DType> {
        match self {
            Self::Number(dtype) => Some(dtype),
            Self::Count32 => Some(DType::Int64),
            Self::Text | Self::Binary => None,
        }
    }
}

impl Layout {
    /// Returns the layout of a type.
    ///
    /// # Errors
    /// Why a batch cannot hold it, a fragment.
    pub(super) fn of(data_type: &DataType) -> Result<Self, String> {
        let mut axes = Vec::new();
        let mut inner = data_type;
        loop {
            inner = match inner {
                DataType::List(field) | DataType::LargeList(field) => {
                    axes.push(None);
                    field.data_type()
                }
                DataType::FixedSizeList(field, extent) => {
                    axes.push(Some(usize::try_from(*extent).map_err(|_| "is a list of negative length".to_owned())?));
                    field.data_type()
                }
                DataType::FixedSizeBinary(bytes) if axes.is_empty() => {
                    axes.push(Some(usize::try_from(*bytes).map_err(|_| "is of negative length".to_owned())?));
                    return Ok(Self { axes, element: Element::Number(DType::UInt8) });
                }
                other => return Ok(Self { axes, element: element(other)? }),
            };
        }
    }
}

/// Returns what elements of a type that is no list become.
fn element(data_type: &DataType) -> Result<Element, String> {
    Ok(match data_type {
        DataType::Boolean => Element::Number(DType::Bool),
        DataType::Int8 => Element::Number(DType::Int8),
        DataType::Int16 => Element::Number(DType::Int16),
        DataType::Int32 => Element::Number(DType::Int32),
        DataType::UInt8 => Element::Number(DType::UInt8),
        DataType::UInt16 => Element::Number(DType::UInt16),
        DataType::UInt32 => Element::Number(DType::UInt32),
        DataType::UInt64 => Element::Number(DType::UInt64),
        DataType::Float16 => Element::Number(DType::Float16),
        DataType::Float32 => Element::Number(DType::Float32),
        DataType::Float64 => Element::Number(DType::Float64),
        DataType::Int64
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Duration(_)
        | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond) => Element::Number(DType::Int64),
        DataType::Date32 | DataType::Time32(_) => Element::Count32,
        DataType::Utf8View => Element::Text,
        DataType::BinaryView => Element::Binary,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            return Err(format!(
                "is {data_type}, which no dtype of a batch holds exactly: write it as float64 or int64"
            ));
        }
        DataType::Struct(fields) => {
            let names = fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "is a struct of {names}: choose one of these, as in columns=[\"column.{}\"]",
                fields.first().map_or("name", |field| field.name().as_str())
            ));
        }
        other => return Err(format!("is {other}, which a batch cannot hold")),
    })
}

/// Returns the schema in which texts and binaries are views, so that they stay where the pages have them.
pub(super) fn with_views(schema: &Schema) -> Schema {
    Schema::new_with_metadata(views_of(schema.fields()), schema.metadata().clone())
}

fn views_of(fields: &Fields) -> Fields {
    fields.iter().map(view_of).collect()
}

fn view_of(field: &Arc<Field>) -> Arc<Field> {
    let data_type = view_type(field.data_type());
    Arc::new(Field::clone(field).with_data_type(data_type))
}

fn view_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, value) => view_type(value),
        DataType::List(field) => DataType::List(view_of(field)),
        DataType::LargeList(field) => DataType::LargeList(view_of(field)),
        DataType::FixedSizeList(field, extent) => DataType::FixedSizeList(view_of(field), *extent),
        DataType::Struct(fields) => DataType::Struct(views_of(fields)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(inner: DataType, extent: Option<i32>) -> DataType {
        let field = Arc::new(Field::new("item", inner, true));
        extent.map_or_else(
            || DataType::List(Arc::clone(&field)),
            |extent| DataType::FixedSizeList(Arc::clone(&field), extent),
        )
    }

    #[test]
    fn types_are_axes_around_elements() {
        let nested = list(list(DataType::Int16, Some(4)), None);
        assert_eq!(
            Layout::of(&nested),
            Ok(Layout { axes: vec![None, Some(4)], element: Element::Number(DType::Int16) })
        );
        assert_eq!(Layout::of(&DataType::FixedSizeBinary(3)).unwrap().axes, [Some(3)]);
        assert_eq!(Layout::of(&DataType::Date32).unwrap().element.dtype(), Some(DType::Int64));
        assert!(Layout::of(&DataType::Decimal128(5, 2)).unwrap_err().contains("write it as float64"));
        assert!(Layout::of(&DataType::Null).unwrap_err().contains("cannot hold"));
    }

    #[test]
    fn texts_become_views_wherever_they_are() {
        let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let both =
            DataType::Struct(vec![Field::new("bytes", DataType::Binary, true), Field::new("x", words, true)].into());
        let views = with_views(&Schema::new(vec![Field::new("image", both, true)]));
        let DataType::Struct(fields) = views.field(0).data_type() else { panic!("{views}") };
        assert_eq!((fields[0].data_type(), fields[1].data_type()), (&DataType::BinaryView, &DataType::Utf8View));
    }
}
