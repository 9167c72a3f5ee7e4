"""Exports a run's model as a GGUF file, by llama.cpp's own converter."""

import importlib.util
import shutil
import sys
from pathlib import Path

from launcher.after.choose import chosen_checkpoint
from launcher.after.export import check_free
from launcher.after.worker import showing, worker
from launcher.config import read_config
from launcher.errors import PackageError, RunError, UsageError
from launcher.methods.registry import find_method
from launcher.output import align
from launcher.protocol.work.requests import MakeGguf
from launcher.protocol.work.results import ExportedGguf
from launcher.run import RunDir
from launcher.units import mebibytes, plural

DIRECT = ("f16", "bf16", "f32", "q8_0")
"""Types that the converter itself writes. Source: convert_hf_to_gguf.py --outtype."""
QUANTISED = (
    "q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_0", "q4_k_s", "q4_k_m", "q5_0", "q5_k_s", "q5_k_m", "q6_k", "iq4_nl", "iq4_xs",
)  # fmt: skip
"""Types that llama-quantize makes of an f16 file. Source: llama.cpp, tools/quantize."""
_SCRIPTS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")
"""The name of the converter in llama.cpp's folder, and the command that its package installs."""
_QUANTIZER = "llama-quantize"


def export_gguf(
    run: RunDir, *, type: str, converter: Path | None, to: Path | None, checkpoint: str | None, force: bool
) -> ExportedGguf:
    """The written file and its check; RunError if it exists or cannot be converted, PackageError without the converter."""
    if type not in (*DIRECT, *QUANTISED):
        raise UsageError(f"--gguf {type}: choose one of {', '.join((*DIRECT, *QUANTISED))}")
    command = find_converter(converter)
    quantizer = None if type in DIRECT else _find_quantizer(converter, type)
    if find_method(read_config(str(run.config)).trainer.kind).own_head:
        raise RunError(
            f"{run.name} gives scores, and GGUF files hold models that write text; export it without --gguf"
        )
    chosen = chosen_checkpoint(run, checkpoint)
    name = "_".join(["gguf", type, *([chosen.name] if chosen else [])])
    target = (to or run.path / "export" / name).absolute()
    check_free(target, force)
    request = MakeGguf(
        run_dir=str(run.path),
        checkpoint=str(chosen) if chosen else None,
        to=str(target),
        type=type,
        converter=tuple(command),
        quantizer=quantizer,
        force=force,
    )
    with worker(request) as work, showing() as show:
        return work.result(ExportedGguf, show)


def find_converter(given: Path | None) -> list[str]:
    """The command of llama.cpp's converter; PackageError, with the way to install it, if it is not found."""
    if importlib.util.find_spec("gguf") is None:
        raise PackageError("--gguf reads the file back with the package gguf; pip install gguf")
    if given is not None:
        file = given / _SCRIPTS[0] if given.is_dir() else given
        if not file.is_file():
            raise UsageError(
                f"--converter {given}: {file} is not a file; give llama.cpp's folder or its {_SCRIPTS[0]}"
            )
        return _words(file)
    here = str(Path(sys.executable).parent)
    for name in _SCRIPTS:
        if found := shutil.which(name) or shutil.which(name, path=here):
            return _words(Path(found))
    raise PackageError(
        "--gguf needs llama.cpp's converter, which is not on PATH; git clone --depth 1 https://github.com/ggml-org/llama.cpp "
        "&& pip install sentencepiece, and give --converter llama.cpp"
    )


def _words(file: Path) -> list[str]:
    path = str(file.absolute())
    return [sys.executable, path] if file.suffix == ".py" else [path]


def _find_quantizer(given: Path | None, type: str) -> str:
    build = str(given / "build" / "bin") if given is not None and given.is_dir() else ""
    found = shutil.which(_QUANTIZER) or (shutil.which(_QUANTIZER, path=build) if build else None)
    if found is None:
        raise PackageError(
            f"--gguf {type} needs {_QUANTIZER} of llama.cpp, which is not on PATH; build llama.cpp (cmake -B build && cmake "
            f"--build build --target {_QUANTIZER}), or choose one of {', '.join(DIRECT)}"
        )
    return found


def describe_gguf(result: ExportedGguf) -> str:
    """The written file and its check as text."""
    step = "" if result.step is None else f" of step {result.step}"
    checks = [f"read back: {plural(result.tensors, 'tensor')}"]
    if result.difference is not None:
        checks.append(
            f"the values of {result.tensors_compared} differ by at most {result.difference:.2g} of their size"
        )
    if result.logits_difference is not None:
        checks.append(f"the logits by {result.logits_difference:.2g}")
    return align(
        [
            ("gguf", result.file),
            ("holds", f"the model{step}, {result.type}, {mebibytes(result.bytes)}"),
            ("checked", ", ".join(checks)),
            ("next", f"llama-cli -m {result.file}"),
        ]
    )
