"""The run dir and what is in it: the few names that most modules need."""

from launcher.run.dir import JOB_SCRIPT, RunDir, job_number
from launcher.run.find import check_name, find_run, find_submitted, list_runs, new_run_dir
from launcher.run.lines import append_line, now, read_lines, write_text

__all__ = [
    "JOB_SCRIPT", "RunDir", "append_line", "check_name", "find_run", "find_submitted", "job_number", "list_runs", "new_run_dir",
    "now", "read_lines", "write_text",
]  # fmt: skip
