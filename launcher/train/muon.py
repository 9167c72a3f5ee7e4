"""Muon for the matrices of hidden layers, and AdamW for everything else, as one optimizer."""

from typing import Any

import torch
from torch import nn

from launcher.train.upstream.torch_muon_shards import ShardedMuon

MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """torch's Muon and torch's AdamW over one list of parameter groups and one state.

    Muon's learning rate is scaled for each matrix so that its update has the size of AdamW's (match_rms_adamw), so one learning
    rate and one schedule serve both. Source: Jordan et al., kellerjordan.github.io/posts/muon; Liu et al., Muon is scalable for
    LLM training (arXiv 2502.16982), section 2.2; torch 2.13, optim/_muon.py.
    """

    def __init__(self, matrices: list[Any], others: list[Any], *, lr: float, **adam: Any) -> None:
        """Parameter groups of both kinds, each with its weight_decay; `adam`: AdamW's betas and eps."""
        self._parts: dict[bool, torch.optim.Optimizer] = {}
        if any(group["params"] for group in matrices):
            self._parts[True] = ShardedMuon(
                matrices, lr=lr, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
            )
        if any(group["params"] for group in others):
            self._parts[False] = torch.optim.AdamW(others, lr=lr, foreach=False, **adam)
        groups = [
            {**group, "matrices": kind} for kind, part in self._parts.items() for group in part.param_groups
        ]
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of both; the groups are shared again, because accelerate and a restore replace them."""
        loss = closure() if closure is not None else None
        for kind, part in self._parts.items():
            part.param_groups = [group for group in self.param_groups if group["matrices"] is kind]
            part.state = self.state
            part.step()
        return loss

    def make_state(self) -> None:
        """Makes the state of every parameter, as the first step would, so that a restore can fill it."""
        kinds = {True: ("momentum_buffer",), False: ("exp_avg", "exp_avg_sq")}
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                for kind in kinds[group["matrices"]]:
                    state.setdefault(kind, torch.zeros_like(parameter.data))
                if not group["matrices"]:
                    state.setdefault("step", torch.zeros((), dtype=torch.float32))


def make_muon(model: Any, decayed: list[str], args: Any) -> Muon:
    """The optimizer of a model's trained parameters. `decayed`: names of those with weight decay; `args`: the trainer's.

    Matrices of hidden layers are all parameters of two dimensions, adapters included, except those of the embedding and of all
    heads (of tokens, classes or rewards). Stacked experts, with three dimensions, are trained by AdamW.
    """
    apart = _tables(model)
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim == 2 and id(parameter) not in apart
            groups.setdefault((matrix, name in decayed), []).append(parameter)
    made = {True: [], False: []}
    for (matrix, decays), parameters in groups.items():
        made[matrix].append({"params": parameters, "weight_decay": args.weight_decay if decays else 0.0})
    return Muon(
        made[True],
        made[False],
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
    )


def _tables(model: Any) -> set[int]:
    """Identities of the parameters of the embedding and of all heads, with what an adapter has put into them."""
    heads = [model.get_input_embeddings(), model.get_output_embeddings()]
    named = [one for name, one in model.named_modules() if name.rpartition(".")[2] in ("score", "classifier")]
    embeddings = [one for one in model.modules() if isinstance(one, nn.Embedding)]
    return {
        id(parameter)
        for one in (*heads, *named, *embeddings)
        if one is not None
        for parameter in one.parameters()
    }
