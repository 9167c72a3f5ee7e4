"""python -m launcher sweep ...: sweeps that were launched with -m."""

from launcher.cli.verb import Verbs

VERB = Verbs(
    line="show a sweep, continue it, extend it, cancel it, use its best trial",
    about="SWEEP is a sweep's folder, name/sweep_date_time or a name (its newest sweep); the default is the newest. "
    "A sweep starts with -m.",
    example="-m +experiment=llama8b_lora 'trainer.learning_rate=1e-5,3e-5,1e-4' 'plugins.lora.r=8,16,32'\nsweep status --watch",
)
