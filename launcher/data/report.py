"""The report on a data file, and a sample of its rows, as text for a person."""

from collections.abc import Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from launcher.data.check import Report
from launcher.data.findings import RULES, Finding
from launcher.data.kinds import Example
from launcher.data.printed import ClassCounts
from launcher.output import align

_LINES_PER_RULE = 5
_BAR = 40
_CLASSES = 20


def describe(report: Report) -> str:
    """The report as text: verdict, contents of the file, advice, findings by rule."""
    values = report.to_dict()
    tokens, systems = values["tokens"], values["systems"]
    lines = [
        (
            "verdict",
            f"{report.verdict}: {report.errors:,} errors, {sum(report.part.counts.values()) - report.errors:,} warnings",
        ),
        ("file", f"{report.asked.path}{f' ({report.files:,} files)' if report.files > 1 else ''}"),
        (
            "rows",
            f"{report.part.rows:,}"
            + "".join(f"  {count:,} {name}" for name, count in values["formats"].items()),
        ),
        (
            "system prompts",
            f"{systems['different']:,} different; {systems['rows_with']:,} rows with one, {systems['rows_without']:,} without",
        ),
        *_classes(values["classes"]),
        ("duplicates", f"{values['duplicates']:,} exact, {values['near_duplicates']:,} near"),
        (
            "refusals",
            f"{values['refusals']:,} answers that refuse or admit not to know; {values['negatives']:,} rejected answers",
        ),
    ]
    if used := values["used"]:
        held_out = used["held_out"]
        text = (
            "" if held_out is None else f", {held_out:,} held out; {used['groups']:,} groups of near copies"
        )
        lines.append(("used", f"{used['train']:,} rows to train on{text}"))
    if overlap := values["eval"]:
        lines.append(
            (
                "evaluation",
                f"{overlap['exact']:,} of {overlap['rows']:,} rows are also training rows, {overlap['overlap']:,} more overlap",
            )
        )
    lines += [
        *(
            []
            if values["classes"]
            else [("trained on", f"{tokens['trained_share']:.1%} of the tokens ({tokens['basis']})")]
        ),
        (
            "cut off",
            f"{tokens['truncated_share']:.1%} of the rows are longer than {tokens['max_length']:,} tokens"
            + (
                f"; {left_out:,} rows are left out, with no answer within them"
                if (left_out := tokens.get("left_out"))
                else ""
            )
            + (f"; {split:,} long texts become several rows" if (split := tokens.get("split")) else ""),
        ),
        *_bars(tokens["histogram"]),
        *(("advice", line) for line in values["advice"]),
    ]
    return "\n".join([align(lines), *_findings(report)])


def sample_text(path: str | Path, sample: Sequence[tuple[str, Example]]) -> str:
    """The rows in Markdown, each below its line number."""
    parts = [f"# {len(sample)} rows of {path}\n"]
    for line, example in sample:
        parts.append(f"## {line}\n")
        if "labels" in example:
            parts.append(f"**{', '.join(example['labels']) or 'no class'}**\n")
        if "text" in example:
            parts.append(f"{example['text']}\n")
        for name in ("messages", "prompt", "chosen", "rejected"):
            for turn in example.get(name, ()):
                side = "" if name in ("messages", "prompt") else f" ({name})"
                weight = " (not trained on)" if turn.get("weight") == 0 else ""
                calls = "".join(f"\n{call['function']}" for call in turn.get("tool_calls", ()))
                parts.append(f"**{turn['role']}{side}{weight}:** {turn['content']}{calls}\n")
    return "\n".join(parts)


def _classes(classes: ClassCounts | None) -> list[tuple[str, str]]:
    """A line for the classes, the most frequent first; none for rows without labels."""
    if not classes:
        return []
    found = sorted(classes["labels"], key=lambda one: -one["rows"])
    shown = ", ".join(
        f"{one['label']} {one['rows']:,} ({one['rows'] / classes['rows']:.1%})" for one in found[:_CLASSES]
    )
    more = f" and {len(found) - _CLASSES:,} more" if len(found) > _CLASSES else ""
    return [("classes", f"{len(found):,}: {shown}{more}")]


def _bars(histogram: dict[str, int]) -> list[tuple[str, str]]:
    most = max(histogram.values(), default=1)
    return [
        ("tokens" if number == 0 else "", f"{name:>7}  {count:>9,}  {'#' * round(_BAR * count / most)}")
        for number, (name, count) in enumerate(histogram.items())
    ]


def _findings(report: Report) -> list[str]:
    lines: list[str] = []
    for rule, findings in groupby(sorted(report.findings, key=_rank), key=lambda one: one.rule):
        total = report.part.counts[rule]
        causes: dict[str, list[str]] = {}
        for one in findings:
            causes.setdefault(one.message, []).append(_where(one))
        listed = dict(islice(causes.items(), _LINES_PER_RULE))
        said = sum(map(len, listed.values()))
        lines.append(f"\n{RULES[rule].level} {rule}, {total:,}: {RULES[rule].reason}")
        lines += [f"  {_listed(places)}: {message}" for message, places in listed.items()]
        if total > said:
            lines.append(f"  ... and {total - said:,} more; --json lists the first hundred")
    return lines


def _where(finding: Finding) -> str:
    if finding.line is None:
        return "file"
    return f"line {finding.line}" if finding.file is None else f"{finding.file}, line {finding.line}"


def _listed(places: list[str]) -> str:
    """The places of one cause, the first of them by name."""
    more = len(places) - _LINES_PER_RULE
    shown = ", ".join(
        place.removeprefix("line ") if at else place for at, place in enumerate(places[:_LINES_PER_RULE])
    )
    many = len(places) > 1 and shown.startswith("line ")
    return f"{'lines ' + shown.removeprefix('line ') if many else shown}{f' and {more:,} more' if more > 0 else ''}"


def _rank(finding: Any) -> tuple[bool, int, int]:
    return finding.level != "error", list(RULES).index(finding.rule), finding.line or 0
