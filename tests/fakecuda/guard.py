"""Compiles guard.cpp with torch's own headers, once for each version of both, and loads it before torch."""

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

TORCH = "2.13"
"""The minor version of torch whose internal interfaces guard.cpp implements."""
_SOURCE = Path(__file__).with_name("guard.cpp")


def missing() -> str | None:
    """Why there can be no fake CUDA device here; None if there can."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return "the fake CUDA device needs torch, which is not installed"
    if not version.startswith(f"{TORCH}."):
        return f"the fake CUDA device is written for torch {TORCH}, and this is torch {version}"
    if not list((_torch() / "lib").glob("libtorch_cpu.so")) or list(
        (_torch() / "lib").glob("libtorch_cuda.so")
    ):
        return "the fake CUDA device needs torch's CPU build for Linux"
    return None if shutil.which("g++") else "the fake CUDA device needs g++, which is not installed"


def build() -> Path:
    """The compiled library, in a folder of the temporary directory that belongs to this user."""
    torch = _torch()
    key = hashlib.sha256(
        f"{_SOURCE.read_text()}{importlib.metadata.version('torch')}{torch}".encode()
    ).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"launcher_fakecuda_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"guard_{key}.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}")
        include = torch / "include"
        subprocess.run(
            [
                "g++", "-O1", "-std=c++20", "-shared", "-fPIC", str(_SOURCE), "-o", str(part), f"-I{include}",
                f"-I{include / 'torch' / 'csrc' / 'api' / 'include'}", f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu",
            ],
            check=True,
        )  # fmt: skip
        part.rename(library)
    return library


def load() -> None:
    """Registers the device in this process, in which torch must not have been imported: its hooks are asked for only once."""
    for name in ("libc10.so", "libtorch_cpu.so"):
        ctypes.CDLL(str(_torch() / "lib" / name), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(build()), mode=ctypes.RTLD_GLOBAL).install_fake_cuda()


def _torch() -> Path:
    """The folder of the installed torch, which is not imported."""
    found = importlib.util.find_spec("torch")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent
