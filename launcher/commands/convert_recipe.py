"""python -m launcher convert-recipe FILE: another tool's recipe as a configuration of this launcher."""

import argparse
from pathlib import Path
from typing import TypedDict

from launcher.cli.parser import positive
from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.output import align, print_json, print_text


class RecipeKey(TypedDict):
    """One key of the recipe, and what became of it."""

    key: str
    """The key in the recipe; for one of a file beside it, after the name of the file."""
    fate: str
    """carried, same, lost, absent or unknown: docs/howto/convert_recipe.md."""
    ours: str
    """The key of this launcher that carries it; empty for none."""
    why: str
    """The reason where it is not carried; empty for one that is."""


class ConvertedRecipe(TypedDict):
    """A recipe that was written as a configuration."""

    file: str
    """The file that was written."""
    tool: str
    """The tool whose recipe it was."""
    method: str
    """The training method."""
    counts: dict[str, int]
    """Fate -> number of keys."""
    keys: list[RecipeKey]
    """All keys of the recipe."""
    stand_ins: dict[str, str]
    """Keys of this launcher whose values nobody gave -> what to give there before the file can be used."""
    next: str
    """The command that shows whether it fits."""


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the recipe, a YAML file")
    parser.add_argument(
        "-o", dest="out", type=Path, default=Path("my_run.yaml"), metavar="FILE", help="default: my_run.yaml"
    )
    parser.add_argument(
        "--tool", metavar="NAME", help="the tool that the recipe is of (default: recognised by its keys)"
    )
    parser.add_argument(
        "--method", metavar="NAME", help="sft, dpo, ... (default: what the recipe, or its path, says)"
    )
    parser.add_argument(
        "--gpus", type=positive, metavar="N", help="GPUs per node, for the batch size (default: 1)"
    )
    parser.add_argument("--nodes", type=positive, metavar="N", help="nodes (default: 1)")
    parser.add_argument(
        "--accelerate", type=Path, metavar="FILE", help="the configuration of accelerate that goes with it"
    )
    parser.add_argument(
        "--deepspeed", type=Path, metavar="FILE", help="the JSON of DeepSpeed that goes with it"
    )


def _run(options: argparse.Namespace) -> int:
    """The exit code. Nothing is overwritten."""
    from launcher.launching.own_file.write import write_new
    from launcher.recipes.base import Fate
    from launcher.recipes.convert import ConversionRequest, convert, template_path

    if options.out.exists():
        raise UsageError(f"{options.out} exists and is not overwritten; give another name with -o")
    asked = ConversionRequest(
        file=options.file, tool=options.tool, method=options.method, gpus=options.gpus, nodes=options.nodes,
        accelerate=options.accelerate, deepspeed=options.deepspeed,
    )  # fmt: skip
    converted = convert(asked, options.out)
    if converted.template is not None:
        write_new(template_path(options.out), converted.template)
    write_new(options.out, converted.text)
    following = f"python -m launcher plan --config {options.out}"
    counts = {fate.name: len(converted.of(fate)) for fate in Fate}
    if options.json:
        result: ConvertedRecipe = {
            "file": str(options.out),
            "tool": converted.tool.title,
            "method": converted.method,
            "counts": counts,
            "keys": [
                {"key": one.key, "fate": one.fate.name, "ours": one.ours, "why": one.why}
                for one in converted.outcomes
            ],
            "stand_ins": dict(converted.stand_ins),
            "next": following,
        }
        print_json(result)
        return Exit.OK
    print_text(f"{options.out}: {converted.method}, from {options.file}, a recipe of {converted.tool.title}")
    print_text(f"{counts['carried']} keys carried over, {counts['same']} need no key here")
    for fate in (Fate.lost, Fate.absent, Fate.unknown):
        if found := converted.of(fate):
            print_text(f"\n{len(found)} not carried over: {fate.value}")
            print_text(align([(f"  {one.key}", one.why) for one in found]))
    if converted.stand_ins:
        print_text("\nset these values before the launch; the recipe does not give them:")
        print_text(align([(f"  {key}", why) for key, why in converted.stand_ins.items()]))
    print_text(f"\nnext  {following}")
    return Exit.OK


VERB = Verb(
    line="turn a recipe of axolotl, LLaMA-Factory, trl or the alignment-handbook into a configuration file",
    about="It lists each key that it could not carry over, and why. The batch size of the other tools depends on the number of "
    "GPUs: give it with --gpus and --nodes, or with accelerate's configuration. It never overwrites a file.",
    example="convert-recipe qwen3_lora_sft.yaml --gpus 8 -o my_run.yaml\n"
    "convert-recipe recipes/zephyr-7b-beta/dpo/config_full.yaml --accelerate recipes/accelerate_configs/zero3.yaml",
    add=_add,
    run=_run,
    group="launch",
    runs_dir=False,
    prints=ConvertedRecipe,
)
