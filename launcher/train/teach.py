"""The verb data teach: a teacher's predictions for the rows of a run, stored once for all runs on these rows."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from launcher.config import Config, ModelConfig, Precision
from launcher.data.stored_output import StoredOutput
from launcher.errors import ConfigError
from launcher.plan import Facts
from launcher.plugins.decide import facts_from
from launcher.protocol.work.requests import StoreTeacher
from launcher.protocol.work.results import Say, TaughtFolder, WorkProgress
from launcher.train.data.ahead import Ahead, read_text, run_tokenizer
from launcher.train.data.cache import Progress, TokenCache
from launcher.train.data.encoders import Encoders
from launcher.train.data.packing import Collator, check_packable
from launcher.train.data.rows import Rows
from launcher.train.data.tokens import check_renders, key_of, tokenizer_digest
from launcher.train.kept_positions import KeptPositions, trained_positions
from launcher.train.methods.parts import RowParts, module_of
from launcher.train.methods.sft import takes_lengths
from launcher.train.methods.teacher import check_vocabulary, teacher_model
from launcher.train.model import source_of
from launcher.train.predicted import top_tokens
from launcher.train.sequence.peers import shift
from launcher.train.stored_teacher import Writer, distinct, trained_tokens

_WEIGHTS = ("*.safetensors", "*.bin", "config.json")


def answer(request: StoreTeacher, say: Say) -> TaughtFolder:
    """The folder that was found or made."""
    config, facts = read_text(request.config), facts_from(request.facts)
    say(WorkProgress(what="loading the tokenizer"))
    tokenizer = run_tokenizer(config, facts)
    check_renders(facts, tokenizer, config)
    model = teacher_model(config)
    check_vocabulary(model, tokenizer, facts, config.seed)
    totals = {"train": facts.rows, "eval": facts.eval_rows}
    ahead = Ahead(facts.cache_dir, Encoders(request.workers), say, totals)
    parts = RowParts(config=config, facts=facts, tokenizer=tokenizer, shared=ahead)
    sets = [Rows(one) for one in module_of(config.trainer.kind).rows(parts) if one is not None]
    where, revision = source_of(model, facts, config.seed, pinned=False)
    vocabulary = min(heads(config, model, facts))
    about = StoredOutput(
        teacher=model.name_or_path,
        tokenizer=tokenizer_digest(tokenizer),
        max_length=config.model.max_length,
        packing=config.trainer.packing,
        assistant_only_loss=config.trainer.assistant_only_loss,
        temperature=1.0 if config.trainer.temperature is None else config.trainer.temperature,
        top_k=min(request.top_k, vocabulary),
        vocabulary=vocabulary,
        rows=0,
        tokens=0,
        left_out=0.0,
    )
    words = {
        "taught": {name: value for name, value in dataclasses.asdict(about).items() if name != "teacher"},
        "teacher": content_of(where, revision),
        "sets": [key_of("train", parts.training, tokenizer, config, ahead.folder)]
        + ([key_of("eval", parts.evaluation, tokenizer, config, ahead.folder)] if parts.evaluation else []),
        "code": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16],
        "precision": _precision(config),
    }

    def make(folder: Path, progress: Progress) -> dict[str, Any]:
        say(WorkProgress(what="loading the teacher"))
        teacher = open_teacher(config, model, where, revision)
        batches = _batches(sets, request.micro_batch_size, progress)
        return dataclasses.asdict(_store(teacher, folder, batches, tokenizer, about))

    def tell(count: int) -> None:
        total = sum(len(one) for one in sets)
        say(WorkProgress(what="the teacher predicts", done=count, total=total))

    found = TokenCache(facts.cache_dir).find_or_make(words, make, tell)
    return TaughtFolder(folder=str(found.folder), made=found.made)


def heads(config: Config, model: ModelConfig, facts: Facts) -> tuple[int, int]:
    """Rows of the heads of the trained model and of the teacher."""
    found: list[int] = []
    for one, pinned in ((config.model, True), (model, False)):
        where, revision = source_of(one, facts, config.seed, pinned=pinned)
        shape = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=one.trust_remote_code)
        found.append(int(shape.get_text_config().vocab_size))
    return found[0], found[1]


def content_of(where: str, revision: str) -> str:
    """What identifies a teacher's weights: a digest of the files of a folder; for a hub's model its name and commit."""
    if not Path(where).is_dir():
        from huggingface_hub import snapshot_download

        return (
            f"{where}@{Path(snapshot_download(where, revision=revision, allow_patterns='config.json')).name}"
        )
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted({file for pattern in _WEIGHTS for file in Path(where).glob(pattern)}):
        digest.update(f"{file.name}\0".encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def open_teacher(config: Config, model: ModelConfig, where: str, revision: str) -> Any:
    """The frozen teacher, on the GPUs of this machine if there are any; layers are spread over several."""
    options: dict[str, Any] = {"dtype": getattr(torch, _precision(config))}
    if torch.cuda.is_available():
        options["device_map"] = "auto"
    if model.attn_implementation:
        options["attn_implementation"] = model.attn_implementation
    try:
        teacher = AutoModelForCausalLM.from_pretrained(
            where, revision=revision, trust_remote_code=model.trust_remote_code, **options
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"trainer.teacher={model.name_or_path} cannot be loaded ({reason})") from None
    if config.trainer.packing:
        check_packable(teacher)
    return teacher.eval().requires_grad_(False)


def _precision(config: Config) -> str:
    bf16 = config.trainer.precision is Precision.bf16 or (
        config.trainer.precision is Precision.auto and torch.cuda.is_available()
    )
    return "bfloat16" if bf16 else "float32"


@torch.no_grad()
def _store(
    teacher: Any,
    folder: Path,
    batches: Iterator[list[tuple[int, dict[str, Any]]]],
    tokenizer: Any,
    about: StoredOutput,
) -> StoredOutput:
    """What is stored, after the files are written."""
    writer, head = Writer(folder), KeptPositions(teacher)
    collate = Collator(tokenizer.pad_token_id, varlen=takes_lengths(teacher))
    tokens, left_out = 0, 0.0
    for batch in batches:
        rows = [row for _, row in batch]
        inputs = dict(collate(rows))
        kept = trained_positions(shift(inputs.pop("labels")).flatten())
        moved = {
            name: value.to(teacher.device) if isinstance(value, torch.Tensor) else value
            for name, value in inputs.items()
        }
        with head.only(kept.to(teacher.device)):
            logits = teacher(**moved, use_cache=False).logits[0]
        ids, log_probs = top_tokens(logits, about.top_k, about.vocabulary, about.temperature)
        if about.top_k < about.vocabulary:
            left_out += float(log_probs[:, -1].double().exp().sum())
        counts = [trained_tokens(row) for row in rows]
        for (digest, _), one, other in zip(batch, ids.split(counts), log_probs.split(counts), strict=True):
            writer.add(digest, one, other)
        tokens += sum(counts)
    writer.close()
    mean = round(left_out / max(tokens, 1), 6)
    return dataclasses.replace(about, rows=len(writer.rows), tokens=tokens, left_out=mean)


def _batches(sets: list[Rows], size: int, progress: Progress) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Rows with their digests, so many at once, each row once."""
    held: list[tuple[int, dict[str, Any]]] = []
    known: dict[int, Any] = {}
    done = 0
    for rows in sets:
        for digest, row in distinct((rows[number] for number in range(len(rows))), known):
            held.append((digest, row))
            if len(held) == size:
                yield held
                done += len(held)
                progress(done)
                held = []
    if held:
        yield held
    progress(done + len(held))
