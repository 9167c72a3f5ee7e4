"""How a model's tokenizer is changed for a run: its chat template, added tokens, and its EOS and padding tokens."""

from collections.abc import Mapping
from typing import Any

from launcher.errors import ConfigError
from launcher.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class ChatFormat:
    """What a launch has read of model.chat_template and its neighbours; plan.json holds it, so that a run keeps it."""

    name: str | None
    """model.chat_template as typed; None keeps the model's own template."""
    template: str | None
    """Its Jinja text."""
    control: tuple[str, ...]
    """Tokens that the template writes. Their embeddings are trained, and those that the model lacks are added."""
    added: tuple[str, ...]
    """model.added_tokens: ordinary tokens, which are added and trained."""
    eos: str | None
    """The token that ends an answer; None keeps the model's own."""
    pad: str | None
    """The padding token; None keeps the model's own."""

    @property
    def trained(self) -> tuple[str, ...]:
        """Tokens whose embeddings are trained, each once."""
        return tuple(dict.fromkeys((*self.control, *self.added)))


def format_from(written: Mapping[str, Any] | None) -> ChatFormat | None:
    """The value from its JSON object in plan.json."""
    if written is None:
        return None
    values: dict[str, Any] = {
        **written,
        "control": tuple(written["control"]),
        "added": tuple(written["added"]),
    }
    return ChatFormat(**values)


def fit_tokenizer(tokenizer: Any, chat: ChatFormat) -> None:
    """Gives the tokenizer the template and the tokens; a token that it would split is added to its vocabulary."""
    from tokenizers import AddedToken

    special = [*chat.control, *(token for token in (chat.eos, chat.pad) if token)]
    for tokens, is_special in ((special, True), (chat.added, False)):
        new = [token for token in dict.fromkeys(tokens) if not _is_whole(tokenizer, token)]
        # normalized=False: the token is found as it is written, whatever the tokenizer does to other text
        added = [AddedToken(token, special=is_special, normalized=False) for token in new]
        if added:
            tokenizer.add_tokens(added, special_tokens=is_special)
    if chat.eos:
        tokenizer.eos_token = chat.eos
    if chat.pad:
        tokenizer.pad_token = chat.pad
    if chat.template:
        if tokenizer.eos_token is None and "eos_token" in chat.template:
            raise ConfigError(
                f"model.chat_template={chat.name} ends an answer with the end-of-text token, which this model lacks; set "
                "model.eos_token"
            )
        tokenizer.chat_template = chat.template


def _is_whole(tokenizer: Any, token: str) -> bool:
    """Whether the tokenizer reads the text as one token, and knows it as one that it never splits."""
    return token in tokenizer.get_added_vocab()
