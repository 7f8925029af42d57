"""A wrong value of any argument of anything public: the error names what it is of, the argument, and what came."""

from __future__ import annotations

import enum
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stokehold as sh
from stokehold import _native, hints

ANY: Any = sh


def wrong() -> list[Any]:
    """What is right for few arguments or for none; every argument of everything that is public gets all of it."""
    return [
        *(None, -1, 0, 1.0, float("nan"), float("inf"), 2**70, True, 1j, "x", b"x", "\x1b[31m", "\u00e9" * 300),
        *([], {}, {1: 2}, {"x": object()}, {1, 2}, (1, "x"), [None], [[1], [1, 2]], (each for each in (1, 2))),
        *(object(), int, Path("x"), np.int64(-1), np.float32(0.5), np.bool_(1), np.array(2), np.array([1, 2, 3])),
    ]


FOREIGN = re.compile(
    r"serde|\bJSON\b|\bexpected\b|line \d+ column|invalid (type|value|length)|unknown variant|panicked|missing field"
    r"|_native|\b([ui](8|16|32|64)|usize|f32|f64|Vec<|Option<|&str)\b|__init__|ambiguous|inhomogeneous"
)
"""Words of the parts inside, which nobody outside can know."""

NEEDED: dict[str, Any] = {
    "batch": 0,
    "arrays": {"x": np.arange(6)},
    "bits": 4,
    "columns": {"x": np.arange(6)},
    "data": b"x",
    "degrees": 10,
    "difficulty": [1.0] * 6,
    "dtype": "float32",
    "epoch": 1,
    "epochs": 2,
    "field": "x",
    "format": "XYWH",
    "freq_mask_param": 8,
    "function": np.negative,
    "image": "image",
    "index": 1,
    "indices": [0],
    "kernel_size": 3,
    "layout": "CHW",
    "mean": [0.5],
    "min_size": 8,
    "name": "x",
    "of": "image",
    "padding": 1,
    "shape": (3,),
    "size": 8,
    "sizes": [1.0],
    "weights": [1.0] * 6,
    "source": sh.Arrays({"x": np.arange(6)}),
    "sources": [sh.Arrays({"x": np.arange(6)})],
    "state_dict": sh.Loader(sh.Arrays({"x": np.arange(6)}), num_workers=0).state_dict(),
    "std": [0.5],
    "suffixes": "png",
    "sharpness_factor": 2,
    "target_size": (8, 8),
    "threshold": 128,
    "time_mask_param": 8,
    "tokenizer": Path(__file__).parents[1] / "data" / "tokenizer.json",
    "transform": np.negative,
    "transforms": [sh.RandomHorizontalFlip()],
    "which": [True] * 6,
}
"""What arguments without a default may be, by their names."""

OF: dict[str, dict[str, Any]] = {
    "Audio": {"rows": ["x"], "sample_rate": 8000},
    "Waveform": {"sample_rate": 8000},
    "BoundingBoxes": {"rows": [[[1, 2, 3, 4]]]},
    "Images": {"rows": ["x"]},
    "Buckets": {"boundaries": [4, 8], "batch_sizes": 2, "lengths": [1, 2], "fields": "x"},
    "KeyPoints": {"rows": [[[1, 2]]]},
    "Lists": {"rows": [[1], [1, 2]]},
    "Loader": {"num_workers": 0},
    "Masks": {"rows": ["x"]},
    "Npy": {"arrays": {"x": "/no/such/file"}},
    "MultiScale": {"transforms": [{}]},
    "Packing": {"seq_len": 8, "lengths": [1, 2], "fields": "x"},
    "TokenBin": {"seq_len": 8},
    "TokenBudget": {"max_tokens": 8, "lengths": [1, 2], "fields": "x"},
    "Windows": {"arrays": {"x": np.arange(6)}, "length": 2},
    "with_columns": {"columns": {"y": np.arange(6)}},
}
"""The same, where the name is not enough."""

FILES = ("root", "annotations", "path", "paths", "folder", "shards", "dataset")
"""Arguments that are files: there are none of these names, so that nothing of them is looked at."""

