//! Tests of chains that call functions, and of what is learned of them.

use std::{any::Any, collections::BTreeMap, sync::Mutex};

use super::*;
use crate::{
    error::Stage,
    field::{Field, Image, List, Mask, Tensor},
    function::{Array, BatchField, Invocation},
    source::{BytesReader, Reader},
    spec::DType,
    transform::Transform,
};

/// Values in a vector.
#[derive(Clone, Debug)]
struct Values {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array for Values {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

type Function = fn(Values) -> Result<Values, Failure>;

/// Functions of these tests.
#[derive(Debug, Default)]
struct Given {
    functions: Vec<Function>,
    begun: Mutex<Vec<u64>>,
    axes: Mutex<Vec<Option<usize>>>,
}

impl Functions for Given {
    fn enter(&self, _: u32) -> Result<()> {
        Ok(())
    }

    fn stack_signal(&self) -> Option<i32> {
        None
    }

    fn enter_run(&self) {}

    fn leave_run(&self) {}

    fn begin(&self, key: Key) {
        self.begun.lock().unwrap().push(key.index);
    }

    fn array(&self, dtype: DType, shape: &[usize]) -> Result<Box<dyn Array>, String> {
        let bytes = vec![0xee; shape.iter().product::<usize>() * dtype.size()];
        Ok(Box::new(Values { dtype, shape: shape.to_vec(), bytes }))
    }

    fn call(&self, call: Invocation, argument: Box<dyn Array>) -> Result<Box<dyn Array>, Failure> {
        self.axes.lock().unwrap().push(call.channel_axis);
        let argument = argument.into_any().downcast::<Values>().unwrap();
        Ok(Box::new(self.functions[call.function as usize](*argument)?))
    }

    fn finish(&self, function: u32, key: Key, rows: usize, fields: &mut [BatchField<'_>]) -> Result<(), Failure> {
        for BatchField { spec, bytes } in fields {
            let shape = [&[rows], &spec.shape[..]].concat();
            let values = Values { dtype: spec.dtype, shape, bytes: bytes.to_vec() };
            bytes.copy_from_slice(&self.functions[function as usize](values)?.bytes);
        }
        self.begun.lock().unwrap().push(key.index);
        Ok(())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "functions may fail")]
fn same(values: Values) -> Result<Values, Failure> {
    Ok(values)
}

#[expect(clippy::unnecessary_wraps, reason = "functions may fail")]
fn inverted(mut values: Values) -> Result<Values, Failure> {
    values.bytes.iter_mut().for_each(|value| *value = 255 - *value);
    Ok(values)
}

/// Keeps the first half of the first axis.
#[expect(clippy::unnecessary_wraps, reason = "functions may fail")]
fn halved(mut values: Values) -> Result<Values, Failure> {
    let (half, len) = (values.shape[0] / 2, values.bytes.len());
    values.bytes.truncate(len / values.shape[0].max(1) * half);
    values.shape[0] = half;
    Ok(values)
}

#[expect(clippy::unnecessary_wraps, reason = "functions may fail")]
fn sum(values: Values) -> Result<Values, Failure> {
    let sum: i64 = values.bytes.iter().map(|&value| i64::from(value)).sum();
    Ok(Values { dtype: DType::Int64, shape: vec![], bytes: sum.to_ne_bytes().to_vec() })
}

fn refused(_: Values) -> Result<Values, Failure> {
    Err(Failure::new(Stage::Transform, "too dark"))
}

/// Samples of one field whose payloads are given.
#[derive(Debug)]
struct Payloads {
    records: Vec<Vec<u8>>,
    fields: Vec<Field>,
}

impl Source for Payloads {
    fn len(&self) -> u64 {
        self.records.len() as u64
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn key(&self, index: u64) -> String {
        format!("record {index}")
    }

    fn does_io(&self) -> bool {
        false
    }

    fn reader(&self) -> Box<dyn Reader + '_> {
        Box::new(BytesReader::new(|index, bytes, _| {
            bytes.clone_from(&self.records[index as usize]);
            Ok(())
        }))
    }

