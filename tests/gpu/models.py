"""Models of known shapes with random weights, made from a configuration, since there may be no network."""

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.memory_cuda import KEYS, MODELS
from tests.gpu.place import Place, variables
from tests.support.paths import ROOT

SHAPES: dict[str, tuple[int, int, int, int, int, int]] = {
    "tiny": (64, 128, 2, 4, 2, 512), **MODELS, "70B": (8192, 28672, 80, 64, 8, 128_256),
}  # fmt: skip
"""Name -> width, width of the MLP, layers, heads, key and value heads, vocabulary."""
_FILE = 4 << 30


def size_for(place: Place, name: str) -> str:
    """The shape's name; on a CPU the tiny one in its place."""
    return name if place.device == "cuda" else "tiny"


def configuration(name: str) -> Any:
    """transformers' configuration of that shape."""
    from transformers import LlamaConfig

    from launcher.data.tokenizer import byte_tokenizer

    tokenizer = byte_tokenizer()
    return LlamaConfig(
        **dict(zip(KEYS, SHAPES[name], strict=True)), max_position_embeddings=8192, tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, dtype="bfloat16",
    )  # fmt: skip


def model(place: Place, name: str) -> Path:
    """The folder of the model with random weights in bf16, made once on the device, by a process that then leaves it free."""
    folder = place.out / "models" / name
    if not folder.is_dir():
        line = [sys.executable, "-m", "tests.gpu.models", name, str(folder), place.device]
        subprocess.run(line, cwd=ROOT, env=variables(), check=True)
    return folder


def make(name: str, folder: Path, device: str) -> None:
    """Makes the model in the folder."""
    import torch
    from transformers import LlamaForCausalLM

    from launcher.data.tokenizer import byte_tokenizer

    part = folder.with_name(f".{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        made = LlamaForCausalLM(configuration(name))
    made.save_pretrained(part)
    byte_tokenizer().save_pretrained(part)
    part.rename(folder)


def hollow_model(place: Place, name: str) -> Path:
    """The folder of a model of zeros in bf16, whose files are sparse and take no room on the disk, however large it is."""
    import torch
    from transformers import LlamaForCausalLM

    folder = place.out / "models" / f"{name}_hollow"
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    config = configuration(name)
    with torch.device("meta"):
        tensors = {key: tuple(one.shape) for key, one in LlamaForCausalLM(config).state_dict().items()}
    files: list[dict[str, tuple[int, ...]]] = [{}]
    held = 0
    for key, shape in tensors.items():
        size = 2 * int(torch.Size(shape).numel())
        if held and held + size > _FILE:
            files.append({})
            held = 0
        files[-1][key] = shape
        held += size
    where: dict[str, str] = {}
    for number, content in enumerate(files, start=1):
        file = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        _write_hollow(part / file, content)
        where |= dict.fromkeys(content, file)
    total = sum(2 * int(torch.Size(shape).numel()) for shape in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (part / "model.safetensors.index.json").write_text(json.dumps(index))
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(part)
    part.rename(folder)
    return folder


def _write_hollow(path: Path, tensors: dict[str, tuple[int, ...]]) -> None:
    """A file of zeros in the format of safetensors: the length of the header, the header, and a hole."""
    at = 0
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for name, shape in tensors.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
