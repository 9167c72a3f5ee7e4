"""The schema of conf/: one dataclass per config group, registered with Hydra.

Mutable while composing; `make_plan` turns it into a frozen LaunchPlan. An experiment says WHAT (model, data,
trainer, plugins, resources); a cluster says WHERE.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional, Union

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from launcher.errors import RunError, nearest
from launcher.resources import resource_dir


class Init(Enum):
    """Where a model's first weights come from."""

    pretrained = "pretrained"
    random = "random"


class Engine(Enum):
    """What shards the training state. `auto`: the planner takes the fastest that fits."""

    auto = "auto"
    ddp = "ddp"
    deepspeed = "deepspeed"
    fsdp2 = "fsdp2"


class Device(Enum):
    """What the ranks compute on. `auto`: a GPU where the place has one."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


class Precision(Enum):
    """Number format of the forward pass. `auto`: bf16 on a GPU, fp32 on a CPU."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


class ClusterKind(Enum):
    """How a run is started. `auto`: the allocation when inside one, else Slurm if there, else local."""

    auto = "auto"
    slurm = "slurm"
    allocation = "allocation"
    local = "local"


class ContainerRuntime(Enum):
    """How a container image is started on the nodes."""

    none = "none"
    pyxis = "pyxis"
    apptainer = "apptainer"


class RankStarter(Enum):
    """What starts the ranks of a node: this project's own light starter, or `accelerate launch`."""

    launcher = "launcher"
    accelerate = "accelerate"


class DataFormat(Enum):
    """What a row looks like. `auto`: told from its keys."""

    auto = "auto"
    messages = "messages"
    sharegpt = "sharegpt"
    preference = "preference"
    prompt_completion = "prompt_completion"
    alpaca = "alpaca"
    input_output = "input_output"
    labelled = "labelled"
    prompt = "prompt"
    text = "text"


class DataCheck(Enum):
    """What is looked for in the data before a launch. `full`: everything that `data check` finds."""

    full = "full"
    errors = "errors"
    off = "off"


class TrainerKind(Enum):
    """The training objective; docs/trainers.md has a section for each."""

    sft = "sft"
    pretrain = "pretrain"
    dpo = "dpo"
    kto = "kto"
    orpo = "orpo"
    reward = "reward"
    grpo = "grpo"


class TrackerKind(Enum):
    """Where metrics go beside metrics.jsonl."""

    none = "none"
    wandb = "wandb"
    tensorboard = "tensorboard"


class Sampler(Enum):
    """How a sweep's values are chosen: every combination, or by one of Optuna's samplers."""

    grid = "grid"
    random = "random"
    tpe = "tpe"
    cmaes = "cmaes"
    qmc = "qmc"


class Pruner(Enum):
    """Which trials of a sweep end early, by one of Optuna's pruners."""

    none = "none"
    asha = "asha"
    hyperband = "hyperband"
    median = "median"


class Direction(Enum):
    """Which values of a sweep's objective are good."""

    minimize = "minimize"
    maximize = "maximize"


# Optional[X], not X | None: OmegaConf 2.3 reads the former on every supported Python.
@dataclass(kw_only=True)
class ArchitectureConfig:
    """Shape of a Llama-class decoder, in the names of its config.json; a plan counts by it."""

    model_type: str = "llama"
    """Hugging Face model type."""
    hidden_size: int = MISSING
    intermediate_size: int = MISSING
    num_hidden_layers: int = MISSING
    num_attention_heads: int = MISSING
    num_key_value_heads: int = MISSING
    head_dim: Optional[int] = None  # noqa: UP045
    """Width of one head; None means hidden_size / num_attention_heads."""
    vocab_size: int = MISSING
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    """Bias on q, k and v, as in Qwen2; in a Llama on o too."""
    num_experts: Optional[int] = None  # noqa: UP045
    """Experts of each block, intermediate_size wide each (Mixtral, Qwen3-MoE); None for a dense model."""
    num_experts_per_tok: Optional[int] = None  # noqa: UP045
    """Experts that a token visits; None means 2 where there are experts."""


