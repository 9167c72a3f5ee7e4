"""Runs for the fake device: a model's shape, a method, a length, a strategy, and the plan of each."""

import contextlib
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.__main__ import main as launcher
from launcher.data.tokenizer import byte_tokenizer
from launcher.plan.fit import make_load
from launcher.plan.memory import GIB
from launcher.plan.memory.fragments import segment_bytes
from launcher.plugins.decide import read_run
from launcher.run import RunDir
from tests.support.tiny_model import EMPTY_WEIGHTS

KEYS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
    "tie_word_embeddings",
)  # fmt: skip
SHAPES: dict[str, tuple[Any, ...]] = {
    "1B": (2048, 8192, 16, 32, 8, 128_256, True),
    "8B": (4096, 14336, 32, 32, 8, 128_256, False),
    "13B": (5120, 13824, 40, 40, 40, 32_000, False),
}
"""Llama's shapes."""
_ROWS = 48
_TEMPLATE = 21
"""Tokens that the chat template adds to a prompt and its answer."""
_ANSWER = 64
"""Tokens of each answer that grpo generates."""
MIXED = (9, 2, 5, 14, 3, 7, 1, 12, 4, 16, 6, 2, 10, 3, 8, 15, 5, 1, 11, 13)
"""Lengths of the rows of a mixed case, in sixteenths of the longest, in the order in which they are trained."""
_OTHERS = (
    ("1B", 1024, 4, 2, False, "full"), ("1B", 8192, 1, 1, True, "full"), ("1B", 1024, 8, 1, False, "lora"),
    ("8B", 1024, 2, 2, True, "full"), ("13B", 4096, 1, 1, False, "lora"), ("13B", 4096, 1, 1, True, "lora"),
    ("1B", 4096, 1, 4, True, "full"), ("1B", 8192, 1, 1, False, "full"), ("13B", 1024, 2, 1, True, "full"),
)  # fmt: skip
"""Model, length, rows of a pass, passes of a step, checkpointing and method of further mixed cases."""
_TOKENS = 8192
"""Tokens of a row of the data, its end included: every length of a case divides it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run."""

    model: str = "1B"
    trainer: str = "sft"
    """The training method. Those but sft read pairs."""
    method: str = "full"
    checkpointing: bool = True
    length: int = 1024
    packed: bool = False
    """Whether rows hold several documents, so that attention needs a mask."""
    ranks: int = 1
    strategy: str = "ddp"
    layers: int | None = None
    """Blocks, if fewer than the model's: what grows with them is in every block alike."""
    accumulation: int = 1
    batch: int = 1
    """Rows of a micro-batch."""
    mixed: bool = False
    """Whether rows have many lengths, up to `length`, over more steps."""
    more: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        parts = [
            self.model if self.layers is None else f"{self.model}/{self.layers}",
            "" if self.trainer == "sft" else self.trainer, self.method,
            "ckpt" if self.checkpointing else "", str(self.length), "packed" if self.packed else "",
            f"{self.ranks}x{self.strategy}" if self.ranks > 1 else "",
            f"accumulation={self.accumulation}" if self.accumulation > 1 else "",
            f"batch={self.batch}" if self.batch > 1 else "", "mixed" if self.mixed else "", *self.more,
        ]  # fmt: skip
        return " ".join(part for part in parts if part)

    @property
    def masked(self) -> bool:
        """Whether attention needs a mask: rows of several documents, and generated answers, which end at unequal lengths."""
        return self.packed or self.trainer == "grpo"

    @property
    def data(self) -> str:
        """Name of its file of data."""
        if self.mixed:
            return f"mixed_{self.length}"
        return {"sft": "text", "grpo": f"prompts_{self.length}"}.get(self.trainer, f"pairs_{self.length}")

    def shape(self) -> dict[str, Any]:
        """The architecture."""
        values = dict(zip(KEYS, SHAPES[self.model], strict=True))
        return {**values, "num_hidden_layers": self.layers or values["num_hidden_layers"]}

    def _rows(self) -> list[str]:
        """What says which rows are read, and how."""
        if self.trainer == "sft":
            packing = f"trainer.packing={str(self.packed).lower()}"
            return ["data.format=text", "trainer.assistant_only_loss=false", packing]
        if self.trainer == "grpo":
            return [
                "trainer.reward_functions=[{_target_: tests.fakecuda.watch.reward}]", "trainer.num_generations=4",
                f"trainer.max_completion_length={_ANSWER}",
            ]  # fmt: skip
        return []

    def overrides(self) -> list[str]:
        """What would be typed."""
        plugins = [
            *([] if self.method == "full" else [self.method]),
            *(["gradient_checkpointing"] * self.checkpointing),
        ]
        return [
            "+experiment=tiny", "cluster=local", "dry_run=true", "--json", "force=true", "resources.device=cuda",
            "data.eval_path=null", "data.check=off", f"trainer={self.trainer}", *self._rows(),
            f"trainer.max_steps={len(MIXED) if self.mixed else 2}",
            "cluster.context_gib=0", "cluster.gpu_memory_gib=80", f"strategy={self.strategy}",
            f"resources.gpus_per_node={self.ranks}", f"batch.micro_batch_size={self.batch}",
            f"batch.global_batch_size={self.batch * self.ranks * self.accumulation}",
            f"plugin=[{','.join(plugins)}]", f"model.max_length={self.length}", "model.init=pretrained",
            "+plugins.watch._target_=tests.fakecuda.watch.Watch",
            *(f"model.architecture.{key}={str(value).lower()}" for key, value in self.shape().items()), *self.more,
        ]  # fmt: skip


