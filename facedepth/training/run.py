"""One run of ``fit``: what is alive during it, its epochs, and its state to go on from."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext

import torch
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..batches import augmentation, evaluation_batches, to_device, training_batches, without_worker_traceback
from ..checks import InputError, choose_device, warn
from ..figures import panel
from ..models import DepthNetwork, load_model, save_model, uncompiled
from ..sample import Sample
from .adapters import add_adapters, merge_adapters, merged
from .callbacks import Callback, History, Pictures
from .config import TrainConfig
from .interruptions import TrainingStopped
from .objectives import Objective
from .optimisation import frozen_encoder, set_gradient_checkpointing, set_training
from .run_folder import RunFolder, alone_in, describe_data, warn_about_data
from .stepping import Stepper
from .validation import validate


class Run:
    """What is alive during one ``fit``. The state between two steps is all there is to save."""

    def __init__(
        self, model: DepthNetwork, train: Dataset, val: Dataset, config: TrainConfig, interrupted: threading.Event,
        while_it_runs: ExitStack,
    ) -> None:
        self.config, self.interrupted = config, interrupted
        given, model = model, uncompiled(model)
        target_kind = config.target_kind or model.kind
        self.starts_trained = bool(model.source) and model.kind == target_kind
        self.objective, self.val_objective = (
            Objective(part.depth_kind, target_kind, config.weights, loss=config.loss) for part in (train, val)
        )
        self.data = describe_data(train, val)
        warn_about_data(model, train, val, self.data["train_first_head"])
        self.device = choose_device(config.device)
        set_gradient_checkpointing(model, config.gradient_checkpointing)
        if config.learns.startswith("lora"):
            add_adapters(model, config.lora_rank, decoder_learns=config.learns == "lora+decoder")
        while_it_runs.enter_context(alone_in(config.out))
        self.folder = RunFolder(config.out, config.settings_to_keep(model), self.data, resume=config.resume)

        self.model = self._made_ready(model, target_kind)
        self._make_loaders(train, val)
        self.stepper = Stepper(given, self.objective, config, steps=config.epochs * self.steps_per_epoch)

        self.epoch, self.step_in_epoch = 0, 0
        self.sums: dict[str, float] = {}  # of the losses of the current epoch
        self.history: History = []
        self.told: History = []  # what callbacks get
        self.loss_at_start: float | None = None  # of weights that had been trained before, on the validation faces
        self.saved_at, self.save_took_s, self.saved_step = time.monotonic(), 0.0, None
        self._restore(self.folder.load_state())

    def _made_ready(self, model: DepthNetwork, target_kind: str) -> DepthNetwork:
        """The network, on its device, with the target and the size that it is to learn; it is changed in place."""
        # The layout convolutions are fastest in; on MPS batch norms' gradients are wrong in it (pytorch issue 175189).
        layout = torch.preserve_format if self.device.type == "mps" else torch.channels_last
        model = model.to(self.device, memory_format=layout)
        model.retarget(target_kind)
        if "weights" in model.info:  # they are the publisher's no longer
            model.info["started_from"] = model.info.pop("weights")
        model.input_size = self.config.input_size or model.input_size
        return model

    def _make_loaders(self, train: Dataset, val: Dataset) -> None:
        """Batches to learn from, whose order begins each epoch, and to validate on."""
        config, size = self.config, self.model.input_size
        self.loader, self.order = training_batches(
            train, augmentation(config.augment, size), batch_size=config.batch_size, repeats=config.repeats,
            workers=config.workers, seed=config.seed, pin_memory=self.device.type == "cuda",
        )
        self.steps_per_epoch = len(self.loader)
        self.val_loader = evaluation_batches(val, size, batch_size=config.batch_size, workers=config.workers)

    @property
    def step(self) -> int:
        """Steps since the start of the run."""
        return self.epoch * self.steps_per_epoch + self.step_in_epoch

    def train(self, callbacks: Sequence[Callback]) -> History:
        from torch.utils.tensorboard import SummaryWriter

        # What the run is about to compute, a run that was killed may have told TensorBoard already.
        next_event = self.step + (self.step_in_epoch < self.steps_per_epoch)
        with SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=next_event) as self.events:
            if self.history:
                self._tell(callbacks, [])
            if self.starts_trained and self.step == 0:
                with torch.random.fork_rng(devices=[]):  # a run stopped here, which does it again, stays the same
                    self.loss_at_start = self._validate()[0]["val_loss"]
            self.model.source = f"{self.folder.path}, not finished"
            while self.epoch < self.config.epochs:
                images_per_s = self._train_epoch()
                scores, pictures = self._validate()
                self._end_epoch(scores, images_per_s)
                try:
                    self._tell(callbacks, pictures)
                except BaseException:  # a way to stop early, after which the run can go on from here
                    self._save_state()
                    raise
                self._pause()
            if self.saved_step != (self.epoch, self.step):
                self._save_state()
        self.stepper.optimiser.zero_grad(set_to_none=True)
        merge_adapters(self.model)
        self._warn_if_nothing_gained()
        best = load_model(self.folder.path / "best.safetensors", device=self.device)
        self.model.load_state_dict(best.state_dict())
        self.model.info, self.model.source = best.info, best.source
        self.model.eval()
        return self.history

    def _tell(self, callbacks: Sequence[Callback], pictures: Pictures) -> None:
        """Always in the same list, by which a callback knows the run; what it does to that is undone here."""
        self.told[:] = map(dict, self.history)
        for callback in callbacks:
            callback(self.told, pictures)

    def _warn_if_nothing_gained(self) -> None:
        """Warn where training made nothing better than what it started from."""
        best = min(row["val_loss"] for row in self.history)
        if self.loss_at_start is not None and not best < self.loss_at_start:
            warn(
                f"no epoch was better than the weights that training started from: val_loss {self.loss_at_start:.4g} "
                f"at the start, {best:.4g} at best; try a lower learning_rate (TrainConfig.finetune has one), more "
                "epochs or more people, or keep the old weights"
            )

    def _train_epoch(self) -> float:
        """The steps that are left of this epoch; returns images per second, NaN where none are."""
        if self.step_in_epoch == self.steps_per_epoch:  # stopped during its validation
            return math.nan
        set_training(self.model)
        self.order.begin(self.epoch, skip=self.step_in_epoch * self.config.batch_size)
        seen, started = 0, time.monotonic()
        title = f"epoch {self.epoch + 1}/{self.config.epochs}"
        frozen = self.config.learns == "decoder" or self.epoch < self.config.frozen_epochs
        freezing = frozen_encoder(self.model) if frozen else nullcontext()
        with freezing, tqdm(
            total=self.steps_per_epoch, initial=self.step_in_epoch, desc=title, unit="step", leave=False
        ) as bar:
            for batch in without_worker_traceback(self.loader):
                parts = self._step(to_device(batch, self.device))
                seen += len(batch.name)
                rate = seen / (time.monotonic() - started)
                bar.set_postfix_str(f"loss {parts['loss']:.4f}, {rate:.1f} images/s", refresh=False)
                bar.update()
                if self.step % 20 == 0:
                    for name, value in parts.items():
                        self.events.add_scalar(f"train/{name}", value, self.step)
                self._pause()
        return rate

    def _step(self, batch: Sample) -> dict[str, float]:
        """One step; returns the loss and its parts."""
        values = self.stepper.step(batch, self._require_finite)
        self.step_in_epoch += 1
        share = len(batch.name) / self.config.batch_size  # an epoch's last batch may be smaller
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + share * value
        return values

    def _require_finite(self, what: str, value: float) -> None:
        """Stop before a step that would ruin the weights, and before ruined ones are saved."""
        if math.isfinite(value):
            return
        kept = "the last good state is kept" if self.folder.state_path.exists() else "no state was saved yet"
        raise TrainingStopped(
            f"{what} became {value} at step {self.step}; {kept} in {self.folder.path}. Start anew in another folder "
            f"with a lower learning_rate (now {self.config.learning_rate:g}) or amp off, or look for a bad sample"
        )

    def _validate(self) -> tuple[dict[str, float], Pictures]:
        """Scores and pictures of the averaged weights; a Ctrl-C is heeded between two batches."""
        def heed() -> None:
            if self.interrupted.is_set():
                self._pause()

        scores, pictures = validate(
            self.stepper.average.module, self.val_loader, self.val_objective, self.device, before_each=heed
        )
        self.events.add_figure("val", panel(pictures), self.step)
        return scores, pictures

    def _end_epoch(self, scores: dict[str, float], images_per_s: float) -> None:
        self._require_finite("the validation loss", scores["val_loss"])
        if not self.folder.state_path.exists():  # killed below, the run would leave weights that it cannot go on from
            self._save_state()
        row = {"epoch": self.epoch + 1, "step": self.step}
        batches = self.order.length / self.config.batch_size
        row |= {name: total / batches for name, total in self.sums.items()} | scores
        row |= {"learning_rate": self.stepper.learning_rate, "images_per_s": images_per_s}
        improved = all(row["val_loss"] < earlier["val_loss"] for earlier in self.history)
        self.history.append(row)
        self.stepper.end_epoch(row["val_loss"])
        for name, value in row.items():
            self.events.add_scalar(f"epoch/{name}", value, self.step)
        info = {"training_data": json.dumps(self.data), "metrics": json.dumps(row), "seed": str(self.config.seed)}
        for name in ("last", "best") if improved else ("last",):
            path = self.folder.path / f"{name}.safetensors"
            save_model(merged(self.stepper.average.module), path, info=info, overwrite=True)
        self.folder.write_history(self.history)
        self.epoch, self.step_in_epoch, self.sums = self.epoch + 1, 0, {}
        speed = "" if math.isnan(images_per_s) else f", {images_per_s:.1f} images/s"
        tqdm.write(
            f"epoch {row['epoch']}/{self.config.epochs}: loss {row['loss']:.4f}, val_loss {row['val_loss']:.4f}{speed}"
        )

    def _pause(self) -> None:
        """Between two steps: save the state when it is time; after a Ctrl-C save it and stop."""
        if self.interrupted.is_set():
            self._save_state()
            tqdm.write(f"stopped after step {self.step}; resume=True (--resume) goes on from {self.folder.path}")
            raise KeyboardInterrupt
        # A large state takes a slow disk minutes: most of the time is for the steps in between.
        least_s = max(self.config.save_every_s, 20 * self.save_took_s) if self.config.save_every_s else 0.0
        if time.monotonic() - self.saved_at > least_s:
            self._save_state()

    def _save_state(self) -> None:
        started = time.monotonic()
        self.events.flush()  # a run that goes on from this state does not tell them again
        self.folder.save_state({
            **{name: part.state_dict() for name, part in self.stepper.stateful().items()},
            "epoch": self.epoch, "step_in_epoch": self.step_in_epoch, "sums": self.sums, "history": self.history,
            "loss_at_start": self.loss_at_start,
            "random": torch.get_rng_state(), "info": dict(self.model.info),
        })
        self.saved_at, self.saved_step = time.monotonic(), (self.epoch, self.step)
        self.save_took_s = self.saved_at - started

    def _restore(self, state: dict | None) -> None:
        if state is None:
            return
        try:
            self.stepper.load(state)
            self.epoch, self.step_in_epoch = state["epoch"], state["step_in_epoch"]
            self.sums, self.history = state["sums"], state["history"]
            self.loss_at_start = state.get("loss_at_start")
            torch.set_rng_state(state["random"])
            # The licence of what the run started from, too.
            self.model.info = self.stepper.average.module.info = state.get("info", self.model.info)
            self.saved_step = (self.epoch, self.step)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{self.folder.state_path}: not the state of this run ({reason}); start anew in another folder"
            ) from None
        stands = "complete" if self.epoch >= self.config.epochs else "goes on"
        tqdm.write(f"{self.folder.path}: {stands} after step {self.step}, with its own weights, not the given model's")
