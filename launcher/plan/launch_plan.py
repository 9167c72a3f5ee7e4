"""LaunchPlan: every decision of a run, as plan.json keeps it."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from launcher.frozen_dataclass import frozen_dataclass
from launcher.methods.registry import find_method
from launcher.plan.classes import Classes
from launcher.plan.facts import Facts
from launcher.plan.generation import Generation, generation_nodes
from launcher.plan.length import RunLength
from launcher.plan.memory import Adapter, Memory, Room
from launcher.plan.memory.load import loads_once
from launcher.plan.model import ModelFacts
from launcher.plan.rendezvous import Rendezvous
from launcher.plan.save import SavePlan
from launcher.plan.time import StepTime
from launcher.plan.topology import Batch, Topology
from launcher.plan.traits import Traits
from launcher.strategies import Degrees, Strategy


@frozen_dataclass
class LaunchPlan:
    """One run, as decided. plan.json is this, field by field."""

    run: str
    """The run's name, without its date."""
    experiment: str | None
    """Name of the chosen experiment; None without one."""
    cluster: str
    """Name of the cluster: what cluster.kind=auto resolved to."""
    topology: Topology
    """Nodes and ranks."""
    degrees: Degrees
    """How many ranks share one thing, for each kind of parallelism."""
    batch: Batch
    """Sequences per step."""
    strategy: Strategy
    """The sharding strategy with its options."""
    model: ModelFacts
    """The model and its number of parameters."""
    classes: Classes | None
    """What a classifier tells apart; None for other methods."""
    device: str
    """cuda or cpu: what resources.device=auto resolved to."""
    precision: str
    """bf16 or fp32: the number format of the forward pass."""
    mixed_precision: str
    """bf16 or no: the setting of accelerate, DeepSpeed and the trainer."""
    weights_dtype: str
    """bfloat16 or float32: the format that the weights are loaded in."""
    plugins: Mapping[str, Traits]
    """What each plugin declares about itself, by its name in the configuration."""
    adapter: Adapter | None
    """The LoRA adapter; None if every weight is trained."""
    checkpointing: bool
    """Whether activations are computed again in the backward pass."""
    kernels: tuple[str, ...]
    """Layers with fused kernels: of rope, rms_norm and glu; empty if the model keeps its own layers."""
    memory: Memory | None
    """Peak GiB of one GPU; None on a CPU, and if the model's shape is not known."""
    room: Room | None
    """GiB of a node's host memory and of a checkpoint; None as for memory."""
    time: StepTime | None
    """How long a step takes; None as for memory."""
    chosen: str | None
    """Why the planner chose this strategy and micro-batch; None if the configuration set them."""
    length: RunLength
    """How long the run trains."""
    trainer: str
    """The training method (trainer.kind)."""
    trainer_args: Mapping[str, Any]
    """Keyword arguments of trl's class of arguments for the method."""
    deepspeed: Mapping[str, Any] | None
    """The content of deepspeed.json; None for a strategy without DeepSpeed."""
    accelerate: Mapping[str, Any]
    """The content of accelerate.yaml."""
    job_options: Mapping[str, str]
    """The job's options for the scheduler, by the scheduler's names; "" for a flag without a value."""
    step_options: tuple[str, ...]
    """Words for the command that starts node.sh on every node."""
    rendezvous: Rendezvous
    """How the processes of the job find each other."""
    env: Mapping[str, str]
    """Environment variables of the ranks."""
    modules: tuple[str, ...]
    """Environment modules that node.sh loads."""
    setup: tuple[tuple[str, ...], ...]
    """Commands that node.sh runs before the ranks, as lists of words."""
    rank_starter: str
    """launcher or accelerate."""
    container_command: tuple[str, ...]
    """Words before the ranks' command that run it in a container."""
    python: str
    """Python that starts the ranks."""
    generation: Generation | None
    """Who generates answers; None if transformers does on the ranks, or nothing is generated."""
    spares: int
    """Nodes that wait in the allocation to replace one that fails, whether it trains or generates."""
    hang_timeout_s: float
    """Seconds without a step after which the ranks count as hung."""
    failures_per_1000_node_days: float
    """Expected failures of a thousand nodes in a day."""
    save: SavePlan | None
    """When checkpoints are written; None if the run saves none."""
    facts: Facts
    """What planning found outside the configuration."""

    @property
    def nodes(self) -> int:
        """Nodes that an attempt needs: those that train, and those that only generate."""
        return self.topology.nodes + generation_nodes(self.generation)

    @property
    def outputs(self) -> int:
        """Outputs of the head that scores or classifies; 0 if the model predicts tokens."""
        return find_method(self.trainer).outputs(len(self.classes.names) if self.classes else 0)

    @property
    def loads_once(self) -> bool:
        """Whether one rank of each node loads the weights, and the others get theirs from rank 0."""
        moves = any(plugin.moves_weights for plugin in self.plugins.values())
        return loads_once(self.strategy.acting(self.degrees), self.adapter, moves_weights=moves)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        values = dataclasses.asdict(self)
        for traits in values["plugins"].values():
            del traits["rules"]  # code, not a value
        values["topology"]["world_size"] = self.topology.world_size
        if self.memory:
            values["memory"] = self.memory.to_dict()
        return json.loads(json.dumps(values))
