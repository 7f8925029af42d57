"""CSV files and JSON lines as sources."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stokehold as sh
from stokehold.manifest import rows
from support import CROP, image_loader, values

Write: TypeAlias = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "manifest"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def loaded(source: Any, **options: Any) -> sh.Batch:
    """All samples of a source, in its order."""
    with sh.Loader(source, batch_size=len(source), num_workers=0, **options) as loader:
        batch: sh.Batch = next(iter(loader))
        return batch


def field(source: Any, name: str = "a") -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = loaded(source).numpy()[name]
    return found


def lists(source: Any, name: str = "a") -> list[list[Any]]:
    return [row.tolist() for row in loaded(source)[name]]


def test_rows_of_csv_are_samples(write: Write) -> None:
    path = write('id,label,price,caption\n1,dog,2.5,"a, ""b"""\n2,cat,3,\n3,dog,1e3,"x\ny"\n')
    columns = {"id": None, "name": sh.LabelColumn(column="label"), "price": sh.NumberColumn(), "caption": None}

    source = sh.Csv(path, columns)
    batch = loaded(source)

    assert len(source) == 3
    assert (source.classes, source.class_names) == (["cat", "dog"], {"name": ["cat", "dog"]})
    assert repr(source) == f"Csv('{path}', 3 rows of id: int64[], name: int64[], price: float32[], caption: text)"
    assert batch["id"].tolist() == [1, 2, 3]
    assert batch["name"].tolist() == [1, 0, 1]
    assert (batch["price"].dtype, batch["price"].tolist()) == (np.float32, [2.5, 3.0, 1000.0])
    assert batch.text("caption") == ['a, "b"', "", "x\ny"]


def test_lines_of_json_are_samples(write: Write) -> None:
    lines = [
        {"n": 1, "x": 1, "t": True, "c": "é", "l": [1, 2], "p": [[0.5, 1], [2, 3]]},
        {"n": 2, "x": 2.5, "t": False, "c": "", "l": [], "p": []},
    ]
    source = sh.JsonLines(write("\n".join(map(json.dumps, lines))))
    batch = loaded(source)

    assert repr(source).endswith("2 rows of n: int64[], x: float32[], t: bool[], c: text, l: list, p: list)")
    assert (batch["n"].tolist(), batch["x"].tolist(), batch["t"].tolist()) == ([1, 2], [1.0, 2.5], [True, False])
    assert batch.text("c") == ["é", ""]
    assert [row.tolist() for row in batch["l"]] == [[1, 2], []]
    assert [row.tolist() for row in batch["p"]] == [[[0.5, 1.0], [2.0, 3.0]], []]
    assert batch["l"][0].dtype == np.int64


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_images_are_those_of_the_folder(folder: Path, tmp_path: Path, kind: str) -> None:
    index = [(path.relative_to(folder), path.parent.name) for path in sorted(folder.rglob("*.*"))]
    columns = {"image": sh.PathColumn(column="file"), "label": sh.LabelColumn(column="class")}
    path = tmp_path / "manifest"
    with path.open("w") as file:
        if kind == "csv":
            csv.writer(file).writerows([("file", "class"), *index])
        else:
            file.writelines(json.dumps({"file": str(name), "class": label}) + "\n" for name, label in index)
    source = (sh.Csv if kind == "csv" else sh.JsonLines)(path, columns, root=folder)
    options: dict[str, Any] = {"batch_size": 5, "shuffle": True, "seed": 7, "transforms": {"image": CROP}}

    with image_loader(folder, num_workers=0) as expected, sh.Loader(source, num_workers=2, **options) as loader:
        assert source.classes == sh.ImageFolder(folder).classes
        assert values(loader) == values(expected)


