"""The kit for a machine with a GPU, as far as it can be tried on a CPU."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.gpu.__main__ import MARK, end_all_of, main
from tests.gpu.models import hollow_model
from tests.gpu.page import make_page
from tests.gpu.pieces import all_pieces
from tests.gpu.place import Place, Skipped
from tests.gpu.smoke import FEATURES

pytestmark = pytest.mark.train
ONE_OF_EACH = (
    "smoke sft lora ddp", "smoke grpo none ddp", "smoke paged_adamw_8bit", "load 8B", "saves 0.5B full",
    "memory 0.5B lora plain 1024", "throughput 0.5B lora bare", "calibrate 0.5B",
)  # fmt: skip
FIGURES = {
    ("machine", "and its rates"): {"device": "NVIDIA H100 80GB HBM3", "gemm_tflops": 712.3, "versions": {"torch": "2.13.0"}},
    ("smoke", "sft lora ddp"): {"result": "passed", "seconds": 21.0, "verified": "logits", "difference": 0.003},
    ("memory", "8B lora plain 1024"): {"planned_gib": 21.0, "measured_gib": 20.0, "off": 0.05, "load_gib": 16.1},
    ("load", "70B"): {"load_peak_gib": 37.9, "loaded_gib": 36.8, "host_gib": 9.0, "seconds": 240.0},
    ("throughput", "8B lora bare"): {
        "tokens_per_s": {"bare": 9000.0, "ours": 9100.0}, "ours_is": 1.011, "mfu": {"ours": "41.0%"}, "hfu": {"ours": "55.0%"},
        "gemm_tflops": 712.3,
    },
    ("saves", "0.5B full"): {"bytes": 6, "blocked_s": [0.2, 0.1], "total_s": [3.0], "restart_s": 4.2, "warm": True},
    ("calibrate", "8B"): {"cluster": {"achieved_share": 0.41}, "step_s": 1.0, "achieved_tflops": 400.0},
}  # fmt: skip


def test_the_kit_continues_where_it_was_cut_and_publishes_no_figures_of_a_cpu(
    tmp_path: Path, capsys, monkeypatch
):
    out, only = str(tmp_path / "out"), ["--device", "cpu", "--only", "machine"]
    assert main([out, *only]) == 0
    assert "1/1  machine" in capsys.readouterr().out
    assert main([out, *only]) == 0
    assert "1/1" not in capsys.readouterr().out  # it is done
    (result,) = (tmp_path / "out" / "pieces").glob("*.json")
    assert json.loads(result.read_text())["figures"]["gemm_tflops"] > 0
    assert main([out, *only, "--list"]) == 0
    assert capsys.readouterr().out == "done     machine and its rates\n"
    assert "says nothing about a GPU" in (tmp_path / "out" / "gpu.md").read_text()
    for more, said in (
        (["--publish"], "has no figures of a GPU"),
        (["--only", "machine"], "holds results of --device cpu"),
        (
            [str(tmp_path / "out" / "gpu.md")],
            "gpu.md cannot hold results (Not a directory); name another folder",
        ),
        (["--only", "quick"], "no piece has all of quick; --list shows them"),
    ):
        assert main([*([] if len(more) == 1 and "/" in more[0] else [out]), *more]) == 1
        assert said in capsys.readouterr().err
    assert main([str(tmp_path / "empty"), "--publish"]) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    capsys.readouterr()
    for only in (["--only", "smoke"], []):
        assert main([str(tmp_path / "gpu"), *only]) == 1  # it would train on the CPU
        assert "sees no GPU; install a torch for CUDA, or use --device cpu" in capsys.readouterr().err


def test_all_that_a_piece_has_started_is_ended_with_it_and_nothing_else():
    """A run's ranks have sessions of their own."""
    mine, other = (
        subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: mark}, start_new_session=True)
        for mark in ("7-1", "7-12")
    )
    try:
        end_all_of("7-1")
        assert mine.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        mine.kill()
        other.kill()


def test_a_piece_that_a_gpu_is_too_small_for_is_skipped(tmp_path: Path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 24564\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    place = Place(out=tmp_path, device="cuda")
    place.need_gib(12, "8B in 4 bits")
    with pytest.raises(Skipped, match="70B in 4 bits needs 44 GiB of GPU memory, and this GPU has 24"):
        place.need_gib(44, "70B in 4 bits")


def test_the_page_has_every_figure_and_every_reason():
    groups: dict = {}
    for (group, name), figures in FIGURES.items():
        groups.setdefault(group, {})[name] = {"status": "done", "figures": figures}
    groups["smoke"]["liger"] = {"status": "skipped", "why": "liger_kernel is not installed"}
    groups["memory"]["8B full plain 1024"] = {"status": "failed", "why": "RuntimeError: a | b"}
    page = make_page({"device": "cuda", "groups": groups})
    for line in (
        "7 pieces are done, 1 have failed, 1 were skipped.",
        "| device | NVIDIA H100 80GB HBM3 |",
        "| sft lora ddp | passed |  | 21 | logits | 0.003 |",
        "| liger | skipped | liger_kernel is not installed |  |  |  |",
        "Off by 5.0% in the median and +5.0% at worst of 1 cases.",
        "| 8B lora plain 1024 | 21 | 20 | +5.0% | 16.1 |  |  |",
        "failed: RuntimeError: a \\| b |",
        "| 70B | 37.9 | 36.8 | 9 | 240 |  |",
        "| 8B lora bare | 9.1e+03 | 9e+03 | 1.01 | 41.0% | 55.0% | 712 |  |",
        "| 0.5B full | 6 | 0.15 | 0.2 | 3 | 4.2 | True |  |",
        "| 8B | achieved_share: 0.41 | 1 | 400 |  |",
    ):
        assert line in page, line


def test_one_command_takes_figures_of_a_gpu_into_a_page_of_the_docs(tmp_path: Path, capsys):
    page = tmp_path / "gpu.md"
    groups = {
        "machine": {"and its rates": {"status": "done", "figures": FIGURES["machine", "and its rates"]}}
    }
    (tmp_path / "gpu.json").write_text(json.dumps({"device": "cuda", "groups": groups}))
    assert main([str(tmp_path), "--publish", str(page)]) == 0
    assert "| device | NVIDIA H100 80GB HBM3 |" in page.read_text()
    assert capsys.readouterr().out == f"{page} is written\n"


def test_every_piece_has_a_file_of_its_own_and_every_group_is_there():
    pieces = list(all_pieces())
    assert len({one.file for one in pieces}) == len(pieces)
    assert {one.group for one in pieces} == {group for group, _ in FIGURES}
    assert {one.name for one in pieces if one.group == "smoke"} > set(FEATURES)


def test_a_hollow_model_is_read_as_any_other_and_takes_no_room(tmp_path: Path):
    from transformers import AutoModelForCausalLM

    folder = hollow_model(Place(out=tmp_path, device="cpu"), "tiny")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert not any(bool(parameter.any()) for parameter in model.parameters())
    (weights,) = folder.glob("*.safetensors")
    assert weights.stat().st_size > 8 * 512 * weights.stat().st_blocks


@pytest.mark.long
@pytest.mark.parametrize("title", ONE_OF_EACH)
def test_a_piece_of_each_group_works_on_a_cpu(tmp_path: Path, title: str):
    assert main([str(tmp_path), "--device", "cpu", "--only", *title.split()]) == 0
