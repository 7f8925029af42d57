//! What is found where in a sample, and how it becomes a payload.

#![expect(unsafe_code, reason = "borrows the memory of NumPy's arrays")]

use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};
use serde::Deserialize;

use super::objects::Objects;
use crate::{
    error::{Failure, Stage},
    spec::DType,
};

/// A step from a container to one of its items, as data.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StepSpec {
    At(usize),
    Key(Name),
    Attribute(String),
}

/// A key of a mapping.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Name {
    Text(String),
    Number(i64),
}

/// A step from a container to one of its items.
enum Step {
    At(usize),
    Key(Py<PyAny>, String),
    Attribute(Py<PyString>, String),
}

impl Step {
    fn new(py: Python<'_>, step: StepSpec) -> PyResult<Self> {
        Ok(match step {
            StepSpec::At(at) => Self::At(at),
            StepSpec::Key(Name::Text(key)) => Self::Key(PyString::intern(py, &key).into_any().unbind(), key),
            StepSpec::Key(Name::Number(key)) => Self::Key(key.into_pyobject(py)?.into_any().unbind(), key.to_string()),
            StepSpec::Attribute(name) => Self::Attribute(PyString::intern(py, &name).unbind(), name),
        })
    }

    fn of<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        match self {
            Self::At(at) => match value.cast_exact::<PyTuple>() {
                Ok(tuple) => tuple.get_item(*at),
                Err(_) => value.get_item(at),
            },
            Self::Key(key, _) => value.get_item(key.bind(py)),
            Self::Attribute(name, _) => value.getattr(name.bind(py)),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::At(at) => format!("[{at}]"),
            Self::Key(_, key) => format!("[{key:?}]"),
            Self::Attribute(_, name) => format!(".{name}"),
        }
    }
}

fn steps(py: Python<'_>, path: Vec<StepSpec>) -> PyResult<Vec<Step>> {
    path.into_iter().map(|step| Step::new(py, step)).collect()
}

/// Returns what lies at the end of a path.
fn walk<'py>(sample: &Bound<'py, PyAny>, path: &[Step]) -> Result<Bound<'py, PyAny>, Failure> {
    let mut value = sample.clone();
    for (at, step) in path.iter().enumerate() {
        value = step.of(&value).map_err(|error| {
            let before: String = path[..at].iter().map(Step::words).collect();
            unlike(format!("sample{before} has no {}: {error}", step.words()))
        })?;
    }
    Ok(value)
}

/// The failure of a sample that is not what the others are.
fn unlike(reason: String) -> Failure {
    Failure::new(Stage::Read, reason)
}

/// A container and how many items it has, as data.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ContainerSpec {
    path: Vec<StepSpec>,
    length: Option<usize>,
}

/// A container of a sample, all of whose items are fields.
pub(super) struct Container {
    path: Vec<Step>,
    length: Option<usize>,
}

impl Container {
    pub(super) fn new(py: Python<'_>, ContainerSpec { path, length }: ContainerSpec) -> PyResult<Self> {
        Ok(Self { path: steps(py, path)?, length })
    }

    /// Checks that a sample's container has as many items as those of the samples that were tried: none is left out.
    pub(super) fn check(&self, sample: &Bound<'_, PyAny>) -> Result<(), Failure> {
        let Some(expected) = self.length else { return Ok(()) };
        let value = walk(sample, &self.path)?;
        let found = match (value.cast_exact::<PyTuple>(), value.cast_exact::<PyDict>(), value.cast_exact::<PyList>()) {
            (Ok(tuple), _, _) => tuple.len(),
            (_, Ok(dict), _) => dict.len(),
            (_, _, Ok(list)) => list.len(),
            _ => value.len().map_err(|error| unlike(format!("the sample has no items: {error}")))?,
        };
        if found == expected {
            return Ok(());
        }
        let at: String = self.path.iter().map(Step::words).collect();
        Err(unlike(format!("sample{at} has {found} items, and the samples that were tried have {expected}")))
    }
}

/// What becomes a field, as data.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LeafSpec {
    path: Vec<StepSpec>,
    name: String,
    #[serde(flatten)]
    how: HowSpec,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
enum HowSpec {
    Bool {},
    Int {},
    Float {},
    Text {},
    Bytes {},
    Object {},
    Image {},
    Array { dtype: DType, shape: Vec<usize>, varying: usize },
}

/// How a value becomes a payload.
enum How {
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    Object,
    Image,
    Array(Array),
}