@dataclass(kw_only=True)
class ModelConfig:
    """Which model, and how much of its context is used."""

    name_or_path: str = MISSING
    """Hugging Face id, a local folder, or `package:NAME` for weights in an installed Python package."""
    revision: Optional[str] = None  # noqa: UP045
    """Branch, tag or commit on the hub."""
    gguf_file: Optional[str] = None  # noqa: UP045
    """File in the folder or package when the weights are GGUF."""
    init: Init = Init.pretrained
    """`random` makes a model of `architecture` from `seed`, with a byte tokenizer; for tests."""
    max_length: int = 2048
    """Longest training sequence, in tokens."""
    attn_implementation: Optional[str] = None  # noqa: UP045
    """Attention kernel: sdpa, eager, flash_attention_2, flash_attention_3 or flex; None takes transformers' choice."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off unless asked for."""
    architecture: Optional[ArchitectureConfig] = None  # noqa: UP045
    """Shape of the model; None reads config.json of a local folder."""


@dataclass(kw_only=True)
class SourceConfig:
    """One of several training sets."""

    path: str = MISSING
    """As data.path."""
    weight: float = 1.0
    """How often each row is seen in an epoch: 2 is twice, 0.5 every other row."""
    format: DataFormat = DataFormat.auto


@dataclass(kw_only=True)
class DataConfig:
    """What is trained on; docs/data.md shows the formats."""

    path: Optional[str] = None  # noqa: UP045
    """JSONL, JSON, CSV, TSV, TXT or Parquet file, or `hub:NAME[/SUBSET][:SPLIT][@REVISION]`, read on the nodes."""
    format: DataFormat = DataFormat.auto
    """What a row looks like, in path and eval_path."""
    sources: list[SourceConfig] = field(default_factory=list[SourceConfig])
    """Several training sets in the place of path: [{path: a.jsonl, weight: 2}, {path: b.csv}]."""
    eval_path: Optional[str] = None  # noqa: UP045
    """The same as path for evaluation; None evaluates nothing."""
    check: DataCheck = DataCheck.full
    """`errors` leaves out duplicates and overlap with eval_path, `off` everything; `full` is kept for large files."""


@dataclass(kw_only=True)
class BatchConfig:
    """How many sequences per step. Gradient accumulation follows: global / (micro * world_size)."""

    global_batch_size: int = 32
    """Sequences per optimizer step, over all ranks."""
    micro_batch_size: Union[int, str] = 1  # noqa: UP007
    """Sequences per rank in one forward pass; auto takes the fastest that fits."""


@dataclass(kw_only=True)
class ResourcesConfig:
    """How much a run needs."""

    nodes: int = 1
    gpus_per_node: int = 1
    """Ranks per node, one GPU each; with device=cpu, CPU ranks per node."""
    time: str = "04:00:00"
    """Time limit of the job, in Slurm's spelling (minutes, HH:MM:SS, D-HH:MM:SS)."""
    device: Device = Device.auto
    cpus_per_gpu: Optional[int] = None  # noqa: UP045
    """CPU cores asked for per rank, where cluster.sbatch has no cpus-per-gpu; None leaves it to the site's default, which may
    be one core a node."""
    memory_gib: Optional[int] = None  # noqa: UP045
    """Host memory asked for per node, in GiB, where cluster.sbatch has no mem-per-gpu or mem-per-cpu: 0 is all that a node
    has, None leaves it to the site's default."""
    spares: int = 0
    """Nodes more than `nodes`, that wait in the allocation and take the place of one that fails."""
    silence_s: float = 60.0
    """Seconds without a step after which ranks count as hanging, once steps are known to be shorter; 10 times the longest
    step where that is more."""


