"""python -m launcher.after.eval_job RUN_DIR STEP: the job of eval_job, which evaluates one checkpoint on tasks.

It writes the result beside its script, a line into metrics.jsonl and an event. With --failed CODE it only notes that it ended
with that exit code, if nothing was written.
"""

import argparse
import fcntl
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from launcher.after.tasks import TaskSettings, evaluate_tasks, parse_tasks, score_name
from launcher.checkpoint.folders import Broken, look
from launcher.checkpoint.manifest import folder_name
from launcher.config import read_config
from launcher.errors import Exit, LauncherError, RunError
from launcher.output import say
from launcher.run import RunDir, now
from launcher.run.evaluations import Settled, evaluation_folder, read_asked, read_settled, write_settled
from launcher.run.events.launching import EvalJobFailed
from launcher.run.metrics import TASKS, Scored


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m launcher.after.eval_job")
    parser.add_argument("run", type=Path)
    parser.add_argument("step", type=int)
    parser.add_argument("--failed", type=int)
    given = parser.parse_args(argv)
    run = RunDir(given.run.resolve())
    folder = evaluation_folder(run, given.step)
    with (folder.path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the script can be started a second time by hand
        except OSError:
            say(f"{folder.path}: this file system has no locks; do not start this script twice at once")
        saved, before = read_asked(folder), read_settled(run, given.step)
        if before is not None and before.saved == saved:
            return Exit.OK if before.failed is None else Exit.FAILED
        if saved is None:
            raise RunError(
                f"{folder.path} is not an evaluation of a run; python -m launcher evaluate evaluates a checkpoint"
            )
        if given.failed is not None:
            return _fail(run, given.step, saved, f"its process ended with exit code {given.failed}")
        return _evaluate(run, given.step, saved)


def _evaluate(run: RunDir, step: int, saved: str) -> int:
    wanted = read_config(str(run.config)).eval_job
    try:
        found = look(run.checkpoints / folder_name(step))
        if isinstance(found, Broken) or found.manifest.time != saved:
            raise RunError(f"the checkpoint of step {step} is no longer there")
        scores = evaluate_tasks(
            run,
            TaskSettings(
                tasks=parse_tasks(",".join(wanted.tasks)), checkpoint=str(step), base=False, chat=wanted.chat,
                few_shot=wanted.few_shot, max_rows=wanted.max_rows,
            ),
        )["scores"]  # fmt: skip
    except LauncherError as error:
        return _fail(run, step, saved, str(error))
    except Exception as error:  # a task's own code can fail in any way
        traceback.print_exc()
        return _fail(run, step, saved, f"{type(error).__name__}: {error}")
    named = {score_name(one): one for one in scores}
    settled = Settled(
        saved=saved,
        scores={name: one.tuned for name, one in named.items()},
        higher_is_better={
            name: one.higher_is_better for name, one in named.items() if one.higher_is_better is not None
        },
    )
    write_settled(run, step, settled)
    run.log(
        Scored(
            time=now(), step=step, more={f"{TASKS}{name}": value for name, value in settled.scores.items()}
        )
    )
    if wanted.metric is not None and wanted.metric not in settled.scores:
        reason = f"eval_job.metric={wanted.metric} is not one of its figures: {', '.join(settled.scores)}"
        run.note(EvalJobFailed(attempt=run.attempts(), step=step, reason=reason))
    return Exit.OK


def _fail(run: RunDir, step: int, saved: str, reason: str) -> int:
    write_settled(run, step, Settled(saved=saved, scores={}, higher_is_better={}, failed=reason))
    run.note(EvalJobFailed(attempt=run.attempts(), step=step, reason=reason))
    say(reason)
    return Exit.FAILED


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LauncherError as error:
        say(str(error))
        sys.exit(error.exit_code)
