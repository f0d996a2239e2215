"""The model: its device, whether it can be built, and whether its weights are there and fit."""

from collections.abc import Iterator
from pathlib import Path

from app.check._finding import Finding, Severity
from app.check._subject import Subject


def look(subject: Subject) -> Iterator[Finding]:
    """Build the network without data, and open the weights, as the task does at its start."""
    if subject.trains:
        yield from _of_training(subject)
    else:
        _open(subject)


def _of_training(subject: Subject) -> Iterator[Finding]:
    from app.engine.checkpoint.weights import local_weights
    from app.places import weights_folders
    from app.tasks.devices import device_ids
    from app.tasks.rehearsal import rehearse
    from app.tasks.start_weights import chosen_model, find_start

    device_ids(subject.hp)
    model = rehearse(subject.cfg)
    weights = subject.cfg.MODEL.WEIGHTS
    files, _ = chosen_model(subject.env.input.models_dir, subject.hp, subject.options)
    if files is None and "://" in weights and local_weights(weights, weights_folders()) is None:
        yield _of_download(subject, weights)
        return
    start = find_start(
        subject.env,
        subject.hp,
        subject.cfg,
        subject.options,
        model,
        checkpoints=Path("/nonexistent"),  # a checkpoint of the run would hide wrong weights
    )
    origin = "random weights" if start.path is None else start.path
    subject.remarks.append(f"model: {subject.hp.config_file}, starts from {origin}")


def _of_download(subject: Subject, weights: str) -> Finding:
    """Weights that the task would have to download: can they be reached from here?"""
    from app.engine.checkpoint.weights import why_unreachable
    from app.places import weights_folders
    from app.tasks.weights_at_hand import remedies
    from executor.errors import NetworkError

    folders = ", ".join(map(str, weights_folders()))
    where = f"MODEL.WEIGHTS {weights} is not on this machine (looked in {folders})"
    advice = remedies(weights, subject.hp.object_type)
    reason = why_unreachable(weights)
    if not reason:
        sentence = f"{where}; the task will download it"
        return Finding(Severity.NOTE, sentence, subject.settings_file)
    return Finding(
        Severity.ERROR,
        f"{where}, and it cannot be downloaded ({reason})",
        subject.settings_file,
        advice,
        NetworkError.exit_status,
    )


def _open(subject: Subject) -> None:
    """Open the model of mining and infer; the caller collects errors and warnings."""
    from app.tasks.devices import device_ids
    from app.tasks.finder import Device
    from app.tasks.infer import Infer
    from app.tasks.mining import Mining, mining_options
    from executor.hyperparameters import (
        InferHyperparameters,
        MiningHyperparameters,
        load_hyperparameters,
    )
    from executor.task_words import Task

    config_file = subject.env.input.config_file
    device = Device("cpu", num_workers=0, num_images=1)
    if Task.MINING in subject.tasks:
        mining = load_hyperparameters(config_file, MiningHyperparameters)
        task = Mining(subject.env, mining, mining_options(mining))
        if task.uses_model:
            device_ids(mining)
            task.open_on(device)
    if Task.INFER in subject.tasks:
        infer = load_hyperparameters(config_file, InferHyperparameters)
        device_ids(infer)
        Infer(subject.env, infer).open_on(device)
