"""The uses of private parts: each test shows that upstream has no public way, and that the module gets what it says."""

import dataclasses
import inspect
from types import SimpleNamespace

import datasets
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer

from launcher.methods.registry import METHODS
from launcher.train.upstream.bitsandbytes_optimizer_state import make_state
from launcher.train.upstream.datasets_fingerprint import fingerprint_of
from launcher.train.upstream.transformers_model_facts import attention_of, block_names, commit_of
from launcher.train.upstream.transformers_single_process import single_process
from launcher.train.upstream.transformers_trainer_hooks import TrainerHooks, not_logged, restore_not_logged
from launcher.train.upstream.trl_fused_head import is_head_fused
from launcher.train.upstream.trl_reference_adapter import leave_out_copy
from launcher.train.upstream.trl_reward_head_dtype import restore_head
from tests.training.upstream.ranks import on_ranks

pytestmark = pytest.mark.train


@pytest.fixture
def llama():
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=32,
    )
    return LlamaForCausalLM(config)


def test_a_models_blocks_kernel_and_commit_have_no_public_name(llama):
    assert not {"no_split_modules", "block_names"} & set(dir(llama))
    assert not {"attn_implementation", "commit_hash"} & set(vars(llama.config))
    assert (block_names(llama), attention_of(llama), commit_of(llama)) == (
        {"LlamaDecoderLayer"},
        "sdpa",
        None,
    )


def test_a_model_that_is_loaded_inside_a_sharded_rank_would_be_sharded():
    from transformers.integrations import deepspeed as integration

    class Settings:
        def is_zero3(self) -> bool:
            return True

    settings = Settings()
    integration.set_hf_deepspeed_config(settings)
    try:
        assert integration.is_deepspeed_zero3_enabled()
        with single_process():
            assert not integration.is_deepspeed_zero3_enabled()
        assert integration.is_deepspeed_zero3_enabled()
    finally:
        integration.unset_hf_deepspeed_config()


def test_trl_tells_in_no_public_way_whether_its_head_is_fused():
    from trl.kernels import chunked_logprob

    assert "_use_triton" in vars(chunked_logprob) and "use_triton" not in vars(chunked_logprob)
    assert is_head_fused(torch.device("cpu")) is False


@pytest.mark.parametrize("name", ["DPO", "KTO", "Reward"])
def test_trl_has_no_option_that_leaves_tokenized_rows_alone(name):
    import trl

    arguments = getattr(trl, f"{name}Config")
    assert "dataset_kwargs" not in {field.name for field in dataclasses.fields(arguments)}
    assert "_prepare_dataset" in inspect.getsource(getattr(trl, f"{name}Trainer").__init__)


def test_the_trainer_calls_the_private_methods_that_are_replaced():
    hooks = {
        name
        for name, value in vars(TrainerHooks).items()
        if name.startswith("_") and not name.startswith("__") and callable(value)
    }
    assert hooks == {
        "_get_num_items_in_batch", "_load_from_checkpoint", "_prepare_for_training", "_load_rng_state", "_save_checkpoint",
    }  # fmt: skip
    source = inspect.getsource(Trainer)
    for name in hooks:
        assert f"self.{name}(" in source and not hasattr(Trainer, name.lstrip("_"))
        mine, theirs = (inspect.signature(getattr(one, name)) for one in (TrainerHooks, Trainer))
        assert len(mine.parameters) == len(theirs.parameters) or "arguments" in mine.parameters


def test_the_trainers_sums_since_its_last_log_are_read_and_set():
    trainer = SimpleNamespace(_tr_loss=torch.tensor(1.5), _total_loss_scalar=7.0, _globalstep_last_logged=3)
    assert all(f"self.{name}" in inspect.getsource(Trainer) for name in vars(trainer))
    assert not_logged(trainer) == {"loss": 1.5, "total": 7.0, "step": 3}
    restore_not_logged(trainer, loss=2.5, total=8.0, step=4)
    assert not_logged(trainer) == {"loss": 2.5, "total": 8.0, "step": 4}


def test_trl_adds_a_copy_of_the_adapter_which_is_removed_where_it_is_zero(llama):
    from peft import LoraConfig, get_peft_model
    from trl import DPOTrainer

    assert 'add_adapter("ref"' in inspect.getsource(DPOTrainer.__init__)
    config = LoraConfig(r=2, target_modules=["q_proj"])
    model = get_peft_model(llama, config)
    model.add_adapter("ref", config)
    leave_out_copy(SimpleNamespace(model=model))
    assert set(model.peft_config) == {"default"}


