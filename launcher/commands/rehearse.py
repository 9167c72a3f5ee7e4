"""python -m launcher rehearse +experiment=NAME [key=value ...]: a short copy of a run, signalled, killed and requeued."""

import argparse
import json

from launcher.commands.options import make_parser
from launcher.errors import Exit, UsageError
from launcher.rehearsal.copy import Settings
from launcher.rehearsal.rehearse import rehearse


def main(arguments: list[str]) -> int:
    """The exit code: 0 where every check passed."""
    options, overrides = _parser().parse_known_args(arguments)
    if unknown := [word for word in overrides if word.startswith("-") and word != "--config-dir"]:
        raise UsageError(f"rehearse knows no option {unknown[0]}; see python -m launcher rehearse --help")
    settings = Settings(save_every=options.save_every, time=options.time, patience_s=options.patience)

    def say(text: str) -> None:
        if not options.json:
            print(text, flush=True)

    done = rehearse(
        overrides, settings,
        lambda run, plan: say(f"rehearsal {run.name} on {plan.cluster}; nothing of another run is touched"),
        lambda check: say(check.line()),
    )  # fmt: skip
    if options.json:
        told = {"run": done.run.name, "run_dir": str(done.run.path), "passed": not done.failed}
        print(json.dumps({**told, "checks": [check.to_dict() for check in done.checks]}))
    outcome = f"failed: {', '.join(done.failed)}" if done.failed else "all passed"
    say(f"{outcome}; what it wrote is in {done.run.path}")
    return Exit.FAILED if done.failed else Exit.OK


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "rehearse",
        "Try on this place whether a run survives: a short copy of it, with the same model, strategy and nodes, has a rank "
        "killed, is told that its time is up, is requeued and cancelled. Exit code 0: it went on each time from what it had "
        "saved. Its run dir is its own (rehearse-NAME). Where there is no queue, what needs one is left out.",
        "python -m launcher rehearse +experiment=llama8b_lora resources.nodes=2",
    )
    parser.add_argument(
        "--save-every", type=int, default=5, metavar="STEPS", help="save so often (default: 5)"
    )
    parser.add_argument(
        "--time", default="00:30:00", help="time limit of its job, where the run's is not shorter (default: 00:30:00)"
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=900.0, metavar="S",
        help="a check fails after so many seconds outside the queue without what it waits for (default: 900)",
    )  # fmt: skip
    return parser
