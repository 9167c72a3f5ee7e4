"""The load of one GPU, which every formula of this package takes; and which ranks load the weights of a sharded model."""

import json
from dataclasses import dataclass, replace
from functools import cached_property

from launcher.config import ArchitectureConfig
from launcher.plan.adapter import Adapter, trains_embedding, trains_head
from launcher.plan.blocks import is_plain
from launcher.plan.memory.counts import ModelCounts, count_model
from launcher.strategies.base import Strategy, Tensors
from launcher.strategies.degrees import Degrees
from launcher.strategies.trained import Moment

CONTEXT_GIB = 1.0
"""GiB of the CUDA context, cuBLAS workspaces and communicators, if cluster.context_gib is not set."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is trained on one GPU, and how."""

    shape: ArchitectureConfig
    adapter: Adapter | None
    checkpointing: bool
    kernels: tuple[str, ...] = ()
    """Layers with liger's fused kernels: of rope, rms_norm and glu."""
    strategy: Strategy
    degrees: Degrees
    gpus_per_node: int = 1
    sequences: int
    """Sequences in one forward pass."""
    length: int
    """Tokens of each sequence."""
    accumulation: int = 1
    """Forward passes per step."""
    bf16: bool
    """Whether the forward pass computes in bf16."""
    optimizer: str = "adamw_torch"
    packed: bool = False
    """Whether several documents share a sequence."""
    varlen: bool = False
    """Whether the attention kernel takes lengths and needs no mask, as flash attention does."""
    bucket: int | None = None
    """Elements of a gradient bucket; None if the size follows from the number of trained parameters."""
    context_gib: float = CONTEXT_GIB
    """GiB that are not tensors of the run (cluster.context_gib)."""
    pure_bf16: bool = False
    """Whether weights, gradients and moments are bf16 without a master copy, as in some published setups. This launcher never
    trains so."""
    saves: bool = False
    """Whether checkpoints are saved, each from a copy in host memory."""
    moves_weights: bool = False
    """Whether the adapter's initialisation changes the base model's weights."""
    extra_passes: int = 0
    """Forward passes over each sequence besides the trained one, by the method's spec. They count for the time only."""
    answers: int = 1
    """Sequences of tokens in each of `sequences`: 2 if these are pairs."""
    reference: bool = False
    """Whether the loss needs a forward pass of the model before training."""
    teacher: ArchitectureConfig | None = None
    """The shape of a frozen second model of another size that predicts the trained tokens; None without one."""
    imitates: bool = False
    """Whether the loss compares the logits of all trained tokens with those of a teacher."""
    whole_logits: bool = False
    """Whether the loss needs the logits of all tokens at once, and not one tile of them after the other."""
    scores: int = 0
    """Outputs of the head, if the model predicts no tokens; its shape then has no head table."""
    generated: int = 0
    """Tokens of the longest answer that is generated between steps; 0 if none are."""
    generates_here: bool = True
    """Whether the trained model itself generates these answers, on this GPU, and not a server or vLLM."""
    measured: int = 0
    """Tokens whose logits a plugin computes at once between steps."""
    offloads_activations: bool = False
    """Whether activations are kept in host memory until the backward pass."""
    compiled: bool = False
    """Whether torch.compile fuses what is between the products. It counts for the time only."""
    reentrant: bool = False
    """Whether blocks are computed again by the older kind of checkpointing (use_reentrant), which has no hooks on what
    autograd saves. It counts for the time only."""
    mlp_tile_tokens: int | None = None
    """Tokens of a tile of an MLP; None if it computes all at once."""
    balances: bool = False
    """Whether a loss balances the routers of a mixture of experts."""
    processes: int = 0
    """Processes that each rank starts, such as those of reward functions."""
    fragmentation: float | None = None
    """Share of the tensors' memory that the allocator holds in addition (cluster.fragmentation); None derives it from the
    allocator's rules."""
    expandable: bool = True
    """Whether the allocator's segments grow (cluster.expandable_segments)."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.degrees.world_size // self.gpus_per_node

    @cached_property
    def acting(self) -> Strategy:
        """The strategy that is effective: with one rank nothing is sharded."""
        return self.strategy.acting(self.degrees)

    @property
    def shard_size(self) -> int:
        """Ranks over which weights, gradients and optimizer state are sharded; 1 if every rank holds all of it."""
        return 1 if self.acting.replicates else self.degrees.shard_size

    @property
    def shards_weights(self) -> bool:
        """Whether no rank holds the whole model."""
        return self.acting.shards_weights

    @property
    def loads_once(self) -> bool:
        """Whether one rank of each node loads the weights, and the others get theirs from rank 0."""
        return loads_once(self.acting, self.adapter, moves_weights=self.moves_weights)

    @property
    def hidden_size(self) -> int:
        """Width of the model."""
        return self.shape.hidden_size

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return self.shape.num_hidden_layers

    @property
    def table(self) -> int:
        """Number of values in the embedding; the head has as many."""
        return self.shape.vocab_size * self.shape.hidden_size

    @property
    def second_model(self) -> bool:
        """Whether the model before training is held as a second one. With an adapter it is the model without the adapter."""
        return self.reference and self.adapter is None

    @cached_property
    def teaching(self) -> "Load | None":
        """The teacher's load: its forward pass over the same tokens, with its weights in the forward pass's format."""
        if self.teacher is None:
            return None
        return replace(
            self, shape=self.teacher, adapter=None, kernels=(), teacher=None, imitates=False, reference=False
        )

    @property
    def tied(self) -> bool:
        """Whether the head shares the embedding's weights."""
        return bool(self.shape.tie_word_embeddings) and not self.scores

    @cached_property
    def tokens(self) -> int:
        """Tokens of this rank in one forward pass: those of its part where ranks share a sequence."""
        return -(-self.sequences * self.answers * self.length // self.degrees.sequence)

    @property
    def tiled_share(self) -> float:
        """The share of this rank's tokens that an MLP computes at once; 1 without tiles, and for all but plain decoders."""
        tile = self.mlp_tile_tokens
        return 1.0 if tile is None or not is_plain(self.shape) else min(1.0, tile / self.tokens)

    @property
    def masked(self) -> bool:
        """Whether attention gets a mask, which packed documents need, and prompts of unequal lengths before generated answers.
        Other rows have right padding, which causal attention ignores without a mask."""
        return (self.packed or self.generated > 0) and not self.varlen

    @property
    def width(self) -> int:
        """Bytes per value in the forward pass."""
        return 2 if self.bf16 else 4

    @property
    def autocast(self) -> bool:
        """Whether weights are cast during each pass; with DeepSpeed and pure bf16 the whole module was cast before."""
        return self.bf16 and self.acting.casts != "module" and not self.pure_bf16

    @property
    def casts_each(self) -> bool:
        """Whether the weights stay in fp32 and each operation casts its inputs."""
        return self.acting.casts == "operation"

    @property
    def trained_width(self) -> int:
        """Bytes of a trained weight: fp32, but bf16 if DeepSpeed casts the module and keeps a master copy.

        Adapters over 4-bit weights are always bf16, because trl casts them. Source: trl 1.16, trainer/sft_trainer.py. With DoRA
        or whole modules the plugin casts them back to fp32, because small updates would be lost in bf16.
        """
        adapter = self.adapter
        four_bit = adapter is not None and adapter.four_bit and not (adapter.dora or adapter.modules_to_save)
        return 2 if four_bit or (self.bf16 and (self.acting.casts == "module" or self.pure_bf16)) else 4

    @property
    def gradient_width(self) -> int:
        """Bytes of a gradient: in the weight's format, under DeepSpeed in the forward pass's."""
        return self.width if self.acting.casts == "module" else self.trained_width

    @property
    def trains_embedding(self) -> bool:
        """Whether the embedding gets a gradient."""
        return trains_embedding(self.shape, self.adapter)

    @property
    def trains_head(self) -> bool:
        """Whether the head gets a gradient."""
        return not self.scores and trains_head(self.shape, self.adapter)

    @cached_property
    def stream_width(self) -> int:
        """Bytes per value of the residual stream. It has the format of the embeddings, which autocast does not cast."""
        trains_fp32 = self.trains_embedding and self.casts_each and not self.pure_bf16
        return 2 if self.bf16 and not trains_fp32 else 4

    @cached_property
    def blocks(self) -> list[tuple[float, int]]:
        """(bytes, number of blocks) of each kind of block's activations. activations.py fills it once for all moments."""
        return []

    @cached_property
    def counts(self) -> ModelCounts:
        """Counts of the model and its adapter, which do not depend on the strategy."""
        named = dict(vars(self.shape))
        blocks = named.pop("blocks")
        listed = json.dumps([vars(one) for one in blocks]) if blocks else ""
        return count_model(tuple(named.items()), listed, self.adapter)

    @property
    def parameters(self) -> int:
        """Parameters of the model, without the adapter."""
        return self.counts.parameters

    @property
    def linear(self) -> int:
        """Weights of all linear layers within blocks."""
        return self.counts.linear

    @property
    def trained(self) -> int:
        """Parameters that get a gradient."""
        return self.counts.trained

    @property
    def trained_tensors(self) -> list[tuple[tuple[int, ...], int]]:
        """Shapes of what gets a gradient."""
        return self.counts.trained_tensors

    @property
    def all_tensors(self) -> list[tuple[tuple[int, ...], int]]:
        """Shapes of the model's weights, without the adapter."""
        return self.counts.all_tensors

    def has(self, moment: Moment) -> bool:
        """Whether this run has that moment."""
        needs = {
            Moment.REFERENCE: self.reference,
            Moment.MEASURE: self.measured,
            Moment.GENERATE: self.generated and self.generates_here,
        }
        return bool(needs.get(moment, True))

    def shard(self, tensors: Tensors) -> int:
        """Elements of these tensors on the first rank."""
        return self.acting.shard(tensors, self.degrees)


def loads_once(strategy: Strategy, adapter: Adapter | None, *, moves_weights: bool) -> bool:
    """Whether one rank of each node loads the weights, and the others get theirs from rank 0 (strategy: the acting one).

    Every rank loads quantised weights, which torch cannot broadcast with their constants, and those that an adapter's
    initialisation takes a part of (PiSSA, OLoRA), since each rank keeps that part for the export.
    """
    quantised = adapter is not None and (adapter.four_bit or adapter.eight_bit)
    return strategy.cpu_ram_efficient_loading and not quantised and not moves_weights
