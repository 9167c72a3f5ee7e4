"""The checks of a data file before a GPU is allocated."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from launcher.data.advice import advise
from launcher.data.examples import read_examples
from launcher.data.files import Sections, read_numbered
from launcher.data.held_out import choose, group_values
from launcher.data.kinds import SPOKEN, Example
from launcher.data.lengths import TOKENIZED, estimate, measure, no_tokens, render_only, stride
from launcher.data.part import Counting, Part, count
from launcher.data.places import find_files
from launcher.data.portion import Portion
from launcher.data.printed import DataReport, Tokens, Used
from launcher.data.reading import AS_IT_STANDS, Reading
from launcher.data.rules import ERROR, Finding
from launcher.data.survey import Advance, survey
from launcher.data.template import Template

_EVALUATION = ("answer_cut", "not_rendered", "no_end")
"""Rules about the model by which evaluation rows are looked at; the others hold for the training rows alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of a check."""

    path: str | Path
    eval_path: str | Path | None = None
    reading: Reading = AS_IT_STANDS
    max_length: int = 2048
    bytes_per_token: float = 4.0
    tokenizer: Any = None
    template: Template | None = None
    """The model's chat template, if there is no tokenizer: rows are rendered with it, but not counted."""
    assistant_only: bool = True
    compare: bool = True
    """Look for duplicates and for overlap with eval_path."""
    sample: int = 0
    """Number of examples to select for a person to read."""
    portion: Portion = field(default_factory=Portion)
    """The rows that a run uses, and those that it holds out."""


@dataclass(slots=True)
class Report:
    """The outcome of a check."""

    asked: Asked
    part: Part
    findings: list[Finding]
    near_duplicates: int = 0
    eval_rows: int = 0
    eval_kinds: dict[str, int] = field(default_factory=dict[str, int])
    used: Used | None = None
    """Rows that are trained on and held out; None if all rows are used."""
    tokens: Tokens = field(default_factory=no_tokens)
    files: int = 1
    sample: list[tuple[str, Example]] = field(default_factory=list[tuple[str, Example]])

    @property
    def errors(self) -> int:
        """Number of violations of rules that stop a launch, listed or not."""
        return sum(
            number for rule, number in self.part.counts.items() if Finding(rule, None, "").level == ERROR
        )

    @property
    def verdict(self) -> str:
        """ok, warning or error."""
        return "error" if self.errors else "warning" if self.findings else "ok"

    def to_dict(self) -> DataReport:
        """The report as plain JSON values."""
        part = self.part
        chats = len(part.lines) - part.kinds["text"]
        return {
            "verdict": self.verdict,
            "rows": part.rows,
            "findings": [finding.to_dict() for finding in self.findings],
            "errors": self.errors,
            "counts": {rule: number for rule, number in part.counts.items() if number},
            "path": str(self.asked.path),
            "files": self.files,
            "formats": dict(part.formats),
            "kinds": dict(part.kinds),
            "systems": {
                "different": len([text for text in part.systems if text]),
                "rows_with": chats - part.systems[""],
                "rows_without": part.systems[""],
                "most_common": [(text, number) for text, number in part.systems.most_common(3) if text],
            },
            "refusals": part.refusals,
            "negatives": part.kinds["pair"],
            "duplicates": part.counts["duplicate"],
            "near_duplicates": self.near_duplicates,
            "eval": None
            if self.asked.eval_path is None
            else {
                "path": str(self.asked.eval_path),
                "rows": self.eval_rows,
                "kinds": self.eval_kinds,
                "exact": part.counts["eval_exact"],
                "overlap": part.counts["eval_overlap"],
            },
            "used": self.used,
            "tokens": self.tokens,
            "advice": advise(part),
        }


def check(asked: Asked, advance: Advance | None = None) -> Report:
    """The report on a file; DataError if it cannot be read at all. `advance` is called with the number of bytes done."""
    counting = Counting(
        reading=asked.reading,
        max_length=asked.max_length,
        bytes_per_token=asked.bytes_per_token,
        compare=asked.compare,
        estimated=not asked.tokenizer,
        keep_every=stride(
            asked.path, max(TOKENIZED if asked.tokenizer or asked.template else 0, 50 * asked.sample)
        ),
    )
    eval_sections = Sections()
    evaluation = None
    if asked.eval_path:
        evaluation = count(read_numbered(find_files(asked.eval_path), eval_sections), counting)
    if evaluation and (shown_by := asked.tokenizer or asked.template):
        render_only(evaluation, shown_by)
    found = survey(asked.path, counting, evaluation if asked.compare else None, advance)
    part = found.part
    for line, first in found.duplicates:
        part.add_finding("duplicate", line, f"the same as {found.sections.said(first)}; remove one of them")
    for line, other, alike in found.near:
        part.add_finding(
            "near_duplicate",
            line,
            f"{alike:.0%} of its three-word sequences also occur in {found.sections.said(other)}",
        )
    if evaluation:
        _add_evaluation(part, evaluation, eval_sections, asked)
        _add_left_out(part, evaluation, eval_sections, asked)
        _add_evaluation_warnings(part, evaluation, eval_sections, asked)
        if asked.compare:
            _add_overlap(part, evaluation, eval_sections, found.seen, asked)
    report = Report(asked, part, [], len(found.near), evaluation.rows if evaluation else 0)
    report.eval_kinds = dict(evaluation.kinds) if evaluation else {}
    report.tokens = (
        measure(part, asked.max_length, asked.tokenizer, asked.assistant_only)
        if asked.tokenizer
        else estimate(part, counting)
    )
    if asked.template and not asked.tokenizer:
        render_only(part, asked.template)
    _add_whole(part, asked, report.tokens)
    report.used = _used(part, asked) if not report.errors else None
    report.sample = [
        (found.sections.said(line), example)
        for _, line, example in sorted(part.kept, key=lambda kept: kept[0])[: asked.sample]
    ]
    ordered = sorted(part.findings, key=lambda one: (one.level != ERROR, one.line or 0))
    report.findings = [_located(one, found.sections) for one in ordered]
    report.files = len(found.sections.files)
    return report


