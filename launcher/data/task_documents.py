"""The documents of a benchmark task from local files, as texts that are compared with training rows.

A task is a YAML file of lm-evaluation-harness whose data are local files, or a file of its documents. Nothing is downloaded, no
function of a task is run, and lm-eval is not needed.
Source: lm-eval's task guide, and ConfigurableTask's doc_to_text, doc_to_target and doc_to_choice of version 0.4.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from launcher.data.files import read_rows
from launcher.data.places import find_files
from launcher.errors import DataError

YAML = (".yaml", ".yml")
RENDERED, WHOLE = "question and answer", "every text"
"""What of a document is compared: what the task makes of it, or all of it if only the task's own functions can tell."""
_LOCAL = ("json", "csv", "parquet", "text", "arrow")
"""Values of dataset_path with which the data are files."""
_SPLITS = ("test_split", "validation_split")
_GIVE = "give a file with its documents instead, one on each line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The documents of one task."""

    task: str
    """The name that the task gives itself, or the file's."""
    files: tuple[str, ...]
    """Files that decide them: the task's own, those that it includes, and the documents'."""
    matched_on: str
    """What of each is compared: RENDERED or WHOLE."""
    texts: tuple[str, ...]
    """One for each document, in order."""


class _Function:
    """A value of a task that is a Python function, which is not run."""


def read_task(path: str) -> Documents:
    """The documents of a task's YAML file or of a file of documents; DataError for a file that cannot be read."""
    if not path.endswith(YAML):
        files = find_files(path)
        whole = tuple(_whole(document) for document in _rows(path))
        return Documents(task=Path(path).stem, files=files, matched_on=WHOLE, texts=_any(path, whole))
    task, own = _settings(Path(path), ())
    places = _places(path, task)
    documents = [document for place in places for document in _rows(place)]
    asked = {key: task.get(key) for key in ("doc_to_text", "doc_to_target", "doc_to_choice")}
    rendered = not any(isinstance(value, _Function) for value in (*asked.values(), task.get("process_docs")))
    texts: list[str] = []
    for document in documents:
        text = _rendered(document, asked) if rendered else None
        rendered = rendered and text is not None
        texts.append(text or "")
    return Documents(
        task=str(task.get("task") or Path(path).stem),
        files=(*own, *(file for place in places for file in find_files(place))),
        matched_on=RENDERED if rendered else WHOLE,
        texts=_any(path, tuple(texts if rendered else map(_whole, documents))),
    )


def _any(path: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    if not any(text.strip() for text in texts):
        raise DataError(f"{path} has no documents with a text; {_GIVE}")
    return texts


def _rows(place: str) -> Iterator[Mapping[str, Any]]:
    """The rows of files as they are stored, in no format of training rows."""
    for row in read_rows(place):
        if row.fault:
            raise DataError(f"{row.where(place)}: {row.fault.message} [{row.fault.rule}]")
        value: Any = row.value
        if not isinstance(value, dict):
            raise DataError(f"{row.where(place)}: a document is an object with named values")
        yield cast("dict[str, Any]", value)


def _settings(path: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The values of a task's file with those of the file that it includes, and both files."""
    try:
        loaded: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = str(getattr(error, "strerror", None) or error).splitlines()[0]
        raise DataError(
            f"{path} cannot be read as a task ({said}); give a task's YAML file, or {_GIVE[5:]}"
        ) from None
    if not isinstance(loaded, dict):
        raise DataError(
            f"{path} is not a task: a task is a mapping with dataset_path and doc_to_text; {_GIVE}"
        )
    task = cast("dict[str, Any]", loaded)
    included: Any = task.get("include")
    files: tuple[str, ...] = (str(path.absolute()),)
    for name in cast("list[Any]", included) if isinstance(included, list) else [included] if included else []:
        other = (path.parent / str(name)).resolve()
        if other in above:
            raise DataError(f"{path} includes itself by include: {name}; take it out")
        values, more = _settings(other, (*above, path.resolve()))
        task, files = {**values, **task}, (*files, *more)
    return task, files


class _Loader(yaml.SafeLoader):
    pass


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> _Function:
    return _Function()


_Loader.add_multi_constructor("!", _function)  # pyright: ignore[reportUnknownMemberType] yaml does not type it


def _places(path: str, task: Mapping[str, Any]) -> list[str]:
    """The files of the split that is evaluated."""
    source = task.get("dataset_path")
    if source is None and isinstance(task.get("task"), list):
        raise DataError(f"{path} names a group of tasks; give the file of each of its tasks")
    given: Any = task.get("dataset_kwargs")
    files: Any = cast("dict[str, Any]", given).get("data_files") if isinstance(given, dict) else None
    if source not in _LOCAL or not files:
        raise DataError(
            f"{path}: the documents of this task are not local files (dataset_path: {source}), and nothing is downloaded for a "
            f"check; {_GIVE}"
        )
    if isinstance(files, dict):
        splits = cast("dict[str, Any]", files)
        named = [str(task[key]) for key in _SPLITS if task.get(key)]
        chosen = next((name for name in named if name in splits), None)
        if chosen is None:
            raise DataError(
                f"{path}: no file of data_files ({', '.join(splits)}) is the test_split or validation_split "
                f"({', '.join(named) or 'none is named'}); {_GIVE}"
            )
        files = splits[chosen]
    return [str(one) for one in cast("list[Any]", files)] if isinstance(files, list) else [str(files)]


def _rendered(document: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """Question and right answer; None if the task's templates cannot tell."""
    try:
        question = _value(document, asked["doc_to_text"])
        answer = _value(document, asked["doc_to_target"])
        choices = _choices(document, asked["doc_to_choice"])
    except (
        Exception
    ):  # a template can fail in any way on a document; the document is then compared as a whole
        return None
    if choices is not None:
        question, answer = (
            choices[one] if isinstance(one, int) and 0 <= one < len(choices) else one
            for one in (question, answer)
        )
    parts = [question, *(cast("list[Any]", answer) if isinstance(answer, list) else [answer])]
    return " ".join(part for part in parts if isinstance(part, str) and part)


def _value(document: Mapping[str, Any], how: Any) -> Any:
    """A field's value, a rendered text, or the number or list that such a text stands for."""
    if not isinstance(how, str):
        return how
    if how in document:
        return document[how]
    text = _template(how, document)
    return ast.literal_eval(text) if text.isdigit() or (text[:1] == "[" and text[-1:] == "]") else text


def _choices(document: Mapping[str, Any], how: Any) -> list[Any] | None:
    if isinstance(how, dict):
        return list(cast("dict[str, Any]", how).values())
    found = document[how] if isinstance(how, str) and how in document else how
    if isinstance(found, str):
        found = ast.literal_eval(_template(found, document))
    return cast("list[Any]", found) if isinstance(found, list) else None


def _template(text: str, document: Mapping[str, Any]) -> str:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined).from_string(text).render(**document)


def _whole(value: Any) -> str:
    """Every text of a document, joined by blanks."""
    return " ".join(_leaves(value))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in cast("Mapping[str, Any]", value).values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _leaves(one)