/// An array whose first axes may vary.
struct Array {
    dtype: DType,
    /// NumPy's; none for the one dtype that it does not have.
    descr: Option<Py<PyArrayDescr>>,
    /// Another one that says the same: arrays that were pickled have one of their own, and so have their parts.
    alike: PyOnceLock<Py<PyArrayDescr>>,
    /// The extents that do not vary: of the last axes.
    shape: Vec<usize>,
    varying: usize,
}

/// What becomes a field, and where in a sample it is found.
pub(super) struct Leaf {
    path: Vec<Step>,
    name: String,
    how: How,
}

impl Leaf {
    pub(super) fn new(py: Python<'_>, LeafSpec { path, name, how }: LeafSpec) -> PyResult<Self> {
        let how = match how {
            HowSpec::Bool {} => How::Bool,
            HowSpec::Int {} => How::Int,
            HowSpec::Float {} => How::Float,
            HowSpec::Array { dtype, shape, varying } => {
                let named = || PyArrayDescr::new(py, dtype.name()).map(Bound::unbind);
                let descr = if dtype == DType::BFloat16 { None } else { Some(named()?) };
                How::Array(Array { dtype, descr, alike: PyOnceLock::new(), shape, varying })
            }
            HowSpec::Text {} => How::Text,
            HowSpec::Bytes {} => How::Bytes,
            HowSpec::Object {} => How::Object,
            HowSpec::Image {} => How::Image,
        };
        Ok(Self { path: steps(py, path)?, name, how })
    }

    /// Adds the payload of this field.
    pub(super) fn add(&self, sample: &Bound<'_, PyAny>, objects: &mut Objects) -> Result<(), Failure> {
        let value = walk(sample, &self.path)?;
        match &self.how {
            How::Array(array) => self.add_array(array, value, objects),
            How::Bool => self.number(value.extract::<bool>(), "a bool", &value).map(|number| {
                objects.add_made(|bytes| bytes.push(u8::from(number)));
            }),
            How::Int => self.number(value.extract::<i64>(), "an int of 64 bits", &value).map(|number| {
                objects.add_made(|bytes| bytes.extend(number.to_ne_bytes()));
            }),
            How::Float => self.float(&value).map(|number| {
                objects.add_made(|bytes| bytes.extend(number.to_ne_bytes()));
            }),
            How::Text => {
                let text = value.cast::<PyString>().map_err(|_| self.other("a str", &value))?;
                let text = text.to_cow().map_err(|error| unlike(format!("field `{}`: {error}", self.name)))?;
                objects.add_made(|bytes| bytes.extend_from_slice(text.as_bytes()));
                Ok(())
            }
            How::Bytes => self.add_bytes(value, objects),
            How::Object => self.made("pickled", &value, objects),
            How::Image => self.made("image_file", &value, objects),
        }
    }

    fn other(&self, expected: &str, value: &Bound<'_, PyAny>) -> Failure {
        let kind = value.get_type().fully_qualified_name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        unlike(format!("field `{}` is of type {kind}, and is {expected} in the samples that were tried", self.name))
    }

    fn number<T>(&self, found: PyResult<T>, expected: &str, value: &Bound<'_, PyAny>) -> Result<T, Failure> {
        found.map_err(|_| self.other(expected, value))
    }

    fn float(&self, value: &Bound<'_, PyAny>) -> Result<f64, Failure> {
        const EXACT: i64 = 1 << 53;
        if value.is_instance_of::<pyo3::types::PyInt>() {
            // No number is changed: those that a float cannot hold are refused.
            let number = value.extract::<i64>().ok().filter(|number| (-EXACT..=EXACT).contains(number));
            return number.map(|number| number as f64).ok_or_else(|| self.other("a float", value));
        }
        self.number(value.extract::<f64>(), "a float", value)
    }

    fn add_bytes(&self, value: Bound<'_, PyAny>, objects: &mut Objects) -> Result<(), Failure> {
        if let Ok(bytes) = value.cast::<PyBytes>() {
            let (start, len) = (bytes.as_bytes().as_ptr(), bytes.as_bytes().len());
            // SAFETY: they are the bytes of an object that never change.
            unsafe { objects.add_memory(value, start, len) };
            return Ok(());
        }
        let found = value.extract::<Vec<u8>>().map_err(|_| self.other("bytes", &value))?;
        objects.add_made(|bytes| bytes.extend(found));
        Ok(())
    }

