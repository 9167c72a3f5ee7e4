"""The data check before every launch: errors stop it, warnings are printed and kept in the run dir."""

from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

from launcher.config import Config, DataCheck, Init
from launcher.config.data import AUTO
from launcher.data.places import find_files, is_address
from launcher.data.portion import asked_portion
from launcher.data.reading import Reading, reading_of, skipping
from launcher.errors import ConfigError, DataError
from launcher.frozen_dataclass import frozen_dataclass
from launcher.hub import HUB
from launcher.launching.chat_template import row_template
from launcher.launching.kept import remembered
from launcher.launching.portions import count_portions
from launcher.methods.registry import check_serves
from launcher.run import RunDir


@frozen_dataclass
class DataPaths:
    """Absolute paths, or unchanged hub names."""

    training: tuple[str, ...]
    evaluation: str | None


def data_paths(config: Config) -> DataPaths:
    """The location of the data; ConfigError unless exactly one of data.path and data.sources is set."""
    data = config.data
    if data.sources and data.path:
        raise ConfigError(f"data.path={data.path} and data.sources are both given; add data.path=null")
    for number, source in enumerate(data.sources):
        if not 0 < source.weight <= 100:
            raise ConfigError(
                f"data.sources[{number}].weight={source.weight:g} must be above 0 and at most 100: it counts uses per row"
            )
    for key, name in [
        ("data.format", data.format),
        *((f"data.sources[{at}].format", one.format) for at, one in enumerate(data.sources)),
    ]:
        if name == AUTO:
            continue
        from launcher.formats.registry import FORMATS, known_formats  # most formats are detected

        if name not in FORMATS.own_names() and name not in FORMATS.names():
            raise ConfigError(f"{key}={name} must be one of {', '.join((AUTO, *known_formats().formats))}")
    for at in range(len(data.sources)) or (None,):
        reading_of(data, at)  # refuses invalid values, also if the data is not checked
    paths = [source.path for source in data.sources] or ([data.path] if data.path else [])
    if not paths:
        raise ConfigError(
            "data.path has no value; set data.path=FILE, or data=quickstart for the shipped sample"
        )
    asked_portion(config)
    return DataPaths(
        training=tuple(_absolute(path) for path in paths),
        evaluation=_absolute(data.eval_path) if data.eval_path else None,
    )


def check_data(config: Config) -> list[dict[str, Any]]:
    """The reports on every training file, in the form of `data check --json`; DataError for the first error.
    `check_files` has checked before that the files exist.
    """
    paths, data = data_paths(config), config.data
    if data.check is DataCheck.off:
        return []
    readings = [reading_of(data, at) for at in range(len(data.sources))] or [reading_of(data)]
    return [
        _check_one(config, path, paths.evaluation, reading)
        for path, reading in zip(paths.training, readings, strict=True)
    ]


def local_tasks(config: Config) -> tuple[str, ...]:
    """The tasks of eval_job whose documents are local files: what a check can compare with the training rows."""
    if config.eval_job.every is None:
        return ()
    from launcher.data.task_documents import YAML, read_task  # imported here: few runs name tasks

    found: list[str] = []
    for name in config.eval_job.tasks:
        if not name.endswith(YAML) or not Path(name).is_file():
            continue
        with suppress(
            DataError
        ):  # its documents are on a hub, and `evaluate --tasks` compares them after the training
            read_task(name)
            found.append(str(Path(name).absolute()))
    return tuple(found)


def check_files(config: Config) -> None:
    """Raises DataError for a data file that does not exist."""
    paths = data_paths(config)
    named = [(_key(config.data.sources, at), path) for at, path in enumerate(paths.training)]
    for key, path in [*named, ("data.eval_path", paths.evaluation)]:
        if path is not None and not path.startswith(HUB):
            try:
                find_files(path)
            except DataError as error:
                raise DataError(f"{key}={error}") from None


def files_of(paths: DataPaths, run: RunDir) -> dict[str, tuple[str, ...]]:
    """The files of each data path that is a folder or a glob; a run that is planned again keeps those of its first plan."""
    before: dict[str, list[str]] = {}
    if run.plan.is_file():
        before = run.read_json(run.plan).get("facts", {}).get("data_files", {})
    found: dict[str, tuple[str, ...]] = {}
    for path in dict.fromkeys([*paths.training, *filter(None, [paths.evaluation])]):
        if path in before:
            found[path] = tuple(before[path])
        elif not path.startswith(HUB) and (files := find_files(path)) != (path,):
            found[path] = files
    return found


def count_examples(config: Config, reports: list[dict[str, Any]]) -> dict[str, int | None]:
    """`rows`, the training examples per epoch, `eval_rows`, and `mean_tokens` of an example, by the reports; None if a file
    was not counted."""
    weights = [source.weight for source in config.data.sources] or [1.0]
    if len(reports) != len(weights):
        return {"rows": None, "eval_rows": None, "mean_tokens": None}
    counted = count_portions(config, data_paths(config).training, reports)
    if any(count is None for count in counted.training):
        return {"rows": None, "eval_rows": counted.evaluation, "mean_tokens": None}
    rows = tokens = 0.0
    for report, weight, count in zip(reports, weights, counted.training, strict=True):
        histogram: dict[str, int] = report["tokens"]["histogram"]
        examples = sum(histogram.values())
        rows += weight * (count or 0)
        if examples:
            mean = sum(_middle(bucket) * number for bucket, number in histogram.items()) / examples
            tokens += weight * (count or 0) * mean
    return {
        "rows": round(rows),
        "eval_rows": counted.evaluation,
        "mean_tokens": max(1, round(tokens / rows)) if rows else None,
    }


