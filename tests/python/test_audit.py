"""The audit of an epoch tells what the ranks then get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xxhash

import stokehold as sh

LEN = 23
SOURCE = sh.Arrays({"x": np.arange(LEN)})


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("even", ["pad", "drop", "uneven"])
@pytest.mark.parametrize("drop_last", [False, True])
def test_an_audit_tells_what_the_ranks_get(even: Any, *, shuffle: bool, drop_last: bool) -> None:
    given: dict[str, Any] = {"batch_size": 4, "seed": 3, "even": even, "drop_last": drop_last, "world_size": 3}
    source = sh.concat([SOURCE, SOURCE.select(range(5))])
    loaders = [sh.Loader(source, shuffle=shuffle, rank=rank, num_workers=0, **given) for rank in range(3)]
    for epoch in (0, 1):
        audits = [loader.audit(epoch) for loader in loaders]
        assert audits[0] == audits[1] == audits[2] == loaders[0].audit()
        told = audits[0]["ranks"]
        valid: list[int] = []
        for loader, share in zip(loaders, told, strict=True):
            batches = list(loader)
            indices = np.concatenate([batch.indices for batch in batches])
            valid += [int(i) for batch in batches for i, ok in zip(batch.indices, batch.valid, strict=True) if ok]
            assert (share["batches"], share["rows"]) == (len(batches), len(indices))
            assert share["digest"] == xxhash.xxh3_64_intdigest(indices.astype("<i8").tobytes())
            assert share["padding"] == sum(int((~batch.valid).sum()) for batch in batches)
            loader.set_epoch(epoch + 1)
        assert len(valid) == len(set(valid)) == LEN + 5 - audits[0]["left_out"]
        assert (audits[0]["epoch"], audits[0]["samples"]) == (epoch, LEN + 5)


def test_an_audit_of_a_great_epoch_reads_nothing() -> None:
    class Counting:
        read = 0

        def __len__(self) -> int:
            return 300_000

        def __getitem__(self, index: int) -> dict[str, Any]:
            self.read += 1
            return {"x": index}

    source = Counting()
    with sh.Loader(source, batch_size=64, shuffle=True, rank=1, world_size=8, num_workers=0) as loader:
        before = source.read
        assert sum(rank["rows"] for rank in loader.audit(5)["ranks"]) == 300_000
        assert source.read == before


def test_what_has_no_audit() -> None:
    class Stream:
        def __iter__(self) -> Any:
            return iter({"x": n} for n in range(9))

    with (
        sh.Loader(Stream(), batch_size=4, num_workers=0) as loader,
        pytest.raises(TypeError, match="audit needs a dataset with __getitem__"),
    ):
        loader.audit()
    with sh.Loader(SOURCE, batch_size=4) as loader, pytest.raises(TypeError, match=r"Loader\.audit: epoch must be"):
        loader.audit("0")  # type: ignore[arg-type]
