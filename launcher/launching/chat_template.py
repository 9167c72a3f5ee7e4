"""model.chat_template and the tokens beside it, read before a launch: a shipped name, a Jinja file or another model's; and the
template of the run's model as far as its files are on this machine, to render rows with it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from launcher.config import AdapterMode, Config, Init, ModelConfig
from launcher.errors import ConfigError, RunError, unknown
from launcher.hub import cache_folder, find_snapshot, is_path
from launcher.launching.model_gate import folder_of
from launcher.plan.chat_format import ChatFormat
from launcher.reading import object_in, read_text
from launcher.resources import resource_dir

if TYPE_CHECKING:
    from launcher.data.template import ChatTemplate

_KEY = "model.chat_template"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
_RANDOM = (("eos_token", "<|im_end|>"), ("pad_token", "<|pad|>"))
"""Special tokens of the byte tokenizer (launcher.data.tokenizer.byte_tokenizer)."""


def shipped() -> list[str]:
    """Names of the templates that come with the launcher."""
    return sorted(file.stem for file in (resource_dir("conf") / "chat_template").glob("*.yaml"))


def read_format(config: Config) -> ChatFormat | None:
    """The changes to the model's tokenizer; None if it is not changed. ConfigError for a template that cannot be read."""
    model = config.model
    _check_tokens(model)
    if not (model.chat_template or model.added_tokens or model.eos_token or model.pad_token):
        return None
    template, control, end = (
        _read(model.chat_template, {**os.environ, **config.cluster.env})
        if model.chat_template
        else (None, [], None)
    )
    return ChatFormat(
        name=model.chat_template,
        template=template,
        control=tuple(control),
        added=tuple(model.added_tokens),
        eos=model.eos_token or end,
        pad=model.pad_token,
    )


def check_chats(config: Config, chat: ChatFormat | None, kinds: dict[str, str]) -> None:
    """ConfigError if the data needs a chat template and the model's files on this machine have none.

    `kinds`: data file -> what its rows are called, for the files whose rows are rendered.
    """
    if not kinds or (chat is not None and chat.template):
        return
    merged = config.model.adapter if config.model.adapter_mode is AdapterMode.merge else None
    if merged and template_in(Path(merged)) is not None:
        return
    folder = folder_of(config)
    if folder is None or not any((folder / name).is_file() for name in _TOKENIZERS):
        return
    if template_in(folder) is None:
        path, kind = next(iter(kinds.items()))
        own = f"{_KEY}={suggest(object_in(folder / 'config.json') or {})}"
        raise ConfigError(
            f"{path} holds {kind}s, and model.name_or_path={config.model.name_or_path} has no chat template (it is a base "
            f"model); set {own} to teach it one (known: {', '.join(shipped())}, a Jinja file, or another model), use its "
            "instruct version, or train on plain text: python -m launcher data convert IN OUT --to text"
        )


def suggest(config_json: dict[str, Any]) -> str:
    """The shipped template that fits a base model, whose vocabulary often has its tokens already."""
    kind, rows = str(config_json.get("model_type")), config_json.get("vocab_size")
    if kind == "llama":
        return "llama3" if rows == 128256 else "chatml"
    family = {"mistral": "mistral", "mixtral": "mistral", "phi3": "phi"}
    return "gemma" if kind.startswith("gemma") else family.get(kind, "chatml")


def format_named(name: str, environ: Mapping[str, str]) -> ChatFormat:
    """The changes that model.chat_template=NAME alone makes; ConfigError for a template that cannot be read."""
    template, control, end = _read(name, environ)
    return ChatFormat(name=name, template=template, control=tuple(control), added=(), eos=end, pad=None)


def _read(name: str, environ: Mapping[str, str]) -> tuple[str, list[str], str | None]:
    """The template's text, its control tokens, and the token that ends an answer, None for the model's own."""
    path = Path(name)
    if name in shipped():
        known = yaml.safe_load((resource_dir("conf") / "chat_template" / f"{name}.yaml").read_text())
        return known["template"], known["tokens"], known["end"]
    if path.is_file():
        text = _text_of(name, path)
        _check_jinja(name, text)
        return _without_bos(text), [], None
    if path.is_dir():
        return _of_model(name, path)
    cached = find_snapshot(cache_folder(environ), name, "main")
    if cached is not None:
        return _of_model(name, cached)
    ends_like_file = path.suffix in (".jinja", ".jinja2", ".j2", ".txt", ".json")
    if is_path(name) or ends_like_file or "/" not in name:
        raise ConfigError(
            f"{_KEY}: {unknown('template', name, shipped())} Or give a Jinja file, or the folder or hub id of a model"
        )
    raise ConfigError(
        f"{_KEY}={name} is neither a file nor a folder here, and the hub's cache has no tokenizer of that model; run "
        f"`hf download {name} --include 'tokenizer*' 'chat_template*'` where the hub can be reached, or use one of "
        f"{', '.join(shipped())}"
    )


