"""Files that a command names: configurations, recipes of other tools, and data of each storage."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

from launcher.clusters.cluster_file import edit
from tests.security.surfaces.base import Surface, as_json, as_lines, file_of, verb

ROWS: tuple[dict[str, Any], ...] = (
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 1}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}], "tools": []},
    {"prompt": "a", "chosen": "b", "rejected": "c", "margin": 1.5},
    {"instruction": "a", "input": "", "output": "b", "history": [["a", "b"]]},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    {"text": "a"},
)  # fmt: skip
OWN_FILE = """\
extends: tiny
name: mine
trainer: {learning_rate: 1e-4, max_steps: 3}
plugins: {lora: {r: 8}}
data:
  path: rows.jsonl
  sources: [{path: a.jsonl, weight: 1}]
cluster: local
"""
RECIPE = """\
base_model: some/base
datasets: [{path: a.jsonl, type: chat_template}]
adapter: lora
lora_r: 8
sequence_len: 512
micro_batch_size: 2
learning_rate: 2e-4
deepspeed: deepspeed_configs/zero2.json
"""
CLUSTER = "defaults: [slurm, _self_]\npeak_tflops: 100\nsbatch: {partition: gpu}  # here\n"


def typed(folder: Path) -> list[Surface]:
    """Files of one's own that a command names."""
    own_file, recipe = folder / "mine.yaml", folder / "recipe.yaml"
    return [
        Surface(name="--config FILE", good=OWN_FILE.encode(), suffix=".yaml", cost=50,
                read=file_of(own_file, lambda: verb("plan", "--config", str(own_file)))),
        Surface(name="convert-recipe FILE", good=RECIPE.encode(), suffix=".yaml", cost=5,
                read=file_of(recipe, lambda: verb("convert-recipe", str(recipe), "-o", str(folder / "out.yaml"), "--force"))),
        Surface(name="a cluster file", good=CLUSTER.encode(), suffix=".yaml", cost=5,
                read=lambda content: edit(content.decode("latin-1"), {"peak_tflops": 5.0}, "FILE")),
    ]  # fmt: skip


def data_files(folder: Path) -> list[Surface]:
    """Data files of each storage, as `data check` reads them."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = pa.Table.from_pylist([{"prompt": "a", "completion": ["b"], "n": 1}] * 3)
    written, arrow = io.BytesIO(), io.BytesIO()
    parquet.write_table(table, written)
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    goods = {
        "rows.jsonl": (as_lines(ROWS), ".jsonl"), "rows.json": (as_json(list(ROWS)), ".json"),
        "object.json": (json.dumps({"data": list(ROWS)}, indent=1).encode(), ".json"),
        "rows.csv": (b'prompt,completion,messages\na,"b\nc",""\n"a""b",c,"[{""role"": ""user""}]"\n', ""),
        "rows.txt": (b"one\n\ntwo\r\n", ""), "rows.parquet": (written.getvalue(), ""), "rows.arrow": (arrow.getvalue(), ""),
        "rows.jsonl.gz": (gzip.compress(as_lines(ROWS), mtime=0), ""),
    }  # fmt: skip
    return [
        Surface(name=f"data: {name}", good=good, suffix=suffix, cost=5,
                read=file_of(folder / name, lambda path=folder / name: verb("data", "check", str(path))))
        for name, (good, suffix) in goods.items()
    ]  # fmt: skip
