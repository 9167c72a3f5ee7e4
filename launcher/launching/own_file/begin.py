"""A first file of one's own, made from what the data file holds and a few choices."""

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote
from typing import Any, cast

from omegaconf import OmegaConf

from launcher.config import ClusterConfig, Config, ModelConfig, TrainerConfig
from launcher.config.data import AUTO
from launcher.config.spelling import check_time
from launcher.data.check import Report, check
from launcher.data.kinds import SPOKEN
from launcher.data.places import find_files
from launcher.data.portion import USUAL, CheckOptions
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.errors import ConfigError, DataError, UsageError
from launcher.launching.model_files import check_contents, check_model_files
from launcher.launching.model_gate import ADAPTER, check_model
from launcher.launching.own_file.cores import cores_per_gpu
from launcher.launching.own_file.write import Entry, to_text
from launcher.methods.registry import METHODS, check_serves, find_method
from launcher.resources import resource_dir, shipped_models
from launcher.units import plural

_SEQUENCES = 32
"""Sequences per step that are aimed at; the nearest multiple of what all GPUs take in one micro-step is used."""
_STEPS = 10
"""Optimizer steps that a run has at least, if there are enough rows: fewer teach little, and the plan warns of them."""
_EPOCHS = 3
_MICRO = 2
_LEAST_ROWS_TO_HOLD_OUT = 50
_HELD_OUT = 0.05
_LONGEST = 8192
_REVISION, _REVISION_LINE = re.compile(r" model\.revision=(\S+)"), r"revision: \1"
"""How a refusal names the revision of a model, and the line of the file that gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the user has chosen; where a value is None, it follows from the data."""

    model: str
    data: str
    method: str | None = None
    gpus: int = 1
    nodes: int = 1
    time: str = "04:00:00"
    reading: Reading = AS_IT_STANDS
    """How the rows are read."""
    reward: str | None = None
    """MODULE.FUNCTION of the function that scores answers, for a method that needs one."""
    teacher: str | None = None
    """The model whose predictions are learnt, for a method that needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFile:
    """A file that can be written, and what was seen in the data."""

    text: str
    method: str
    seen: str


def begin(choices: Choices, file: str) -> FirstFile:
    """The file's text; ConfigError or DataError for a choice that cannot be trained."""
    if choices.gpus < 1 or choices.nodes < 1:
        raise UsageError(f"--gpus {choices.gpus} --nodes {choices.nodes}: both must be at least 1")
    check_time(choices.time)
    report = _look(choices.data, choices.reading)
    kinds = [kind for kind, number in report.part.kinds.items() if number] if report else []
    method = choices.method or (method_of(kinds) if kinds else TrainerConfig().kind)
    spec = find_method(method)
    if report:
        check_serves(method, choices.data, kinds)
    wants_reward = "reward_functions" in spec.key_names
    if wants_reward and not choices.reward:
        raise UsageError(
            f"--method {method} learns from a function that scores answers; name it with --reward MODULE.FUNCTION"
        )
    if spec.teacher and not choices.teacher:
        raise UsageError(
            f"--method {method} learns the predictions of another model; name it with --teacher MODEL, a hub id or a folder"
        )
    seen = _seen(report, choices.data)
    world = choices.gpus * choices.nodes
    length = _length(report)
    cores, of_cores = cores_per_gpu()
    micro, batch = _batch(int(_usual(method, "num_generations") or 1), world, report)
    entries = [
        *_model(choices.model, file),
        Entry(
            key="model.max_length",
            value=length,
            comment="tokens of the longest sequence; longer ones are cut",
        ),
        Entry(key="data.path", value=choices.data, comment=seen),
        *_as_read(choices.reading),
        *_held_out(report),
        Entry(key="trainer.kind", value=method, comment=spec.title),
        Entry(
            key="trainer.learning_rate",
            value=_usual(method, "learning_rate"),
            comment="the first value to vary",
        ),
        Entry(key="trainer.num_train_epochs", value=float(_EPOCHS), comment="passes over the data"),
        *_packing(report, method, length, batch),
    ]
    if wants_reward:
        entries.append(Entry(key="trainer.reward_functions", value=[{"_target_": choices.reward}]))
    if spec.teacher:
        entries.append(
            Entry(key="trainer.teacher", value=choices.teacher, comment="its tokenizer is the model's")
        )
    entries += [
        Entry(
            key="batch.global_batch_size",
            value=batch,
            comment=f"{spec.unit} per optimizer step, over {plural(world, 'GPU')}",
        ),
        Entry(
            key="batch.micro_batch_size",
            value=micro,
            comment="per GPU at once; lower it if memory is short",
        ),
        Entry(key="plugins.lora", value={"r": 16, "alpha": 32}, comment="false trains all weights"),
        Entry(key="plugins.gradient_checkpointing", value=True, comment="less memory, a quarter more time"),
        Entry(
            key="plugins.sharded_checkpoint",
            value=True,
            comment="saves, so that the run survives its time limit",
        ),
        Entry(key="resources.nodes", value=choices.nodes),
        Entry(key="resources.gpus_per_node", value=choices.gpus),
        Entry(
            key="resources.cpus_per_gpu",
            value=cores,
            comment=of_cores,
        ),
        Entry(key="resources.time", value=choices.time, comment="time limit of the job"),
    ]
    head = [
        f"python -m launcher plan --config {quote(file)}     does it fit, how long does it take; without `plan` it is launched",
        "All keys: docs/reference/keys.md. A key on the command line overrides it: trainer.learning_rate=1e-4",
        "",
    ]
    return FirstFile(text=to_text(head, entries), method=method, seen=seen)


