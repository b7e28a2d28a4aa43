"""The settings of a training run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from ..checks import InputError, check_number, check_whole
from ..depth import KINDS
from ..models import LEAST_SIZE, DepthNetwork
from ..paths import user_path
from .objectives import LOSSES, LossWeights
from .optimisation import OPTIMISERS, SCHEDULES

# What may differ when a run is resumed, besides more epochs: where and how fast it runs, not what it computes.
_FREE_TO_CHANGE = ("out", "workers", "device", "resume", "save_every_s", "gradient_checkpointing")

AMP = ("cuda", "always", "never")

LEARNS = ("all", "decoder", "lora", "lora+decoder")

# What fine-tuning also changes, by ``learns``: adapters start at no change and, trained alone, can take large steps.
_FINETUNING = {
    "all": {"encoder_factor": 0.1, "frozen_epochs": 1}, "decoder": {}, "lora": {"learning_rate": 1e-3},
    "lora+decoder": {},
}

_LEAST = {
    "epochs": 1, "batch_size": 1, "repeats": 1, "warmup_steps": 0, "frozen_epochs": 0, "lora_rank": 1, "seed": 0,
    "workers": 0,
}
_BOUNDS = {
    "learning_rate": {"above": 0}, "encoder_factor": {"above": 0, "most": 1}, "weight_decay": {"least": 0},
    "clip_norm": {"above": 0}, "ema_decay": {"least": 0, "below": 1}, "augment": {"least": 0, "most": 1},
    "save_every_s": {"least": 0},
}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run.

    Attributes:
        out: folder of the run.
        epochs, batch_size: number of epochs, and of samples per step.
        repeats: passes over the data per epoch; more than 1 for sets so small that an epoch is over at once.
        learning_rate: the highest; the schedule goes down from there.
        learns: what is trained: "all"; "decoder" (all but the encoder); "lora" (only small adapters of the encoder's
            attention, and the last layer if it outputs a head mask, for transformers too large to train whole, see
            ``facedepth.training.adapters``); or "lora+decoder".
        lora_rank: of those adapters.
        gradient_checkpointing: compute a transformer's blocks once more in the backward pass, for much less memory and
            a third more time.
        encoder_factor: the encoder's share of the learning rate, in (0, 1]; pretrained ones want less.
        frozen_epochs: number of epochs at the start in which the encoder is not trained.
        optimiser: "adamw" or "adam".
        weight_decay: of AdamW.
        schedule: "cosine" (after ``warmup_steps`` linear steps, down to 0 at the end) or "plateau" (a tenth whenever
            the validation loss has not fallen for more than 3 epochs).
        clip_norm: greatest norm of the gradient; longer ones are scaled down to it.
        ema_decay: decay of the moving average of the weights that is validated and saved, in [0, 1); 0 for none.
        amp: mixed precision: "cuda" only there, "always" on the CPU too (bfloat16; 1.3 to 1.6 times as fast
            on processors that compute in it, several times slower on others), or "never".
        augment: strength of the augmentation, 0 (none) ... 1.
        input_size: side of the pictures in pixels; None for the model's own.
        target_kind: the kind of output to teach the model; None for its own kind.
        loss: "default" by the kinds of data and target, "ssi", or "by_kind" (see ``facedepth.training.objectives``).
        weights: of the loss's parts.
        seed: of everything random.
        workers: processes that load the data; data made on a GPU need none and get none.
        device: "auto", "cpu", "cuda", ...
        resume: continue the run in ``out`` if there is one. With more ``epochs`` than it was started for, it goes on
            after its end too, and the learning rate follows the schedule of the longer run from there.
        save_every_s: least time in seconds between two saves of the state within a run, or 20 times what the last save
            took if that is longer; 0 saves after every step.

    Raises:
        InputError: a setting of the wrong type or out of its range.
    """

    out: str
    epochs: int = 10
    batch_size: int = 16
    repeats: int = 1
    learning_rate: float = 1e-3
    learns: str = "all"
    lora_rank: int = 8
    gradient_checkpointing: bool = False
    encoder_factor: float = 1.0
    frozen_epochs: int = 0
    optimiser: str = "adamw"
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup_steps: int = 100
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    amp: str = "cuda"
    augment: float = 0.5
    input_size: int | None = None
    target_kind: str | None = None
    loss: str = "default"
    weights: LossWeights = field(default_factory=LossWeights)
    seed: int = 0
    workers: int = 2
    device: str = "auto"
    resume: bool = False
    save_every_s: float = 60.0

    @classmethod
    def finetune(cls, *, out: str = "runs/finetune", learns: str = "all", **changes) -> TrainConfig:
        """Settings for fine-tuning a pretrained network, as is usual in the field; ``changes`` are further settings.

        A small learning rate, a tenth of it for the encoder, after a first epoch in which the encoder is not trained;
        for affine kinds the scale-and-shift-invariant loss with gradient matching.

        Raises:
            InputError: a setting of the wrong type or out of its range.
        """
        usual = {"epochs": 5, "learning_rate": 1e-4, "loss": "by_kind"} | _FINETUNING.get(str(learns), {})
        if changes.get("epochs") == 1:
            usual.pop("frozen_epochs", None)  # the encoder would never learn
        return cls(out=out, learns=learns, **usual | changes)

    def settings_to_keep(self, model: DepthNetwork) -> dict:
        """The settings a resumed run must share, as JSON types: all but where and how fast it runs.

        Kind and input size are those used in the run, not those the model was created with.
        """
        settings = {name: value for name, value in asdict(self).items() if name not in _FREE_TO_CHANGE}
        effective = {
            "target_kind": self.target_kind or model.kind, "input_size": self.input_size or model.input_size,
            "non_negative": model.non_negative and self.target_kind in (None, model.kind),
        }
        options = {name: value for name, value in model.options.items() if name not in ("kind", *effective)}
        return json.loads(json.dumps(settings | effective | {"model": model.name, "options": options}))

    def __post_init__(self) -> None:
        choices = {"optimiser": tuple(OPTIMISERS), "schedule": SCHEDULES, "loss": LOSSES, "amp": AMP, "learns": LEARNS}
        if self.target_kind is not None:
            choices["target_kind"] = KINDS
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("gradient_checkpointing", "resume"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        whole = _LEAST | ({} if self.input_size is None else {"input_size": LEAST_SIZE})
        given = {name: check_whole(name, getattr(self, name), least) for name, least in whole.items()}
        given |= {name: check_number(name, getattr(self, name), **bounds) for name, bounds in _BOUNDS.items()}
        given["out"] = str(user_path(self.out, "out"))
        for name, value in given.items():  # as Python's own numbers, which JSON holds
            object.__setattr__(self, name, value)
        if self.seed >= 2**63:
            raise InputError(f"seed: expected less than 2**63, got {self.seed}")
        if self.frozen_epochs and self.learns != "all":
            raise InputError(f"frozen_epochs: only with learns='all', got learns={self.learns!r}")
        if self.frozen_epochs >= self.epochs:
            raise InputError(
                f"frozen_epochs: expected less than epochs ({self.epochs}), got {self.frozen_epochs}; to never "
                "train the encoder, set learns='decoder'"
            )
        if not isinstance(self.weights, LossWeights):
            raise InputError(f"weights: expected LossWeights(l1=..., ...), got {self.weights!r}")