def test_masks_boxes_and_keypoints_follow_their_image(write: Write, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "f").mkdir()
    image.new("RGB", (8, 6)).save(tmp_path / "f" / "i.png")
    image.new("L", (8, 6), 3).save(tmp_path / "f" / "m.png")
    lines = [
        {"photo": "i.png", "mask": "m.png", "boxes": [[1, 2, 3, 2]], "points": [[1, 1]]},
        {"photo": "./i.png", "mask": "m.png", "boxes": [], "points": [[0.5, 2], [3, 4]]},
    ]
    columns = {
        "photo": sh.PathColumn(),
        "mask": sh.PathColumn("mask", "photo"),
        "boxes": sh.BoxColumn("XYWH", "photo"),
        "points": sh.KeyPointColumn("photo"),
    }
    source = sh.JsonLines(write("\n".join(map(json.dumps, lines))), columns, root=tmp_path / "f")
    batch = loaded(source, transforms={"photo": [sh.RandomHorizontalFlip(1.0), sh.Resize((6, 8))]})

    assert batch["mask"].tolist() == np.full((2, 6, 8), 3).tolist()
    assert batch["boxes"][0].tolist() == [[4, 2, 3, 2]]
    assert batch["boxes"].lengths.tolist() == [1, 0]
    assert batch["points"][1].tolist() == [[6.5, 2], [4, 4]]


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["1", "-2", "+3"], "int64"),
        (["1", "2.5", ".5", "1e-3"], "float32"),
        (["007", "123"], "text"),
        (["0", "0.5", "-0"], "float32"),
        (["a.JPG", "b/c.png"], "image"),
        (["a.jpg", "b"], "text"),
        (["1", "x"], "text"),
        (["1_0", "\uff12"], "text"),
        (["true", "false"], "text"),
    ],
)
def test_what_texts_are_is_learned(write: Write, cells: list[str], dtype: str) -> None:
    source = sh.Csv(write("a\n" + "\n".join(cells)))
    assert repr(source).endswith(f"rows of a: {dtype}{'' if dtype in {'text', 'image'} else '[]'})")


