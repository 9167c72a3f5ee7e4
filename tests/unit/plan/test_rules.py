"""Every combination that does not work is refused in the plan, with its rule's number."""

import json

import pytest

from launcher.__main__ import main
from launcher.errors import PlanError
from launcher.plan.broken_rules import all_rules

GRPO = (
    "trainer=grpo", "trainer.reward_functions=[{_target_: json.dumps}]", "data.eval_path=eval.jsonl",
    "batch.global_batch_size=8",
)  # fmt: skip
GENERATED = [*GRPO, "data.eval_path=null"]
SERVED = [*GENERATED, "generation=server", "generation.command=[serve,'{port}']"]
SHARED = ("resources.gpus_per_node=2", "strategy.sequence_parallel_size=2")
EXPERTS = ("model=mixtral_8x7b", "plugin=[lora]", "force=true")
HEAD = ("plugins.lora.modules_to_save=[lm_head]", "resources.gpus_per_node=2")
COPIED = [
    "trainer=dpo",
    "plugin=[]",
    "strategy=zero3",
    "resources.gpus_per_node=4",
    "batch.micro_batch_size=1",
]
BROKEN = {
    1: ("cuda", ["plugin=[qlora]", "strategy=zero3_offload"]),
    2: ("cpu", ["strategy=fsdp2_offload"]),
    3: ("cuda", ["trainer=kto", "batch.micro_batch_size=1"]),
    4: ("cuda", [*GRPO, "batch.micro_batch_size=2", "resources.gpus_per_node=2"]),
    5: ("cuda", ["trainer=dpo", "plugins.lora.dropout=0.1"]),
    6: ("cuda", ["strategy=fsdp2", *HEAD]),
    7: ("cpu", ["plugin=[lora,liger]"]),
    8: ("cpu", ["model.attn_implementation=flash_attention_2"]),
    9: ("cuda", ["plugin=[lora,forgetting_guard]", "trainer=reward"]),
    10: ("cuda", ["trainer.optim=adafactor"]),
    11: (
        "cuda",
        ["plugin=[lora]", "trainer.optim=adamw_bnb_8bit", "strategy=fsdp2", "resources.gpus_per_node=2"],
    ),
    12: ("cuda", ["trainer=dpo", "plugins.lora.init_lora_weights=pissa"]),
    13: ("cuda", ["plugin=[qlora]", "trainer=reward", "strategy=zero3"]),
    14: ("cuda", ["trainer.optim=adamw_bnb_8bit", "strategy=zero2"]),
    15: ("cuda", ["plugin=[qlora]", "plugins.qlora.use_dora=true", "strategy=zero3"]),
    16: ("cpu", ["model.chat_template=chatml", "strategy=zero3"]),
    17: ("cuda", ["plugins.lora.load_in=8bit", "strategy=fsdp2"]),
    18: ("cuda", ["plugin=[lora]", "strategy=zero3_offload", "trainer.optim=adafactor"]),
    19: ("cuda", ["model=gpt_oss_20b", "plugin=[qlora]", "force=true"]),
    20: ("cuda", [*SHARED, "trainer=dpo"]),
    21: (
        "cuda",
        [*SHARED, "model.architecture.num_attention_heads=5", "model.architecture.num_key_value_heads=5"],
    ),
    22: ("cuda", [*SHARED, "model=gemma3_1b", "force=true"]),
    23: ("cuda", [*SHARED, *EXPERTS, "trainer.router_aux_loss_coef=0.01"]),
    24: ("cuda", [*SHARED, "model.attn_implementation=eager"]),
    25: ("cuda", [*SHARED, "trainer.torch_compile=true"]),
    26: ("cuda", [*COPIED, "strategy.hpz_size=2"]),
    27: ("cuda", [*SERVED, "plugin=[qlora]"]),
    28: ("cuda", [*SERVED, "strategy=fsdp2", "resources.gpus_per_node=2", "batch.micro_batch_size=1"]),
    29: ("cuda", [*SERVED, "cluster.rank_starter=accelerate"]),
    30: ("cpu", [*GENERATED, "generation=colocate"]),
    31: ("cuda", [*EXPERTS, "trainer.router_aux_loss_coef=0.01", "trainer.torch_compile=true"]),
    32: ("cuda", ["trainer.router_aux_loss_coef=0.01"]),
    33: ("cuda", ["trainer.optim=muon", "strategy=zero2"]),
    34: ("cuda", [*EXPERTS, "trainer.mlp_tile_tokens=4096"]),
}
"""For each rule the device and what is typed to break it, and it alone."""
MENDED = {
    1: ["plugin=[qlora]", "strategy=fsdp2_offload"],
    2: ["strategy=fsdp2"],
    3: ["trainer=kto", "batch.micro_batch_size=1", "trainer.loss_type=apo_zero_unpaired"],
    4: [*GRPO, "batch.micro_batch_size=4", "resources.gpus_per_node=2"],
    5: ["trainer=dpo", "plugins.lora.dropout=0.1", "trainer.disable_dropout=false"],
    6: ["strategy=zero3", *HEAD],
    7: ["plugin=[lora]"],
    8: ["model.attn_implementation=sdpa"],
    9: ["plugin=[lora]", "trainer=reward"],
    10: ["plugin=[lora]", "trainer.optim=adafactor"],
    11: ["plugin=[lora]", "trainer.optim=adamw_bnb_8bit", "strategy=zero2", "resources.gpus_per_node=2"],
    12: ["trainer=orpo", "plugins.lora.init_lora_weights=pissa"],
    13: ["plugin=[qlora]", "trainer=reward", "strategy=zero2"],
    14: ["trainer.optim=adamw_bnb_8bit", "strategy=ddp"],
    15: ["plugin=[qlora]", "plugins.qlora.use_dora=true", "strategy=fsdp2"],
    16: ["model.chat_template=chatml", "strategy=zero2"],
    17: ["plugins.lora.load_in=8bit", "strategy=ddp"],
    18: ["plugin=[lora]", "strategy=zero3_offload", "trainer.optim=adamw_torch"],
    19: ["model=gpt_oss_20b", "plugin=[lora]", "force=true"],
    20: [*SHARED, "trainer=pretrain", "data.path=texts.jsonl"],
    21: ["model.architecture.num_attention_heads=5", "model.architecture.num_key_value_heads=5"],
    22: [*SHARED, "model=qwen3_0_6b", "force=true"],
    23: [*SHARED, *EXPERTS],
    24: [*SHARED, "model.attn_implementation=flash_attention_2"],
    25: [*SHARED],
    26: [*COPIED],
    27: [*SERVED, "plugin=[lora]"],
    28: [*SERVED, "strategy=zero2", "resources.gpus_per_node=2", "batch.micro_batch_size=1"],
    29: [*SERVED, "cluster.rank_starter=launcher"],
    30: [*GENERATED],
    31: [*EXPERTS, "trainer.router_aux_loss_coef=0.01"],
    32: [*EXPERTS, "trainer.router_aux_loss_coef=0.01"],
    33: ["trainer.optim=muon", "strategy=fsdp2"],
    34: ["trainer.mlp_tile_tokens=4096", "strategy=fsdp2"],
}
"""What is typed for the rule's way out."""


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: f"rule_{rule.number}")
def test_a_combination_that_does_not_work_is_refused_with_its_rules_number(plan, rule):
    device, typed = BROKEN[rule.number]
    with pytest.raises(PlanError) as refused:
        plan("+experiment=tiny", *typed, device=device)
    said = str(refused.value)
    assert f"(rule {rule.number} of python -m launcher rules)" in said
    assert rule.reason in said and rule.way_out in said and "\n" not in said


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: f"rule_{rule.number}")
def test_the_way_out_of_a_rule_is_planned(plan, rule):
    assert plan("+experiment=tiny", *MENDED[rule.number], device=BROKEN[rule.number][0])


@pytest.mark.parametrize(("stored", "works"), [("mxfp4", False), ("bitsandbytes", True), ("", True)])
def test_qlora_depends_on_how_the_checkpoint_is_packed(plan, stored: str, works: bool):
    typed = ("+experiment=tiny", "model=gpt_oss_20b", "plugin=[qlora]", "force=true")
    if works:
        assert plan(*typed, device="cuda", stored_as=stored)
    else:
        with pytest.raises(PlanError, match="packed already"):
            plan(*typed, device="cuda", stored_as=stored)


def test_a_rules_number_is_its_place_so_that_none_is_given_twice():
    assert [rule.number for rule in all_rules()] == list(range(1, len(all_rules()) + 1))


def test_the_rules_are_listed_for_a_person_and_for_a_machine(capsys):
    assert main(["rules", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(rule["number"], rule["what"]) for rule in told] == [
        (rule.number, rule.what) for rule in all_rules()
    ]
    assert set(told[0]) == {"number", "what", "reason", "way_out"}
    assert main(["rules"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{rule.number} {rule.what}: {rule.reason}; {rule.way_out}" in said for rule in all_rules())
