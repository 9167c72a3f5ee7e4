"""Changes of what is planned and decided, each made in a copy of the tree; their figures stand in CONTRIBUTING.md."""

import json
import sys
from pathlib import Path

import pytest

from tests.extending.tree import Tree, check_count
from tests.support.runs import Finished

LORA_8B = ("plan", "+experiment=llama8b_lora", "cluster=local", "resources.device=cuda", "--json")


def add_degree(tree: Tree) -> None:
    """`strategy.repeat`: ranks that compute the same samples."""
    tree.edit(
        "launcher/config/strategy.py",
        "    offload_optimizer: bool = False\n",
        '    repeat: int = 1\n    """Ranks that compute the same samples (ddp)."""\n    offload_optimizer: bool = False\n',
    )
    tree.edit(
        "launcher/strategies/degrees.py",
        "    expert: int = 1\n",
        '    repeat: int = 1\n    """Ranks that compute the same samples."""\n    expert: int = 1\n',
    )
    tree.edit(
        "launcher/strategies/degrees.py",
        "self.dp_replicate * self.dp_shard * self.sequence * self.tensor",
        "self.dp_replicate * self.dp_shard * self.sequence * self.tensor * self.repeat",
    )
    tree.edit(
        "launcher/strategies/degrees.py",
        "rank // (self.sequence * self.tensor)",
        "rank // (self.sequence * self.tensor * self.repeat)",
    )
    tree.edit(
        "launcher/strategies/base.py",
        "        return Degrees(dp_replicate=sequence_groups(world_size, sequence), sequence=sequence)\n",
        """\
        if world_size % config.repeat:
            raise PlanError(f"strategy.repeat={config.repeat} does not divide the {world_size} ranks")
        groups = sequence_groups(world_size // config.repeat, sequence)
        return Degrees(dp_replicate=groups, sequence=sequence, repeat=config.repeat)
""",
    )
    tree.edit(
        "launcher/strategies/base.py",
        "        self.check(config)\n",
        """\
        if config.repeat > 1 and type(self).degrees is not Strategy.degrees:
            raise PlanError(f"strategy.repeat={config.repeat} is not possible with strategy={self.name}; use strategy=ddp")
        self.check(config)
""",
    )
    tree.edit(
        "launcher/strategies/base.py",
        "        return degrees.world_size\n\n    def shard(self, tensors",
        "        return degrees.world_size // degrees.repeat\n\n    def shard(self, tensors",
    )
    tree.edit(
        "launcher/plan/rules.py",
        ')\n"""The rules that are not specific to one method',
        """\
    Rule(
        number=999,
        what="strategy.repeat with plugins.qlora",
        reason="nothing has shown it",
        way_out="use plugin=[lora]",
        broken=lambda run: run.four_bit and run.degrees.repeat > 1,
    ),
)
\"""The rules that are not specific to one method""",
    )


def test_a_degree_of_parallelism(tree):
    add_degree(tree)
    eight = ("plan", "+experiment=llama8b_lora", "resources.gpus_per_node=8", "cluster.gpus_per_node=8")
    plain, halved = (
        tree.read(*eight, "strategy=ddp", f"strategy.repeat={degree}", "--json") for degree in (1, 2)
    )
    assert (halved["degrees"]["dp_replicate"], halved["degrees"]["repeat"]) == (4, 2)
    assert halved["topology"] == plain["topology"]
    steps = [plan["batch"]["gradient_accumulation_steps"] for plan in (plain, halved)]
    assert steps[1] == 2 * steps[0]
    assert "strategy.repeat=3 does not divide the 8 ranks" in tree.refusal(
        *eight, "strategy=ddp", "strategy.repeat=3"
    )
    assert "not possible with strategy=zero3" in tree.refusal(*eight, "strategy=zero3", "strategy.repeat=2")
    assert "(rule 999 of python -m launcher rules)" in tree.refusal(
        *eight, "strategy=ddp", "strategy.repeat=2", "plugin=[qlora]"
    )
    check_count("a degree of parallelism", tree)


@pytest.mark.train
@pytest.mark.long
def test_two_ranks_of_the_new_degree_train_as_one_rank(tree, cache):
    add_degree(tree)
    typed = ("+experiment=tiny", "cluster=local", f"cache_dir={cache}", "resources.device=cpu", "trainer.max_steps=4",
             "data.eval_path=null", "trainer.logging_steps=1", "batch.micro_batch_size=2", "--json")  # fmt: skip
    found: list[list[tuple[float, float, int]]] = []
    for ranks in (1, 2):
        done = tree.call(*typed, f"resources.gpus_per_node={ranks}", f"strategy.repeat={ranks}")
        assert done.returncode == 0, done.stderr
        run = Finished(Path(json.loads(done.stdout.splitlines()[0])["run_dir"]))
        lines = [line for line in run.metrics() if "loss" in line]
        found.append([(line["loss"], line["grad_norm"], line["trained_tokens"]) for line in lines])
    one, two = found
    assert len(one) == 4
    assert two == [
        (pytest.approx(loss, rel=1e-6), pytest.approx(norm, rel=1e-5), tokens) for loss, norm, tokens in one
    ]