def test_all_cells_decide_what_a_column_is(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_ROWS", 2)
    assert field(sh.Csv(write("a\n1\n2\n3\n4\n5.5\n"))).tolist() == [1, 2, 3, 4, 5.5]
    assert field(sh.JsonLines(write('{"a":1}\n{"a":2}\n{"a":3}\n{"a":2.5}\n'))).tolist() == [1, 2, 3, 2.5]
    with pytest.raises(ValueError, match=r"line 5: column `a` holds 'x', a text, after a number"):
        sh.JsonLines(write('{"a":1}\n{"a":2}\n{"a":3}\n{"a":2.5}\n{"a":"x"}'))


def test_classes_are_sorted_or_given(write: Write) -> None:
    path = write("a\nbirch\nash\nbirch\n")
    assert field(sh.Csv(path, {"a": sh.LabelColumn()})).tolist() == [1, 0, 1]
    assert field(sh.Csv(path, {"a": sh.LabelColumn(["birch", "oak", "ash"])})).tolist() == [0, 2, 0]
    assert sh.Csv(path, {"a": sh.LabelColumn(["birch", "oak", "ash"])}).classes == ["birch", "oak", "ash"]


def test_labels_that_are_numbers_stay(write: Write) -> None:
    source = sh.Csv(write("a\n7\n-1\n7\n"), {"a": sh.LabelColumn()})
    assert (field(source).tolist(), source.classes) == ([7, -1, 7], [])
    source = sh.Csv(write("a\n07\n1\n"), {"a": sh.LabelColumn()})
    assert (field(source).tolist(), source.classes) == ([0, 1], ["07", "1"])
    given = sh.JsonLines(write('{"a":1}\n{"a":"x"}\n'), {"a": sh.LabelColumn(["x", "y"])})
    assert field(given).tolist() == [1, 0]
    assert sh.JsonLines(write('{"a":"7"}\n'), {"a": sh.LabelColumn()}).classes == ["7"]


def test_several_labels_are_multi_hot_or_ragged(write: Write) -> None:
    path = write("a\ncat|dog\nant\ndog | ant\n")
    assert field(sh.Csv(path, {"a": sh.MultiLabelColumn()})).tolist() == [[0, 1, 1], [1, 0, 0], [1, 0, 1]]
    assert lists(sh.Csv(path, {"a": sh.MultiLabelColumn(output="ragged")})) == [[1, 2], [0], [2, 0]]
    path = write('{"a":["x","y"]}\n{"a":[]}\n')
    source = sh.JsonLines(path, {"a": sh.MultiLabelColumn(["z", "y", "x"], dtype="bool")})
    assert (field(source).tolist(), source.classes) == ([[False, True, True], [False] * 3], ["z", "y", "x"])
    numbers = sh.JsonLines(write('{"a":[3]}\n{"a":[0,1]}\n'), {"a": sh.MultiLabelColumn()})
    assert (field(numbers).tolist(), numbers.classes) == ([[0, 0, 0, 1], [1, 1, 0, 0]], [])


def test_several_columns_of_classes_keep_them_by_name(write: Write) -> None:
    source = sh.Csv(write("a,b\nx,y\n"), {"a": sh.LabelColumn(), "b": sh.LabelColumn()})
    assert source.class_names == {"a": ["x"], "b": ["y"]}
    with pytest.raises(AttributeError, match="`a`, `b` have classes of their own"):
        _ = source.classes


def test_lists_are_ragged_or_arrays(write: Write) -> None:
    path = write('a\n1 2\n"[3, 4]"\n')
    assert lists(sh.Csv(path, {"a": sh.ListColumn("int64")})) == [[1, 2], [3, 4]]
    dense = field(sh.Csv(path, {"a": sh.ListColumn(ragged=False)}))
    assert (dense.dtype.name, dense.tolist()) == ("float32", [[1, 2], [3, 4]])
    assert lists(sh.Csv(write("a\n1;2;3\n4\n"), {"a": sh.ListColumn("int8", ";")})) == [[1, 2, 3], [4]]


@pytest.mark.parametrize(
    ("kind", "cells", "expected"),
    [
        (sh.NumberColumn("int64"), ["9007199254740993", "3.0"], [9007199254740993, 3]),
        (sh.NumberColumn("uint64"), [str(2**64 - 1)], [2**64 - 1]),
        (sh.NumberColumn("int8"), [" 007", "-128 "], [7, -128]),
        (sh.NumberColumn("bool"), ["true", "0", "False", "1"], [True, False, False, True]),
        (sh.NumberColumn("float64"), ["0.1", "1e300"], [0.1, 1e300]),
        (sh.NumberColumn(allow_nan=True), ["inf", "-Infinity", "1"], [np.inf, -np.inf, 1]),
    ],
)
def test_numbers_are_kept(write: Write, kind: sh.NumberColumn, cells: list[str], expected: list[Any]) -> None:
    found = field(sh.Csv(write("a\n" + "\n".join(cells)), {"a": kind}))
    assert (found.dtype.name, found.tolist()) == (kind.dtype, expected)


def test_missing_values_go_by_policy(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "stokehold")
    path = write("a,b,c\n1,x,u\n,y,v\nNA,,\n")
    columns: dict[str, sh.ManifestColumn] = {"a": sh.NumberColumn(missing="fill"), "b": sh.LabelColumn(missing="skip")}

    source = sh.Csv(path, columns, na=["NA"])
    batch = loaded(source)

    assert (batch["a"].tolist(), batch["b"].tolist()) == ([1, 0], [0, 1])
    assert source.counters == {"rows_with_missing_values": 1, "filled_values": 1}
    assert "filled_values 1" in caplog.text
    with sh.Loader(source, num_workers=0) as loader:
        assert loader.stats()["source"] == source.counters
    columns = {"a": sh.NumberColumn(missing="fill", fill=float("nan")), "b": sh.LabelColumn(missing="fill", fill="z")}
    batch = loaded(sh.Csv(path, columns, na=["NA"]))
    assert (np.isnan(batch["a"]).tolist(), batch["b"].tolist()) == ([False, True, True], [0, 1, 2])
    assert loaded(sh.Csv(path, {"c": sh.TextColumn()})).text("c") == ["u", "v", ""]


def test_null_and_no_key_are_missing(write: Write) -> None:
    path = write('{"a":[1]}\n{"a":null}\n{}\n')
    assert lists(sh.JsonLines(path, {"a": sh.ListColumn(missing="fill")})) == [[1], [], []]
    assert lists(sh.JsonLines(path, {"a": sh.ListColumn(missing="fill", fill=[7, 8])})) == [[1], [7, 8], [7, 8]]
    assert lists(sh.JsonLines(path, {"a": sh.ListColumn(missing="skip")})) == [[1]]
    with pytest.raises(ValueError, match=r"line 2: column `a` has no value: say ListColumn\(missing='fill'\)"):
        sh.JsonLines(path)


def test_keys_of_objects_are_columns(write: Write) -> None:
    path = write('{"a":{"b":{"c":1}},"x.y":5,"x":{"y":6}}\n{"a":{"b":{"c":2}},"x.y":7,"x":3}\n')
    columns = {"c": sh.NumberColumn("int64", column="a.b.c"), "y": sh.NumberColumn("int8", column="x.y")}
    batch = loaded(sh.JsonLines(path, columns | {"b": sh.TextColumn(column="a.b.d", missing="fill")}))
    assert (batch["c"].tolist(), batch["y"].tolist(), batch.text("b")) == ([1, 2], [5, 7], ["", ""])
    with pytest.raises(ValueError, match=r"line 1: column `a\.b\.c\.d` has no value"):
        sh.JsonLines(path, {"c": sh.NumberColumn(column="a.b.c.d")})


def test_blank_lines_are_counted(write: Write) -> None:
    for source in (sh.Csv(write("a\n\n1\n\n2\n")), sh.JsonLines(write('\n{"a":1}\n \r\n{"a":2}\n'))):
        assert source.counters == {"blank_lines": 2}
        assert field(source).tolist() == [1, 2]


def test_other_dialects_are_read(write: Write) -> None:
    assert field(sh.Csv(write("1;2\n3;4\n"), {"1": None}, delimiter=";", header=False), "1").tolist() == [2, 4]
    assert field(sh.Csv(write("1\t2\n3\t4\n"), {"b": None}, delimiter="\t", header=["a", "b"]), "b").tolist() == [2, 4]
    assert loaded(sh.Csv(write("a\n'x,''y'\n"), quote="'")).text("a") == ["x,'y"]
    assert loaded(sh.Csv(write('a\tb\n"x\ty"\n'), delimiter="\t", quote=None)).text("a") == ['"x']
    assert field(sh.Csv(write("\ufeffa\r\n1\r\n2\r\n"))).tolist() == [1, 2]
    assert field(sh.JsonLines(write('\ufeff{"a":1}\r\n{"a":2}'))).tolist() == [1, 2]


def test_names_of_files_keep_their_bytes(write: Write, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in (b"\xe9.png", "é.png".encode()):
        image.new("RGB", (2, 2), (len(name), 0, 0)).save(os.fsencode(tmp_path) + b"/" + name, "png")
    source = sh.Csv(write(b"a\n\xe9.png\n\xc3\xa9.png\n"))
    assert loaded(source, transforms={"a": [sh.Resize((1, 1))]})["a"][:, 0, 0, 0].tolist() == [5, 6]


def test_relative_paths_begin_where_the_manifest_is(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "elsewhere").mkdir()
    image.new("RGB", (2, 2)).save(tmp_path / "x.png")
    write(f"a\nx.png\n{tmp_path}/x.png\nelsewhere/../x.png\n")
    monkeypatch.chdir(tmp_path)
    free, below = sh.Csv("manifest"), sh.Csv(write("a\nx.png\n"), root=".")
    monkeypatch.chdir("elsewhere")
    for source, count in ((free, 3), (below, 1)):
        assert loaded(source, transforms={"a": [sh.Resize((1, 1))]})["a"].shape == (count, 1, 1, 3)


@pytest.mark.parametrize("path", ["/x.png", "../x.png", "a/../../x.png", "a/.."])
def test_nothing_outside_of_root_is_read(write: Write, tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match=r"line 3: column `a` holds '.*only paths below root are read"):
        sh.Csv(write(f"a\ny..png\n{path}\n"), {"a": sh.PathColumn()}, root=tmp_path)


CELL = sh.NumberColumn("uint8")


@pytest.mark.parametrize(
    ("content", "columns", "what"),
    [
        ("a,b\n1,2\n1\n", None, "line 3: the number of cells is 1, and that of columns 2 (a, b): quote cells"),
        ("a,b\n1,2,3\n", None, "line 2: the number of cells is 3"),
        ('a\n1\n"x\n2\n', None, "line 3: is no CSV, up to line 4: unexpected end of data; is a quote left open"),
        ('a\n1\n"x"y\n', None, "line 3: is no CSV: ',' expected after"),
        ('a\n"x\ny"\nz\n', {"a": CELL}, "line 2: column `a` holds 'x\\ny', which is not a number of uint8: it is no"),
        ('a,b\n"x\ny",1\nz,w\n', {"b": CELL}, "line 4: column `b` holds 'w'"),
        ("a\n1\n256\n", {"a": CELL}, "line 3: column `a` holds '256', which is not a number of uint8: it is beyond 0"),
        ("a\n1\n1.5\n", {"a": CELL}, "line 3: column `a` holds '1.5', which is not a number of uint8: it is no whole"),
        ("a\n1_0\n", {"a": CELL}, "line 2: column `a` holds '1_0'"),
        ("a\n99999999999999999999\n", None, "line 2: column `a` holds '99999999999999999999', which is not a number"),
        ("a\n1\n2.5\nnan\n", None, "line 4: column `a` holds 'nan', which is not a number of float32: leave the cell"),
        ("a\n1e39\n", None, "line 2: column `a` holds '1e39', which is not a number of float32: it is beyond"),
        ("a\n1e999\n", {"a": sh.NumberColumn(allow_nan=True)}, "line 2: column `a` holds '1e999'"),
        ("a\nyes\n", {"a": sh.NumberColumn("bool")}, "line 2: column `a` holds 'yes', which is not a number of bool"),
        (b"a\nx\n\xff\n", None, "line 3: column `a` holds '\\udcff', which is not a text: it is not all UTF-8"),
        (b"a\nx\n\xff\n", {"a": sh.LabelColumn()}, "line 3: column `a` holds '\\udcff', which is no name of a class"),
        (b"a,\xff\n1,2\n", None, "line 1: the header has the name '\\udcff', which is no UTF-8"),
        ("a,a\n1,1\n", None, "line 1: the header has the name 'a' 2 times"),
        (",a\n1,1\n", None, "line 1: the header has a column without a name"),
        ("a,b\n1,2\n", {"c": None}, "has no column `c`; there are `a`, `b`"),
        ("a\nx\n", {"a": sh.LabelColumn(["y"])}, "line 2: column `a` holds 'x', which is none of the 1 classes: 'y'"),
        ("a\n3\n", {"a": sh.LabelColumn(["y"])}, "NumberColumn('int64') takes numbers as they are"),
        ("a\nx||y\n", {"a": sh.MultiLabelColumn()}, "line 2: column `a` holds 'x||y', with an empty label"),
        ("a\n5|x\n1\n99999999\n", {"a": sh.MultiLabelColumn(["x"])}, "line 2: column `a` holds '5', which is none"),
        ("a\n99999999\n", {"a": sh.MultiLabelColumn()}, "column `a`: has the label 99999999, which is no class"),
        ("a\n1\n-1\n", {"a": sh.MultiLabelColumn()}, "column `a`: has the label -1, which is no class of a multi-hot"),
        (
            "a\n1 2\n1 x\n",
            {"a": sh.ListColumn()},
            "line 3: column `a` holds '1 x', which is not a list of float32: 'x'",
        ),
        ("a\n1 2\n1 .5\n", {"a": sh.ListColumn("int8")}, "line 3: column `a` holds a list with the value 0.5 of dtype"),
        ("a\n1 2\n3\n", {"a": sh.ListColumn(ragged=False)}, "line 3: column `a` holds a list of shape (1,), and those"),
        ("a\n[[1]\n", {"a": sh.ListColumn()}, "line 2: column `a` holds '[[1]', which is not a list of float32: "),
        ("a\n", None, "has no rows"),
        ("", None, "is empty: there is no header"),
        (b"\x1f\x8b\x08", None, "is compressed by gzip: unpack it first"),
        (b"\x28\xb5\x2f\xfd\0", None, "is compressed by zstd"),
        ("a\n1\n".encode("utf-16"), None, "is UTF-16: convert it to UTF-8 first"),
        (b"PAR1....", None, "is a Parquet file"),
        ("a\n\0\n", {"a": sh.PathColumn()}, "line 2: column `a` holds '\\x00', which is not the path of an image"),
    ],
)
def test_bad_csv_is_named(write: Write, content: str | bytes, columns: Any, what: str) -> None:
    path = write(content)
    with pytest.raises(ValueError, match=re.escape(what)) as raised:
        sh.Csv(path, columns)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "columns", "what"),
    [
        ('{"a":1}\n[1]\n', None, "line 2: holds [1], not an object"),
        ('{"a":1}\n{"a":2', None, "line 2: is no JSON at character 7: Expecting"),
        ('{"a":1} {"a":2}\n', None, "line 1: is no JSON at character 8: Extra data"),
        ('{\n "a": 1}\n', None, "line 1: is no JSON at character 2: Expecting property name"),
        ('{"a":1,"b":2,"a":3}\n', None, "line 1: cannot be used: the key 'a' comes twice"),
        ('{"a":{"b":1,"b":1}}\n', None, "line 1: cannot be used: the key 'b' comes twice"),
        ('{"a":' + "[" * 100_000, None, "line 1: is nested too deeply"),
        ('{"a":' + "9" * 5000 + "}\n", None, "line 1: cannot be used: Exceeds the limit"),
        ('{"a":99999999999999999999}\n', None, "line 1: column `a` holds 99999999999999999999, which is not a number"),
        ('{"a":1.5}\n{"a":NaN}\n', None, "line 2: column `a` holds nan, which is not a number of float32: leave the"),
        ('{"a":1}\n{"a":1e999}\n', None, "line 2: column `a` holds inf"),
        ('{"a":1}\n{"a":true}\n', None, "line 2: column `a` holds True, a truth, after a number"),
        ('{"a":1}\n{"a":true}\n', {"a": CELL}, "line 2: column `a` holds True, which is not a number of uint8"),
        ('{"a":"1"}\n', {"a": sh.TextColumn(column="b")}, "line 1: column `b` has no value"),
        ('{"a":"x"}\n{"a":1}\n', {"a": sh.TextColumn()}, "line 2: column `a` holds 1, which is not a text"),
        ('{"a":"\\ud800"}\n', None, "line 1: column `a` holds '\\ud800', which is not a text: it is not all UTF-8"),
        ('{"a":{}}\n', None, "line 1: column `a` holds {}: columns={...} says"),
        ('{"a":[1]}\n{"a":["x"]}\n', None, "line 2: column `a` holds ['x'], a list of what is no number: MultiLabel"),
        (
            '{"a":[1]}\n{"a":[[1],[1,2]]}\n',
            None,
            "line 2: column `a` holds [[1], [1, 2]], which is not a list of int64",
        ),
        ('{"a":[1]}\n{"a":[[1]]}\n', None, "line 2: column `a` holds a list of shape (1, 1), and those before it"),
        ('{"a":[1.5]}\n{"a":[NaN]}\n', None, "line 2: column `a` holds [nan], with a value that is not finite"),
        (
            '{"a":[[1,2,3,4]]}\n{"a":[[1,2,3]]}\n',
            {"a": sh.BoxColumn()},
            "line 2: column `a` holds a list of shape (1, 3)",
        ),
        ('{"a":"x"}\n{"a":true}\n', {"a": sh.LabelColumn()}, "line 2: column `a` holds True, which is no label"),
        ('{"a":0}\n{"a":true}\n', {"a": sh.LabelColumn()}, "line 2: column `a` holds True, which is no label"),
        ('{"a":1}\n{"a":"x"}\n', {"a": sh.LabelColumn()}, "line 2: column `a` holds 'x', and labels before it are num"),
        ('{"a":2}\n', {"a": sh.LabelColumn(["x", "y"])}, "line 1: column `a` holds 2, which is none of the 2 classes"),
        (
            '{"a":["x"]}\n{"a":["y",[]]}\n',
            {"a": sh.MultiLabelColumn()},
            "line 2: column `a` holds [], which is no label",
        ),
        ('{"a":7}\n', {"a": sh.MultiLabelColumn()}, "line 1: column `a` holds 7, which is no list of labels"),
        ('{"a":7}\n', {"a": sh.PathColumn()}, "line 1: column `a` holds 7, which is not the path of an image"),
        ("", None, "has no rows"),
        (b"\x1f\x8b\x08", None, "is compressed by gzip"),
    ],
)
def test_bad_json_is_named(write: Write, content: str | bytes, columns: Any, what: str) -> None:
    path = write(content)
    with pytest.raises(ValueError, match=re.escape(what)) as raised:
        sh.JsonLines(path, columns)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("block", [1, 3])
