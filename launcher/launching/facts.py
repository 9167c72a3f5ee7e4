"""The facts that a plan needs about the machine, earlier runs and the data. It reads, and writes nothing."""

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from launcher import __version__
from launcher.clusters.base import Cluster
from launcher.clusters.registry import choose_kind, find_cluster, has_gpu
from launcher.config import ArchitectureConfig, Config, ContainerRuntime, Device
from launcher.data.kinds import SPOKEN
from launcher.hub import named_folders
from launcher.launching.chat_template import check_chats, read_format
from launcher.launching.data_gate import check_files, count_examples, data_paths, files_of
from launcher.launching.earlier_runs import measured, resume_source
from launcher.launching.model_gate import check_model
from launcher.launching.secrets import refuse_secrets, secrets_of
from launcher.methods.registry import find_method
from launcher.plan import Facts
from launcher.plan.chat_format import ChatFormat
from launcher.plan.model import read_architecture
from launcher.plan.positions import read_positions
from launcher.run import RunDir

_ANSWER_S = 2.0
"""Seconds to wait for the cluster to say how it is configured."""


def gather(config: Config, experiment: str | None, run: RunDir) -> Facts:
    """The facts that the plan of a run in that folder needs, without those about the data; DataError for a missing data
    file, which is named before any other fault."""
    refuse_secrets(repr(config), secrets_of(os.environ))
    if config.notify:
        from launcher.config.notify import check_targets  # imported here: most runs tell nobody

        check_targets(config.notify, os.environ)
    check_files(config)
    place = find_cluster(choose_kind(config.cluster.kind, os.environ))
    data = data_paths(config)
    bare = config.cluster.container.runtime is ContainerRuntime.none
    known = measured(Path(config.runs_dir).absolute(), config.name)
    shape = check_model(config)
    positions, original_positions = read_positions(shape or {})
    chat = read_format(config)
    teacher_name = find_method(config.trainer.kind).teacher_of(config)
    teacher = None
    if teacher_name is not None or config.trainer.teacher_logits is not None:
        teacher = _look_at_teacher(config, chat)
    return Facts(
        experiment=experiment,
        cluster=place.name,
        device=_device(config, place),
        run_dir=str(run.path),
        work_dir=str(Path.cwd()),
        cache_dir=str(Path(config.cache_dir).absolute()),
        hub_folders={} if bare else named_folders({**os.environ, **config.cluster.env}),
        data_path=data.training[0],
        data_sources=data.training if config.data.sources else (),
        eval_path=data.evaluation,
        data_files=files_of(data, run),
        holds_out=config.data.eval_fraction is not None,
        python=config.cluster.python or sys.executable,
        architecture=_architecture(config, shape),
        stored_as=_stored_as(shape),
        positions=positions,
        original_positions=original_positions,
        teacher_name=teacher_name,
        teacher=_read_shape(config, teacher) if teacher else None,
        chat=chat,
        resume=resume_source(config),
        save_s=known["save_s"],
        restart_s=known["restart_s"],
        shutdown_s=known["shutdown_s"],
        kill_wait_s=place.with_timeout(_ANSWER_S).grace_s(str(config.cluster.sbatch.get("clusters") or "")),
        version=__version__,
    )


def count(config: Config, facts: Facts, reports: list[dict[str, Any]]) -> Facts:
    """The facts with those about the data, by the reports of the data check; DataError or ConfigError for data that the run
    cannot train on."""
    read: list[dict[str, Any]] = [part for one in reports for part in (one, one.get("eval")) if part]
    check_chats(config, facts.chat, {part["path"]: SPOKEN[kind] for part in read for kind in _rendered(part)})
    facts = dataclasses.replace(facts, **count_examples(config, reports))
    if not find_method(config.trainer.kind).classifies:
        return facts
    from launcher.launching.class_gate import count_classes  # imported here: few runs train a classifier

    return dataclasses.replace(facts, **count_classes(config, reports))


def _look_at_teacher(config: Config, chat: ChatFormat | None) -> dict[str, Any] | None:
    """The config.json of the teacher that the run loads, if it is here; ConfigError for it or for a stored output of one that
    does not fit the run."""
    from launcher.launching.teacher_gate import (  # imported here: few runs learn from a teacher
        check_stored,
        check_teacher,
    )

    found = check_teacher(config, chat)
    check_stored(config)
    return found


def _rendered(report: dict[str, Any]) -> list[str]:
    """The kinds of rows in a file that the model's chat template renders."""
    kinds = list(report.get("kinds") or ())
    classes: dict[str, Any] = report.get("classes") or {}
    texts = ("text",) if classes.get("chats") else ("text", "classified")
    return [kind for kind in kinds if kind not in texts]


def _device(config: Config, place: Cluster) -> str:
    device = config.resources.device
    if device is not Device.auto:
        return device.name
    # A login node has no GPU, but the nodes have: a look at this machine counts only if the run is on it.
    return "cuda" if not place.one_machine or has_gpu() else "cpu"


def _architecture(config: Config, config_json: Mapping[str, Any] | None) -> ArchitectureConfig | None:
    if config.model.architecture is not None:
        return config.model.architecture
    return _read_shape(config, config_json) if config_json else None


def _read_shape(config: Config, config_json: Mapping[str, Any]) -> ArchitectureConfig | None:
    if (known := read_architecture(config_json)) is not None:
        return known
    from launcher.launching.inspect_model import inspected

    return inspected(config_json, config.cache_dir)


def _stored_as(config_json: Mapping[str, Any] | None) -> str | None:
    """How the checkpoint packs its weights; empty for plain ones, None if config.json is not known."""
    if config_json is None:
        return None
    packed: Any = config_json.get("quantization_config")
    if isinstance(packed, dict) and (method := cast("dict[str, Any]", packed).get("quant_method")):
        return str(method)
    own: Any = config_json.get("quantization", packed)  # MLX writes both, without a method
    return "mlx" if isinstance(own, dict) and "group_size" in own else ""
