"""Every combination that does not work is refused in the plan, with its rule's number."""

import json

import pytest

from launcher.__main__ import main
from launcher.errors import PlanError
from launcher.plan.rules import RULES

BROKEN = {
    1: ("cuda", ["plugin=[qlora]", "strategy=zero3_offload"]),
    2: ("cpu", ["trainer.precision=bf16", "strategy=zero2"]),
    3: ("cpu", ["strategy=fsdp2_offload"]),
    4: ("cuda", ["trainer=kto", "batch.micro_batch_size=1"]),
}
"""For each rule the device and what is typed to break it, and it alone."""
MENDED = {
    1: ["plugin=[qlora]", "strategy=fsdp2_offload"],
    2: ["strategy=zero2"],
    3: ["strategy=fsdp2"],
    4: ["trainer=kto", "batch.micro_batch_size=1", "trainer.loss_type=apo_zero_unpaired"],
}
"""What is typed for the rule's way out."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"rule_{rule.number}")
def test_a_combination_that_does_not_work_is_refused_with_its_rules_number(plan, rule):
    device, typed = BROKEN[rule.number]
    with pytest.raises(PlanError) as refused:
        plan("+experiment=tiny", *typed, device=device)
    said = str(refused.value)
    assert f"(rule {rule.number} of python -m launcher rules)" in said
    assert rule.reason in said and rule.way_out in said and "\n" not in said


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"rule_{rule.number}")
def test_the_way_out_of_a_rule_is_planned(plan, rule):
    assert plan("+experiment=tiny", *MENDED[rule.number], device=BROKEN[rule.number][0])


def test_a_rules_number_is_its_place_so_that_none_is_given_twice():
    assert [rule.number for rule in RULES] == list(range(1, len(RULES) + 1))


def test_the_rules_are_listed_for_a_person_and_for_a_machine(capsys):
    assert main(["rules", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(rule["number"], rule["what"]) for rule in told] == [(rule.number, rule.what) for rule in RULES]
    assert set(told[0]) == {"number", "what", "reason", "way_out"}
    assert main(["rules"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"{rule.number} {rule.what}: {rule.reason}; {rule.way_out}" in said for rule in RULES)
