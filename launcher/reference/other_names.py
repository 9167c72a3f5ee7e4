"""The page of the names that other tools give to settings."""

from launcher.config.other_names import counterparts
from launcher.reference.markdown import code, page, table

_INTRO = """Settings of transformers, trl, peft, accelerate, DeepSpeed, axolotl, LLaMA-Factory, torchtune and Slurm, and the key
here that does the same. Whoever types such a name, bare or below a group (`lr=1e-4`, `trainer.lr=1e-4`), on the command line
or in a file, is told the key in one line. A key below `plugins` needs its plugin: `'plugin=[lora]'`."""


def other_names_page() -> str:
    """docs/reference/other_names.md."""
    rows = [
        (
            code(one.key or "") or "nothing to set",
            ", ".join(code(name) for name in one.names),
            one.note or "The same setting.",
        )
        for one in counterparts()
    ]
    return page("Names of other tools", _INTRO, table(("here", "elsewhere", "what differs"), rows))
