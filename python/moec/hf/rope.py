# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rotary position embeddings: the scalings that are arithmetic on the frequencies before the model runs.

Formulas: RoFormer (arXiv:2104.09864), linear position interpolation (arXiv:2306.15595), YaRN (arXiv:2309.00071), and
the Llama 3 scaling, each in f32 and in the order of operations of transformers' ``modeling_rope_utils.py``: angles grow
with the position, so that the last bit of a frequency shows in long texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from moec.hf.config import Config
from moec.hf.spec import Rope


def read_rope(
    config: Config,
    head_dim: int,
    max_len: int,
    default_theta: float,
    partial: float | None = None,
    interleaved: bool = False,
    theta: float | None = None,
    known: Sequence[str] = (),
) -> Rope:
    """Read a model's rope settings, as ``rope_parameters`` or as ``rope_theta`` and ``rope_scaling``.

    Parameters
    ----------
    config : Config
        The whole config.json.
    head_dim : int
        Channels per head.
    max_len : int
        The model's ``max_position_embeddings``.
    default_theta : float
        The family's base where config.json names none.
    partial : float or None
        Part of each head that the family rotates where config.json names none; None is all of it, always.
    interleaved : bool
        As in `Rope`.
    theta : float or None
        The base whatever these settings say.
    known : sequence of str
        Further keys of these settings, which the caller reads.

    Raises
    ------
    Error
        If a key or value is not supported, e.g. a scaling that depends on the length of the text.
    """
    default_theta = config.number("rope_theta", default_theta)
    if partial is not None:
        partial = config.number("partial_rotary_factor", partial)
    legacy, current = config.table("rope_scaling"), config.table("rope_parameters")
    if legacy and current:
        config.refuse("rope_scaling", "no such key beside rope_parameters")
    settings = legacy or current or Config("", {})
    settings.ignore(*known)
    theta = theta or settings.number("rope_theta", default_theta)
    return _read(settings, head_dim, max_len, theta, partial, interleaved)


def read_ropes(
    config: Config, head_dim: int, max_len: int, default: dict[str, dict[str, Any]], partial: float | None = None
) -> dict[str, Rope]:
    """Read the rope settings of each type of layer, as ``rope_parameters`` has them by ``layer_types``.

    Parameters
    ----------
    default : dict of str to dict
        The family's settings for each type of layer where config.json has none.
    partial
        As in `read_rope`, for each type.

    Raises
    ------
    Error
        As `read_rope`.
    """
    tables = config.table("rope_parameters") or Config("", default)
    ropes = {}
    for name, own in default.items():
        settings = tables.table(name) or Config("", {})
        theta = settings.number("rope_theta", own["rope_theta"])
        ropes[name] = _read(settings, head_dim, max_len, theta, partial, False)
    tables.finish()
    return ropes


def _read(
    settings: Config, head_dim: int, max_len: int, theta: float, partial: float | None, interleaved: bool
) -> Rope:
    settings.ignore("rope_theta")  # its base is given
    key = "rope_type" if settings.word("rope_type", None) else "type"
    kind = settings.word(key, "default")
    settings.only("type", kind)
    if kind not in _SCALINGS:
        settings.refuse(key, "one of " + ", ".join(_SCALINGS))
    whole = partial is None or kind == "proportional"
    dim = int(head_dim * (1.0 if whole else settings.number("partial_rotary_factor", partial)))
    if dim % 2 or not 0 < dim <= head_dim:
        settings.refuse("partial_rotary_factor", f"an even number of rotated channels ({dim} of {head_dim})")
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    wavelengths = (theta ** exponents.astype(np.float64)).astype(np.float32)
    inv_freq, factor = _SCALINGS[kind](settings, wavelengths, theta, max_len)
    limit = settings.integer("original_max_position_embeddings") if kind == "longrope" else None
    settings.finish()
    return Rope(tuple(float(str(freq)) for freq in inv_freq), factor, interleaved, limit)


def _default(settings: Config, wavelengths: np.ndarray, theta: float, max_len: int) -> tuple[np.ndarray, float]:
    return 1 / wavelengths, 1.0


def _linear(settings: Config, wavelengths: np.ndarray, theta: float, max_len: int) -> tuple[np.ndarray, float]:
    return 1 / wavelengths / settings.number("factor"), 1.0


