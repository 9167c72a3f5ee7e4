"""The end of a job whose run has finished: the name of its model, the result file, and what is no longer needed."""

import hashlib
import re
import time

from launcher.api.data_dir import DataDir, new_id, remove
from launcher.api.files import RESULTS
from launcher.api.job_rows import add_event
from launcher.api.progress import results_csv, trained_tokens
from launcher.api.store import Row, Store
from launcher.run import RunDir, write_text

_OTHER = re.compile(r"[^a-z0-9]+")
_LONGEST_SUFFIX = 64


class Finisher:
    """Ends jobs. A repeated call changes nothing, because the job is over."""

    def __init__(self, store: Store, data_dir: DataDir) -> None:
        self._store, self._data_dir = store, data_dir

    def succeed(self, row: Row, run: RunDir) -> None:
        """Stores the results, and gives the model its name."""
        content, file_id, moment = results_csv(run), new_id("file"), int(time.time())
        path = self._data_dir.file(file_id)
        write_text(path, content.decode(), durable=True)
        model = model_name(row)
        try:
            with self._store.change() as db:
                done = db.execute(
                    "UPDATE jobs SET status = 'succeeded', stage = 'over', finished_at = ?, trained_tokens = ?, "
                    "fine_tuned_model = ?, result_file = ? WHERE id = ? AND stage != 'over' AND wish != 'cancel'",
                    (moment, trained_tokens(run), model, file_id, row["id"]),
                ).rowcount
                if not done:
                    remove(path)
                    return
                db.execute(
                    "INSERT INTO files (id, tenant, filename, bytes, purpose, created_at, sha256) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        file_id,
                        row["tenant"],
                        "step_metrics.csv",
                        len(content),
                        RESULTS,
                        moment,
                        hashlib.sha256(content).hexdigest(),
                    ),
                )
                add_event(db, row["id"], "model", f"New fine-tuned model created: {model}")
                add_event(db, row["id"], "end", "The job has successfully completed")
        except BaseException:
            remove(path)
            raise
        self.clean(row)

    def clean(self, row: Row) -> None:
        """Deletes the job's own links to its data, which a run that is over does not read."""
        remove(self._data_dir.job(row["id"]))


def model_name(row: Row) -> str:
    """The name of a job's model, as the API makes it: ft:MODEL:TENANT:SUFFIX:ID. The id's part makes it unique."""
    suffix = _OTHER.sub("-", (row["suffix"] or "").lower()).strip("-")[:_LONGEST_SUFFIX]
    return f"ft:{row['model']}:{row['tenant']}:{suffix}:{row['id'].removeprefix('ftjob-')[:12]}"
