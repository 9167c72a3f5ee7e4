"""python -m launcher data check FILE: the faults and the contents of a data file."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from launcher.cli.parser import OWN_FILE, positive
from launcher.cli.reading import add_reading, reading_of_options
from launcher.cli.verb import Verb
from launcher.config import Config, Init
from launcher.data.check import check
from launcher.data.convert import check_free
from launcher.data.places import exists
from launcher.data.portion import BYTES, USUAL, CheckOptions, Portion, asked_portion
from launcher.data.printed import DataReport
from launcher.data.progress import progress
from launcher.data.reading import reading_of
from launcher.data.report import describe, sample_text
from launcher.data.template import ChatTemplate
from launcher.errors import DataError, Exit, UsageError
from launcher.output import print_json, print_text
from launcher.plan.chat_format import ChatFormat
from launcher.run import write_text


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="JSONL, JSON, CSV, TSV, TXT or Parquet; also a folder, a glob or an address (s3://...)",
    )
    parser.add_argument(
        OWN_FILE,
        metavar="FILE",
        dest="own_file",
        help="check the data of this configuration, read as it says",
    )
    parser.add_argument("--eval", metavar="FILE", help="evaluation file that FILE must not overlap with")
    parser.add_argument(
        "--tasks",
        metavar="FILE,...",
        default="",
        help="benchmark tasks that FILE must not overlap with: YAML files of lm-eval with local data, or files of documents",
    )
    parser.add_argument(
        "--model", metavar="M", help="count its tokens: a name from conf/model, a folder or a hub id"
    )
    parser.add_argument(
        "--chat-template",
        metavar="T",
        help="as model.chat_template: render chats with a shipped template, a Jinja file or another model's template",
    )
    parser.add_argument(
        "--max-length",
        type=positive,
        metavar="N",
        help="tokens kept per row (default: the model's, or 2048)",
    )
    parser.add_argument(
        "--sample", type=positive, default=0, metavar="N", help="write N rows for you to read"
    )
    parser.add_argument(
        "--sample-out",
        type=Path,
        default=Path("sample.md"),
        metavar="F",
        help="file for --sample (default: sample.md)",
    )
    add_reading(parser)
    _add_portion(parser)
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def _add_portion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--eval-fraction", type=float, metavar="F", help="rows that data.eval_fraction=F would hold out"
    )
    parser.add_argument(
        "--eval-copies",
        choices=("near", "exact"),
        default="near",
        help="which copies of a row are held out or trained on together with it (default: near)",
    )
    parser.add_argument(
        "--eval-group", metavar="COLUMN", help="hold out all rows with the same value of COLUMN, or none"
    )
    parser.add_argument(
        "--max-samples",
        type=positive,
        metavar="N",
        help="as data.max_samples=N: only the first N rows are used",
    )
    parser.add_argument(
        "--seed", type=int, default=Config.seed, metavar="N", help=f"the run's seed (default: {Config.seed})"
    )


def _portion(options: argparse.Namespace) -> Portion:
    """The rows that are used; UsageError for invalid values."""
    portion = Portion(
        eval_fraction=options.eval_fraction,
        eval_copies=options.eval_copies,
        eval_group=options.eval_group,
        max_samples=options.max_samples,
        seed=options.seed,
    )
    if problem := portion.problem(options.eval):
        name, why = problem
        raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)}: data.{name} {why}")
    return portion


def _run(options: argparse.Namespace) -> int:
    """The exit code: 1 if the check finds an error."""
    if options.sample:
        check_free(options.sample_out, options.force)
    request, chat = (_request_of_config if options.own_file else _request)(options)
    tokenizer, length = request.tokenizer, None
    if options.model:
        from launcher.launching.check_tokenizer import tokenizer_of

        tokenizer, length = tokenizer_of(options.model, chat, os.environ)
        length = length or min(tokenizer.model_max_length, 1 << 20)
    request = replace(
        request,
        max_length=options.max_length or length or request.max_length,
        tokenizer=tokenizer,
        sample=options.sample,
    )
    with progress(request.path, "check") as advance:
        report = check(request, advance)
    if options.sample:
        write_text(options.sample_out, sample_text(request.path, report.sample))
    if options.json:
        print_json(report.to_dict())
    else:
        print_text(describe(report))
    if options.sample and not options.json:
        print_text(f"\n{len(report.sample)} rows to read: {options.sample_out}")
    return Exit.REFUSED if report.verdict == "error" else Exit.OK


def _request(options: argparse.Namespace) -> tuple[CheckOptions, ChatFormat | None]:
    """The check of a file, and how it changes the model's tokenizer."""
    if options.file is None:
        raise UsageError(f"data check needs a FILE, or {OWN_FILE} FILE for the data of a configuration")
    chat = _chat(options)
    asked = CheckOptions(
        path=options.file,
        eval_path=options.eval,
        tasks=_tasks(options.tasks),
        reading=reading_of_options(options),
        portion=_portion(options),
        template=_template(chat) if chat else None,
    )
    return asked, chat