def _middle(bucket: str) -> float:
    """The typical number of tokens in a bucket of the length histogram; each bucket is twice as long as the previous one."""
    return float(bucket[2:]) * 0.75 if bucket.startswith("<=") else float(bucket[1:]) * 1.5


def data_warnings(reports: list[dict[str, Any]]) -> list[str]:
    """One sentence for each rule that a file violates."""
    found: list[str] = []
    for report in reports:
        shown: set[str] = set()
        for finding in report["findings"]:
            rule = finding["rule"]
            if rule in shown:
                continue
            shown.add(rule)
            more = report["counts"][rule] - 1
            also = f" (and {more:,} more)" if more else ""
            found.append(f"{_place(report, finding)}: {finding['message']}{also} [{rule}]")
    return found


def _check_one(config: Config, path: str, evaluation: str | None, reading: Reading) -> dict[str, Any]:
    if path.startswith(HUB):
        from launcher.data.hub import parse_hub  # not needed by a launch whose data are files

        parse_hub(path)
        return _unchecked(path)
    evaluation_path = evaluation if evaluation and not evaluation.startswith(HUB) else None
    options: dict[str, Any] = {
        "reading": reading,
        "max_length": config.model.max_length,
        "bytes_per_token": 1.0 if config.model.init is Init.random else 4.0,
        "assistant_only": config.trainer.assistant_only_loss,
        "compare": config.data.check is DataCheck.full,
        "template": row_template(config),
        "tasks": local_tasks(config),
    }
    report = _remembered(path, evaluation_path, options, Path(config.cache_dir))
    if report["verdict"] == "error":
        raise DataError(_refusal(report))
    kind = config.trainer.kind
    check_serves(kind, path, report["kinds"])
    if evaluation and report["eval"]:
        check_serves(kind, evaluation, report["eval"]["kinds"])
    return report


def _refusal(report: dict[str, Any]) -> str:
    """The first error, the number of further errors, and the command that shows them."""
    errors = [finding for finding in report["findings"] if finding["level"] == "error"]
    more = report["errors"] - 1
    also = (
        f"; and {more:,} more, which python -m launcher data check {quote(report['path'])} shows"
        if more
        else ""
    )
    first = errors[0]
    way_out = _way_out(report)
    if first["line"] is None:  # of the whole file: no row can be left out against it
        way_out = ""
    if (
        first["rule"] == "template"
    ):  # data check renders only with --model, and data.on_bad_row does not render
        also, way_out = f"; and {more:,} more" if more else "", ""
    return f"{_place(report, first)}: {first['message']} [{first['rule']}]{also}{way_out}"


def _place(report: dict[str, Any], finding: Any) -> str:
    """The file and the line of a finding."""
    from launcher.data.findings import said_line  # imported here, as below: most data has no finding

    return f"{finding.get('file') or report['path']}{said_line(finding)}"


def _way_out(report: dict[str, Any]) -> str:
    """How to continue without the invalid rows, if they are few."""
    way = skipping(report["errors"], report["rows"]) if report["rows"] and not report.get("stops") else None
    return f"; {way} leaves invalid rows out" if way else ""


def _remembered(
    path: str, evaluation: str | None, options: dict[str, Any], cache_dir: Path
) -> dict[str, Any]:
    """The report on a file, computed once per version of the file: for all trials of a multirun and for later launches."""
    return remembered(
        (path, *([evaluation] if evaluation else []), *_files_of_tasks(options["tasks"])),
        options,
        cache_dir,
        lambda: _report(path, evaluation, options),
        lambda report: report["verdict"] != "error",
    )


def _files_of_tasks(tasks: tuple[str, ...]) -> list[str]:
    """The files that decide what the documents of these tasks are."""
    if not tasks:
        return []
    from launcher.data.task_documents import read_task  # imported here: few runs name tasks

    return [file for name in tasks for file in read_task(name).files]


def _report(path: str, evaluation: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """The report on a file that is read now."""
    from launcher.data.check import check  # not needed by a launch whose data was checked before
    from launcher.data.portion import CheckOptions
    from launcher.data.progress import progress

    with progress(path, "checking data") as advance:
        return {**check(CheckOptions(path=path, eval_path=evaluation, **options), advance).to_dict()}


def _unchecked(path: str) -> dict[str, Any]:
    why = "is read on the nodes from the hub, so its rows are not checked before"
    from launcher.data.findings import Finding

    finding = Finding("unchecked", None, why)
    return {
        "verdict": "warning",
        "rows": None,
        "findings": [finding.to_dict()],
        "counts": {finding.rule: 1},
        "path": path,
    }


def _key(sources: list[Any], at: int) -> str:
    return f"data.sources[{at}].path" if sources else "data.path"


def _absolute(path: str) -> str:
    return path if path.startswith(HUB) or is_address(path) else str(Path(path).absolute())
