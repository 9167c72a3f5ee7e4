"""Published memory figures with the answer of the planner to the same settings; shown in docs/measured/published_memory.md.

Settings are those that the source names; what it does not name is said in `taken`. litgpt, torchtune, axolotl and Answer.AI
train with weights, adapters and Adam in bf16 (`pure_bf16`), which no run of ours does. Figures are of tensors alone (torch's
own peak) unless `counts` says otherwise. No figure is used to fit anything. In published_memory.csv a trainer whose head is not
fused counts with the logits of all tokens, as orpo does; `peers` is what it does otherwise (tests/support/peers.py).
"""

import csv
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.config import ArchitectureConfig, StrategyConfig
from launcher.plan.memory import GIB, Adapter, Load, Memory, estimate_memory
from launcher.strategies import candidates
from tests.support.peers import FOUR_BIT_HEAD, LITGPT_HAS, PEERS, TRAINER, Kind, peer_memory

GB = 1e9 / GIB
ASSUMED = 0.03
"""Share of the tensors that an allocator with fixed segments holds in addition where all rows have one length."""
TOLERANCE = 0.10
"""Share of a published peak within which the planner agrees."""
LITGPT = "litgpt, tutorials/resource-tables.md, LoRA on 1 GPU"
TORCHTUNE = "torchtune, README.md, memory and training speed"
AXOLOTL = "axolotl, examples/llama-3/README.md"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One figure."""

    source: str
    row: str
    gib: float
    """What was published; with `limit` the size of a GPU, else the peak."""
    load: Load
    limit: str = ""
    """fits or out of memory, where the source tells no more."""
    counts: str = "allocated"
    """What a peak counts: tensors (allocated), all that torch's allocator holds (reserved), or what the GPU needs (whole)."""
    taken: str = ""
    cause: str = ""
    """Why the planner answers otherwise, where that is known."""
    peers: tuple[Kind, ...] = ()
    """What its trainer does otherwise than ours."""
    apart: str = ""
    """Why no plan says what was measured, if none does; such a peak is scored apart."""

    @property
    def planned(self) -> float:
        """GiB by the plan."""
        return self._counted(estimate_memory(self.load))

    @property
    def known(self) -> float:
        """GiB by the plan and by what its trainer is known to do otherwise."""
        return self._counted(peer_memory(self.load, self.peers)) if self.peers else self.planned

    def _counted(self, memory: Memory) -> float:
        """What the figure counts, of a plan."""
        if self.limit or self.counts == "whole":
            return memory.total
        without = ["context", *(["fragmentation"] if self.counts == "allocated" else [])]
        return memory.total - sum(memory.parts[name] for name in without)

    @property
    def off(self) -> float | None:
        """(planned - published) / published; None where only a limit was published."""
        return None if self.limit else (self.planned - self.gib) / self.gib

    @property
    def known_off(self) -> float | None:
        """The same of `known`."""
        return None if self.limit else (self.known - self.gib) / self.gib

    def agrees(self, gib: float) -> bool:
        """Whether `gib` (planned or known) is within TOLERANCE, or on the same side of the limit."""
        if self.limit:
            return (gib <= self.gib) == (self.limit == "fits")
        return abs(gib - self.gib) <= TOLERANCE * self.gib

    def false_fit(self, gib: float) -> bool:
        """Whether `gib` would fit where it ran out of memory."""
        return self.limit == "out of memory" and gib <= self.gib


def shape(hidden: int, width: int, layers: int, heads: int, keys: int, vocabulary: int) -> ArchitectureConfig:
    return ArchitectureConfig(
        hidden_size=hidden, intermediate_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=keys, vocab_size=vocabulary,
    )  # fmt: skip


