"""Hair styles as ranges of a few numbers, and drawing one that fits a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .people import Body

COLOURS = {  # linear RGB albedo of a lock
    "black": (0.010, 0.008, 0.007), "dark": (0.026, 0.016, 0.010), "brown": (0.065, 0.036, 0.019),
    "light_brown": (0.15, 0.092, 0.050), "blond": (0.36, 0.25, 0.13), "red": (0.19, 0.065, 0.022),
    "grey": (0.36, 0.35, 0.34),
}
STYLES = {  # lengths and lift in metres: (low, high); what a name leaves out keeps the default of ``draw_hair``
    "buzz": dict(top=(0.002, 0.007), side=(0.0015, 0.004), back=(0.0015, 0.004), lift=(0.002, 0.004), combs=("up",)),
    "crop": dict(top=(0.02, 0.05), side=(0.004, 0.015), back=(0.004, 0.015), lift=(0.008, 0.02),
                 combs=("forward", "side", "up", "messy")),
    "quiff": dict(top=(0.05, 0.10), side=(0.006, 0.03), back=(0.006, 0.03), lift=(0.02, 0.045),
                  combs=("up", "back", "side")),
    "slick": dict(top=(0.09, 0.15), side=(0.05, 0.09), back=(0.04, 0.08), lift=(0.004, 0.012), combs=("back", "side")),
    "medium": dict(top=(0.09, 0.15), side=(0.07, 0.13), back=(0.07, 0.13), lift=(0.012, 0.028),
                   combs=("part", "side", "forward", "messy")),
    "bob": dict(top=(0.17, 0.24), side=(0.13, 0.19), back=(0.12, 0.18), lift=(0.012, 0.03), combs=("part", "side")),
    "long": dict(top=(0.28, 0.44), side=(0.26, 0.40), back=(0.26, 0.40), lift=(0.008, 0.028), combs=("part", "side")),
    "curls": dict(top=(0.06, 0.14), side=(0.05, 0.14), back=(0.05, 0.14), lift=(0.025, 0.055),
                  combs=("part", "messy"), curl=(0.004, 0.010)),
    "afro": dict(top=(0.025, 0.09), side=(0.02, 0.08), back=(0.02, 0.08), lift=(0.03, 0.10), combs=("out",),
                 curl=(0.0025, 0.005)),
    "locs": dict(top=(0.10, 0.30), side=(0.10, 0.30), back=(0.10, 0.30), lift=(0.010, 0.025), combs=("part", "back")),
    "bun": dict(top=(0.34, 0.4), side=(0.34, 0.4), back=(0.34, 0.4), lift=(0.003, 0.009), combs=("tie",)),
    "ponytail": dict(top=(0.30, 0.50), side=(0.30, 0.50), back=(0.30, 0.50), lift=(0.003, 0.01), combs=("tie",)),
}


@dataclass(frozen=True)
class HairLook:
    """One head of hair.

    Attributes:
        style: a key of STYLES.
        comb: where strands are combed: "up", "back", "side", "part", "forward", "messy", "out" or "tie".
        colour, tip_colour: linear RGB albedo at the roots and at the tips.
        grey: share of grey strands, in [0, 1].
        top, side, back: lengths in metres by where strands root.
        fringe: its length in metres, 0 for none.
        lift: how far the hair stands off the scalp, in metres.
        hairline: how far the hairline is moved up, in metres.
        recession: how far it recedes at the temples, in metres, 0 for not at all.
        bald_crown: 0 none ... 1 bald on a wide crown.
        parting: place of the parting, in metres from the middle to the subject's left.
        fall: how strongly strands hang down, against their combing, 0.5 ... 1.3.
        curl, curls_per_m: radius of the curls in metres, 0 for straight hair, and turns per metre of strand.
        clump: share of the way that tips are pulled together into locks, in [0, 1].
        frizz: random change of direction in every step along a strand, 0.02 ... 0.45.
        gloss: strength of the highlights, 1 for healthy straight hair; 0.3 ... 1.1.
        lock_width: width of a strand, in metres.
    """

    style: str
    comb: str
    colour: tuple[float, float, float]
    tip_colour: tuple[float, float, float]
    grey: float
    top: float
    side: float
    back: float
    fringe: float
    lift: float
    hairline: float
    recession: float
    bald_crown: float
    parting: float
    fall: float
    curl: float
    curls_per_m: float
    clump: float
    frizz: float
    gloss: float
    lock_width: float


def draw_colour(rng: np.random.Generator, body: Body) -> tuple[tuple, tuple, float]:
    """Colour at the roots, at the tips, and the share of grey strands."""
    light_ancestry = body.phenotype.caucasian
    odds = np.array([0.10, 0.24, 0.27, 0.16, 0.15, 0.08]) * light_ancestry
    odds += np.array([0.56, 0.28, 0.11, 0.03, 0.01, 0.01]) * (1 - light_ancestry)
    name = list(COLOURS)[rng.choice(6, p=odds / odds.sum())]
    colour = np.array(COLOURS[name]) * rng.uniform(0.75, 1.3) * np.exp(rng.normal(0, 0.06, 3))
    tip = colour * rng.uniform(1.0, 1.9)
    if rng.random() < 0.05:  # dyed
        tip = rng.uniform(0.02, 0.45, 3)
        colour = tip * 0.8 if rng.random() < 0.5 else colour
    grey = float(np.clip(body.oldness * rng.uniform(0.2, 1.4), 0, 1)) if rng.random() < 0.85 else 0.0
    return tuple(colour.tolist()), tuple(np.minimum(tip, 0.6).tolist()), grey


def draw_hair(rng: np.random.Generator, body: Body) -> HairLook | None:
    """A head of hair, or None for a bald one."""
    colour, tip, grey = draw_colour(rng, body)
    masculine, african, old = body.is_masculine, body.phenotype.african, body.oldness
    odds = {
        "bald": 0.07 * masculine, "buzz": 0.12 if masculine else 0.015, "crop": 0.26 if masculine else 0.05,
        "quiff": 0.14 if masculine else 0.02, "slick": 0.08 if masculine else 0.05, "medium": 0.12,
        "bob": 0.02 if masculine else 0.17, "long": 0.05 if masculine else 0.30, "curls": 0.05 if masculine else 0.08,
        "afro": 0.6 * max(african - 0.35, 0), "locs": 0.22 * max(african - 0.35, 0), "bun": 0.01 if masculine else 0.09,
        "ponytail": 0.02 if masculine else 0.09,
    }
    if african > 0.55:
        odds = {name: odd * (0.4 if name in ("slick", "medium", "quiff", "bob") else 1) for name, odd in odds.items()}
    style = str(rng.choice(list(odds), p=np.array(list(odds.values())) / sum(odds.values())))
    if style == "bald":
        return None
    ranges = STYLES[style]
    span = {name: float(rng.uniform(*ranges[name])) for name in ("top", "side", "back", "lift")}
    kinky = african > 0.5 and rng.random() < 0.8
    curl = float(rng.uniform(*ranges["curl"])) if "curl" in ranges else 0.0
    if not curl and style not in ("buzz", "bun", "ponytail", "locs"):
        curl = float(rng.uniform(0.002, 0.007)) * (rng.random() < (0.9 if kinky else 0.35))
    if style in ("bun", "ponytail", "buzz"):
        curl = 0.0
    fringe = style in ("medium", "bob", "long", "crop") and rng.random() < 0.28
    return HairLook(
        style=style, comb=str(rng.choice(ranges["combs"])), colour=colour, tip_colour=tip, grey=grey, **span,
        fringe=float(rng.uniform(0.035, 0.062)) if fringe else 0.0,
        hairline=float(np.clip(rng.normal(0, 0.005), -0.01, 0.01) + 0.010 * old * masculine * rng.random()),
        recession=float(rng.uniform(0.006, 0.035)) if masculine and rng.random() < 0.3 + 0.4 * old else 0.0,
        bald_crown=float(rng.uniform(0.3, 1.0)) if masculine and rng.random() < 0.05 + 0.35 * old else 0.0,
        parting=float(rng.choice([0.0, 1.0], p=[0.4, 0.6]) * rng.normal(0, 0.028)),
        fall=float(rng.uniform(0.5, 1.3)), curl=curl,
        curls_per_m=float(rng.uniform(50, 100) if style == "afro" or kinky else rng.uniform(12, 45)),
        clump=float(rng.uniform(0.85, 0.95)) if style == "locs" else float(rng.uniform(0.05, 0.6)),
        frizz=float(rng.uniform(0.02, 0.25)) + 0.2 * (style == "afro"), gloss=float(rng.uniform(0.3, 1.1)),
        lock_width=float(rng.uniform(0.0006, 0.0010)),
    )
