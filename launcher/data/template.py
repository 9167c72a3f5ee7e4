"""A chat template without its tokenizer: it renders chats as transformers does, and needs neither transformers nor torch."""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from launcher.data.template_limit import Limit, limited_environment

_BLOCK = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """The part of a tokenizer that launcher.data.mask and launcher.data.rendering need to render chats."""

    name_or_path: str
    chat_template: str
    special: tuple[tuple[str, str], ...] = ()
    """Names and texts of the special tokens, such as (eos_token, </s>); the template can write them by these names."""
    more_special: tuple[str, ...] = ()
    """Further special tokens."""

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens that have a name."""
        return [token for _, token in self.special]

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """The further special tokens, as transformers has them: by id, with their content."""
        return {number: _Token(content=token) for number, token in enumerate(self.more_special)}

    def apply_chat_template(self, turns: list[dict[str, Any]], *, tokenize: bool, **more: Any) -> str:
        """The text of the turns; errors are those of the template."""
        assert not tokenize
        values = {"messages": turns, "tools": None, "documents": None, "add_generation_prompt": False}
        compiled, limit = _compiled(self.chat_template)
        limit.begin()
        try:
            text: str = compiled.render(**{**values, **dict(self.special), **more})
        except MemoryError:
            limit.fail("it needs more memory than this process has")
        limit.end()
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    content: str
    special: bool = True


@functools.lru_cache(maxsize=8)
def _compiled(text: str) -> tuple[Any, Limit]:
    """The template, compiled as by transformers 5 (utils/chat_template_utils.py, _compile_jinja_template), and its limit."""
    from jinja2.exceptions import TemplateError

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def strftime_now(form: str) -> str:
        return "01 Jan 2026"  # the date in the rendered text makes no difference here

    def tojson(value: Any, ensure_ascii: bool = False, **more: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **more)

    limit = Limit()
    environment = limited_environment(limit)
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    # {% generation %} marks what the assistant writes, without changing the text
    return environment.from_string(_BLOCK.sub(_plain_block, text)), limit


def _plain_block(found: re.Match[str]) -> str:
    return f"{{%{found[1]} {'endif' if found[2] else 'if true'} {found[3]}%}}"


def special_tokens(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and texts of the special tokens in a tokenizer_config.json or special_tokens_map.json."""
    found: list[tuple[str, str]] = []
    for name, token in values.items():
        text: Any = cast("dict[str, Any]", token).get("content") if isinstance(token, dict) else token
        if name.endswith("_token") and isinstance(text, str):
            found.append((name, text))
    return tuple(found)
