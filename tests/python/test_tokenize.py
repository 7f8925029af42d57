"""`Tokenize` gives what the tokenizers of Hugging Face give, and tells what it cannot take."""

from __future__ import annotations

import json
import os
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import functions
import stokehold as sh
import tokenizer_files
from support import Strikes
from tokenizer_files import KINDS, ODD, texts

tokenizers = pytest.importorskip("tokenizers")

WORKERS = pytest.mark.parametrize("workers", [0, 1, 2, 4])
EACH = pytest.mark.parametrize("kind", KINDS)
ANY: Any = sh
PAD = "<p>"
TEXTS = [*ODD, *texts()[:40]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return tokenizer_files.written(tmp_path_factory.mktemp("tokenizers"))


def source(rows: list[str]) -> sh.Table:
    return sh.Table({"text": rows})


def loader(rows: list[str], transforms: Any, **options: Any) -> sh.Loader:
    chains = transforms if isinstance(transforms, dict) else {"text": [transforms]}
    given: dict[str, Any] = {"batch_size": 7, "num_workers": 0, "transforms": chains}
    return sh.Loader(source(rows), **given | options)


def tokens(rows: list[str], transforms: Any, field: str = "text", **options: Any) -> list[list[int]]:
    """The rows of a field, in the order of the source."""
    with loader(rows, transforms, **options) as made:
        return [np.asarray(row).tolist() for batch in made for row in batch[field]]


def changed(path: Path, folder: Path, **parts: Any) -> Path:
    """Returns the file of a tokenizer with some of its parts replaced."""
    data = json.loads(path.read_text())
    for part, value in parts.items():
        data[part] = {**data[part], **value} if isinstance(value, dict) and isinstance(data[part], dict) else value
    made = folder / "changed.json"
    made.write_text(json.dumps(data))
    return made


@EACH
@WORKERS
def test_ids_are_those_of_the_tokenizers_package(files: Mapping[str, Path], kind: str, workers: int) -> None:
    theirs = tokenizers.Tokenizer.from_file(str(files[kind]))
    expected = [theirs.encode(text).ids for text in TEXTS]
    assert tokens(TEXTS, sh.Tokenize(files[kind]), capacity={"text": 60_000}, num_workers=workers) == expected


@EACH
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("special", [True, False])
def test_rows_are_those_of_transformers(files: Mapping[str, Path], kind: str, *, side: Any, special: bool) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(files[kind]), pad_token=PAD, truncation_side=side, padding_side=side
    )
    outputs: list[Any] = ["input_ids", "attention_mask", "token_type_ids", "special_tokens_mask"]
    for length in (2, 3, 16, 100):
        expected = theirs(
            TEXTS,
            max_length=length,
            truncation=True,
            padding="max_length",
            add_special_tokens=special,
            return_special_tokens_mask=True,
            return_token_type_ids=True,
        )
        ours = sh.Tokenize(
            files[kind],
            length,
            padding="max_length",
            truncation_side=side,
            padding_side=side,
            pad_token_id=theirs.pad_token_id,
            add_special_tokens=special,
        )
        with loader(TEXTS, ours.views("text", outputs)) as made:
            batches = list(made)
        for output in outputs:
            found = np.concatenate([batch[output] for batch in batches])
            assert found.dtype == np.int64
            assert found.shape == (len(TEXTS), length)
            np.testing.assert_array_equal(found, expected[output], err_msg=f"{output} {length}")


def test_any_text_is_tokenized_as_by_the_package(files: Mapping[str, Path]) -> None:
    theirs = {kind: tokenizers.Tokenizer.from_file(str(path)) for kind, path in files.items()}
    points = st.characters(exclude_categories=["Cs"])
    mixed = st.text(points | st.sampled_from("a \n\u0301\u200d\u0345\ufdfa\U0001f1e9"), max_size=60)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(mixed, min_size=1, max_size=30), st.sampled_from(sorted(files)), st.integers(2, 20))
    def check(rows: list[str], kind: str, length: int) -> None:
        assert tokens(rows, sh.Tokenize(files[kind]), capacity={"text": 5000}) == [
            theirs[kind].encode(row).ids for row in rows
        ]
        theirs[kind].enable_truncation(length)
        expected = [theirs[kind].encode(row).ids for row in rows]
        theirs[kind].no_truncation()
        assert tokens(rows, sh.Tokenize(files[kind], length)) == expected

    check()