def test_rows_of_any_block_are_named(write: Write, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(rows, "BLOCK_ROWS", block)
    lines = [f'"{number}\n"' if number % 2 else str(number) for number in range(10)]
    path = write("a\n" + "\n".join([*lines, "x"]) + "\n")
    with pytest.raises(ValueError, match="line 17: column `a` holds 'x'"):
        sh.Csv(path, {"a": sh.NumberColumn()})


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for make in (sh.Csv, sh.JsonLines):
        with pytest.raises(FileNotFoundError):
            make(tmp_path / "missing")
        for path in (tmp_path / "fifo", tmp_path):
            with pytest.raises(ValueError, match="is no regular file; save what it gives to one first"):
                make(path)


ANY: Any = sh
"""Whatever types say."""


@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (
            lambda: ANY.PathColumn("picture"),
            ValueError,
            "PathColumn: kind must be one of 'image', 'mask', not 'picture'",
        ),
        (lambda: ANY.PathColumn(missing="fill"), ValueError, "PathColumn: missing must be one of 'error', 'skip'"),
        (lambda: ANY.NumberColumn("complex64"), ValueError, "NumberColumn: dtype must be one of 'bool', "),
        (lambda: ANY.NumberColumn(fill=3), ValueError, "NumberColumn: fill = 3 needs missing='fill', not 'error'"),
        (
            lambda: ANY.NumberColumn("uint8", missing="fill", fill=-1),
            ValueError,
            "fill = -1 must be a number that uint8",
        ),
        (lambda: ANY.NumberColumn(missing="fill", fill="x"), TypeError, "NumberColumn: fill must be a number, not 'x'"),
        (
            lambda: ANY.NumberColumn(missing="drop"),
            ValueError,
            "NumberColumn: missing must be one of 'error', 'fill', ",
        ),
        (lambda: ANY.TextColumn(column=3), TypeError, "TextColumn: column must be a str"),
        (lambda: ANY.LabelColumn(missing="fill"), ValueError, "LabelColumn: missing='fill' needs fill="),
        (lambda: ANY.LabelColumn("cat"), TypeError, "LabelColumn: classes must be a list of str"),
        (lambda: ANY.LabelColumn(["cat", "cat"]), ValueError, "LabelColumn: classes must be at least one name, and no"),
        (lambda: ANY.MultiLabelColumn(separator=""), ValueError, "MultiLabelColumn: separator must be a text"),
        (lambda: ANY.MultiLabelColumn(output="hot"), ValueError, "output must be one of 'multi_hot', 'ragged'"),
        (lambda: ANY.ListColumn(missing="fill", fill=3), TypeError, "ListColumn: fill must be a list, not 3"),
        (lambda: ANY.BoxColumn("XY"), ValueError, "BoxColumn: format must be one of 'XYXY'"),
        (lambda: ANY.Csv("x", delimiter=";;"), ValueError, "Csv: delimiter must be one character"),
        (lambda: ANY.Csv("x", quote=","), ValueError, "Csv: delimiter and quote must differ"),
        (lambda: ANY.Csv("x", header=["a", "a"]), ValueError, "Csv: header must be True, False, or names, each once"),
        (lambda: ANY.Csv("x", header="a"), TypeError, "Csv: header must be a list of str, not one str: write ['a']"),
        (lambda: ANY.Csv("x", na="NA"), TypeError, "Csv: na must be a list of str, not one str: write ['NA']"),
        (lambda: ANY.Csv("x", ["a"]), TypeError, "Csv: columns must map names of fields to what they are, or be"),
        (lambda: ANY.Csv("x", {}), ValueError, "Csv: columns must have at least one field"),
        (lambda: ANY.Csv("x", {"a": sh.LabelColumn}), TypeError, "not a class; call it: LabelColumn()"),
        (lambda: ANY.JsonLines("x", {"a": "label"}), TypeError, "JsonLines: columns['a'] must be a PathColumn, "),
        (lambda: ANY.JsonLines("x", {3: None}), TypeError, "the name of a field must be a str, not int"),
    ],
)
def test_arguments_are_checked(make: Callable[[], object], error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=re.escape(what)):
        make()


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20))
def test_what_csv_writers_write_is_read(tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *cells])
    batch = loaded(sh.Csv(path, {"a": sh.TextColumn(), "b": sh.TextColumn()}))
    assert list(zip(batch.text("a"), batch.text("b"), strict=True)) == cells


