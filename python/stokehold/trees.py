"""Batches as trees: PyTorch, JAX and optree walk through them as through a dict of arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from stokehold.batch import Batch, Ragged

__all__ = ["register"]


def _fields(batch: Batch) -> tuple[list[Any], tuple[str, ...]]:
    return list(batch.values()), tuple(batch)


def _batch(names: tuple[str, ...], arrays: Iterable[Any]) -> Batch:
    return Batch(zip(names, arrays, strict=True))


def _rows(ragged: Ragged) -> tuple[list[Any], None]:
    return list(ragged), None


def _ragged(_: None, rows: Iterable[Any]) -> Ragged:
    return Ragged(rows)


def _in_torch(tree: Any) -> None:  # noqa: ANN401 (a module that need not be there)
    key, at = tree.MappingKey, tree.SequenceKey
    tree.register_pytree_node(
        Batch,
        _fields,
        lambda arrays, names: _batch(names, arrays),
        serialized_type_name="stokehold.Batch",
        flatten_with_keys_fn=lambda batch: ([(key(name), array) for name, array in batch.items()], tuple(batch)),
    )
    tree.register_pytree_node(
        Ragged,
        _rows,
        lambda rows, _: Ragged(rows),
        serialized_type_name="stokehold.Ragged",
        flatten_with_keys_fn=lambda ragged: ([(at(row), array) for row, array in enumerate(ragged)], None),
    )


def _in_jax(tree: Any) -> None:  # noqa: ANN401
    key, at = tree.DictKey, tree.SequenceKey
    tree.register_pytree_with_keys(
        Batch, lambda batch: ([(key(name), array) for name, array in batch.items()], tuple(batch)), _batch, _fields
    )
    tree.register_pytree_with_keys(
        Ragged, lambda ragged: ([(at(row), array) for row, array in enumerate(ragged)], None), _ragged, _rows
    )


def _in_optree(registry: Any) -> None:  # noqa: ANN401
    space = registry.__dict__["__GLOBAL_NAMESPACE"]
    registry.register_pytree_node(Batch, lambda batch: (*_fields(batch), tuple(batch)), _batch, namespace=space)
    registry.register_pytree_node(Ragged, _rows, _ragged, namespace=space)


_waiting: Final[dict[str, Callable[[Any], None]]] = {
    "torch.utils._pytree": _in_torch,
    "jax.tree_util": _in_jax,
    "optree.registry": _in_optree,
}
"""By the module that takes them, how libraries are told that have not been imported yet."""


def register() -> None:
    """Tells the libraries that have been imported by now; imports none."""
    for name in [name for name in _waiting if name in sys.modules]:
        if (tell := _waiting.pop(name, None)) is not None:
            tell(sys.modules[name])
