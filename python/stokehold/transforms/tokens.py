"""Texts as the tokens that they are made of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from stokehold.checks import items, shown
from stokehold.transforms.arguments import DTypeLike
from stokehold.transforms.base import Transform, as_plain
from stokehold.transforms.chats import ChatTemplate
from stokehold.transforms.views import View

__all__ = ["TokenOutput", "Tokenize"]

TokenOutput: TypeAlias = Literal["input_ids", "attention_mask", "token_type_ids", "special_tokens_mask", "labels"]
"""What a row has for each token, by the names of ``transformers``."""

Side: TypeAlias = Literal["right", "left"]


def _file(value: object) -> dict[str, Any]:
    """Returns the absolute path of a file, and what it is known again by."""
    if isinstance(value, bytes) or not isinstance(value, str | os.PathLike):
        raise TypeError(f"must be the path of a tokenizer.json, not {shown(value)}")
    path = Path(value).absolute()
    try:
        str(path).encode()
        found = path.stat()
    except ValueError:
        # Surrogates stand for what is no UTF-8; and no path has a null character.
        raise ValueError(f"must be a path of UTF-8, not {shown(value)}") from None
    return {"path": str(path), "stamp": {"size": found.st_size, "changed": found.st_mtime_ns % 2**64}}


def _cuts(value: object) -> bool:
    """Returns whether longer texts are cut."""
    return value if isinstance(value, bool) else value != "do_not_truncate"


def _pads(value: object) -> bool:
    """Returns whether all rows are padded to one length."""
    if value is True:
        raise ValueError(
            "must be 'max_length', 'do_not_pad' or False, not True: a worker does not know how long the longest text "
            "of a batch is. Without padding, batch[...].padded() pads to that"
        )
    return value == "max_length"


def _chat(value: object) -> dict[str, Any] | None:
    """Returns a chat template as plain data."""
    if value is not None and not isinstance(value, ChatTemplate):
        raise TypeError(f"must be a ChatTemplate or None, not {shown(value)}")
    return None if value is None else value.spec()


@dataclass(frozen=True)
class Tokenize(Transform):
    """Turns texts into tokens, as the fast tokenizers of Hugging Face's ``transformers`` do.

    It takes a field of texts (a list of ``str``, ``txt`` members of tar files, string columns) and gives, for each, the
    numbers of its tokens: a ragged row of shape (tokens,), or, with ``padding="max_length"``, one of (max_length,).
    Workers run the ``tokenizers`` crate, the code of those tokenizers, without threads of its own: the same file gives
    the same numbers. Its own truncation and padding are left out; what is asked for here counts. Functions of yours
    may follow, and get an array of the tokens.

    Several fields can be made of one text, which is tokenized once for all of them as far as file, truncation and
    special tokens are the same: see `views`.

    With a `chat_template`, a text is a conversation in JSON: a list of messages, ``{"role": ..., "content": ...}``; or
    an object with such ``"messages"``, and with ``"tools"`` where it has some; or one with a ``"prompt"`` and a
    ``"completion"``, both lists of messages, or both texts, which no template changes. Whatever else an object has is
    left out. The template makes one text of it, and its tokens are those of ``apply_chat_template``.

    A row has room for `max_length` tokens; without it for as many as the longest text has bytes, the special tokens and
    one more, unless the loader's ``capacity`` says less or more. So give one of both where some texts are long. A
    normalization that makes texts longer by more than a mark may need more, which the error then says.

    A text is a bad sample where it is no UTF-8, where it is to be a conversation and is none, or one that the template
    refuses, where it has more than `max_length` tokens and is not to be cut, where a word is not in the vocabulary and
    no token stands for such, and where tokenizing it would need more than ``max_sample_bytes``, of which a text takes
    300 for each of its bytes, and more where the file may make texts 100 times as long.

    Args:
        tokenizer: The path of a ``tokenizer.json``, as ``Tokenizer.save`` of the ``tokenizers`` package and
            ``save_pretrained`` write it. It is read here, in the loader and in its coordinator, and shared by all
            workers. A file that is changed in between is refused.
        max_length: The most tokens of a row, special ones included; ``None``, the default, for any number.
        truncation: Whether texts with more than `max_length` tokens are cut: ``True``, the default, or
            ``"longest_first"`` or ``"only_first"``, which are the same for single texts; ``False`` or
            ``"do_not_truncate"`` makes them bad samples. Special tokens are not cut off.
        truncation_side: Where they are cut, ``"right"`` or ``"left"``: at the end, or at the beginning.
        padding: ``"max_length"`` pads every row; ``False``, the default, or ``"do_not_pad"`` leaves rows as long as
            their texts are. ``batch["text"].padded(...)`` makes one array of those, as long as the longest row.
        padding_side: ``"right"`` or ``"left"``.
        pad_token_id: The token of the padding. ``None``, the default, is the one that the file pads with, or its token
            ``[PAD]``, ``<pad>`` or ``<|pad|>``. Files often do not say it, and then it must be given.
        add_special_tokens: Whether the special tokens are added that the file's post-processor adds. ``None``, the
            default, is ``True``; and ``False`` with a `chat_template`, which writes them itself.
        output: What the row has for each token: its number, ``"input_ids"``, the default; ``"attention_mask"``, 1 for
            tokens and 0 for padding; ``"token_type_ids"``; or ``"special_tokens_mask"``, 1 for special tokens that were
            added and for padding; or ``"labels"``, its number, and -100 for padding and, of conversations, for all that
            the assistant did not write: see docs/transforms.md for how that is known.
        dtype: ``"int64"``, the default, or ``"int32"``.
        chat_template: What makes texts of conversations: a `ChatTemplate`. ``None``, the default, for texts.

    Raises:
        TypeError: An argument is of another type.
        ValueError: The file is no tokenizer, or one with a dropout, which would draw at random; `max_length` leaves no
            room for the special tokens; padding is asked for without `max_length`, or with a token that is not known;
            the chat template is none that can be read, or special tokens are to be added to what it makes.
        OSError: There is no such file.
    """

    tokenizer: str | os.PathLike[str] = field(metadata=as_plain(_file))
    max_length: int | None = None
    truncation: bool | Literal["longest_first", "only_first", "do_not_truncate"] = field(
        default=True, metadata=as_plain(_cuts)
    )
    truncation_side: Side = "right"
    padding: bool | Literal["max_length", "do_not_pad"] = field(default=False, metadata=as_plain(_pads))
    padding_side: Side = "right"
    pad_token_id: int | None = None
    add_special_tokens: bool | None = None
    output: TokenOutput = "input_ids"
    dtype: Literal["int64", "int32"] | DTypeLike = "int64"
    chat_template: ChatTemplate | None = field(default=None, metadata=as_plain(_chat))

    def views(self, of: str, outputs: Sequence[TokenOutput] = ("input_ids", "attention_mask")) -> dict[str, View]:
        """Returns fields that are made of one field of texts, named as what they hold, for a loader's ``transforms``.

            >>> transforms = Tokenize("tokenizer.json", 128, padding="max_length").views("text")

        Args:
            of: The field of texts, which is left out unless the loader's ``transforms`` names it too.
            outputs: What the fields hold, in order.

        Raises:
            TypeError: `of` is no text, or `outputs` no list.
            ValueError: One of `outputs` is no output.
        """
        names = items("Tokenize.views: outputs", outputs, "a list of outputs")
        return {name: View(of, [replace(self, output=name)]) for name in names}
