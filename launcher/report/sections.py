"""The parts of a run's page, each None where the run has nothing to say in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.report import charts, say
from launcher.report.attempts import Attempt
from launcher.report.curves import Record, is_number
from launcher.report.facts import RunFacts, at, listing, mapping
from launcher.report.page import Chart, Section, Table
from launcher.units import plural

_FINDINGS = 60
_HANDLED = {
    "planned", "submitted", "started", "training", "stepping", "measured", "evaluated", "sample", "saved", "ended", "finished",
    "stopped", "requeued", "cancelled", "resumed", "crashed", "exported", "slow", "diverged", "save_failed",
    "checkpoint_broken", "data", "tokenizing", "general",
    "early_stopped", "restored", "base", "fetching", "pruned", "interval", "told", "preflight", "replanned", "not_deleted",
}  # fmt: skip
_EVENTS = 40


def learning(record: Record, attempts: Sequence[Attempt], facts: RunFacts) -> Section | None:
    shown = [
        chart
        for chart in (charts.loss(record, attempts), *charts.rates(record), charts.general_text(facts))
        if chart
    ]
    return Section(id="learning", title="What it learned", charts=shown) if shown else None


def machine(record: Record, facts: RunFacts) -> Section | None:
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
        text = f"{plural(len(saves), 'checkpoint')}, training waited {longest:.3g} s at most"
        lines.append(("saves", text + (f", {say.size(bytes_)} each" if is_number(bytes_) else "")))
    if not shown and not lines:
        return None
    return Section(id="machine", title="Speed and memory", charts=shown, facts=lines)


def attempts(attempts: Sequence[Attempt], facts: RunFacts) -> Section | None:
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


def data(facts: RunFacts) -> Section | None:
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
    lines += _tokenized(facts)
    if not lines:
        return None
    columns = ("level", "rule", "line", "in all", "what was found")
    tables = [("Findings", Table(columns=columns, rows=rows))] if rows else []
    return Section(id="data", title="Data", charts=shown, facts=lines, tables=tables)


def _tokenized(facts: RunFacts) -> list[tuple[str, str]]:
    """What the ranks read: rows and tokens of each set, as the newest attempt noted them."""
    newest = {str(event.get("set")): event for event in facts.of("data")}
    found: list[tuple[str, str]] = []
    for name, event in newest.items():
        rows, tokens, trained, filled = (
            event.get(key) for key in ("rows", "tokens", "trained_tokens", "filled")
        )
        if not is_number(rows) or not is_number(tokens):
            continue
        text = f"{rows:,} rows of {tokens:,} tokens"
        text += f", {trained:,} of them trained on" if is_number(trained) else ""
        text += f"; rows are {say.percent(filled)} full" if is_number(filled) else ""
        found.append((f"read for {name}", text))
    return found


def result(facts: RunFacts) -> Section | None:
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
        lines.append(("checked", _checked(exported)))
        lines += [
            (f"sha256 of {one.get('use')} data", f"{one.get('sha256')}  {one.get('path')}")
            for one in map(mapping, listing(exported.get("data")))
            if one.get("sha256")
        ]
    if facts.export:
        total = sum(count for _, count in facts.export)
        lines.append(("size", f"{say.size(total)} in {plural(len(facts.export), 'file')}"))
    files = Table(columns=("file", "size"), rows=[(name, say.size(count)) for name, count in facts.export])
    tables = [("Files", files)] if facts.export else []
    return Section(id="result", title="The result", facts=lines, quotes=quotes, tables=tables)


def _checked(exported: Mapping[str, Any]) -> str:
    """What was done before the result counted."""
    apart, limit = exported.get("difference"), exported.get("tolerance")
    if exported.get("verified") == "logits" and is_number(apart) and is_number(limit):
        return f"loaded again from disk: its logits are {apart:.3g} from the trained model's at most ({limit:.3g} is allowed)"
    return "every tensor on disk was read back: none missing or empty, all finite"


def _newest(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each `when` the newest."""
    return list({str(event.get("when")): event for event in samples}.values())


def measures(record: Record) -> Section | None:
    shown = charts.others(record)
    return Section(id="measures", title="Other measures", charts=shown) if shown else None


def events(facts: RunFacts) -> Section | None:
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
