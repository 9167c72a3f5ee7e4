"""The arms of tests/benchmarks/goodput.py: how each is submitted, and what it says of itself.

Every peer has what a careful user would give it: saves at Young's interval for the stall of the Trainer's save, a collective
time-out of DDP_TIMEOUT_S (the default of 30 minutes would let one hang end the arm), srun --kill-on-bad-exit. `requeue` and
`torchrun` start their ranks again in a loop round srun and queue themselves again on TERM; submitit's job is submitted again
by the process that waits for it. Ours has one spare node and steps that count as hanging after SILENCE_S.
"""

import json
import shlex
import subprocess
import sys
from abc import ABC, abstractmethod
from datetime import datetime
from pathlib import Path
from typing import Any

from launcher.run import RunDir, read_lines
from tests.benchmarks.goodput_faults import MEAN_S
from tests.support.lab import Lab
from tests.support.runs import command, environment

ROOT = Path(__file__).parent.parent.parent
NODES = 2
PEER_SAVE_STEPS = 14
"""Steps of 0.125 s. The Trainer's save was seen to take 0.026 s at first and 0.040 s in the middle of ten minutes; Young's
sqrt(2 * stall * MEAN_S) is then 14 to 17 steps, and the optimum is flat."""
DDP_TIMEOUT_S = 20
"""The ranks' starts are up to some seconds apart on busy cores, and this holds for the first collective too."""
SILENCE_S = 5
JOB = "goodput"
_BATCH = """#!/bin/bash
#SBATCH --job-name={job} --nodes={nodes} --ntasks-per-node=1 --requeue --open-mode=append --output={folder}/slurm.log
#SBATCH --time={minutes} --chdir={folder}
note() {{ echo "{{\\"time\\": $(date +%s.%N), \\"what\\": \\"$1\\", \\"rank\\": -1}}" >> journal.jsonl; }}
trap 'scontrol requeue "$SLURM_JOB_ID"; exit 0' TERM
export MASTER_PORT=29500 MASTER_ADDR
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
note job
while :; do
    srun --kill-on-bad-exit=1 bash -c {ranks} &
    wait $! && break
    note ended
    sleep 1
done
"""


class Arm(ABC):
    """One way to carry the training through the faults."""

    name = ""
    resubmits = False
    """Whether its user's own process waits for the job, and submits another when it has failed."""

    def __init__(self, lab: Lab, folder: Path, minutes: float) -> None:
        self.lab, self.folder, self.minutes = lab, folder, minutes
        self.journal = folder / "journal.jsonl"

    @abstractmethod
    def submit(self) -> None:
        """Queues it."""

    @abstractmethod
    def job(self) -> str | None:
        """Its job, None where it has none in the queue."""

    def committed(self) -> list[tuple[float, int]]:
        """When which step was safe."""
        return [(line["time"], line["step"]) for line in read_lines(self.journal) if line["what"] == "saved"]

    def ends(self) -> list[tuple[float, float]]:
        """When it had ended its ranks, and the seconds that this took, as far as it says."""
        return [(line["time"], 0.0) for line in read_lines(self.journal) if line["what"] == "ended"]

    def cancel(self) -> None:
        """Removes it from the queue."""
        self.lab.run("scancel", "--user=root", cwd=self.folder, check=False)

    @property
    def limit(self) -> int:
        """Minutes of the job."""
        return int(self.minutes) + 60

    def _queued(self) -> str | None:
        done = self.lab.run("squeue", "-h", f"--name={JOB}", "-o", "%i", cwd=self.folder, check=False)
        return done.stdout.split()[0] if done.stdout.split() else None


class Ours(Arm):
    """python -m launcher."""

    name = "ours"

    def overrides(self) -> list[str]:
        """What a user of such a place would set."""
        a_day = 1000 * 86_400 / (NODES * MEAN_S)
        return [
            f"runs_dir={self.folder}/runs", f"cache_dir={self.folder}/cache", f"resources.nodes={NODES}", "data.eval_path=null",
            "batch.global_batch_size=2", "batch.micro_batch_size=1", f"resources.time={self.limit}", "resources.spares=1",
            f"resources.hang_timeout_s={SILENCE_S}", f"trainer.max_steps={round(self.minutes * 60 * 20)}",
            "plugins.sharded_checkpoint.save_steps=auto", f"cluster.failures_per_1000_node_days={a_day:.0f}",
            "+plugins.pace._target_=tests.benchmarks.goodput_rank.Paced", f"+plugins.pace.folder={self.folder}",
        ]  # fmt: skip

    def submit(self) -> None:
        """As a person types it."""
        self.run = self.lab.launch(self.folder, *self.overrides())

    def job(self) -> str | None:
        """The newest job: a run can continue in another job."""
        return self.lab.job(self.run)

    def committed(self) -> list[tuple[float, int]]:
        """Read from its own events: a save runs in parallel with training."""
        return [(_time(event), event["step"]) for event in self.run.events("saved")]

    def ends(self) -> list[tuple[float, float]]:
        """By its own events."""
        return [(_time(event), event["stop_s"]) for event in self.run.events("ended")]


