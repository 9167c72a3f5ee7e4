"""A model that one rank of a node loads is, bit by bit, the one that every rank loads; and so is what it learns."""

import contextlib
import hashlib
import io
import json
from pathlib import Path

import pytest

from launcher.__main__ import main
from tests.support.runs import Finished
from tests.support.warm import Warm

pytestmark = pytest.mark.train

NOTING = """
import hashlib, json, os
from transformers import TrainerCallback
from launcher.plugins.base import Plugin

def digest(tensor):
    whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    bits = whole.detach().float().contiguous().numpy().tobytes()
    return [str(whole.dtype), list(whole.shape), hashlib.sha256(bits).hexdigest()]

class Note(TrainerCallback):
    def on_train_begin(self, args, state, control, model=None, **more):
        found = {name: digest(one) for name, one in model.named_parameters(remove_duplicate=False)}
        found |= {"buffer " + name: digest(one) for name, one in model.named_buffers(remove_duplicate=False)}
        folder = os.path.dirname(args.output_dir)
        with open(os.path.join(folder, f"weights_{args.process_index}.json"), "w") as file:
            json.dump(found, file)

class Weights(Plugin):
    def on_trainer(self, trainer):
        trainer.add_callback(Note())
        return trainer
"""
PAIRS = [{"prompt": f"Question {at}", "chosen": f"Answer {at}", "rejected": f"No {at}"} for at in range(64)]
TIED = ("model.architecture.tie_word_embeddings=true",)
TOKENS = ("model.chat_template=chatml",)
CASES = {
    "full-tied": ("plugin=[sharded_checkpoint]", *TIED),
    "full": ("plugin=[sharded_checkpoint,gradient_checkpointing]",),
    "lora": ("plugins.lora.dropout=0.1",),
    "full-tokens": ("plugin=[sharded_checkpoint]", *TOKENS),
    "dora": ("plugins.lora.use_dora=true",),
    "qlora": ("plugin=[qlora,sharded_checkpoint]",),
    "pissa": ("plugins.lora.init_lora_weights=pissa",),
    "dpo-reference": ("trainer=dpo", "plugin=[sharded_checkpoint]", "data.path=pairs.jsonl"),
    "dpo-reference-tied": ("trainer=dpo", "plugin=[sharded_checkpoint]", "data.path=pairs.jsonl", *TIED),
    "reward": ("trainer=reward", "plugin=[sharded_checkpoint]", "data.path=pairs.jsonl"),
    "reward-lora": ("trainer=reward", "data.path=pairs.jsonl"),
    "four-ranks": ("plugin=[sharded_checkpoint]", "resources.gpus_per_node=4"),
}  # fmt: skip
IN_CI = ("full-tied",)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case in IN_CI else [pytest.mark.long]) for case in CASES]
)
def test_what_one_rank_loads_is_what_every_rank_loads(
    warm: Warm, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
):
    held: dict[str, tuple[list[dict[str, str]], list[float], dict[str, str]]] = {}
    for setting in ("null", "false"):
        folder = tmp_path / setting
        folder.mkdir()
        (folder / "noting_weights.py").write_text(NOTING)
        (folder / "pairs.jsonl").write_text("\n".join(json.dumps(pair) for pair in PAIRS))
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(folder)
        run = _planned(f"strategy.cpu_ram_efficient_loading={setting}", f"cache_dir={cache}", *CASES[case])
        done = warm.run(run.path, timeout_s=200)
        assert set(done["codes"]) == {0}, run.logs()
        notes = [json.loads(one.read_text()) for one in sorted(run.path.glob("weights_*.json"))]
        assert len(notes) == len(done["codes"]) and all(note == notes[0] for note in notes)
        exported = {one.name: _digest(one) for one in (run.path / "model").glob("*.safetensors")}
        held[setting] = notes, run.losses, exported
    assert held["null"] == held["false"]
    assert any(name.startswith("buffer ") for name in held["null"][0][0])


def _planned(*overrides: str) -> Finished:
    """A run dir of three steps, not started; planned in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main(
            [
                "+experiment=tiny", "cluster=local", "dry_run=true", "--json", "data.eval_path=null", "data.check=off",
                "strategy=fsdp2", "trainer.max_steps=3", "resources.device=cpu", "resources.gpus_per_node=2",
                "batch.micro_batch_size=1", "batch.global_batch_size=4",
                "+plugins.weights._target_=noting_weights.Weights", *overrides,
            ]
        )  # fmt: skip
    assert code == 0, said.getvalue()
    return Finished(Path(json.loads(said.getvalue().splitlines()[-1])["run_dir"]))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