NOT_CALLED = {"BatchTransform", "FieldSpec", "Source", "Transform", "WorkerInfo", "freeze_support", "get_worker_info"}
"""What users do not call, or what holds anything and has no wrong values."""


def public() -> dict[str, Callable[..., Any]]:
    """Everything that is public and called, by name: classes, functions, and methods of sources and loaders."""
    modules = (sh, sh.transforms, sh.mix)
    found = {name: getattr(module, name) for module in modules for name in module.__all__}
    loader = sh.Loader(NEEDED["source"], num_workers=0)
    methods = [getattr(NEEDED["source"], name) for name in ("select", "filter", "split", "with_columns", "values")]
    methods += [loader.set_epoch, loader.epochs, loader.load_state_dict, loader.audit, loader.replay, loader.sample]
    return {
        name: each
        for name, each in sorted((found | {method.__name__: method for method in methods}).items())
        if (inspect.isroutine(each) or (inspect.isclass(each) and not issubclass(each, BaseException)))
        and name not in NOT_CALLED
    }


PUBLIC = public()

with suppress(OSError, ImportError):
    # pyarrow has a thread from its first use on.
    sh.Arrow("/no/such/file")


def arguments(name: str) -> tuple[dict[str, Any], list[str]]:
    """Returns arguments that work, and the names of all that there are."""
    parameters = inspect.signature(PUBLIC[name]).parameters.values()
    named = [each for each in parameters if each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}]
    needed = [each.name for each in named if each.default is each.empty]
    files = {each: "/no/such/file" for each in needed if each in FILES}
    known = NEEDED | files | OF.get(name, {})
    assert set(needed) <= set(known), f"NEEDED or OF is to say what these of {name} may be: {set(needed) - set(known)}"
    return {each: known[each] for each in needed} | OF.get(name, {}), [each.name for each in named]


def fault_of(text: str, owner: str, argument: str) -> str | None:
    """Says what is wrong with the text of an error."""
    # The first row of rows is row 0.
    if owner not in text or argument.removesuffix("s") not in text:
        return "names not both"
    if found := FOREIGN.search(text):
        return f"has {found[0]!r}"
    return None if text.isprintable() and len(text) <= 1000 else "is too long, or does not print"


def faults(name: str) -> Iterator[str]:
    """Yields what is wrong with the errors of wrong values, and what is raised that is no error of a value."""
    needed, every = arguments(name)
    for argument in every:
        for value in wrong():
            if argument == "source" and isinstance(value, list | tuple) and value:
                # What its samples are is no value of the argument.
                continue
            what = f"{name}({argument}={str(value)[:30]!a})"
            try:
                made = PUBLIC[name](**needed | {argument: value})
            except (TypeError, ValueError) as error:
                if fault := fault_of(str(error), name, argument):
                    yield f"{what}: {fault}: {str(error)[:200]!a}"
            except (OSError, MemoryError, sh.DecodeError):
                # Of files that are not there, limits that are too low, and bytes that are no image.
                continue
            except BaseException as error:  # noqa: BLE001 (a panic is none of Exception)
                yield f"{what}: {type(error).__name__}: {error}"
            else:
                getattr(made, "close", lambda: None)()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_wrong_value_is_named_with_its_argument(name: str) -> None:
    assert list(faults(name)) == []


class InterpolationMode(enum.Enum):
    """As torchvision's."""

    NEAREST_EXACT = "nearest-exact"
    BICUBIC = "bicubic"
    BOX = "box"


