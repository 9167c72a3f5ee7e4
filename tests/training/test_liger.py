"""liger-kernel's layers, by a package that replaces what liger-kernel replaces: the real one needs Triton and a GPU."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama
from transformers.utils import import_utils

from launcher.errors import PlanError
from launcher.plugins.base import all_set_aside
from launcher.plugins.liger import Liger

pytestmark = pytest.mark.train

PATCHING = """
import torch
from transformers.models.llama import modeling_llama

class Fused(torch.nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(8))
    def forward(self, *args):
        raise RuntimeError("0 active drivers ([]). There should only be one.")

def fused_rope(*args, **kwargs):
    raise RuntimeError("0 active drivers ([]). There should only be one.")

def fused_forward(self, *args, **kwargs):
    raise RuntimeError("0 active drivers ([]). There should only be one.")

def _apply_liger_kernel_to_instance(model, rope, rms_norm, swiglu, **other):
    if model.config.hidden_size == 16 and rope:
        raise NotImplementedError("liger_rotary_pos_emb is not available for Glm4 models.")
    modeling_llama.apply_rotary_pos_emb = fused_rope
    modeling_llama.LlamaRMSNorm = Fused
    modeling_llama.LlamaMLP.forward = fused_forward
"""


@pytest.fixture
def liger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Liger]:
    """The plugin over a package of liger-kernel's names."""
    package = tmp_path / "liger_kernel" / "transformers"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(PATCHING)
    (package / "monkey_patch.py").write_text("MODEL_TYPE_TO_APPLY_LIGER_FN = {'llama': None}")
    known = tmp_path / "liger_kernel-0.8.5.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: liger-kernel\nVersion: 0.8.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    own = [(where, dict(vars(where))) for where in (modeling_llama, modeling_llama.LlamaMLP)]
    import_utils.is_liger_kernel_available.cache_clear()
    yield Liger()
    for where, attributes in own:
        for name in ("apply_rotary_pos_emb", "LlamaRMSNorm", "forward"):
            if name in attributes:
                setattr(where, name, attributes[name])
    for name in [*sys.modules]:
        if name.startswith("liger_kernel") or name.endswith("liger_layers"):
            del sys.modules[name]
    import_utils.is_liger_kernel_available.cache_clear()
    importlib.invalidate_caches()


def small(width: int = 8) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=width, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=16
        )
    )


def test_a_model_that_is_loaded_back_beside_one_with_ligers_kernels_has_no_such_kernels(liger):
    """They do not run on the CPU, on which an export is loaded back."""
    ids = torch.arange(4)[None]
    before = small()(ids).logits
    liger.on_model(small())
    with pytest.raises(RuntimeError, match="active drivers"):
        small()(ids)
    with all_set_aside([liger]):
        assert torch.equal(small()(ids).logits, before)
    with pytest.raises(RuntimeError, match="active drivers"):  # the trained model still uses them
        small()(ids)


def test_a_kernel_that_a_model_lacks_is_refused_with_the_way_out(liger):
    with pytest.raises(
        PlanError, match=r"not available for Glm4 models.; use plugins.liger.rope=false, or remove liger"
    ):
        liger.on_model(small(16))
