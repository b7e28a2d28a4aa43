"""Checkpoints: one safetensors file with the weights and, in its metadata, all that is needed to use them.

The metadata are strings: ``format`` ("facedepth"), ``model`` and ``options`` (JSON, for ``create_model``), ``kind``,
``input_size``, ``non_negative``, ``mean``, ``std``, ``version``, and anything else given (training data, metrics,
licence).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..checks import InputError, choose_device, installed_version
from ..paths import atomic_path, refuse_existing, user_path
from .converters import convert
from .downloads import fetch, remember
from .network import DepthNetwork, check_kind, check_network, uncompiled
from .registry import MODELS, create_model, shipped_weights
from .states import load_strictly, read_pickle, read_safetensors

_OWN_KEYS = ("format", "model", "options", "kind", "input_size", "non_negative", "mean", "std", "version")


def save_model(
    model: DepthNetwork, path: str | Path, *, info: Mapping[str, str] | None = None, half: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a model from ``create_model`` or ``load_model`` as a .safetensors checkpoint.

    Args:
        info: further metadata, such as ``training_data``, ``metrics``, ``licence``; added to the model's own.
        half: store the weights in 16 bits, for half the size; once loaded, they are in 32 bits again.

    Raises:
        InputError: not a network that ``create_model`` knows, another ending, or the file exists and ``overwrite`` is
            not set; metadata that is no text.
        OSError: the file cannot be written.
    """
    if not isinstance(info, Mapping | None):
        raise InputError(f"info: expected a mapping from names to texts, got {info!r:.60}")
    for key, value in (info or {}).items():
        if not isinstance(value, str):
            raise InputError(f"info: expected texts, got {value!r} for {key!r}; json.dumps makes one of it")
    check_network(model)
    model = uncompiled(model)
    if model.name not in MODELS:
        raise InputError(
            f"model: {model.name} is a class of one's own, which load_model could not make again; add it to "
            "facedepth.models.MODELS as a ModelEntry, and make it with create_model"
        )
    path = user_path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: expected a name that ends in .safetensors")
    refuse_existing([path], overwrite)
    now = {key: getattr(model, key) for key in ("kind", "input_size", "non_negative") if key in model.options}
    metadata = {**model.info, **(info or {})} | {
        "format": "facedepth", "model": model.name, "options": json.dumps(model.options | now), "kind": model.kind,
        "input_size": str(model.input_size), "non_negative": json.dumps(model.non_negative),
        "mean": json.dumps(model.mean.flatten().tolist()), "std": json.dumps(model.std.flatten().tolist()),
        "version": installed_version(),
    }
    state, stored = {}, set()
    for key, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        state[key] = tensor.clone() if place in stored else tensor  # tied weights: the format shares no memory
        stored.add(place)
    if half:
        state = {key: tensor if key in ("mean", "std") else _halved(tensor) for key, tensor in state.items()}
    with atomic_path(path) as temporary:
        temporary.touch()
        rights = temporary.stat().st_mode  # with save_file's own, nobody else could read it
        try:
            save_file(state, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(f"{path}: cannot be written ({error})") from None
        temporary.chmod(rights)
    return path


def load_model(
    source: str | Path, *, kind: str | None = None, non_negative: bool | None = None,
    device: str | torch.device = "auto",
) -> DepthNetwork:
    """A network with its trained weights, in evaluation mode.

    Args:
        source: the name of a model, whose weights are shipped ("attention_unet") or fetched once ("dpt_large"; see
            ``fetch``); a checkpoint of this library (.safetensors); or a state dict published elsewhere (.pt, .pth),
            recognised by its keys: the original project's Attention-UNet, MiDaS's dpt_large, dpt_hybrid and
            midas_v21_small, Depth Anything V2.
        kind: what the output of a state dict published elsewhere means, if not the same as its publisher's: its tensors
            do not say. The original project's fine-tuned DPT-Large (Midas_DPT_b1_e10ckp9_weights.pt) has MiDaS's keys
            and is "affine_relief".
        non_negative: likewise, whether values are clipped at 0; by default as published, or not if ``kind`` differs.
        device: "auto" is the CUDA card if there is one, else the CPU.

    Raises:
        InputError: no such file, a file that is not a checkpoint, missing, superfluous or misshapen tensors; weights
            that cannot be fetched; ``kind`` or ``non_negative`` given for a checkpoint of this library; a device that
            cannot be used.
    """
    device = choose_device(device)  # before anything is fetched
    if kind is not None:
        check_kind(kind)
    path = _local_file(source)
    model = _read(path, kind, non_negative) if path is not None else _fetched(str(source), kind, non_negative)
    model.source = str(source)
    return model.to(device).eval()


def _fetched(name: str, kind: str | None, non_negative: bool | None) -> DepthNetwork:
    url = MODELS[name].url
    path = fetch(url)
    try:
        model = _read(path, kind, non_negative)
    except InputError as error:
        raise InputError(f"{error}. Is it whole? Delete it, and it is fetched again from {url}") from None
    same_class = MODELS[model.name].build is MODELS[name].build
    if model.name != name and not (same_class and path.suffix == ".safetensors"):
        raise InputError(f"{path}: holds {model.name}, not {name}; delete it, and it is fetched again from {url}")
    remember(path)
    return model


def _local_file(source: str | Path) -> Path | None:
    """The file of this name, or the shipped weights of the model of this name; None if they have to be fetched."""
    name, path = str(source), user_path(source)
    if path.is_file():
        return path
    if name not in MODELS:
        best = path / "best.safetensors"
        if best.is_file():
            raise InputError(f"{source}: the folder of a training run; name its weights, {best}")
        close = get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {close[0]}?" if close else "`facedepth models` lists the names"
        raise InputError(f"{source}: no such checkpoint file, and no model's name; {hint}")
    entry, shipped = MODELS[name], shipped_weights(name)
    if shipped is None and entry.url is None:
        raise InputError(f"{name}: no such checkpoint file: none is shipped; name a file (weights: {entry.weights})")
    return shipped


def _read(path: Path, kind: str | None, non_negative: bool | None) -> DepthNetwork:
    if path.suffix == ".safetensors":
        if kind is not None or non_negative is not None:
            raise InputError(f"{path}: says itself what its output means; kind and non_negative are for other formats")
        model, state = _read_own(path)
    elif path.suffix in (".pt", ".pth"):
        model, state = _read_foreign(path, kind, non_negative)
    else:
        raise InputError(f"{path}: expected a .safetensors, .pt or .pth file, got {path.suffix or 'no suffix'}")
    load_strictly(model, state, path, f"the model {model.name!r}")
    return model


def _halved(tensor: Tensor) -> Tensor:
    """The tensor in 16 bits, unless it is not floating-point or a number in it would become infinite."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if torch.equal(half.isfinite(), tensor.isfinite()) else tensor


def _read_foreign(path: Path, kind: str | None, non_negative: bool | None) -> tuple[DepthNetwork, dict[str, Tensor]]:
    name, options, state = convert(read_pickle(path), path)
    with torch.device("meta"):  # random weights would take seconds for a large network, only to be replaced
        model, entry = create_model(name, **options), MODELS[name]
    if entry.url is not None:
        model.info = {"licence": entry.licence}  # it also binds what is trained from these weights
    if kind is not None:
        model.retarget(kind)
    elif entry.url is not None:
        model.info["weights"] = entry.url
    if non_negative not in (None, model.non_negative):
        if "non_negative" not in model.options:
            raise InputError(f"{path}: non_negative was given, but {name} never clips its values at 0")
        model.non_negative = non_negative
    normalisation = {key: torch.tensor(model.options[key]).view(1, 3, 1, 1) for key in ("mean", "std")}
    return model, state | normalisation


def _read_own(path: Path) -> tuple[DepthNetwork, dict[str, Tensor]]:
    state, metadata = read_safetensors(path)
    if metadata.get("format") != "facedepth":
        raise InputError(f"{path}: a safetensors file, but not a checkpoint of facedepth (its metadata do not say so)")
    try:
        options = json.loads(metadata["options"])
        options |= {"kind": metadata["kind"], "input_size": int(metadata["input_size"])}
        # An option missing in the file was added later: the class's default for it changes nothing.
        entry = MODELS[metadata["model"]]
        ours = entry.build.__module__.startswith(f"{__package__}.")  # others may hold what the file does not
        with torch.device("meta" if ours else "cpu"):
            model = create_model(metadata["model"], **entry.class_defaults() | options)
    except (KeyError, TypeError, ValueError) as error:
        written_by = metadata.get("version", "of unknown version")
        raise InputError(
            f"{path}: written by facedepth {written_by}, whose model is not known here ({error}); a network of your "
            "own must be added to facedepth.models.MODELS first"
        ) from None
    model.non_negative = metadata.get("non_negative", json.dumps(model.non_negative)) == "true"
    model.info = {key: value for key, value in metadata.items() if key not in _OWN_KEYS}
    return model, state
