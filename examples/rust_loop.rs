//! A training loop in Rust: a linear classifier learns from a folder of images, or from numbers made up here.
//!
//! `cargo run --release --example rust_loop -- [folder of class folders of images]`

use std::time::Instant;

use ndarray::{Array2, ArrayView1, ArrayView4, Axis};
use stokehold::{Batch, Input, Loader, SharedSource, Table, Transform, transform::ops::RandomCrop};

const SIDE: u32 = 32;
const EPOCHS: u32 = 3;

#[expect(clippy::print_stdout, reason = "a program for people")]
fn main() -> stokehold::Result<()> {
    // The loader starts this program again as its coordinator, so this comes before everything else.
    stokehold::init();
    let loader = match std::env::args().nth(1) {
        Some(folder) => Loader::builder(Input::image_folder(folder)).transforms(
            "image",
            [
                Transform::resize([SIDE, SIDE]),
                RandomCrop::new(SIDE).padding(2).into(),
                Transform::random_horizontal_flip(),
                Transform::normalize(0.5, 0.5),
            ],
        ),
        None => Loader::builder(made_up()?),
    }
    .batch_size(32)
    .shuffle(true)
    .num_workers(2)
    .build()?;

    let inputs: usize = loader.spec()[0].shape.iter().product();
    let classes = loader.classes().len().max(2);
    let mut weights = Array2::<f32>::zeros((inputs, classes));
    for epoch in 0..EPOCHS {
        let (begun, mut loss, mut right) = (Instant::now(), 0.0, 0);
        for batch in &loader {
            let batch = batch?;
            let (batch_loss, batch_right) = step(&mut weights, &features(&batch)?, batch.view("label")?);
            loss += batch_loss;
            right += batch_right;
        }
        let samples = loader.samples() as f32;
        let rate = samples / begun.elapsed().as_secs_f32();
        println!(
            "epoch {epoch}: loss {:.3}, accuracy {:.3}, {rate:.0} samples/s",
            loss / samples,
            right as f32 / samples
        );
    }
    let stats = loader.stats(&mut || Ok(()))?;
    println!("waited {:.3} s for {} batches", stats.wait.as_secs_f64(), stats.batches);
    Ok(())
}

/// The first field as one row per sample.
fn features(batch: &Batch) -> stokehold::Result<Array2<f32>> {
    if batch.fields()[0].shape.len() == 1 {
        return Ok(batch.view::<f32, _>("image")?.to_owned());
    }
    let images: ArrayView4<'_, f32> = batch.view("image")?;
    let pixels = images.len() / batch.rows();
    Ok(images.to_shape((batch.rows(), pixels)).expect("a batch lies in one piece").to_owned())
}

/// One step of softmax regression; returns the loss and the number of right answers.
fn step(weights: &mut Array2<f32>, x: &Array2<f32>, labels: ArrayView1<'_, i64>) -> (f32, usize) {
    let mut scores: Array2<f32> = x.dot(weights);
    let (mut loss, mut right) = (0.0, 0);
    for (mut row, &label) in scores.axis_iter_mut(Axis(0)).zip(labels) {
        let label = label as usize;
        let top = row.fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        right += usize::from(row[label] >= top);
        row.mapv_inplace(|score| (score - top).exp());
        let sum = row.sum();
        row /= sum;
        loss -= row[label].max(1e-9).ln();
        row[label] -= 1.0;
    }
    let gradient: Array2<f32> = x.t().dot(&scores) / x.nrows() as f32;
    weights.scaled_add(-0.05, &gradient);
    (loss, right)
}

/// Two clouds of points, as arrays in memory.
fn made_up() -> stokehold::Result<SharedSource> {
    let labels: Vec<i64> = (0..2000).map(|row| row % 2).collect();
    let points = Array2::from_shape_fn((labels.len(), 8), |(row, axis)| {
        ((row * 31 + axis * 17) % 97) as f32 / 97.0 - 0.5 + labels[row] as f32 * 0.4
    });
    Table::new().column("image", &points).column("label", labels).build()
}
