"""Changes of a converted recipe where this launcher refuses a combination of values that the other tool accepts."""

import math
from dataclasses import replace

from launcher.config import StrategyConfig
from launcher.launching.named_model import known_shape
from launcher.methods.registry import find_method
from launcher.plan.names import BITSANDBYTES, MUON
from launcher.recipes.base import Draft
from launcher.recipes.parts import SAVES

_PROMPT, _ANSWERS = 512, 8
"""trl's defaults for the tokens of a prompt and for the answers per prompt. Source: trl 1.16, grpo_config.py."""


def fit(draft: Draft) -> None:
    """Changes such values; each changed value gets a comment, and each lost one a note."""
    _dropout(draft)
    _experts(draft)
    sharded = draft.value("strategy.engine") not in (None, StrategyConfig().engine)
    if sharded and draft.value("strategy.zero_stage") in (None, 3):
        draft.refuse(
            "plugins.lora.load_in",
            "8-bit weights cannot be sharded, so they stay in bf16; or set strategy.engine=ddp",
        )
    if draft.value("trainer.optim") in BITSANDBYTES and sharded:
        draft.refuse("trainer.optim", "the state of this optimizer cannot be sharded; adamw_torch is used")
    zero = bool(draft.value("strategy.zero_stage"))
    offloads = any(draft.value(f"strategy.offload_{part}") for part in ("optimizer", "param"))
    if draft.value("trainer.optim") == MUON and (zero or offloads):
        draft.refuse(
            "trainer.optim",
            "Muon needs whole matrices on the GPU: strategy=fsdp2 or ddp without offloading; adamw_torch is used",
        )
    if zero or draft.value("trainer.torch_compile"):
        draft.refuse(
            "trainer.mlp_tile_tokens", "tiles need strategy=fsdp2 or ddp, without trainer.torch_compile"
        )
    if draft.value(f"{SAVES}.keep_best") and draft.value("trainer.eval_steps") is None:
        draft.refuse(f"{SAVES}.keep_best", "the best checkpoint is found by evaluations, and there are none")
    _shared(draft)
    _lengths(draft)
    _batch(draft)


def _dropout(draft: Draft) -> None:
    if not find_method(draft.method).disables_dropout:
        return
    for ours, entry in draft.entries.items():
        if ours.startswith("plugins.") and ours.endswith(".dropout") and entry.value:
            draft.entries[ours] = replace(entry, value=0.0, comment="trl trains this method without dropout")


def _experts(draft: Draft) -> None:
    """peft adapts experts as stacked parameters, on which it has no dropout; they have no tiles either."""
    known = known_shape(str(draft.value("model.name_or_path")), ())
    if known is None or not known[1].get("num_experts"):
        return
    draft.refuse("trainer.mlp_tile_tokens", "the MLPs of a mixture of experts are not computed in tiles")
    for plugin in ("lora", "qlora"):
        dropout = draft.entries.get(ours := f"plugins.{plugin}.dropout")
        if dropout and dropout.value and draft.value(f"plugins.{plugin}.target_modules") == "all-linear":
            draft.entries[ours] = replace(dropout, value=0.0, comment="experts are adapted without dropout")


def _shared(draft: Draft) -> None:
    """Ranks that share a sequence count as one: the other tools multiply by the number of ranks with different sequences."""
    degree, whole = draft.value("strategy.sequence_parallel_size"), draft.value("batch.global_batch_size")
    if degree and whole and whole % degree == 0:
        draft.carry((), "batch.global_batch_size", whole // degree, f"{degree} GPUs share each sequence")


def _lengths(draft: Draft) -> None:
    completion, length = draft.value("trainer.max_completion_length"), draft.value("model.max_length")
    if completion and length and 0 < length <= completion:
        prompt = draft.recipe.get("max_prompt_length")
        prompt = prompt if isinstance(prompt, int) else _PROMPT
        draft.carry((), "model.max_length", completion + prompt, "the prompt and the completion together")


def _batch(draft: Draft) -> None:
    """A method that compares answers needs two answers per GPU, and a method that generates answers needs whole groups."""
    spec = find_method(draft.method)
    micro, whole = draft.value("batch.micro_batch_size"), draft.value("batch.global_batch_size")
    least = 2 if "desirable_weight" in spec.key_names else 1
    group = (draft.value("trainer.num_generations") or _ANSWERS) if spec.draws else 1
    if micro is None or whole is None:
        return
    _evaluation(draft, draft.value("batch.eval_micro_batch_size") or micro, group)
    if micro >= least and whole % group == 0:
        return
    micro = max(micro, least)
    step = math.lcm(micro * draft.world, group)
    why = "rounded up to a multiple that this method needs"
    draft.carry(
        (), "batch.micro_batch_size", micro, "" if least == 1 else "this method needs 2 answers per GPU"
    )
    draft.carry((), "batch.global_batch_size", math.ceil(whole / step) * step, why)


def _evaluation(draft: Draft, micro: int, group: int) -> None:
    """An evaluation's batch over all GPUs must consist of whole groups of answers."""
    evaluates = any(draft.value(one) for one in ("data.eval_path", "data.eval_fraction"))
    if evaluates and micro * draft.world % group:
        step = math.lcm(draft.world, group) // draft.world
        fitting = math.ceil(micro / step) * step
        draft.carry(
            (),
            "batch.eval_micro_batch_size",
            fitting,
            f"the batch over all GPUs is a multiple of the {group} answers to a prompt",
        )
