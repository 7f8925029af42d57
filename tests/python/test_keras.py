"""Native loaders in `fit`, `evaluate` and `predict` of Keras 3."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from support import as_processes

pytestmark = [
    pytest.mark.thorough,
    # To import it here would take the backend that this environment may not have.
    pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="keras is not installed"),
]

PROGRAM = """
import json, os, sys
import keras, numpy as np
import stokehold as sh

how = sys.argv[1]
SAMPLES, EPOCHS = 26, 2

def made(**options):
    x = np.random.default_rng(0).random((SAMPLES, 3), np.float32)
    source = sh.Arrays({"x": x, "y": x.sum(1, keepdims=True)})
    given = {"batch_size": 4, "shuffle": True, "num_workers": 1, "batch_type": "tuple"}
    return sh.Loader(source, **given | options)

def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model

def given(loader):
    if how == "adopted":
        from stokehold.torch import adopt

        return {"x": adopt(loader)}
    return {"x": (tuple(batch) for batch in loader.epochs()), "steps_per_epoch": len(loader)}

class Steps(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        steps.append(self.params["steps"])

if __name__ == "__main__":
    output = "torch" if how == "adopted" else "numpy"
    steps, fitted, trained = [], model(), model()
    loader = made(output=output)
    fitted.fit(**given(loader), epochs=EPOCHS, verbose=0, callbacks=[Steps()])
    again = made()
    if how == "adopted":
        # Keras has taken a batch of the first epoch to learn what the model is given.
        again.set_epoch(1)
    for batch in again.epochs(EPOCHS):
        trained.train_on_batch(*batch)
    same = [bool(np.allclose(*pair, rtol=1e-6, atol=1e-6)) for pair in zip(fitted.get_weights(), trained.get_weights())]
    in_order = given(made(output=output, shuffle=False))
    predicted = fitted.predict(in_order.pop("x"), steps=in_order.pop("steps_per_epoch", None), verbose=0)
    expected = [fitted.predict_on_batch(batch.x) for batch in made(shuffle=False)]
    told = [keras.backend.backend(), steps, same, bool(np.allclose(predicted, np.concatenate(expected), atol=1e-6))]
    print(json.dumps(told))
"""


@pytest.mark.parametrize("how", ["adopted", "as a generator"])
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_fit_takes_each_batch_once(backend: str, how: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    if how == "adopted":
        pytest.importorskip("torch")
    said = as_processes(PROGRAM, tmp_path, [{"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}], how)
    # What the two ways compute differs by the order of sums alone: tolerances are some roundings of float32.
    assert json.loads(said[0].splitlines()[-1]) == [backend, [7, 7], [True, True], True]
