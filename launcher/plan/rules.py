"""Combinations that are known not to work: one numbered list that every plan is checked against. No number is used twice."""

from launcher.plan.combination import Combination
from launcher.plan.names import ADAMW, BITSANDBYTES, MUON
from launcher.rule import Rule


def _is_bitsandbytes(optimizer: str) -> bool:
    return "8bit" in optimizer or "bnb" in optimizer or optimizer.startswith("paged_")


def _shared(run: Combination) -> str:
    return f"strategy.sequence_parallel_size={run.degrees.sequence}"


def _divides_heads(run: Combination) -> bool:
    size, heads, keys = run.degrees.sequence, run.heads, run.key_value_heads
    if heads is None or keys is None:
        return True
    return heads % size == 0 and (keys % size == 0 or size % keys == 0)


RULES: tuple[Rule, ...] = (
    Rule(
        number=1,
        what="plugins.qlora with strategy.offload_param=true under DeepSpeed",
        reason="4-bit weights cannot be offloaded (DeepSpeed 0.19.8)",
        way_out="use strategy=fsdp2_offload, or strategy=zero3",
        broken=lambda run: run.four_bit and run.strategy.offload_param and not run.strategy.offloads_four_bit,
    ),
    Rule(
        number=2,
        what="strategy=fsdp2_offload on a CPU",
        reason='it offloads to pinned memory, which torch 2.13 supports only with a GPU ("Cannot access accelerator device")',
        way_out="use strategy=fsdp2",
        broken=lambda run: (
            run.device == "cpu" and run.strategy.offload_param and not run.strategy.offloads_on_cpu
        ),
    ),
    Rule(
        number=4,
        what="an evaluation with trainer={trainer} if batch.micro_batch_size x ranks is not a multiple of "
        "trainer.num_generations",
        reason="the answers to a prompt are then in several batches, and trl 1.16 cannot compare them (\"shape '[-1, 4]' is "
        'invalid for input of size 2")',
        way_out="use another batch.micro_batch_size, or no evaluation: data.eval_path=null, and no data.eval_fraction",
        methods=lambda method: method.draws is not None,
        broken=lambda run: (
            run.evaluates and bool(run.micro_batch_size * run.degrees.data_parallel_size % run.generations)
        ),
    ),
    Rule(
        number=5,
        what="dropout in an adapter with trainer={trainer}",
        reason="trl 1.16 disables all dropout in this method without a warning",
        way_out="use dropout=0 in the plugin, or trainer.disable_dropout=false",
        methods=lambda method: method.disables_dropout,
        broken=lambda run: run.dropout and run.disable_dropout is not False,
    ),
    Rule(
        number=6,
        what="modules_to_save with the head (lm_head, or embeddings tied to it), or trained tokens (model.chat_template, "
        "model.added_tokens), under FSDP2 on several ranks",
        reason="trl 1.16 does not sum the head's gradients over the ranks that share it",
        way_out="use strategy=zero3 or zero2",
        broken=lambda run: run.trains_head and run.strategy.dtensors and run.degrees.shard_size > 1,
    ),
    Rule(
        number=7,
        what="plugins.liger on a CPU",
        reason="its kernels are written in Triton, which needs a GPU",
        way_out="take liger out of plugin=[...]",
        broken=lambda run: run.kernels and run.device == "cpu",
    ),
    Rule(
        number=8,
        what="flash attention (model.attn_implementation) on a CPU",
        reason='transformers 5.23 finds no kernel there ("FlashAttention2 has been toggled on, but it cannot be used")',
        way_out="use model.attn_implementation=sdpa",
        broken=lambda run: "flash" in (run.attention or "") and run.device == "cpu",
    ),
    Rule(
        number=9,
        what="plugins.forgetting_guard, or another plugin that measures token predictions, with trainer={trainer}",
        reason="this model predicts no tokens",
        way_out="take that plugin out of plugin=[...]",
        methods=lambda method: method.own_head,
        broken=lambda run: run.guarded,
    ),
    Rule(
        number=10,
        what="plugins.sharded_checkpoint with a trainer.optim other than AdamW, muon, or bitsandbytes' AdamW and Lion",
        reason="checkpoints do not hold the state of any other optimizer, so the run could not resume from them",
        way_out="use trainer.optim=adamw_torch, or plugin=[...] without sharded_checkpoint",
        broken=lambda run: run.saves and run.optimizer not in (*ADAMW, *BITSANDBYTES, MUON),
    ),
    Rule(
        number=11,
        what="an optimizer of bitsandbytes (trainer.optim) under FSDP2 on several ranks",
        reason='bitsandbytes 0.50 does not support sharded tensors ("does not have a sharding strategy registered")',
        way_out="use trainer.optim=adamw_torch, or strategy=zero2",
        broken=lambda run: (
            run.strategy.dtensors and run.degrees.shard_size > 1 and _is_bitsandbytes(run.optimizer)
        ),
    ),
    Rule(
        number=12,
        what="init_lora_weights=pissa or olora with a reference model (trainer={trainer})",
        reason="trl 1.16 then keeps a second adapter as the reference, and the export would differ from what was trained",
        way_out="use init_lora_weights=true, or a method without a reference model",
        methods=lambda method: method.reference is not None,
        broken=lambda run: run.moves_weights and run.has_reference,
    ),
    Rule(
        number=14,
        what="plugins.sharded_checkpoint with an optimizer of bitsandbytes (trainer.optim) under a strategy other than ddp",
        reason="DeepSpeed 0.19.8 shards its quantised state differently from the weights, and FSDP2 cannot shard it",
        way_out="use strategy=ddp, trainer.optim=adamw_torch, or plugin=[...] without sharded_checkpoint",
        broken=lambda run: run.saves and run.optimizer in BITSANDBYTES and not run.strategy.replicates,
    ),
    Rule(
        number=15,
        what="plugins.qlora with use_dora=true under ZeRO-3",
        reason="DoRA's norm reads the 4-bit weights directly, and DeepSpeed 0.19.8 treats them as shards "
        "(\"'Params4bit' object has no attribute 'ds_status'\")",
        way_out="use strategy=zero2 or fsdp2, or use_dora=false",
        broken=lambda run: run.four_bit and run.dora and run.strategy.gathers_by_module,
    ),
    Rule(
        number=16,
        what="an adapter with tokens of its own (model.chat_template, model.added_tokens) under ZeRO-3 on a CPU",
        reason="peft 0.21 gathers their embeddings only on a GPU",
        way_out="use strategy=ddp or zero2, model.chat_template=zephyr, which has no such tokens, or GPUs",
        broken=lambda run: run.trains_tokens and run.device == "cpu" and run.strategy.gathers_by_module,
    ),
    Rule(
        number=17,
        what="plugins.lora with load_in=8bit under a strategy that shards weights",
        reason="the scales of 8-bit weights are tensors of their own, which neither DeepSpeed 0.19.8 nor FSDP2 shards",
        way_out="use strategy=ddp or zero2, or plugin=[qlora]",
        broken=lambda run: run.eight_bit and run.strategy.shards_weights,
    ),
    Rule(
        number=18,
        what="strategy.offload_optimizer=true with a trainer.optim other than AdamW, Lion in 32 bits, sgd, rmsprop or adagrad",
        reason="accelerate 1.15 would run DeepSpeed's CPU Adam with L2 instead, without a warning",
        way_out="use trainer.optim=adamw_torch, or strategy=zero2 or zero3 without offloading",
        broken=lambda run: (
            run.strategy.offload_optimizer and not run.strategy.offloads_optimizer(run.optimizer)
        ),
    ),
    Rule(
        number=19,
        what="plugins.qlora, or plugins.lora with load_in=8bit, over a checkpoint that is packed already (gpt-oss: MXFP4)",
        reason="bitsandbytes cannot pack such weights again (transformers 5.23 raises a ValueError on the ranks)",
        way_out="use plugin=[lora], which trains over gpt-oss's weights in bf16, or a checkpoint with plain weights",
        broken=lambda run: run.packed and (run.four_bit or run.eight_bit),
    ),
    Rule(
        number=20,
        what="strategy.sequence_parallel_size with trainer={trainer}",
        reason="its loss is not a sum over tokens, of which each rank could compute those of its part",
        way_out="use strategy.sequence_parallel_size=1, or trainer=sft",
        methods=lambda method: not method.shares_sequences,
        values=_shared,
        broken=lambda run: run.degrees.sequence > 1,
    ),
    Rule(
        number=21,
        what="strategy.sequence_parallel_size that does not divide the model's attention heads, or that neither divides its "
        "key-value heads nor is a multiple of them",
        reason="in attention each rank computes an equal number of heads",
        way_out="use a strategy.sequence_parallel_size that does, such as 1",
        values=lambda run: (
            f"{_shared(run)}, {run.heads} attention heads, {run.key_value_heads} key-value heads"
        ),
        broken=lambda run: not _divides_heads(run),
    ),
    Rule(
        number=22,
        what="strategy.sequence_parallel_size with a model whose layers have a sliding window or linear attention",
        reason="a window's mask and a layer's state would start again in the part of each rank",
        way_out="use strategy.sequence_parallel_size=1, or a model with full attention in every layer",
        values=_shared,
        broken=lambda run: run.degrees.sequence > 1 and run.sees_less,
    ),
    Rule(
        number=23,
        what="strategy.sequence_parallel_size with trainer.router_aux_loss_coef",
        reason="each rank would balance the routers over its own part of a row",
        way_out="use strategy.sequence_parallel_size=1, or trainer.router_aux_loss_coef=null",
        values=_shared,
        broken=lambda run: run.degrees.sequence > 1 and run.balances,
    ),
    Rule(
        number=24,
        what="strategy.sequence_parallel_size with a model.attn_implementation other than sdpa and flash attention",
        reason="ranks exchange tokens in transformers' registered attention functions, and others have masks of their own",
        way_out="use model.attn_implementation=sdpa or flash_attention_2",
        values=_shared,
        broken=lambda run: (
            run.degrees.sequence > 1 and not (run.attention or "sdpa").startswith(("sdpa", "flash_attention"))
        ),
    ),
    Rule(
        number=25,
        what="strategy.sequence_parallel_size with trainer.torch_compile=true",
        reason="the exchange between ranks would be part of the compiled graph, which is not tested",
        way_out="use trainer.torch_compile=false, or strategy.sequence_parallel_size=1",
        values=_shared,
        broken=lambda run: run.degrees.sequence > 1 and run.compiled,
    ),
    Rule(
        number=26,
        what="strategy.hpz_size with a second model: a teacher, or the reference model of a full fine-tune (trainer={trainer})",
        reason="DeepSpeed 0.19.8 makes the groups of a second copy only once in a process "
        '("ZeRO parameter intra parallel group is already initialized")',
        way_out="use strategy.hpz_size=1",
        methods=lambda method: method.reference is not None or method.teacher is not None,
        broken=lambda run: run.degrees.hpz > 1 and run.second_model,
    ),
    Rule(
        number=27,
        what="generation.mode=server or colocate with 4-bit or 8-bit weights (plugins.qlora, plugins.lora with load_in=8bit)",
        reason="trl 1.16 sends the weights to vLLM as they are stored, and vLLM cannot read bitsandbytes' bytes as a tensor",
        way_out="use plugin=[lora], or generation.mode=none",
        broken=lambda run: run.generates != "none" and (run.four_bit or run.eight_bit),
    ),
    Rule(
        number=28,
        what="generation.mode=server or colocate with an adapter under a strategy that shards weights",
        reason="trl 1.16 adds the adapter to whole weights before it sends them, and the ranks hold parts of them",
        way_out="use strategy=zero2 or ddp, train all weights (plugin without lora), or use generation.mode=none",
        broken=lambda run: run.generates != "none" and run.adapter and run.strategy.shards_weights,
    ),
    Rule(
        number=29,
        what="generation.mode=server with cluster.rank_starter=accelerate",
        reason="the supervisor starts, watches and restarts the server through its own agents on the nodes",
        way_out="use cluster.rank_starter=launcher",
        broken=lambda run: run.generates == "server" and run.rank_starter != "launcher",
    ),
    Rule(
        number=30,
        what="generation.mode=colocate on a CPU",
        reason="vLLM in the ranks needs their GPUs",
        way_out="use generation.mode=none, or resources.device=cuda",
        broken=lambda run: run.generates == "colocate" and run.device == "cpu",
    ),
    Rule(
        number=31,
        what="trainer.router_aux_loss_coef with trainer.torch_compile=true",
        reason="the routers' choices are read by hooks, which would be part of the compiled graph; that is not tested",
        way_out="use trainer.torch_compile=false, or trainer.router_aux_loss_coef=null",
        broken=lambda run: run.balances and run.compiled,
    ),
    Rule(
        number=32,
        what="trainer.router_aux_loss_coef with a model without experts",
        reason="it has no router that this loss could balance",
        way_out="use trainer.router_aux_loss_coef=null, or a mixture of experts such as model=qwen3_30b_a3b",
        broken=lambda run: run.balances and run.experts is False,
    ),
    Rule(
        number=33,
        what="trainer.optim=muon with DeepSpeed (zero1, zero2, zero3) or with offloading",
        reason="Muon orthogonalizes whole matrices, and ZeRO's optimizer sees flat shards; on the host it would take too long",
        way_out="use strategy=fsdp2 or ddp, or trainer.optim=adamw_torch",
        broken=lambda run: run.optimizer == MUON and (run.strategy.flat_copy or run.strategy.offloads),
    ),
    Rule(
        number=34,
        what="trainer.mlp_tile_tokens with a mixture of experts, trainer.torch_compile=true or DeepSpeed (zero1 to zero3)",
        reason="routers are read once in a pass, a compiled graph would hold all tiles, and tiles under ZeRO are not tested",
        way_out="use trainer.mlp_tile_tokens=null, or a dense model with strategy=fsdp2 or ddp",
        broken=lambda run: run.tiles and (bool(run.experts) or run.compiled or run.strategy.writes_deepspeed),
    ),
)
"""The rules that are not specific to one method or plugin; a method's own rules are in its spec, a plugin's in its traits."""
