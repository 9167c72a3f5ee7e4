"""python -m launcher rehearse +experiment=NAME [key=value ...]: a short copy of a run, signalled, killed and requeued."""

import argparse
import hashlib
import heapq
import itertools
import json
from datetime import datetime
from pathlib import Path

from launcher.clusters.choose import make_cluster
from launcher.commands.options import make_parser
from launcher.commands.rehearsal import ASKED, Check, Rehearsed
from launcher.config import Config
from launcher.data.files import read_rows
from launcher.errors import ConfigError, Exit, UsageError
from launcher.launching.compose import Composed, compose
from launcher.launching.data_gate import data_paths
from launcher.launching.hub_gate import check_hub
from launcher.launching.planning import prepare
from launcher.launching.write import write_run
from launcher.plan import check_fits
from launcher.plan.queue import parse_time
from launcher.plan.sbatch import check_time
from launcher.run import write_text

STEPS = 100_000
"""More than a rehearsal takes: it ends by a cancel, which is one of its checks."""
_LOOKED_AT, _LEAST_ROWS = 20_000, 64


def main(arguments: list[str]) -> int:
    """The exit code: 0 where every check passed."""
    options, overrides = _parser().parse_known_args(arguments)
    if unknown := [word for word in overrides if word.startswith("-") and word != "--config-dir"]:
        raise UsageError(f"rehearse knows no option {unknown[0]}; see python -m launcher rehearse --help")
    composed = copy_of(compose(overrides), overrides, options)
    run, plan = prepare(composed, datetime.now())
    check_fits(composed.config, plan)
    check_hub(composed.config, plan)
    cluster = make_cluster(plan.cluster)
    while not write_run(run, plan, composed):
        run, plan = prepare(composed, datetime.now())
    if not options.json:
        print(f"rehearsal {run.name} on {plan.cluster}; nothing of another run is touched", flush=True)

    def tell(check: Check) -> None:
        if not options.json:
            print(check.line(), flush=True)

    checks = Rehearsed(run, plan, cluster, options.patience, tell).carry()
    passed = all(check.passed is not False for check in checks)
    if options.json:
        told = {"run": run.name, "run_dir": str(run.path), "passed": passed}
        print(json.dumps({**told, "checks": [check.to_dict() for check in checks]}))
    else:
        failed = [check.name for check in checks if check.passed is False]
        said = f"failed: {', '.join(failed)}" if failed else "all passed"
        print(f"{said}; what it wrote is in {run.path}")
    return Exit.OK if passed else Exit.FAILED


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


def copy_of(composed: list[Composed], overrides: list[str], options: argparse.Namespace) -> Composed:
    """The rehearsal of what was typed; ConfigError where nothing of it could be saved."""
    if len(composed) != 1:
        raise ConfigError("rehearse takes one run: one value for each key, and no -m")
    config = composed[0].config
    if "sharded_checkpoint" not in config.plugins:
        raise ConfigError(
            "plugin has no sharded_checkpoint, so the run saves nothing and survives nothing; add it to 'plugin=[...]'"
        )
    limit = min(check_time(config.resources.time), check_time(options.time), key=parse_time)
    changed = [
        f"name={f'rehearse-{config.name}'[:100]}", f"resources.time='{limit}'", f"trainer.max_steps={STEPS}",
        "trainer.logging_steps=1", "trainer.eval_steps=null", "trainer.sample_prompt=null", "data.eval_path=null",
        "data.check=errors", "data.sources=[]", f"data.path={_quoted(_sample(config))}", "tracker.kind=none", "dry_run=false",
        "resume=auto", "resume_weights_only=false", f"plugins.sharded_checkpoint.save_steps={options.save_every}",
        "plugins.sharded_checkpoint.keep_best=0",
        "+plugins.rehearsal._target_=launcher.plugins.rehearsal.Rehearsal", f"+plugins.rehearsal.file={ASKED}",
    ]  # fmt: skip
    formats = [source.format for source in config.data.sources]
    return compose([*overrides, *changed, *([f"data.format={formats[0]}"] if formats else [])])[0]


def _sample(config: Config) -> str:
    """The path of a small file with the longest of the first rows, which need the most memory; a hub's name stays."""
    path = data_paths(config).training[0]
    if path.startswith("hub:"):
        return path
    rows = (json.dumps(row.value, default=str) for row in read_rows(Path(path)) if row.fault is None)
    wanted = max(_LEAST_ROWS, 2 * config.batch.global_batch_size)
    longest = heapq.nlargest(wanted, itertools.islice(rows, _LOOKED_AT), key=len)
    if not longest:
        raise ConfigError(f"data.path={path} holds no row; give a file with rows")
    text = "\n".join(itertools.islice(itertools.cycle(longest), wanted)) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path(config.cache_dir).absolute() / "rehearsals"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{digest}.jsonl"
    write_text(file, text)
    return str(file)


def _quoted(path: str) -> str:
    """The path as a quoted value of Hydra's grammar. Source: Hydra's manual, "Extended override syntax", quoted values."""
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