def test_trl_casts_a_reward_models_head_over_4_bit_weights_to_bf16():
    from trl import RewardTrainer

    assert "param.data.to(torch.bfloat16)" in inspect.getsource(RewardTrainer.__init__)
    model = torch.nn.ModuleDict({"modules_to_save": torch.nn.Linear(2, 1).bfloat16()})
    with pytest.raises(RuntimeError, match="dtype"):
        model["modules_to_save"](torch.ones(1, 2))
    restore_head(model, torch.float32)
    assert model["modules_to_save"](torch.ones(1, 2)).dtype == torch.float32


def test_the_constants_of_4_bit_weights_are_neither_parameter_nor_buffer():
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(64, 64, bias=False).to("cpu")
    assert layer.weight.quant_state is not None
    assert not [
        name
        for name, _ in (*layer.named_parameters(), *layer.named_buffers())
        if "quant" in name or "absmax" in name
    ]


def test_an_optimizer_of_bitsandbytes_has_no_state_before_its_first_step():
    from bitsandbytes.optim import AdamW8bit

    parameter = torch.nn.Parameter(torch.ones(64, 64))
    optimizer = AdamW8bit([parameter])
    assert not optimizer.state
    assert make_state(optimizer) and optimizer.state[parameter]
    assert not make_state(torch.optim.AdamW([parameter]))


def test_a_data_sets_fingerprint_follows_its_content_and_is_private():
    one, same, other = (datasets.Dataset.from_dict({"x": [number]}) for number in (1, 1, 2))
    assert fingerprint_of(one) == fingerprint_of(same) != fingerprint_of(other)
    assert not hasattr(one, "fingerprint")


OFFSET = """
import torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from launcher.train.upstream.torch_dtensor_offset import offset_of
dist.init_process_group("gloo")
tensor = distribute_tensor(torch.arange(6.0).view(3, 2), init_device_mesh("cpu", (2,)), [Shard(0)])
assert not {"offset", "global_offset", "local_offset"} & set(dir(tensor))
print(offset_of(tensor))
"""


def test_a_rank_learns_where_its_part_of_an_uneven_tensor_begins():
    assert on_ranks(OFFSET) == ["(0, 0)", "(2, 0)"]


def test_deepspeed_keeps_fragments_and_the_way_to_publish_them_private():
    from deepspeed.runtime.zero import stage3, stage_1_and_2

    zero3 = stage3.DeepSpeedZeroOptimizer_Stage3
    assert hasattr(zero3, "_reassign_or_swap_out_partitioned_parameters")
    assert not hasattr(zero3, "reassign_or_swap_out_partitioned_parameters")
    assert "_hp_mapping" in inspect.getsource(stage_1_and_2)


def test_a_model_that_one_rank_loads_is_sent_without_its_buffers():
    from accelerate.utils.fsdp_utils import fsdp2_load_full_state_dict
    from transformers.distributed import fsdp

    source = inspect.getsource(fsdp2_load_full_state_dict)
    assert "device_mesh = sharded_param.device_mesh" in source and "isinstance(sharded_param" not in source
    assert 'os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING"' in inspect.getsource(fsdp)


def test_a_process_group_takes_no_store_of_its_own():
    import torch.distributed as dist

    assert not {"store", "address", "hostname"} & set(inspect.signature(dist.new_group).parameters)
    assert {"_devices", "_timeout"} <= set(dir(dist.ProcessGroupGloo._Options))
    assert not {"devices", "timeout"} <= set(dir(dist.ProcessGroupGloo._Options))


def test_the_trainer_has_no_public_way_to_take_one_step():
    public = {name for name in dir(Trainer) if "step" in name and not name.startswith("_")}
    assert public == {"training_step", "prediction_step"}
    assert "self._inner_training_loop" in inspect.getsource(Trainer.train)


@pytest.mark.parametrize("name", METHODS.own_names())
def test_a_trainer_of_this_project_overrides_private_methods_in_upstream_alone(name):
    import importlib

    module = importlib.import_module(f"launcher.train.methods.{name}")
    for trainer in (
        one for one in vars(module).values() if isinstance(one, type) and issubclass(one, TrainerHooks)
    ):
        ours = [
            one
            for one in trainer.__mro__
            if one.__module__.startswith("launcher.") and ".upstream." not in one.__module__
        ]
        theirs = [one for one in trainer.__mro__ if not one.__module__.startswith("launcher.")]
        hidden = {
            key for one in ours for key in vars(one) if key.startswith("_") and not key.startswith("__")
        }
        assert not [key for key in hidden if any(key in vars(one) for one in theirs)]