class Resampling(enum.IntEnum):
    """As Pillow's."""

    LANCZOS = 1
    HAMMING = 5


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (lambda: ANY.Resize(8, InterpolationMode.BICUBIC), sh.Resize(8, "bicubic")),
        (lambda: ANY.Resize(np.int64(8), Resampling.LANCZOS, antialias=True), sh.Resize(8, "lanczos")),
        (lambda: ANY.Resize(np.array([8, 9]), InterpolationMode.NEAREST_EXACT), sh.Resize((8, 9), "nearest-exact")),
        (lambda: ANY.Resize(np.array(8), "nearest", None, False), sh.Resize(8, "nearest")),
        (lambda: ANY.Resize(each for each in (8, 9)), sh.Resize((8, 9))),
        (
            lambda: ANY.RandomResizedCrop(8, [0.5, 1], (1, 1), "bilinear", True),
            sh.RandomResizedCrop(8, (0.5, 1), (1, 1)),
        ),
        (lambda: ANY.ToDtype(np.float32, True), sh.ToDtype("float32", scale=True)),
        (lambda: ANY.ToDtype(np.dtype("f2"), np.bool_(1)), sh.ToDtype("float16", scale=True)),
        (lambda: ANY.Normalize(np.array([0.5, 0.25]), [np.float64(1), 2], False), sh.Normalize([0.5, 0.25], [1.0, 2])),
        (
            lambda: ANY.RandomErasing(Fraction(1, 2), (0.25, 0.5), (1, 2), "random", True),
            sh.RandomErasing(0.5, (0.25, 0.5), (1, 2), "random"),
        ),
        (lambda: ANY.DecodeImage(dtype=np.uint16), sh.DecodeImage(dtype="uint16")),
        (lambda: ANY.RandomCrop(8, np.array([1, 2])), sh.RandomCrop(8, (1, 2))),
    ],
)
def test_numbers_words_and_dtypes_of_any_library_are_taken(given: Callable[[], Any], plain: Any) -> None:
    made = given()
    assert (made.spec(), repr(made)[:9], made) == (plain.spec(), repr(plain)[:9], made)
    # It does not depend on what was given any more.
    assert made.spec() == plain.spec()


def test_dtypes_and_numbers_of_torch_are_taken(torch: Any) -> None:
    assert ANY.ToDtype(torch.bfloat16) == sh.ToDtype("bfloat16")
    assert ANY.ToDtype(torch.float32, scale=torch.tensor(True)).spec() == sh.ToDtype("float32", scale=True).spec()
    assert ANY.RandomHorizontalFlip(torch.tensor(0.5)) == sh.RandomHorizontalFlip(0.5)
    assert ANY.CenterCrop(torch.tensor([8, 9])).spec() == sh.CenterCrop((8, 9)).spec()
    assert ANY.Lists([[1], []], torch.float32).dtype == np.float32
    assert ANY.Masks([np.zeros((2, 2), np.uint8)], dtype=torch.int32).dtype == np.int32
    with ANY.Loader(NEEDED["source"], batch_size=torch.tensor(3), shuffle=torch.tensor(True), num_workers=0) as loader:
        assert len(loader) == 2


def test_transforms_of_torchvision_say_the_same_here() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    from torchvision.transforms import InterpolationMode as Mode  # noqa: PLC0415 (it is not everywhere)

    assert ANY.Resize(8, Mode.BICUBIC) == sh.Resize(8, "bicubic")
    for name in sh.transforms.__all__:
        if not hasattr(v2, name) or not isinstance(getattr(sh.transforms, name), type):
            continue
        theirs = list(inspect.signature(getattr(v2, name)).parameters)
        ours = list(inspect.signature(getattr(sh.transforms, name)).parameters)
        # By position an argument must not become another one; theirs may have more, and ours others behind them.
        renamed = {"labels_getter": "labels"}
        both = [renamed.get(each, each) for each in theirs if renamed.get(each, each) in ours]
        assert ours[: len(both)] == both, name


SOURCE = NEEDED["source"]
RESIZE = sh.Resize(8)

