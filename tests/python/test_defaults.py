"""Defaults are the same in Rust, whose tests compare its own with this file."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import stokehold as sh
from stokehold.recipe import chains

FILE = Path(__file__).resolve().parents[1] / "data" / "transform_defaults.json"
GIVEN: dict[str, dict[str, Any]] = {
    "CenterCrop": {"size": 8},
    "Compose": {"transforms": [sh.RandomHorizontalFlip()]},
    "ConvertBoundingBoxFormat": {"format": "XYWH"},
    "FiveCrop": {"size": 8},
    "FrequencyMasking": {"freq_mask_param": 8},
    "GaussianBlur": {"kernel_size": 3},
    "Mosaic": {"size": 8},
    "Normalize": {"mean": [0.5], "std": [0.25]},
    "Pad": {"padding": 2},
    "RandomAdjustSharpness": {"sharpness_factor": 2},
    "RandomAffine": {"degrees": 10},
    "RandomApply": {"transforms": [sh.RandomHorizontalFlip()]},
    "RandomChoice": {"transforms": [sh.RandomHorizontalFlip()]},
    "RandomCrop": {"size": 8},
    "RandomOrder": {"transforms": [sh.RandomHorizontalFlip()]},
    "RandomPosterize": {"bits": 4},
    "RandomResizedCrop": {"size": 8},
    "RandomRotation": {"degrees": 10},
    "RandomShortestSize": {"min_size": [8, 9]},
    "RandomSolarize": {"threshold": 128},
    "Resize": {"size": 8},
    "ScaleJitter": {"target_size": [8, 9]},
    "TenCrop": {"size": 8},
    "TimeMasking": {"time_mask_param": 8},
    "ToDtype": {"dtype": "float32"},
    "ToLayout": {"layout": "CHW"},
}


def test_defaults_of_transforms() -> None:
    kinds = [getattr(sh, name) for name in sh.__all__ if inspect.isclass(getattr(sh, name))]
    kinds = [
        kind for kind in kinds if issubclass(kind, sh.Transform) and kind not in {sh.Transform, sh.Call, sh.Tokenize}
    ]
    made = [kind(**GIVEN.get(kind.__name__, {})) for kind in kinds]
    described = {each["op"]: each for each in chains({"x": made}, [])["x"]}
    assert described == json.loads(FILE.read_text())
