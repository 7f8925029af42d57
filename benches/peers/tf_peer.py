"""tf.data with TensorFlow's image operations."""

import os
from collections.abc import Iterator
from typing import Any

import harness

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    antialias = job.variant == "aa"
    mean, std = tf.constant(harness.MEAN) * 255, tf.constant(harness.STD) * 255

    def load(path: Any, label: Any) -> Any:
        data = tf.io.read_file(path)
        if job.workload == "W1":
            begin, size, _ = tf.image.sample_distorted_bounding_box(
                tf.image.extract_jpeg_shape(data),
                tf.zeros([1, 0, 4]),
                area_range=harness.SCALE,
                aspect_ratio_range=harness.RATIO,
                max_attempts=10,
                use_image_if_no_bounding_boxes=True,
            )
            box = tf.stack([begin[0], begin[1], size[0], size[1]])
            image = tf.image.decode_and_crop_jpeg(data, box, channels=3)
            image = tf.image.resize(image, [224, 224], antialias=antialias)
            image = tf.image.random_flip_left_right(image)
        else:
            image = tf.image.decode_jpeg(data, channels=3)
            size = tf.cast(tf.shape(image)[:2], tf.float32)
            size = tf.cast(tf.round(size * 256 / tf.reduce_min(size)), tf.int32)
            image = tf.image.resize(image, size, antialias=antialias)
            corner = (size - 224) // 2
            image = image[corner[0] : corner[0] + 224, corner[1] : corner[1] + 224]
        image = tf.ensure_shape(image, [224, 224, 3])
        if job.dtype == "f32":
            return (image - mean) / std, label
        return tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8), label

    def batches() -> Iterator[Any]:
        options = tf.data.Options()
        options.threading.private_threadpool_size = job.workers
        files = tf.data.Dataset.from_tensor_slices((job.files, job.labels))
        dataset = (
            files.shuffle(len(job.files))
            .repeat()
            .map(load, num_parallel_calls=job.workers, deterministic=True)
            .batch(harness.BATCH, drop_remainder=True)
            .prefetch(2)
            .with_options(options)
        )
        return iter(dataset.as_numpy_iterator())

    harness.run(job, batches, lambda batch: len(batch[0]), ("tensorflow-cpu",))


if __name__ == "__main__":
    main()
