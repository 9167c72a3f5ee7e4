"""The sections of a run's page; each is None if the run has no facts for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from launcher import units
from launcher.report import bars, charts
from launcher.report.curves import LoggedCurves, is_number
from launcher.report.facts import RUNNING, RunFacts, at, listing, mapping, what_came_next
from launcher.report.page import Chart, Section, Table
from launcher.report.timeline import timeline
from launcher.run.attempts import Attempt
from launcher.run.events import Other
from launcher.run.events.checkpoints import Removed, Saved
from launcher.run.events.ranks import Data, Measured, Tracking
from launcher.run.events.results import Exported, Sample
from launcher.run.events.supervisor import Fetched, ServerLost, ServerReady
from launcher.status.learning import sampled_line
from launcher.units import plural

_FINDINGS = 60
_NOTED = (Other, Removed, Tracking, Fetched, ServerReady, ServerLost)
"""Kinds of events that no other section shows."""
_EVENTS = 40


def learning(record: LoggedCurves, attempts: Sequence[Attempt], facts: RunFacts) -> Section | None:
    shown = [
        chart
        for chart in (charts.loss(record, attempts), *charts.rates(record), charts.general_text(facts))
        if chart
    ]
    return Section(id="learning", title="What it learned", charts=shown) if shown else None


def machine(record: LoggedCurves, facts: RunFacts) -> Section | None:
    shown = [chart for chart in (*charts.speed(record, facts), bars.memory(facts)) if chart]
    measured = facts.last(Measured)
    lines: list[tuple[str, str]] = []
    planned = at(facts.plan, "time", "step_s")
    if measured is not None:
        text = f"{measured.step_s:.3g} s measured"
        text += (
            f", {planned:.3g} s planned ({units.percent(measured.step_s / planned)})"
            if is_number(planned)
            else ""
        )
        lines.append(("a step", text))
    if measured is not None and measured.link_gb_s is not None:
        lines.append(("between ranks", f"{measured.link_gb_s:.3g} GB/s in an all-reduce"))
    saves = facts.of(Saved)
    if saves:
        longest = max(event.blocked_s for event in saves)
        bytes_ = saves[-1].bytes
        text = f"{plural(len(saves), 'checkpoint')}, training waited at most {longest:.3g} s"
        lines.append(("saves", text + (f", {units.size(bytes_)} each" if is_number(bytes_) else "")))
    server = mapping(facts.status.get("generation"))
    if is_number(share := server.get("wait_share")):
        text = f"the ranks wait for it {units.percent(share)} of the time; lost {plural(server.get('lost', 0), 'time')}"
        lines.append(("generation server", f"{server.get('host')}: {text}"))
    if not shown and not lines:
        return None
    return Section(id="machine", title="Speed and memory", charts=shown, facts=lines)


def attempts(attempts: Sequence[Attempt], facts: RunFacts) -> Section | None:
    chart = timeline(attempts)
    if chart is None:
        return None
    rows = [
        (
            one.number,
            one.host or "",
            one.job_id or "",
            units.elapsed(one.ended - one.began),
            f"{one.from_step:,}–{one.to_step:,}" if one.to_step is not None else "none",
            one.lost_steps,
            one.how or RUNNING,
            one.reason or "",
            did,
        )
        for one, did in zip(attempts, what_came_next(attempts), strict=True)
    ]
    columns = ("attempt", "host", "job", "time", "steps", "lost", "ended", "why", "then")
    share = facts.status.get("effective_training_time")
    text = (
        f"{units.percent(share)} of the time since the first start was effective training time."
        if is_number(share)
        else ""
    )
    sampled = facts.status.get("sampled")
    if sampled:
        text = f"{text} In metrics.jsonl, {sampled_line(sampled['places'], sampled['lines'])}.".strip()
    table = Table(columns=columns, rows=rows)
    return Section(
        id="attempts", title="Attempts", text=text, charts=[chart], tables=[("Every attempt", table)]
    )


def data(facts: RunFacts) -> Section | None:
    shown: list[Chart] = []
    lines: list[tuple[str, str]] = []
    rows: list[tuple[Any, ...]] = []
    newest = {event.set: event for event in facts.of(Data)}
    read = (
        newest.get("train") if len(facts.data_check) == 1 else None
    )  # the ranks count several files together
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
            text = f"{overlap.get('exact', 0):,} of {overlap.get('rows', 0):,} evaluation rows are also training rows, "
            lines.append(
                ("evaluation", f"{text}{overlap.get('overlap', 0):,} more overlap with training rows")
            )
        if told := _trained_share(report, read):
            lines.append(("trained on", told))
        lines += [("advice", str(one)) for one in listing(report.get("advice"))]
        chart = bars.lengths(_counted(report, read), number)
        shown += [chart] if chart else []
        found = listing(report.get("findings"))
        if len(found) > _FINDINGS:
            lines.append(("findings", f"the first {_FINDINGS} of {len(found)} are listed"))
        for finding in found[:_FINDINGS]:
            rule = finding.get("rule")
            rows.append(
                (finding.get("level"), rule, finding.get("line"), counts.get(rule), finding.get("message"))
            )
    lines += _tokenized(facts)
    if not lines:
        return None
    columns = ("level", "rule", "line", "count", "finding")
    tables = [("Findings", Table(columns=columns, rows=rows))] if rows else []
    return Section(id="data", title="Data", charts=shown, facts=lines, tables=tables)


def _trained_share(report: Mapping[str, Any], read: Data | None) -> str | None:
    """The share of tokens that the loss counts, as counted by the ranks, otherwise as estimated before the launch."""
    if read and read.tokens and read.trained_tokens is not None:
        return f"{units.percent(read.trained_tokens / read.tokens)} of the tokens"
    share = at(report, "tokens", "trained_share")
    if not is_number(share):
        return None
    basis = str(at(report, "tokens", "basis") or "")
    return f"{units.percent(share)} of the tokens" + (f" ({basis})" if basis.startswith("estimated") else "")


def _counted(report: Mapping[str, Any], read: Data | None) -> Mapping[str, Any]:
    """The report with the lengths that the ranks counted instead of those estimated before the launch."""
    if read is None or not read.lengths or not read.examples:
        return report
    longer = (read.cut or 0) + (read.left_out or 0)
    tokens = {
        **mapping(report.get("tokens")),
        "histogram": read.lengths,
        "examples": read.examples,
        "truncated_share": longer / read.examples,
        "basis": "counted",
    }
    return {**report, "tokens": tokens}


def _tokenized(facts: RunFacts) -> list[tuple[str, str]]:
    """What the ranks read: rows and tokens of each data set, as the newest attempt recorded them."""
    newest = {event.set: event for event in facts.of(Data)}
    found: list[tuple[str, str]] = []
    for name, event in newest.items():
        rows, tokens, trained, filled = event.rows, event.tokens, event.trained_tokens, event.filled
        if rows is None or tokens is None:
            continue
        of_data = f"{plural(event.examples, 'row')} of data in " if event.examples else ""
        text = f"{of_data}{plural(rows, 'sequence')} of {tokens:,} tokens in all"
        text += f", {trained:,} of them trained on" if is_number(trained) else ""
        text += (
            f"; {event.left_out:,} rows left out, with no trained token within the longest length"
            if event.left_out
            else ""
        )
        text += f"; {event.cut:,} rows cut" if event.cut else ""
        text += f"; {event.split:,} long texts split" if event.split else ""
        text += f"; the sequences are {units.percent(filled)} full" if is_number(filled) else ""
        found.append((f"read for {name}", text))
    return found


def result(facts: RunFacts) -> Section | None:
    exported = facts.last(Exported)
    samples = facts.of(Sample)
    quotes: list[tuple[str, str]] = []
    if samples:
        quotes = [("question", samples[0].prompt)]
        quotes += [(f"answer {event.when}", event.answer) for event in _newest(samples)]
    if not exported and not quotes:
        return None
    lines: list[tuple[str, str]] = []
    if exported:
        lines = [("model", exported.path), ("of step", f"{exported.step:,}")]
        lines.append(("checked", _checked(exported)))
        lines += [
            (f"sha256 of {one.get('use')} data", f"{one.get('sha256')}  {one.get('path')}")
            for one in map(mapping, listing(exported.data))
            if one.get("sha256")
        ]
    if facts.export:
        total = sum(count for _, count in facts.export)
        lines.append(("size", f"{units.size(total)} in {plural(len(facts.export), 'file')}"))
    files = Table(columns=("file", "size"), rows=[(name, units.size(count)) for name, count in facts.export])
    tables = [("Files", files)] if facts.export else []
    return Section(id="result", title="The result", facts=lines, quotes=quotes, tables=tables)


def _checked(exported: Exported) -> str:
    """Text on how the exported model was verified."""
    if exported.why:
        return f"the check failed, but the export was kept: {exported.why}"
    apart, limit = exported.difference, exported.tolerance
    if exported.verified == "logits" and apart is not None and limit is not None:
        return f"loaded from disk: its logits differ from the trained model's by at most {apart:.3g} ({limit:.3g} is allowed)"
    return "every tensor was read from disk: none is missing or empty, all are finite"


def _newest(samples: Sequence[Sample]) -> list[Sample]:
    """The newest sample for each value of `when`."""
    return list({event.when: event for event in samples}.values())


def measures(record: LoggedCurves) -> Section | None:
    shown = charts.others(record)
    return Section(id="measures", title="Other measures", charts=shown) if shown else None


def events(facts: RunFacts) -> Section | None:
    """Events that no other section shows."""
    rows = [
        (
            event.time[:19].replace("T", " "),
            event.kind,
            ", ".join(
                f"{key}={value}"
                for key, value in event.values().items()
                if key not in ("time", "event", "attempt")
            ),
        )
        for event in facts.events
        if isinstance(event, _NOTED)
    ]
    if not rows:
        return None
    table = Table(columns=("time", "event", "what"), rows=rows[-_EVENTS:])
    text = f"The last {_EVENTS} of {len(rows)} are listed." if len(rows) > _EVENTS else ""
    return Section(id="events", title="Other events", text=text, tables=[("Events", table)])
