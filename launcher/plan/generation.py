"""Where answers are generated: the servers of a run, their command, their nodes and their memory."""

from collections.abc import Mapping

from launcher.clusters.base import Cluster
from launcher.config import Config, GenerationConfig, GenerationMode
from launcher.errors import PlanError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.methods.registry import METHODS, find_method
from launcher.plan.facts import Facts
from launcher.plan.model import count_parameters
from launcher.plan.topology import Topology
from launcher.units import GIB

_IN_RANKS = 0.3
"""Share of a GPU's memory that trl 1.16 gives vLLM in the ranks."""


@frozen_dataclass
class Generation:
    """Who generates the answers."""

    mode: str
    """server or colocate."""
    nodes: int
    """Nodes that only generate; 0 if the server uses GPUs of the training node, or the ranks generate with vLLM."""
    gpus: int
    """GPUs of the server; 0 in the ranks."""
    tensor_parallel_size: int
    """GPUs that share one copy of the model."""
    gpu_memory_utilization: float
    """Share of each GPU's memory that the engine takes."""
    command: tuple[str, ...]
    """The words that start a server; empty in the ranks. The node fills in {host}, {port} and {revision}."""
    env: Mapping[str, str]
    """Its environment variables, in addition to those of the ranks."""
    start_timeout_s: float
    """Seconds until a started server must answer."""
    restarts: int
    """Times that a server is started again within one attempt."""
    weights_gib: float | None
    """Weights on one of its GPUs; None if the model's shape is not known, and on a CPU."""
    answer_gib: float | None
    """Cache of one answer of full length on one of its GPUs; None as for weights_gib."""

    @property
    def is_server(self) -> bool:
        """Whether a separate process, the server, generates."""
        return bool(self.command)


def make_generation(
    config: Config, facts: Facts, topology: Topology, place: Cluster, python: str
) -> Generation | None:
    """The generation of a run; None if transformers generates on the ranks, or nothing is generated. PlanError for
    settings that do not work together or do not fit."""
    wanted = config.generation
    if wanted.mode is GenerationMode.none:
        return None
    # imported here: only methods that generate have such a server
    from launcher.plan.memory.server import answer_bytes, server_weight_bytes
    from launcher.plan.server_command import ON_SERVER, server_command, server_environment

    check_method(config)
    _check_numbers(wanted)
    server = wanted.mode is GenerationMode.server
    cuda = facts.device == "cuda"
    if server:
        _check_nodes(config, topology, place)
    gpus = _gpus(config, topology, cuda) if server else 0
    tensor_parallel = wanted.tensor_parallel_size or max(gpus, 1)
    if not server and topology.world_size % tensor_parallel:
        raise PlanError(
            f"generation.tensor_parallel_size={tensor_parallel} does not divide the {topology.world_size} ranks, which share "
            f"copies of the model while they generate; use {_divisor(topology.world_size, tensor_parallel)}"
        )
    shape = facts.architecture if cuda else None
    parameters = count_parameters(shape) if shape else None
    made = Generation(
        mode=wanted.mode.value,
        nodes=wanted.nodes if server else 0,
        gpus=gpus,
        tensor_parallel_size=tensor_parallel,
        gpu_memory_utilization=wanted.gpu_memory_utilization or (ON_SERVER if server else _IN_RANKS),
        command=server_command(config, facts, gpus, tensor_parallel, python) if server else (),
        env=server_environment(wanted),
        start_timeout_s=wanted.start_timeout_s,
        restarts=wanted.restarts,
        weights_gib=round(server_weight_bytes(parameters, tensor_parallel) / GIB, 3) if parameters else None,
        answer_gib=round(answer_bytes(shape, config.model.max_length, tensor_parallel) / GIB, 4)
        if shape
        else None,
    )
    _check_memory(config, made)
    return made


def generation_nodes(generation: Generation | None) -> int:
    """Nodes that only generate."""
    return generation.nodes if generation else 0


def gpus_of_a_node(topology: Topology, generation: Generation | None) -> int:
    """GPUs of each node of the job, whose nodes are all alike; with device=cpu its processes."""
    own, gpus = topology.gpus_per_node, generation.gpus if generation else 0
    return max(own, gpus) if generation_nodes(generation) else own + gpus


def gpu_limit(gpu_memory_gib: float | None, generation: Generation | None) -> float | None:
    """GiB of a GPU that the training may fill, which is all but what vLLM takes in the ranks; None if its size is not known."""
    if gpu_memory_gib is None or generation is None or generation.is_server:
        return gpu_memory_gib
    return round(gpu_memory_gib * (1 - generation.gpu_memory_utilization), 3)