def _of_model(name: str, folder: Path) -> tuple[str, list[str], str | None]:
    """The template of the model in a folder, with those of its tokens that the template writes."""
    text = template_in(folder)
    if text is None:
        raise ConfigError(
            f"{_KEY}={name} is a folder without a chat template; use one of {', '.join(shipped())}"
        )
    _check_jinja(name, text)
    values = object_in(folder / "tokenizer_config.json") or {}
    end = _text(values.get("eos_token"))
    known = [
        *special_contents(values.get("added_tokens_decoder")),
        *special_contents(object_in(folder / "tokenizer.json") or {}),
    ]
    written = [token for token in dict.fromkeys(known) if token in text]
    return _without_bos(text), [token for token in written if token != _text(values.get("bos_token"))], end


def _without_bos(text: str) -> str:
    """The template, changed to write nothing where the model's tokenizer has no token for the beginning (Qwen's, for one)."""
    return f"{{%- set bos_token = bos_token | default('', true) -%}}{text}" if "bos_token" in text else text


def special_contents(found: Any) -> list[str]:
    """Contents of the special tokens in a tokenizer's file."""
    if not isinstance(found, dict):
        return []
    values = cast("dict[str, Any]", found)
    listed: Any = values.get("added_tokens", list(values.values()))
    known = (
        [one for one in cast("list[dict[str, Any]]", listed) if type(one) is dict]
        if type(listed) is list
        else []
    )
    return [str(one["content"]) for one in known if one.get("special") and "content" in one]


def _text(token: Any) -> str | None:
    """A token as tokenizer_config.json has it: as text, or as an object with its content."""
    if isinstance(token, dict):
        return str(cast("dict[str, Any]", token).get("content"))
    return str(token) if token else None


def _text_of(name: str, file: Path) -> str:
    try:
        return read_text(file)
    except RunError as error:
        raise ConfigError(f"{_KEY}={name}: {error}") from None


def template_in(folder: Path) -> str | None:
    """The chat template of a model's folder; None if it has none. Source: transformers 5.23, tokenization_utils_base.py."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _text_of(str(folder), file)
    found = (object_in(folder / "chat_template.json") or {}).get("chat_template")
    found = found or (object_in(folder / "tokenizer_config.json") or {}).get("chat_template")
    if isinstance(found, list):  # several by name
        listed = [one for one in cast("list[dict[str, Any]]", found) if type(one) is dict]
        named = {str(one.get("name")): one.get("template") for one in listed}
        found = named.get("default") or next(iter(named.values()), None)
    return str(found) if found else None


def _check_jinja(name: str, text: str) -> None:
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if not text.strip():
        raise ConfigError(
            f"{_KEY}={name} is empty; a template writes `messages`, see docs/howto/base_model.md"
        )
    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    try:
        # transformers knows this block, which marks what the assistant writes
        environment.parse(text.replace("{% generation %}", "").replace("{% endgeneration %}", ""))
    except TemplateSyntaxError as error:
        raise ConfigError(
            f"{_KEY}={name}, line {error.lineno}: {error.message}; correct the template, or use one of {', '.join(shipped())}"
        ) from None
    if "messages" not in text:
        raise ConfigError(f"{_KEY}={name} never writes `messages`, so it is not a chat template; correct it")


def _check_tokens(model: ModelConfig) -> None:
    named = [*(("model.added_tokens", one) for one in model.added_tokens)]
    named += [("model.eos_token", one) for one in [model.eos_token] if one is not None]
    named += [("model.pad_token", one) for one in [model.pad_token] if one is not None]
    for key, token in named:
        if not token or token.isspace() or token != token.strip():
            raise ConfigError(
                f"{key} holds {token!r}: a token is a text without spaces around it, such as '<|im_end|>'"
            )
    double = {one for one in model.added_tokens if model.added_tokens.count(one) > 1}
    if double:
        raise ConfigError(f"model.added_tokens holds {min(double)!r} twice; give each token once")


def row_template(config: Config) -> "ChatTemplate | None":
    """The template that the ranks will use; None if the model's files are not on this machine, or have none."""
    chat, folder = read_format(config), folder_of(config)
    if chat is None and folder is None and config.model.init is not Init.random:
        return None
    from launcher.data.template import (
        ChatTemplate,
        special_tokens,
    )  # imported here: the files of many models are not on this machine
    from launcher.data.tokenizer import CHATML

    text, named, more = None, dict[str, str](), list[str]()
    if config.model.init is Init.random:
        text, named = CHATML, dict(_RANDOM)
    elif folder is not None:
        text = template_in(folder)
        values: dict[str, Any] = object_in(folder / "tokenizer_config.json") or {}
        named = dict(special_tokens({**(object_in(folder / "special_tokens_map.json") or {}), **values}))
        more = [
            *special_contents(values.get("added_tokens_decoder")),
            *special_contents(object_in(folder / "tokenizer.json") or {}),
        ]
    if chat is not None:
        text = chat.template or text
        more += [*chat.control]
        if chat.eos:
            named["eos_token"] = chat.eos
    if not text:
        return None
    return ChatTemplate(
        name_or_path=config.model.name_or_path,
        chat_template=text,
        special=tuple(named.items()),
        more_special=tuple(dict.fromkeys(more)),
    )
