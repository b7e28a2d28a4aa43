"""What each verb of the ``facedepth`` command does with its options: calls of the library, and a line of output.

Bad input raises ``InputError`` or ``OSError``, for ``cli`` to print.
"""

from __future__ import annotations

import argparse
import ast
import errno
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch.utils.data import Dataset

from . import demo
from .checks import InputError, warn
from .data import EG3DFaces, Joined, PairedFolder, rerender, split
from .evaluation import REPORT_FILES, evaluate
from .films import refuse_film, turntable
from .models import (
    MODELS,
    DepthNetwork,
    add_head_mask,
    create_model,
    has_weights,
    load_encoder,
    load_model,
    shipped_weights,
)
from .paths import check_writable, refuse_existing, user_path
from .prediction import predict
from .prediction.picture_lists import list_images
from .prediction.result_files import check_formats, result_paths
from .synthetic import generate
from .training import TrainConfig, fit
from .training.run_folder import refuse_started

DATA_HELP = (
    "eg3d:FOLDER (EG3D's layout), eg3d-8bit:FOLDER (its 8-bit depth even where exact depth exists), or paired:FOLDER "
    "(images/, depths/, optionally masks/ and face_masks/; see --unit and --fov)"
)


def run_demo(options: argparse.Namespace) -> None:
    """Write the demo's files."""
    demo.run_demo(options.out, overwrite=options.overwrite)


def run_predict(options: argparse.Namespace) -> None:
    """Predict and save each photo; failures are reported together, after the rest."""
    photos, formats = list_images(*options.photos), [name.strip() for name in options.format.split(",")]
    check_formats(formats)
    check_writable(options.out)
    model = load_model(options.model, kind=options.kind, device=options.device)
    failed, left_out = [], 0
    for photo in photos:
        facts = user_path(options.out) / f"{photo.stem}_depth.json"  # written last: where it is, everything is
        results = result_paths(options.out, photo.stem, formats).values()
        if options.skip_existing and all(path.exists() for path in (facts, *results)):
            left_out += 1
            continue
        try:
            refuse_existing([facts], options.overwrite)  # before the work
            face = predict(model, photo, crop=options.crop, horizontal_fov_deg=options.fov)
            written = face.save(options.out, formats=formats, z_scale=options.z_scale, overwrite=options.overwrite)
        except (InputError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            failed.append(str(error) if str(photo) in str(error) else f"{photo}: {error}")
            continue
        print(f"{photo} -> {', '.join(str(path) for path in written)}")
    if left_out:
        print(f"left out, because their results are there: {left_out} of {len(photos)}")
    if failed:
        raise InputError("\n  ".join([f"{len(failed)} of {len(photos)} pictures failed:", *failed]))


def run_turntable(options: argparse.Namespace) -> None:
    """Predict one photo and film the face turning."""
    refuse_film(options.out, options.overwrite)  # before the work
    model = load_model(options.model, kind=options.kind, device=options.device)
    face = predict(model, options.photo, crop=options.crop, horizontal_fov_deg=options.fov)
    film = turntable(
        face.mesh(z_scale=options.z_scale), options.out, size=options.size, textured=not options.clay,
        overwrite=options.overwrite,
    )
    print(f"{options.photo} -> {film}")


def run_train(options: argparse.Namespace) -> None:
    """Train or fine-tune a model on the training part of a data set; weights are fetched last, if all else is right."""
    allowed = {setting.name for setting in fields(TrainConfig)} - {"out", "resume", "weights"}
    settings = _assignments("--set", options.set, allowed)
    make_config = TrainConfig.finetune if options.finetune else TrainConfig
    config = make_config(out=options.out, resume=options.resume, **settings)
    refuse_started(config.out, resume=config.resume)
    model = _model_to_train(options, config)
    usual_size = MODELS[options.model].defaults()["input_size"] if model is None else model.input_size
    data = _data(options, config.input_size or usual_size)
    if model is None:
        model = load_model(options.model)
    if options.encoder:
        load_encoder(model, options.encoder)
    if options.head_mask:
        add_head_mask(model)
    kind_given = config.target_kind or any(option.startswith("kind=") for option in options.option)
    if options.model in MODELS and data.depth_kind == "affine" and not kind_given:
        config = replace(config, target_kind="affine_relief")  # all that such data can teach
    train, val = split(data, val=options.val, seed=config.seed)
    fit(model, train, val, config)
    print(f"best model: {Path(config.out) / 'best.safetensors'}")


def _model_to_train(options: argparse.Namespace, config: TrainConfig) -> DepthNetwork | None:
    """The network that training starts from; None for a name whose weights may be gigabytes to fetch: that comes last,
    when nothing else can be wrong.

    Raises:
        InputError: a file that is not a network, or options that do not fit what training starts from.
    """
    named = options.model in MODELS
    model_options = _assignments("--option", options.option, set(MODELS[options.model].defaults()) if named else None)
    new = named and not (options.finetune and has_weights(options.model))
    model = None if named else load_model(options.model, kind=options.kind)  # a file's faults come out first
    if model_options and not new:
        raise InputError("--option: only where a model starts from random weights; trained ones bring their options")
    if options.kind and named:
        raise InputError("--kind: only where --model is a file; for a new model, --option kind=...")
    if options.encoder and not new:
        raise InputError("--encoder: only where a model starts from random weights; trained ones bring their encoder")
    if new and options.finetune:
        warn(
            f"--finetune: {options.model} has no weights to start from; random ones are trained, at the low learning "
            "rate of fine-tuning"
        )
    if not new:
        return load_model(options.model) if named and shipped_weights(options.model) else model
    if config.learns != "all" and not options.encoder:
        warn(
            f"--set learns={config.learns}: {options.model} starts from random weights, which most of it would keep"
        )
    torch.manual_seed(config.seed)  # for the random weights that training starts from
    try:
        return create_model(options.model, **model_options)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"--option: {error}") from None


