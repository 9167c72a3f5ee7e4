"""Library messages on which nobody can act are kept out of the logs, and no others."""

import subprocess
import sys

SAYS = """
import logging, sys, warnings
from launcher.train.noise import leave_out_noise
leave_out_noise()
leave_out_noise()
logging.getLogger("bitsandbytes.backends.cpu.ops").warning("Failed to load CPU gemm_4bit_forward from there: %s", "no kernels")
logging.getLogger("bitsandbytes.backends.cpu.ops").warning("another matter of bitsandbytes")
logging.getLogger("DeepSpeed").warning("Setting accelerator to CPU. If you have a GPU, ...")
logging.getLogger("DeepSpeed").warning("another matter of DeepSpeed")
for module in ("transformers.modeling_utils", "accelerate.accelerator", "my_plugin", "torchmine"):
    warnings.warn_explicit(f"old name in {module}", FutureWarning, "f.py", 1, module=module)
warnings.warn_explicit("a user's fault", UserWarning, "f.py", 2, module="transformers.trainer")
"""


def test_noise_of_libraries_is_left_out_and_nothing_else():
    done = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=True)
    assert [line.split("Warning: ", 1)[-1] for line in done.stderr.splitlines()] == [
        "another matter of bitsandbytes",
        "another matter of DeepSpeed",
        "old name in my_plugin",
        "old name in torchmine",
        "a user's fault",
    ]
