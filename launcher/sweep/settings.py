"""The settings of a sweep itself, under sweep.*, their checks, and whether its budget allows another trial."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from omegaconf import OmegaConf

from launcher.config import Config, Pruner, Sampler, SweepConfig, has_evaluation
from launcher.errors import ConfigError
from launcher.launching.compose import MultirunRequest
from launcher.sweep.expand import Axis
from launcher.sweep.study import check_installed

_REPORT_IT = "set data.eval_path or data.eval_fraction, or sweep.objective=loss"


def read_settings(request: MultirunRequest) -> SweepConfig:
    """The settings under sweep.*."""
    settings = OmegaConf.to_object(request.master.sweep)
    assert isinstance(settings, SweepConfig)
    return settings


def is_setting(override: str) -> bool:
    """Whether an override is a setting of the sweep, not of its trials."""
    key = override.lstrip("+~").partition("=")[0]
    return key == "sweep" or key.startswith(("sweep.", "sweep@"))


def check_settings(settings: SweepConfig, config: Config, axes: Sequence[Axis]) -> None:
    """ConfigError for invalid settings."""
    check_installed(settings.sampler, settings.pruner)
    check_deadline(settings.deadline)
    for key in ("trials", "parallel"):
        value = getattr(settings, key)
        if value is not None and value < 1:
            raise ConfigError(f"sweep.{key}={value} must be at least 1, or null for no limit")
    if settings.sampler is Sampler.grid and settings.trials is not None:
        raise ConfigError(
            f"sweep.trials={settings.trials} cannot be combined with sweep.sampler=grid, which trains every combination; give "
            "fewer values and sweep.trials=null, or draw random combinations with sweep.sampler=random"
        )
    if settings.reduction_factor < 2:
        raise ConfigError(f"sweep.reduction_factor={settings.reduction_factor} must be at least 2")
    if settings.sampler is not Sampler.grid:
        if not any(axis.swept for axis in axes):
            raise ConfigError(
                f"sweep.sampler={settings.sampler.name} has nothing to search; give a key several values, as in "
                "'trainer.learning_rate=tag(log, interval(1e-5,1e-3))', or name a search space with +sweep=NAME"
            )
        if settings.trials is settings.gpu_hours is settings.deadline is None:
            raise ConfigError(
                f"sweep.sampler={settings.sampler.name} would never end; set sweep.trials, sweep.gpu_hours or sweep.deadline"
            )
    searches = settings.sampler is not Sampler.grid or settings.pruner is not Pruner.none
    if searches and (said := _unreported(settings, config)):
        raise ConfigError(f"{said}; {_REPORT_IT}")
    if (
        settings.pruner is not Pruner.none
        and settings.objective.startswith("eval_")
        and config.trainer.eval_steps is None
    ):
        raise ConfigError(
            f"sweep.pruner={settings.pruner.name} needs {settings.objective} during training; set trainer.eval_steps"
        )


def no_objective(settings: SweepConfig, config: Config) -> list[str]:
    """A warning if the trials of a grid never report the objective; empty otherwise."""
    said = _unreported(settings, config)
    return [f"{said}, so no trial is the best one; {_REPORT_IT}"] if said else []


def _unreported(settings: SweepConfig, config: Config) -> str:
    """Why no trial reports the objective; empty if they do."""
    if not settings.objective.startswith("eval_") or has_evaluation(config.data):
        return ""
    return f"sweep.objective={settings.objective} is never reported: data.eval_path is null"


def first_report(settings: SweepConfig, config: Config) -> int | None:
    """The step at which the objective is reported for the first time; None if a trial's plan decides it."""
    if settings.objective.startswith("eval_"):
        every = config.trainer.eval_steps
        return int(every) if isinstance(every, int | float) and every >= 1 else None
    return config.trainer.logging_steps


def check_deadline(text: str | None) -> None:
    """ConfigError for a deadline that is not a time."""
    if text is not None:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ConfigError(
                f"sweep.deadline={text} is not a time; write it as 2026-11-30T08:00, with an offset such as +01:00 or without"
            ) from None


def spent(budget: Mapping[str, Any], begun: int, gpu_s: Iterable[float], moment: datetime) -> str | None:
    """The reason why no further trial may begin; None if one may.

    `begun`: number of trials so far; `gpu_s`: GPU seconds of each; `moment`: the present time, with a time zone.
    """
    trials, hours, deadline = budget["trials"], budget["gpu_hours"], budget["deadline"]
    if trials is not None and begun >= trials:
        return f"sweep.trials={trials} have begun"
    if hours is not None:
        used = sum(gpu_s) / 3600
        if used >= hours:
            return f"sweep.gpu_hours={hours:g} are used up ({used:.3g} hours)"
    if deadline is not None and moment >= datetime.fromisoformat(deadline).astimezone():
        return f"sweep.deadline={deadline} has passed"
    return None
