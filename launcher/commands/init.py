"""python -m launcher init: writes a commented configuration of one's own, from flags or a few questions."""

import argparse
import sys
from pathlib import Path
from shlex import quote
from typing import TypedDict

from launcher.cli.parser import positive
from launcher.cli.reading import add_reading, reading_of_options
from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.output import print_json, print_text

_TIME = "04:00:00"


class Begun(TypedDict):
    """A configuration file that was written."""

    file: str
    """Its path, as given."""
    method: str
    """The training method that it chooses."""
    data: str
    """What was found in the data, in words."""
    next: str
    """The command to type next."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="a name from conf/model, a folder or a hub id")
    parser.add_argument("--data", metavar="FILE", help="the training data, a file or hub:NAME")
    parser.add_argument(
        "--method",
        metavar="NAME",
        help="sft, dpo, ...; default: the method for which the rows of the data are made",
    )
    parser.add_argument(
        "--reward",
        metavar="MODULE.FUNCTION",
        help="for a method that generates answers: the function that scores them",
    )
    parser.add_argument(
        "--teacher", metavar="MODEL", help="for a distillation: the model whose predictions are learnt"
    )
    parser.add_argument("--gpus", type=positive, metavar="N", help="GPUs per node (default: 1)")
    parser.add_argument("--nodes", type=positive, metavar="N", help="nodes (default: 1)")
    parser.add_argument("--time", metavar="LIMIT", help=f"time limit of the job (default: {_TIME})")
    add_reading(parser)
    parser.add_argument(
        "-o", dest="out", type=Path, default=Path("my_run.yaml"), metavar="FILE", help="default: my_run.yaml"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code. Nothing is overwritten."""
    from launcher.launching.own_file.begin import Choices, begin
    from launcher.launching.own_file.write import write_new

    if options.out.exists():
        raise UsageError(f"{options.out} exists and is not overwritten; give another name with -o")
    asks = sys.stdin.isatty() and sys.stdout.isatty() and not options.json
    missing = [flag for flag in ("model", "data") if getattr(options, flag) is None]
    if missing and not asks:
        flags = " and ".join(f"--{flag}" for flag in missing)
        raise UsageError(f"init needs {flags}; on a terminal it asks for them")
    if missing:
        _ask(options)
    choices = Choices(
        model=options.model, data=options.data, method=options.method, reward=options.reward, teacher=options.teacher,
        gpus=options.gpus or 1, nodes=options.nodes or 1, time=options.time or _TIME, reading=reading_of_options(options),
    )  # fmt: skip
    first = begin(choices, str(options.out))
    write_new(options.out, first.text)
    following = f"python -m launcher plan --config {quote(str(options.out))}"
    if options.json:
        result: Begun = {
            "file": str(options.out),
            "method": first.method,
            "data": first.seen,
            "next": following,
        }
        print_json(result)
    else:
        print_text(f"{options.out}: {first.method} on {options.data} ({first.seen})\nnext  {following}")
    return Exit.OK


def _ask(options: argparse.Namespace) -> None:
    """Fills what no flag has given from answers on the terminal; an empty answer takes the default."""
    options.data = options.data or _answer("Data file (or hub:NAME)")
    options.model = options.model or _answer(
        "Model (a name of conf/model, a folder or a hub id)", "llama3_1_8b"
    )
    options.method = options.method or _answer("Method (empty: by the data)", "") or None
    options.gpus = options.gpus or _number("GPUs per node")
    options.nodes = options.nodes or _number("Nodes")
    options.time = options.time or _answer("Time limit", _TIME)


def _answer(question: str, default: str | None = None) -> str:
    while True:
        try:
            text = input(f"{question}{f' [{default}]' if default else ''}: ").strip()
        except EOFError:
            raise UsageError("the input ended before the last answer; give --model and --data") from None
        if text or default is not None:
            return text or default or ""


def _number(question: str) -> int:
    while True:
        text = _answer(question, "1")
        if text.isdigit() and int(text) > 0:
            return int(text)
        print_text("type a whole number of at least 1")


VERB = Verb(
    line="write a configuration file of your own, from your data and model",
    about="It looks at the data to choose the method, the length and what is held out. It asks on a terminal for what no flag "
    "gives, and never overwrites a file.",
    example="init --model llama3_1_8b --data train.jsonl --gpus 4 --time 08:00:00 -o my_run.yaml",
    add=_add,
    run=_run,
    prints=Begun,
    group="launch",
    runs_dir=False,
)
