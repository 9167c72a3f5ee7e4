"""The weights of the adapter that a run starts from, loaded into the run's own adapter."""

from typing import Any

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
            f"model.adapter={folder} does not fit this model ({lines[-1].strip() if lines else type(error).__name__}); is its "
            "base model another one?"
        ) from None
    trained = {name.replace(".default", "") for name, one in model.named_parameters() if one.requires_grad}
    lacking = sorted(name for name in found.missing_keys if name.replace(".default", "") in trained)
    if lacking or found.unexpected_keys:
        odd = lacking[0] if lacking else found.unexpected_keys[0]
        raise ConfigError(
            f"model.adapter={folder}: {odd} is {'trained here but not in it' if lacking else 'not trained here'}; is its "
            "base model another one, or was it trained with other settings?"
        )