@given(st.binary(max_size=200))
def test_hostile_bytes_are_an_error_or_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("hostile") / "x"
    for make, start in ((sh.Csv, b"a,b\n"), (sh.JsonLines, b'{"a":1}\n')):
        path.write_bytes(start + content)
        try:
            source = make(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017 (there may be none)
        else:
            assert len(source) > 0


@pytest.fixture(scope="session")
def pandas() -> Any:
    """pandas, the threads of what it is made of started."""
    module = pytest.importorskip("pandas")
    module.read_csv(io.StringIO("a\nx\n"))
    module.DataFrame({"a": ["x"]}).to_csv()
    return module


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_what_pandas_writes_is_what_pandas_reads(tmp_path: Path, pandas: Any, kind: str) -> None:
    random = np.random.default_rng(0)
    count = 12_000
    names = random.choice(["ash", "bi,rch", 'ce"dar', "é\nf"], count)
    given = {
        "id": np.arange(count),
        "name": names,
        "score": random.normal(size=count).round(6),
        "age": [None, 3] * 6000,
    }
    frame, path = pandas.DataFrame(given), tmp_path / "x"
    if kind == "csv":
        frame.to_csv(path, index=False)
        expected = pandas.read_csv(path)
    else:
        frame.to_json(path, orient="records", lines=True)
        expected = pandas.read_json(path, lines=True)
    columns = {
        "id": None,
        "name": sh.LabelColumn(),
        "score": None,
        "age": sh.NumberColumn("int8", missing="fill", fill=-1),
    }
    source = (sh.Csv if kind == "csv" else sh.JsonLines)(path, columns)

    batch = loaded(source)

    assert batch["id"].tolist() == expected["id"].tolist()
    assert [source.classes[label] for label in batch["name"]] == expected["name"].tolist()
    assert np.array_equal(batch["score"], expected["score"].to_numpy(np.float32))
    assert batch["age"].tolist() == expected["age"].fillna(-1).astype(int).tolist()
    assert source.counters == {"filled_values": 6000}
