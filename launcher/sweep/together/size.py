"""How many trials share one base model, whether their rows are mixed, and the memory that this takes. Pure."""

from dataclasses import dataclass, replace

from launcher.config import Config, Pass, SweepConfig
from launcher.errors import ConfigError
from launcher.plan import LaunchPlan
from launcher.plan.fit import make_load
from launcher.plan.memory import GIB, MARGIN, Load, estimate_memory
from launcher.plan.memory.optimizer import state_bytes

_MOST = 16
"""Trials of a group that `auto` takes at most: each further one makes the others wait longer."""
_ON_CPU = 4
"""Trials that `auto` takes on a CPU, where memory is not estimated."""
_SMALL = {"cpu": 64, "cuda": 512}
"""Tokens of a forward pass up to which more rows make better use of the device. Measured on two CPU cores
(tests/benchmarks/together.py); derived for GPUs, whose matrix products are bound by the reading of weights below about 300
tokens (989 TFLOP/s over 3.35 TB/s of an H100)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of the groups of a sweep."""

    trials: int
    """Trials at the same time on one base model; 1: no trial shares it."""
    mixed: bool
    """Whether their rows go through it in one pass."""
    why: str
    """The reason for both, in a sentence."""
    one_gib: float | None
    """Peak GiB of a GPU for one trial; None on a CPU, and if it is not known."""
    gib: float | None
    """The same for the whole group."""


def asked_trials(settings: SweepConfig) -> int | None:
    """sweep.together as a number; None for auto. ConfigError for anything else."""
    asked = settings.together
    if asked == "auto":
        return None
    try:
        number = int(asked)
    except ValueError:
        number = 0
    if number < 1:
        raise ConfigError(f"sweep.together={asked} must be a number of at least 1, or auto")
    return number


def group_gib(load: Load, trials: int, *, mixed: bool) -> float:
    """Peak GiB of a GPU with that many trials like this one.

    Each further trial keeps its adapter and its optimizer's state. In a mixed pass its gradients and the activations and
    logits of its rows are there at the same time too; in turns, only those of one trial are.
    """
    own = load.trained * load.trained_width + state_bytes(load, on_gpu=True)
    own += load.trained * load.gradient_width if mixed else 0
    whole = estimate_memory(replace(load, sequences=load.sequences * (trials if mixed else 1)))
    return whole.total + (trials - 1) * own * (1 + (load.fragmentation or 0)) / GIB


def choose_size(settings: SweepConfig, config: Config, plan: LaunchPlan, most: int | None = None) -> Size:
    """The size of groups of trials like this one, the largest of them. `most`: trials that there are; None if not known.

    ConfigError if a requested number does not fit a GPU.
    """
    asked, load, how = asked_trials(settings), make_load(config, plan), settings.together_pass
    room = config.cluster.gpu_memory_gib
    tokens = plan.batch.micro_batch_size * config.model.max_length
    small = tokens <= _SMALL[plan.device]
    mixed = how is Pass.mixed or (how is Pass.auto and small)

    def gib(trials: int, *, mixed: bool) -> float | None:
        return round(group_gib(load, trials, mixed=mixed), 1) if load else None

    def fits(trials: int, *, mixed: bool) -> bool:
        need = gib(trials, mixed=mixed)
        return need is None or room is None or need <= room * (1 - MARGIN)

    limit = max(1, min(_MOST if load and room else _ON_CPU, most or _MOST))
    number = asked or next((one for one in range(limit, 1, -1) if fits(one, mixed=mixed)), 1)
    number = min(number, most or number)
    if mixed and how is Pass.auto and not fits(number, mixed=True):
        mixed = False
    need = gib(number, mixed=mixed)
    if asked and number > 1 and need is not None and room is not None and need > room and not config.force:
        best = next((one for one in range(number, 1, -1) if fits(one, mixed=mixed)), 1)
        raise ConfigError(
            f"sweep.together={asked} needs {need:.1f} GiB of cluster.gpu_memory_gib={room:g}; use sweep.together={best}, or "
            "auto"
        )
    return Size(
        trials=number,
        mixed=mixed and number > 1,
        why=_why(settings, plan, tokens, mixed=mixed, known=load is not None and room is not None),
        one_gib=gib(1, mixed=False),
        gib=need,
    )


def _why(settings: SweepConfig, plan: LaunchPlan, tokens: int, *, mixed: bool, known: bool) -> str:
    limit = _SMALL[plan.device]
    if settings.together_pass is not Pass.auto:
        way = f"sweep.together_pass={settings.together_pass.name}"
    elif mixed:
        way = f"mixed: a forward pass has {tokens} tokens, at most {limit}"
    elif tokens <= limit:
        way = "in turns: the rows of all trials at once do not fit"
    else:
        way = f"in turns: a forward pass of one trial has {tokens} tokens, more than {limit}"
    if settings.together != "auto" or known:
        return way
    return f"{way}; memory is not estimated here, so auto takes at most {_ON_CPU}"