def run_evaluate(options: argparse.Namespace) -> None:
    """Score a model on a data set, or on its validation part; print the report and save it."""
    out = user_path(options.out)
    refuse_existing([out / name for name in REPORT_FILES], options.overwrite)  # before the work
    check_writable(out)
    model = load_model(options.model, kind=options.kind, device=options.device)
    data = _data(options, model.input_size)
    if options.val is not None:
        _, data = split(data, val=options.val, seed=_seed_of(model) if options.seed is None else options.seed)
    report = evaluate(model, data, region=options.region, align=options.align, batch_size=options.batch_size)
    written = report.save(out, overwrite=options.overwrite)  # before a word that nobody may be there to read
    print(report)
    print("written:", ", ".join(map(str, written)))


def _seed_of(model: DepthNetwork) -> int:
    told = model.info.get("seed", "0")
    try:
        return int(told)
    except ValueError:
        raise InputError(f"--seed: the model tells {told!r}, no whole number; give that of its training") from None


def run_rerender(options: argparse.Namespace) -> None:
    """Write exact depth maps into a folder in EG3D's layout."""
    root = user_path(options.root)
    written = rerender(root, size=options.size, grid=options.grid, overwrite=options.overwrite)
    print(f"{len(written)} depth maps written to {root / 'depth'}")


def run_generate(options: argparse.Namespace) -> None:
    """Write synthetic faces, or one shard of them."""
    part, slash, parts = options.shard.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal()):
        raise InputError(f"--shard: expected I/COUNT, for instance 0/4, got {options.shard!r}")
    manifest = generate(
        user_path(options.out), options.count, size=options.size, seed=options.seed, views_per_identity=options.views,
        shard=(int(part), int(parts)), photographs=options.backgrounds, workers=options.workers,
    )
    print(f"listed in {manifest}")


def run_models(options: argparse.Namespace) -> None:
    """Print every model's size, output, licence and source of weights."""
    for name, entry in sorted(MODELS.items()):
        print(f"{name}: {entry.about} ({entry.millions:.1f} M parameters, outputs {entry.defaults()['kind']})")
        print(f"  licence: {entry.licence}\n  weights: {entry.weights}")
        if entry.url:
            print(f"  fetched from: {entry.url}")


def _data(options: argparse.Namespace, model_size: int) -> Dataset:
    """The data sets that --data names, as one, at --size or else at the model's input size, in pixels."""
    size = model_size if options.size is None else options.size
    if not any(text.startswith("paired:") for text in options.data):
        for option, value in (("--fov", options.fov), ("--unit", options.unit), ("--identity", options.identity)):
            if value is not None:
                raise InputError(f"{option}: for paired data only; EG3D's layout says it in its files")
    parts = [_data_set(text, options, size) for text in options.data]
    return parts[0] if len(parts) == 1 else Joined(*parts)


def _data_set(text: str, options: argparse.Namespace, size: int) -> Dataset:
    kind, _, folder = text.partition(":")
    if kind in ("eg3d", "eg3d-8bit") and folder:
        depth_kind = "affine" if kind == "eg3d-8bit" else None
        return EG3DFaces(user_path(folder), size=size, depth_kind=depth_kind, skip_bad=options.skip_bad)
    if kind == "paired" and folder:
        if options.fov is None:
            raise InputError("--fov: paired data need the pictures' horizontal field of view, in degrees")
        said = options.unit or "m"
        unit = _literal(said)
        return PairedFolder.within(
            folder, camera=options.fov, size=size, skip_bad=options.skip_bad, identity=options.identity,
            unit=unit if isinstance(unit, int | float) else said,
        )
    raise InputError(f"--data: expected {DATA_HELP}; got {text!r}")


def _assignments(option: str, pairs: Sequence[str], allowed: set[str] | None) -> dict:
    """An option's KEY=VALUE pairs as a dictionary; values are Python literals if they parse, else strings."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{option}: expected KEY=VALUE, got {pair!r}")
        if allowed is not None and key not in allowed:
            of_models = option == "--set" and any(key in entry.defaults() for entry in MODELS.values())
            hint = f"; {key} is an option of the model: --option {pair}" if of_models else ""
            raise InputError(f"{option}: unknown key, got {pair!r}{hint}; known keys: {', '.join(sorted(allowed))}")
        found[key] = _literal(value)
    return found


def _literal(text: str):
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
