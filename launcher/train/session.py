"""One training session on one rank: the store at which the ranks meet, model, data, trainer, resume, export."""

import os
import signal

import datasets
import torch
import torch.distributed as dist
from transformers.utils import logging as transformers_logging

from launcher import environment
from launcher.config import has_evaluation
from launcher.data.places import fix_files
from launcher.errors import Exit, NotAsPlanned
from launcher.plan import LaunchPlan
from launcher.plugins.decide import Decided
from launcher.run import RunDir
from launcher.run.events.ranks import Working
from launcher.train.after.export import export
from launcher.train.checkpoint.selection import CheckpointSelection
from launcher.train.data.shared import Shared
from launcher.train.data.tokens import check_renders
from launcher.train.equip import RankOf, equip, go_on
from launcher.train.heartbeat import Heartbeat
from launcher.train.length import check_arguments
from launcher.train.methods.parts import make_arguments, make_trainer
from launcher.train.model import load_model, load_tokenizer, note_revision
from launcher.train.node_cache import NodeCache, near
from launcher.train.probe import Probe
from launcher.train.shutdown import ShutdownCallback
from launcher.train.strategies.base import on_rank
from launcher.train.tiled_mlp import tile_mlps
from launcher.train.tracking import RankTracking
from launcher.train.upstream.trl_reference_adapter import forget_copy


def train(run: RunDir, decided: Decided, heartbeat: Heartbeat) -> Exit:
    """The exit code, after training from the newest committed checkpoint, or from the start, to the exported model.

    SHUT_DOWN if the rank was requested to shut down.
    """
    heartbeat.phase("load")
    config, plan = decided.config, decided.plan
    fix_files(plan.facts.data_files)
    check_device(plan)
    is_main = int(os.environ.get(environment.RANK, "0")) == 0
    attempt = int(os.environ.get(environment.ATTEMPT, "1"))
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    tracking = RankTracking(run, config, plan, attempt, is_main=is_main)
    if not is_main:
        transformers_logging.set_verbosity_error()
    store = serve_store()  # must exist as long as the ranks communicate
    strategy = on_rank(plan.strategy)
    strategy.before_ranks_meet(plan)
    args = make_arguments(run, plan)
    if not tracking.reports:
        args.report_to = []
    named = config.cluster.node_cache
    cache = NodeCache(named, run, attempt, heartbeat) if named else None
    rank = int(os.environ.get(environment.RANK, "0"))
    shared = Shared(run, plan.facts.cache_dir, attempt, rank, heartbeat, near=near(cache, "tokens"))
    shared.forget()
    _ = args.device  # the ranks meet here
    strategy.after_ranks_met(plan)
    world_size = plan.topology.world_size
    selection = CheckpointSelection(run, plan.facts.resume, rank, world_size, attempt)
    if is_main:
        run.note(Working(attempt=attempt, on="load"))
    tokenizer = load_tokenizer(config.model, plan.facts, config.seed)
    check_renders(plan.facts, tokenizer, config)
    model = load_model(config.model, plan, decided.plugins, config.seed, cache=cache, together=True)
    if (tokens := config.trainer.mlp_tile_tokens) is not None:
        tile_mlps(model, tokens)
    if is_main:
        note_revision(run, config.model, model, attempt)
    heartbeat.phase("data")
    place = RankOf(run=run, decided=decided, attempt=attempt, rank=rank)
    trainer = equip(
        place, args, model, tokenizer, shared, tracking, heartbeat, selection.skipped(), make_trainer
    )
    shutdown = ShutdownCallback(heartbeat, trainer, world_size)
    trainer.add_callback(shutdown)
    if world_size > 1:
        trainer.add_callback(Probe(heartbeat, trainer.args.device))
    check_arguments(trainer.args, plan)
    trainer.train(resume_from_checkpoint=go_on(place, trainer, selection))
    if shutdown.happened:
        tracking.finish(shutdown=True)
        return Exit.SHUT_DOWN
    # also if the last step was evaluated, because early stopping may have restored other weights
    if has_evaluation(config.data):
        heartbeat.phase("eval")
        trainer.evaluate()
    heartbeat.phase("export")
    if is_main:
        run.note(Working(attempt=attempt, on="export"))
    forget_copy(trainer)
    exported = export(run, decided, trainer, tokenizer)
    if exported is not None:
        run.note(exported.event(run, attempt, trainer.state.global_step))
        tracking.finish()
    if dist.is_initialized():
        # from here on, SIGTERM of torchrun or Slurm would only print a traceback
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        dist.barrier()  # destroy_process_group is not called, because it can hang, and the process ends now
    del store
    return Exit.OK


def check_device(plan: LaunchPlan) -> None:
    """NotAsPlanned if this rank has no GPU although one is planned; sets the GPU, or the number of threads."""
    if plan.device == "cuda":
        if not torch.cuda.is_available():
            raise NotAsPlanned(
                "device is cpu on this rank and cuda in the plan; check the GPU driver, or use resources.device=cpu"
            )
        torch.cuda.set_device(int(os.environ.get(environment.LOCAL_RANK, "0")))
    elif threads := os.environ.get(environment.OMP_NUM_THREADS):
        torch.set_num_threads(int(threads))


def serve_store() -> dist.TCPStore | None:
    """The store, served on the inherited socket, if this is rank 0 and an agent has started it; None otherwise.

    With TORCHELASTIC_USE_AGENT_STORE, torch's env:// rendezvous makes every rank a client of it, as under torchrun
    (torch/distributed/rendezvous.py, _create_c10d_store). The agent sets it for all ranks or none.
    """
    descriptor = os.environ.pop(environment.STORE_FD, None)
    if descriptor is None:
        return None
    return dist.TCPStore(
        host_name=os.environ[environment.MASTER_ADDR],
        port=int(os.environ[environment.MASTER_PORT]),
        world_size=int(os.environ[environment.WORLD_SIZE]),
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=int(descriptor),
        use_libuv=True,
    )
