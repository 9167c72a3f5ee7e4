"""python -m launcher api-keys ...: who may use the server of serve-api."""

from launcher.cli.verb import Verbs

VERB = Verbs(
    line="keys of serve-api: who may use it, and how much",
    about="A key is printed once; the server stores only its SHA-256. Changes take effect at once, also while it runs.",
    example="api-keys add anna --data-dir ~/api --jobs 10 --gpu-hours 100",
    group="model",
)
