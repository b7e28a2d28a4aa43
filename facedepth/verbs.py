"""What each verb of the ``facedepth`` command does with its options: one call of the library, and a line of print."""

from __future__ import annotations

import argparse
import ast
import errno
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .checks import InputError

if TYPE_CHECKING:
    from .models import DepthNetwork

DATA_HELP = (
    "eg3d:FOLDER (EG3D's layout), eg3d-8bit:FOLDER (its 8-bit depth even where exact depth exists), or paired:FOLDER "
    "(images/, depths/, maybe masks/; see --unit and --fov)"
)


def run_demo(options: argparse.Namespace) -> None:
    """``facedepth demo``."""
    from . import demo

    demo.run_demo(options.out, overwrite=options.overwrite)


def run_predict(options: argparse.Namespace) -> None:
    """``facedepth predict``."""
    from .io import check_writable, refuse_existing
    from .models import load_model
    from .photos import list_images
    from .prediction import check_formats, predict

    photos, formats = list_images(*options.photos), [name.strip() for name in options.format.split(",")]
    check_formats(formats)
    check_writable(options.out)
    model = load_model(options.model, kind=options.kind, device=options.device)
    failed = []
    for photo in photos:
        try:
            refuse_existing([Path(options.out) / f"{photo.stem}_depth.json"], options.overwrite)  # before the work
            face = predict(model, photo, crop=options.crop, horizontal_fov_deg=options.fov)
            written = face.save(options.out, formats=formats, z_scale=options.z_scale, overwrite=options.overwrite)
        except (InputError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            failed.append(str(error))
            continue
        print(f"{photo} -> {', '.join(str(path) for path in written)}")
    if failed:
        raise InputError("\n  ".join([f"{len(failed)} of {len(photos)} pictures failed:", *failed]))


def run_turntable(options: argparse.Namespace) -> None:
    """``facedepth turntable``."""
    from .films import refuse_film, turntable
    from .models import load_model
    from .prediction import predict

    refuse_film(options.out, options.overwrite)  # before the work
    model = load_model(options.model, kind=options.kind, device=options.device)
    face = predict(model, options.photo, crop=options.crop, horizontal_fov_deg=options.fov)
    film = turntable(face, options.out, size=options.size, textured=not options.clay, overwrite=options.overwrite)
    print(f"{options.photo} -> {film}")


def run_train(options: argparse.Namespace) -> None:
    """``facedepth train``."""
    from .data import split
    from .models import MODELS, add_head_mask, load_encoder, load_model
    from .runs import refuse_started
    from .training import TrainConfig, fit

    allowed = {setting.name for setting in fields(TrainConfig)} - {"out", "resume", "weights"}
    settings = _assignments("--set", options.set, allowed)
    make_config = TrainConfig.finetune if options.finetune else TrainConfig
    config = make_config(out=options.out, resume=options.resume, **settings)
    refuse_started(config.out, resume=config.resume)
    model = _model_to_train(options, config.seed)
    usual_size = MODELS[options.model].defaults()["input_size"] if model is None else model.input_size
    data = _data(options, config.input_size or usual_size)
    if model is None:
        model = load_model(options.model)
    if options.encoder:
        load_encoder(model, options.encoder)
    if options.head_mask:
        add_head_mask(model)
    told = config.target_kind or any(option.startswith("kind=") for option in options.option)
    if options.model in MODELS and data.depth_kind == "affine" and not told:
        config = replace(config, target_kind="affine_relief")  # all that such data can teach
    train, val = split(data, val=options.val, seed=config.seed)
    fit(model, train, val, config)
    print(f"best model: {Path(options.out) / 'best.safetensors'}")


def _model_to_train(options: argparse.Namespace, seed: int) -> DepthNetwork | None:
    """The network that training starts from; None for a name whose weights it may take gigabytes to fetch: that is for
    last, when nothing else can be wrong.

    Raises:
        InputError: a file that is no network, or options that do not fit where training starts from.
    """
    import torch

    from .models import MODELS, create_model, has_weights, load_model, shipped_weights

    named = options.model in MODELS
    model_options = _assignments("--option", options.option, set(MODELS[options.model].defaults()) if named else None)
    new = named and not (options.finetune and has_weights(options.model))
    model = None if named else load_model(options.model, kind=options.kind)  # what is wrong with a file, first
    if model_options and not new:
        raise InputError("--option: only where a model starts from random weights; trained ones bring their options")
    if options.kind and named:
        raise InputError("--kind: only where --model is a file; for a new model, --option kind=...")
    if options.encoder and not new:
        raise InputError("--encoder: only where a model starts from random weights; trained ones bring their encoder")
    if not new:
        return load_model(options.model) if named and shipped_weights(options.model) else model
    torch.manual_seed(seed)  # of the weights that training starts from
    try:
        return create_model(options.model, **model_options)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"--option: {error}") from None