TEXTS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a word": (
        lambda: ANY.Resize(8, "cubic"),
        ValueError,
        (
            "Resize: interpolation must be one of 'nearest', 'nearest-exact', 'bilinear', 'bicubic', "
            "'lanczos', not 'cubic'"
        ),
    ),
    "a filter by its number": (
        lambda: ANY.Resize(8, 3),
        TypeError,
        (
            "Resize: interpolation must be one of 'nearest', 'nearest-exact', 'bilinear', 'bicubic', "
            "'lanczos', not 3, which is 'bicubic' for Pillow, and another one for OpenCV"
        ),
    ),
    "no antialias": (
        lambda: ANY.Resize(8, antialias=False),
        ValueError,
        (
            "Resize: antialias must be True: what is made smaller is always antialiased, but for "
            "interpolation='nearest'; not False"
        ),
    ),
    "a float for an integer": (
        lambda: ANY.CenterCrop(8.0),
        TypeError,
        "CenterCrop: size must be an integer, 1 to 65535, or a sequence of integers, not 8.0",
    ),
    "a set": (
        lambda: ANY.CenterCrop({8}),
        TypeError,
        ("CenterCrop: size must be an integer, 1 to 65535, or a sequence of integers, not {8}, which has no order"),
    ),
    "a text for several": (
        lambda: ANY.SanitizeBoundingBoxes(labels="area"),
        TypeError,
        "SanitizeBoundingBoxes: labels must be a sequence of str, not 'area': write ['area']",
    ),
    "not a number": (
        lambda: ANY.Normalize([0.5, float("nan")], [1, 1]),
        ValueError,
        "Normalize: mean[1] must be a finite number, not nan",
    ),
    "three for two": (
        lambda: ANY.RandomAffine(3, center=(1, 2, 3)),
        ValueError,
        "RandomAffine: center must be 2 numbers, or None, not (1, 2, 3)",
    ),
    "a seed": (lambda: ANY.Loader(SOURCE, seed=-1), ValueError, "Loader: seed must be 0 to 2**64 - 1, not -1"),
    "true for a number": (
        lambda: ANY.Loader(SOURCE, batch_size=True),
        TypeError,
        "Loader: batch_size must be an integer, 1 or more, or None for single samples, not True",
    ),
    "a batch size by position": (
        lambda: ANY.Loader(SOURCE, 32),
        TypeError,
        (
            "Loader: only source is a positional argument, and 32 came after it: write the others as "
            "keywords, such as batch_size=32"
        ),
    ),
    "a misspelt argument": (
        lambda: ANY.Loader(SOURCE, batchsize=3),
        TypeError,
        "Loader: there is no argument batchsize: is batch_size meant?",
    ),
    "no source": (lambda: ANY.Loader(batch_size=3), TypeError, "Loader: source is missing"),
    "a path for a source": (
        lambda: ANY.Loader("train"),
        TypeError,
        (
            "Loader: source must be an ImageFolder, Arrays, a Table, CocoDetection, or a dataset with "
            "__getitem__ and __len__, or with __iter__, not str: a path says not what lies there; "
            "ImageFolder('train'), for one, does"
        ),
    ),
    "a class for a source": (
        lambda: ANY.Loader(sh.Arrays),
        TypeError,
        (
            "Loader: source must be an ImageFolder, Arrays, a Table, CocoDetection, or a dataset with "
            "__getitem__ and __len__, or with __iter__, not the class Arrays: make one, Arrays(...)"
        ),
    ),
    "a class for a transform": (
        lambda: ANY.Loader(SOURCE, transforms={"x": [sh.Normalize]}),
        TypeError,
        (
            "Loader: transforms['x'][0] must be a transform or a function, not the class Normalize: make one,"
            " Normalize(...)"
        ),
    ),
    "one transform for a list": (
        lambda: ANY.Loader(SOURCE, transforms={"x": RESIZE}),
        TypeError,
        (
            "Loader: transforms['x'] must be a list of transforms and functions, not Resize(size=8, "
            "interpolation='bilinear', max_size=None): write it in a list"
        ),
    ),
    "a number for a field": (
        lambda: ANY.Loader(SOURCE, transforms={3: []}),
        TypeError,
        "Loader: transforms: the name of a field must be a str, not 3",
    ),
    "two mappings": (
        lambda: ANY.Loader(SOURCE, transforms=[{"x": []}, {"x": []}]),
        ValueError,
        (
            "Loader: transforms has two mappings at 0 and 1, with no Map between them: write one, with the "
            "transforms of each field in one list"
        ),
    ),
    "a transform of samples for batches": (
        lambda: ANY.Loader(SOURCE, batch_transforms=[RESIZE]),
        TypeError,
        (
            "Loader: batch_transforms[0] must be a transform of batches or a function, not Resize, which is "
            "for samples: transforms={'image': [...]} takes it"
        ),
    ),
    "a path for images": (
        lambda: ANY.Images("abc"),
        TypeError,
        (
            "Images: rows must be a sequence of paths, arrays or encoded bytes, one for each sample, not one "
            "of them: write Images(['abc'])"
        ),
    ),
    "a missing path": (
        lambda: ANY.Images(["abc", float("nan")]),
        TypeError,
        ("Images: row 0 is a path and row 1 in memory: all rows are paths, or none is; read the files into bytes"),
    ),
    "a path for a jpeg": (
        lambda: ANY.decode_jpeg(Path("a.jpg")),
        TypeError,
        ("decode_jpeg: data must be the bytes of a file, not its path: read the contents, Path('a.jpg').read_bytes()"),
    ),
    "arrays without names": (
        lambda: ANY.Arrays([np.zeros(3)]),
        TypeError,
        (
            "Arrays: arrays must be a mapping of names of fields to what they hold, a dict: write {'x': ...} "
            "for a field of the name x, not [array([0., 0., 0.])]"
        ),
    ),
    "arrays as keywords": (
        lambda: ANY.Arrays(images=[[1]]),
        TypeError,
        ("Arrays: there is no argument images: names of fields go into one mapping, Arrays({'images': ...})"),
    ),
    "paths in a table": (
        lambda: ANY.Table({"image": [Path("a.jpg")]}),
        TypeError,
        (
            "Table: columns: column `image` holds paths: Images([...]) makes images of the files, "
            "Masks([...]) masks, and list(map(str, ...)) texts"
        ),
    ),
    "a class for a column": (
        lambda: ANY.Table({"image": sh.Images}),
        TypeError,
        "Table: columns: column `image` is the class Images: make one, Images(...)",
    ),
    "a missing text": (
        lambda: ANY.Table({"x": ["a", None]}),
        ValueError,
        "Table: columns: column `x` has no value in row 1, None: fill it, or leave it out",
    ),
    "texts in arrays": (
        lambda: ANY.Arrays({"x": ["a", "b"]}),
        ValueError,
        (
            "Arrays: arrays: array `x` has dtype <U1; a batch holds numbers and booleans only, of up to 8 "
            "bytes; a Table takes a list of str, Images([...]) paths of images"
        ),
    ),
    "a mapping in a chain of manifests": (
        lambda: ANY.Csv("x.csv", {"image": sh.PathColumn}),
        TypeError,
        (
            "Csv: columns['image'] must be a PathColumn, LabelColumn or such, or None, not a class; call it: "
            "PathColumn()"
        ),
    ),
    "a state": (
        lambda: ANY.Loader(SOURCE, num_workers=0).load_state_dict([]),
        TypeError,
        "Loader.load_state_dict: state_dict must be what state_dict() returned, not []",
    ),
    "a field that is not there": (
        lambda: ANY.Loader(SOURCE, num_workers=0, transforms={"imgae": [RESIZE]}),
        ValueError,
        "transforms: there is no field `imgae` to transform; the source has `x`",
    ),
}


