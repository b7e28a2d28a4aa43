"""The ``facedepth`` command. Every verb is one call of the library; bad input ends with a message and exit code 2."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from .checks import InputError
from .depth import KINDS

DATA_HELP = (
    "eg3d:FOLDER (EG3D's layout), eg3d-8bit:FOLDER (its 8-bit depth even where exact depth exists), or paired:FOLDER "
    "(images/, depths/, maybe masks/; see --unit and --fov)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    from .training import TrainingStopped

    try:
        options.run(options)
    except (InputError, TrainingStopped, OSError) as error:
        print(f"facedepth {options.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="facedepth", description="A 3D face from one photo.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run, summary: str, example: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=f"example: {example}"
        )
        added.set_defaults(run=run)
        return added

    demo = verb(
        "demo", _demo, "the shipped weights on a photo: depth, meshes, pictures and a page of a face in 3D",
        "facedepth demo -o outputs/demo",
    )
    demo.add_argument("-o", "--out", default="outputs/demo", help="folder to write to (default: %(default)s)")

    predict = verb(
        "predict", _predict, "photos in, depth maps and meshes out",
        "facedepth predict me.jpg -o outputs --format npy,png,glb",
    )
    predict.add_argument("photos", metavar="IMAGE|FOLDER|LIST.txt", help="a picture, a folder, or a list of paths")
    predict.add_argument("-o", "--out", required=True, help="folder to write to")
    _add_model(predict)
    predict.add_argument("--crop", choices=("face", "none"), default="face",
                         help="find the face, or take the whole picture (default: %(default)s)")
    predict.add_argument("--fov", type=float, help="horizontal field of view of the crop, in degrees")
    predict.add_argument("--z-scale", type=float, default=1.0,
                         help="exaggerate the depth (above 1) or flatten it (default: %(default)s)")
    predict.add_argument("--format", default="npy,png,glb",
                         help="some of npy,png,obj,ply,glb,html (a page to turn the mesh in) (default: %(default)s)")
    predict.add_argument("--overwrite", action="store_true", help="replace files that are already there")
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")

    turntable = verb(
        "turntable", _turntable, "a film of the face in a photo, turning to both sides",
        "facedepth turntable me.jpg -o outputs/me.mp4",
    )
    turntable.add_argument("photo", metavar="IMAGE", help="a picture")
    turntable.add_argument("-o", "--out", required=True, metavar="FILE", help="an .mp4 or a .gif")
    _add_model(turntable)
    turntable.add_argument("--size", type=int, default=480, help="pixels a side (default: %(default)s)")
    turntable.add_argument("--clay", action="store_true", help="without the photo on it, to see the shape alone")
    turntable.add_argument("--overwrite", action="store_true", help="replace a film that is already there")

    train = verb(
        "train", _train, "train or fine-tune a model",
        "facedepth train --data eg3d:data/eg3d --model dpt_large --finetune --head-mask -o runs/dpt "
        "--set learns=lora+decoder --set batch_size=4",
    )
    _add_data(train)
    train.add_argument("--model", required=True,
                       help="a model's name, which starts from random weights (with --finetune from its shipped or "
                       "published ones, where there are some), or a checkpoint to go on from")
    train.add_argument("--encoder", metavar="FILE", help="ImageNet weights to start a new model's encoder from")
    _add_kind(train)
    train.add_argument("-o", "--out", required=True, help="the run's folder")
    train.add_argument("--finetune", action="store_true",
                       help="start from the settings of TrainConfig.finetune(), and a model's name from its weights: "
                       "fetched once, see `facedepth models`")
    train.add_argument("--head-mask", action="store_true",
                       help="teach a model that says nothing but depth, as MiDaS, the outline of the head too")
    train.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    train.add_argument("--val", type=float, default=0.1, help="share of the identities kept to validate on")
    train.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of TrainConfig")
    train.add_argument("--option", action="append", default=[], metavar="KEY=VALUE",
                       help="an option of the model, where --model is a name")

    evaluate = verb(
        "evaluate", _evaluate, "score a model on a data set",
        "facedepth evaluate --data eg3d:data/sample --model runs/unet/best.safetensors -o outputs/scores",
    )
    _add_data(evaluate)
    _add_model(evaluate)
    evaluate.add_argument("-o", "--out", required=True, help="folder for the table and the pictures")
    evaluate.add_argument("--val", type=float,
                          help="only the share that `train --val` kept to validate on, for instance 0.1")
    evaluate.add_argument("--seed", type=int, default=0, help="of that split (default: %(default)s)")
    evaluate.add_argument("--region", choices=("face", "head", "mask"), default="face", help="pixels that count")
    evaluate.add_argument("--align", choices=("scale_shift", "none"), default="scale_shift",
                          help="fit scale and shift to the truth first, or not (default: %(default)s)")
    evaluate.add_argument("--overwrite", action="store_true", help="replace files that are already there")
    evaluate.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")

    rerender = verb(
        "rerender", _rerender, "exact z-depth from EG3D's shapes and poses, written to depth/",
        "facedepth rerender data/eg3d --size 256 --grid 512",
    )
    rerender.add_argument("root", metavar="DIR", help="folder in EG3D's layout, with shapes/ and cam_poses/")
    rerender.add_argument("--size", type=int, default=256, help="pixels a side (default: %(default)s)")
    rerender.add_argument("--grid", type=int, default=512,
                          help="points a side of the shapes' voxel grid (default: %(default)s)")
    rerender.add_argument("--overwrite", action="store_true", help="replace files that are already there")

    generate = verb(
        "generate", _generate, "synthetic faces with exact depth, in EG3D's layout",
        "facedepth generate 10000 -o data/faces --size 256 --shard 0/4",
    )
    generate.add_argument("count", metavar="N", type=int, help="how many faces")
    generate.add_argument("-o", "--out", required=True, help="folder to write to; an interrupted call goes on there")
    generate.add_argument("--size", type=int, default=512, help="pixels a side (default: %(default)s)")
    generate.add_argument("--seed", type=int, default=0, help="another seed, other people (default: %(default)s)")
    generate.add_argument("--views", type=int, default=1, help="pictures of each person (default: %(default)s)")
    generate.add_argument("--shard", default="0/1", metavar="I/COUNT", help="every COUNT-th face, from the I-th on")
    generate.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    generate.add_argument("--backgrounds", metavar="FOLDER", help="photographs to use as backgrounds")

    verb("models", _models, "list the models: sizes, licences, where weights come from", "facedepth models")
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="attention_unet",
                        help="a model whose weights are shipped or fetched (see `facedepth models`), or a "
                        ".safetensors, .pt or .pth file (default: %(default)s)")
    _add_kind(parser)


def _add_kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=KINDS,
                        help="what a .pt or .pth file's output means, where not what its publisher's means: "
                        "affine_relief for the original's Midas_DPT_b1_e10ckp9_weights.pt")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, metavar="KIND:FOLDER", help=DATA_HELP)
    parser.add_argument("--size", type=int, help="pixels a side of the samples (default: the model's input size)")
    parser.add_argument("--unit", default="m", help="paired data: m, cm, mm, metres a unit, near_bright or far_bright")
    parser.add_argument("--fov", type=float, help="paired data: horizontal field of view of the pictures, in degrees")
    parser.add_argument("--skip-bad", action="store_true", help="leave out unreadable and unmatched files")


def _demo(options: argparse.Namespace) -> None:
    from .demo import run_demo

    run_demo(options.out)


def _predict(options: argparse.Namespace) -> None:
    from .io import list_images, refuse_existing
    from .models import load_model
    from .prediction import check_formats, predict

    photos, formats = list_images(options.photos), options.format.split(",")
    check_formats(formats)
    model = load_model(options.model, kind=options.kind, device=options.device)
    failed = []
    for photo in photos:
        try:
            refuse_existing([Path(options.out) / f"{photo.stem}_depth.json"], options.overwrite)  # before the work
            face = predict(model, photo, crop=options.crop, horizontal_fov_deg=options.fov)
            written = face.save(options.out, formats=formats, z_scale=options.z_scale, overwrite=options.overwrite)
        except InputError as error:
            failed.append(str(error))
            continue
        print(f"{photo} -> {', '.join(str(path) for path in written)}")
    if failed:
        raise InputError("\n  ".join([f"{len(failed)} of {len(photos)} pictures failed:", *failed]))


def _turntable(options: argparse.Namespace) -> None:
    from .films import refuse_film, turntable
    from .models import load_model
    from .prediction import predict

    refuse_film(options.out, options.overwrite)  # before the work
    face = predict(load_model(options.model, kind=options.kind), options.photo)
    film = turntable(face, options.out, size=options.size, textured=not options.clay, overwrite=options.overwrite)
    print(f"{options.photo} -> {film}")


def _train(options: argparse.Namespace) -> None:
    from .data import split
    from .models import add_head_mask, create_model, has_weights, list_models, load_encoder, load_model
    from .training import TrainConfig, fit

    allowed = {setting.name for setting in fields(TrainConfig)} - {"out", "resume", "weights"}
    settings = _assignments(options.set, allowed)
    make_config = TrainConfig.finetune if options.finetune else TrainConfig
    config = make_config(out=options.out, resume=options.resume, **settings)
    model_options = _assignments(options.option, None)
    named = options.model in list_models()
    new = named and not (options.finetune and has_weights(options.model))
    if model_options and not new:
        raise InputError("--option: only where a model starts from random weights; trained ones bring their options")
    if options.kind and named:
        raise InputError("--kind: only where --model is a file; for a new model, --option kind=...")
    if options.encoder and not new:
        raise InputError("--encoder: only where a model starts from random weights; trained ones bring their encoder")
    try:
        model = create_model(options.model, **model_options) if new else load_model(options.model, kind=options.kind)
    except TypeError as error:
        raise InputError(f"--option: {error}") from None
    if options.encoder:
        load_encoder(model, options.encoder)
    if options.head_mask:
        add_head_mask(model)
    data = _data(options, config.input_size or model.input_size)
    if named and data.depth_kind == "affine" and "kind" not in model_options and config.target_kind is None:
        config = replace(config, target_kind="affine_relief")  # all that such data can teach
    train, val = split(data, val=options.val, seed=config.seed)
    fit(model, train, val, config)
    print(f"best model: {Path(options.out) / 'best.safetensors'}")


def _evaluate(options: argparse.Namespace) -> None:
    from .data import split
    from .evaluation import REPORT_FILES, evaluate
    from .io import refuse_existing
    from .models import load_model

    refuse_existing([Path(options.out) / name for name in REPORT_FILES], options.overwrite)  # before the work
    model = load_model(options.model, kind=options.kind, device=options.device)
    data = _data(options, model.input_size)
    if options.val is not None:
        _, data = split(data, val=options.val, seed=options.seed)
    report = evaluate(model, data, region=options.region, align=options.align)
    print(report)
    print("written:", ", ".join(str(path) for path in report.save(options.out, overwrite=options.overwrite)))


def _rerender(options: argparse.Namespace) -> None:
    from .data import rerender

    written = rerender(options.root, size=options.size, grid=options.grid, overwrite=options.overwrite)
    print(f"{len(written)} depth maps written to {Path(options.root) / 'depth'}")


def _generate(options: argparse.Namespace) -> None:
    from .synthetic import generate

    part, slash, parts = options.shard.partition("/")
    if not (slash and part.isdigit() and parts.isdigit()):
        raise InputError(f"--shard: expected I/COUNT, for instance 0/4, got {options.shard!r}")
    manifest = generate(
        options.out, options.count, size=options.size, seed=options.seed, views_per_identity=options.views,
        shard=(int(part), int(parts)), photographs=options.backgrounds, workers=options.workers,
    )
    print(f"listed in {manifest}")


def _models(options: argparse.Namespace) -> None:
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
    size = options.size or model_size
    if kind in ("eg3d", "eg3d-8bit") and folder:
        depth_kind = "affine" if kind == "eg3d-8bit" else None
        return EG3DFaces(folder, size=size, depth_kind=depth_kind, skip_bad=options.skip_bad)
    if kind == "paired" and folder:
        if options.fov is None:
            raise InputError("--fov: paired data need the pictures' horizontal field of view, in degrees")
        root = Path(folder)
        masks = root / "masks" if (root / "masks").is_dir() else None
        unit = _literal(options.unit)
        return PairedFolder(
            root / "images", root / "depths", masks, camera=options.fov, unit=unit, size=size, skip_bad=options.skip_bad
        )
    raise InputError(f"--data: expected {DATA_HELP}; got {options.data!r}")


def _assignments(pairs: Sequence[str], allowed: set[str] | None) -> dict:
    """key=value pairs as a dictionary; values are Python literals where they are, else strings."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or (allowed is not None and key not in allowed):
            choice = f"; known keys: {', '.join(sorted(allowed))}" if allowed is not None else ""
            raise InputError(f"expected KEY=VALUE, got {pair!r}{choice}")
        found[key] = _literal(value)
    return found


def _literal(text: str):
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return text
