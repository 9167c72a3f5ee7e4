"""What each training method takes: its hyperparameters, its rows, its reward functions, and what a plan says of its memory."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.__main__ import main
from launcher.errors import PlanError
from launcher.methods.registry import METHODS, find_method
from launcher.plan.topology import Batch
from launcher.run import RunDir
from launcher.train.data.order import GroupOrder

TURN = {"role": "assistant", "content": "Yes."}
ROWS = {
    "chat": {"messages": [{"role": "user", "content": "So?"}, TURN]},
    "pair": {"prompt": "So?", "chosen": "Yes.", "rejected": "No."},
    "labelled": {"prompt": "So?", "completion": "Yes.", "label": True},
    "prompt": {"prompt": "So?", "answer": "Yes."},
    "text": {"text": "So it is."},
    "classified": {"text": "So it is.", "label": "yes"},
}
LEARNS = {
    "sft": {"chat", "pair", "text"},
    "pretrain": {"text"},
    "dpo": {"pair"},
    "kto": {"pair", "labelled"},
    "orpo": {"pair"},
    "reward": {"pair"},
    "grpo": {"prompt"},
    "classify": {"classified"},
}
REWARD = "trainer.reward_functions=[{_target_: json.dumps}]"
GRPO = ("trainer=grpo", "batch.global_batch_size=8", REWARD)


@pytest.fixture
def planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, commands
) -> Callable[..., tuple[int, str]]:
    """Plans in tmp_path, and returns the exit code and what stderr said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", str(commands("echo 1")))

    def planned(*arguments: str) -> tuple[int, str]:
        code = main(["plan", "+experiment=tiny", "cluster=slurm", *arguments])
        return code, capfd.readouterr().err

    return planned


def write_rows(folder: Path, kind: str) -> None:
    """Two rows of a kind; those with a label have different ones."""
    rows = [ROWS[kind], ROWS[kind] | ({"label": "no"} if kind == "classified" else {})]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.mark.parametrize(
    ("trainer", "kind"),
    [(trainer, kind) for trainer in LEARNS for kind in ROWS if kind not in LEARNS[trainer]],
)
def test_rows_that_a_trainer_cannot_learn_from_are_refused_in_one_line(
    planned, tmp_path: Path, trainer: str, kind: str
):
    write_rows(tmp_path, kind)
    more = GRPO if trainer == "grpo" else (f"trainer={trainer}",)
    code, said = planned("data.path=rows.jsonl", "data.eval_path=null", *more)
    assert code == 1
    assert said.count("\n") == 1 and f"but trainer.kind={trainer} learns from" in said


@pytest.mark.parametrize(
    ("trainer", "kind"), [(trainer, kind) for trainer in LEARNS for kind in sorted(LEARNS[trainer])]
)
def test_rows_that_a_trainer_learns_from_are_planned(planned, tmp_path: Path, trainer: str, kind: str):
    write_rows(tmp_path, kind)
    more = GRPO if trainer == "grpo" else (f"trainer={trainer}",)
    assert planned("data.path=rows.jsonl", "data.eval_path=null", *more)[0] == 0


def test_rows_for_evaluation_must_serve_the_trainer_too(planned, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS["pair"]))
    (tmp_path / "eval.jsonl").write_text(json.dumps(ROWS["chat"]))
    code, said = planned("trainer=dpo", "data.path=rows.jsonl", "data.eval_path=eval.jsonl")
    assert code == 1
    assert "eval.jsonl holds chats, but trainer.kind=dpo learns from pairs" in said


USES = {
    key: tuple(kind for kind in METHODS.own_names() if key in find_method(kind).key_names)
    for key in sorted({key for spec in METHODS.own() for key in spec.key_names})
}
"""Keys of single methods, and the methods that use them."""
VALUES = {
    "packing": "true", "assistant_only_loss": "false", "loss_type": "sigmoid", "sample_prompt": "Why", "num_generations": "4",
    "max_completion_length": "8", "top_k": "5", "scale_rewards": "batch", "reward_weights": "[1.0]",
    "disable_dropout": "false", "reward_functions": "[{_target_: json.dumps}]", "labels": "[yes,no]",
    "multi_label": "true", "class_weight": "balanced",
}  # fmt: skip


