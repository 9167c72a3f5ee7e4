"""The tokenizer of a model, given as a file of conf/model, a folder, a package or a hub id.

Importing this module is light; loading a tokenizer imports transformers.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.errors import DataError
from launcher.hub import is_path
from launcher.packages import TRAINING_STACK
from launcher.resources import resource_dir

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def load_tokenizer(model: str) -> tuple[Any, int | None]:
    """The tokenizer, and model.max_length if conf/model has a file of that name; DataError if no tokenizer can be loaded."""
    file = resource_dir("conf") / "model" / f"{model}.yaml"
    known: dict[str, Any] = {}
    if file.is_file():
        known = cast("dict[str, Any]", yaml.safe_load(file.read_text()))
    if known.get("init") == "random":
        return byte_tokenizer(), known.get("max_length")
    where: str = known.get("name_or_path", model)
    options: dict[str, Any] = {"revision": known["revision"]} if known.get("revision") else {}
    if where.startswith("package:"):
        found = importlib.util.find_spec(where.removeprefix("package:"))
        if found is None or found.origin is None:
            raise DataError(f"--model {model}: its package {where.removeprefix('package:')} is not installed")
        where, options = str(Path(found.origin).parent), {"gguf_file": known.get("gguf_file")}
    where = str(Path(where).expanduser())
    if is_path(where) and not Path(where).is_dir():
        raise DataError(f"--model {model} is not a folder here; check the path, or give a hub id")
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError:
        raise DataError(f"--model needs transformers; {TRAINING_STACK}, or leave --model out") from None
    try:
        return transformers.AutoTokenizer.from_pretrained(where, **options), known.get("max_length")
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"--model {model}: no tokenizer could be loaded ({reason}); give a name from conf/model, a folder or a hub id"
        ) from None


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