    /// Adds bytes that a function of Python makes of the value.
    fn made(&self, function: &str, value: &Bound<'_, PyAny>, objects: &mut Objects) -> Result<(), Failure> {
        let py = value.py();
        let make = || py.import(intern!(py, "stokehold.user.learn"))?.call_method1(function, (value,));
        let bytes = make().map_err(|error| unlike(format!("field `{}`: {error}", self.name)))?;
        self.add_bytes(bytes, objects)
    }

    fn add_array(&self, array: &Array, value: Bound<'_, PyAny>, objects: &mut Objects) -> Result<(), Failure> {
        let value = match value.cast_into::<PyUntypedArray>() {
            Ok(found) if array.is_plain(&found) => return self.add_plain(array, found, objects),
            Ok(found) => found.into_any(),
            Err(other) => other.into_inner(),
        };
        let py = value.py();
        let made = || py.import(intern!(py, "stokehold.user.learn"))?.call_method1(intern!(py, "array"), (&value,));
        let made = made().map_err(|error| unlike(format!("field `{}`: {error}", self.name)))?;
        let named = made.extract::<(String, Bound<'_, PyUntypedArray>)>();
        let (dtype, found) = named.map_err(|_| self.other("an array", &value))?;
        if dtype != array.dtype.name() {
            return Err(unlike(format!(
                "field `{}` is {dtype}, and is {} in the samples that were tried: give all samples the same dtype",
                self.name, array.dtype
            )));
        }
        self.add_plain(array, found, objects)
    }

    /// Adds an array that is C-contiguous and has the field's dtype.
    fn add_plain(&self, array: &Array, found: Bound<'_, PyUntypedArray>, objects: &mut Objects) -> Result<(), Failure> {
        let shape = found.shape();
        let Array { dtype, shape: rest, varying, .. } = array;
        if shape.len() != varying + rest.len() || !shape[*varying..].iter().eq(rest) {
            return Err(self.misshapen(array, shape));
        }
        let len = shape.iter().product::<usize>() * dtype.size();
        // SAFETY: it is an array, whose struct NumPy lays out so; it has `len` bytes in one piece.
        let start = unsafe { (*found.as_array_ptr()).fields.data.cast_const().cast::<u8>() };
        if *varying > 1 {
            // SAFETY: as above, and the array is alive meanwhile.
            let values = unsafe { std::slice::from_raw_parts(start, if start.is_null() { 0 } else { len }) };
            objects.add_made(|bytes| {
                shape[..*varying].iter().for_each(|extent| bytes.extend((*extent as u64).to_ne_bytes()));
                bytes.extend_from_slice(values);
            });
            return Ok(());
        }
        // SAFETY: as above; whoever resizes an array in place that others see has asked NumPy not to check that.
        unsafe { objects.add_memory(found.into_any(), start, len) };
        Ok(())
    }

    fn misshapen(&self, array: &Array, shape: &[usize]) -> Failure {
        let expected: Vec<String> = std::iter::repeat_n("?".to_owned(), array.varying)
            .chain(array.shape.iter().map(usize::to_string))
            .collect();
        let (name, expected) = (&self.name, expected.join(", "));
        let what = if shape.len() == array.varying + array.shape.len() {
            format!("a field whose shape varies needs capacity[{name:?}]")
        } else {
            "give all samples as many axes".to_owned()
        };
        unlike(format!(
            "field `{name}` has shape {shape:?}, and is of shape [{expected}] in the samples that were tried: {what}"
        ))
    }
}

impl Array {
    /// Tells whether an array can be copied as it is.
    fn is_plain(&self, found: &Bound<'_, PyUntypedArray>) -> bool {
        found.is_c_contiguous() && self.has_dtype(found)
    }

    /// Tells whether an array's values are of the field's dtype, by comparing descriptors themselves where that will do.
    fn has_dtype(&self, found: &Bound<'_, PyUntypedArray>) -> bool {
        let py = found.py();
        let Some(descr) = &self.descr else { return false };
        // SAFETY: it is an array, whose struct NumPy lays out so.
        let own = unsafe { (*found.as_array_ptr()).fields.descr }.cast();
        if own == descr.as_ptr() || self.alike.get(py).is_some_and(|alike| own == alike.as_ptr()) {
            return true;
        }
        let own = found.dtype();
        let is_alike = own.is_equiv_to(descr.bind(py));
        if is_alike {
            self.alike.get_or_init(py, || own.unbind());
        }
        is_alike
    }
}