@dataclass(kw_only=True)
class TrainerConfig:
    """The objective and its hyperparameters; names are transformers' TrainingArguments' and trl's."""

    kind: TrainerKind = TrainerKind.sft
    learning_rate: float = 2e-4
    num_train_epochs: float = 1.0
    max_steps: int = -1
    """Optimizer steps; above 0 it overrides num_train_epochs."""
    lr_scheduler_type: str = "cosine"
    """The learning rate's course, in transformers' spelling."""
    lr_scheduler_kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    """What that course needs beside: min_lr_rate for cosine_with_min_lr, num_decay_steps for warmup_stable_decay."""
    warmup_steps: float = 0.03
    """Steps of linear warm-up; below 1 it is a share of all steps, rounded down: 0.03 of fewer than 34 steps is none."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    loss_spike: Optional[float] = 2.0  # noqa: UP045
    """A loss of more than so many times the largest of the last 64 is a spike: the run goes back to its newest checkpoint and
    leaves the batch out, twice at most. None: only a loss that is no number is."""
    optim: str = "adamw_torch"
    """Optimizer, in transformers' spelling; adamw_8bit and its kin take a quarter of AdamW's memory."""
    logging_steps: int = 1
    eval_steps: Optional[int] = None  # noqa: UP045
    """Steps between evaluations; None evaluates before and after training only."""
    packing: bool = False
    """Put several short documents into one sequence; none sees another."""
    torch_compile: bool = False
    """Compile the model: minutes before the first step, faster ones after it. Not with DeepSpeed."""
    activation_offloading: bool = False
    """Keep activations in host memory between the forward and the backward pass. On a GPU alone."""
    assistant_only_loss: bool = True
    """Train on the assistant's turns alone."""
    precision: Precision = Precision.auto
    sample_prompt: Optional[str] = None  # noqa: UP045
    """A question that is answered before and after training, for a person to compare."""
    beta: Optional[float] = None  # noqa: UP045
    """dpo, kto, grpo: how far the model is held to the reference model; orpo: weight of the odds ratio. None: trl's."""
    loss_type: Optional[str] = None  # noqa: UP045
    """dpo, kto, grpo: the loss, in trl's spelling (sigmoid, ipo, ...; kto, apo_zero_unpaired; dapo, grpo, ...). None: trl's."""
    label_smoothing: Optional[float] = None  # noqa: UP045
    """dpo: share of pairs that are taken to be labelled the wrong way round (robust), or EXO's epsilon (exo_pair)."""
    desirable_weight: Optional[float] = None  # noqa: UP045
    """kto: weight of the good answers' loss."""
    undesirable_weight: Optional[float] = None  # noqa: UP045
    """kto: weight of the bad answers' loss."""
    center_rewards_coefficient: Optional[float] = None  # noqa: UP045
    """reward: weight of a term that holds the mean reward at 0; 0.01 is usual, None leaves it out."""
    disable_dropout: Optional[bool] = None  # noqa: UP045
    """dpo, kto, orpo, reward, grpo: train without dropout. None: trl's, which is yes for all but grpo."""
    num_generations: Optional[int] = None  # noqa: UP045
    """grpo: answers that are drawn for each prompt; batch.global_batch_size counts answers. None: 8."""
    max_completion_length: Optional[int] = None  # noqa: UP045
    """grpo: longest answer, in tokens; prompts may have the rest of model.max_length. None: half of model.max_length."""
    temperature: Optional[float] = None  # noqa: UP045
    """grpo: temperature at which answers are drawn. None: 1."""
    top_p: Optional[float] = None  # noqa: UP045
    """grpo: share of the probability that tokens are drawn from. None: 1, all of it."""
    top_k: Optional[int] = None  # noqa: UP045
    """grpo: so many of the likeliest tokens are drawn from. None: 0, all of them."""
    repetition_penalty: Optional[float] = None  # noqa: UP045
    """grpo: above 1, tokens that were said before are less likely. None: 1."""
    epsilon: Optional[float] = None  # noqa: UP045
    """grpo: how far the ratio to the old policy may go before it is clipped. None: 0.2."""
    scale_rewards: Optional[str] = None  # noqa: UP045
    """grpo: group, batch or none: whose standard deviation rewards are divided by. None: group."""
    reward_functions: list[Any] = field(default_factory=list[Any])
    """grpo: functions from answers to rewards, each `{_target_: my_rewards.length}`, further keys being its arguments."""
    reward_weights: Optional[list[float]] = None  # noqa: UP045
    """grpo: a weight for each reward function. None: all alike."""


@dataclass(kw_only=True)
class StrategyConfig:
    """How the training state is sharded."""

    engine: Engine = Engine.ddp
    zero_stage: int = 0
    """ZeRO stage: 1 shards optimizer state, 2 also gradients, 3 also weights. 0 with other engines."""
    offload_optimizer: bool = False
    """Keep optimizer state in host memory (ZeRO 1 to 3)."""
    offload_param: bool = False
    """Keep weights in host memory: ZeRO-3, or FSDP2's CPU offload."""


