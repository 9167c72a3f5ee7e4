"""python -m launcher plan +experiment=NAME [key=value ...] [--inspect] [--explain | --sweep]: what a launch would do."""

import argparse
from datetime import datetime

from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.launching.compose import compose
from launcher.launching.estimates import Explained, explain_dict, explain_lines
from launcher.launching.inspect_model import inspect_model
from launcher.launching.plan_text import PLAN_PRINTS, PlanRow, make_table, plan_dict, plan_text, table_rows
from launcher.launching.plan_warnings import plan_notes, print_warnings
from launcher.launching.planning import look
from launcher.output import align, print_json, print_table, print_text, say
from launcher.sweep.printed import PlannedInSweep
from launcher.sweep.together.plan_one import plan_together, together_lines


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--explain", action="store_true", help="show the formula and source of each part of the memory"
    )
    parser.add_argument(
        "--sweep", action="store_true", help="a table of every combination of comma-separated values"
    )  # fmt: skip
    parser.add_argument(
        "--inspect",
        action="store_true",
        help="count a model whose architecture the planner does not know, with torch and transformers but without its weights; "
        "it is kept for later plans and launches",
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    moment = datetime.now()
    if options.inspect and options.sweep:
        raise UsageError(
            "--inspect and --sweep cannot be combined; inspect the model first, and then plan the sweep"
        )
    if options.sweep:
        rows = table_rows(options.overrides, moment)
        print_json(rows, indent=2) if options.json else print_table(make_table(rows))
        return Exit.OK
    for one in compose(options.overrides):
        counted = [inspect_model(one.config)] if options.inspect else []
        for sentence in counted:
            say(sentence)
        looked = look(one, moment)
        if looked.note:
            say(looked.note)
        composed, run, plan = looked.composed, looked.run, looked.plan
        warnings = print_warnings(composed, plan, looked.data)
        if options.explain:
            if options.json:
                print_json(explain_dict(plan), indent=2)
            else:
                print_text(align(explain_lines(plan)))
            continue
        notes = [*counted, *([looked.note] if looked.note else []), *plan_notes(composed, plan)]
        together = plan_together(composed.config, plan)
        if options.json:
            told = plan_dict(run, plan, composed.config, warnings, notes)
            print_json({**told, "together": together}, indent=2)
        else:
            more = together_lines(together, plan)
            print_text(plan_text(run, plan, composed.config, notes, more))
    return Exit.OK


VERB = Verb(
    line="show what a launch would do: whether it fits, how long it takes, what it costs, and the alternatives",
    about="Nothing is submitted, and nothing is written except the counts of --inspect, which cache_dir keeps.",
    example="plan +experiment=llama70b_qlora resources.nodes=4 --json\n"
    "plan +experiment=llama70b_qlora --sweep resources.nodes=1,2,4,8 strategy=zero2,zero3,fsdp2\n"
    "plan +experiment=llama8b_lora model.name_or_path=./my_model --inspect",
    add=_add,
    run=_run,
    prints={"": (*PLAN_PRINTS, PlannedInSweep), "with --explain": Explained, "with --sweep": list[PlanRow]},
    group="launch",
    overrides=True,
    runs_dir=False,
)
