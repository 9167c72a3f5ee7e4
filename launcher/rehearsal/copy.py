"""The copy of a run for a rehearsal: the same model, strategy and nodes, a sample of the data, and frequent saves."""

import hashlib
import heapq
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.config import Config
from launcher.config.spelling import check_time, limit_s
from launcher.data.files import read_rows
from launcher.errors import ConfigError
from launcher.launching.compose import compose
from launcher.launching.composed import Composed
from launcher.launching.data_gate import data_paths
from launcher.launching.earlier_runs import saves_weights_only
from launcher.plugins.base import Plugin, make_plugins
from launcher.rehearsal.job import KILL_FILE
from launcher.run import write_text

STEPS = 100_000
"""More steps than a rehearsal takes, because it ends when it is cancelled, which is one of its checks."""
_MOST_READ, _LEAST_ROWS = 20_000, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of a rehearsal."""

    save_every: int = 5
    """Steps between two saves."""
    time: str = "00:30:00"
    """Time limit of its job, unless the run's is shorter."""
    patience_s: float = 900.0
    """Timeout of a check in seconds, not counting time in the queue."""


def compose_copy(overrides: list[str], settings: Settings) -> Composed:
    """The rehearsal of the given run; ConfigError if that run saves nothing, cannot resume, or is a multirun."""
    composed = compose(overrides)
    if len(composed) != 1:
        raise ConfigError("rehearse takes one run; give one value for each key, and leave -m out")
    config = composed[0].config
    plugins = dict(zip(config.plugins, make_plugins(config.plugins), strict=True))
    if not any(plugin.traits.saves for plugin in plugins.values()):
        raise ConfigError(
            "plugin has no sharded_checkpoint, so the run saves nothing and cannot survive a failure; add it to 'plugin=[...]'"
        )
    limit = min(check_time(config.resources.time), check_time(settings.time), key=limit_s)
    changed = [
        f"name={f'rehearse-{config.name}'[:100]}", f"resources.time='{limit}'", f"trainer.max_steps={STEPS}",
        "trainer.logging_steps=1", "trainer.eval_steps=null", "trainer.sample_prompt=null", "data.eval_path=null",
        "data.eval_fraction=null", "data.eval_group=null", "data.eval_copies=near",
        "data.max_samples=null", "data.eval_max_samples=null",
        "data.check=errors", "data.sources=[]", f"data.path={_quoted(_sample(config))}", "tracker.kind=none", "dry_run=false",
        "hub.push=null", "eval_job.every=null", "eval_job.tasks=[]",
        "eval_job.keep_best=0", "resume=auto", *_weights_only(config),
        *_rehearsed(plugins, settings.save_every),
        "+plugins.rehearsal._target_=launcher.plugins.rehearsal.Rehearsal", f"+plugins.rehearsal.file={KILL_FILE}",
    ]  # fmt: skip
    if sources := config.data.sources:
        changed.append(f"data.format={sources[0].format}")
        changed += [
            f"++data.columns.{_quoted(ours)}={_quoted(theirs)}" for ours, theirs in sources[0].columns.items()
        ]
    return compose([*overrides, *changed])[0]


def _weights_only(config: Config) -> list[str]:
    """The override with which the copy resumes; ConfigError for a run that cannot resume."""
    if not saves_weights_only(config):
        return ["resume_weights_only=false"]
    if not config.resume_weights_only:
        raise ConfigError(
            "plugins.sharded_checkpoint.weights_only=true saves no optimizer state, so the run cannot resume; set "
            "resume_weights_only=true if it may continue with a new optimizer, or take weights_only out"
        )
    return []


def _rehearsed(plugins: Mapping[str, Plugin], save_every: int) -> Iterator[str]:
    """The overrides by which each plugin changes the copy; `~` removes a plugin."""
    for name, plugin in plugins.items():
        options = plugin.rehearsed(save_every)
        if options is None:
            yield f"~plugins.{name}"
        else:
            yield from (f"plugins.{name}.{key}={value}" for key, value in options.items())


def _sample(config: Config) -> str:
    """The path of a small file with the longest of the first rows, which need the most memory; a name on a hub is returned
    unchanged."""
    path = data_paths(config).training[0]
    if path.startswith("hub:"):
        return path
    rows = (json.dumps(row.value, default=str) for row in read_rows(path) if row.fault is None)
    wanted = max(_LEAST_ROWS, 2 * config.batch.global_batch_size)
    longest = heapq.nlargest(wanted, itertools.islice(rows, _MOST_READ), key=len)
    if not longest:
        raise ConfigError(f"data.path={path} holds no row; give a file with rows")
    text = "\n".join(itertools.islice(itertools.cycle(longest), wanted)) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path(config.cache_dir).absolute() / "rehearsals"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{digest}.jsonl"
    write_text(file, text)
    return str(file)


def _quoted(text: str) -> str:
    """The text as a quoted value of Hydra's grammar. Source: Hydra's manual, "Extended override syntax", quoted values."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
