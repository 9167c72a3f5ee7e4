"""The chat template of a run's model as far as its files are on this machine, to render rows with it before the launch."""

from typing import TYPE_CHECKING, Any

from launcher.config import Config, Init
from launcher.launching.chat_template import read_format, special_contents, template_in
from launcher.launching.model_gate import folder_of, read_json

if TYPE_CHECKING:
    from launcher.data.template import ChatTemplate

_RANDOM = (("eos_token", "<|im_end|>"), ("pad_token", "<|pad|>"))
"""Special tokens of the byte tokenizer (launcher.data.tokenizer.byte_tokenizer)."""


def row_template(config: Config) -> "ChatTemplate | None":
    """The template that the ranks will use; None if the model's files are not on this machine, or have none."""
    chat, folder = read_format(config), folder_of(config)
    if chat is None and folder is None and config.model.init is not Init.random:
        return None
    from launcher.data.template import (
        ChatTemplate,
        special_tokens,
    )  # by need: the files of many a model are not here
    from launcher.data.tokenizer import CHATML

    text, named, more = None, dict[str, str](), list[str]()
    if config.model.init is Init.random:
        text, named = CHATML, dict(_RANDOM)
    elif folder is not None:
        text = template_in(folder)
        values: dict[str, Any] = read_json(folder / "tokenizer_config.json") or {}
        named = dict(special_tokens({**(read_json(folder / "special_tokens_map.json") or {}), **values}))
        more = [
            *special_contents(values.get("added_tokens_decoder")),
            *special_contents(read_json(folder / "tokenizer.json") or {}),
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