@pytest.mark.parametrize("case", TEXTS)
def test_what_an_error_says(case: str) -> None:
    call, kind, text = TEXTS[case]
    with pytest.raises(kind) as caught:
        call()
    assert (type(caught.value), str(caught.value)) == (kind, text)


@pytest.mark.parametrize("name", hints.LOADER)
def test_arguments_of_other_loaders_lead_to_ours(name: str) -> None:
    with pytest.raises(TypeError, match=f"Loader: there is no argument {name}: .+") as caught:
        ANY.Loader(SOURCE, **{name: 3})
    ours = set(inspect.signature(sh.Loader).parameters)
    # What it says to write is there.
    assert set(re.findall(r"(\w+)=", str(caught.value))) <= ours | {"image"}
    assert name not in ours


def test_every_argument_of_torchs_loader_is_known() -> None:
    data = pytest.importorskip("torch.utils.data")
    theirs = set(inspect.signature(data.DataLoader).parameters)
    assert theirs <= set(inspect.signature(sh.Loader).parameters) | set(hints.LOADER)


def test_transforms_of_torchvision_are_told_from_ours() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    mix = v2.MixUp(num_classes=3)
    with pytest.raises(
        TypeError, match=r"batch_transforms\[0\] must be .*, not torchvision's MixUp: take stokehold\.MixUp"
    ):
        ANY.Loader(SOURCE, batch_transforms=[mix])
    with pytest.raises(
        TypeError, match=r"RandomChoice: transforms must be .*torchvision's MixUp: take stokehold\.MixUp"
    ):
        ANY.RandomChoice([mix])


