"""What a check says about the evaluation file, and about rows that the training file shares with it."""

from collections.abc import Mapping, Sequence
from shlex import quote

from launcher.data.files import Sections
from launcher.data.findings import ERROR
from launcher.data.part import Part
from launcher.data.portion import CheckOptions
from launcher.data.printed import TaskOverlap
from launcher.data.task_documents import Documents

_EVALUATION = ("answer_cut", "not_rendered", "no_end")
"""The rules that depend on the model and are applied to evaluation rows too; the others apply only to training rows."""


def add_evaluation(
    part: Part, evaluation: Part, sections: Sections, seen: dict[int, int], asked: CheckOptions
) -> None:
    """Adds what is wrong with the evaluation file to the findings of the training file.

    `seen`: row of the evaluation file -> line of a training row that shares 13 consecutive words with it.
    """
    _add_errors(part, evaluation, sections, asked)
    _add_left_out(part, evaluation, sections, asked)
    _add_warnings(part, evaluation, sections, asked)
    if asked.compare:
        _add_overlap(part, evaluation, sections, seen, asked)


def add_tasks(
    part: Part, tasks: Sequence[Documents], found: Sequence[Mapping[int, int]], paths: Sequence[str]
) -> list[TaskOverlap]:
    """What the training file shares with benchmark tasks, after each training row that shares words with a document of theirs
    is added to its findings.

    `found`: for each task, document -> line of the first training row that shares 13 consecutive words with it.
    """
    for task, shared in zip(tasks, found, strict=True):
        for number, line in sorted(shared.items()):
            part.add_finding(
                "task_overlap",
                line,
                f"shares 13 consecutive words with document {number + 1:,} of {task.task}; remove the row",
            )
    return [
        {
            "task": task.task,
            "path": path,
            "documents": len(task.texts),
            "in_training": len(shared),
            "matched_on": task.matched_on,
        }
        for task, shared, path in zip(tasks, found, paths, strict=True)
    ]


def _add_errors(part: Part, evaluation: Part, sections: Sections, asked: CheckOptions) -> None:
    """Adds the first error of the evaluation file, which stops a launch as well."""
    errors = [finding for finding in evaluation.findings if finding.level == ERROR]
    if errors:
        first = errors[0]
        more = f"; python -m launcher data check {quote(str(asked.eval_path))} shows all"
        where = _named(asked, sections, first.line or 1)
        part.add_finding(first.rule, None, f"{where}: {first.message}{more}")
    elif refused := asked.reading.too_many(sum(evaluation.left_out.values()), evaluation.rows):
        part.add_finding("too_many_bad", None, f"{asked.eval_path}: {refused}")
    elif not evaluation.rows:
        part.add_finding(
            "no_rows", None, f"{asked.eval_path} holds no rows; give another file, or no evaluation file"
        )


def _add_warnings(part: Part, evaluation: Part, sections: Sections, asked: CheckOptions) -> None:
    """Adds, for each of these rules, the first evaluation row that breaks it."""
    told: set[str] = set()
    for finding in evaluation.findings:
        if finding.rule in _EVALUATION and finding.rule not in told:
            told.add(finding.rule)
            count = evaluation.counts[finding.rule]
            where = f"{_named(asked, sections, finding.line or 1)} ({count:,} of {evaluation.rows:,} rows)"
            part.add_finding(finding.rule, None, f"{where}: {finding.message}")


def _add_left_out(part: Part, evaluation: Part, sections: Sections, asked: CheckOptions) -> None:
    """Adds the invalid evaluation rows that are left out."""
    for finding in evaluation.bad:
        where = _named(asked, sections, finding.line or 1)
        part.add_finding("left_out", None, f"{where}: {finding.message} [{finding.rule}]")
    part.counts["left_out"] += sum(evaluation.left_out.values()) - len(evaluation.bad)


def _named(asked: CheckOptions, sections: Sections, line: int) -> str:
    """File and line of an evaluation row."""
    file, there = sections.where(line)
    return f"{file or asked.eval_path}, {sections.unit(line)} {there}"


def _add_overlap(
    part: Part, evaluation: Part, sections: Sections, seen: dict[int, int], asked: CheckOptions
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
