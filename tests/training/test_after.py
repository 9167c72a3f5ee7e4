"""What is done with a run after its training: export, evaluate, chat."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from launcher.after.export import describe, is_export
from launcher.errors import RunError
from launcher.plugins.base import Plugin
from launcher.plugins.decide import reread_run
from launcher.protocol.work.requests import CompareWithBase, MakeExport
from launcher.protocol.work.results import ExportedModel
from launcher.run import RunDir
from launcher.status.state import read_status
from launcher.train.after import export_run, judge
from launcher.train.after.card import add_card
from launcher.train.after.checked import ExportFacts
from launcher.train.after.compare import difference, logits_of, prompts
from launcher.train.after.export import export
from launcher.train.after.load_back import load_back
from launcher.train.after.opened import open_folder
from launcher.train.free_memory import free_bytes
from launcher.train.model import load_tokenizer
from tests.support import preloaded
from tests.support.runs import Finished, environment
from tests.support.shapes import check_printed
from tests.support.tiny_model import EMPTY_WEIGHTS
from tests.support.warm import Warm
from tests.training.conftest import ANSWER
from tests.training.resuming import METHODS, TWO, planned

pytestmark = pytest.mark.train

ADAPTED = """
from dataclasses import dataclass
from launcher.plugins.base import Plugin

