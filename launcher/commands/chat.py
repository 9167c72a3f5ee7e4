"""python -m launcher chat [RUN]: talk to the trained model."""

import argparse
import sys

from launcher.after.chat import HELP, ChatAnswer, ChatSettings, chatting
from launcher.cli.parser import add_checkpoint, add_run, add_trust
from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.output import print_json, print_text


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_trust(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="one question; its answer is printed")
    parser.add_argument("--system", metavar="TEXT", help="a system prompt, as in the training data")
    parser.add_argument("--base", action="store_true", help="ask the base model")
    parser.add_argument(
        "--max-new-tokens", type=int, default=256, metavar="N", help="longest answer (default: 256)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        metavar="T",
        help="sampling temperature; 0, the default, always takes the likeliest token",
    )
    add_checkpoint(parser)


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    request = ChatSettings(
        base=options.base,
        checkpoint=options.checkpoint,
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        trust_run=options.trust_run,
    )
    prompt = _prompt(options.prompt)
    begin = [{"role": "system", "content": options.system}] if options.system else []
    with chatting(options.runs_dir.absolute(), options.run, request) as chat:
        if prompt is None:
            print_text(f"{options.run or 'the newest run'}, on {chat.device}. {HELP}")
            chat.converse(begin)
            return Exit.OK
        done = chat.ask([*begin, {"role": "user", "content": prompt}], aloud=not options.json)
    if options.json:
        result: ChatAnswer = {"prompt": prompt, **done}
        print_json(result)
    return Exit.OK


def _prompt(given: str | None) -> str | None:
    """The one question, from --prompt or stdin; None on a terminal, which starts a dialogue."""
    if given is None and sys.stdin.isatty():
        return None
    prompt = sys.stdin.read().strip() if given is None else given
    if not prompt:
        raise UsageError('there is no question: give --prompt "..." or a text on stdin')
    return prompt


VERB = Verb(
    line="talk to the trained model",
    about="On a terminal it is a dialogue; with --prompt, or a text on stdin, it prints one answer.",
    example='chat llama8b_lora --prompt "How do I stop my phone from distracting me?"',
    add=_add,
    run=_run,
    prints=ChatAnswer,
    group="model",
    terminal=True,
)
