"""The model card: what a model is, how it was made and checked, so that another person can reproduce it."""

import hashlib
import math
import platform
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from launcher import __version__
from launcher.data.kept_report import read_reports
from launcher.data.places import exists, find_files, is_address
from launcher.errors import RunError
from launcher.masking import mask
from launcher.methods.registry import find_method
from launcher.plan import LaunchPlan
from launcher.plugins.decide import Decided
from launcher.run import RunDir
from launcher.run.events.results import Classified, Evaluated
from launcher.run.metrics import Logged
from launcher.train.after.checked import ExportFacts

NAME = "README.md"
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "deepspeed", "bitsandbytes", "datasets")
_CHUNK = 8 << 20


def add_card(folder: Path, run: RunDir, decided: Decided, facts: ExportFacts) -> None:
    """Writes README.md into the folder, replacing the one that peft writes."""
    text = card(run, decided, facts, adapter=(folder / "adapter_config.json").is_file())
    (folder / NAME).write_text(mask(text), encoding="utf-8")


def card(run: RunDir, decided: Decided, facts: ExportFacts, *, adapter: bool) -> str:
    """The text of the card, with metadata in the form that model hubs read. Source: huggingface.co/docs/hub/model-cards."""
    plan, model = decided.plan, decided.config.model
    base = model.name_or_path
    head: dict[str, Any] = {
        "base_model": base,
        "base_model_relation": "adapter" if adapter else "finetune",
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-classification" if find_method(plan.trainer).own_head else "text-generation",
        "tags": ["launcher", plan.trainer, *(["lora"] if plan.adapter else [])],
    }
    if base.startswith(("package:", ".", "/")) or "/" not in base:
        del head["base_model"], head["base_model_relation"]  # hubs accept only their own ids
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {plan.run}",
        f"{'An adapter for' if adapter else 'Made from'} `{base}`, revision `{model.revision or 'main'}`, by the run "
        f"`{run.name}`.",
        f"## How it was made\n\n```sh\n{command(run)}\n```",
        table("", [("strategy", f"{plan.strategy.name}, {plan.topology.world_size} ranks, {plan.precision}"),
                   ("seed", str(decided.config.seed)), *_settings(decided)]),
        table("## Data", [("file", "rows | SHA-256"), *_data(run, facts.data)]),
        table("## Metrics", metrics(run, facts.step, perplexity=find_method(plan.trainer).next_token_loss)),
        table("## How it was checked", _checks(facts)),
        table("## Versions", [("launcher", __version__), ("python", platform.python_version()), *versions()]),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def command(run: RunDir) -> str:
    """The launch command, quoted for a shell."""
    typed: list[str] = yaml.safe_load(run.overrides.read_text()) if run.overrides.is_file() else []
    where = ["--config-dir", run.config_dir.read_text().strip()] if run.config_dir.is_file() else []
    return f"python -m launcher {shlex.join([*typed, *where])}".strip()


def table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A table of two columns, or of more if the values contain |; empty without rows."""
    if not rows:
        return ""
    columns = 2 + rows[0][1].count("|")
    lines = [f"| {name} | {value} |" for name, value in rows]
    if columns == 2:
        return "\n".join([*([title, ""] if title else []), "| | |", "|---|---|", *lines])
    return "\n".join([title, "", lines[0], "|---" * columns + "|", *lines[1:]])


def _settings(decided: Decided) -> list[tuple[str, str]]:
    config, plan = decided.config, decided.plan
    trainer = config.trainer
    rows = [
        ("method", f"{trainer.kind} ({find_method(trainer.kind).title})"),
        ("learning rate", f"{trainer.learning_rate:g}, {trainer.lr_scheduler_type}"),
        ("sequences a step", str(plan.batch.global_batch_size)),
        ("longest sequence", f"{config.model.max_length} tokens"),
    ]
    if plan.classes is not None:
        rows.append(("classes", ", ".join(plan.classes.names).replace("|", "\\|")))
    for name, options in config.plugins.items():
        text = ", ".join(f"{key}={value}" for key, value in options.items() if key != "_target_")
        rows.append((f"plugin {name}", text.replace("|", "\\|") or "with its defaults"))
    return rows


def digests(plan: LaunchPlan) -> list[dict[str, Any]]:
    """Use, path and SHA-256 of every file of training and evaluation data; the digest is None for data on a hub."""
    training = plan.facts.training_data
    named = [("train", path) for path in training]
    named += [("eval", plan.facts.eval_path)] if plan.facts.eval_path else []
    files = [(use, file) for use, place in named for file in _files(place)]
    return [{"use": use, "path": path, "sha256": _sha256(Path(path))} for use, path in files]


def _files(place: str) -> tuple[str, ...]:
    """The files of a folder or a glob; the text itself if it is an address or no longer exists."""
    return find_files(place) if not is_address(place) and exists(place) else (place,)


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _data(run: RunDir, found: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    rows: dict[str, Any] = {}
    with suppress(RunError, FileNotFoundError):  # the rows are then not counted
        for report in read_reports(run.data_check):
            for counted in (report, report.get("eval") or {}):
                rows[counted.get("path")] = counted.get("rows")
    return [
        (
            f"{one['use']}: `{Path(one['path']).name if one['sha256'] else one['path']}`",
            f"{rows.get(one['path']) or 'not counted'} | {one['sha256'] or 'on a hub'}",
        )
        for one in found
    ]


def metrics(run: RunDir, step: int | None, *, perplexity: bool) -> list[tuple[str, str]]:
    """Evaluation loss before and after training, last training loss, steps and tokens, up to a step, or to the end.

    `perplexity`: whether the loss is the mean over predicted tokens, so that its perplexity is reported too.
    """
    losses: dict[str, float] = {}
    for event in run.read_events(Evaluated):
        if step is None or event.step <= step:
            losses["before" if event.when == "before" else "after"] = event.eval_loss
    rows = [
        (
            f"evaluation loss {when} training",
            f"{loss:.4f}" + (f" (perplexity {math.exp(min(loss, 80)):.4g})" if perplexity else ""),
        )
        for when, loss in losses.items()
    ]
    for event in [one for one in run.read_events(Classified) if step is None or one.step <= step][-1:]:
        rows += [
            ("accuracy", f"{event.accuracy:.1%} of {event.rows:,} rows"),
            ("macro F1", f"{event.macro_f1:.1%}"),
        ]
    logged = (line for line in run.read_metrics() if isinstance(line, Logged))
    lines = [line for line in logged if step is None or line.step <= step]
    if lines:
        last = lines[-1]
        rows += [
            ("last training loss", f"{last.loss:.4f}"),
            ("steps", f"{last.step} of {last.total_steps}"),
        ]
        rows += [("tokens", f"{last.tokens:,}")] if last.tokens else []
    return rows


def _checks(facts: ExportFacts) -> list[tuple[str, str]]:
    if facts.why:
        return [("loaded back", "**the check failed**: " + facts.why.replace("|", "\\|"))]
    if facts.verified != "logits":
        return [
            (
                "tensors",
                "all were read back and are finite; the model is too large to be loaded again on this host",
            )
        ]
    rows = [
        ("loaded back", "its logits on fixed prompts were compared with those of the trained model"),
        (
            "difference",
            f"{facts.difference:.2g} of their norm; rounding explains up to {facts.tolerance:g}",
        ),
    ]
    if facts.effect is not None:
        rows.append(("change by training", f"{facts.effect:.2g} of their norm"))
    return rows


def versions() -> list[tuple[str, str]]:
    """Package and version of the training stack that is installed here."""
    found: list[tuple[str, str]] = []
    for name in _PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found
