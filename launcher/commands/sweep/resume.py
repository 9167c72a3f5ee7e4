"""python -m launcher sweep resume [SWEEP]: go on with trials that were not begun, were cancelled, or failed."""

from launcher.commands.sweep.options import chosen_sweep, sweep_parser
from launcher.sweep.resume import resume_sweep


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = sweep_parser(
        "resume",
        "Go on with the trials of a sweep that were not begun, were cancelled, failed, or whose worker is gone: each from its "
        "newest checkpoint. A sampler's workers go on until the budget is spent.",
        "python -m launcher sweep resume tiny --only-failed",
    )
    parser.add_argument("--only-failed", action="store_true", help="only trials that failed")
    options = parser.parse_args(arguments)
    return resume_sweep(chosen_sweep(options), only_failed=options.only_failed, as_json=options.json)
