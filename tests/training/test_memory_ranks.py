"""The plan's bytes, compared with what ranks really hold; tests/benchmarks/memory.py does it over many more cases."""

import itertools

import pytest

from launcher.plan.memory.activations import activation_bytes
from launcher.plan.memory.block import tile_bytes
from launcher.plan.memory.host import checkpoint_bytes
from launcher.run import RunDir
from tests.benchmarks import memory_bf16
from tests.benchmarks.memory import BAR, HYBRID, PADDING, STATES, Bench, Case, load_of

pytestmark = pytest.mark.train

SHARED = ("batch.global_batch_size=2", "strategy.sequence_parallel_size=2")
CASES = [
    Case(model="tiny", method="lora", strategy="zero3", checkpointing=False, length=128, ranks=2),
    Case(model="tiny", method="qlora", strategy="fsdp2", checkpointing=False, length=128, ranks=2),
    Case(
        model="tiny", method="full", strategy="ddp", checkpointing=False, length=128, ranks=1,
        more=("trainer.optim=adamw_8bit",),
    ),
    Case(
        model="tiny", method="full", strategy="fsdp2", checkpointing=False, length=128, ranks=4,
        more=(HYBRID["fsdp2"], "batch.global_batch_size=16"),
    ),
    Case(model="tiny", method="lora", strategy="fsdp2", checkpointing=True, length=384, ranks=2, more=SHARED),
]  # fmt: skip
MORE = [
    Case(model="tiny", method="full", strategy="ddp", checkpointing=False, length=128, ranks=1),
    Case(model="tiny", method="full", strategy="zero1", checkpointing=True, length=128, ranks=2),
    Case(model="tiny", method="qlora", strategy="zero2", checkpointing=True, length=128, ranks=2),
    Case(
        model="tiny", method="full", strategy="fsdp2", checkpointing=False, length=128, ranks=2,
        more=("batch.global_batch_size=8",),
    ),
    Case(
        model="tiny", method="lora", strategy="zero3", checkpointing=False, length=128, ranks=4,
        more=(HYBRID["zero3"], "batch.global_batch_size=16"),
    ),
    Case(model="tiny", method="full", strategy="ddp", checkpointing=False, length=384, ranks=2, more=SHARED),
    Case(
        model="tiny", method="full", strategy="fsdp2", checkpointing=False, length=128, ranks=2, more=("trainer.optim=muon",),
    ),
]  # fmt: skip
IN_BF16 = (("full", True), ("lora", False), ("qlora", True))
"""The others are left to --long."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory, cache):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    bench_cache = bench.folder / "cache"
    bench_cache.mkdir(exist_ok=True)
    (bench_cache / "torch_extensions").symlink_to((cache / "torch_extensions").resolve())
    yield bench
    bench.warm.close()


@pytest.mark.parametrize(
    "case",
    [*CASES, *(pytest.param(case, marks=pytest.mark.long) for case in MORE)],
    ids=lambda case: f"{case.method}-{case.strategy}-{case.ranks}-{case.length}",
)
def test_states_are_exact_and_activations_within_5_percent(bench: Bench, case: Case):
    held = bench.hold(case)
    for kind in STATES:
        assert abs(held.planned[kind] - held.measured[kind]) <= PADDING, kind
    assert abs(held.off("activations")) <= BAR


@pytest.mark.parametrize(
    ("method", "checkpointing"),
    [
        pytest.param(*case, marks=[] if case in IN_BF16 else [pytest.mark.long])
        for case in itertools.product(memory_bf16.ADAPTERS, (False, True))
    ],
)
def test_activations_in_bf16_under_autocast_are_within_5_percent(method: str, checkpointing: bool):
    shape, plugin = memory_bf16.SHAPES["tiny"], memory_bf16.ADAPTERS[method]
    planned = activation_bytes(memory_bf16.load_of(shape, plugin, checkpointing))
    assert planned == pytest.approx(memory_bf16.saved_bytes(shape, plugin, checkpointing), rel=BAR)


@pytest.mark.parametrize(("method", "checkpointing"), [("full", True), ("lora", False)])
def test_mlps_in_tiles_keep_what_is_planned(method: str, checkpointing: bool):
    """In a block that is computed again, the counter sees the tile's input alone."""
    shape, plugin = memory_bf16.SHAPES["tiny"], memory_bf16.ADAPTERS[method]
    load = memory_bf16.load_of(shape, plugin, checkpointing, 32)
    planned = activation_bytes(load) - (tile_bytes(load) if checkpointing else 0)
    assert planned == pytest.approx(memory_bf16.saved_bytes(shape, plugin, checkpointing, 32), rel=0.01)
    assert activation_bytes(load) < 0.85 * activation_bytes(memory_bf16.load_of(shape, plugin, checkpointing))


@pytest.mark.parametrize(
    "plugin",
    [
        pytest.param("lora,sharded_checkpoint", id="lora", marks=pytest.mark.long),
        pytest.param("sharded_checkpoint", id="full"),
    ],
)
def test_a_checkpoint_takes_the_disk_that_was_planned(trained, plugin: str):
    run = trained(f"plugin=[{plugin}]", "data.eval_path=null")
    tensors = sum(path.stat().st_size for path in run.path.glob("checkpoints/step_*/*.safetensors"))
    assert tensors == pytest.approx(checkpoint_bytes(load_of(RunDir(run.path))), rel=0.05)