def run_evaluate(options: argparse.Namespace) -> None:
    """``facedepth evaluate``."""
    from .data import split
    from .evaluation import REPORT_FILES, evaluate
    from .io import check_writable, refuse_existing
    from .models import load_model

    refuse_existing([Path(options.out) / name for name in REPORT_FILES], options.overwrite)  # before the work
    check_writable(options.out)
    model = load_model(options.model, kind=options.kind, device=options.device)
    data = _data(options, model.input_size)
    if options.val is not None:
        _, data = split(data, val=options.val, seed=options.seed)
    report = evaluate(model, data, region=options.region, align=options.align)
    print(report)
    print("written:", ", ".join(str(path) for path in report.save(options.out, overwrite=options.overwrite)))


def run_rerender(options: argparse.Namespace) -> None:
    """``facedepth rerender``."""
    from .data import rerender

    written = rerender(options.root, size=options.size, grid=options.grid, overwrite=options.overwrite)
    print(f"{len(written)} depth maps written to {Path(options.root) / 'depth'}")


def run_generate(options: argparse.Namespace) -> None:
    """``facedepth generate``."""
    from .synthetic import generate

    part, slash, parts = options.shard.partition("/")
    if not (slash and part.isdigit() and parts.isdigit()):
        raise InputError(f"--shard: expected I/COUNT, for instance 0/4, got {options.shard!r}")
    manifest = generate(
        options.out, options.count, size=options.size, seed=options.seed, views_per_identity=options.views,
        shard=(int(part), int(parts)), photographs=options.backgrounds, workers=options.workers,
    )
    print(f"listed in {manifest}")


def run_models(options: argparse.Namespace) -> None:
    """``facedepth models``."""
    from .models import MODELS

    for name, entry in sorted(MODELS.items()):
        print(f"{name}: {entry.about} ({entry.millions:.1f} M parameters, says {entry.defaults()['kind']})")
        print(f"  licence: {entry.licence}\n  weights: {entry.weights}")
        if entry.url:
            print(f"  fetched from: {entry.url}")


def _data(options: argparse.Namespace, model_size: int):
    """The data set that --data names."""
    from .data import EG3DFaces, PairedFolder

    kind, _, folder = options.data.partition(":")
    size = model_size if options.size is None else options.size
    if kind in ("eg3d", "eg3d-8bit") and folder:
        depth_kind = "affine" if kind == "eg3d-8bit" else None
        return EG3DFaces(Path(folder).expanduser(), size=size, depth_kind=depth_kind, skip_bad=options.skip_bad)
    if kind == "paired" and folder:
        if options.fov is None:
            raise InputError("--fov: paired data need the pictures' horizontal field of view, in degrees")
        root = Path(folder).expanduser()  # the shell leaves a ~ behind the colon
        masks = root / "masks" if (root / "masks").is_dir() else None
        unit = _literal(options.unit)
        return PairedFolder(
            root / "images", root / "depths", masks, camera=options.fov, size=size, skip_bad=options.skip_bad,
            unit=unit if isinstance(unit, int | float) else options.unit,
        )
    raise InputError(f"--data: expected {DATA_HELP}; got {options.data!r}")


def _assignments(option: str, pairs: Sequence[str], allowed: set[str] | None) -> dict:
    """An option's key=value pairs as a dictionary; values are Python literals where they are, else strings."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{option}: expected KEY=VALUE, got {pair!r}")
        if allowed is not None and key not in allowed:
            raise InputError(f"{option}: unknown key, got {pair!r}; known keys: {', '.join(sorted(allowed))}")
        found[key] = _literal(value)
    return found


def _literal(text: str):
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