@pytest.mark.parametrize(("output", "name"), [("torch", "PyTorch"), ("jax", "JAX")])
def test_arrays_of_a_library_that_is_not_there_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, output: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, output, None)
    with pytest.raises(
        ImportError, match=f"Loader: output='{output}' needs {name}, which is not installed: pip install"
    ):
        ANY.Loader(SOURCE, num_workers=0, output=output)


@pytest.fixture(scope="module")
def pandas() -> Any:
    """pandas, its threads started."""
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"text": ["a"]})
    return pandas


@pytest.fixture(scope="module")
def polars() -> Any:
    """polars, its threads started."""
    polars = pytest.importorskip("polars")
    polars.DataFrame({"text": ["a"], "number": [1]})["text"].to_list()
    return polars


def test_columns_of_texts_are_taken_from_numpy_and_pandas(pandas: Any) -> None:
    frame = pandas.DataFrame({"text": ["a", "bc"], "number": [1.5, 2]})
    kinds = [np.array(["a", "bc"]), np.array(["a", "bc"], object), frame["text"], frame["text"].astype("category")]
    for column in kinds:
        assert sh.Table({"x": column}).values("x") == ["a", "bc"]
        assert len(sh.Images(column)) == 2
    table = ANY.Table(frame)
    assert (table.values("text"), table.values("number").tolist()) == (["a", "bc"], [1.5, 2])
    with pytest.raises(
        TypeError, match=r"for a DataFrame of pandas, .*Table\(\{name: df\[name\] for name in df\.columns\}"
    ):
        sh.Loader(frame)
    with pytest.raises(TypeError, match=r"Images: rows must be .*, not a table: for a DataFrame of pandas"):
        ANY.Images(frame)


def test_columns_of_texts_are_taken_from_polars(polars: Any) -> None:
    frame = polars.DataFrame({"text": ["a", "bc"], "number": [1.5, 2]})
    assert sh.Table({"x": frame["text"]}).values("x") == ["a", "bc"]
    assert len(sh.Images(frame["text"])) == 2
    assert ANY.Table(frame).values("number").tolist() == [1.5, 2]
    with pytest.raises(TypeError, match="for a DataFrame of polars"):
        sh.Loader(frame)


def test_paths_may_be_of_any_kind() -> None:
    for rows in (["a", "b"], ("a", "b"), [Path("a"), Path("b")], np.array(["a", "b"]), iter(["a", "b"])):
        assert len(ANY.Images(rows)) == 2


def test_lists_of_several_lengths_lead_to_lists() -> None:
    for make in (ANY.Table, ANY.Arrays):
        with pytest.raises(
            ValueError, match=r"column `x` has rows of several lengths: a Table takes Lists\(\[\.\.\.\]\)"
        ):
            make({"x": [[1], [1, 2]]})


def test_an_argument_that_only_the_core_refuses_is_named() -> None:
    with pytest.raises(ValueError, match=r"^RandomErasing: scale cannot be \[1\]: help\(RandomErasing\) says what"):
        _native.check_transform('{"op": "RandomErasing", "p": 0.5, "scale": [1]}')
    with pytest.raises(ValueError, match=r"^MixUp: num_classes cannot be -1: help\(MixUp\) says what it takes"):
        _native.check_batch_transform('{"op": "MixUp", "num_classes": -1}')


