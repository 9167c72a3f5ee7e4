"""Opening a model of a run for answers: the trained model, that of a checkpoint, or the base."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from launcher.checkpoint.folders import FoundCheckpoint, look
from launcher.errors import RunError
from launcher.methods.registry import find_method
from launcher.plan.classes import Classes
from launcher.plugins.decide import Decided, reread_run
from launcher.protocol.work.requests import ModelChoice
from launcher.run import RunDir
from launcher.train.after.load_back import is_adapter, load_back, open_base
from launcher.train.after.rebuild import check_room, rebuild
from launcher.train.model import load_tokenizer
from launcher.train.rope import saved_rope

_MARK = "ANANSWERTHATSTANDSNOWHERE"


@dataclass(frozen=True)
class Opened:
    """A model on the GPU of this machine, or on its CPU if it has no GPU."""

    decided: Decided | None
    model: Any
    tokenizer: Any
    device: str

    @contextlib.contextmanager
    def base(self) -> Iterator[Any]:
        """The base model: this model with its adapter disabled, or a second model that is loaded temporarily."""
        if hasattr(self.model, "disable_adapter"):
            with self.model.disable_adapter():
                yield self.model
            return
        if self.decided is None:
            raise RunError(
                "the base of a full model in a folder is not known; give the run instead of the folder"
            )
        check_room(self.decided)
        yield _ready(open_base(self.decided, device=self.device))


def open_run(run: RunDir, checkpoint: str | None = None, *, base: bool = False) -> Opened:
    """The model of the run's model/ or of a checkpoint; with `base`, the base model. RunError if there is none, or if it
    predicts no tokens."""
    decided = reread_run(run)
    if decided.plan.classes is not None:
        raise RunError(
            f"{run.name} is a classifier, which gives classes and not answers; python -m launcher classify {run.name} asks it"
        )
    if find_method(decided.plan.trainer).own_head:
        raise _no_answers(run.name, f"is a {find_method(decided.plan.trainer).title}")
    return _open(run, decided, checkpoint, base=base)


def open_chosen(model: ModelChoice) -> Opened:
    """The model that answers chats."""
    if model.folder:
        return open_folder(Path(model.folder))
    return open_run(RunDir(Path(model.run_dir)), model.checkpoint, base=model.base)


def open_classifier(run: RunDir, checkpoint: str | None = None) -> tuple[Opened, Classes]:
    """The classifier of the run's model/ or of a checkpoint, and its classes; RunError if it is another model."""
    decided = reread_run(run)
    if decided.plan.classes is None:
        raise RunError(
            f"{run.name} was trained with trainer={decided.plan.trainer}, not classify; name a run of trainer=classify"
        )
    return _open(run, decided, checkpoint), decided.plan.classes


def _open(run: RunDir, decided: Decided, checkpoint: str | None, *, base: bool = False) -> Opened:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        check_room(decided)
    tokenizer = load_tokenizer(decided.config.model, decided.plan.facts, decided.config.seed)
    if base:
        model = open_base(decided, device=device)
    elif checkpoint is not None:
        found = look(Path(checkpoint))
        if not isinstance(found, FoundCheckpoint):
            raise RunError(found.reason)
        model = rebuild(decided, found).to(device)
    elif is_adapter(run.export) or (run.export / "config.json").is_file():
        model = load_back(run.export, decided, device=device)
    else:
        raise RunError(
            f"{run.name} has no finished model; python -m launcher status {run.name} says why; or name a checkpoint with "
            "--checkpoint STEP or newest"
        )
    return Opened(decided, _ready(model), tokenizer, device)


def open_folder(folder: Path) -> Opened:
    """The model in an exported folder; the base of an adapter is loaded from the source that its configuration names."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, more = AutoModelForCausalLM, dict[str, Any]()
    if is_adapter(folder):
        kind, more = AutoPeftModelForCausalLM, saved_rope(folder)
    try:
        if _has_own_head(folder):
            raise _no_answers(str(folder), "has a head for scores or classes")
        model = kind.from_pretrained(folder, dtype="auto", device_map={"": device}, **more)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise _not_loaded(folder, error) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Opened(None, _ready(model), tokenizer, device)


def open_classifier_folder(folder: Path) -> tuple[Opened, Classes]:
    """The classifier in an exported folder, and the classes that its config.json names; RunError if it is another model."""
    from peft import PeftConfig, PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not _has_own_head(folder) or not (folder / "config.json").is_file():
        raise RunError(
            f"{folder} is not a classifier with its config.json; name a run of trainer=classify, or its export"
        )
    try:
        config = AutoConfig.from_pretrained(folder)
        options: dict[str, Any] = {"config": config, "dtype": "auto", "device_map": {"": device}}
        if is_adapter(folder):
            adapter = PeftConfig.from_pretrained(folder)
            base = AutoModelForSequenceClassification.from_pretrained(
                adapter.base_model_name_or_path, revision=adapter.revision or "main", **options
            )
            model = PeftModel.from_pretrained(base, folder)
        else:
            model = AutoModelForSequenceClassification.from_pretrained(folder, **options)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise _not_loaded(folder, error) from None
    multi = config.problem_type == "multi_label_classification"
    names = tuple(config.id2label[number] for number in range(config.num_labels))
    return Opened(None, _ready(model), tokenizer, device), Classes(
        names=names, weights=None, multi_label=multi
    )


def _not_loaded(folder: Path, error: Exception) -> RunError:
    reason = str(error).strip().partition("\n")[0]
    return RunError(f"{folder} cannot be loaded ({reason}); name a run, or a folder that `export` wrote")


def _has_own_head(folder: Path) -> bool:
    """Whether the files name a head for scores or classes; loaded as a chat model, it would get a head with random weights."""
    for name, key, mark in (
        ("adapter_config.json", "task_type", "SEQ_CLS"),
        ("config.json", "architectures", "ForSequenceClassification"),
    ):
        file = folder / name
        if file.is_file() and mark in str(json.loads(file.read_text()).get(key)):
            return True
    return False


def _no_answers(name: str, what: str) -> RunError:
    return RunError(
        f"{name} {what}, which computes scores and not answers; give a model that was trained to answer"
    )


def stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer: those of the model and the tokenizer, and the token with which the template ends a turn."""
    known = model.generation_config.eos_token_id
    found = {*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id}
    if tokenizer.chat_template:
        chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}]
        rest = tokenizer.apply_chat_template(chat, tokenize=False).partition(_MARK)[2].lstrip()
        closing = [token for token in tokenizer.get_added_vocab() if rest.startswith(token)]
        found |= {tokenizer.convert_tokens_to_ids(max(closing, key=len))} if closing else set()
    return sorted(one for one in found if one is not None)


def prompt_text(tokenizer: Any, turns: Sequence[Mapping[str, Any]], **more: Any) -> str:
    """The prompt for the model; without a chat template, only the last turn."""
    if not tokenizer.chat_template:
        return str(turns[-1]["content"])
    return tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True, **more)


def _ready(model: Any) -> Any:
    model.eval()
    model.config.use_cache = True
    return model
