"""python -m launcher managed upload|create|status|poll|list|cancel: fine-tuning at a provider with OpenAI's API."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from launcher.data.progress import progress
from launcher.errors import Exit
from launcher.managed.api import Api
from launcher.managed.create import asked_job, create, estimate, upload
from launcher.managed.records import Records
from launcher.managed.rows import METHODS, prepare
from launcher.output import align

_OVER = ("succeeded", "failed", "cancelled")
_LONGEST_POLL_S = 60.0


def main(arguments: list[str]) -> int:
    """The exit code; 3 for a job that failed or was cancelled."""
    options = _parser().parse_args(arguments)
    return options.run(options, Records(options.runs_dir.absolute()))


def _upload(options: argparse.Namespace, records: Records) -> int:
    api = Api()
    with progress(options.file, "checking data"):
        prepared = prepare(options.file, records.data, options.method)
    found = upload(api, records, options.file, prepared)
    _print(options, found, [("file", found["file"]), ("rows", f"{prepared.rows:,}")])
    return Exit.OK


def _create(options: argparse.Namespace, records: Records) -> int:
    api = Api()
    prepared = prepare(options.file, records.data, options.method)
    held_out = prepare(options.eval, records.data, options.method, least=1) if options.eval else None
    about = estimate(prepared, options.epochs, options.price_per_million)
    out = sys.stderr if options.json else sys.stdout
    print(align(_estimate_lines(about)), file=out, flush=True)
    training = upload(api, records, options.file, prepared)["file"]
    validation = upload(api, records, options.eval, held_out)["file"] if held_out else None
    asked = asked_job(options, training, validation)
    contents = {
        "training_file": prepared.sha256,
        **({"validation_file": held_out.sha256} if held_out else {}),
    }
    job, known = create(api, records, asked, contents, about, again=options.again)
    if options.poll:
        return _follow(options, api, records, str(job["id"]))
    note = [("note", "the same job was asked for before; --again makes another")] if known else []
    _print(options, {**_short(job), "estimate": about, "existing": known}, [*_lines(job), *note])
    return Exit.OK


def _status(options: argparse.Namespace, records: Records) -> int:
    job = Api().job(options.job or records.newest())
    records.note_job(job)
    _print(options, _short(job), _lines(job))
    return Exit.FAILED if job["status"] in _OVER[1:] else Exit.OK


def _poll(options: argparse.Namespace, records: Records) -> int:
    return _follow(options, Api(), records, options.job or records.newest())


def _follow(options: argparse.Namespace, api: Api, records: Records, job_id: str) -> int:
    """Events as they come, asked for less and less often while none do."""
    seen: set[str] = set()
    wait_s: float = options.every_s
    out = sys.stderr if options.json else sys.stdout
    while True:
        job = api.job(job_id)
        records.note_job(job)
        news = [event for event in api.events(job_id) if event["id"] not in seen]
        for event in news:
            seen.add(event["id"])
            print(f"{job_id}  {' '.join(str(event['message']).split())}", file=out, flush=True)
        if job["status"] in _OVER:
            break
        wait_s = options.every_s if news else min(wait_s * 1.5, max(_LONGEST_POLL_S, options.every_s))
        time.sleep(wait_s)
    _print(options, _short(job), _lines(job))
    return Exit.OK if job["status"] == "succeeded" else Exit.FAILED


def _list(options: argparse.Namespace, records: Records) -> int:
    jobs = list(Api().jobs(options.limit))
    if options.json:
        print(json.dumps({"jobs": [_short(job) for job in jobs]}))
        return Exit.OK
    for job in jobs:
        print(
            f"{job['id']}  {job['status']:<16}  {job['model']}  {job.get('fine_tuned_model') or ''}".rstrip()
        )
    if not jobs:
        print("no jobs")
    return Exit.OK


def _cancel(options: argparse.Namespace, records: Records) -> int:
    job = Api().cancel(options.job)
    records.note_job(job)
    _print(options, _short(job), _lines(job))
    return Exit.OK


def _short(job: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "status", "model", "fine_tuned_model", "trained_tokens", "error")
    return {name: job.get(name) for name in names}


def _lines(job: dict[str, Any]) -> list[tuple[str, str]]:
    failure: dict[str, Any] = job.get("error") or {}
    error = failure.get("message")
    lines = [("job", str(job["id"])), ("state", str(job["status"]))]
    lines += [("error", " ".join(str(error).split()))] if error else []
    lines += [("trained", f"{job['trained_tokens']:,} tokens")] if job.get("trained_tokens") else []
    if job["status"] in _OVER:
        return [*lines, *([("model", str(job["fine_tuned_model"]))] if job.get("fine_tuned_model") else [])]
    return [*lines, ("next", f"python -m launcher managed poll {job['id']}")]


def _estimate_lines(about: dict[str, Any]) -> list[tuple[str, str]]:
    assumed = " (auto: taken as so many)" if about["epochs_assumed"] else ""
    lines = [("training", f"about {about['tokens']:,} tokens x {about['epochs']} epochs{assumed}")]
    price = about["price"]
    return [
        *lines,
        ("price", f"about {price:,.2f}" if price is not None else "not known; give --price-per-million"),
    ]


def _print(options: argparse.Namespace, value: dict[str, Any], lines: list[tuple[str, str]]) -> None:
    print(json.dumps(value) if options.json else align(lines), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m launcher managed",
        description="Fine-tune at a provider with OpenAI's API: OPENAI_BASE_URL, and OPENAI_API_KEY from your shell.",
        epilog="example: python -m launcher managed create train.jsonl --model gpt-4.1-mini-2025-04-14 --epochs 3 "
        "--price-per-million 5 --poll",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(required=True, metavar="upload|create|status|poll|list|cancel")

    def verb(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=help, description=help, allow_abbrev=False)
        one.add_argument(
            "--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="what was asked is kept there"
        )
        one.add_argument("--json", action="store_true", help="print JSON for a machine")
        one.set_defaults(run=run)
        return one

    upload_ = verb("upload", _upload, "check a data file of any format and upload it, once")
    create_ = verb(
        "create", _create, "upload, tell the price, and start a job; the same command starts no second one"
    )
    for one in (upload_, create_):
        one.add_argument("file", type=Path, metavar="FILE")
        one.add_argument("--method", choices=METHODS, default="supervised", help="dpo needs preference pairs")
    create_.add_argument("--model", required=True, metavar="M", help="the model to fine-tune")
    create_.add_argument("--eval", type=Path, metavar="F", help="rows to measure on")
    create_.add_argument(
        "--suffix", metavar="TEXT", help="part of the new model's name, at most 64 characters"
    )
    create_.add_argument("--epochs", type=_auto(int), default="auto", metavar="N")
    create_.add_argument("--batch-size", type=_auto(int), default="auto", metavar="N")
    create_.add_argument("--learning-rate-multiplier", type=_auto(float), default="auto", metavar="X")
    create_.add_argument("--beta", type=_auto(float), default="auto", metavar="X", help="of --method dpo")
    create_.add_argument("--seed", type=int, metavar="N")
    create_.add_argument(
        "--price-per-million", type=float, metavar="P", help="of trained tokens, in your currency"
    )
    create_.add_argument(
        "--again", action="store_true", help="another job, although the same was asked for before"
    )
    create_.add_argument("--poll", action="store_true", help="wait for its end")
    for name, run, help in (
        ("status", _status, "where a job is"),
        ("poll", _poll, "wait for a job's end; can be repeated"),
    ):
        one = verb(name, run, help)
        one.add_argument(
            "job", nargs="?", metavar="JOB", help="default: the job that was created last from here"
        )
        if name == "poll":
            one.add_argument(
                "--every-s", type=_seconds, default=2.0, metavar="S", help="first wait (default: 2)"
            )
    create_.add_argument(
        "--every-s", type=_seconds, default=2.0, metavar="S", help="first wait of --poll (default: 2)"
    )
    verb("list", _list, "the newest jobs").add_argument("--limit", type=int, default=20, metavar="N")
    verb("cancel", _cancel, "end a job").add_argument("job", metavar="JOB")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise ValueError
    return value


def _auto(kind: type) -> Any:
    def number(text: str) -> Any:
        if text == "auto":
            return text
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value

    return number
