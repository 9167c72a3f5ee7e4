"""Adapters that begin with weights: those of the adapter that a run starts from, or a part of the base model's (PiSSA,
OLoRA).

peft subtracts that part, B0 A0, from the base model. A resumed run does the same again, from the same seed. The export is a
plain adapter of twice the rank, B A - B0 A0, which fits the unchanged base model. Source: Meng et al., PiSSA (arXiv
2404.02948), appendix C; Buyukakyuz, OLoRA (arXiv 2406.01775).
"""

import copy
import functools
import math
from typing import Any

import torch
from peft import load_peft_weights, set_peft_model_state_dict

from launcher.errors import ConfigError


def load_weights(model: Any, folder: str) -> None:
    """Loads every weight of the adapter in the folder; ConfigError unless both have the same weights."""
    try:
        weights = load_peft_weights(folder, device="cpu")
        found = set_peft_model_state_dict(model, weights)
    except (OSError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        raise ConfigError(
            f"model.adapter={folder} does not fit this model ({lines[-1].strip() if lines else type(error).__name__}); was it "
            "trained on another base model?"
        ) from None
    trained = {name.replace(".default", "") for name, one in model.named_parameters() if one.requires_grad}
    lacking = sorted(name for name in found.missing_keys if name.replace(".default", "") in trained)
    if lacking or found.unexpected_keys:
        odd = lacking[0] if lacking else found.unexpected_keys[0]
        raise ConfigError(
            f"model.adapter={folder}: {odd} is {'trained here but not in the adapter' if lacking else 'not trained here'}; "
            "was it trained on another base model, or with other settings?"
        )


def remember_initial(model: Any) -> None:
    """Keeps A0 and B0, and makes the PeftModel export itself as an adapter of the unchanged base model."""
    initial = {
        name: parameter.detach().float().cpu().clone()
        for name, parameter in model.named_parameters()
        if ".lora_A." in name or ".lora_B." in name
    }

    def save_pretrained(folder: Any, *, state_dict: dict[str, Any], **options: Any) -> None:
        trained = model.peft_config
        model.peft_config = {name: plain_config(config) for name, config in trained.items()}
        try:
            type(model).save_pretrained(model, folder, state_dict=state_dict, **options)
        finally:
            model.peft_config = trained

    model.save_pretrained = save_pretrained
    model.as_exported = functools.partial(plain, initial=initial)


def plain(state: dict[str, Any], initial: dict[str, Any]) -> dict[str, Any]:
    """The trained and the initial tensors, concatenated: [A; A0] and [B, -B0]."""
    changed: dict[str, Any] = {}
    for name, tensor in state.items():
        if ".lora_A." in name:
            tensor = torch.cat([tensor.float(), initial[name]], dim=0)
        elif ".lora_B." in name:
            tensor = torch.cat([tensor.float(), -initial[name]], dim=1)
        changed[name] = tensor
    return changed


def plain_config(config: Any) -> Any:
    """The configuration of the adapter with twice the rank and the same scale."""
    changed = copy.deepcopy(config)
    scale = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
    changed.r, changed.use_rslora = 2 * config.r, False
    changed.lora_alpha = scale * changed.r
    changed.init_lora_weights = True
    return changed
