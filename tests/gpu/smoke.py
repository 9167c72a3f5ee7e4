"""Every method with every plugin and strategy on one rank, and what needs a GPU: do they train and export at all?"""

import math
from typing import Any

from tests.gpu.machine import has
from tests.gpu.place import Place, Skipped, launch, measured, why
from tests.matrix.cells import PLUGINS, STRATEGIES, TRAINERS, Cell, write_data

CHATS = ("trainer.max_steps=4", "data.eval_path=null", "model.max_length=384")
FEATURES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "liger": (("plugin=[lora,liger]",), "liger_kernel"),
    "liger full": (("plugin=[liger]", "trainer.learning_rate=1e-3"), "liger_kernel"),
    "liger qlora checkpointing": (("plugin=[qlora,gradient_checkpointing,liger]",), "liger_kernel"),
    "flash attention": (("model.attn_implementation=flash_attention_2",), "flash_attn"),
    "flash attention packed": (
        ("model.attn_implementation=flash_attention_2", "trainer.packing=true"),
        "flash_attn",
    ),
    "sdpa packed": (("trainer.packing=true",), None),
    "paged_adamw_8bit": (("plugin=[]", "trainer.optim=paged_adamw_8bit"), None),
    "paged_adamw_32bit": (("plugin=[]", "trainer.optim=paged_adamw_32bit"), None),
    "adamw_8bit": (("plugin=[]", "trainer.optim=adamw_8bit"), None),
    "adamw_torch_fused": (("plugin=[]", "trainer.optim=adamw_torch_fused"), None),
    "lora 8bit": (("plugin=[lora]", "plugins.lora.load_in=8bit"), None),
    "dora": (("plugin=[lora]", "plugins.lora.use_dora=true"), None),
    "zero2 offloaded optimizer": (("plugin=[]", "strategy=zero2", "strategy.offload_optimizer=true"), None),
    "zero3_offload": (("plugin=[]", "strategy=zero3_offload"), None),
    "fsdp2_offload": (("plugin=[]", "strategy=fsdp2_offload"), None),
    "torch_compile": (("plugin=[]", "trainer.torch_compile=true"), "triton"),
    "activation_offloading": (
        ("plugin=[lora,gradient_checkpointing]", "trainer.activation_offloading=true"),
        None,
    ),
    "evaluation and sample": (("data.eval_fraction=0.1", "trainer.sample_prompt=Hello"), None),
}
"""Name -> overrides, and the package without which it is skipped."""


def names() -> list[str]:
    """The cells and the features, one piece each."""
    cells = [
        f"{kind} {plugin} {strategy}" for kind in TRAINERS for plugin in PLUGINS for strategy in STRATEGIES
    ]
    return [*FEATURES, *cells]


def try_one(place: Place, name: str) -> dict[str, Any]:
    """Seconds, losses and how the export was checked; the rule where the launch was refused."""
    folder = place.folder(f"smoke {name}")
    write_data(folder)
    if name in FEATURES:
        overrides, package = FEATURES[name]
        if package and not has(package):
            raise Skipped(f"{package} is not installed")
        data = [f"data.path={folder}/chats.jsonl", *CHATS]
        overrides = (*data, *overrides)
    else:
        kind, plugin, strategy = name.split()
        overrides = (
            *Cell(kind, plugin, False, strategy, 1).overrides(folder),
            "trainer.loss_spike=null",
        )
    run, code, seconds, said = launch(place, folder, *overrides)
    if run is None and "(rule " in said:
        return {"result": "refused", "seconds": round(seconds, 1), "why": said.partition(" does not work")[0]}
    if run is None or code:
        raise RuntimeError(why(run, said))
    exported = run.events("exported")[-1]
    if exported.get("why"):
        raise RuntimeError(f"the check of the export failed: {exported['why']}")
    if not run.losses or not all(map(math.isfinite, run.losses)):
        raise RuntimeError(f"losses {run.losses}")
    found = measured(run)
    return {
        "result": "passed", "seconds": round(seconds, 1), "loss": [run.losses[0], run.losses[-1]],
        "verified": exported["verified"], "difference": exported.get("difference"),
        "peak_gib": found.get("peak_gib"),
    }  # fmt: skip
