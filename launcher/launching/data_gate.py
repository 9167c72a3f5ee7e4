"""The data check before every launch: errors stop it, warnings are printed and kept in the run dir."""

import functools
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher import __version__
from launcher.config import Config, DataCheck, Init
from launcher.data.hub import parse_hub
from launcher.errors import ConfigError, DataError
from launcher.formats.registry import AUTO, FORMATS, foreign_code, known_formats
from launcher.methods.rows import check_serves
from launcher.output import warn
from launcher.run import write_text

HUB = "hub:"
_KEPT_FROM = 8 << 20
"""File size from which a file is identified by its size and modification time; a smaller one is identified by its content."""
_known: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
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
        if name != AUTO and name not in FORMATS.own_names() and name not in FORMATS.names():
            raise ConfigError(f"{key}={name} must be one of {', '.join((AUTO, *known_formats().formats))}")
    paths = [source.path for source in data.sources] or ([data.path] if data.path else [])
    if not paths:
        raise ConfigError(
            "data.path has no value; set data.path=FILE, or data=quickstart for the shipped sample"
        )
    return DataPaths(
        training=tuple(_absolute(path) for path in paths),
        evaluation=_absolute(data.eval_path) if data.eval_path else None,
    )


def check_data(config: Config) -> list[dict[str, Any]]:
    """The reports on every training file, in the form of `data check --json`; DataError for the first error."""
    paths, data = data_paths(config), config.data
    formats = [source.format for source in data.sources] or [data.format]
    named = [(_key(data.sources, at), path) for at, path in enumerate(paths.training)]
    for key, path in [*named, ("data.eval_path", paths.evaluation)]:
        if path is not None and not path.startswith(HUB) and not Path(path).is_file():
            raise DataError(
                f"{key}={path} is not a file; give the path of a JSONL, JSON, CSV, TXT or Parquet file, or {HUB}NAME"
            )
    if data.check is DataCheck.off:
        return []
    return [
        _check_one(config, path, paths.evaluation, format)
        for path, format in zip(paths.training, formats, strict=True)
    ]


def count_examples(config: Config, reports: list[dict[str, Any]]) -> dict[str, int | None]:
    """`rows`, the training examples per epoch, and `mean_tokens`, by the reports; None if a file was not counted."""
    weights = [source.weight for source in config.data.sources] or [1.0]
    if len(reports) != len(weights) or any("tokens" not in report for report in reports):
        return {"rows": None, "mean_tokens": None}
    rows = tokens = 0.0
    for report, weight in zip(reports, weights, strict=True):
        histogram = report["tokens"]["histogram"]
        rows += weight * report["tokens"]["examples"]
        tokens += weight * sum(_middle(bucket) * number for bucket, number in histogram.items())
    return {"rows": round(rows), "mean_tokens": max(1, round(tokens / rows)) if rows else None}


def _middle(bucket: str) -> float:
    """The typical number of tokens in a bucket of the length histogram; each bucket is twice as long as the previous one."""
    return float(bucket[2:]) * 0.75 if bucket.startswith("<=") else float(bucket[1:]) * 1.5


def print_warnings(reports: list[dict[str, Any]]) -> None:
    """Prints one line on stderr for each rule that a file violates."""
    for report in reports:
        shown: set[str] = set()
        for finding in report["findings"]:
            rule = finding["rule"]
            if rule in shown:
                continue
            shown.add(rule)
            more = report["counts"][rule] - 1
            also = f" (and {more:,} more)" if more else ""
            where = f"{report['path']}{_line(finding)}"
            warn(f"{where}: {finding['message']}{also} [{rule}]")


def _check_one(config: Config, path: str, evaluation: str | None, format: str) -> dict[str, Any]:
    if path.startswith(HUB):
        parse_hub(path)
        return _unchecked(path)
    evaluation_path = Path(evaluation) if evaluation and not evaluation.startswith(HUB) else None
    options: dict[str, Any] = {
        "format": format,
        "max_length": config.model.max_length,
        "bytes_per_token": 1.0 if config.model.init is Init.random else 4.0,
        "assistant_only": config.trainer.assistant_only_loss,
        "compare": config.data.check is DataCheck.full,
    }
    report = _remembered(Path(path), evaluation_path, options, Path(config.cache_dir))
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
    also = f"; and {more:,} more, which python -m launcher data check {report['path']} shows" if more else ""
    first = errors[0]
    return f"{report['path']}{_line(first)}: {first['message']} [{first['rule']}]{also}"


def _remembered(
    path: Path, evaluation: Path | None, options: dict[str, Any], cache_dir: Path
) -> dict[str, Any]:
    """The report on a file, computed once per version of the file: for all trials of a multirun and for later launches."""
    state = [(str(file), _state(file)) for file in (path, evaluation) if file]
    key = hashlib.sha256(repr((state, options, _code_state(), __version__)).encode()).hexdigest()[:32]
    if key in _known:
        return _known[key]
    kept = cache_dir / "data_checks" / f"{key}.json"
    report: dict[str, Any] | None = None
    if kept.is_file():
        with suppress(ValueError):  # a damaged report is made again
            report = json.loads(kept.read_text())
    if report is None:
        report = _report(path, evaluation, options)
        if report["verdict"] != "error":
            with suppress(OSError):  # if it cannot be cached, the next launch checks again
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_text(kept, json.dumps(report))
    _known[key] = report
    return report


def _report(path: Path, evaluation: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """The report on a file that is read now."""
    from launcher.data.check import Asked, check  # not needed by a launch whose data was checked before
    from launcher.data.progress import progress

    with progress(path, "checking data") as advance:
        return check(Asked(path=path, eval_path=evaluation, **options), advance).to_dict()


def _state(file: Path) -> tuple[int, int | str]:
    """A value that changes when the file's content changes."""
    status = file.stat()
    if status.st_size >= _KEPT_FROM:
        return status.st_size, status.st_mtime_ns
    return status.st_size, hashlib.sha256(file.read_bytes()).hexdigest()


@functools.cache
def _code_state() -> list[Any]:
    """A value that changes when the code that checks data changes."""
    here = Path(__file__).resolve().parents[1]
    files = sorted(file for room in ("data", "formats") for file in (here / room).glob("*.py"))
    stamps = [(file.name, status.st_size, status.st_mtime_ns) for file in files if (status := file.stat())]
    return [*stamps, foreign_code()]


def _unchecked(path: str) -> dict[str, Any]:
    from launcher.data.rules import Finding  # not needed by a launch whose data was checked before

    why = "is read from the hub on the nodes, so it is not checked before"
    finding = Finding("unchecked", None, why)
    return {
        "verdict": "warning",
        "rows": None,
        "findings": [finding.to_dict()],
        "counts": {finding.rule: 1},
        "path": path,
    }


def _line(finding: dict[str, Any]) -> str:
    return "" if finding["line"] is None else f", line {finding['line']}"


def _key(sources: list[Any], at: int) -> str:
    return f"data.sources[{at}].path" if sources else "data.path"


def _absolute(path: str) -> str:
    return path if path.startswith(HUB) else str(Path(path).absolute())
