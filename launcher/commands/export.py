"""python -m launcher export [RUN]: writes the adapter or a merged model into a folder, after a check."""

import argparse
from pathlib import Path

from launcher.after.export import DTYPES, describe, export
from launcher.after.gguf import DIRECT, describe_gguf, export_gguf
from launcher.cli.parser import add_checkpoint, add_run, add_trust, trusted_run
from launcher.cli.verb import Verb
from launcher.errors import Exit, UsageError
from launcher.output import print_json, print_text, warn
from launcher.protocol.work.results import ExportedGguf, ExportedModel


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_trust(parser)
    parser.add_argument("--merged", action="store_true", help="the adapter and its base as one model")
    parser.add_argument("--dtype", choices=DTYPES, help="number format of the weights (default: as trained)")
    parser.add_argument("--to", type=Path, metavar="DIR", help="default: export/ in the run dir")
    add_checkpoint(parser)
    parser.add_argument(
        "--gguf", nargs="?", const=DIRECT[0], metavar="TYPE",
        help=f"as a GGUF file, by llama.cpp's converter: {', '.join(DIRECT)} or, with llama-quantize, such as q4_k_m "
        f"(default: {DIRECT[0]})",
    )  # fmt: skip
    parser.add_argument(
        "--converter",
        type=Path,
        metavar="PATH",
        help="llama.cpp's folder, or its convert_hf_to_gguf.py (default: on PATH)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing export")


def _run(options: argparse.Namespace) -> int:
    """The exit code; 3 if the check of the export failed. The export is kept nevertheless."""
    if options.gguf is not None:
        return _run_gguf(options)
    if options.converter:
        raise UsageError(f"--converter {options.converter} is for --gguf; give --gguf too")
    result = export(
        trusted_run(options), merged=options.merged, dtype=options.dtype, to=options.to, checkpoint=options.checkpoint,
        force=options.force,
    )  # fmt: skip
    if result.warning:
        warn(result.warning)
    if options.json:
        print_json(result)
    else:
        print_text(describe(result))
    return Exit.FAILED if result.why else Exit.OK


def _run_gguf(options: argparse.Namespace) -> int:
    if options.dtype:
        raise UsageError(
            f"--dtype {options.dtype} and --gguf {options.gguf} both name a number format; leave --dtype out"
        )
    result = export_gguf(
        trusted_run(options), type=options.gguf.lower(), converter=options.converter, to=options.to,
        checkpoint=options.checkpoint, force=options.force,
    )  # fmt: skip
    if result.warning:
        warn(result.warning)
    print_json(result) if options.json else print_text(describe_gguf(result))
    return Exit.OK


VERB = Verb(
    line="write a run's adapter or model with tokenizer, chat template and model card",
    about="The result is loaded back and compared before the command succeeds.",
    example="export llama8b_lora --merged --dtype bf16\nexport llama8b_lora --gguf q8_0 --converter llama.cpp",
    add=_add,
    run=_run,
    prints={"": ExportedModel, "with --gguf": ExportedGguf},
    group="model",
)
