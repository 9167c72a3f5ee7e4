"""python -m launcher calibrate [RUN]: a run's measurements as the values that the cluster file should have."""

import argparse
import dataclasses
from pathlib import Path
from typing import TypedDict

from launcher.cli.parser import add_run, chosen_run
from launcher.cli.verb import Verb
from launcher.clusters.cluster_file import write_values
from launcher.errors import Exit, RunError
from launcher.output import align, print_json, print_text
from launcher.plan.compute_time import PASS_S, step_flops
from launcher.plan.fit import make_load
from launcher.plan.gpu import gpu_of
from launcher.plan.time import FOUR_BIT_SHARE
from launcher.plugins.decide import look_at_run, read_run
from launcher.run import RunDir
from launcher.run.course import Course
from launcher.run.events.ranks import Measured
from launcher.run.history import read_history
from launcher.run.long_course import LongCourse
from launcher.run.owner import owner_of_run
from launcher.units import significant


class Calibrated(TypedDict):
    """A run's measurements as values of the cluster file."""

    run: str
    """name/date_time."""
    cluster: dict[str, float]
    """Keys and values for the cluster file; empty for a run on CPUs."""
    step_s: float
    """Median seconds of a step, of the slowest rank."""
    achieved_tflops: float
    """TFLOP/s of a rank over a whole step."""
    tokens_of_a_sequence: float
    """Average tokens of a trained sequence."""
    link_gb_s: float | None
    """GB/s (10^9 bytes) that a rank sends in an all-reduce; null for one rank."""
    peak_gib: float | None
    """Peak GiB of tensors on the fullest GPU; null on CPUs."""


class _Written(TypedDict):
    difference: str
    """What --write has changed in the file, as a unified diff; empty if it had all values."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--write", type=Path, metavar="FILE",
        help="change these values in your cluster file, or create it; comments are kept, and the difference is shown",
    )  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    """The exit code."""
    run = chosen_run(options)
    found = calibrate(run)
    difference = ""
    if options.write:
        if not found["cluster"]:
            raise RunError(
                f"{run.name} did not run on GPUs, so none of its measurements belongs in a cluster file"
            )
        kind = str(run.read_json(run.plan)["cluster"])
        difference = write_values(options.write, found["cluster"], kind)
    if options.json:
        print_json({**found, "difference": difference} if options.write else found)
        return Exit.OK
    if options.write:
        print_text(difference or f"{options.write} already has all of these values")
        return Exit.OK
    cluster = [(f"{key}:", f"{value:g}") for key, value in found["cluster"].items()]
    print_text(f"# measured by {run.name}; put this into your cluster file")
    print_text(align(cluster) if cluster else "# no cluster value was measured: the run did not use GPUs")
    print_text(
        f"# achieved {found['achieved_tflops']:.4g} TFLOP/s per rank, {found['step_s']:.4g} s per step"
    )
    return Exit.OK


def calibrate(run: RunDir) -> Calibrated:
    """`cluster` holds keys and values for the cluster file; the other keys are the figures that they are derived from.

    RunError if the run has measured nothing, or the formulas do not apply to it.
    """
    history = read_history(run)
    measured = history.newest(Measured)
    if measured is None:
        raise RunError(f"{run.name} has measured nothing yet: it does so after 10 steps and at its end")
    decided = look_at_run(run) if owner_of_run(run) else read_run(run)
    plan, config = decided.plan, decided.config
    load = make_load(config, dataclasses.replace(plan, device="cuda"))
    if load is None:
        raise RunError(
            f"{run.name}: the plan has no time estimate for this model or optimizer, so nothing can be compared"
        )
    length = min(_tokens_of_a_sequence(history.course) or load.length, load.length)
    flops = step_flops(load, length) * load.sequences * length * load.accumulation
    launching = PASS_S * load.accumulation * load.shape.num_hidden_layers if plan.device == "cuda" else 0.0
    computing_s = max(measured.step_s - launching, 1e-9)
    four_bit = load.adapter is not None and load.adapter.four_bit
    peak = gpu_of(config.cluster).tflops
    share = flops / computing_s / (peak * 1e12 * (FOUR_BIT_SHARE if four_bit else 1))
    cluster: dict[str, float] = {}
    if plan.device == "cuda":
        cluster = {
            "gpu_tflops": peak,
            "achieved_share": significant(share),
            **({"context_gib": measured.context_gib} if measured.context_gib is not None else {}),
            **_fragmentation(measured),
        }
        if measured.link_gb_s:
            inside = plan.topology.nodes == 1
            cluster["link_gb_s" if inside else "network_gb_s"] = measured.link_gb_s
    return {
        "run": run.name,
        "cluster": cluster,
        "step_s": measured.step_s,
        "achieved_tflops": significant(flops / measured.step_s / 1e12),
        "tokens_of_a_sequence": round(length, 1),
        "link_gb_s": measured.link_gb_s,
        "peak_gib": measured.peak_gib,
    }


def _fragmentation(measured: Measured) -> dict[str, float]:
    """The share that the allocator held beside the tensors at their peak, on the fullest GPUs; empty if it was not measured."""
    if not measured.peak_gib or measured.reserved_gib is None:
        return {}
    return {"fragmentation": significant(max(measured.reserved_gib / measured.peak_gib - 1, 0.0))}


def _tokens_of_a_sequence(course: Course | LongCourse) -> int | None:
    """Average tokens per trained sequence, by the newest logged step."""
    last = course.last
    if last is None or not last.get("tokens") or not last.get("samples"):
        return None
    return max(1, round(last.get("tokens") / last.get("samples")))


VERB = Verb(
    line="show the cluster file's values as a run has measured them",
    example="calibrate llama8b_lora",
    add=_add,
    run=_run,
    prints={"": Calibrated, "with --write": (Calibrated, _Written)},
    group="runs",
)