def _tasks(text: str) -> tuple[str, ...]:
    """The files of tasks; DataError for one that is not there."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not exists(name):
            raise DataError(
                f"--tasks {name} is not a file; give a task's YAML file or a file of its documents, since tasks that are known "
                "only by name are on a hub and nothing is downloaded for a check"
            )
    return names


def _chat(options: argparse.Namespace) -> ChatFormat | None:
    """The template of --chat-template; None without it."""
    if options.chat_template is None:
        return None
    from launcher.launching.chat_template import format_named  # imported here: it imports jinja2

    return format_named(options.chat_template, os.environ)


def _template(chat: ChatFormat) -> ChatTemplate:
    """Only the template: rows are rendered with it, and their tokens are estimated."""
    special = (
        ("eos_token", chat.eos or "</s>"),
        ("bos_token", "<s>"),
    )  # there is no model, so any tokens do
    return ChatTemplate(
        name_or_path=str(chat.name),
        chat_template=str(chat.template),
        special=special,
        more_special=chat.control,
    )


def _request_of_config(options: argparse.Namespace) -> tuple[CheckOptions, ChatFormat | None]:
    """The check of the data that a configuration names; UsageError if it does not name one file."""
    from launcher.launching.chat_template import read_format, row_template
    from launcher.launching.check_tokenizer import tokenizer_at_hand
    from launcher.launching.compose import compose  # a check of a file alone needs no Hydra
    from launcher.launching.data_gate import local_tasks

    if options.file is not None:
        raise UsageError(
            f"data check takes FILE or {OWN_FILE}, not both: {options.file} and {options.own_file}"
        )
    config = compose([OWN_FILE, options.own_file])[0].config
    path, eval_path = config.data.path, options.eval or config.data.eval_path
    if config.data.sources or path is None:
        paths = " ".join(source.path for source in config.data.sources)
        raise UsageError(f"{options.own_file} names several training sets; check each: {paths}")
    if path.startswith("hub:"):
        raise UsageError(
            f"data.path={path} is on a hub, and data check reads files; a launch checks what it can of it"
        )
    if options.chat_template is not None:
        config.model.chat_template = options.chat_template
    chat = read_format(config)
    asked = CheckOptions(
        path=path,
        bytes_per_token=BYTES if config.model.init is Init.random else USUAL,
        tokenizer=None if options.model else tokenizer_at_hand(config, chat),
        assistant_only=config.trainer.assistant_only_loss,
        eval_path=eval_path if eval_path and not str(eval_path).startswith("hub:") else None,
        tasks=_tasks(options.tasks) or local_tasks(config),
        reading=reading_of(config.data),
        portion=asked_portion(config),
        max_length=config.model.max_length,
        template=row_template(config),
    )
    return asked, chat


VERB = Verb(
    line="show the faults and the contents of a data file",
    about="The exit code is 1 if there is an error.",
    example="data check train.jsonl --eval eval.jsonl --model smollm2_135m\ndata check --config my_run.yaml",
    add=_add,
    run=_run,
    prints=DataReport,
    runs_dir=False,
)