@dataclass(kw_only=True)
class ContainerConfig:
    """The image that the ranks run in."""

    runtime: ContainerRuntime = ContainerRuntime.none
    image: Optional[str] = None  # noqa: UP045
    """Image reference (pyxis) or .sif path (apptainer)."""
    mounts: list[str] = field(default_factory=list[str])
    """Host folders to mount, each `path` or `host:container`; the run dir, data and caches are added."""
    python: str = "python3"
    """Python inside the image, with this package installed."""


@dataclass(kw_only=True)
class ClusterConfig:
    """A place where runs go; the only group in which a site describes itself."""

    kind: ClusterKind = ClusterKind.auto
    gpus_per_node: Optional[int] = None  # noqa: UP045
    """GPUs that a node has; a run that asks for more is refused. None: not checked."""
    gpu_memory_gib: Optional[float] = None  # noqa: UP045
    """Memory of one GPU, in GiB; a launch that needs more is refused. None: not checked."""
    context_gib: float = 1.0
    """GiB of a GPU that are no tensors: CUDA's context, communicators, fragmentation. Assumed until `calibrate`."""
    gpu_tflops: Optional[float] = None  # noqa: UP045
    """Dense bf16 TFLOP/s of one GPU by its data sheet. None: an A100's are assumed."""
    achieved_share: float = 0.4
    """Share of gpu_tflops that training reaches. Assumed until `calibrate`."""
    link_gb_s: Optional[float] = None  # noqa: UP045
    """GB/s that one GPU sends to others of its node. None: assumed."""
    network_gb_s: Optional[float] = None  # noqa: UP045
    """GB/s that one GPU sends to other nodes. None: assumed."""
    price_per_gpu_hour: Optional[float] = None  # noqa: UP045
    """Price of one GPU for an hour, in your currency; a plan then tells the cost."""
    sbatch: dict[str, Any] = field(default_factory=dict[str, Any])
    """Any sbatch option by its long name (partition, account, qos, constraint, ...); true means no value."""
    gpu_flag: str = "gpus-per-node"
    """sbatch option by which the site counts GPUs: gpus-per-node, or gres for `gpu:N`."""
    env: dict[str, str] = field(default_factory=dict[str, str])
    """Environment variables for the ranks. Never secrets: those pass through from your own environment."""
    modules: list[str] = field(default_factory=list[str])
    """Environment modules to load, in order."""
    setup: list[str] = field(default_factory=list[str])
    """Simple commands before the ranks, e.g. `source /opt/site/env.sh`. Words are quoted; nothing expands."""
    python: Optional[str] = None  # noqa: UP045
    """Python on the nodes; None is the one that runs this command."""
    failures_per_1000_node_days: float = 6.5
    """How often a node of this place ends a job; saves and their interval are planned from it."""
    rank_starter: RankStarter = RankStarter.launcher
    container: ContainerConfig = field(default_factory=ContainerConfig)


@dataclass(kw_only=True)
class TrackerConfig:
    """Where metrics go beside the run dir's metrics.jsonl."""

    kind: TrackerKind = TrackerKind.none
    project: str = "launcher"
    """Project name at the tracker."""


