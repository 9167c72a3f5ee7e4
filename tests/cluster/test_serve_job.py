"""A trained model that a job of a real cluster serves, asked from the login node."""

import json
import sys
import time
from pathlib import Path

import pytest

from launcher.run import RunDir
from launcher.status.serving import serving_folder
from tests.support.runs import command
from tests.support.shapes import check_printed

pytestmark = [pytest.mark.slurm, pytest.mark.long]

KEY = "0123456789abcdef0123"
ASK = """
import httpx, json, sys
url, model, key = sys.argv[1:]
body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
done = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
print(json.dumps([done.status_code, done.json()]))
"""


def test_a_job_serves_the_model_on_its_node_until_it_is_cancelled(submitted, lab, tmp_path: Path):
    run = submitted("trainer.max_steps=2")
    lab.wait(run, "finished")
    words = ["serve", str(run.path), "--job", "--time", "00:10:00", "--max-new-tokens", "16", "--json"]
    refused = lab.run(*command(*words), cwd=tmp_path, check=False)
    assert refused.returncode == 1 and "there is no key" in refused.stderr
    unknown = lab.run(
        *command(*words, "--option", "partitoin=x"), cwd=tmp_path, check=False, LAUNCHER_API_KEY=KEY
    )
    assert unknown.returncode == 1 and "did you mean cluster.sbatch.partition?" in unknown.stderr
    done = lab.run(*command(*words), cwd=tmp_path, LAUNCHER_API_KEY=KEY)
    check_printed(words, done.stdout)
    found = json.loads(done.stdout)
    assert found["tunnel"].startswith(f"ssh -N -L 8000:{found['node']}:{found['port']} ")
    again = json.loads(lab.run(*command(*words), cwd=tmp_path, LAUNCHER_API_KEY=KEY).stdout)
    assert again == found
    url = f"http://{found['node']}:{found['port']}"

    def ask(key: str) -> tuple[int, dict]:
        return tuple(
            json.loads(lab.run(sys.executable, "-c", ASK, url, found["model"], key, cwd=tmp_path).stdout)
        )

    assert ask("wrong key")[0] == 401
    status, answer = ask(KEY)
    assert status == 200 and answer["usage"]["completion_tokens"] <= 4
    removed = lab.run(*command("remove", str(run.path), "--yes"), cwd=tmp_path, check=False)
    assert removed.returncode == 1 and "is served by a job" in removed.stderr
    said = lab.run(*command("cancel", str(run.path), "--json"), cwd=tmp_path)
    cancelled = json.loads(said.stdout)
    assert (cancelled["job_id"], cancelled["server"], cancelled["state"]) == (
        found["job_id"],
        True,
        "finished",
    )
    deadline = time.monotonic() + 60
    while lab.run(
        "squeue", "--noheader", "--jobs", found["job_id"], cwd=tmp_path, check=False
    ).stdout.strip():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    folder = serving_folder(RunDir(run.path))
    assert KEY not in "".join(
        path.read_text(errors="replace") for path in folder.path.rglob("*") if path.is_file()
    )
    assert "the server has ended" in "".join(path.read_text() for path in folder.logs.glob("*.log"))
    assert lab.state(run) == "finished"
