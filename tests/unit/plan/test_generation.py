"""Who generates the answers of grpo: nodes, GPUs, command and memory, and what cannot be."""

import itertools
import json

import pytest

from launcher.errors import PlanError
from launcher.render import render

GRPO = (
    "+experiment=llama8b_lora", "trainer=grpo", "strategy=ddp", "trainer.reward_functions=[{_target_: my.reward}]",
    "trainer.num_generations=8", "batch.global_batch_size=32", "data.path=prompts.jsonl", "data.eval_path=null",
)  # fmt: skip
SERVED = (*GRPO, "generation=server")


def test_a_servers_node_is_requested_beside_those_that_train(plan):
    found = plan(*SERVED, "resources.nodes=2", "resources.spares=1")
    assert (found.topology.nodes, found.nodes, found.topology.world_size) == (2, 3, 8)
    assert found.job_options["nodes"] == "4"
    assert {"--nodes=4", "--ntasks=4"} <= set(found.step_options)


def test_a_server_of_more_gpus_than_a_training_node_has_ranks_decides_what_a_node_needs(plan):
    found = plan(*SERVED, "generation.gpus_per_node=8")
    assert found.job_options["gpus-per-node"] == "8"
    assert found.generation.tensor_parallel_size == 8


def test_a_server_beside_the_ranks_adds_its_gpus_to_theirs(plan):
    found = plan(*SERVED, "generation.nodes=0", "generation.gpus_per_node=2", "cluster.gpus_per_node=8")
    assert (found.nodes, found.job_options["gpus-per-node"]) == (1, "6")


def test_the_command_of_vllm_is_what_trl_demands_of_it(plan):
    words = plan(*SERVED, "generation.args=[--enforce-eager]").generation.command
    assert words[1:5] == ("-m", "vllm.entrypoints.cli.main", "serve", "meta-llama/Llama-3.1-8B-Instruct")
    pairs = dict(itertools.pairwise(words))
    assert (
        pairs["--tensor-parallel-size"] == "4" and pairs["--weight-transfer-config"] == '{"backend": "nccl"}'
    )
    assert (pairs["--host"], pairs["--port"], pairs["--revision"]) == ("{host}", "{port}", "{revision}")
    assert pairs["--logprobs-mode"] == "processed_logprobs" and words[-1] == "--enforce-eager"


def test_the_words_of_a_command_reach_no_script(plan):
    found = plan(*SERVED, "generation.command=[serve,--port,'{port}','$(touch x); `id`']")
    files = render(found)
    assert json.loads(files["plan.json"])["generation"]["command"][3] == "$(touch x); `id`"
    assert not any("touch" in text for name, text in files.items() if name != "plan.json")


def test_the_ranks_do_not_count_the_cache_of_answers_that_a_server_holds(plan):
    own, served = plan(*GRPO, "trainer.num_generations=32"), plan(*SERVED, "trainer.num_generations=32")
    assert served.memory.parts["generation"] == 0
    assert served.time.step_s < own.time.step_s
    assert served.generation.weights_gib == pytest.approx(8.03 * 2 / 4 / 1.0737, abs=0.01)
    shape = served.facts.architecture
    each = 2 * 2 * shape.num_hidden_layers * shape.num_key_value_heads * 128 * 4096 / 4
    assert served.generation.answer_gib == pytest.approx(each / 2**30, abs=1e-3)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["generation.tensor_parallel_size=3"], r"tensor_parallel_size=3 does not divide .*=4.*use .*_size=2$"),
        (["generation.tensor_parallel_size=2"], "2 copies of the model in one server, .* only for mixtures of experts"),
        (["generation.nodes=2"], r"generation\.nodes=2: trl 1\.16's client speaks to one server.*generation\.nodes=1"),
        (
            ["generation.nodes=0", "generation.gpus_per_node=4", "cluster.gpus_per_node=4"],
            r"leaves 0 for the server; use generation\.nodes=1 for a node of its own, or generation\.mode=colocate",
        ),
        (["generation.nodes=0", "resources.nodes=2"], r"resources\.nodes=2; use generation\.nodes=1, or resources\.nodes=1"),
        (["generation.gpus_per_node=8", "cluster.gpus_per_node=4"], r"more than a node has.*generation\.gpus_per_node=4"),
        (["generation.start_timeout_s=inf"], "start_timeout_s=inf must be a number of seconds above 0"),
        (["generation.start_timeout_s=1800"], r"less than resources\.ddp_timeout_s=1800.*resources\.ddp_timeout_s=2400"),
        (["generation.engine=sglang"], "only the command of vllm is known; set generation.command"),
        (["generation.command=[serve]"], "generation.command has no {port}"),
        (["generation.command=[serve,'{port}']", "generation.args=[a]"], r"generation.args=\['a'\] is added only to"),
        (["generation.gpu_memory_utilization=0.04", "cluster.gpu_memory_gib=80"], "is 3.2 GiB, and a GPU that generates"),
        (["model=smollm2_135m"], "model.name_or_path=package:.*: the ranks build this model themselves"),
        (["generation.restarts=-1"], r"generation\.restarts=-1 must be at least 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line_with_a_way_out(plan, typed, said):
    with pytest.raises(PlanError, match=said) as refused:
        plan(*SERVED, *typed)
    assert "\n" not in str(refused.value)


def test_a_method_that_generates_nothing_is_refused_by_name(plan):
    with pytest.raises(
        PlanError, match=r"trainer\.kind=sft does not; use generation\.mode=none, or trainer=grpo"
    ):
        plan("+experiment=llama8b_lora", "generation=server")


def test_one_machine_has_no_node_for_a_server_but_room_beside_the_ranks(plan):
    typed = (*SERVED, "generation.command=[serve,'{port}']")
    with pytest.raises(PlanError, match=r"stays on this machine; use generation\.nodes=0"):
        plan(*typed, cluster="local", device="cpu")
    assert plan(*typed, "generation.nodes=0", cluster="local", device="cpu").nodes == 1


def test_vllm_in_the_ranks_leaves_less_of_a_gpu_for_training(plan):
    found = plan(*GRPO, "generation=colocate", "generation.tensor_parallel_size=2")
    assert (
        found.trainer_args["vllm_mode"] == "colocate" and found.trainer_args["vllm_tensor_parallel_size"] == 2
    )
    assert found.nodes == found.topology.nodes and not found.generation.command
    with pytest.raises(PlanError, match="does not divide the 4 ranks"):
        plan(*GRPO, "generation=colocate", "generation.tensor_parallel_size=3")


@pytest.mark.parametrize(
    "typed", ["+generation.env.API_KEY=x", "generation.args=[--api-key,x]", "generation.args=['--api-key=x']"]
)
def test_a_secret_is_refused_before_it_is_written(plan, typed):
    with pytest.raises(PlanError, match="looks like a secret"):
        plan(*SERVED, typed)


def test_a_number_of_tokens_is_no_secret(plan):
    assert plan(*SERVED, "generation.args=[--max-num-batched-tokens,8192]").generation.command[-1] == "8192"
