"""RunFacts -> Page: what one run was, how it went, and what came of it."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from launcher.report import charts, say
from launcher.report.attempts import Attempt, find_attempts
from launcher.report.concerns import find_concerns
from launcher.report.curves import Record, is_number, points, stayed
from launcher.report.facts import RunFacts, at, listing, mapping
from launcher.report.page import BAD, GOOD, PLAIN, WARN, Chart, Page, Section, Table, Tile

TONES = {"finished": GOOD, "failed": BAD, "lost": BAD, "timeout": BAD, "cancelled": WARN}
_FINDINGS = 60
_HANDLED = {
    "planned", "submitted", "started", "training", "stepping", "measured", "evaluated", "sample", "saved", "ended", "finished",
    "stopped", "requeued", "cancelled", "resumed", "crashed", "exported", "slow", "diverged", "save_failed",
    "checkpoint_broken", "interval", "told", "preflight", "replanned", "not_deleted",
}  # fmt: skip
_EVENTS = 40


def make_run_page(facts: RunFacts) -> Page:
    """The report of one run."""
    record, attempts = stayed(facts.metrics), find_attempts(facts)
    state = str(facts.status.get("state", "unknown"))
    sections = (
        _learning(record, attempts),
        _machine(record, facts),
        _attempts(attempts, facts),
        _data(facts),
        _result(facts),
        _measures(record),
        _events(facts),
    )
    return Page(
        kind="run",
        name=facts.name,
        subtitle=_subtitle(facts),
        state=state,
        tone=TONES.get(state, PLAIN),
        written=facts.written,
        version=facts.version,
        notices=find_concerns(facts, record),
        tiles=_tiles(facts, record, attempts),
        facts=_what(facts),
        sections=[section for section in sections if section],
    )


def _subtitle(facts: RunFacts) -> str:
    plan = facts.plan
    model, strategy = at(plan, "model", "name_or_path"), at(plan, "strategy", "name")
    world = at(plan, "topology", "world_size")
    unit = "GPU" if plan.get("device") == "cuda" else "CPU rank"
    parts = [model, strategy and f"{strategy}, {plan.get('precision')}", world and say.plural(world, unit)]
    return " · ".join(str(part) for part in parts if part)


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
            f"{batch['global_batch_size']} sequences a step = {batch['micro_batch_size']} micro × "
            f"{batch['gradient_accumulation_steps']} accumulation × {say.plural(topology['world_size'], 'rank')}"
            if batch and topology
            else None,
        ),
        (
            "place",
            f"{plan.get('cluster')}: {say.plural(topology['nodes'], 'node')} × {topology['gpus_per_node']} "
            f"{'GPU' if plan.get('device') == 'cuda' else 'CPU rank'}{'' if topology['gpus_per_node'] == 1 else 's'}"
            if topology
            else None,
        ),
        ("data", ", ".join(str(source) for source in sources if source)),
        ("evaluation data", at(plan, "facts", "eval_path")),
        ("optimizer", _optimizer(mapping(plan.get("trainer_args")))),
        ("job", facts.status.get("job_id")),
        ("run dir", facts.run_dir),
        ("launcher", at(plan, "facts", "version")),
        ("typed", f"python -m launcher {shlex.join(facts.overrides)}" if facts.overrides else None),
    ]
    return [(label, str(text)) for label, text in lines if text]


def _model(model: Mapping[str, Any]) -> str | None:
    name, count, trained = (model.get(key) for key in ("name_or_path", "parameters", "trainable_parameters"))
    if not count:
        return name
    share = f", {trained:,} trained ({say.percent(trained / count)})" if trained is not None else ""
    return f"{name}{' at ' + str(model['revision']) if model.get('revision') else ''}: {count:,} parameters{share}"


def _adapter(adapter: Mapping[str, Any]) -> str:
    kind = "QLoRA" if adapter.get("four_bit") else "LoRA"
    return f"{kind} of rank {adapter.get('r')} on {adapter.get('target_modules')}"


def _optimizer(arguments: Mapping[str, Any]) -> str:
    keys = ("optim", "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm")
    return ", ".join(f"{key}={arguments[key]}" for key in keys if key in arguments)


def _tiles(facts: RunFacts, record: Record, attempts: Sequence[Attempt]) -> list[Tile]:
    status, found = facts.status, list[Tile]()
    step, total = status.get("step"), status.get("total_steps")
    if step is not None:
        found.append(
            Tile(label="step", value=say.number(step), note=f"of {say.number(total)}" if total else "")
        )
    trained, evaluated = points(record.training, "loss"), points(record.evaluation, "eval_loss")
    if trained:
        found.append(
            Tile(label="training loss", value=f"{trained[-1][1]:.4f}", note=f"from {trained[0][1]:.4f}")
        )
    if evaluated:
        better = evaluated[-1][1] <= evaluated[0][1]
        note = f"from {evaluated[0][1]:.4f}" if len(evaluated) > 1 else ""
        found.append(
            Tile(
                label="evaluation loss",
                value=f"{evaluated[-1][1]:.4f}",
                note=note,
                tone=GOOD if better else WARN,
            )
        )
    rate = sorted(y for _, y in points(record.training, "tokens_per_s"))
    if rate:
        found.append(Tile(label="tokens/s", value=say.number(round(rate[len(rate) // 2])), note="median"))
    share, planned = status.get("effective_training_time"), status.get("planned_training_time")
    if is_number(share):
        note = (
            f"planned {say.percent(planned)}" if is_number(planned) else "of the time since the first start"
        )
        found.append(Tile(label="effective training time", value=say.percent(share), note=note))
    if attempts:
        lost = sum(one.lost_steps for one in attempts)
        note = f"{say.plural(lost, 'step')} done again" if lost else "nothing lost"
        found.append(
            Tile(label="attempts", value=str(len(attempts)), note=note, tone=WARN if lost else PLAIN)
        )
        found.append(Tile(label="time", value=say.duration(attempts[-1].ended), note="since the first start"))
    return [*found, *_spent(status.get("spent"))]


def _spent(spent: Mapping[str, Any] | None) -> list[Tile]:
    """GPU-hours and money so far, against the plan."""
    if not spent or spent.get("gpu_hours") is None:
        return []
    hours, planned = spent["gpu_hours"], spent.get("planned_gpu_hours")
    note = f"planned {say.number(planned)}" if is_number(planned) else ""
    over = is_number(planned) and hours > planned
    found = [Tile(label="GPU-hours", value=say.number(hours), note=note, tone=WARN if over else PLAIN)]
    if spent.get("money") is not None:
        planned = spent.get("planned_money")
        note = f"planned {planned:,.2f}" if is_number(planned) else "at cluster.price_per_gpu_hour"
        found.append(
            Tile(label="cost", value=f"{spent['money']:,.2f}", note=note, tone=WARN if over else PLAIN)
        )
    return found


def _learning(record: Record, attempts: Sequence[Attempt]) -> Section | None:
    shown = [chart for chart in (charts.loss(record, attempts), *charts.rates(record)) if chart]
    return Section(id="learning", title="What it learned", charts=shown) if shown else None


def _machine(record: Record, facts: RunFacts) -> Section | None:
    shown = [chart for chart in (*charts.speed(record, facts), charts.memory(facts)) if chart]
    measured = mapping(facts.last("measured"))
    lines: list[tuple[str, str]] = []
    planned = at(facts.plan, "time", "step_s")
    if is_number(measured.get("step_s")):
        text = f"{measured['step_s']:.3g} s measured"
        text += (
            f", {planned:.3g} s planned ({say.percent(measured['step_s'] / planned)})"
            if is_number(planned)
            else ""
        )
        lines.append(("a step", text))
    if is_number(measured.get("link_gb_s")):
        lines.append(("between ranks", f"{measured['link_gb_s']:.3g} GB/s in an all-reduce"))
    saves = facts.of("saved")
    if saves:
        longest = max(float(event.get("blocked_s") or 0) for event in saves)
        bytes_ = saves[-1].get("bytes")
        text = f"{say.plural(len(saves), 'checkpoint')}, training waited {longest:.3g} s at most"
        lines.append(("saves", text + (f", {say.size(bytes_)} each" if is_number(bytes_) else "")))
    if not shown and not lines:
        return None
    return Section(id="machine", title="Speed and memory", charts=shown, facts=lines)


def _attempts(attempts: Sequence[Attempt], facts: RunFacts) -> Section | None:
    chart = charts.timeline(attempts)
    if chart is None:
        return None
    rows = [
        (
            one.number,
            one.host,
            one.job,
            say.duration(one.ended - one.began),
            f"{one.from_step:,}–{one.to_step:,}" if one.to_step is not None else "none",
            one.lost_steps,
            one.how,
            one.why,
            one.did,
        )
        for one in attempts
    ]
    columns = ("attempt", "host", "job", "time", "steps", "lost", "ended", "why", "then")
    share = facts.status.get("effective_training_time")
    told = (
        f"{say.percent(share)} of the time since the first start was training that stayed."
        if is_number(share)
        else ""
    )
    table = Table(columns=columns, rows=rows)
    return Section(
        id="attempts", title="Attempts", text=told, charts=[chart], tables=[("Every attempt", table)]
    )


def _data(facts: RunFacts) -> Section | None:
    shown: list[Chart] = []
    lines: list[tuple[str, str]] = []
    rows: list[tuple[Any, ...]] = []
    for number, report in enumerate(facts.data_check):
        path, counts = str(report.get("path")), mapping(report.get("counts"))
        kinds = ", ".join(f"{count:,} {name}" for name, count in mapping(report.get("formats")).items())
        total = report.get("rows")
        lines.append(("file", path))
        lines.append(
            (
                "verdict",
                f"{report.get('verdict')}" + (f"; {total:,} rows: {kinds}" if total is not None else ""),
            )
        )
        if overlap := mapping(report.get("eval")):
            text = (
                f"{overlap.get('exact', 0):,} of {overlap.get('rows', 0):,} evaluation rows are trained on, "
            )
            lines.append(("evaluation", f"{text}{overlap.get('overlap', 0):,} more overlap"))
        if is_number(at(report, "tokens", "trained_share")):
            lines.append(("trained on", f"{say.percent(report['tokens']['trained_share'])} of the tokens"))
        lines += [("advice", str(one)) for one in listing(report.get("advice"))]
        chart = charts.lengths(report, number)
        shown += [chart] if chart else []
        for finding in listing(report.get("findings"))[:_FINDINGS]:
            rule = finding.get("rule")
            rows.append(
                (finding.get("level"), rule, finding.get("line"), counts.get(rule), finding.get("message"))
            )
    if not lines:
        return None
    columns = ("level", "rule", "line", "in all", "what was found")
    tables = [("Findings", Table(columns=columns, rows=rows))] if rows else []
    return Section(id="data", title="Data", charts=shown, facts=lines, tables=tables)


def _result(facts: RunFacts) -> Section | None:
    exported = facts.last("exported")
    samples = facts.of("sample")
    quotes: list[tuple[str, str]] = []
    if samples:
        quotes = [("question", str(samples[0].get("prompt")))]
        quotes += [(f"answer {event.get('when')}", str(event.get("answer"))) for event in _newest(samples)]
    if not exported and not quotes:
        return None
    lines: list[tuple[str, str]] = []
    if exported:
        lines = [("model", str(exported.get("path"))), ("of step", f"{exported.get('step'):,}")]
        lines.append(("checked", "every tensor on disk was read back: none missing or empty, all finite"))
    if facts.export:
        total = sum(count for _, count in facts.export)
        lines.append(("size", f"{say.size(total)} in {say.plural(len(facts.export), 'file')}"))
    tables = (
        [
            (
                "Files",
                Table(
                    columns=("file", "size"), rows=[(name, say.size(count)) for name, count in facts.export]
                ),
            )
        ]
        if facts.export
        else []
    )
    return Section(id="result", title="The result", facts=lines, quotes=quotes, tables=tables)


def _newest(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each `when` the newest."""
    return list({str(event.get("when")): event for event in samples}.values())


def _measures(record: Record) -> Section | None:
    shown = charts.others(record)
    return Section(id="measures", title="Other measures", charts=shown) if shown else None


def _events(facts: RunFacts) -> Section | None:
    """What else the run noted: events that this page has no place of its own for."""
    rows = [
        (
            str(event.get("time"))[:19].replace("T", " "),
            event["event"],
            ", ".join(
                f"{key}={value}" for key, value in event.items() if key not in ("time", "event", "attempt")
            ),
        )
        for event in facts.events
        if event["event"] not in _HANDLED
    ]
    if not rows:
        return None
    table = Table(columns=("time", "event", "what"), rows=rows[-_EVENTS:])
    return Section(id="events", title="Also noted", tables=[("Events", table)])