def test_the_files_own_truncation_and_padding_do_not_count(files: Mapping[str, Path], tmp_path: Path) -> None:
    made = tokenizers.Tokenizer.from_file(str(files["word_piece"]))
    expected = [made.encode(text).ids for text in TEXTS[:8]]
    made.enable_truncation(4)
    made.enable_padding(length=6, pad_id=9)
    made.save(str(path := tmp_path / "own.json"))
    assert tokens(TEXTS[:8], sh.Tokenize(path)) == expected
    padded = tokens(["a"], sh.Tokenize(path, 5, padding="max_length"))
    assert padded == [[*expected[2], 9, 9]]


def test_a_row_is_ragged_or_padded(files: Mapping[str, Path]) -> None:
    file = files["word_piece"]
    with loader(["a b", "a"], sh.Tokenize(file)) as made:
        # As many as there are bytes, two that are added, and one.
        assert made.spec["text"] == ("int64", (None,), 6)
        (batch,) = made
        assert isinstance(batch["text"], sh.Ragged)
        assert batch["text"].lengths.tolist() == [4, 3]
    with loader(["a"], sh.Tokenize(file, 9, dtype="int32")) as made:
        assert made.spec["text"] == ("int32", (None,), 9)
        assert next(iter(made))["text"][0].dtype == np.int32
    with loader(["a"], sh.Tokenize(file), capacity={"text": 4}) as made:
        assert made.spec["text"] == ("int64", (None,), 4)
    with loader(["a"], sh.Tokenize(file, 9, padding="max_length", dtype=np.int32)) as made:
        assert made.spec["text"] == ("int32", (9,), None)
        assert next(iter(made))["text"].tolist() == [[1, *tokens(["a"], sh.Tokenize(file))[0][1:], *[3] * 6]]
    with pytest.raises(ValueError, match="has a fixed shape and takes no capacity"):
        loader(["a"], sh.Tokenize(file, 9, padding="max_length"), capacity={"text": 4})


def test_views_of_a_text_have_the_same_tokens(files: Mapping[str, Path]) -> None:
    views = sh.Tokenize(files["word_piece"], 8, padding="max_length", padding_side="left").views("text")
    assert list(views) == ["input_ids", "attention_mask"]
    other = {"cut": sh.View("text", [sh.Tokenize(files["byte_level"], 4)])}
    with loader(["a b", "a " * 20, ""], views | other) as made:
        (batch,) = made
    assert list(batch) == ["input_ids", "attention_mask", "cut"]
    assert batch["attention_mask"].tolist() == [[0] * 4 + [1] * 4, [1] * 8, [0] * 6 + [1] * 2]
    assert ((batch["input_ids"] != 3) == batch["attention_mask"]).all()
    assert [len(row) for row in batch["cut"]] == [4, 4, 2]
    with loader(["a b"], views | {"text": []}) as made:
        assert next(iter(made)).text("text") == ["a b"]


@pytest.fixture(scope="module")
def undisturbed(files: Mapping[str, Path]) -> list[list[int]]:
    return tokens(TEXTS, sh.Tokenize(files["byte_level"], 64), shuffle=True, seed=3, num_workers=2)


def test_rows_do_not_depend_on_workers_that_are_killed(files: Mapping[str, Path], undisturbed: list[list[int]]) -> None:
    with loader(TEXTS, sh.Tokenize(files["byte_level"], 64), shuffle=True, seed=3, num_workers=2) as made:
        strikes, found = Strikes(made), []
        for batch in made:
            strikes.delivered()
            found += [row.tolist() for row in batch["text"]]
            strikes.kill(1)
        assert strikes.killed
    assert found == undisturbed


def test_rows_are_the_same_after_a_resumption(files: Mapping[str, Path], undisturbed: list[list[int]]) -> None:
    options: dict[str, Any] = {"shuffle": True, "seed": 3}
    transform = sh.Tokenize(files["byte_level"], 64)
    with loader(TEXTS, transform, num_workers=1, **options) as made:
        batches = iter(made)
        found = [row.tolist() for _ in range(3) for row in next(batches)["text"]]
        state = made.state_dict()
    with loader(TEXTS, transform, num_workers=4, **options) as made:
        made.load_state_dict(state)
        found += [row.tolist() for batch in made for row in batch["text"]]
    assert found == undisturbed