def _llama3(settings: Config, wavelengths: np.ndarray, theta: float, max_len: int) -> tuple[np.ndarray, float]:
    """Waves that are long against the original length are interpolated, short ones kept, those between blended."""
    factor = settings.number("factor")
    low, high = settings.number("low_freq_factor"), settings.number("high_freq_factor")
    if low > high:
        settings.refuse("low_freq_factor", f"a number of at most high_freq_factor ({high})")
    original = settings.integer("original_max_position_embeddings", max_len)
    inv_freq = 1 / wavelengths
    period = 2 * math.pi / inv_freq
    turns = original / period
    keep = (turns - low) / (high - low) if low < high else (turns > low).astype(np.float32)
    blended = (1 - keep) * inv_freq / factor + keep * inv_freq
    short, long = period < original / high, period > original / low
    return np.where(short, inv_freq, np.where(long, inv_freq / factor, blended)), 1.0


def _yarn(settings: Config, wavelengths: np.ndarray, theta: float, max_len: int) -> tuple[np.ndarray, float]:
    """Channels that turn less than beta_slow times over the original length are interpolated, those that turn more than
    beta_fast times kept, those between blended in the channel's number."""
    original = settings.integer("original_max_position_embeddings", max_len)
    factor = settings.number("factor")
    fast, slow = settings.number("beta_fast", 32.0), settings.number("beta_slow", 1.0)
    dim = 2 * len(wavelengths)

    def channel(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = channel(fast), channel(slow)
    if settings.flag("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    if low == high:
        high += 0.001
    ramp = (np.arange(dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
    keep = 1 - np.clip(ramp, 0, 1)
    return 1 / (factor * wavelengths) * (1 - keep) + 1 / wavelengths * keep, _yarn_factor(settings, factor)


def _yarn_factor(settings: Config, factor: float) -> float:
    """What cosine and sine are multiplied by: given, or from the length's factor."""
    given = settings.number("attention_factor", None)
    numerator, denominator = (settings.number(key, None, zero=True) for key in ("mscale", "mscale_all_dim"))
    if given is not None:
        return given
    if numerator and denominator:
        return _magnitude(factor, numerator) / _magnitude(factor, denominator)
    return _magnitude(factor, 1.0)


def _magnitude(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


def read_yarn_magnitude(config: Config) -> float:
    """What YaRN multiplies queries and keys by where it does not multiply cosine and sine alone.

    `read_rope` has to be asked for the settings that this number is made from, too.
    """
    settings = config.table("rope_scaling") or config.table("rope_parameters") or Config("", {})
    scale = settings.number("mscale_all_dim", 0.0, zero=True)
    return _magnitude(settings.number("factor", 1.0), scale) if scale else 1.0


def _dynamic(settings: Config, wavelengths: np.ndarray, theta: float, max_len: int) -> tuple[np.ndarray, float]:
    """Nothing changes up to the length that the model was made for; Hunyuan's alpha raises the base for all lengths."""
    settings.number("factor", None)
    dim, alpha = 2 * len(wavelengths), settings.number("alpha", 1.0)
    base = theta * alpha ** (dim / (dim - 2))
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    return 1 / (base ** exponents.astype(np.float64)).astype(np.float32), 1.0


def _proportional(settings: Config, wavelengths: np.ndarray, theta: float, max_len: int) -> tuple[np.ndarray, float]:
    """Some channels are rotated with the frequencies that they have in a whole head, and the others stand still."""
    rotated = int(settings.number("partial_rotary_factor", 1.0) * len(wavelengths))
    inv_freq = 1 / wavelengths / settings.number("factor", 1.0)
    return np.where(np.arange(len(inv_freq)) < rotated, inv_freq, 0).astype(np.float32), 1.0


def _longrope(settings: Config, wavelengths: np.ndarray, theta: float, max_len: int) -> tuple[np.ndarray, float]:
    """LongRoPE (arXiv:2402.13753) for texts up to the original length; longer ones have other frequencies."""
    original = settings.integer("original_max_position_embeddings")
    short, _ = (np.array(settings.numbers(f"{kind}_factor", len(wavelengths))) for kind in ("short", "long"))
    growth = settings.number("factor", max_len / original)
    factor = settings.number("attention_factor", math.sqrt(1 + math.log(growth) / math.log(original)))
    settings.number("long_mscale", None)
    return 1 / (short.astype(np.float32) * wavelengths), settings.number("short_mscale", factor)


_SCALINGS = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "dynamic": _dynamic,
    "longrope": _longrope,
    "proportional": _proportional,
}
