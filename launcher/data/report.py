"""The report on a data file, and a sample of its rows, as text for a person."""

from collections.abc import Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from launcher.data.check import Report
from launcher.data.findings import RULES, Finding
from launcher.data.kinds import Example
from launcher.data.portion import Portion
from launcher.data.printed import ClassCounts, Used
from launcher.data.reading import skipping
from launcher.output import align
from launcher.units import plural

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
            f"{report.verdict}: {plural(report.errors, 'error')}, "
            f"{plural(sum(report.part.counts.values()) - report.errors, 'warning')}",
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
        lines.append(("used", _used(used, report.asked.portion)))
    if report.part.counts["same_file"]:
        lines.append(("evaluation", "the training file itself"))
    elif overlap := values["eval"]:
        lines.append(
            (
                "evaluation",
                f"{overlap['exact']:,} of {overlap['rows']:,} rows are also training rows, {overlap['overlap']:,} more overlap",
            )
        )
    lines += [
        (
            f"task {one['task']}",
            f"{one['in_training']:,} of {one['documents']:,} documents share 13 consecutive words with a training row "
            f"({one['matched_on']} compared)",
        )
        for one in values["tasks"]
    ]
    lines += [
        *(
            []
            if values["classes"]
            else [
                (
                    "trained on",
                    f"{tokens['trained_share']:.1%} of the tokens ({tokens['basis']})"
                    if report.asked.tokenizer
                    else f"about {tokens['trained_share']:.1%} of the text ({tokens['basis']}, without the chat template's; "
                    "--model NAME counts them all)",
                )
            ]
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
    return "\n".join([align(lines), *_findings(report), *_without_them(report)])


def _used(used: Used, portion: Portion) -> str:
    """How many rows are trained on and held out, and which rows stay on one side."""
    if used["held_out"] is None:
        return f"{used['train']:,} rows to train on"
    if used["largest"] == 1 and not portion.eval_group:
        return (
            f"{used['train']:,} rows to train on, {used['held_out']:,} held out; no row is a copy of another"
        )
    copies = f"{portion.eval_copies} copies"
    together = f"{copies}, or of one {portion.eval_group}," if portion.eval_group else copies
    said = (
        f"{used['train']:,} rows to train on, {used['held_out']:,} held out; {used['groups']:,} groups of {together} stay on "
        f"one side (the largest has {plural(used['largest'] or 0, 'row')})"
    )
    if used["joined"]:
        said += (
            f"; {used['joined']:,} of {used['values']:,} values of {portion.eval_group} stay with another value, because rows "
            "of theirs are copies of each other"
        )
    return said


def sample_text(path: str | Path, sample: Sequence[tuple[str, Example]]) -> str:
    """The rows in Markdown, each below its line number."""
    parts = [f"# {len(sample)} rows of {path}\n"]
    for line, example in sample:
        parts.append(f"## {line}\n")
        if "labels" in example:
            parts.append(f"**{', '.join(example['labels']) or 'no class'}**\n")
        if "parts" in example:
            parts += [
                f"{text}{'' if trained else ' (not trained on)'}\n" for text, trained in example["parts"]
            ]
        elif "text" in example:
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


def _without_them(report: Report) -> list[str]:
    """How to go on without the invalid rows, where they are some of many."""
    bad = report.part.rows - len(report.part.lines)
    whole = any(one.level == "error" and one.line is None for one in report.findings)
    if not report.errors or not bad or report.asked.reading.skip or whole or report.part.stops:
        return []
    way = skipping(bad, report.part.rows)
    return [f"\n{bad:,} of {report.part.rows:,} rows are invalid; {way} trains without them"] if way else []


def _where(finding: Finding) -> str:
    if finding.line is None:
        return "file"
    place = f"{finding.unit} {finding.line}"
    return place if finding.file is None else f"{finding.file}, {place}"


def _listed(places: list[str]) -> str:
    """The places of one cause, the first of them by name."""
    more = len(places) - _LINES_PER_RULE
    unit = next((unit for unit in ("line", "row") if places[0].startswith(f"{unit} ")), "")
    shown = ", ".join(place.removeprefix(f"{unit} ") for place in places[:_LINES_PER_RULE])
    named = f"{unit}{'s' if len(places) > 1 else ''} {shown}" if unit else shown
    return f"{named}{f' and {more:,} more' if more > 0 else ''}"


def _rank(finding: Any) -> tuple[bool, int, int]:
    return finding.level != "error", list(RULES).index(finding.rule), finding.line or 0
