"""python -m launcher sweep extend SWEEP key=value,...: more values of a grid, or more budget."""

from launcher.commands.sweep.options import chosen_sweep, sweep_parser
from launcher.sweep.extend import BUDGET, extend_sweep


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = sweep_parser(
        "extend",
        "More values for keys that a grid has swept: every new combination becomes a trial. Or more budget: "
        f"{', '.join(BUDGET)}; the trials of a grid that came too late for it are opened again.",
        "python -m launcher sweep extend tiny 'trainer.learning_rate=3e-4,1e-3'",
    )
    parser.add_argument("more", nargs="+", metavar="key=value", help="in Hydra's sweep syntax")
    options = parser.parse_args(arguments)
    return extend_sweep(chosen_sweep(options), options.more, as_json=options.json)
