"""Makes conversations of the documentation of Python's own functions, and tells which of their tokens are learned.

    .venv/bin/python examples/chat.py

It needs the `tokenizers` package to make the tokenizer; to use one, nothing but stokehold.
"""

import builtins
import inspect
import json
import math
import statistics
import tempfile
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

import stokehold as sh

LENGTH = 96
TEMPLATE = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}
    {%- else %}
        {{- message.content + '<|im_end|>' }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
"""


def conversations() -> list[str]:
    """Returns questions about functions, with answers by their documentation, as JSON."""
    found = []
    modules: list[ModuleType] = [builtins, math, statistics, textwrap]
    for module in modules:
        for name, each in vars(module).items():
            text = inspect.getdoc(each) if callable(each) and not name.startswith("_") else None
            if not text:
                continue
            first, _, rest = text.partition("\n\n")
            messages = [{"role": "system", "content": "Answer by the documentation."}]
            messages += [{"role": "user", "content": f"What does {name} do?"}, {"role": "assistant", "content": first}]
            if rest:
                messages += [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": rest}]
            found.append(json.dumps(messages))
    return found


def written(texts: list[str], folder: Path) -> None:
    """Writes a tokenizer and its chat template, as models come with them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True) for text in ("<|im_start|>", "<|im_end|>", "<pad>")]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"pad_token": "<pad>", "eos_token": "<|im_end|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def main() -> None:
    """Reads the conversations in a random order, and shows one of them."""
    texts = conversations()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(texts, folder)
        chat = sh.ChatTemplate(folder / "tokenizer_config.json")
        tokens = sh.Tokenize(folder / "tokenizer.json", LENGTH, padding="max_length", chat_template=chat)
        views = tokens.views("text", ["input_ids", "attention_mask", "labels"])
        source = sh.Table({"text": texts})
        with sh.Loader(source, batch_size=16, shuffle=True, num_workers=2, transforms=views) as loader:
            batches = [(batch["attention_mask"].copy(), batch["labels"].copy()) for batch in loader]
        mask, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        learned = (labels >= 0).sum() / mask.sum()
        reader = Tokenizer.from_file(str(folder / "tokenizer.json"))
        shown = reader.decode([token for token in labels[0].tolist() if token >= 0], skip_special_tokens=False)
        print(f"{len(labels)} conversations; {learned:.0%} of their tokens are learned; the first ones: {shown[:60]!r}")


if __name__ == "__main__":
    main()
