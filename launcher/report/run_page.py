"""Makes the page of one run from its facts: its settings, its course and its result."""

import shlex
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from launcher import units
from launcher.report import sections
from launcher.report.classes import accuracy_tile, classes
from launcher.report.concerns import find_concerns
from launcher.report.curves import LoggedCurves, is_number, points, stayed
from launcher.report.facts import RunFacts, at, find_attempts, listing, mapping
from launcher.report.page import BAD, GOOD, PLAIN, WARN, Page, Tile
from launcher.report.tasks import tasks
from launcher.run.attempts import Attempt
from launcher.units import plural

TONES = {"finished": GOOD, "failed": BAD, "lost": BAD, "timeout": BAD, "cancelled": WARN}


def make_run_page(facts: RunFacts) -> Page:
    """The report of one run."""
    record, attempts = stayed(line.values() for line in facts.metrics), find_attempts(facts)
    state = str(facts.status.get("state", "unknown"))
    shown = (
        sections.learning(record, attempts, facts),
        classes(facts),
        tasks(facts),
        sections.machine(record, facts),
        sections.attempts(attempts, facts),
        sections.data(facts),
        sections.result(facts),
        sections.measures(record),
        sections.events(facts),
    )
    return Page(
        kind="run",
        name=facts.name,
        subtitle=_subtitle(facts),
        state=state,
        tone=TONES.get(state, PLAIN),
        written=facts.written,
        version=facts.version,
        notices=find_concerns(facts),
        tiles=_tiles(facts, record, attempts),
        facts=_what(facts),
        sections=[section for section in shown if section],
    )


def _subtitle(facts: RunFacts) -> str:
    plan = facts.plan
    model, strategy = at(plan, "model", "name_or_path"), at(plan, "strategy", "name")
    world = at(plan, "topology", "world_size")
    unit = "GPU" if plan.get("device") == "cuda" else "CPU rank"
    parts = [model, strategy and f"{strategy}, {plan.get('precision')}", world and plural(world, unit)]
    return " · ".join(str(part) for part in parts if part)