def _located(finding: Finding, sections: Sections) -> Finding:
    """The finding with its file and the line there."""
    if finding.line is None:
        return finding
    file, line = sections.where(finding.line)
    return replace(finding, file=file, line=line)


def _used(part: Part, asked: Asked) -> Used | None:
    """The numbers of rows that are trained on and held out, by the rows of a file without errors."""
    portion = asked.portion
    if portion.eval_fraction is None:
        rows = min(len(part.lines), portion.max_samples or len(part.lines))
        return {"train": rows, "held_out": None, "groups": None} if portion.max_samples else None
    column = portion.eval_group
    values = group_values(asked.path, column) if column else {}
    chosen = choose(
        [read_examples(asked.path, asked.reading)], portion, lambda number, line: values.get(line)
    )
    return {"train": chosen.trained, "held_out": chosen.held_out, "groups": chosen.groups}


def _add_evaluation(part: Part, evaluation: Part, sections: Sections, asked: Asked) -> None:
    """Adds the first error of the evaluation file, which stops a launch as well."""
    errors = [finding for finding in evaluation.findings if finding.level == ERROR]
    if errors:
        first = errors[0]
        more = f"; python -m launcher data check {asked.eval_path} shows all"
        where = _named(asked, sections, first.line or 1)
        part.add_finding(first.rule, None, f"{where}: {first.message}{more}")
    elif refused := asked.reading.too_many(sum(evaluation.left_out.values()), evaluation.rows):
        part.add_finding("too_many_bad", None, f"{asked.eval_path}: {refused}")
    elif not evaluation.rows:
        part.add_finding(
            "no_rows", None, f"{asked.eval_path} holds no rows; give another file, or no evaluation file"
        )


def _add_evaluation_warnings(part: Part, evaluation: Part, sections: Sections, asked: Asked) -> None:
    """Adds the first evaluation row of each kind that has no answer left, or that is shown in part."""
    told: set[str] = set()
    for finding in evaluation.findings:
        if finding.rule in _EVALUATION and finding.rule not in told:
            told.add(finding.rule)
            count = evaluation.counts[finding.rule]
            where = f"{_named(asked, sections, finding.line or 1)} ({count:,} of {evaluation.rows:,} rows)"
            part.add_finding(finding.rule, None, f"{where}: {finding.message}")


def _add_left_out(part: Part, evaluation: Part, sections: Sections, asked: Asked) -> None:
    """Adds the invalid evaluation rows that are left out."""
    for finding in evaluation.bad:
        where = _named(asked, sections, finding.line or 1)
        part.add_finding("left_out", None, f"{where}: {finding.message} [{finding.rule}]")
    part.counts["left_out"] += sum(evaluation.left_out.values()) - len(evaluation.bad)


def _named(asked: Asked, sections: Sections, line: int) -> str:
    """File and line of an evaluation row."""
    file, line = sections.where(line)
    return f"{file or asked.eval_path}, line {line}"


def _add_overlap(
    part: Part, evaluation: Part, sections: Sections, seen: dict[int, int], asked: Asked
) -> None:
    if asked.eval_path and str(asked.eval_path) == str(asked.path):
        part.add_finding(
            "same_file",
            None,
            f"{asked.path} is both the training and the evaluation file; hold rows out of it instead: data.eval_fraction=0.05",
        )
        return
    digests = set(evaluation.digests)
    lines: dict[int, int] = {}
    for digest, line in zip(part.digests, part.lines, strict=True):
        if digest in digests:
            lines.setdefault(digest, line)
    wanted = set(evaluation.said) - {0}
    alike: dict[int, int] = {}
    for said, line in zip(part.said, part.lines, strict=True):
        if said in wanted:
            alike.setdefault(said, line)
    for row, (digest, line) in enumerate(zip(evaluation.digests, evaluation.lines, strict=True)):
        if digest in lines:
            part.add_finding("eval_exact", lines[digest], f"is also in {_named(asked, sections, line)}")
        elif evaluation.said[row] in alike:
            same = f"has the words of {_named(asked, sections, line)}, with other case, spaces or punctuation"
            part.add_finding("eval_exact", alike[evaluation.said[row]], same)
        elif row in seen:
            part.add_finding(
                "eval_overlap",
                seen[row],
                f"shares 13 consecutive words with {_named(asked, sections, line)}",
            )


