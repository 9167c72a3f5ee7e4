"""Runs to hold on the fake device: a model's shape, a method, a length, a strategy, and the plan of each."""

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

KEYS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
    "tie_word_embeddings",
)  # fmt: skip
SHAPES: dict[str, tuple[Any, ...]] = {
    "1B": (2048, 8192, 16, 32, 8, 128_256, True),
    "8B": (4096, 14336, 32, 32, 8, 128_256, False),
}
"""Llama 3's shapes."""
_ROWS = 48
_TOKENS = 8192
"""Tokens of a row of the data, its end included: every length of a case divides it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run."""

    model: str = "1B"
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
    more: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        parts = [
            self.model if self.layers is None else f"{self.model}/{self.layers}", self.method,
            "ckpt" if self.checkpointing else "", str(self.length), "packed" if self.packed else "",
            f"{self.ranks}x{self.strategy}" if self.ranks > 1 else "",
            f"accumulation={self.accumulation}" if self.accumulation > 1 else "", *self.more,
        ]  # fmt: skip
        return " ".join(part for part in parts if part)

    def shape(self) -> dict[str, Any]:
        """The architecture."""
        values = dict(zip(KEYS, SHAPES[self.model], strict=True))
        return {**values, "num_hidden_layers": self.layers or values["num_hidden_layers"]}

    def overrides(self) -> list[str]:
        """What would be typed."""
        plugins = [
            *([] if self.method == "full" else [self.method]),
            *(["gradient_checkpointing"] * self.checkpointing),
        ]
        return [
            "+experiment=tiny", "cluster=local", "dry_run=true", "--json", "force=true", "resources.device=cuda",
            "data.eval_path=null", "data.check=off", "data.format=text", "trainer.assistant_only_loss=false",
            "trainer.max_steps=2", "cluster.context_gib=0", "cluster.gpu_memory_gib=80", f"strategy={self.strategy}",
            f"resources.gpus_per_node={self.ranks}", "batch.micro_batch_size=1",
            f"batch.global_batch_size={self.ranks * self.accumulation}", f"trainer.packing={str(self.packed).lower()}",
            f"plugin=[{','.join(plugins)}]", f"model.max_length={self.length}", "model.init=pretrained",
            "+plugins.watch._target_=tests.fakecuda.watch.Watch",
            *(f"model.architecture.{key}={str(value).lower()}" for key, value in self.shape().items()), *self.more,
        ]  # fmt: skip


def write_data(folder: Path) -> None:
    """data.jsonl, whose rows fill every length of the cases."""
    row = json.dumps({"text": ("abcdefgh " * _TOKENS)[: _TOKENS - 1]})
    (folder / "data.jsonl").write_text(f"{row}\n" * _ROWS)


def plan(case: Case, folder: Path) -> tuple[Path, dict[str, float]]:
    """The run dir of a dry run in `folder`, and the memory of its plan in GiB."""
    shape = case.shape()
    model = folder / f"{case.model}_{shape['num_hidden_layers']}"
    if not model.exists():
        model.mkdir()
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
                *case.overrides(), f"model.name_or_path={model}", f"data.path={folder}/data.jsonl", f"name=case_{number}",
                f"runs_dir={folder}", f"cache_dir={folder}/cache",
            ]
        )  # fmt: skip
    if code:
        raise SystemExit(f"{case.name} cannot be planned: {said.getvalue()}")
    run = Path(json.loads(said.getvalue().splitlines()[0])["run_dir"])
    return run, json.loads((run / "plan.json").read_text())["memory"]


def _small(**values: Any) -> Case:
    """A case of CI: full widths, four blocks."""
    return Case(layers=4, **values)


QUICK: list[Case] = [
    _small(),
    _small(checkpointing=False, length=4096),
    _small(method="lora", length=4096, packed=True),
    _small(ranks=8),
    _small(ranks=8, strategy="fsdp2"),
    _small(ranks=8, strategy="fsdp2", model="8B"),
    _small(ranks=8, strategy="fsdp2", accumulation=2),
    _small(ranks=8, strategy="fsdp2_offload"),
    _small(ranks=8, strategy="zero1", model="8B", accumulation=2),
    _small(ranks=8, strategy="zero2"),
    _small(ranks=8, strategy="zero3"),
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


FULL: list[Case] = [*_alone(), *_together(), Case(), Case(method="lora", checkpointing=False, length=4096)]
"""All cases. The last two have every block; in the others fewer blocks have the widths of the model."""