def _batch(batch: Mapping[str, Any]) -> str:
    """The batch as a product; the last factor is the number of ranks, or groups of ranks, that take different sequences."""
    size, micro = batch["global_batch_size"], batch["micro_batch_size"]
    accumulation = batch["gradient_accumulation_steps"]
    ranks = plural(size // (micro * accumulation), "rank")
    return f"{plural(size, 'sequence')} a step = {micro} micro × {accumulation} accumulation × {ranks}"


def _drawn(facts: RunFacts) -> str | None:
    if facts.lines is None:
        return None
    return f"{len(facts.metrics):,} of {facts.lines:,} are drawn, at evenly spread places; a spike between them is not shown"


def _what(facts: RunFacts) -> list[tuple[str, str]]:
    plan = facts.plan
    topology, batch, model = (mapping(plan.get(name)) for name in ("topology", "batch", "model"))
    adapter = mapping(plan.get("adapter"))
    sources = listing(at(plan, "facts", "data_sources")) or [at(plan, "facts", "data_path")]
    lines: list[tuple[str, Any]] = [
        ("experiment", plan.get("experiment")),
        ("model", _model(model)),
        ("trained", _adapter(adapter) if adapter else "every weight" if model else None),
        (
            "strategy",
            " ".join(str(part) for part in (at(plan, "strategy", "name"), plan.get("precision")) if part),
        ),
        ("chosen", plan.get("chosen")),
        (
            "batch",
            _batch(batch) if batch else None,
        ),
        (
            "place",
            f"{plan.get('cluster')}: {plural(topology['nodes'], 'node')} × {topology['gpus_per_node']} "
            f"{'GPU' if plan.get('device') == 'cuda' else 'CPU rank'}{'' if topology['gpus_per_node'] == 1 else 's'}"
            if topology
            else None,
        ),
        ("generation", _generation(mapping(plan.get("generation")))),
        ("data", ", ".join(str(source) for source in sources if source)),
        ("evaluation data", at(plan, "facts", "eval_path") or _held_out(plan)),
        ("optimizer", _optimizer(mapping(plan.get("trainer_args")))),
        ("logged lines", _drawn(facts)),
        ("job", facts.status.get("job_id")),
        ("run dir", facts.run_dir),
        ("launcher", at(plan, "facts", "version")),
        ("command", f"python -m launcher {shlex.join(facts.overrides)}" if facts.overrides else None),
    ]
    return [(label, str(text)) for label, text in lines if text]


def _generation(planned: Mapping[str, Any]) -> str | None:
    """Who generates answers; None if transformers does, or nothing is generated."""
    if not planned:
        return None
    if not planned.get("command"):
        return "vLLM in the ranks"
    nodes, gpus = planned.get("nodes"), plural(planned.get("gpus", 0), "GPU")
    return (
        f"a server on {plural(nodes, 'node')} × {gpus}"
        if nodes
        else f"a server on {gpus} of the training node"
    )


def _held_out(plan: Mapping[str, Any]) -> str | None:
    """The training rows that are held out for the evaluation; None if none are."""
    if not at(plan, "facts", "holds_out"):
        return None
    rows = at(plan, "facts", "eval_rows")
    return (
        "a share of the training rows"
        if rows is None
        else f"{plural(rows, 'row')} of the training data, held out"
    )


def _model(model: Mapping[str, Any]) -> str | None:
    name, count, trained = (model.get(key) for key in ("name_or_path", "parameters", "trainable_parameters"))
    if not count:
        return name
    share = f", {trained:,} trained ({units.percent(trained / count)})" if trained is not None else ""
    return f"{name}{' at ' + str(model['revision']) if model.get('revision') else ''}: {count:,} parameters{share}"


def _adapter(adapter: Mapping[str, Any]) -> str:
    kind = "QLoRA" if adapter.get("four_bit") else "LoRA"
    return f"{kind} of rank {adapter.get('r')} on {adapter.get('target_modules')}"


def _optimizer(arguments: Mapping[str, Any]) -> str:
    keys = ("optim", "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm")
    return ", ".join(f"{key}={arguments[key]}" for key in keys if key in arguments)


def _tiles(facts: RunFacts, record: LoggedCurves, attempts: Sequence[Attempt]) -> list[Tile]:
    status, found = facts.status, list[Tile]()
    step, total = status.get("step"), status.get("total_steps")
    if step is not None:
        found.append(
            Tile(label="step", value=units.number(step), note=f"of {units.number(total)}" if total else "")
        )
    trained, evaluated = points(record.training, "loss"), points(record.evaluation, "eval_loss")
    if trained:
        found.append(
            Tile(label="training loss", value=f"{trained[-1][1]:.4f}", note=f"from {trained[0][1]:.4f}")
        )
    if evaluated:
        better = evaluated[-1][1] <= evaluated[0][1]
        note = f"from {evaluated[0][1]:.4f}" if len(evaluated) > 1 else ""
        perplexity = record.evaluation[-1].get("perplexity")
        note += f"; perplexity {perplexity:.4g}" if is_number(perplexity) else ""
        found.append(
            Tile(
                label="evaluation loss",
                value=f"{evaluated[-1][1]:.4f}",
                note=note,
                tone=GOOD if better else WARN,
            )
        )
    found += accuracy_tile(facts)
    rate = [y for _, y in points(record.training, "tokens_per_s")]
    if rate:
        found.append(Tile(label="tokens/s", value=units.number(round(median(rate))), note="median"))
    share, planned = status.get("effective_training_time"), status.get("planned_training_time")
    if is_number(share):
        note = (
            f"planned {units.percent(planned)}" if is_number(planned) else "of the time since the first start"
        )
        found.append(Tile(label="effective training time", value=units.percent(share), note=note))
    if attempts:
        lost = sum(one.lost_steps for one in attempts)
        note = f"{plural(lost, 'step')} repeated" if lost else "no steps lost"
        found.append(
            Tile(label="attempts", value=str(len(attempts)), note=note, tone=WARN if lost else PLAIN)
        )
        found.append(
            Tile(label="time", value=units.elapsed(attempts[-1].ended), note="since the first start")
        )
    return [*found, *_spent(status.get("spent"))]


def _spent(spent: Mapping[str, Any] | None) -> list[Tile]:
    """Tiles with GPU-hours and cost so far, compared with the plan."""
    if not spent or spent.get("gpu_hours") is None:
        return []
    hours, planned = spent["gpu_hours"], spent.get("planned_gpu_hours")
    note = f"planned {units.number(planned)}" if is_number(planned) else ""
    over = is_number(planned) and hours > planned
    found = [Tile(label="GPU-hours", value=units.number(hours), note=note, tone=WARN if over else PLAIN)]
    if spent.get("money") is not None:
        planned = spent.get("planned_money")
        note = f"planned {planned:,.2f}" if is_number(planned) else "at cluster.price_per_gpu_hour"
        found.append(
            Tile(label="cost", value=f"{spent['money']:,.2f}", note=note, tone=WARN if over else PLAIN)
        )
    return found