ROWS = Path(__file__).with_name("published_memory.csv")
LLAMA2_7B = shape(4096, 11008, 32, 32, 32, 32_000)
LLAMA2_13B = shape(5120, 13824, 40, 40, 40, 32_000)
LLAMA_65B = shape(8192, 22016, 80, 64, 64, 32_000)
LLAMA2_70B = shape(8192, 28672, 80, 64, 8, 32_000)
LLAMA3_8B = shape(4096, 14336, 32, 32, 8, 128_256)
LLAMA3_70B = shape(8192, 28672, 80, 64, 8, 128_256)
MODELS = {
    "Llama 2 7B": LLAMA2_7B, "Llama 2 13B": LLAMA2_13B, "Llama 2 70B": LLAMA2_70B, "Llama 3 8B": LLAMA3_8B,
    "Llama 3 70B": LLAMA3_70B, "TinyLlama 1.1B": shape(2048, 5632, 22, 32, 4, 32_000),
    "Mistral 7B": shape(4096, 14336, 32, 32, 8, 32_000), "Qwen 1.8B": shape(2048, 5504, 24, 16, 16, 151_936),
    "Qwen 7B": shape(4096, 11008, 32, 32, 32, 151_936), "Qwen 14B": shape(5120, 13696, 40, 40, 40, 152_064),
    "Yi 6B": shape(4096, 11008, 32, 32, 4, 64_000), "Yi 34B": shape(7168, 20480, 60, 56, 8, 64_000),
    "Baichuan2 7B": shape(4096, 11008, 32, 32, 32, 125_696),
}  # fmt: skip
"""By their config.json on the hub."""
QV, QVO = ("q_proj", "v_proj"), ("q_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


def adapter(
    r: int, targets: tuple[str, ...] | str = "all-linear", bits: str = "", dropout: bool = False
) -> Adapter:
    return Adapter(
        r=r,
        target_modules=targets,
        four_bit=bits.startswith("nf4"),
        double_quant=bits == "nf4-dq",
        dropout=dropout,
    )


def load(
    model: ArchitectureConfig, lora: Adapter | None, sequences: int, length: int, *, checkpointing: bool = True,
    strategy: str = "ddp", gpus: int = 1, pure: bool = True, optimizer: str = "adamw_torch_fused", accumulation: int = 1,
    bucket: int = 5_000_000,
) -> Load:  # fmt: skip
    spec = next(one for one in candidates() if one.name == strategy)
    return Load(
        shape=model, adapter=lora, checkpointing=checkpointing, strategy=spec, degrees=spec.degrees(StrategyConfig(), gpus),
        gpus_per_node=gpus, sequences=sequences, length=length, accumulation=accumulation, bf16=True, pure_bf16=pure,
        optimizer=optimizer, varlen=True, bucket=bucket, fragmentation=ASSUMED,
    )  # fmt: skip


def litgpt(model: ArchitectureConfig, name: str, bits: str, micro: int, gb: float | None) -> Published:
    four_bit = (FOUR_BIT_HEAD,) if bits else ()
    return Published(
        source=LITGPT,
        row=f"{name}, {bits or 'None'}, microbatch {micro}",
        gib=(gb or 40) * GB if gb else 39.4,
        limit="" if gb else "out of memory",
        peers=(*LITGPT_HAS, *four_bit),
        load=load(model, adapter(8, QV, bits, dropout=True), micro, 1304, checkpointing=False),
    )


PUBLISHED = (
    litgpt(LLAMA2_7B, "7 B Llama 2", "", 1, 21.30),
    litgpt(LLAMA2_7B, "7 B Llama 2", "nf4", 1, 14.14),
    litgpt(LLAMA2_7B, "7 B Llama 2", "nf4-dq", 1, 13.84),
    litgpt(LLAMA2_7B, "7 B Llama 2", "", 2, 29.07),
    litgpt(LLAMA2_7B, "7 B Llama 2", "", 4, None),
    litgpt(LLAMA2_13B, "13 B Llama 2", "", 1, 38.12),
    litgpt(LLAMA2_13B, "13 B Llama 2", "nf4", 1, 23.14),
    litgpt(LLAMA2_13B, "13 B Llama 2", "nf4-dq", 1, 22.55),
    litgpt(LLAMA2_13B, "13 B Llama 2", "", 2, None),
    Published(
        source=TORCHTUNE, row="Llama 3.1 8B, QLoRA, 1x 4090", gib=7.4,
        load=load(LLAMA3_8B, adapter(8, "all-linear", "nf4-dq"), 2, 2048),
        taken="the settings of recipes/configs/llama3_1/8B_qlora_single_device.yaml",
    ),
    Published(
        source=TORCHTUNE, row="Llama 3.1 8B, LoRA, 1x 4090", gib=16.2,
        load=load(LLAMA3_8B, adapter(8, (*QVO, *MLP)), 2, 2048),
        taken="r=8 on q, v, o and the MLP, checkpointing",
    ),
    Published(
        source=TORCHTUNE, row="Llama 3.1 70B, LoRA, 8x A100", gib=27.6,
        load=load(LLAMA3_70B, adapter(16, (*QVO, *MLP)), 2, 2048, strategy="fsdp2", gpus=8),
        taken="the settings of recipes/configs/llama3_1/70B_lora.yaml",
    ),
    Published(
        source=AXOLOTL, row="8B full fine-tune (fft-8b.yaml), single GPU @ 48GB", gib=48, limit="fits",
        load=load(LLAMA3_8B, None, 1, 8192, optimizer="paged_adamw_8bit", accumulation=8),
    ),
    Published(
        source=AXOLOTL, row="70B QLoRA+FSDP (qlora-fsdp-70b.yaml), dual GPU @ 21GB", gib=21, counts="whole",
        cause="what the GPUs were seen to use, with memory that the allocator held in reserve; not a card's size",
        load=load(
            LLAMA3_70B, adapter(8, "all-linear", "nf4-dq", True), 1, 512, strategy="fsdp2_offload", gpus=2, pure=False,
            accumulation=4,
        ),
    ),
    Published(
        source="Answer.AI, fsdp_qlora, README.md", row="Llama 2 70B QLoRA, dual 24GB GPUs, CPU offload", gib=24, limit="fits",
        load=load(LLAMA2_70B, adapter(8, "all-linear", "nf4-dq"), 2, 2048, strategy="fsdp2_offload", gpus=2),
        taken="r=8 on all linear layers",
    ),
    Published(
        source="QLoRA (arXiv 2305.14314), abstract", row="65B on a single 48GB GPU", gib=48, limit="fits",
        load=load(
            LLAMA_65B, adapter(64, "all-linear", "nf4-dq", True), 4, 528, optimizer="paged_adamw_32bit", pure=False,
            accumulation=4,
        ),
        taken="the settings of artidoro/qlora, scripts/finetune_guanaco_65b.sh",
    ),
    Published(
        source="LongLoRA (arXiv 2309.12307), table 12, as odyn-network/benchmark-finetune-lora-v1 quotes it",
        row="Llama 2 7B, plain LoRA, 8192 tokens, ZeRO-2, 8x A100", gib=25.7 * GB,
        load=load(
            LLAMA2_7B, adapter(8, ("q_proj", "k_proj", "v_proj", "o_proj")), 1, 8192, strategy="zero2", gpus=8, pure=False,
            accumulation=8, bucket=1_000_000_000,
        ),
        taken="r=8 on q, k, v, o; buckets of the authors' ds_configs/stage2.json",
        peers=(TRAINER,),
    ),
)  # fmt: skip


def read_rows() -> Iterator[Published]:
    """The figures of published_memory.csv."""
    for line in csv.DictReader(ROWS.open()):
        lora = None
        if line["method"] == "lora":
            targets = line["targets"] if line["targets"] == "all-linear" else tuple(line["targets"].split())
            dropout = "dropout" in line["taken"]
            lora = dataclasses.replace(
                adapter(int(line["r"]), targets, line["bits"], dropout),
                modules_to_save=tuple(line["whole_modules"].split()),
            )
        made = load(
            MODELS[line["model"]], lora, int(line["sequences"]), int(line["tokens"]),
            checkpointing=line["checkpointing"] == "1", strategy=line["strategy"], gpus=int(line["gpus"]),
            pure=line["pure"] == "1", optimizer=line["optimizer"], accumulation=int(line["accumulation"]),
        )  # fmt: skip
        method = (
            f"QLoRA ({line['bits']})" if line["bits"] else {"lora": "LoRA", "full": "full"}[line["method"]]
        )
        words = [
            line["model"], f"{method} r={line['r']} {line['targets']}" if lora else method,
            f"and {line['whole_modules']}" if line["whole_modules"] else "", f"{line['sequences']} x {line['tokens']}",
            "" if line["checkpointing"] == "1" else "no checkpointing",
            "" if line["gpus"] == "1" else f"{line['gpus']} x {line['strategy']}",
            f"on {line['gib']} GiB" if line["kind"] in ("fits", "out of memory") else "",
        ]  # fmt: skip
        limit = line["kind"] if line["kind"] in ("fits", "out of memory") else ""
        yield Published(
            source=line["source"], row=", ".join(word for word in words if word), gib=float(line["gib"]), limit=limit,
            counts="whole" if limit else line["kind"], taken=line["taken"], cause=line["cause"],
            peers=tuple(PEERS[name] for name in line["peers"].split()), apart=line["apart"],
            load=dataclasses.replace(made, whole_logits=line["logits"] == "whole"),
        )  # fmt: skip


FURTHER = tuple(read_rows())
"""Further figures."""
PEAKS = tuple(one for one in (*PUBLISHED, *FURTHER) if not one.limit)
"""What a run was seen to need."""
LIMITS = tuple(one for one in (*PUBLISHED, *FURTHER) if one.limit)
"""GPUs on which a run fitted, or ran out of memory."""
