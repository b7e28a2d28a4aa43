"""The only training loop: every model, every data set, from scratch or a checkpoint, resumable, on a CPU to the bit."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch.utils.data import Dataset

from ..checks import InputError, check_dataset, refuse_rereading
from ..models import DepthNetwork, check_network, list_models, uncompiled
from .adapters import merge_adapters
from .callbacks import Callback, History, check_callbacks
from .config import TrainConfig
from .interruptions import TrainingStopped, deferred_interrupt, explained_full_memory
from .objectives import check_target
from .run import Run
from .stepping import check_can_learn


def fit(
    model: DepthNetwork, train: Dataset, val: Dataset, config: TrainConfig, *,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train a model, and leave it with the weights of its best epoch, on the device it was trained on.

    Weights that had been trained before are validated first: if no epoch is better than they were, a warning says so.

    Args:
        model: from ``create_model`` or ``load_model``.
        train, val: yield ``Sample`` and have a ``depth_kind``; by their ``identities``, where they have them, a run
            that goes on knows its people again. Where they are of two kinds, loss and val_loss are two losses. Those
            that make samples on a GPU, as ``SyntheticFaces(..., device="auto")`` does, are asked for them in this
            process, without workers.
        callbacks: each is called after every epoch as ``callback(history, pictures)``, with pictures of the first
            validation faces; and once when a run goes on, with no pictures. ``LiveTraining()`` shows both in a
            notebook. To stop early, raise an exception of your own in one: the state is saved, and
            ``best.safetensors`` is in the run's folder.

    Returns:
        A row for every epoch: loss, its parts, val_loss, scores on ``val``, learning_rate, images_per_s.

    Raises:
        InputError: no network, data and target that do not fit, a folder with another run, or one that another process
            trains into.
        TrainingStopped: the loss became NaN or infinite, or the GPU's memory is full.
        KeyboardInterrupt: after a Ctrl-C, once the state is saved; ``resume=True`` goes on from there. The model then
            holds the weights of the last step, not the best ones.
    """
    check_network(model)
    if not isinstance(config, TrainConfig):
        raise InputError(f"config: expected a TrainConfig, got {type(config).__name__}")
    check_callbacks(callbacks)
    refuse_rereading()
    if model.name not in list_models():
        raise InputError(
            f"model: expected one that create_model knows, which can be saved, got {model.name}; add a class of your "
            "own to facedepth.models.MODELS as a ModelEntry"
        )
    for name, part in (("train", train), ("val", val)):
        check_dataset(name, part)
        try:
            check_target(part.depth_kind, config.target_kind or uncompiled(model).kind)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    if len(train) == 0 or len(val) == 0:
        raise InputError(f"expected samples to train and to validate on, got {len(train)} and {len(val)}")
    check_can_learn(uncompiled(model), config)
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    # No GPU's generator: nothing here draws from one, and asking for its state fails where the driver is too old.
    with torch.random.fork_rng(devices=[]), deferred_interrupt() as interrupted, ExitStack() as while_it_runs:
        torch.manual_seed(config.seed)
        try:
            with explained_full_memory():
                return Run(model, train, val, config, interrupted, while_it_runs).train(callbacks)
        except (KeyboardInterrupt, TrainingStopped) as error:
            # A notebook keeps the last error, and with it what its frames hold: optimiser, average, workers.
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            merge_adapters(uncompiled(model))  # a run that was stopped leaves a model without adapters too
            for parameter in frozen:
                parameter.requires_grad_(False)