@pytest.mark.parametrize("workers", [0, 2])
def test_functions_get_the_tokens(files: Mapping[str, Path], workers: int) -> None:
    rows = TEXTS[20:]
    plain = tokens(rows, sh.Tokenize(files["byte_level"], 16))
    ragged: Any = {"text": [sh.Tokenize(files["byte_level"], 16), functions.same]}
    assert tokens(rows, ragged, capacity={"text": 16}, num_workers=workers) == plain
    padded: Any = {"text": [sh.Tokenize(files["byte_level"], 16, padding="max_length"), np.negative]}
    found = tokens(rows, padded, num_workers=workers)
    assert found == [[*(-id for id in row), *[-2] * (16 - len(row))] for row in plain]  # noqa: A001


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_of_python_are_tokenized(files: Mapping[str, Path], workers: int) -> None:
    # The longest one was not among those that were tried.
    samples = [{"text": "a" * (1 + 500 * (at == 7)), "label": at} for at in range(20)]
    expected = [tokenizers.Tokenizer.from_file(str(files["split"])).encode(each["text"]).ids for each in samples]
    transforms = {"text": [sh.Tokenize(files["split"])]}
    with sh.Loader(samples, batch_size=5, num_workers=workers, transforms=transforms) as made:
        assert [row.tolist() for batch in made for row in batch["text"]] == expected


def test_a_map_gets_the_tokens(files: Mapping[str, Path]) -> None:
    steps: Any = [{"text": [sh.Tokenize(files["byte_level"])]}, sh.Map(functions.counted)]
    with sh.Loader(source(["a b", ""]), num_workers=0, batch_size=2, transforms=steps) as made:
        assert next(iter(made))["count"].tolist() == [len(row) for row in tokens(["a b", ""], steps[0])]


def test_it_is_pickled_and_compared_as_its_arguments(files: Mapping[str, Path]) -> None:
    made = sh.Tokenize(str(files["unigram"]), 8)
    assert pickle.loads(pickle.dumps(made)) == made == replace(made)  # noqa: S301 (its own)
    assert made != replace(made, max_length=9)
    assert repr(made).startswith("Tokenize(tokenizer='/")
    path = Path(sh.Tokenize(os.path.relpath(files["unigram"])).spec()["tokenizer"]["path"])
    assert path.is_absolute()
    assert path.samefile(files["unigram"])


