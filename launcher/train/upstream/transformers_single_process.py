"""transformers 5.23: loading a model as one process inside a rank of several.

Symptom: from_pretrained looks at a module-level reference to DeepSpeed's settings (integrations/deepspeed.py) and at the
variable ACCELERATE_USE_FSDP (modeling_utils.py). In a rank of a sharded run it would shard the weights under ZeRO-3, and leave
them empty on all ranks except the first under FSDP2. Public functions set and unset the reference, and none returns
what it refers to.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_process() -> Iterator[None]:
    """Within the context, this process alone loads complete models."""
    from transformers.integrations import deepspeed as integration

    kept = integration._hf_deepspeed_config_weak_ref
    fsdp = os.environ.pop("ACCELERATE_USE_FSDP", None)
    integration.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        if (settings := kept() if kept is not None else None) is not None:
            integration.set_hf_deepspeed_config(settings)
        if fsdp is not None:
            os.environ["ACCELERATE_USE_FSDP"] = fsdp
