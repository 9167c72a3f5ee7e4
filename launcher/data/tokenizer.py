"""The tokenizer of a model, given as a file of conf/model, a folder, a package or a hub id.

Importing this module is light; loading a tokenizer imports transformers.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.config import Init, ModelConfig
from launcher.errors import DataError
from launcher.hub import is_path
from launcher.packages import TRAINING_STACK
from launcher.resources import resource_dir, shipped_models

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSource:
    """Where the tokenizer of a model comes from."""

    model: str
    """As it was typed."""
    where: str
    """A folder, or the id of a model on a hub."""
    revision: str | None
    gguf_file: str | None
    max_length: int | None
    """model.max_length if conf/model has a file of that name."""
    random: bool
    """Whether the model's weights are random; its tokens are then bytes."""

    @property
    def on_hub(self) -> bool:
        """Whether it is a hub's id."""
        return not self.random and not Path(self.where).is_dir()


def source_of(model: ModelConfig, folder: Path | None) -> TokenizerSource | None:
    """The source of the tokenizer of a configuration's model that loads at once: from its `folder` on this machine, or none
    because its tokens are bytes. One in a GGUF file takes ten seconds."""
    random = model.init is Init.random
    if not random and (model.gguf_file or folder is None or not any(folder.glob("tokenizer*"))):
        return None
    return TokenizerSource(
        model=model.name_or_path, where=str(folder or ""), revision=None, gguf_file=None, max_length=model.max_length,
        random=random,
    )  # fmt: skip


def find_source(model: str) -> TokenizerSource:
    """The source of a model's tokenizer, by its name in conf/model, its folder or its hub id; DataError if there is none."""
    file = resource_dir("conf") / "model" / f"{model}.yaml"
    known: dict[str, Any] = {}
    if model in shipped_models():
        known = cast("dict[str, Any]", yaml.safe_load(file.read_text()))
    where, gguf = str(known.get("name_or_path", model)), known.get("gguf_file")
    random = known.get("init") == "random"
    if not random and where.startswith("package:"):
        found = importlib.util.find_spec(where.removeprefix("package:"))
        if found is None or found.origin is None:
            package = where.removeprefix("package:")
            raise DataError(
                f"--model {model}: its package {package} is not installed; install it, or leave --model out"
            )
        where = str(Path(found.origin).parent)
    own_path = is_path(where)
    where = str(Path(where).expanduser())
    if not random and own_path and not Path(where).is_dir():
        raise DataError(f"--model {model} is not a folder here; check the path, or give a hub id")
    return TokenizerSource(
        model=model, where=where, revision=known.get("revision"), gguf_file=gguf, max_length=known.get("max_length"),
        random=random,
    )  # fmt: skip


def load_tokenizer(model: str, *, offline: bool = False) -> tuple[Any, int | None]:
    """The tokenizer, and model.max_length if conf/model has a file of that name; DataError if no tokenizer can be loaded.

    `offline`: no hub is asked for a newer version of what its cache has.
    """
    source = find_source(model)
    return load_source(source, offline=offline), source.max_length


def load_source(source: TokenizerSource, *, offline: bool = False) -> Any:
    """The tokenizer; DataError if it cannot be loaded."""
    model = source.model
    if source.random:
        return byte_tokenizer()
    options: dict[str, Any] = {"revision": source.revision} if source.revision else {}
    if source.gguf_file:
        options["gguf_file"] = source.gguf_file
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError:
        raise DataError(f"--model needs transformers; {TRAINING_STACK}, or leave --model out") from None
    try:
        loaded = transformers.AutoTokenizer.from_pretrained(source.where, local_files_only=offline, **options)
    except Exception as error:  # for a file that is not a tokenizer, the library raises errors of many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"--model {model}: no tokenizer could be loaded ({reason}); give a name from conf/model, a folder or a hub id"
        ) from None
    return loaded


def byte_tokenizer() -> Any:
    """A tokenizer whose tokens are bytes and ChatML's special tokens; for models with random weights."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    transformers: Any = importlib.import_module("transformers")

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer: Any = Tokenizer(
        models.BPE(vocab={character: index for index, character in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|pad|>", "<|im_start|>", "<|im_end|>"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|im_end|>", chat_template=CHATML
    )
