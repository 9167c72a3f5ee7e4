"""python -m launcher chat [RUN]: talk to the trained model."""

import contextlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from launcher.commands.export import chosen_checkpoint
from launcher.commands.options import add_run, chosen_run, make_parser
from launcher.errors import Exit, UsageError
from launcher.launching.worker import Worker, showing, worker

_HELP = "Ctrl-D ends, Ctrl-C ends an answer, /new begins a new chat"


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = make_parser(
        "chat",
        "Talk to the trained model: on a terminal in turns; with --prompt, or a text on stdin, one answer.",
        'python -m launcher chat llama8b_lora --prompt "How do I stop my phone from distracting me?"',
    )
    add_run(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="one question; its answer is printed")
    parser.add_argument("--system", metavar="TEXT", help="a system prompt, as in the training data")
    parser.add_argument("--base", action="store_true", help="ask the model that was trained from")
    parser.add_argument(
        "--max-new-tokens", type=int, default=256, metavar="N", help="longest answer (default: 256)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        metavar="T",
        help="0, the default: always the likeliest token",
    )
    parser.add_argument(
        "--checkpoint", metavar="STEP", help="a step, or newest, in the place of the finished model"
    )
    options = parser.parse_args(arguments)
    if options.max_new_tokens < 1:
        raise UsageError(f"--max-new-tokens {options.max_new_tokens} must be at least 1")
    if not 0 <= options.temperature <= 5:
        raise UsageError(f"--temperature {options.temperature:g} must be from 0 to 5")
    if options.base and options.checkpoint:
        raise UsageError("--base and --checkpoint are two models; give one of them")
    one_shot = options.prompt is not None or not sys.stdin.isatty()
    prompt = (
        options.prompt
        if options.prompt is not None
        else ""
        if sys.stdin.isatty()
        else sys.stdin.read().strip()
    )
    if one_shot and not prompt:
        raise UsageError('there is no question: give --prompt "..." or a text on stdin')
    with worker(_request(options)) as work:
        with showing() as show:
            ready = next(reply for reply in _shown(work, show) if "ready" in reply)
        begin = [{"role": "system", "content": options.system}] if options.system else []
        if one_shot:
            _once(work, [*begin, {"role": "user", "content": prompt}], as_json=options.json)
        else:
            print(f"{options.run or 'the newest run'}, on {ready['ready']}. {_HELP}")
            _converse(work, begin)
    return Exit.OK


def _request(options: Any) -> dict[str, Any]:
    folder = exported(options.run)
    request: dict[str, Any] = {
        "verb": "chat", "run_dir": "", "folder": str(folder) if folder else None, "checkpoint": None, "base": options.base,
        "max_new_tokens": options.max_new_tokens, "temperature": options.temperature,
    }  # fmt: skip
    if folder is None:
        run = chosen_run(options)
        request["run_dir"] = str(run.path)
        if not options.base and (checkpoint := chosen_checkpoint(run, options.checkpoint)):
            request["checkpoint"] = str(checkpoint)
    elif options.base or options.checkpoint:
        raise UsageError(f"{folder} is an export; --base and --checkpoint need a run")
    return request


def exported(name: str | None) -> Path | None:
    """The folder that was named where it holds a model and is no run."""
    folder = Path(name).absolute() if name else None
    if folder and any((folder / file).is_file() for file in ("config.json", "adapter_config.json")):
        return folder
    return None


def _shown(work: Worker, show: Any) -> Any:
    for reply in work.replies():
        if "progress" in reply:
            show(reply["progress"])
        yield reply


def _once(work: Worker, messages: list[dict[str, str]], *, as_json: bool) -> None:
    done = _ask(work, messages, aloud=not as_json)
    if as_json:
        print(json.dumps({"prompt": messages[-1]["content"], **done}, ensure_ascii=False))


def _converse(work: Worker, begin: list[dict[str, str]]) -> None:
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # lines can then be edited
    messages = list(begin)
    while True:
        try:
            said = input("you> ").strip()
        except EOFError:
            print()
            return
        if said == "/new":
            messages = list(begin)
        elif said:
            messages.append({"role": "user", "content": said})
            done = _ask(work, messages, aloud=True)
            messages.append({"role": "assistant", "content": done["answer"].strip()})


def _ask(work: Worker, messages: list[dict[str, str]], *, aloud: bool) -> dict[str, Any]:
    """The answer, with its tokens and seconds; printed while it comes. Ctrl-C ends it early."""
    work.send({"messages": messages})
    while True:
        try:
            reply = next(work.replies())  # anew each time: Ctrl-C ends a generator
            if "done" in reply:
                if aloud:
                    print(flush=True)
                return reply["done"]
            if aloud and "text" in reply:
                print(reply["text"], end="", flush=True)
        except KeyboardInterrupt:
            work.interrupt()