class Peer(Arm):
    """One that runs the peers' script."""

    def prepare(self) -> None:
        """The same model, data and arguments as ours, from a dry run of it."""
        path = self.folder / "settings.json"
        if path.exists():
            return
        overrides = Ours(self.lab, self.folder, self.minutes).overrides()
        planned = subprocess.run(
            command("+experiment=tiny", "cluster=slurm", "resources.device=cpu", "dry_run=true", "--json", *overrides),
            cwd=self.folder, env=environment(), check=True, capture_output=True,
            text=True,
        )  # fmt: skip
        run = RunDir(Path(json.loads(planned.stdout.splitlines()[0])["run_dir"]))
        module = "tests.benchmarks.goodput_rank"
        subprocess.run(
            [sys.executable, "-m", module, "prepare", str(self.folder), str(run.path)],
            cwd=ROOT, env=environment(), check=True, capture_output=True,
        )  # fmt: skip
        settings = json.loads(path.read_text())
        settings["arguments"] |= {
            "save_strategy": "steps",
            "save_steps": PEER_SAVE_STEPS,
            "save_total_limit": 2,
            "ddp_backend": "gloo",
        }
        path.write_text(json.dumps({**settings, "timeout_s": DDP_TIMEOUT_S}))

    def job(self) -> str | None:
        """By its name."""
        return self._queued()


class Looped(Peer):
    """sbatch --requeue with a loop round srun."""

    def submit(self) -> None:
        """sbatch."""
        self.prepare()
        script = self.folder / "job.sbatch"
        script.write_text(
            _BATCH.format(
                job=JOB, nodes=NODES, folder=self.folder, minutes=self.limit, ranks=shlex.quote(self.ranks())
            )
        )
        self.lab.run("sbatch", str(script), cwd=self.folder)

    @abstractmethod
    def ranks(self) -> str:
        """The shell's words that start a node's ranks."""

    def _python(self) -> str:
        return shlex.quote(sys.executable)


class Requeue(Looped):
    """Plain sbatch --requeue; srun starts the ranks."""

    name = "requeue"

    def ranks(self) -> str:
        """The rendezvous by the variables of Slurm."""
        variables = f"RANK=$SLURM_PROCID WORLD_SIZE={NODES} LOCAL_RANK=0 LOCAL_WORLD_SIZE=1"
        return f"{variables} exec {self._python()} -m tests.benchmarks.goodput_rank train {self.folder}"


class Torchrun(Looped):
    """torchrun --max-restarts on every node."""

    name = "torchrun"

    def ranks(self) -> str:
        """At a restart it waits 30 s for a stopped worker to end by TERM; torch 2.13 passes --shutdown-timeout elsewhere."""
        options = (
            f"--nnodes={NODES} --nproc-per-node=1 --max-restarts=1000 --rdzv-backend=c10d "
            "--rdzv-id=$SLURM_JOB_ID --rdzv-endpoint=$MASTER_ADDR:$MASTER_PORT"
        )
        script = f"-m tests.benchmarks.goodput_rank train {self.folder}"
        return f"exec {self._python()} -m torch.distributed.run {options} {script}"


class Submitit(Peer):
    """submitit's executor and its `checkpoint` hook."""

    name = "submitit"

    resubmits = True

    def submit(self) -> None:
        """From the login node, by a Python process."""
        self.prepare()

        code = (
            "import sys, submitit; from tests.benchmarks.goodput_rank import Peer; folder, limit = sys.argv[1:]; "
            "executor = submitit.AutoExecutor(folder=f'{folder}/submitit', cluster='slurm'); "
            f"executor.update_parameters(name='{JOB}', nodes={NODES}, tasks_per_node=1, timeout_min=int(limit), "
            "slurm_srun_args=['--kill-on-bad-exit=1'], slurm_additional_parameters={'requeue': True}); "
            "executor.submit(Peer(folder))"
        )
        words = [sys.executable, "-c", code, str(self.folder), str(self.limit)]
        self.lab.run(*words, cwd=self.folder)


ARMS: dict[str, type[Arm]] = {arm.name: arm for arm in (Ours, Requeue, Submitit, Torchrun)}


def _time(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()