    fn field<'a>(&'a self, _: usize, _: u64, record: &'a Record) -> &'a [u8] {
        &record.bytes
    }
}

const KEY: Key = Key { seed: 5, epoch: 1, index: 0 };

fn image(height: usize, width: usize) -> Vec<u8> {
    (0..height * width * 3).map(|at| (at * 7 % 251) as u8).collect()
}

/// Images in memory, of one size.
fn images() -> Arc<dyn Source> {
    let tensor = Tensor { dtype: DType::UInt8, shape: vec![8, 6, 3] };
    Arc::new(Payloads { records: vec![image(8, 6); 4], fields: vec![Field::new("x", tensor)] })
}

/// Encoded images, each of its own size.
fn files() -> Arc<dyn Source> {
    let file = |height: u32| [format!("P6 6 {height} 255\n").into_bytes(), image(height as usize, 6)].concat();
    Arc::new(Payloads { records: [8, 4, 6].map(file).to_vec(), fields: vec![Field::new("x", Image::default())] })
}

fn lists() -> Arc<dyn Source> {
    let list = List { dtype: DType::UInt8, shape: vec![2], capacity: 3 };
    Arc::new(Payloads { records: vec![vec![1; 2], vec![2; 6]], fields: vec![Field::new("x", list)] })
}

fn functions() -> Arc<Given> {
    Arc::new(Given { functions: vec![same, inverted, halved, sum, refused], ..Given::default() })
}

fn recipe(json: &str) -> Recipe {
    let transforms: Vec<Transform> = serde_json::from_str(json).unwrap();
    Recipe { transforms: BTreeMap::from([("x".to_owned(), transforms)]), ..Recipe::default() }
}

fn learned(source: &Arc<dyn Source>, recipe: Recipe) -> Result<Pipeline> {
    let functions: Arc<dyn Functions> = functions();
    let recipe = learn(source, recipe, &functions, KEY)?;
    Ok(Pipeline::new(Arc::clone(source), &recipe)?.with_functions(functions))
}

fn row(pipeline: &Pipeline, index: u64) -> Result<Vec<u8>, Failure> {
    let mut record = Record::default();
    pipeline.reader().read(Key { index, ..KEY }, &mut record, u64::MAX)?;
    let mut row = vec![0xdd; pipeline.fields()[0].row_bytes().unwrap()];
    let (mut scratch, mut times) = (pipeline.scratch(), Times::default());
    pipeline.fill(Key { index, ..KEY }, &record, &mut scratch, &mut [&mut row], &mut times)?;
    Ok(row)
}

/// What a chain makes of the first image.
fn made(source: &Arc<dyn Source>, json: &str) -> Vec<u8> {
    row(&learned(source, recipe(json)).unwrap(), 0).unwrap()
}

const CALLS: [&str; 5] = [
    r#"{"op": "Call", "function": 0, "name": "same"}"#,
    r#"{"op": "Call", "function": 1, "name": "inverted"}"#,
    r#"{"op": "Call", "function": 2, "name": "halved"}"#,
    r#"{"op": "Call", "function": 3, "name": "sum"}"#,
    r#"{"op": "Call", "function": 4, "name": "refused"}"#,
];
const NORMALIZE: &str = r#"{"op": "Normalize", "mean": [0.5, 0.25, 0.75], "std": [0.5, 0.25, 0.125]}"#;
const CHW: &str = r#"{"op": "ToLayout", "layout": "CHW"}"#;
const FLIP: &str = r#"{"op": "RandomHorizontalFlip", "p": 1.0}"#;
const CROP: &str = r#"{"op": "RandomCrop", "size": [5, 4]}"#;
const ERASE: &str = r#"{"op": "RandomErasing", "p": 1.0, "value": [0.25]}"#;
const RESIZE: &str = r#"{"op": "Resize", "size": [5, 4]}"#;

#[test]
fn a_function_that_gives_what_it_gets_changes_nothing_wherever_it_stands() {
    let same = CALLS[0];
    for source in [images(), files()] {
        for ops in [vec![CROP, FLIP, NORMALIZE, CHW, ERASE], vec![RESIZE, CHW, NORMALIZE], vec![CROP], vec![FLIP, CROP]]
        {
            let native = made(&source, &format!("[{}]", ops.join(",")));
            for at in 0..=ops.len() {
                let mut called = ops.clone();
                called.insert(at, same);
                assert!(native == made(&source, &format!("[{}]", called.join(","))), "{called:?}");
                called.insert(at, same);
                assert!(native == made(&source, &format!("[{}]", called.join(","))), "{called:?}");
            }
        }
    }
}

#[test]
fn what_functions_give_is_what_goes_on() {
    let inverted = CALLS[1];
    let native: Vec<u8> = made(&images(), &format!("[{CROP}]")).iter().map(|value| 255 - value).collect();
    assert_eq!(made(&images(), &format!("[{CROP}, {inverted}]")), native);
    assert_eq!(made(&images(), &format!("[{inverted}, {CROP}]")), native);
    assert_eq!(made(&images(), &format!("[{inverted}, {}, {CROP}]", CALLS[1])), made(&images(), &format!("[{CROP}]")));
    let total: i64 = image(8, 6).iter().map(|&value| i64::from(value)).sum();
    assert_eq!(made(&images(), &format!("[{}]", CALLS[3])), total.to_ne_bytes());
}

#[test]
fn the_channels_are_where_the_layout_says() {
    let functions = functions();
    let recipe = recipe(&format!("[{}, {CHW}, {}]", CALLS[0], CALLS[0]));
    let given: Arc<dyn Functions> = Arc::clone(&functions) as _;
    learn(&images(), recipe, &given, KEY).unwrap();
    assert_eq!(*functions.axes.lock().unwrap(), [&[Some(2); 3][..], &[Some(2), Some(0)].repeat(3)].concat());
    assert_eq!(functions.begun.lock().unwrap()[..3], [0, 3, 2]);
}

#[test]
fn what_is_learned_varies_where_samples_do() {
    let learned = |source: &Arc<dyn Source>, json: &str| {
        let functions: Arc<dyn Functions> = functions();
        let recipe = learn(source, recipe(json), &functions, KEY).unwrap();
        recipe.transforms["x"].iter().filter_map(|op| Some(op.call()?.result()?.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(learned(&images(), &format!("[{}]", CALLS[2])), ["uint8 of shape [4, 6, 3]"]);
    // Halves of heights that vary are no multiples of anything that was seen.
    assert_eq!(learned(&files(), &format!("[{}, {RESIZE}]", CALLS[2])), ["uint8 of shape [?, ?, 3]"]);
    assert_eq!(learned(&files(), &format!("[{RESIZE}, {}]", CALLS[2])), ["uint8 of shape [2, 4, 3]"]);
    assert_eq!(learned(&lists(), &format!("[{}]", CALLS[3])), ["int64 of shape []"]);
}

#[test]
fn lists_that_come_from_functions_are_ragged() {
    let with_room = |json| Recipe { capacity: BTreeMap::from([("x".to_owned(), 3)]), ..recipe(json) };
    let pipeline = learned(&lists(), with_room(&format!("[{}]", CALLS[0]))).unwrap();
    assert_eq!(pipeline.fields()[0].to_string(), "x: uint8[?, 2] with room for 3");
    let row = row(&pipeline, 1).unwrap();
    let (shape, values) = pipeline.fields()[0].read_row(&row);
    assert_eq!((shape, &row[values]), (vec![3, 2], &[2; 6][..]));
    let message = learned(&lists(), recipe(&format!("[{}]", CALLS[0]))).unwrap_err().to_string();
    assert!(message.contains(r#"field `x` is uint8 of shape [?, 2]: give capacity["x"]"#), "{message}");
}

#[test]
fn errors_name_field_transform_and_function() {
    let fails = |json: &str| {
        let recipe = recipe(json);
        let functions: Arc<dyn Functions> = functions();
        let pipeline = Pipeline::new(images(), &recipe).unwrap().with_functions(functions);
        row(&pipeline, 1).unwrap_err().reason
    };
    let declared = r#""dtype": "uint8", "shape": [8, 6, 3]}"#;
    let refused = CALLS[4].replace('}', &format!(", {declared}"));
    assert_eq!(fails(&format!("[{FLIP}, {refused}]")), "field `x`: transform 1: `refused`: too dark");
    let halved = CALLS[2].replace('}', &format!(", {declared}"));
    assert_eq!(
        fails(&format!("[{halved}]")),
        "field `x`: transform 0: `halved`: gave uint8 of shape [4, 6, 3], and uint8 of shape [8, 6, 3] is what was \
         declared: say what it gives by Call(..., dtype=..., shape=...), with None for axes that vary"
    );
    let still = CALLS[2].replace('}', r#", "dtype": "uint8", "shape": [4, 6, 3], "moves_pixels": false}"#);
    assert!(
        fails(&format!("[{still}]")).contains("`halved`: is said to move no pixels, and gave uint8 of shape [4, 6")
    );
    let no_functions = Pipeline::new(images(), &recipe(&format!("[{halved}]"))).unwrap();
    assert!(row(&no_functions, 0).unwrap_err().reason.contains("no functions"));
}

#[test]
fn what_cannot_be_known_or_done_is_refused() {
    let refused = |json: &str| learned(&images(), recipe(json)).unwrap_err().to_string();
    assert!(refused(&format!("[{}, {NORMALIZE}]", CALLS[3])).contains("`sum`: gives int64 of shape [], and Normalize"));
    let half = r#"{"op": "ToDtype", "dtype": "bfloat16", "scale": true}"#;
    assert!(refused(&format!("[{half}, {}]", CALLS[0])).contains("no bfloat16"));
    assert!(refused(&format!("[{CHW}, {}, {FLIP}]", CALLS[0])).contains("channels first"));
    let bad = learned(&images(), recipe(&format!("[{}]", CALLS[4]))).unwrap_err();
    assert!(bad.to_string().contains("cannot transform sample 0 (`record 0`): field `x`"), "{bad}");
}

#[test]
fn a_function_changes_the_rows_of_a_batch_where_they_lie() {
    let batch = |call: &str| {
        let batch_transforms = serde_json::from_str(&format!("[{call}]")).unwrap();
        let recipe = Recipe { batch_transforms, ..Recipe::default() };
        let pipeline = Pipeline::new(images(), &recipe).unwrap().with_functions(functions());
        assert!(pipeline.finishes());
        let mut rows = [image(8, 6), image(8, 6)].concat();
        pipeline.finish((0, KEY), &mut [&mut rows], 2).map(|()| rows)
    };
    let inverted: Vec<u8> = image(8, 6).iter().map(|value| 255 - value).collect();
    assert_eq!(batch(CALLS[1]).unwrap(), [&inverted[..], &inverted].concat());
    assert_eq!(batch(CALLS[4]).unwrap_err().reason, "batch transform 0: `refused`: too dark");
}

#[test]
fn a_budget_holds_for_the_arrays_of_functions() {
    let pipeline = learned(&images(), recipe(&format!("[{}]", CALLS[0]))).unwrap().with_sample_bytes(200);
    let reason = row(&pipeline, 0).unwrap_err().reason;
    assert!(reason.contains("the array of a function needs 144 bytes, and max_sample_bytes is 200"), "{reason}");
}

#[test]
fn a_mask_follows_only_through_functions_that_move_nothing() {
    let fields = vec![Field::new("x", Image::default()), Field::new("mask", Mask::of("x"))];
    let source: Arc<dyn Source> = Arc::new(Payloads { records: vec![], fields });
    let of = |call: &str| Pipeline::new(Arc::clone(&source), &recipe(&format!("[{call}, {RESIZE}]")));
    let known = r#", "dtype": "uint8", "shape": [null, null, 3]"#;
    let message = of(&CALLS[0].replace('}', &format!("{known}}}"))).unwrap_err().to_string();
    assert!(message.contains("field `mask` cannot follow `x` through `same`"), "{message}");
    assert!(message.contains("Map") && message.contains("moves_pixels=False"), "{message}");
    of(&CALLS[0].replace('}', &format!(r#"{known}, "moves_pixels": false}}"#))).unwrap();
}
