"""`Tokenize` with a `ChatTemplate` gives what `apply_chat_template` of `transformers` gives."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stokehold as sh
import tokenizer_files
from chat_templates import (
    CHATML,
    GEMMA,
    GENERATION,
    LLAMA,
    MISTRAL,
    RICH,
    SCHEMA,
    TALKS,
    TEMPLATES,
    TOOLS,
    Messages,
    talk,
)
from support import Strikes

transformers = pytest.importorskip("transformers")

ANY: Any = sh
IGNORED = -100
NOON = datetime(2026, 3, 7, 12, 5, 9)  # noqa: DTZ001 (local, as theirs)


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:  # noqa: ARG003
        return NOON


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Noon)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return tokenizer_files.written(tmp_path_factory.mktemp("tokenizers"))


class Model:
    """A tokenizer with a chat template, theirs and ours."""

    def __init__(self, file: Path, template: str, folder: Path) -> None:
        self.theirs = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(file), bos_token="<s>", eos_token="</s>", chat_template=template
        )
        self.theirs.save_pretrained(folder)
        self.file = folder / "tokenizer.json"
        self.template = sh.ChatTemplate(folder, now=NOON)

    def expected(self, sample: Messages, **options: Any) -> dict[str, list[int]]:
        found = self.theirs.apply_chat_template(sample, return_dict=True, return_assistant_tokens_mask=True, **options)
        mask = found["assistant_masks"]
        labels = [number if is_label else IGNORED for number, is_label in zip(found["input_ids"], mask, strict=True)]
        return {"input_ids": found["input_ids"], "labels": labels}

    def rows(self, samples: list[Any], workers: int = 0, **options: Any) -> list[dict[str, list[int]]]:
        """Returns ids and labels of each sample, or of each text that is JSON already."""
        texts = [each if isinstance(each, str) else json.dumps(each) for each in samples]
        arguments: dict[str, Any] = {"max_length": 4000, "chat_template": self.template} | options
        views = sh.Tokenize(self.file, **arguments).views("text", ["input_ids", "labels"])
        source = sh.Table({"text": texts})
        with sh.Loader(source, batch_size=3, num_workers=workers, transforms=views) as loader:
            rows = [
                dict(zip(views, pair, strict=True)) for b in loader for pair in zip(*(b[n] for n in views), strict=True)
            ]
        return [{name: np.asarray(each).tolist() for name, each in row.items()} for row in rows]


@pytest.fixture(scope="module")
def model(files: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Model]:
    made: dict[tuple[str, str], Model] = {}

    def get(template: str, kind: str = "split") -> Model:
        key = (template, kind)
        if key not in made:
            made[key] = Model(files[kind], template, tmp_path_factory.mktemp("model"))
        return made[key]

    return get


def taken(model: Model, samples: tuple[Messages, ...] = TALKS) -> list[Messages]:
    """Returns those that the template takes."""

    def is_taken(sample: Messages) -> bool:
        try:
            model.theirs.apply_chat_template(sample)
        except Exception:  # noqa: BLE001 (whatever a template raises)
            return False
        return True

    return [sample for sample in samples if is_taken(sample)]


@pytest.mark.parametrize("kind", tokenizer_files.KINDS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_are_those_of_transformers(model: Callable[..., Model], name: str, kind: str) -> None:
    made = model(TEMPLATES[name], kind)
    samples = taken(made)
    assert len(samples) >= len(TALKS) - 2
    for prompted in (False, True):
        template = replace(made.template, add_generation_prompt=prompted)
        found = made.rows(samples, chat_template=template)
        expected = [
            made.theirs.apply_chat_template(each, add_generation_prompt=prompted)["input_ids"] for each in samples
        ]
        assert [row["input_ids"] for row in found] == expected


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_labels_are_what_a_template_generates(model: Callable[..., Model], workers: int) -> None:
    made = model(GENERATION)
    parts = [{"type": "text", "text": "é"}, {"type": "image"}, {"type": "text", "text": "b"}]
    thought = {"role": "assistant", "content": "So.", "reasoning": "\nwhy\n"}
    samples = [*TALKS, [*talk("q"), thought, {"role": "skipped"}, {"role": "user", "content": parts}], [thought]]
    assert made.rows(samples, workers) == [made.expected(each) for each in samples]


@pytest.mark.parametrize("side", ["right", "left"])
def test_labels_stay_with_their_tokens_where_texts_are_cut(model: Callable[..., Model], side: Any) -> None:
    made = model(GENERATION, "byte_level")
    made.theirs.truncation_side = side
    for length in (1, 4, 9, 30):
        options: dict[str, Any] = {"truncation": True, "max_length": length}
        found = made.rows(list(TALKS), truncation_side=side, max_length=length)
        assert found == [made.expected(each, **options) for each in TALKS]


@pytest.mark.parametrize("name", ["chatml", "gemma", "llama", "mistral", "tools"])
def test_labels_are_what_is_behind_what_asks_for_it(model: Callable[..., Model], name: str) -> None:
    made = model(TEMPLATES[name])
    ask = made.theirs.apply_chat_template
    for sample in taken(made):
        (row,) = made.rows([sample])
        text = ask(sample, tokenize=False)
        spans = []
        for at, message in enumerate(sample):
            if message["role"] == "assistant":
                start = len(ask(sample[:at], tokenize=False, add_generation_prompt=True))
                spans.append((start, len(ask(sample[: at + 1], tokenize=False))))
        offsets = made.theirs(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        is_label = [any(start < end and stop > begin for begin, end in spans) for start, stop in offsets]
        assert row["labels"] == [n if kept else IGNORED for n, kept in zip(row["input_ids"], is_label, strict=True)]


def test_tools_and_thoughts_are_those_of_transformers(model: Callable[..., Model]) -> None:
    for template in (LLAMA, TOOLS):
        made = model(template)
        for tools in (None, [SCHEMA]):
            samples = taken(made, RICH)
            assert samples
            for sample in samples:
                with_tools = {"messages": sample, "tools": tools, "more": 1}
                expected = made.theirs.apply_chat_template(sample, tools=tools)["input_ids"]
                ids = sh.Tokenize(made.file, 4000, chat_template=made.template)
                with sh.Loader(
                    sh.Table({"text": [json.dumps(with_tools)]}), num_workers=0, transforms={"text": [ids]}
                ) as it:
                    assert next(iter(it))["text"][0].tolist() == expected


def test_any_conversation_is_that_of_transformers(model: Callable[..., Model]) -> None:
    points = st.characters(exclude_categories=["Cs"]) | st.sampled_from("{}%#<|>/[]sINT \n\t")
    contents = st.lists(st.text(points, max_size=30), min_size=1, max_size=5)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(contents, min_size=1, max_size=6), st.sampled_from(sorted(TEMPLATES)))
    def check(rows: list[list[str]], name: str) -> None:
        made = model(TEMPLATES[name])
        samples = [talk(*each) for each in rows]
        expected = [made.theirs.apply_chat_template(each)["input_ids"] for each in samples]
        assert [row["input_ids"] for row in made.rows(samples)] == expected
        if name == "generation":
            assert made.rows(samples) == [made.expected(each) for each in samples]

    check()


def test_what_is_behind_a_prompt_is_a_label(model: Callable[..., Model]) -> None:
    made = model(CHATML)
    prompt, completion = talk("a"), [{"role": "assistant", "content": "bé"}]
    texts = {"prompt": "Once upon", "completion": " a time.</s>"}
    pair, plain = made.rows([{"prompt": prompt, "completion": completion}, texts])
    whole = made.theirs.apply_chat_template([*prompt, *completion])["input_ids"]
    asked = made.theirs.apply_chat_template(prompt, add_generation_prompt=True)["input_ids"]
    assert pair == {"input_ids": whole, "labels": [IGNORED] * len(asked) + whole[len(asked) :]}
    ids = [made.theirs(texts[part], add_special_tokens=False)["input_ids"] for part in ("prompt", "completion")]
    assert plain == {"input_ids": ids[0] + ids[1], "labels": [IGNORED] * len(ids[0]) + ids[1]}


def test_labels_of_padding_are_ignored(model: Callable[..., Model], files: Mapping[str, Path]) -> None:
    made = model(GENERATION)
    options: dict[str, Any] = {"padding": "max_length", "pad_token_id": 2, "dtype": "int32", "max_length": 40}
    for side in ("right", "left"):
        (row,) = made.rows([talk("a", "b")], padding_side=side, **options)
        (whole,) = made.rows([talk("a", "b")])
        padding = 40 - len(whole["labels"])
        rows = [[IGNORED] * padding + whole["labels"], whole["labels"] + [IGNORED] * padding]
        assert row["labels"] == rows[side == "right"]
    # Of a text, all tokens are labels.
    text = sh.Tokenize(files["word_piece"], 6, padding="max_length").views("text", ["input_ids", "labels"])
    with sh.Loader(sh.Table({"text": ["a b"]}), num_workers=0, transforms=text) as loader:
        batch = next(iter(loader))
    assert batch["labels"].tolist() == np.where(batch["input_ids"] == 3, IGNORED, batch["input_ids"]).tolist()


def test_rows_do_not_depend_on_deaths_and_resumptions(model: Callable[..., Model]) -> None:
    made = model(GENERATION)
    texts = [json.dumps(talk(*map(str, range(at % 7 + 1)))) for at in range(60)]
    views = sh.Tokenize(made.file, 500, chat_template=made.template).views("text", ["input_ids", "labels"])

    def loader(workers: int) -> sh.Loader:
        return sh.Loader(
            sh.Table({"text": texts}), batch_size=4, shuffle=True, seed=1, num_workers=workers, transforms=views
        )

    def rows(batch: Any) -> list[Any]:
        return [row.tolist() for name in views for row in batch[name]]

    with loader(0) as undisturbed:
        expected = [rows(batch) for batch in undisturbed]
    with loader(2) as killed:
        strikes, found = Strikes(killed), []
        for batch in killed:
            strikes.delivered()
            found.append(rows(batch))
            strikes.kill(1)
        assert strikes.killed
    assert found == expected
    with loader(1) as first:
        batches = iter(first)
        found = [rows(next(batches)) for _ in range(3)]
        state = first.state_dict()
    with loader(4) as second:
        second.load_state_dict(state)
        assert found + [rows(batch) for batch in second] == expected


def refused(model: Model, sample: Any, **options: Any) -> str:
    """Returns the error of a sample behind a good one."""
    text = sample if isinstance(sample, str) else json.dumps(sample)
    output = sh.Tokenize(model.file, 500, output="labels", chat_template=replace(model.template, **options))
    source = sh.Table({"text": [json.dumps(talk("a", "b")), text]})
    with sh.Loader(source, num_workers=0, batch_size=1, transforms={"text": [output]}) as loader:
        batches = iter(loader)
        next(batches)
        with pytest.raises(sh.DecodeError) as caught:
            next(batches)
    assert (caught.value.index, caught.value.stage) == (1, "transform")
    assert "field `text`: transform 0: Tokenize: " in str(caught.value)
    return str(caught.value)


def test_what_a_template_raises_names_the_sample(model: Callable[..., Model]) -> None:
    assert "roles must alternate user/assistant" in refused(model(MISTRAL), [*talk("a"), *talk("b")])
    assert "System role not supported" in refused(model(GEMMA), talk("a", system="s"))
    assert "undefined" in refused(model(CHATML), [{"role": "user"}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is no JSON"),
        ('[{"role": "user"}', "the text is no JSON"),
        ("[NaN]", "the text is no JSON"),
        ("3", "the text is no conversation"),
        ("{}", "the text is no conversation"),
        ("[]", "there is no message"),
        ('["a"]', "message 0 is no object"),
        ('{"messages": 3}', "is to stand in a list"),
        ('{"prompt": "a", "completion": []}', "is to stand in a list"),
        ("[" * 1000, "the text is no JSON"),
    ],
)
def test_what_is_no_conversation_is_a_bad_sample(model: Callable[..., Model], text: str, message: str) -> None:
    assert message in refused(model(CHATML), text)


def test_answers_that_cannot_be_told_are_bad_samples(model: Callable[..., Model]) -> None:
    # It leaves out the thoughts of earlier answers.
    thought = "<think>\nw\n</think>\n\na"
    assert "use one with {% generation %}" in refused(model(TOOLS), talk("a", thought, "b", thought))
    assert "U+FDD0" in refused(model(GENERATION), talk("\ufdd0", "a"))


@pytest.mark.parametrize(
    "body",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ messages|tojson(indent=99999) }}",
        "{{ 'x'|replace('', 'y' * 99999)|replace('', 'y' * 99999) }}",
    ],
)
def test_templates_are_bounded(model: Callable[..., Model], body: str) -> None:
    made = model("{% if messages|length > 2 %}" + body + "{% endif %}{{ messages[0].content }}")
    assert "chat_template: " in refused(made, talk("a", "b", "c"))


def written(folder: Path, config: Any, jinja: str | None = None) -> Path:
    (path := folder / "tokenizer_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if jinja is not None:
        (folder / "chat_template.jinja").write_text(jinja)
    return path


def test_templates_are_found_where_transformers_looks(tmp_path: Path) -> None:
    several = [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]
    token = {
        "bos_token": "<s>",
        "eos_token": {"content": "</s>", "lstrip": False},
        "add_bos_token": True,
        "x_token": None,
    }
    path = written(tmp_path, token | {"chat_template": several})
    made = sh.ChatTemplate(path)
    assert (made.template, made.tokens) == ("d", {"bos_token": "<s>", "eos_token": "</s>"})
    assert sh.ChatTemplate(tmp_path, name="tool_use").template == "t"
    with pytest.raises(ValueError, match="has none; there are 'default', 'tool_use'"):
        sh.ChatTemplate(path, name="rag")
    written(tmp_path, token | {"chat_template": "c"}, "j")
    assert sh.ChatTemplate(path).template == "j"
    alone = sh.ChatTemplate(tmp_path / "chat_template.jinja")
    assert (alone.template, alone.tokens) == ("j", made.tokens)
    (tmp_path / "chat_template.jinja").unlink()
    assert sh.ChatTemplate(path).template == "c"
    (other := tmp_path / "other.jinja").write_text("{{ 1 }}")
    path.unlink()
    assert sh.ChatTemplate(other).tokens == {}


def test_it_is_pickled_and_compared_as_its_arguments(tmp_path: Path) -> None:
    made = sh.ChatTemplate(written(tmp_path, {"chat_template": "{{ x }}"}), variables={"x": [1]})
    assert pickle.loads(pickle.dumps(made)) == made == replace(made)  # noqa: S301 (its own)
    assert made == sh.ChatTemplate(made.path, variables={"x": [1]})
    assert made != replace(made, add_generation_prompt=True)
    dated = sh.ChatTemplate(written(tmp_path, {"chat_template": "{{ strftime_now('%Y') }}"}))
    assert dated.now is not None
    assert dated == replace(dated)


def test_variables_and_time_are_given(files: Mapping[str, Path], tmp_path: Path) -> None:
    template = "{{ bos_token }}{{ x|tojson }}{{ enable_thinking }}{{ strftime_now('%-d %B %Y %H:%M:%S %j %A %%') }}"
    made = Model(files["byte_level"], template, tmp_path)
    variables = {"x": {"b": 1, "a": [None]}, "enable_thinking": False, "bos_token": "<b>"}
    (row,) = made.rows([talk("a")], chat_template=replace(made.template, variables=variables))
    expected = made.theirs.apply_chat_template(talk("a"), **variables)["input_ids"]
    assert row["input_ids"] == expected
    assert "7 March 2026 12:05:09 066 Saturday %" in made.theirs.decode(expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": 3}, TypeError, "ChatTemplate: name must be a str, not 3"),
        ({"add_generation_prompt": "yes"}, TypeError, "ChatTemplate: add_generation_prompt must be"),
        ({"variables": [1]}, TypeError, "ChatTemplate: variables must be a mapping"),
        ({"variables": {"x": {1}}}, TypeError, r"ChatTemplate: variables\['x'\] must be what JSON has"),
        ({"variables": {"x": float("nan")}}, TypeError, r"variables\['x'\] must be what JSON has"),
        ({"variables": {"messages": []}}, ValueError, "variables must not have 'messages'"),
        ({"now": "today"}, TypeError, "ChatTemplate: now must be a datetime or None, not 'today'"),
        ({"path": 3}, TypeError, "ChatTemplate: path must be a path"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ANY.ChatTemplate(**{"path": written(tmp_path, {"chat_template": "x"})} | options)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "path must be JSON"),
        ("[1]", "path must be an object of JSON"),
        ({}, "path must have a template 'default'"),
        ({"chat_template": 3}, "path must have a template 'default'"),
        ({"chat_template": "x" * (1 << 20) + "y"}, "more than 1 MiB"),
    ],
)
def test_files_without_templates_are_refused(tmp_path: Path, config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sh.ChatTemplate(written(tmp_path, config))
    with pytest.raises(FileNotFoundError):
        sh.ChatTemplate(tmp_path / "none.json")


def test_tokenize_refuses_what_is_no_template(files: Mapping[str, Path], tmp_path: Path) -> None:
    good = sh.ChatTemplate(written(tmp_path, {"chat_template": "x"}))
    with pytest.raises(ValueError, match=r"Tokenize: add_special_tokens must be False with a chat_template"):
        sh.Tokenize(files["split"], chat_template=good, add_special_tokens=True)
    with pytest.raises(TypeError, match="Tokenize: chat_template must be a ChatTemplate or None, not 'x'"):
        ANY.Tokenize(files["split"], chat_template="x")
    for template in ("{% for %}", "{{", "{% include 'x' %}", "{% endgeneration %}", "\ufdd0"):
        bad = sh.ChatTemplate(written(tmp_path, {"chat_template": template}))
        with pytest.raises(ValueError, match=r"Tokenize: tokenizer .* cannot have such conversations: chat_template: "):
            sh.Tokenize(files["split"], chat_template=bad)