TERM = '''
"""Bytes of NCCL's buffers on one GPU."""

from launcher.plan.memory.load import Load
from launcher.plan.memory.term import Term


def channel_bytes(load: Load) -> float:
    """Buffers of NCCL: 16 channels of 4 MiB for each rank that it is connected with.

    Source: an assumption of this test. Unverified.
    """
    return 16 * 4 * 2**20 * (load.degrees.world_size - 1)


CHANNELS = Term(
    name="channels",
    count=lambda load, before: channel_bytes(load),
    formulas=(channel_bytes,),
    shown_by="unverified",
)
'''


def test_a_memory_term(tree):
    plain = tree.read(*LORA_8B)["memory"]["per_gpu_gib"]
    tree.add("launcher/plan/memory/channels.py", TERM)
    tree.edit(
        "launcher/plan/memory/estimate.py",
        "from launcher.plan.memory.context import CONTEXT\n",
        "from launcher.plan.memory.channels import CHANNELS\nfrom launcher.plan.memory.context import CONTEXT\n",
    )
    tree.edit(
        "launcher/plan/memory/estimate.py",
        "LOGITS, BUFFERS, GENERATION, CONTEXT, ",
        "LOGITS, BUFFERS, CHANNELS, GENERATION, CONTEXT, ",
    )
    plan = tree.read(*LORA_8B)
    ranks = plan["topology"]["world_size"]
    parts = plan["memory"]["per_gpu_gib"]
    assert ranks > 1 and parts["channels"] == pytest.approx((ranks - 1) / 16, abs=0.001)
    more = parts["channels"] + parts["fragmentation"] - plain["fragmentation"]  # a share of all tensors
    assert parts["total"] == pytest.approx(plain["total"] + more, abs=0.002)
    told = tree.read(*LORA_8B, "--explain")["memory"]["channels"]
    assert told["counted"].startswith("Buffers of NCCL:") and told["shown_by"] == "unverified"
    assert told["gib"] == parts["channels"]
    check_count("a memory term", tree)


SIMULATED = """
import json
import sys
from pathlib import Path

from launcher.run import RunDir
from launcher.run.events.base import How
from launcher.run.history import read_history
from launcher.run.totals import faults
from launcher.supervise.policy import Capacity, EndedAttempt, decide

run = RunDir(Path(sys.argv[1]))
hung = {"event": "ended", "attempt": 1, "time": "2026-01-01T00:00:00+00:00", "how": "hung", "exit_code": 3}
hung |= {"reason": "rank 5 hangs", "hosts": [], "told": "nothing", "seconds": 60.0, "stop_s": 1.0}
saved = {"event": "saved", "attempt": 1, "time": "2026-01-01T00:00:00+00:00", "step": 10, "seconds": 1.0}
place = Capacity(can_requeue=True, healthy_nodes=4, needed_nodes=4)
for events in ([hung], [hung, hung], [hung, saved, hung]):
    run.events.write_text("".join(json.dumps(event) + chr(10) for event in events))
    action = decide(EndedAttempt(how=How.HUNG, code=3, reason="rank 5 hangs"), faults(read_history(run)), place)
    print(f"{action.do.value}: {action.reason}")
"""


def test_a_fault_rule(tree):
    totals, policy = "launcher/run/totals.py", "launcher/supervise/policy.py"
    tree.edit(totals, "    diverged: int = 0\n", "    hung: int = 0\n    diverged: int = 0\n")
    tree.edit(totals, "    without = diverged = 0\n", "    without = hung = diverged = 0\n")
    tree.edit(totals, "            without = 0\n", "            without = hung = 0\n")
    tree.edit(
        totals,
        "            without += 1\n",
        "            without += 1\n            hung += event.how == How.HUNG.value\n",
    )
    tree.edit(totals, "Faults(without_progress=without, ", "Faults(without_progress=without, hung=hung, ")
    tree.edit(
        policy,
        "    if place.healthy_nodes >= place.needed_nodes:\n",
        """\
    if faults.hung > 1 and place.can_requeue:
        return Action(do=Do.REQUEUE, code=Exit.REQUEUED, reason=f"{ended.reason} again; other nodes may not")
    if place.healthy_nodes >= place.needed_nodes:
""",
    )
    done = tree.run(sys.executable, "-c", SIMULATED, str(tree.work))
    assert done.stdout.splitlines() == [
        "restart: rank 5 hangs",
        "requeue: rank 5 hangs again; other nodes may not",
        "restart: rank 5 hangs",
    ], done.stderr
    check_count("a fault rule", tree)
