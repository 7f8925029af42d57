"""The templates by which conversations become texts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from stokehold.checks import path, shown, text, truth

__all__ = ["ChatTemplate"]

CONFIG: Final = "tokenizer_config.json"
JINJA: Final = "chat_template.jinja"
LONGEST: Final = 1 << 20
"""The most bytes of a template; those that there are have some 20,000."""

DIRECTIVES: Final = (
    *"aAbBcCdDeFgGhHIjklmMnprRsStTuUVwWxXyY",
    *("-d", "-e", "-H", "-I", "-j", "-k", "-l", "-m", "-M", "-S", "-U", "-W", "-y"),
)
"""What a template may ask of the time: directives of ``strftime``, with ``-`` for no padding."""

GIVEN: Final = ("messages", "add_generation_prompt")
"""Variables of templates that are not given by the user."""


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a model, for `Tokenize`: what makes one text of a conversation.

    It is the Jinja template of ``tokenizer_config.json`` or ``chat_template.jinja``, as `transformers` has it: with
    ``trim_blocks``, ``lstrip_blocks``, ``break`` and ``continue``, ``raise_exception``, ``strftime_now``, a ``tojson``
    that is ``json.dumps``, ``{% generation %}``, and the special tokens of ``tokenizer_config.json`` as variables.
    Workers render it by the crate ``minijinja``. A template reads no files, and is given up after 4 million steps, of
    which each 64 bytes that it makes are one.

    It is read here, and travels with the loader: no worker reads the file.

    Args:
        path: A ``tokenizer_config.json``, or the folder that it lies in, or a file of a template, ``.jinja``. A
            ``chat_template.jinja`` beside a ``tokenizer_config.json`` counts before what that has.
        name: Which template, where ``tokenizer_config.json`` has several: ``"default"`` is what `transformers` takes.
        add_generation_prompt: Whether what begins an answer of the assistant is put behind each conversation; ``False``
            by default.
        variables: Further variables of the template, as the keywords of ``apply_chat_template``: numbers, texts, lists
            and mappings, ``{"enable_thinking": False}``. They count before special tokens of the same name.
        now: The time that ``strftime_now`` tells. ``None``, the default, is the time at which this is made: it is the
            same for all workers and epochs. Give it where a resumed run is to have the same samples on another day.

    Raises:
        TypeError: An argument is of another type, or a variable is none that JSON has.
        ValueError: There is no template in the file, none of this name, or one that is longer than 1 MiB.
        OSError: There is no such file.
    """

    path: str | os.PathLike[str]
    name: str = "default"
    add_generation_prompt: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)
    now: datetime | None = None
    template: str = field(init=False, repr=False)
    """The template."""
    tokens: Mapping[str, str] = field(init=False, repr=False)
    """The special tokens, by the names of their variables, such as ``bos_token``."""

    def __post_init__(self) -> None:
        given = path("ChatTemplate: path", self.path)
        name = text("ChatTemplate: name", self.name)
        template, tokens = _read(Path(given), name)
        if len(template.encode(errors="replace")) > LONGEST:
            raise ValueError(f"ChatTemplate: path has a template of {len(template)} characters, more than 1 MiB")
        if self.now is not None and not isinstance(self.now, datetime):
            raise TypeError(f"ChatTemplate: now must be a datetime or None, not {shown(self.now)}")
        # What asks for no time is the same whenever it is made.
        now = datetime.now() if self.now is None and "strftime_now" in template else self.now  # noqa: DTZ005 (local, as theirs)
        found = {
            "path": given,
            "name": name,
            "add_generation_prompt": truth("ChatTemplate: add_generation_prompt", self.add_generation_prompt),
            "variables": _variables(self.variables),
            "now": now,
            "template": template,
            "tokens": tokens,
        }
        for attribute, value in found.items():
            object.__setattr__(self, attribute, value)

    def spec(self) -> dict[str, Any]:
        """Returns the template as plain data, the form in which it is sent to the workers."""
        now = self.now
        return {
            "template": self.template,
            "variables": json.dumps({**self.tokens, **self.variables}, allow_nan=False),
            "add_generation_prompt": self.add_generation_prompt,
            "now": {} if now is None else {each: now.strftime(f"%{each}") for each in DIRECTIVES},
        }


def _variables(value: object) -> dict[str, Any]:
    """Returns variables, a copy."""
    if not isinstance(value, Mapping):
        raise TypeError(f"ChatTemplate: variables must be a mapping of names to values, not {shown(value)}")
    for name, each in value.items():
        if not isinstance(name, str):
            raise TypeError(f"ChatTemplate: variables must have names that are str, not {shown(name)}")
        if name in GIVEN:
            raise ValueError(
                f"ChatTemplate: variables must not have {name!r}, which is given by the sample or an argument"
            )
        try:
            json.dumps(each, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError, OverflowError):
            what = f"ChatTemplate: variables[{name!r}] must be what JSON has: numbers, texts, lists and mappings"
            raise TypeError(f"{what}, not {shown(each)}") from None
    return dict(value)


def _read(given: Path, name: str) -> tuple[str, dict[str, str]]:
    """Returns the template of this name, and the special tokens."""
    given = given / CONFIG if given.is_dir() else given
    is_jinja = given.suffix == ".jinja"
    config_path, jinja = (given.with_name(CONFIG), given) if is_jinja else (given, given.with_name(JINJA))
    config = {} if is_jinja and not config_path.exists() else _config(config_path)
    tokens = {key: found for key, value in config.items() if (found := _token(key, value)) is not None}
    if name == "default" and (is_jinja or jinja.exists()):
        return _text(jinja), tokens
    found = config.get("chat_template")
    if isinstance(found, list):
        named = [each for each in found if isinstance(each, dict)]
        templates = {each.get("name"): each.get("template") for each in named if isinstance(each.get("name"), str)}
        found = templates.get(name)
        known = ", ".join(map(repr, templates))
    else:
        known = "" if found is None else "'default'"
        found = found if name == "default" else None
    if not isinstance(found, str):
        of = f"; there are {known}" if known else ""
        what = f"ChatTemplate: path must have a template {name!r}, and {shown(str(config_path))} has none{of}"
        raise ValueError(what)  # noqa: TRY004 (of a file)
    return found, tokens


def _token(key: str, value: object) -> str | None:
    """Returns a special token, where this is one."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if key.endswith("_token") and isinstance(content, str) else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"ChatTemplate: path must be a file of UTF-8, which {shown(str(file))} is not") from None


def _config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError):
            raise
        raise ValueError(f"ChatTemplate: path must be JSON, which {shown(str(file))} is not") from None
    if not isinstance(config, dict):
        raise ValueError(f"ChatTemplate: path must be an object of JSON, which {shown(str(file))} is not")  # noqa: TRY004
    return config
