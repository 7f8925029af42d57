"""Small tokenizers of each kind, trained on texts of the standard library, and texts that are hard for them."""

from __future__ import annotations

import os
import pydoc_data.topics
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# The package would have threads, and warn of forks after that.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

VOCABULARY: Final = 600

ODD: Final = (
    "",
    " ",
    "a",
    "The quick brown fox jumps over the lazy dog. 1234567890 [MASK] </s> <s> [CLS][SEP]",
    "  two  spaces\tand\ttabs\r\nand lines\n\n\n",
    "e\u0301 \u0041\u030a \u1e9b\u0323 \u00e9 \ufb01 \u2126 \u212b",
    "\ufdfa \ufdfb \u3300 \u33ff",  # One character, up to 18 by normalization.
    "\U0001f468\u200d\U0001f469\u200d\U0001f466 \U0001f3f4\U000e0067\U000e0062\U000e007f \U0001f1e9\U0001f1ea",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u202eright\u202c \u200f\u061c",
    "\u65e5\u672c\u8a9e\u306e\u6587 \u4e2d\u6587 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab \uac00\u11a8",
    "\x00 a\x00b \x01\x7f\x80\u0085\u00a0\u2028\u2029\ufeff\ufffd\uffff",
    "\u0130\u0131 \u1e9e\u00df \u03a3\u03c2\u03c3 \u01c5 \U00010400",
    "\u2581\u2581a \u0120b \u010a",  # The marks that tokenizers themselves use.
    "x" * 5000,
    "\u00e4" * 3000,
    "\U0001f600" * 1000,
    "a\u0301" * 1500,
    "\U0010ffff\U000f0000\ue000",
    "'s 're 've 'LL don't I'M \u2019s -- ...!!!???",
    "0 00 000 1.5e-10 0x1F \u0661\u0662\u0663 \u2160 \u00bd",
)

SPECIAL: Final = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]


@cache
def texts() -> tuple[str, ...]:
    """Paragraphs of Python's own documentation."""
    topics: dict[str, str] = pydoc_data.topics.topics
    whole = "\n\n".join(topics[name] for name in sorted(topics))
    return tuple(part for part in whole.split("\n\n")[:2000] if part.strip())


def _trained(tokenizer: Any, trainer: Any) -> Any:
    tokenizer.train_from_iterator(texts()[:400], trainer)
    return tokenizer


def byte_level(vocabulary: int = VOCABULARY) -> Any:
    """As GPT-2's, and RoBERTa's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    _trained(made, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return made


def split(vocabulary: int = VOCABULARY) -> Any:
    """As those of newer language models: bytes behind a pattern, and one special token at the beginning."""
    made = byte_level(vocabulary)
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    others = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"{words}|{others}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", 0)]),
        ]
    )
    return made


def word_piece(vocabulary: int = VOCABULARY) -> Any:
    """As BERT's."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    _trained(made, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:1", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def unigram(vocabulary: int = VOCABULARY) -> Any:
    """As T5's: Unicode's compatibility forms, and words behind a mark."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        unk_token="<unk>",
        show_progress=False,
    )
    _trained(made, trainer)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", pair=None, special_tokens=[("</s>", 1)])
    return made


def byte_fallback(vocabulary: int = VOCABULARY) -> Any:
    """As Llama 2's: words without spaces, and bytes for characters that are not known."""
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    _trained(made, trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", pair=None, special_tokens=[("<s>", 1)])
    return made


KINDS: Final[dict[str, Callable[..., Any]]] = {
    "byte_level": byte_level,
    "split": split,
    "word_piece": word_piece,
    "unigram": unigram,
    "byte_fallback": byte_fallback,
}


def written(folder: Path) -> dict[str, Path]:
    """Writes a tokenizer of each kind."""
    found = {}
    for name, make in KINDS.items():
        found[name] = folder / f"{name}.json"
        make().save(str(found[name]))
    return found
