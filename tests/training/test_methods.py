"""Trainers, plugins and strategies on real ranks: a sample of the matrix, what a reference is, and a resume after a kill."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.matrix.cells import Cell, all_cells, write_data
from tests.matrix.try_cell import plan_in, try_cell
from tests.support.runs import Finished
from tests.support.warm import Warm

pytestmark = pytest.mark.train

SAMPLE = [
    Cell("dpo", "lora", True, "fsdp2", 2),
    Cell("orpo", "qlora", False, "zero2", 2),
    Cell("reward", "lora", False, "zero3", 2),
    Cell("grpo", "none", False, "fsdp2", 2),
    Cell("distill", "qlora", True, "fsdp2", 2),
]
NOTING = """
import json
from dataclasses import dataclass
from launcher.plugins.base import Plugin

@dataclass(frozen=True, kw_only=True)
class Noting(Plugin):
    file: str = ""
    def on_trainer(self, trainer):
        reference = trainer.ref_model
        parameters = [] if reference is None else list(reference.parameters())
        noted = {
            "adapters": list(getattr(trainer.model, "peft_config", {})),
            "parameters": len(parameters),
            "sharded": sum(hasattr(one, "ds_id") or hasattr(one, "placements") for one in parameters),
            "trained": sum(one.requires_grad for one in parameters),
        }
        if trainer.args.process_index == 0:
            open(self.file, "w").write(json.dumps(noted))
        return trainer
"""


@pytest.fixture
def planned(tmp_path: Path, cache: Path) -> Callable[..., Finished]:
    """A run dir of a cell and more overrides, not started."""

    def planned(cell: Cell, *overrides: str) -> Finished:
        write_data(tmp_path)
        typed = ["+experiment=tiny", "cluster=local", f"cache_dir={cache}", *cell.overrides(tmp_path)]
        code, said = plan_in(tmp_path, [*typed, *overrides])
        assert code == 0, said
        return Finished(Path(json.loads(said)["run_dir"]))

    return planned


@pytest.mark.parametrize("cell", SAMPLE, ids=lambda cell: cell.name)
def test_a_cell_of_the_matrix_trains_exports_and_is_as_planned(warm, cache, tmp_path, cell: Cell):
    write_data(tmp_path)
    outcome = try_cell(cell, tmp_path, cache, warm)
    assert outcome.result == "passed", outcome.note


@pytest.mark.long
@pytest.mark.parametrize(
    "cell", [cell for cell in all_cells() if cell not in SAMPLE], ids=lambda cell: cell.name
)
def test_every_other_cell_trains_or_is_refused_by_a_rule(warm, cache, tmp_path, cell: Cell):
    write_data(tmp_path)
    outcome = try_cell(cell, tmp_path, cache, warm)
    assert outcome.result in ("passed", "refused"), outcome.note


def test_with_an_adapter_the_reference_is_the_model_without_it_and_takes_no_memory(warm, planned, tmp_path):
    noted = _note(warm, planned, tmp_path, Cell("dpo", "lora", False, "ddp", 1))
    assert noted == {"adapters": ["default"], "parameters": 0, "sharded": 0, "trained": 0}


@pytest.mark.parametrize("strategy", ["zero3", pytest.param("fsdp2", marks=pytest.mark.long)])
def test_the_reference_of_a_full_fine_tune_is_frozen_and_sharded_as_the_model(
    warm, planned, tmp_path, strategy
):
    noted = _note(warm, planned, tmp_path, Cell("dpo", "none", False, strategy, 2))
    assert noted["parameters"] == noted["sharded"] == 39
    assert noted["trained"] == 0


@pytest.mark.parametrize("trainer", ["dpo", pytest.param("grpo", marks=pytest.mark.long)])
def test_a_killed_run_of_any_trainer_continues_bitwise(warm, planned, trainer: str):
    cell = Cell(trainer, "lora", False, "ddp", 2)
    more = (
        "plugin=[lora,sharded_checkpoint]",
        "plugins.sharded_checkpoint.save_steps=2",
        "trainer.max_steps=6",
    )
    whole, run = planned(cell, *more, "name=whole"), planned(cell, *more, "name=killed")
    assert warm.run(whole.path)["codes"] == [0, 0], whole.logs()
    assert warm.run(run.path, kill_after_saves=2)["codes"] == [-9, -9]
    assert warm.run(run.path)["codes"] == [0, 0], run.logs()
    step = run.events("resumed")[0]["step"]
    assert step in (2, 4)
    assert run.losses[len(run.losses) - (6 - step) :] == whole.losses[step:]


def _note(warm: Warm, planned: Callable[..., Finished], folder: Path, cell: Cell) -> dict:
    (folder / "noting_model.py").write_text(NOTING)
    run = planned(
        cell,
        "+plugins.noting._target_=noting_model.Noting",
        f"+plugins.noting.file={folder}/noted.json",
        "trainer.max_steps=1",
    )
    assert set(warm.run(run.path)["codes"]) == {0}, run.logs()
    return json.loads((folder / "noted.json").read_text())
