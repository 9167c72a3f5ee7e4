"""The checks of a data file before a GPU is allocated."""

from dataclasses import dataclass, field, replace

from launcher.data.class_findings import add_classes
from launcher.data.contamination import take_tasks, with_tasks
from launcher.data.counting import Counting, count
from launcher.data.evaluation import add_evaluation, add_tasks
from launcher.data.examples import read_examples
from launcher.data.files import Sections, read_numbered
from launcher.data.findings import ERROR, Finding
from launcher.data.held_out import choose, group_values
from launcher.data.kinds import Example
from launcher.data.lengths import TOKENIZED, estimate, measure, no_tokens, render_only, stride
from launcher.data.part import Part
from launcher.data.places import find_files
from launcher.data.portion import CheckOptions
from launcher.data.printed import ClassCounts, DataReport, TaskOverlap, Tokens, Used
from launcher.data.survey import Advance, survey
from launcher.data.task_documents import read_task
from launcher.data.whole import add_whole, advise


@dataclass(slots=True)
class Report:
    """The outcome of a check."""

    asked: CheckOptions
    part: Part
    findings: list[Finding]
    near_duplicates: int = 0
    eval_rows: int = 0
    eval_kinds: dict[str, int] = field(default_factory=dict[str, int])
    classes: ClassCounts | None = None
    eval_classes: ClassCounts | None = None
    tasks: list[TaskOverlap] = field(default_factory=list[TaskOverlap])
    """What the file shares with benchmark tasks."""
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
        chats = len(part.lines) - part.texts
        return {
            "verdict": self.verdict,
            "rows": part.rows,
            "findings": [finding.to_dict() for finding in self.findings],
            "errors": self.errors,
            "stops": part.stops,
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
            "classes": self.classes,
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
                "classes": self.eval_classes,
            },
            "tasks": self.tasks,
            "used": self.used,
            "tokens": self.tokens,
            "advice": advise(part),
        }


def check(asked: CheckOptions, advance: Advance | None = None) -> Report:
    """The report on a file; DataError if it cannot be read at all. `advance` is called with the number of bytes done."""
    counting = Counting(
        reading=asked.reading,
        max_length=asked.max_length,
        bytes_per_token=asked.bytes_per_token,
        compare=asked.compare,
        estimated=not asked.tokenizer,
        rendered=bool(asked.tokenizer or asked.template),
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
    tasks = [read_task(path) for path in asked.tasks] if asked.compare else []
    compared = with_tasks(evaluation, tasks) if asked.compare else None
    found = survey(asked.path, counting, compared, advance, asked.divided)
    part = found.part
    in_tasks = take_tasks(found.seen, len(evaluation.ends) if evaluation else 0, tasks)
    for line, first in found.duplicates:
        part.add_finding("duplicate", line, f"the same as {found.sections.said(first)}; remove one of them")
    for line, other, alike in found.near:
        part.add_finding(
            "near_duplicate",
            line,
            f"{alike:.0%} of its three-word sequences also occur in {found.sections.said(other)}",
        )
    if evaluation:
        add_evaluation(part, evaluation, eval_sections, found.seen, asked)
    overlaps = add_tasks(part, tasks, in_tasks, asked.tasks)
    add_classes(part, evaluation, found.sections)
    report = Report(asked, part, [], len(found.near), evaluation.rows if evaluation else 0)
    report.tasks = overlaps
    report.classes = part.classes.described(asked.path, found.sections)
    report.eval_classes = evaluation.classes.described(asked.eval_path, eval_sections) if evaluation else None
    report.eval_kinds = dict(evaluation.kinds) if evaluation else {}
    report.tokens = (
        measure(part, asked.max_length, asked.tokenizer, asked.assistant_only)
        if asked.tokenizer
        else estimate(part, counting)
    )
    if asked.template and not asked.tokenizer:
        render_only(part, asked.template)
    add_whole(part, asked, report.tokens)
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
    return replace(finding, file=file, line=line, unit=sections.unit(finding.line))


def _used(part: Part, asked: CheckOptions) -> Used | None:
    """The numbers of rows that are trained on and held out, by the rows of a file without errors."""
    portion = asked.portion
    if portion.eval_fraction is None:
        rows = min(len(part.lines), portion.max_samples or len(part.lines))
        nothing = Used(train=rows, held_out=None, groups=None, largest=None, values=None, joined=None)
        return nothing if portion.max_samples else None
    column = portion.eval_group
    values = group_values(asked.path, column) if column else {}
    chosen = choose(
        [read_examples(asked.path, asked.reading)], portion, lambda number, line: values.get(line)
    )
    return {
        "train": chosen.trained,
        "held_out": chosen.held_out,
        "groups": chosen.groups,
        "largest": chosen.largest,
        "values": chosen.values if column else None,
        "joined": chosen.joined if column else None,
    }