def test_words_of_transformers_mean_the_same(files: Mapping[str, Path]) -> None:
    file = files["word_piece"]
    for truncation in ("longest_first", "only_first"):
        assert sh.Tokenize(file, 4, truncation).spec() == sh.Tokenize(file, 4).spec()
    assert sh.Tokenize(file, 4, "do_not_truncate").spec() == sh.Tokenize(file, 4, truncation=False).spec()
    assert sh.Tokenize(file, 4, padding="do_not_pad").spec() == sh.Tokenize(file, 4).spec()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "Tokenize: max_length must be 1 or more, or None, not 0"),
        ({"max_length": 1}, "adds 2 special tokens, and max_length is 1"),
        ({"padding": "max_length"}, "max_length"),
        ({"padding": True, "max_length": 8}, r"Tokenize: padding must be .* not True: .*padded\(\)"),
        ({"padding": "longest"}, "Tokenize: padding must be"),
        ({"truncation": "only_second"}, "Tokenize: truncation must be one of"),
        ({"output": "logits"}, "Tokenize: output must be one of 'input_ids'"),
        ({"dtype": "uint16"}, "Tokenize: dtype must be"),
        ({"pad_token_id": 2**31, "padding": "max_length", "max_length": 8, "dtype": "int32"}, "is no int32"),
    ],
)
def test_bad_arguments_are_refused(files: Mapping[str, Path], options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ANY.Tokenize(files["word_piece"], **options)
    assert str(caught.value).startswith("Tokenize: ")


def test_max_length_needs_no_room_for_special_tokens_that_are_not_added(files: Mapping[str, Path]) -> None:
    made = sh.Tokenize(files["word_piece"], 1, add_special_tokens=False)
    assert [len(row) for row in tokens(["a b", ""], made)] == [1, 0]


def test_a_file_without_a_token_for_padding_needs_one(files: Mapping[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"byte_fallback.json` names no token for padding: give pad_token_id"):
        sh.Tokenize(files["byte_fallback"], 8, padding="max_length")
    given = sh.Tokenize(files["byte_fallback"], 8, padding="max_length", pad_token_id=2)
    assert tokens([""], given)[0][-1] == 2
    mask = sh.Tokenize(files["byte_fallback"], 4, padding="max_length", output="attention_mask")
    assert tokens(["a"], mask) == [[1, 1, 0, 0]]


def test_files_that_are_no_tokenizers_are_refused(files: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        sh.Tokenize(tmp_path / "none.json")
    with pytest.raises(ValueError, match="is no file"):
        sh.Tokenize(tmp_path)
    for content in (b"", b"{}", b"\xff", b"[" * 100_000, files["unigram"].read_bytes()[:-9]):
        (path := tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"Tokenize: tokenizer `.*/bad\.json` is no tokenizer that can be read: "):
            sh.Tokenize(path)
    with pytest.raises(ValueError, match="has a dropout, which draws at random"):
        sh.Tokenize(changed(files["byte_level"], tmp_path, model={"dropout": 0.1}))


def test_what_is_no_text_is_refused(files: Mapping[str, Path]) -> None:
    transform = sh.Tokenize(files["byte_level"])
    with pytest.raises(ValueError, match=r"field `x`: transform 0: Tokenize takes texts, not x: int64"):
        sh.Loader(sh.Arrays({"x": np.arange(4)}), num_workers=0, transforms={"x": [transform]})
    with pytest.raises(ValueError, match="Tokenize takes texts, not image: encoded image"):
        sh.Loader(sh.Table({"image": sh.Images(["x"])}), num_workers=0, transforms={"image": [transform]})
    with pytest.raises(ValueError, match="Tokenize: Tokenize cannot follow"):
        loader(["a"], {"text": [transform, transform]})
    with pytest.raises(ValueError, match=r"RandomApply: .*Tokenize: takes texts, and no images"):
        sh.RandomApply([transform])


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_texts_are_bad_samples(files: Mapping[str, Path], tmp_path: Path, workers: int) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for at, content in enumerate([b"good", b"ba\xffd", b"good"]):
            info = tarfile.TarInfo(f"{at}.txt")
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    made = sh.WebDataset(tmp_path / "x.tar", {"text": "txt"})
    with sh.Loader(made, num_workers=workers, transforms={"text": [sh.Tokenize(files["split"])]}) as loaded:
        batches = iter(loaded)
        next(batches)
        with pytest.raises(sh.DecodeError, match="field `text`: transform 0: Tokenize: the text is no UTF-8") as caught:
            next(batches)
        assert (caught.value.index, caught.value.offset, caught.value.stage) == (1, 2, "transform")
        assert len(next(batches)["text"][0]) > 1


def test_texts_that_are_too_long_are_bad_samples(files: Mapping[str, Path]) -> None:
    whole = sh.Tokenize(files["word_piece"], 4, truncation=False)
    with loader(["a b", "a b c"], whole, batch_size=1) as made:
        batches = iter(made)
        assert len(next(batches)["text"][0]) == 4
        with pytest.raises(sh.DecodeError, match=r"sample 1 .*the text has 5 tokens, and max_length is 4"):
            next(batches)
    with (
        loader(["\ufdfa" * 9], sh.Tokenize(files["unigram"], add_special_tokens=False)) as made,
        pytest.raises(sh.DecodeError, match=r"needs room for .* raise capacity\[.text.\]"),
    ):
        next(iter(made))
    with (
        loader(["a" * 10_000], whole, max_sample_bytes=1_000_000) as made,
        pytest.raises(sh.DecodeError, match="tokenizing"),
    ):
        next(iter(made))


def test_a_tokenizer_that_fails_makes_bad_samples(files: Mapping[str, Path], tmp_path: Path) -> None:
    path = changed(files["word_piece"], tmp_path, model={"unk_token": "nothing"})
    with loader(["a", "\u65e5"], sh.Tokenize(path), batch_size=1) as made:
        batches = iter(made)
        next(batches)
        with pytest.raises(sh.DecodeError, match=r"field `text`: transform 0: Tokenize: .*[Mm]issing"):
            next(batches)
    # Its search gives up, and the library panics.
    pattern = {"type": "Split", "pattern": {"Regex": "(?:a|aa)+$"}, "behavior": "Isolated", "invert": False}
    slow = changed(files["byte_level"], tmp_path, pre_tokenizer=pattern)
    with loader(["a" * 64 + "b", "ok"], sh.Tokenize(slow), batch_size=1) as made:
        batches = iter(made)
        with pytest.raises(sh.DecodeError, match="field `text`: transform 0: Tokenize: ") as caught:
            next(batches)
        assert "panicked" not in str(caught.value)
        next(batches)


def test_files_that_would_take_memory_are_refused_or_make_bad_samples(
    files: Mapping[str, Path], tmp_path: Path
) -> None:
    table = {"type": "Precompiled", "precompiled_charsmap": "//////////8="}
    with pytest.raises(ValueError, match="its precompiled_charsmap is cut short"):
        sh.Tokenize(changed(files["word_piece"], tmp_path, normalizer=table))
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    doubles = changed(files["byte_level"], tmp_path, normalizer={"type": "Sequence", "normalizers": [step] * 60})
    with (
        loader(["a"], sh.Tokenize(doubles)) as made,
        pytest.raises(sh.DecodeError, match=r"tokenizing .*max_sample_bytes"),
    ):
        next(iter(made))
