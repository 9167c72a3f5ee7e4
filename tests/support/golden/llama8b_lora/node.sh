#!/bin/bash
# Runs once on each node, under srun; on one machine by hand: `bash node.sh`.
set -euo pipefail
cd -- /runs/NAME/DATE
export TOKENIZERS_PARALLELISM=false
export PYTHONUNBUFFERED=1
# As in job.sbatch.
export PYTHONPATH=/work_dir"${PYTHONPATH:+:$PYTHONPATH}"

exec /venv/bin/python -m launcher.supervise.agent .