@dataclass(kw_only=True)
class SweepConfig:
    """What many trials from one command search, and when they stop. Of no effect without -m."""

    search: dict[str, Any] = field(default_factory=dict[str, Any])
    """Keys with the values to try, in Hydra's sweep syntax: "1e-4,1e-3", "choice(8,16)", "range(1,5)", "interval(0,1)",
    "tag(log, interval(1e-5,1e-2))", or a list. What is typed on the command line replaces a key of it."""
    objective: str = "eval_loss"
    """The key of metrics.jsonl by which trials are compared; its last value counts."""
    direction: Direction = Direction.minimize
    sampler: Sampler = Sampler.grid
    """grid tries every combination; the others are Optuna's and try `trials` of them."""
    pruner: Pruner = Pruner.none
    """Ends trials that promise little, at an evaluation; asha is successive halving without waiting."""
    reduction_factor: int = 3
    """With asha and hyperband: one of so many trials goes on at each rung."""
    trials: Optional[int] = None  # noqa: UP045
    """How many trials a sampler may begin; None needs another budget. A grid has no such limit."""
    gpu_hours: Optional[float] = None  # noqa: UP045
    """GPU-hours (with device=cpu, rank-hours) after which no trial is begun; None: no limit."""
    deadline: Optional[str] = None  # noqa: UP045
    """Time after which no trial is begun, as 2026-11-30T08:00 in local time or with an offset; None: no limit."""
    parallel: Optional[int] = None  # noqa: UP045
    """Trials at once. None: on Slurm all of a grid, or 4 of a sampler; on this machine 1."""
    fail_fast: bool = False
    """The first trial that fails ends the others."""
    seed: int = 0
    """Of the sampler."""


@dataclass(kw_only=True)
class Config:
    """One run, as asked for."""

    name: str = MISSING
    """Name of the run, and of its folder under runs_dir."""
    model: ModelConfig = MISSING
    data: DataConfig = MISSING
    trainer: TrainerConfig = MISSING
    strategy: StrategyConfig = MISSING
    cluster: ClusterConfig = MISSING
    tracker: TrackerConfig = MISSING
    batch: BatchConfig = field(default_factory=BatchConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    plugins: dict[str, Any] = field(default_factory=dict[str, Any])
    """Plugins by name, each with its `_target_`; filled by the list-valued group `plugin`."""
    seed: int = 0
    resume: str = "auto"
    """auto: from the newest committed checkpoint of this run; never; or, until the run has its own, from a checkpoint's
    path or another run."""
    resume_weights_only: bool = False
    """With resume=PATH: begin at step 0 with its weights, and take nothing else from it."""
    trust_checkpoint: bool = False
    """With resume=PATH: accept a checkpoint from outside runs_dir."""
    force: bool = False
    """Launch although the plan says that it does not fit into the GPUs' memory."""
    dry_run: bool = False
    """Write the run dir and print what would submit it."""
    runs_dir: str = "runs"
    """Folder of all runs; relative to where the command is typed."""
    cache_dir: str = "${oc.env:XDG_CACHE_HOME,${oc.env:HOME,/tmp}/.cache}/launcher"
    """Folder for models made on the spot; on a cluster it must be on a shared file system."""


GROUPS: dict[str, type] = {
    "model": ModelConfig,
    "data": DataConfig,
    "trainer": TrainerConfig,
    "strategy": StrategyConfig,
    "cluster": ClusterConfig,
    "tracker": TrackerConfig,
    "sweep": SweepConfig,
}


def register() -> None:
    """Put the schema into Hydra's ConfigStore, so that a typo or a wrong type fails at the override."""
    store = ConfigStore.instance().store
    store(name="schema", node=Config)
    for group, node in GROUPS.items():
        store(group=group, name="schema", node=node)
    OmegaConf.register_new_resolver("shipped", _shipped, replace=True)


def _shipped(path: str) -> str:
    return str(resource_dir("conf") / path)


def read_config(path: str) -> Config:
    """The Config in a run dir's config.yaml, checked against the schema again; RunError where it is none of this version's."""
    way_out = "mend it, or use the version of the launcher that wrote it"
    try:
        loaded = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(path))
        config = OmegaConf.to_object(loaded)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror or error}); is this a run dir?") from None
    except YAMLError as error:
        raise RunError(f"{path} is not YAML ({' '.join(str(error).split())}); {way_out}") from None
    except OmegaConfBaseException as error:
        raise RunError(f"{path}: {_fault(error)}; {way_out}") from None
    assert isinstance(config, Config)
    return config


def _fault(error: OmegaConfBaseException) -> str:
    """The key and what is wrong with it, in one line."""
    key = str(error.full_key or error.key or "")
    if not isinstance(error, ConfigKeyError):
        return f"{key}: {str(error).partition(chr(10))[0]}"
    close = nearest(str(error.key), getattr(error.object_type, "__dataclass_fields__", ()))
    return f"{key} is no key of this version" + (f", and {close} the nearest that is" if close else "")
