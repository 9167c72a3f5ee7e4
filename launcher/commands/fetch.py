"""python -m launcher fetch +experiment=NAME [key=value ...]: bring a run's model and data into the cache."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from launcher.errors import Exit, FetchFailed
from launcher.hub import Wanted, cache_folder, find_wanted
from launcher.launching.compose import compose
from launcher.launching.data_gate import data_paths

HELP = """usage: python -m launcher fetch +experiment=NAME [key=value ...] [--json]

Fetch the model and the data sets that a run reads from a hub into the hub's cache ($HF_HOME), with the words that launch it.
Nodes need no way to the hub then. A run also fetches by itself, on one node before its ranks start.

example: python -m launcher fetch +experiment=llama8b_lora
"""


def main(arguments: list[str]) -> int:
    """The exit code."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return Exit.OK
    as_json = "--json" in arguments
    seen: list[str] = []
    for composed in compose([argument for argument in arguments if argument != "--json"]):
        config = composed.config
        paths = data_paths(config)
        wanted = find_wanted(config, str(Path.cwd()), (*paths.training, paths.evaluation))
        if wanted is None or wanted.to_json() in seen:
            continue
        seen.append(wanted.to_json())
        environ = {**os.environ, **config.cluster.env}
        found = _fetch(wanted, environ, quiet=as_json)
        names = [*filter(None, [wanted.model]), *wanted.data]
        told = {"names": names, "cache": str(cache_folder(environ)), **found}
        if as_json:
            print(json.dumps(told), flush=True)
        else:
            print(f"{', '.join(names)}: in {told['cache']}, {found['bytes'] / 2**30:.2f} GiB of it new")
    if not seen:
        print(json.dumps({"names": []}) if as_json else "this run reads nothing from a hub")
    return Exit.OK


def _fetch(wanted: Wanted, environ: dict[str, str], *, quiet: bool) -> dict[str, Any]:
    """commit and bytes of what was fetched; FetchFailed where it is not to be had."""
    words = [sys.executable, "-m", "launcher.train.fetch", wanted.to_json()]
    said: dict[str, Any] = {}
    with subprocess.Popen(
        words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        for line in process.stdout:
            if line.startswith("{"):
                said = json.loads(line)
        code = process.wait()
    if code:
        raise FetchFailed(said.get("error") or f"fetching ended with exit code {code}")
    return said