def test_arrays_that_are_too_large_for_a_limit_get_advice_that_helps() -> None:
    code = (
        "import resource, numpy, stokehold\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))\n"
        "try: stokehold.Arrays({'x': numpy.zeros(30_000_000, numpy.uint8)})\n"
        "except MemoryError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "28.6 MiB" in said
    assert "or leave the arrays in files, which Npy and Safetensors read where they lie" in said
    assert "batch_size" not in said


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"batch_size": 2}, "lower batch_size or prefetch, or raise memory_limit"),
        ({"batch_size": 1}, "lower prefetch, or raise memory_limit"),
        ({"batch_size": 2, "memory_limit": 9999}, "raise memory_limit: three single samples do not fit"),
    ],
)
def test_a_limit_that_is_too_low_gets_advice_that_helps(options: dict[str, Any], advice: str) -> None:
    arrays = sh.Arrays({"x": np.zeros((4, 8000), np.uint8)})
    with pytest.raises(MemoryError, match=f"; {advice}$"):
        sh.Loader(arrays, num_workers=0, **{"memory_limit": 40_000} | options)


def picture(path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(path)
    return path


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("first", ["image", "mask"])
def test_the_error_of_a_file_names_that_file(tmp_path: Path, workers: int, first: str) -> None:
    """Whichever of a sample's files it goes by."""
    good, bad = picture(tmp_path / "image.png"), tmp_path / "mask.png"
    bad.write_bytes(b"no image")
    columns: dict[str, Any] = {"image": sh.Images([good]), "mask": sh.Masks([bad])}
    if first == "mask":
        columns = dict(reversed(columns.items()))
    with (
        sh.Loader(sh.Table(columns), transforms={"image": [sh.CenterCrop(8)]}, num_workers=workers) as loader,
        pytest.raises(sh.DecodeError) as caught,
    ):
        next(iter(loader))
    error: Any = caught.value
    assert str(bad) in str(error)
    assert ("mask `" in error.reason) == (first == "image")
    Image.new("L", (8, 8)).save(bad)
    good.write_bytes(b"no image")
    with (
        sh.Loader(sh.Table(columns), transforms={"image": [sh.CenterCrop(8)]}, num_workers=workers) as loader,
        pytest.raises(sh.DecodeError, match=re.escape(str(good))),
    ):
        next(iter(loader))


def test_texts_that_are_to_be_transformed_lead_to_images() -> None:
    for texts in (["a.jpg"], [b"a"]):
        with pytest.raises(
            ValueError, match=r"field `image`: transform 0: Resize takes images .*column as Images\(\.\.\.\)"
        ):
            sh.Loader(sh.Table({"image": texts}), transforms={"image": [sh.Resize((8, 8))]}, num_workers=0)


NAME = "\x1b]0;title\x07\n\r\x9b31m\u202egpj"


@pytest.mark.parametrize("workers", [0, 1])
def test_names_of_any_bytes_print_in_errors(tmp_path: Path, workers: int) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "image.png").write_bytes(b"no image")
    table = sh.Table({NAME: sh.Images([folder / "image.png"])})
    with (
        sh.Loader(table, transforms={NAME: [sh.CenterCrop(8)]}, num_workers=workers) as loader,
        pytest.raises(sh.DecodeError) as caught,
    ):
        next(iter(loader))
    error: Any = caught.value
    assert str(error).isprintable()
    # What a program asks for is as it is.
    assert error.key == str(folder / "image.png")


def test_names_of_any_bytes_print_in_the_errors_of_sources(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.json"
    path.write_text('{"images": 3}')
    (tmp_path / "array.npy").write_bytes(b"none")
    calls: list[Callable[[], Any]] = [
        lambda: sh.CocoDetection(tmp_path, path),
        lambda: sh.Npy({"x": path}),
        lambda: sh.Safetensors(path),
        lambda: sh.JsonLines(path, {"x": sh.NumberColumn()}),
        lambda: sh.Csv(path, {NAME: sh.NumberColumn()}),
        lambda: sh.Table({NAME: [[1], [1, 2]]}),
        lambda: sh.Table({NAME: [1], "y": [1, 2]}),
        lambda: sh.Loader(sh.Arrays({NAME: [1]}), transforms={"y": []}, num_workers=0),
        lambda: sh.Loader(sh.Arrays({NAME: [1]}), transforms={NAME: [sh.Resize(8)]}, num_workers=0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"\\x1b|\\u202e|holds") as caught:
            call()
        assert str(caught.value).isprintable()