def write_data(folder: Path) -> None:
    """Files of texts and of pairs, whose rows fill every length of the cases."""
    text = "abcdefgh " * _TOKENS
    rows: dict[str, dict[str, str]] = {"text": {"text": text[: _TOKENS - 1]}}
    for length in (1024, 4096, 8192):
        lines = [json.dumps({"text": text[: length * part // 16 - 1]}) + "\n" for part in MIXED]
        (folder / f"mixed_{length}.jsonl").write_text("".join(lines))
    for length in (1024, 4096):
        answer = text[: length - _TEMPLATE - 1]
        rows[f"prompts_{length}"] = {"prompt": text[: length - _ANSWER - _TEMPLATE]}
        rows[f"pairs_{length}"] = {"prompt": "a", "chosen": f"b{answer[1:]}", "rejected": f"c{answer[1:]}"}
    for name, row in rows.items():
        (folder / f"{name}.jsonl").write_text(f"{json.dumps(row)}\n" * _ROWS)


def plan(case: Case, folder: Path) -> tuple[Path, dict[str, float]]:
    """The run dir of a dry run in `folder`, and the memory of its plan in GiB; `fixed` is what it counts as fragmentation
    without segments that grow."""
    shape = case.shape()
    model = folder / f"{case.model}_{shape['num_hidden_layers']}"
    if not model.exists():
        model.mkdir()
        # no weights: the fake device makes models of their configuration alone
        (model / "model.safetensors").write_bytes(EMPTY_WEIGHTS)
        config = {
            **shape,
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "max_position_embeddings": 131072,
        }
        (model / "config.json").write_text(json.dumps(config))
        byte_tokenizer().save_pretrained(model)
    number = len(list(folder.glob("case_*")))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        code = launcher(
            [
                *case.overrides(), f"model.name_or_path={model}", f"data.path={folder}/{case.data}.jsonl",
                f"name=case_{number}", f"runs_dir={folder}", f"cache_dir={folder}/cache",
            ]
        )  # fmt: skip
    if code:
        raise SystemExit(f"{case.name} cannot be planned: {said.getvalue()}")
    run = Path(json.loads(said.getvalue().splitlines()[0])["run_dir"])
    decided = read_run(RunDir(run))
    load = make_load(decided.config, decided.plan)
    assert load is not None
    return run, {**json.loads((run / "plan.json").read_text())["memory"], "fixed": segment_bytes(load) / GIB}


def _small(**values: Any) -> Case:
    """A case of CI: full widths, four blocks."""
    return Case(layers=4, **values)


QUICK: list[Case] = [
    _small(),
    _small(checkpointing=False, length=4096),
    _small(method="lora", length=4096, packed=True),
    _small(ranks=8),
    _small(ranks=8, strategy="fsdp2", model="8B"),
    _small(ranks=8, strategy="fsdp2", accumulation=2),
    _small(ranks=8, strategy="fsdp2_offload"),
    _small(ranks=8, strategy="zero1", model="8B", accumulation=2),
    _small(ranks=8, strategy="zero3"),
    _small(trainer="dpo", method="lora", length=4096, checkpointing=False),
    _small(trainer="orpo", method="lora"),
    _small(method="lora", length=4096, checkpointing=False, mixed=True),
]
"""The cases of CI: one of each kind of peak."""


def _alone() -> Iterator[Case]:
    """Every method, checkpointed and not, at three lengths, with documents in a row and without, on one rank."""
    grid = itertools.product(("full", "lora"), (True, False), (1024, 4096, 8192), (False, True))
    for method, checkpointing, length, packed in grid:
        if length > 1024 or not packed:
            yield Case(method=method, checkpointing=checkpointing, length=length, packed=packed, layers=8)
    for method, checkpointing in itertools.product(("full", "lora"), (True, False)):
        yield Case(model="8B", method=method, checkpointing=checkpointing, length=4096, layers=4)


def _together() -> Iterator[Case]:
    """Every method under every strategy, with one and two passes a step, on eight ranks."""
    strategies = ("ddp", "zero1", "zero2", "zero3", "fsdp2", "fsdp2_offload")
    for method, strategy in itertools.product(("full", "lora"), strategies):
        yield Case(method=method, ranks=8, strategy=strategy, length=4096, layers=8)
    for strategy in ("zero1", "zero2", "zero3", "fsdp2"):
        yield Case(ranks=8, strategy=strategy, accumulation=2, layers=8)
        yield Case(model="8B", ranks=8, strategy=strategy, layers=8)


def _generated() -> Iterator[Case]:
    """grpo: what is generated at once, and the training of it."""
    for method, accumulation in (("lora", 1), ("lora", 4), ("full", 1)):
        yield _small(trainer="grpo", method=method, batch=4, accumulation=accumulation)
    for strategy in ("ddp", "zero3", "fsdp2"):
        yield _small(trainer="grpo", batch=4, ranks=8, strategy=strategy)


def _further() -> Iterator[Case]:
    """Other optimizers, and activations in host memory."""
    for optimizer in ("adamw_torch_fused", "adafactor", "sgd"):
        yield _small(more=(f"trainer.optim={optimizer}",))
    for checkpointing in (True, False):
        offloads = ("trainer.activation_offloading=true",)
        yield _small(method="lora", length=4096, checkpointing=checkpointing, more=offloads)


def _mixed() -> Iterator[Case]:
    """Rows of many lengths, in which the allocator holds most beside the tensors: with and without checkpointing, as many
    key-value heads as heads, several rows in a pass, and several passes in a step."""
    for method, checkpointing in itertools.product(("full", "lora"), (True, False)):
        yield _small(method=method, checkpointing=checkpointing, length=4096, mixed=True)
    yield Case(method="lora", checkpointing=False, length=4096, mixed=True)
    yield Case(method="lora", length=4096, mixed=True)
    yield Case(model="8B", method="lora", layers=4, checkpointing=False, length=8192, mixed=True)
    yield Case(model="8B", method="lora", layers=4, length=4096, mixed=True)
    for model, length, batch, accumulation, checkpointing, method in _OTHERS:
        yield Case(
            model=model, layers=4, length=length, batch=batch, accumulation=accumulation, checkpointing=checkpointing,
            method=method, mixed=True,
        )  # fmt: skip


def _methods() -> Iterator[Case]:
    """The other training methods: with an adapter and without, on one rank and on eight."""
    for trainer, method in itertools.product(("dpo", "kto", "orpo", "reward"), ("full", "lora")):
        batch = 2 if trainer == "kto" else 1
        for length, checkpointing in ((4096, True), (1024, False)):
            more = {"length": length, "checkpointing": checkpointing}
            yield _small(trainer=trainer, method=method, batch=batch, **more)
        yield _small(model="8B", trainer=trainer, method=method, batch=batch)
    for strategy in ("ddp", "zero1", "zero2", "zero3", "fsdp2", "fsdp2_offload"):
        yield _small(trainer="dpo", ranks=8, strategy=strategy)
    for strategy in ("ddp", "zero2", "fsdp2"):
        yield _small(trainer="orpo", ranks=8, strategy=strategy)
    for strategy in ("zero3", "fsdp2"):
        yield _small(trainer="reward", ranks=8, strategy=strategy)
        yield _small(trainer="dpo", method="lora", ranks=8, strategy=strategy)


FULL: list[Case] = [
    *_alone(),
    *_together(),
    *_methods(),
    *_generated(),
    *_further(),
    *_mixed(),
    Case(),
    Case(method="lora", checkpointing=False, length=4096),
]
"""All cases. The last two have every block; in the others fewer blocks have the widths of the model."""
