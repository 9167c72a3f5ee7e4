#!/bin/bash
# Runs once on each node, started by the job's step. To start it by hand on one machine: `bash node.sh`.
set -euo pipefail
cd -- /runs/NAME/DATE
export TOKENIZERS_PARALLELISM=false
export PYTHONUNBUFFERED=1
export PYTORCH_ALLOC_CONF=expandable_segments:True
# The same as in job.sbatch.
export PYTHONPATH=/work_dir"${PYTHONPATH:+:$PYTHONPATH}"

exec /venv/bin/python -m launcher.supervise.agent .
