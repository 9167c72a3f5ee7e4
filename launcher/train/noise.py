"""Suppresses messages of libraries that need no action. Messages of plugins and of the user's modules stay."""

import logging
import warnings

_SUPPRESSED = {
    # bitsandbytes 0.50 at import on a machine without the package kernels: it then uses its own code
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
    # DeepSpeed 0.19 at import on a machine without a GPU, which the plan says already
    "DeepSpeed": "Setting accelerator to CPU",
}
"""Logger -> the beginning of the message that is suppressed."""
_LIBRARIES = ("accelerate", "bitsandbytes", "datasets", "deepspeed", "peft", "torch", "transformers", "trl")


class _LeftOut(logging.Filter):
    """Drops one message of one logger."""

    def __init__(self, begins: str) -> None:
        super().__init__()
        self._begins = begins

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message is shown."""
        return not record.getMessage().startswith(self._begins)


def leave_out_noise() -> None:
    """Suppresses these messages, and the libraries' warnings to each other about names that they will change.

    It is called before the libraries are imported; a forked rank inherits it, and a second call changes nothing.
    """
    for name, begins in _SUPPRESSED.items():
        logger = logging.getLogger(name)
        if not any(isinstance(one, _LeftOut) for one in logger.filters):
            logger.addFilter(_LeftOut(begins))
    for library in _LIBRARIES:
        for kind in (FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", category=kind, module=rf"{library}(\.|$)")
