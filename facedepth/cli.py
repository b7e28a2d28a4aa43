"""The ``facedepth`` command. Every verb is one call of the library; bad input ends with a message and exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .checks import InputError
from .depth import KINDS
from .models import BEST
from .training import TrainingStopped
from .verbs import (
    DATA_HELP,
    run_demo,
    run_evaluate,
    run_generate,
    run_models,
    run_predict,
    run_rerender,
    run_train,
    run_turntable,
)

_SMALLER = {  # what needs less memory
    "predict": "make the photo smaller",
    "turntable": "make the photo smaller, or choose a smaller --size",
    "train": "choose a smaller --size, or --set batch_size=1",
    "evaluate": "choose a smaller --batch-size or --size",
    "rerender": "choose a smaller --size",
    "generate": "choose a smaller --size, or fewer --workers",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not a notebook's
            stream.reconfigure(errors="backslashreplace")  # file names may not be valid text
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        hint = "; pass training settings with --set, for example --set epochs=2" if options.verb == "train" else ""
        options.refuse(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    warnings.formatwarning = lambda message, *_, **__: f"facedepth {options.verb}: {message}\n"  # no code line
    try:
        options.run(options)
        if sys.stdout is not None:  # closed from the start, as a daemon's
            sys.stdout.flush()
    except (InputError, TrainingStopped, OSError) as error:
        if isinstance(error, BrokenPipeError) and _reader_has_left():
            return 141  # as of a program that SIGPIPE ends
        print(f"facedepth {options.verb}: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)):
            raise
        reason = "".join(f" ({line})" for line in str(error).splitlines()[:1])
        remedy = _SMALLER.get(options.verb, "close other programs")
        print(f"facedepth {options.verb}: the memory is full{reason}; {remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _reader_has_left() -> bool:
    """Whether nobody reads the output any more, as in `facedepth models | head -1`; its rest then goes nowhere."""
    try:
        print(flush=True)  # an empty line, if somebody does
    except BrokenPipeError:
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:  # a stream of one's own has no number
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # Python flushes once more at its end
        return True
    return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="facedepth", description="A 3D face from one photo.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        description = f"{verb.summary[0].upper()}{verb.summary[1:]}."
        added = verbs.add_parser(
            verb.name, help=verb.summary, description=description, epilog=f"example: {verb.example}"
        )
        added.set_defaults(run=verb.run, refuse=added.error)
        if verb.add_options is not None:
            verb.add_options(added)
    return parser


class Verb(NamedTuple):
    """A row of the table of verbs: its name, what runs it, what adds its options, and two lines for ``--help``."""

    name: str
    run: Callable[[argparse.Namespace], None]
    add_options: Callable[[argparse.ArgumentParser], None] | None
    summary: str
    example: str


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--out", default="outputs/demo", help="folder to write to (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier demo")


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="IMAGE|FOLDER|LIST.txt",
                        help="pictures, folders of them, or lists: one path per line, relative to the list")
    parser.add_argument("-o", "--out", required=True, help="folder to write to")
    _add_model(parser)
    _add_view(parser)
    parser.add_argument("--format", default="npy,png,glb",
                        help="some of npy,png,obj,ply,glb,html (a page to turn the mesh in) (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are already there")
    parser.add_argument("--skip-existing", action="store_true",
                        help="leave out pictures whose results are there; with --overwrite, results that a call cut "
                        "short left half written are replaced")


def _add_turntable(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", metavar="IMAGE", help="a picture")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="an .mp4 or a .gif")
    _add_model(parser)
    _add_view(parser)
    parser.add_argument("--size", type=int, default=480, help="pixels a side (default: %(default)s)")
    parser.add_argument("--clay", action="store_true", help="without the photo on it, to show the shape alone")
    parser.add_argument("--overwrite", action="store_true", help="replace a film that is already there")


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.add_argument("--model", required=True,
                       help="a model's name, to start from random weights (with --finetune from its shipped or "
                       "published ones, if there are any), or a checkpoint to continue from")
    parser.add_argument("--encoder", metavar="FILE", help="ImageNet weights to start a new model's encoder from")
    _add_kind(parser)
    parser.add_argument("-o", "--out", required=True, help="the run's folder")
    parser.add_argument("--finetune", action="store_true",
                       help="use the settings of TrainConfig.finetune(), and start a named model from its weights "
                       "(fetched once, see `facedepth models`)")
    parser.add_argument("--head-mask", action="store_true",
                       help="also teach a depth-only model, such as MiDaS, the head's outline")
    parser.add_argument("--resume", action="store_true",
                       help="continue the run in that folder; with a larger --set epochs=..., after its end too")
    parser.add_argument("--val", type=float, default=0.1,
                        help="share of the identities kept for validation (default: %(default)s)")
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
                       help="settings of TrainConfig")
    parser.add_argument("--option", action="extend", nargs="+", default=[], metavar="KEY=VALUE",
                       help="options of the model, if --model is a name")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    _add_model(parser)
    parser.add_argument("-o", "--out", required=True, help="folder for the table and the pictures")
    parser.add_argument("--val", type=float,
                          help="only the share that `train --val` kept for validation, for instance 0.1")
    parser.add_argument("--seed", type=int, help="of that split (default: that of the training, if the model tells)")
    parser.add_argument("--region", choices=("face", "head", "mask"), default="face", help="pixels that count")
    parser.add_argument("--align", choices=("scale_shift", "none"), default="scale_shift",
                          help="fit scale and shift to the truth before scoring, or not (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16,
                          help="pictures at a time; fewer need less memory (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are already there")
    _add_device(parser)


def _add_rerender(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", metavar="DIR", help="folder in EG3D's layout, with shapes/ and cam_poses/")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (default: %(default)s)")
    parser.add_argument("--grid", type=int, default=512,
                          help="points a side of the shapes' voxel grid (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are already there")


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("count", metavar="N", type=int, help="how many faces")
    parser.add_argument("-o", "--out", required=True, help="folder to write to; an interrupted call resumes there")
    parser.add_argument("--size", type=int, default=512, help="pixels a side (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other people (default: %(default)s)")
    parser.add_argument("--views", type=int, default=1, help="pictures of each person (default: %(default)s)")
    parser.add_argument("--shard", default="0/1", metavar="I/COUNT", help="every COUNT-th face, starting at the I-th")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--backgrounds", metavar="FOLDER", help="photographs to use as backgrounds")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text}") from None


def _above_0(text: str) -> float:
    number = _number(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


def _degrees(text: str) -> float:
    number = _number(text)
    if not 0 < number < 180:
        raise argparse.ArgumentTypeError(f"expected between 0 and 180 degrees, got {text}")
    return number


def _crop(text: str) -> str | tuple[float, ...]:
    if text in ("face", "none"):
        return text
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (3, 4):
        raise argparse.ArgumentTypeError(f"expected face, none or LEFT,TOP,SIZE in pixels, got {text}")
    return numbers


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=BEST,
                        help="a model with shipped or fetched weights (see `facedepth models`), or a "
                        ".safetensors, .pt or .pth file (default: %(default)s)")
    _add_kind(parser)


def _add_view(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--crop", type=_crop, default="face", metavar="face|none|LEFT,TOP,SIZE",
                        help="around the largest face, the whole picture, or this square; a fourth number is its "
                             "tilt, clockwise in degrees (default: %(default)s)")
    parser.add_argument("--fov", type=_degrees,
                        help="field of view of that square, in degrees; with --crop none across the photo's longer "
                        "side")
    parser.add_argument("--z-scale", type=_above_0, default=1.0,
                        help="exaggerate the depth (above 1) or flatten it (default: %(default)s)")
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")


def _add_kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=KINDS,
                        help="what a .pt or .pth file's output means, if it differs from the publisher's: "
                        "affine_relief for the original's Midas_DPT_b1_e10ckp9_weights.pt")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, action="append", metavar="KIND:FOLDER",
                        help=f"{DATA_HELP}; if it is repeated, all of them together")
    parser.add_argument("--size", type=int, help="pixels a side of the samples (default: the model's input size)")
    parser.add_argument("--unit",
                        help="paired data: m (default), cm, mm, metres per unit, near_bright or far_bright")
    parser.add_argument("--fov", type=_degrees,
                        help="paired data: horizontal field of view of the pictures, in degrees")
    parser.add_argument("--identity", metavar="SEPARATOR",
                        help="paired data: what ends a person's name in the files' names, for instance _ if anna_01 "
                        "and anna_02 show one person (default: every picture shows another)")
    parser.add_argument("--skip-bad", action="store_true", help="leave out unreadable and unmatched files")


VERBS = (
    Verb(
        "demo", run_demo, _add_demo,
        "run the shipped weights on a photo: depth, meshes, pictures and a page with the face in 3D",
        "facedepth demo -o outputs/demo",
    ),
    Verb(
        "predict", run_predict, _add_predict, "photos in, depth maps and meshes out",
        "facedepth predict me.jpg -o outputs --format npy,png,glb",
    ),
    Verb(
        "turntable", run_turntable, _add_turntable, "a film of the face in a photo, turning to both sides",
        "facedepth turntable me.jpg -o outputs/me.mp4",
    ),
    Verb(
        "train", run_train, _add_train, "train or fine-tune a model",
        "facedepth train --data eg3d:data/eg3d --model dpt_large --finetune --head-mask -o runs/dpt "
        "--set learns=lora+decoder --set batch_size=4",
    ),
    Verb(
        "evaluate", run_evaluate, _add_evaluate, "score a model on a data set",
        "facedepth evaluate --data eg3d:data/sample --model runs/unet/best.safetensors -o outputs/scores",
    ),
    Verb(
        "rerender", run_rerender, _add_rerender, "exact z-depth from EG3D's shapes and poses, written to depth/",
        "facedepth rerender data/eg3d --size 256 --grid 512",
    ),
    Verb(
        "generate", run_generate, _add_generate, "synthetic faces with exact depth, in EG3D's layout",
        "facedepth generate 10000 -o data/faces --size 256 --shard 0/4",
    ),
    Verb("models", run_models, None, "list the models: sizes, licences, where weights come from", "facedepth models"),
)
