"""What a distillation is refused for before the queue, and what its plan counts for the teacher."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.data.vocabulary import first_difference, read_vocabulary
from tests.unit.methods.test_specs import write_rows

SHAPE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
         "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}  # fmt: skip
SMALL = {**SHAPE, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16}
VOCABULARY = {"a": 0, "b": 1, "ab": 2}


def write_model(folder: Path, shape: dict[str, object], vocabulary: dict[str, int] | None = None) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(shape))
    if vocabulary is not None:
        content = {
            "model": {"type": "BPE", "vocab": vocabulary},
            "added_tokens": [{"id": 9, "content": "<end>"}],
        }
        (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, commands) -> Callable[..., str]:
    """Plans in tmp_path, and returns the plan as JSON, or what stderr said of a refusal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(commands("echo 1")))
    (tmp_path / "texts.jsonl").write_text('{"text": "So it is."}\n{"text": "No."}\n')

    def planned(*arguments: str) -> str:
        typed = (
            "+experiment=tiny", "trainer=distill", "cluster=slurm", "resources.device=cuda", "data.path=texts.jsonl",
            "data.eval_path=null", *arguments,
        )  # fmt: skip
        code = main(["plan", *typed, "--json"])
        found = capfd.readouterr()
        return found.out if code == 0 else found.err

    return planned


def test_a_distillation_without_a_teacher_is_refused(planned):
    assert "trainer.teacher=null: trainer.kind=distill learns from" in planned()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("trainer.beta=1.5", "trainer.beta=1.5 must be from 0 (forward KL) to 1 (reverse KL)"),
        ("trainer.alpha=1", "trainer.alpha=1.0 must be at least 0 and below 1"),
        ("trainer.temperature=0", "trainer.temperature=0.0 must be a number above 0"),
        ("trainer.loss_type=kl", "trainer.loss_type=kl is not used by trainer.kind=distill"),
        ("model.added_tokens=[x]", "are not in the vocabulary of the teacher"),
        ("trainer.teacher=./none", "trainer.teacher=./none is not a folder here"),
        ("trainer.teacher=package:other", "trainer.teacher=package:other is a package"),
        ("trainer.args.router_aux_loss_coef=0.1", "a router's auxiliary loss is not a part of this loss"),
    ],
)
def test_a_value_that_cannot_work_is_refused_in_one_line(planned, typed: str, told: str):
    said = planned("trainer.teacher=org/big", typed)
    assert (
        told in json.loads(said.splitlines()[0])["error"]["message"] if said.startswith("{") else told in said
    )


@pytest.mark.parametrize("kind", ["chat", "pair", "text"])
def test_rows_of_fine_tuning_teach_too(planned, tmp_path: Path, kind: str):
    write_rows(tmp_path, kind)
    assert json.loads(planned("trainer.teacher=org/big", "data.path=rows.jsonl"))["trainer"] == "distill"


@pytest.mark.parametrize("kind", ["labelled", "prompt", "classified"])
def test_other_rows_are_refused(planned, tmp_path: Path, kind: str):
    write_rows(tmp_path, kind)
    assert "but trainer.kind=distill learns from chats or pairs or texts" in planned(
        "trainer.teacher=org/big", "data.path=rows.jsonl"
    )


def test_other_methods_refuse_a_teacher(planned):
    assert "trainer.teacher=org/big is not used by trainer.kind=sft" in planned(
        "trainer=sft", "trainer.teacher=org/big"
    )


def test_a_teacher_with_another_vocabulary_is_refused_with_the_first_difference(planned, tmp_path: Path):
    student = write_model(tmp_path / "student", SMALL, VOCABULARY)
    teacher = write_model(tmp_path / "teacher", SHAPE, {"a": 0, "c": 1, "ab": 2})
    said = planned(f"model.name_or_path={student}", f"trainer.teacher={teacher}")
    assert (
        "has another vocabulary than" in said and "token 'b' is 1 in the model's and does not exist" in said
    )
    same = write_model(tmp_path / "same", SHAPE, dict(reversed(VOCABULARY.items())))
    assert json.loads(planned(f"model.name_or_path={student}", f"trainer.teacher={same}"))["memory"]


def test_a_second_copy_of_the_weights_does_not_work_with_a_second_model(planned):
    more = ("strategy=zero3", "resources.gpus_per_node=4", "strategy.hpz_size=2", "batch.micro_batch_size=1")
    assert "(rule 26 of" in planned("trainer.teacher=org/big", *more)


def test_an_adapter_is_no_teacher_until_it_is_merged(planned, tmp_path: Path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    assert "an adapter is merged first: python -m launcher export RUN --merged" in planned(
        f"trainer.teacher={folder}"
    )


@pytest.mark.parametrize(("strategy", "ranks"), [("ddp", 1), ("zero2", 1), ("zero3", 8), ("fsdp2", 8)])
def test_the_plan_counts_the_teachers_weights_by_their_sharding(planned, tmp_path: Path, strategy, ranks):
    student = write_model(tmp_path / "student", SMALL)
    small, large = (
        write_model(tmp_path / name, {**SHAPE, "num_hidden_layers": layers})
        for name, layers in (("small", 16), ("large", 32))
    )
    plans = [
        json.loads(
            planned(
                f"model.name_or_path={student}", f"trainer.teacher={teacher}", f"strategy={strategy}",
                "resources.gpus_per_node=8", "batch.global_batch_size=16",
            )
        )
        for teacher in (small, large)
    ]  # fmt: skip
    weights = [one["memory"]["per_gpu_gib"]["weights"] for one in plans]
    block = 4096 * (4096 + 1024) * 2 + 3 * 4096 * 14336 + 2 * 4096
    assert weights[1] - weights[0] == pytest.approx(16 * block * 2 / ranks / 2**30, rel=1e-3)
    assert plans[1]["time"]["compute_s"] > plans[0]["time"]["compute_s"]


def test_a_teacher_of_unknown_shape_leaves_memory_out_and_says_why(planned, tmp_path: Path):
    student = write_model(tmp_path / "student", SMALL)
    made = json.loads(planned(f"model.name_or_path={student}", "trainer.teacher=org/big"))
    assert made["memory"] is None and made["facts"]["teacher"] is None


def test_vocabularies_are_read_from_every_kind_of_tokenizer_file(tmp_path: Path):
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({"model": {"vocab": [["a", -1.0], ["b", -2.0]]}, "added_tokens": []}))
    assert read_vocabulary(file) == {"a": 0, "b": 1}
    file.write_text("no json")
    assert read_vocabulary(file) == {}
    assert first_difference({"a": 0}, {"a": 0}) is None
    assert (
        first_difference({"a": 0, "b": 1}, {"a": 0})
        == "token 'b' is 1 in the model's and does not exist in the teacher's"
    )