def _add_whole(part: Part, asked: Asked, tokens: Tokens) -> None:
    """Adds what is wrong with the file as a whole."""
    if not part.rows:
        part.add_finding(
            "no_rows", None, f'{asked.path} holds no rows; write one {{"messages": [...]}} on each line'
        )
        return
    _add_reading(part, asked.reading)
    _add_mixtures(part)
    if len(part.labels) == 1 and set(part.kinds) == {"labelled"}:
        label = str(next(iter(part.labels))).lower()
        part.add_finding(
            "one_label",
            None,
            f"all {len(part.lines):,} answers have label {label}; kto learns from good and bad answers: add the others, or use "
            "trainer=sft for good answers alone",
        )
    if part.lines and set(part.kinds) == {"chat"}:
        share = tokens["trained_share"]
        if share == 0:
            part.add_finding("nothing_trained", None, _why_nothing(part, tokens))
        elif part.trained == part.characters and asked.assistant_only:
            part.add_finding(
                "everything_trained",
                None,
                "100 % of the tokens are trained on, because the chats hold no user turn; add the questions, or use plain text",
            )
    if tokens["truncated"]:
        how = "" if asked.tokenizer else "about "
        part.add_finding(
            "truncated",
            None,
            f"{how}{tokens['truncated_share']:.1%} of the examples are longer than model.max_length={asked.max_length} "
            "and lose their end; raise model.max_length, or split the examples",
        )
    if len(part.lines) < 50:
        part.add_finding("size", None, advise(part)[0])


def _why_nothing(part: Part, tokens: Tokens) -> str:
    if part.trained:
        return f"0 % of the tokens are trained on: no answer begins within model.max_length={tokens['max_length']}; raise it"
    return "0 % of the tokens are trained on: every assistant turn has weight 0; set weight 1 on the answers to train on"


def _add_reading(part: Part, reading: Reading) -> None:
    """Adds what was read in another way than it stands in the file."""
    bad = sum(part.left_out.values())
    refused = reading.too_many(bad, part.rows)
    if refused:
        part.add_finding("too_many_bad", None, refused)
    for finding in part.bad:
        part.add_finding("left_out", finding.line, f"{finding.message} [{finding.rule}]")
    part.counts["left_out"] += bad - len(part.bad)
    if part.dropped:
        listed = ", ".join(f"{name} ({number:,})" for name, number in part.dropped.most_common())
        names = ",".join(name for name, _ in part.dropped.most_common() if "[]" not in name)
        meant = f"; data.drop=[{names}] says that this is meant" if names else ""
        part.add_finding(
            "dropped_keys", None, f"keys that are not read, with their number of rows: {listed}{meant}"
        )
    if part.lost_nulls:
        part.add_finding(
            "lost_nulls",
            None,
            f"in {part.lost_nulls:,} rows, arguments of calls are null in a column of objects, where null and absent are the "
            "same; they are read as absent: write the arguments as JSON in a string to keep them",
        )
    for name, number in part.as_text.items():
        part.add_finding(
            "turns_as_text", None, f"{name}, read as the list that it stands for in {number:,} rows"
        )
    for key, names in (("drop", reading.drop), ("keep", reading.keep)):
        for name in names:
            if part.lines and not part.mapped[name]:
                part.add_finding(
                    "dropped_keys", None, f"data.{key}=[{name}], but no row has the column {name}"
                )
    for ours, theirs in reading.columns:
        if part.lines and not part.mapped[theirs]:
            part.add_finding(
                "format", None, f"data.columns={{{ours}: {theirs}}}, but no row has the column {theirs}"
            )


def _add_mixtures(part: Part) -> None:
    kinds: Sequence[tuple[str, int]] = part.kinds.most_common()
    for kind, number in kinds[1:]:
        part.add_finding(
            "format",
            part.firsts[kind],
            f"a {SPOKEN[kind]} in a file of {SPOKEN[kinds[0][0]]}s ({number} of {len(part.lines)} rows); move them into a "
            "separate file",
        )
    formats = part.formats.most_common()
    if len(kinds) == 1 and len(formats) > 1:
        listed = ", ".join(f"{number} {name}" for name, number in formats)
        part.add_finding(
            "mixed_formats", part.firsts[formats[-1][0]], f"several formats in one file: {listed}"
        )
    without = part.systems[""]
    with_one = len(part.lines) - part.kinds["text"] - without
    if with_one and without:
        part.add_finding(
            "mixed_systems",
            None,
            f"{with_one} rows have a system prompt and {without} have none; give one to all rows, or to none",
        )
