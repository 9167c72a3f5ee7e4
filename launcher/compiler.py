"""Whether this machine can compile the operators of DeepSpeed that a run uses.

torch.utils.cpp_extension compiles them when they are first used. At every later start it checks them again, which also needs
the compiler and ninja. Operators that were compiled when DeepSpeed was installed (DS_BUILD_CPU_ADAM=1) need neither.
"""

import ast
import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher import environment


def lacking_for(operators: Sequence[str], device: str, environ: Mapping[str, str]) -> str | None:
    """What this machine lacks to compile these operators, with the way to get it; None if it lacks nothing or has them."""
    if not [name for name in operators if name not in _installed(device)]:
        return None
    compiler = (shlex.split(environ.get(environment.CXX, "")) or ["c++"])[0]
    path = search_path(environ)
    if shutil.which(compiler, path=path) is None:
        return f"a C++ compiler ({compiler}); apt-get install g++, or load a module of the site with one in cluster.modules"
    if shutil.which("ninja", path=path) is None:
        return "ninja; pip install ninja"
    import sysconfig  # imported here: most runs compile nothing

    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.is_file():
        return f"Python's headers ({header}); apt-get install python3-dev"
    return None


def search_path(environ: Mapping[str, str]) -> str:
    """PATH, then the folder of the running Python, in which ninja is installed: a virtual environment need not be activated."""
    return os.pathsep.join(
        part for part in (environ.get(environment.SEARCH_PATH, ""), str(Path(sys.executable).parent)) if part
    )


def _installed(device: str) -> set[str]:
    """The operators that were compiled for this device when DeepSpeed was installed. DeepSpeed is not imported."""
    found = importlib.util.find_spec("deepspeed")
    file = Path(found.origin).with_name("git_version_info_installed.py") if found and found.origin else None
    if file is None or not file.is_file():
        return set()
    values = {
        target.id: ast.literal_eval(line.value)
        for line in ast.parse(file.read_text()).body
        if isinstance(line, ast.Assign) and isinstance(target := line.targets[0], ast.Name)
    }
    if values.get("accelerator_name") != device:  # as DeepSpeed 0.19.8 does, op_builder/builder.py
        return set()
    return {name for name, is_there in values.get("installed_ops", {}).items() if is_there}