@pytest.mark.parametrize(("key", "kinds"), USES.items())
def test_a_hyperparameter_that_the_trainer_does_not_use_is_refused(plan, key: str, kinds: tuple[str, ...]):
    other = next(kind for kind in ("sft", "reward", "dpo", "pretrain") if kind not in kinds)
    with pytest.raises(
        PlanError,
        match=rf"trainer\.{key}=.* is not used by trainer\.kind={other}, only by {', '.join(kinds)}",
    ):
        plan("+experiment=tiny", f"trainer={other}", f"trainer.{key}={VALUES.get(key, '0.1')}")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("trainer=dpo", "trainer.beta=-1"), "trainer.beta=-1.0 must be a number of at least 0"),
        (("trainer=dpo", "trainer.beta=0"), "trainer.beta=0 gives dpo no gradient"),
        (("trainer=dpo", "trainer.loss_type=sigmod"), "did you mean sigmoid?"),
        (("trainer=dpo", "trainer.loss_type=exo_pair"), "needs trainer.label_smoothing above 0"),
        (("trainer=dpo", "trainer.label_smoothing=0.5"), "trainer.label_smoothing=0.5 must be at least 0 and below 0.5"),
        (("trainer=kto", "trainer.desirable_weight=0"), "trainer.desirable_weight=0.0 must be a number above 0"),
        ((*GRPO, "trainer.num_generations=1"), "trainer.num_generations=1 must be at least 2"),
        ((*GRPO, "trainer.temperature=0"), "trainer.temperature=0.0 must be a number above 0"),
        ((*GRPO, "trainer.max_completion_length=256"), "leaves no token of model.max_length=256"),
        ((*GRPO, "batch.global_batch_size=12"), "use 8 or 16"),
        ((*GRPO, "trainer.reward_functions=[]"), "trainer.reward_functions is empty"),
        ((*GRPO, "trainer.reward_functions=[3]"), "must be {_target_: module.function}"),
        ((*GRPO, "trainer.reward_weights=[1,2]"), "trainer.reward_weights has 2 weights for 1"),
        ((*GRPO, "trainer.scale_rewards=all"), "must be group, batch or none"),
    ],
)  # fmt: skip
def test_a_hyperparameter_out_of_its_range_is_refused(plan, typed: tuple[str, ...], said: str):
    with pytest.raises(PlanError) as refused:
        plan("+experiment=tiny", *typed)
    assert said in str(refused.value)


def test_trls_own_defaults_and_names_are_the_ones_that_are_checked_here():
    from trl import DPOConfig, GRPOConfig, KTOConfig, RewardConfig
    from trl.experimental.orpo import ORPOConfig

    classes = {
        "dpo": DPOConfig,
        "kto": KTOConfig,
        "orpo": ORPOConfig,
        "reward": RewardConfig,
        "grpo": GRPOConfig,
    }
    for kind, arguments in classes.items():
        passed = {key.name for key in find_method(kind).keys if key.passed}
        assert passed <= set(arguments.__dataclass_fields__), kind
        assert find_method(kind).max_length == ("max_length" in arguments.__dataclass_fields__), kind
    assert DPOConfig(output_dir="x", use_cpu=True, bf16=False).loss_type[0] in find_method("dpo").losses
    assert KTOConfig.loss_type in find_method("kto").losses
    assert GRPOConfig.loss_type in find_method("grpo").losses


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("my_rewards.lenght", "unknown function of my_rewards 'lenght'; did you mean length?"),
        ("nowhere.length", "there is no module nowhere"),
    ],
)
def test_a_reward_function_that_is_not_there_is_refused_without_running_it(
    planned, tmp_path: Path, target: str, said: str
):
    (tmp_path / "my_rewards.py").write_text(
        "def length(completions, **_):\n    return [len(one) for one in completions]\nprint(1 / 0)\n"
    )
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS["prompt"]))
    typed = (*GRPO[:2], "data.path=rows.jsonl", "data.eval_path=null")
    code, refused = planned(*typed, f"trainer.reward_functions=[{{_target_: {target}}}]")
    assert code == 1 and said in refused
    assert planned(*typed, "trainer.reward_functions=[{_target_: my_rewards.length}]")[0] == 0


TYPED = ("+experiment=llama8b_lora", "cluster.gpu_memory_gib=80", "batch.global_batch_size=64")


@pytest.mark.parametrize(("trainer", "more"), [("dpo", 1.2), ("kto", 1.0), ("orpo", 2.0), ("reward", 1.1)])
def test_a_plan_counts_what_another_method_needs_more_than_sft(plan, trainer: str, more: float):
    """Both answers of a pair, and orpo's logits of all tokens; kto reads one answer, and its adapter is its own reference."""
    made, sft = plan(*TYPED, f"trainer={trainer}"), plan(*TYPED, "trainer.packing=false")
    assert made.memory.total >= more * sft.memory.total
    assert made.time is not None and made.room is not None


def test_a_full_fine_tune_with_a_reference_holds_a_second_model_and_an_adapter_does_not(plan):
    full = ("+experiment=llama8b_full_zero3", "resources.nodes=1", "batch.global_batch_size=64")
    parts = {
        (kind, trainer): plan(*typed, f"trainer={trainer}").memory.parts["weights"]
        for kind, typed in (("full", full), ("lora", TYPED))
        for trainer in ("dpo", "orpo")
    }
    assert parts["full", "dpo"] == pytest.approx(2 * parts["full", "orpo"], rel=0.01)
    assert parts["lora", "dpo"] == parts["lora", "orpo"]


def test_a_plan_counts_the_cache_of_all_answers_of_a_step_for_a_method_that_generates(plan):
    """8B keeps 131,072 bytes of keys and values a token; 16 answers of a step are generated at once on each of 4 ranks."""
    long = (
        *TYPED,
        *GRPO,
        "batch.global_batch_size=64",
        "model.max_length=8192",
        "trainer.max_completion_length=8000",
    )
    made, sft = plan(*long), plan(*TYPED, "model.max_length=8192", "trainer.packing=false")
    cache = 16 * 8192 * 131_072 / 2**30
    assert cache < made.memory.parts["generation"] < 1.2 * cache
    assert made.memory.parts["gradients"] == made.memory.parts["activations"] == 0
    assert made.memory.total > sft.memory.total
    per_token = 8.03e9 * 2 / 2.039e12  # at the least, every weight is read for every token
    assert made.time is not None and made.time.step_s > 8000 * per_token


def test_zero3_gathers_the_whole_model_to_generate_and_fsdp2_a_block(plan):
    full = (
        "+experiment=llama8b_full_zero3",
        *GRPO,
        "batch.global_batch_size=128",
        "trainer.max_completion_length=64",
    )
    short = (*full, "model.max_length=128", "plugin=[gradient_checkpointing]")
    zero3, fsdp2 = (plan(*short, f"strategy={name}") for name in ("zero3", "fsdp2"))
    assert zero3.memory.parts["buffers"] * 2**30 > 2 * 8.03e9
    assert fsdp2.time.communication_s > 4 * zero3.time.communication_s  # a block's weights for every token


def test_a_reward_model_counts_a_head_of_one_number_in_the_place_of_the_vocabulary(plan):
    full, reward = (
        plan("+experiment=tiny", "plugin=[]", f"trainer={kind}").model for kind in ("sft", "reward")
    )
    assert full.parameters - reward.parameters == 320 * 64 - 64
    adapters = [
        plan("+experiment=tiny", f"trainer={kind}").model.trainable_parameters for kind in ("sft", "reward")
    ]
    assert adapters[1] - adapters[0] == 64


def test_a_classifier_counts_a_head_of_one_number_for_each_class(plan):
    parameters = [
        plan(
            "+experiment=tiny", "trainer=classify", classes=dict.fromkeys(names, 1)
        ).model.trainable_parameters
        for names in ("ab", "abcde")
    ]
    assert parameters[1] - parameters[0] == 3 * 64


@pytest.mark.parametrize(
    ("rows", "asked", "warm"), [(61, 0.03, 0), (64 * 33, 0.03, 1), (64 * 34, 0.03, 2), (64 * 50, 5.0, 5)]
)
def test_a_share_of_warm_up_never_leaves_a_short_run_without_a_rate(
    plan, tmp_path: Path, capsys, rows: int, asked: float, warm: int
):
    """By transformers' own Trainer, which takes its schedule from the arguments as this project leaves them."""
    import torch
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    from launcher.train.callbacks import Recorder
    from launcher.train.resumable import Resumable

    class Run(Resumable, Trainer):
        pass

    planned = plan(
        "+experiment=llama8b_lora",
        "batch.global_batch_size=64",
        "trainer.num_train_epochs=1",
        f"trainer.warmup_steps={asked}",
    )
    args = TrainingArguments(
        output_dir=str(tmp_path),
        warmup_steps=asked,
        learning_rate=0.5,
        num_train_epochs=1,
        use_cpu=True,
        report_to="none",
    )
    trainer = Run(torch.nn.Linear(1, 1), args, train_dataset=Dataset.from_dict({"x": list(range(rows))}))
    recorder = Recorder(RunDir(tmp_path), planned, 1, True, None)
    trainer.follow(planned, "", None, recorder, [])
    trainer.state.max_steps = steps = args.max_steps
    assert steps == -(-rows // 64)
    trainer.create_optimizer_and_scheduler(steps)
    assert args.get_warmup_steps(steps) == warm
    assert (trainer.lr_scheduler.get_last_lr()[0] > 0) == (warm == 0)
    recorder.on_train_begin(args, trainer.state, trainer.control)
    assert ("few steps: the whole run takes 1 optimizer step," in capsys.readouterr().out) == (steps == 1)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_rank_has_its_run_of_the_answers_and_every_prompt_all_of_its_own(world: int):
    batch = Batch(global_batch_size=8, micro_batch_size=1, gradient_accumulation_steps=8 // world)
    orders = [GroupOrder(5, batch, 5, 0, rank, world, group=4) for rank in range(world)]
    steps = [[lists[step * len(lists) // 5] for lists in map(list, orders)] for step in range(5)]
    for step in steps:
        answers = [row for rank in step for row in rank]
        assert len(answers) == 8
        assert [answers[:4], answers[4:]] == [[answers[0]] * 4, [answers[4]] * 4]
    taken = [row for step in steps for row in dict.fromkeys(row for rank in step for row in rank)]
    assert sorted(taken) == sorted([*range(5), *range(5)])