def check_method(config: Config) -> None:
    """PlanError if the method generates nothing."""
    kind, mode = config.trainer.kind, config.generation.mode.value
    if find_method(kind).draws is None:
        users = [name for name in METHODS.names() if find_method(name).draws is not None]
        raise PlanError(
            f"generation.mode={mode} is for methods that generate answers while they train, and trainer.kind={kind} "
            f"does not; use generation.mode=none, or trainer={' or '.join(users)}"
        )


def _check_numbers(wanted: GenerationConfig) -> None:
    share = wanted.gpu_memory_utilization
    if share is not None and not 0 < share < 1:
        raise PlanError(f"generation.gpu_memory_utilization={share:g} must be above 0 and below 1, or null")
    for name, least in (("nodes", 0), ("gpus_per_node", 1), ("tensor_parallel_size", 1), ("restarts", 0)):
        value = getattr(wanted, name)
        if value is not None and value < least:
            raise PlanError(f"generation.{name}={value} must be at least {least}")
    if not 0 < wanted.start_timeout_s < float("inf"):
        raise PlanError(
            f"generation.start_timeout_s={wanted.start_timeout_s:g} must be a number of seconds above 0, such as 600"
        )
    if wanted.nodes > 1:
        raise PlanError(
            f"generation.nodes={wanted.nodes}: trl 1.16's client speaks to one server, which has one node; use "
            "generation.nodes=1"
        )


def _check_nodes(config: Config, topology: Topology, place: Cluster) -> None:
    wanted, timeout = config.generation, config.resources.ddp_timeout_s
    if place.one_machine and wanted.nodes:
        raise PlanError(
            f"generation.nodes={wanted.nodes} needs a job of several nodes, but this run stays on this machine; use "
            "generation.nodes=0, with which the server has GPUs (or CPU cores) of this machine"
        )
    if not wanted.nodes and topology.nodes > 1:
        raise PlanError(
            f"generation.nodes=0 puts the server on the one node that trains, but resources.nodes={topology.nodes}; use "
            "generation.nodes=1, or resources.nodes=1"
        )
    if wanted.start_timeout_s >= timeout:
        raise PlanError(
            f"generation.start_timeout_s={wanted.start_timeout_s:g} must be less than resources.ddp_timeout_s={timeout}, after "
            f"which the ranks give up a collective operation in which they wait for the server; use resources.ddp_timeout_s="
            f"{round(wanted.start_timeout_s) + 600}"
        )


def _gpus(config: Config, topology: Topology, cuda: bool) -> int:
    """GPUs of the server; PlanError if the node does not have them, or copies of the model do not fill them."""
    wanted, has, own = config.generation, config.cluster.gpus_per_node, topology.gpus_per_node
    size = wanted.tensor_parallel_size
    gpus = wanted.gpus_per_node or (own if wanted.nodes else size or 1)
    if size and gpus % size:
        raise PlanError(
            f"generation.tensor_parallel_size={size} does not divide generation.gpus_per_node={gpus}, the GPUs of the server; "
            f"use {_divisor(gpus, size)}"
        )
    if not cuda or has is None:
        return gpus
    left = has if wanted.nodes else has - own
    if gpus > left:
        beside = "" if wanted.nodes else f" of which the ranks take resources.gpus_per_node={own},"
        ways = [
            *([f"resources.gpus_per_node={has - gpus}"] if not wanted.nodes and has > gpus else []),
            *([f"generation.gpus_per_node={left}"] if left > 0 else []),
            *(
                []
                if wanted.nodes
                else ["generation.nodes=1 for a node of its own", "generation.mode=colocate"]
            ),
        ]
        raise PlanError(
            f"generation.gpus_per_node={gpus} is more than a node has: cluster.gpus_per_node={has},{beside} which leaves "
            f"{max(left, 0)} for the server; use {', or '.join(ways)}"
        )
    return gpus


def _divisor(number: int, size: int) -> str:
    below = next(one for one in range(min(number, size), 0, -1) if number % one == 0)
    return f"generation.tensor_parallel_size={below}"


def _check_memory(config: Config, made: Generation) -> None:
    """PlanError if the weights and one answer do not fit into the engine's share of a GPU."""
    size = config.cluster.gpu_memory_gib
    if size is None or made.weights_gib is None or made.answer_gib is None or config.force:
        return
    share = size * made.gpu_memory_utilization
    need = made.weights_gib + made.answer_gib
    if need > share:
        raise PlanError(
            f"generation.gpu_memory_utilization={made.gpu_memory_utilization:g} of cluster.gpu_memory_gib={size:g} is "
            f"{share:.1f} GiB, and a GPU that generates needs {made.weights_gib:.1f} GiB for weights and {made.answer_gib:.2f} "
            f"GiB for one answer; use generation.tensor_parallel_size={2 * made.tensor_parallel_size}, with as many GPUs, or "
            "a shorter model.max_length"
        )