def method_of(kinds: list[str]) -> str:
    """The first method, by name, that is made for rows of the most common kind and needs no other model."""
    for kind in kinds:
        for name in METHODS.own_names():
            spec = find_method(name)
            if spec.learns_from[0] == kind and spec.teacher is None:
                return name
    raise ConfigError("the data file holds no row; give a file with rows")


def _look(path: str, reading: Reading) -> Report | None:
    """What the file holds; None for data on a hub. DataError for a file that cannot be read, or that holds errors."""
    if path.startswith("hub:"):
        return None
    try:
        find_files(path)
    except DataError as error:
        raise ConfigError(f"--data {error}" if path else f"--data: {error}") from None
    report = check(CheckOptions(path=path, max_length=_LONGEST, reading=reading))
    if report.errors:
        first = next(one for one in report.findings if one.level == "error")
        raise ConfigError(
            f"--data {path}: {first.message}; python -m launcher data check {quote(path)} lists every fault, and --columns, "
            "--on-bad-row and its other options work here too"
        )
    return report


def _as_read(reading: Reading) -> list[Entry]:
    """The keys of the data group that are set by options."""
    values: dict[str, Any] = {
        "format": reading.format if reading.format != AUTO else None,
        "columns": dict(reading.columns),
        "roles": dict(reading.roles),
        "drop": list(reading.drop),
        "keep": list(reading.keep),
        "on_bad_row": "skip" if reading.skip else None,
        "max_bad_share": reading.max_bad_share
        if reading.max_bad_share != AS_IT_STANDS.max_bad_share
        else None,
    }
    return [Entry(key=f"data.{key}", value=value) for key, value in values.items() if value]


def _seen(report: Report | None, path: str) -> str:
    if report is None:
        return "read on the nodes"
    kinds = ", ".join(f"{number} {SPOKEN[kind]}s" for kind, number in report.part.kinds.items() if number)
    formats = ", ".join(name for name, number in report.part.formats.items() if number)
    return f"{kinds} in format {formats}"


def _length(report: Report | None) -> int:
    """The smallest power of two that holds every row, as far as its length can be told without a tokenizer."""
    if report is None:
        return 2048
    longest = list(report.tokens["histogram"])[-1] if report.tokens.get("histogram") else "<=2048"
    return min(max(int(longest.strip("<>=")), 256), _LONGEST)


def _batch(answers: int, world: int, report: Report | None) -> tuple[int, int]:
    """Sequences per GPU at once and per optimizer step: few where there are few rows, so that the run has _STEPS steps.

    `answers`: how many are generated for each prompt; 1 for a method that generates none.
    """
    most = report.part.rows * answers * _EPOCHS // _STEPS if report else _SEQUENCES
    each = _MICRO if most >= _MICRO * world else 1
    # one step of an evaluation holds all answers to a prompt, so a micro-step of all ranks must hold them too
    micro = each if answers == 1 else math.lcm(each * world, answers) // world
    step = math.lcm(micro * world, answers)
    return micro, max(1, min(round(_SEQUENCES / step), most // step)) * step


def _packing(report: Report | None, method: str, length: int, batch: int) -> list[Entry]:
    """Without packing where it would join a small file into so few sequences that the run has too few steps."""
    if report is None or not _usual(method, "packing"):
        return []
    sequences = max(1.0, report.part.characters / USUAL / length)
    if sequences * _EPOCHS >= _STEPS * batch:
        return []
    return [
        Entry(
            key="trainer.packing", value=False, comment="so few rows make too few steps when they are joined"
        )
    ]


def _held_out(report: Report | None) -> list[Entry]:
    """What is held out for evaluation: a share, if enough rows differ."""
    rows = (
        report.part.rows - report.part.counts["duplicate"] - report.near_duplicates
        if report
        else _LEAST_ROWS_TO_HOLD_OUT
    )
    none = Entry(key="data.eval_path", value=None, comment="a file of held-out rows, for an evaluation")
    if rows < _LEAST_ROWS_TO_HOLD_OUT:
        return [none]
    return [
        none,
        Entry(key="data.eval_fraction", value=_HELD_OUT, comment="share of the rows that is held out"),
    ]


def _model(model: str, file: str) -> list[Entry]:
    if model in shipped_models():
        return [Entry(key="model.extends", value=model, comment="a model of conf/model")]
    folder = Path(model)
    if (folder / ADAPTER).is_file() or any(folder.glob("*.gguf") if folder.is_dir() else ()):
        # a launch takes both kinds of folders, with keys that the file gets afterwards
        check_contents(f"--model {model}", folder)
    else:
        _check(model, file)
    return [Entry(key="model.name_or_path", value=model)]


def _check(model: str, file: str) -> None:
    """ConfigError for a folder or a name that a launch would refuse."""
    config = Config(name="init", model=ModelConfig(name_or_path=model), cluster=ClusterConfig())
    try:
        check_model(config)
        check_model_files(config)
    except ConfigError as error:
        told = str(error).replace("model.name_or_path=", "--model ").replace(" model=", " --model ")
        raise ConfigError(
            _REVISION.sub(rf", and add `{_REVISION_LINE}` below model: in {file}", told)
        ) from None


def _usual(method: str, key: str) -> Any:
    """The value that `trainer=METHOD` sets for a key, or the default."""
    default = next(field.default for field in fields(TrainerConfig) if field.name == key)
    path = resource_dir("conf") / "trainer" / f"{method}.yaml"
    if not path.is_file():
        return default
    usual = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(path)))
    return usual.get(key, default)