@dataclass(frozen=True, kw_only=True)
class Adapted(Plugin):
    dora: bool = False
    saved: str = ""
    def on_model(self, model):
        from peft import LoraConfig, get_peft_model
        saved = [self.saved] if self.saved else None
        return get_peft_model(model, LoraConfig(
            r=4, use_dora=self.dora, modules_to_save=saved, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
"""


def exported(run: Finished, to: Path, **options: Any) -> ExportedModel:
    """What the process with the training stack answers to the request that the verb makes of its options."""
    known = {"merged": False, "dtype": None, "checkpoint": None, "force": False}
    request = MakeExport(run_dir=str(run.path), to=str(to), **{**known, **options})
    return export_run.answer(request, lambda _: None).export


def opened(folder: Path) -> Any:
    """The folder as any program would load it."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    kind = AutoPeftModelForCausalLM if (folder / "adapter_config.json").exists() else AutoModelForCausalLM
    return kind.from_pretrained(folder, dtype=torch.float32)


def apart(one: Path, other: Path) -> float:
    from transformers import AutoTokenizer

    ids = prompts(AutoTokenizer.from_pretrained(one))
    return difference(logits_of(opened(one), ids), logits_of(opened(other), ids))


def test_the_end_of_training_loads_the_export_back_and_says_so(trained):
    event = trained().events("exported")[0]
    assert event["verified"] == "logits"
    assert event["difference"] <= event["tolerance"] == 1e-3


class Elsewhere(Plugin):
    """A plugin whose load-back works only while it is set aside."""

    def __init__(self) -> None:
        self.aside = False

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        self.aside = True
        yield
        self.aside = False

    def on_load(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        if not self.aside:
            raise RuntimeError("no kernel for this device")
        return kwargs


class Broken(Plugin):
    def on_load(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("no kernel for this device")


@pytest.mark.parametrize("plugin", [Elsewhere(), Broken()], ids=["set aside", "broken"])
def test_a_check_that_fails_keeps_the_export_and_says_so(trained, tmp_path, capsys, plugin):
    """Whatever error the check meets, days of training are not lost because of it."""
    copy = RunDir(Path(shutil.copytree(trained().path, tmp_path / "runs" / "tiny" / "copy")))
    decided = reread_run(copy)
    model = load_back(copy.export, decided)
    tokenizer = load_tokenizer(decided.config.model, decided.plan.facts, decided.config.seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    accelerator = SimpleNamespace(unwrap_model=lambda model: model, num_processes=1, is_main_process=True)
    trainer = SimpleNamespace(accelerator=accelerator, model=model, state=SimpleNamespace(global_step=9))
    found = export(copy, dataclasses.replace(decided, plugins=[*decided.plugins, plugin]), trainer, tokenizer)
    assert found is not None
    card = (copy.export / "README.md").read_text()
    assert apart(copy.export, trained().path / "model") == 0
    if isinstance(plugin, Elsewhere):
        assert found.verified == "logits" and "the check failed" not in card
        return
    assert (found.verified, found.why) == ("failed", "RuntimeError: no kernel for this device")
    assert "**the check failed**: RuntimeError: no kernel for this device" in card
    assert "the check of" in capsys.readouterr().out
    copy.note(found.event(copy, attempt=1, step=9))
    (said,) = [one for one in read_status(copy).warnings if "the check of" in one]
    assert said.endswith("failed, but it was kept: RuntimeError: no kernel for this device")


def test_an_export_with_other_logits_is_kept_and_ends_with_an_error(trained, tmp_path):
    copy = Path(shutil.copytree(trained().path, tmp_path / "runs" / "tiny" / "copy"))
    reference = copy / "trained_logits.safetensors"
    kept = load_file(reference)
    save_file({**kept, "logits": kept["logits"].flip(-1).contiguous()}, reference)
    run: Any = SimpleNamespace(path=copy)
    done: Any = exported(run, tmp_path / "out")
    assert (done.verified, done.difference) == ("failed", None)
    assert "the export was kept: the logits of the export differ" in done.warning
    assert "checked  FAILED: the logits of the export differ" in describe(done)
    assert "**the check failed**" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_holds_command_data_versions_and_metrics(trained):
    run = trained()
    card = (run.path / "model" / "README.md").read_text()
    data = Path(json.loads((run.path / "plan.json").read_text())["facts"]["data_path"])
    assert "python -m launcher +experiment=tiny cluster=local" in card
    assert hashlib.sha256(data.read_bytes()).hexdigest() in card
    for said in (
        "evaluation loss before training",
        "perplexity",
        "| torch | 2.",
        "| steps | 8 of 8 |",
        "loaded back",
    ):
        assert said in card


@pytest.mark.long
def test_a_merged_model_of_two_zero3_ranks_answers_as_the_adapter_does(trained, tmp_path):
    run = trained("strategy=zero3", *TWO)
    done = exported(run, tmp_path / "merged", merged=True, dtype="bf16")
    assert (done.kind, done.dtype, done.verified) == ("merged", "bfloat16", "logits")
    assert 0 < apart(tmp_path / "merged", run.path / "model") < 0.02 < done.effect
    assert not (tmp_path / "merged" / "adapter_config.json").exists()
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert {"README.md", "tokenizer.json", "chat_template.jinja"} <= names


@pytest.mark.long
def test_qlora_is_merged_into_the_rounded_weights_that_it_was_trained_over(trained, tmp_path):
    run = trained("plugin=[qlora,gradient_checkpointing]")
    done = exported(run, tmp_path / "merged", merged=True, dtype="fp32")
    assert done.difference < 5e-3  # adapters in bf16 beside fp32
    assert apart(tmp_path / "merged", run.path / "model") > 5e-3  # which peft puts over the unrounded base


def test_a_checkpoint_gives_the_model_of_its_step(trained, tmp_path):
    run = trained("trainer.max_steps=24", "plugins.sharded_checkpoint.save_steps=4")
    last = sorted((run.path / "checkpoints").iterdir())[-1]
    done = exported(run, tmp_path / "last", checkpoint=str(last))
    assert done.step == 24
    assert apart(tmp_path / "last", run.path / "model") < 1e-5
    before = exported(run, tmp_path / "before", checkpoint=str(last.with_name("step_00000020")))
    assert before.step == 20
    assert apart(tmp_path / "before", run.path / "model") > 1e-3


def test_another_model_than_the_trained_one_is_kept_and_reported(trained, tmp_path):
    run = Finished(tmp_path / "runs" / "tiny" / "changed")
    shutil.copytree(trained().path, run.path)
    weights = run.path / "model" / "adapter_model.safetensors"
    save_file({name: tensor * 1.02 for name, tensor in load_file(weights).items()}, weights)
    told = exported(run, tmp_path / "out" / "merged", merged=True)
    assert told.verified == "failed"
    assert "logits of the export differ from those of the trained model" in told.why
    assert (tmp_path / "out" / "merged" / "model.safetensors").is_file()
    assert told.why in (tmp_path / "out" / "merged" / "README.md").read_text()


def test_a_base_that_does_not_fit_into_the_hosts_memory_is_refused_before_it_is_loaded(
    cache, tmp_path, monkeypatch
):
    """A run of a tiny base whose shape says that it takes between two and four bytes a weight of what is free."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from launcher.data.tokenizer import byte_tokenizer

    tokenizer, base = byte_tokenizer(), tmp_path / "base"
    tiny = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=320,
    )  # fmt: skip
    model = LlamaForCausalLM(tiny)
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    layers = 1000
    width = int(0.7 * free_bytes() / 1.1 / 3 / layers / (3 * 64))
    run = planned(
        tmp_path, cache, f"model.name_or_path={base}", "model.init=pretrained",
        f"model.architecture.num_hidden_layers={layers}", f"model.architecture.intermediate_size={width}",
        "resources.device=cpu",
    )  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)  # where the run's own plugin is
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(str(run.path / "model"))
    said = {"logits": logits_of(adapted, prompts(tokenizer)), "step": torch.tensor(8)}
    save_file(said, run.path / "trained_logits.safetensors")
    for options in ({"merged": True, "dtype": "fp32"}, {"merged": True}, {}):
        with pytest.raises(
            RunError, match=r"base needs about \d+ GiB of this host's memory and \d+ GiB are free"
        ):
            exported(run, tmp_path / "out", **options)
    assert exported(run, tmp_path / "out", merged=True, dtype="fp16").verified == "logits"
    assert is_export(tmp_path / "out")


def test_nothing_is_written_over_without_force_and_nothing_but_an_export_with_it(trained, tmp_path):
    run, target = trained(), tmp_path / "model"
    target.mkdir()
    (target / "thesis.tex").write_text("")
    for more, why in (([], "exists; give --force"), (["--force"], "is not an export")):
        done = _verb("export", str(run.path), "--to", str(target), *more)
        assert done.returncode == 1 and why in done.stderr and len(done.stderr.splitlines()) == 1
    assert [path.name for path in target.iterdir()] == ["thesis.tex"]


def test_force_does_not_write_over_a_model_that_no_export_wrote(cache, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)  # where the run's own plugin is
    run, base, export = planned(tmp_path, cache), tmp_path / "base", tmp_path / "export"
    for folder in (run.path / "model", base, export):
        folder.mkdir()
        for name in ("config.json", "adapter_config.json"):
            (folder / name).write_text("{}")
        (folder / "model.safetensors").write_bytes(EMPTY_WEIGHTS)
    (base / "README.md").write_text(
        "---\ntags:\n- llama\n---\n\n# A base\n\nThe launcher of a thousand runs.\n"
    )
    for _ in range(2):
        done = _verb("export", str(run.path), "--merged", "--to", str(base), "--force")
        assert done.returncode == 1 and "is not an export, and --force" in done.stderr
        assert (base / "model.safetensors").exists()
        (base / "README.md").unlink(missing_ok=True)
    assert not is_export(export)
    add_card(
        export,
        RunDir(run.path),
        reread_run(RunDir(run.path)),
        ExportFacts(verified="logits", difference=0.0, tolerance=1e-3),
    )
    assert is_export(export)


@pytest.mark.long
def test_the_command_exports_evaluates_and_answers_by_itself(learned, tmp_path):
    run, data = learned
    exports = json.loads(
        _verb("export", str(run.path), "--dtype", "bf16", "--to", str(tmp_path / "bf16"), "--json").stdout
    )
    assert exports["dtype"] == "bfloat16"
    found = json.loads(
        _verb("evaluate", str(run.path), "--data", str(data), "--max-rows", "4", "--json").stdout
    )
    assert (found["base"]["exact_match"], found["tuned"]["exact_match"]) == (0.0, 1.0)
    assert found["tuned"]["loss"] < 0.1 < 2 < found["base"]["loss"]
    said = _verb("chat", str(tmp_path / "bf16"), "--max-new-tokens", "40", given="Which colours?\n")
    assert said.stdout == f"{ANSWER}\n", said.stderr
    before = _verb(
        "chat", str(run.path), "--base", "--prompt", "Which colours?", "--max-new-tokens", "40", "--json"
    )
    assert json.loads(before.stdout)["answer"] != ANSWER


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"architectures": ["LlamaForSequenceClassification"]}),
        ("adapter_config.json", {"task_type": "SEQ_CLS", "base_model_name_or_path": "x"}),
    ],
)
def test_a_folder_with_a_reward_model_is_refused_and_not_given_a_random_head(tmp_path, name, content):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(RunError, match="has a head for scores or classes, which computes scores"):
        open_folder(tmp_path)


def test_the_loss_is_the_mean_over_every_trained_token(trained, tmp_path):
    from transformers import AutoTokenizer

    from launcher.data.mask import encode

    run = trained("plugin=[gradient_checkpointing]", *TWO, "strategy=ddp")
    rows = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": word * 9}]}
        for word in ("no ", "so")
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = CompareWithBase(
        run_dir=str(run.path),
        checkpoint=None,
        max_rows=None,
        metrics=("loss",),
        data=str(tmp_path / "rows.jsonl"),
    )
    found = judge.answer(request, lambda _: None)
    model, tokenizer = opened(run.path / "model"), AutoTokenizer.from_pretrained(run.path / "model")
    losses, tokens = 0.0, 0
    for row in rows:
        encoded = encode(row, tokenizer, True, "here")
        labels = torch.tensor([encoded["labels"]])
        count = int((labels[:, 1:] != -100).sum())
        losses += float(model(input_ids=torch.tensor([encoded["input_ids"]]), labels=labels).loss) * count
        tokens += count
    tuned, base = found.tuned["loss"], found.base["loss"]
    assert found.tokens == tokens
    assert tuned is not None and base is not None
    assert tuned == pytest.approx(losses / tokens, rel=1e-5)
    assert tuned < base


@pytest.mark.long
@pytest.mark.parametrize(
    ("dora", "saved", "tied"), [(True, "", False), (False, "lm_head", False), (True, "lm_head", True)]
)
def test_dora_and_modules_that_are_trained_whole_can_be_merged(cache, tmp_path, dora, saved, tied):
    (tmp_path / "adapted.py").write_text(ADAPTED)
    run = planned(
        tmp_path, cache, "plugin=[sharded_checkpoint]", "+plugins.adapted._target_=adapted.Adapted",
        f"+plugins.adapted.dora={dora}", f"+plugins.adapted.saved={saved}", "trainer.max_steps=4",
        f"model.architecture.tie_word_embeddings={tied}",
    )  # fmt: skip
    warm = Warm()
    assert warm.run(run.path)["codes"] == [0], run.logs()
    warm.close()
    assert run.events("exported")[0]["verified"] == "logits"
    done = json.loads(
        _verb("export", str(run.path), "--merged", "--to", str(tmp_path / "merged"), "--json").stdout
    )
    assert done["difference"] < 1e-4
    assert apart(tmp_path / "merged", run.path / "model") < 1e-4


@pytest.mark.long
def test_every_strategy_and_method_exports_from_model_and_from_checkpoints(cache, tmp_path, monkeypatch):
    warm = Warm()
    for method, strategy in itertools.product(METHODS, ("ddp", "zero2", "zero3", "fsdp2")):
        folder = tmp_path / method / strategy
        run = planned(
            folder, cache, *METHODS[method], f"strategy={strategy}", *TWO, "trainer.max_steps=4",
            "plugins.sharded_checkpoint.save_steps=2",
        )  # fmt: skip
        monkeypatch.syspath_prepend(folder)  # where the run's own plugin is
        assert warm.run(run.path)["codes"] == [0, 0], run.logs()
        assert run.events("exported")[0]["verified"] == "logits"
        merged = method != "full"
        for name, options in (
            ("model", {}),
            ("merged", {"merged": merged, "dtype": "fp16"}),
            ("step", {"merged": merged, "checkpoint": str(run.path / "checkpoints" / "step_00000002")}),
        ):
            done = exported(run, run.path / "export" / name, **options)
            assert done.verified == "logits" and done.difference <= done.tolerance
            if method != "qlora":  # peft would put that over the unrounded base
                near = apart(run.path / "export" / name, run.path / "model")
                assert near > 1e-3 if name == "step" else near < 1e-2
    warm.close()


def _verb(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    done = preloaded.run(arguments, Path.cwd(), environment(), timeout_s=240, given=given)
    if "--json" in arguments:
        check_printed(arguments, done.stdout)
    return done
