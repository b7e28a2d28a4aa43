"""Commands of the command line, and pictures for them, in the smallest settings."""

from pathlib import Path

import numpy as np

TINY = [
    "--option", "channels=2", "--option", "depth=2", "--option", "input_size=32", "--set", "epochs=1",
    "--set", "batch_size=2", "--set", "device=cpu",
]


def picture(height: int = 48, width: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def train_command(paired: Path, out: Path, *more, kind: str = "paired") -> list:
    of_paired = ["--unit", "mm", "--fov", 30] if kind == "paired" else []
    return ["train", "--data", f"{kind}:{paired}", *of_paired, "--model", "attention_unet", "-o", out, *TINY, *more]


def midas_command(paired: Path, out: Path, *more) -> list:
    return ["train", "--data", f"paired:{paired}", "--unit", "mm", "--fov", 30, "--model", "midas_small", "-o", out,
            "--size", 64, "--set", "input_size=64", "--set", "epochs=1", "--set", "batch_size=2", "--set", "workers=0",
            "--set", "learning_rate=1e-12", "--set", "ema_decay=0.0", "--set", "device=cpu", *more]
