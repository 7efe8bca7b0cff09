"""LibriMix's mixtures (Cosentino et al., 2020), bit for bit: from a row of its metadata to samples.

The signal flow: read at 16 kHz -> gain -> resample -> cut or pad -> add. Everything is float32 but a noise that had to
be extended: the cross-fade makes it float64, and so it stays.
"""

import hashlib
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import soxr
from scipy.signal import resample_poly

from mindaudio_ext.data.audio import from_pcm16, read_audio, to_pcm16
from mindaudio_ext.data.csv_file import read_csv
from mindaudio_ext.data.sound import Sound, open_sound
from mindaudio_ext.errors import InputError
from mindaudio_ext.files import is_file
from mindaudio_ext.keys import require_key

SPEECH_RATE = 16000  # Hz, of LibriSpeech and of WHAM's noise
MODES = ("min", "max")
TYPES = ("mix_clean", "mix_both", "mix_single")
NOISY = ("mix_both", "mix_single")

_FADE = SPEECH_RATE // 2 + 1  # samples of the cross-fade: half of a Hann window of one second
_AUGMENTED = re.compile(r"_?sp(08|12)\.wav$")
_EPSILON = 1e-10
_BLOCK = 8192  # samples: NumPy's buffer


@dataclass(frozen=True)
class MixRow:
    """One mixture as LibriMix's metadata describe it.

    Attributes:
        key: its name, the mixture_ID.
        paths: of the sources, in order.
        gains: of the sources, factors.
        noise_path: of the noise; None when no noise is wanted.
        noise_gain: its factor.
        digest: of the row as it stands in the metadata, which does not change with the corpora's folders.
    """

    key: str
    paths: tuple[str, ...]
    gains: tuple[float, ...]
    noise_path: str | None
    noise_gain: float
    digest: str

    def files(self) -> dict[str, str]:
        """Names the files that are read for it: `source 1`, ..., `noise` -> path."""
        named = {f"source {i}": path for i, path in enumerate(self.paths, 1)}
        return named | ({"noise": noise_file(self.noise_path)[0]} if self.noise_path else {})


def read_metadata(
    path: str | os.PathLike, n_src: int, *, librispeech: str | os.PathLike, wham: str | os.PathLike | None = None
) -> list[MixRow]:
    """Reads a metadata file of LibriMix.

    Args:
        path: the csv file.
        n_src: sources per mixture.
        librispeech: folder the sources' paths begin at.
        wham: folder the noises' paths begin at. Without it rows have no noise, and the file need not name any.

    Raises:
        InputError: naming file, row and column of the first thing that is wrong.
    """
    columns = [f"source_{i}_{what}" for i in range(1, n_src + 1) for what in ("path", "gain")]
    columns += ["noise_path", "noise_gain"] if wham is not None else []
    rows: dict[str, MixRow] = {}
    found, lines = read_csv(path)
    missing = [name for name in ("mixture_ID", *columns) if name not in found]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]}; LibriMix's metadata of {n_src} sources are expected")
    for line in lines:
        row = _metadata_row(line.place, line.fields, n_src, librispeech, wham)
        if row.key in rows:
            raise InputError(f"{line.place}: the mixture {row.key} is there twice")
        rows[row.key] = row
    if not rows:
        raise InputError(f"{path}: has no mixtures")
    return list(rows.values())


def _metadata_row(
    place: str,
    fields: Mapping[str, str | None],
    n_src: int,
    librispeech: str | os.PathLike,
    wham: str | os.PathLike | None,
) -> MixRow:
    key = fields["mixture_ID"] or ""
    require_key(key, place)
    names = [f"source_{i}" for i in range(1, n_src + 1)] + (["noise"] if wham is not None else [])
    paths, gains = [], []
    for name in names:
        path = fields[f"{name}_path"]
        if not path:
            raise InputError(f"{place}: {key}: {name}_path is empty")
        # Metadata that were made on Windows have its backslashes; no name in either corpus has one.
        corpus = librispeech if wham is None or name != "noise" else wham
        paths.append(os.path.join(corpus, path.replace("\\", "/")))
        gains.append(parse_gain(fields[f"{name}_gain"], f"{place}: {key}: {name}_gain"))
    text = "\n".join(f"{name} {value}" for name, value in fields.items())
    return MixRow(
        key,
        tuple(paths[:n_src]),
        tuple(gains[:n_src]),
        paths[n_src] if wham is not None else None,
        gains[n_src] if wham is not None else 0.0,
        hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def parse_gain(text: str | None, place: str) -> float:
    """Returns the factor a csv field holds.

    Raises:
        InputError: when it is not a finite number; `place` begins the message.
    """
    try:
        gain = float(text or "")
    except ValueError:
        gain = math.nan
    if not math.isfinite(gain):
        raise InputError(f"{place}: '{text}' is not a factor")
    return gain


def read_scaled(row: MixRow) -> list[np.ndarray]:
    """Reads the sources and, last, the noise if there is one; each [T_i] at 16 kHz, times its gain.

    Raises:
        InputError: naming the key and the file that is missing, of another rate, empty or not finite.
    """
    try:
        signals = [read_audio(path, sample_rate=SPEECH_RATE)[0] for path in row.paths]
        if row.noise_path:
            signals.append(_read_noise(row.noise_path, max(len(signal) for signal in signals)))
    except InputError as error:
        raise InputError(f"{row.key}: {error}") from error
    # A Python float as the factor: NumPy's own scalar would make float64 of float32.
    return [signal * gain for signal, gain in zip(signals, (*row.gains, row.noise_gain))]


def noise_file(path: str) -> tuple[str, Fraction]:
    """Returns the file that a noise is read from, and how many times faster than in that file it is to run.

    The metadata of train-360 name noises that LibriMix makes beforehand from WHAM's: `tr/xsp08.wav` and `tr/xsp12.wav`
    are `tr/x.wav` at 0.8 and 1.2 times the speed. They are made when they are read, unless they are there.
    """
    match = _AUGMENTED.search(path)
    if match is None or is_file(path):
        return path, Fraction(1)
    original = path[: match.start()] + ".wav"
    return (original, Fraction(int(match[1]), 10)) if is_file(original) else (path, Fraction(1))


def change_speed(samples: np.ndarray, speed: Fraction) -> np.ndarray:
    """Returns samples [T] that run faster at the same rate, as 16-bit values in float32: [T / speed, rounded].

    LibriMix uses SoX's effect `speed`. soxr is the resampler that SoX's came from, so nearly the same samples result.
    """
    resampled = soxr.resample(samples.astype(np.float64), speed.numerator, speed.denominator, quality="HQ")
    return from_pcm16(to_pcm16(resampled))


def _read_noise(path: str, length: int) -> np.ndarray:
    """Reads the first channel of a noise, [length], and no more of it; a shorter one is extended by itself."""
    file, speed = noise_file(path)
    noise = _read_first_channel(file, length if speed == 1 else sys.maxsize)
    if not np.isfinite(noise).all():
        raise InputError(f"{file}: has NaN or infinity at sample {int(np.argmin(np.isfinite(noise)))}")
    if speed != 1:
        noise = change_speed(noise, speed)[:length]
    return noise if len(noise) == length else extend_noise(noise, length, name=path)


def _read_first_channel(path: str, length: int) -> np.ndarray:
    """Reads [length], or as much as there is."""
    with open_sound(path) as sound:
        _require_rate(sound)
        blocks, n_read = [], 0
        for samples in sound.blocks():
            blocks.append(samples[:, 0])
            n_read += len(samples)
            if n_read >= length:
                break
    return np.concatenate(blocks)[:length]


def _frames(path: str) -> int:
    """Returns the samples a channel of a file of 16 kHz."""
    with open_sound(path) as sound:
        _require_rate(sound)
        return sound.n_samples


def _require_rate(sound: Sound) -> None:
    if sound.sample_rate != SPEECH_RATE:
        raise InputError(f"{sound.name}: is at {sound.sample_rate} Hz; {SPEECH_RATE} Hz is expected")


def extend_noise(noise: np.ndarray, length: int, *, name: str = "the noise") -> np.ndarray:
    """Repeats a noise with a cross-fade of 8001 samples until it has `length` samples; gives float64.

    Raises:
        InputError: when it is not longer than the cross-fade.
    """
    if len(noise) <= _FADE:
        raise InputError(f"{name}: has {len(noise)} samples; more than {_FADE} are needed to extend it to {length}")
    rise = np.hanning(2 * _FADE - 1)[:_FADE]
    fall = rise[::-1]
    extended = noise
    while len(extended) < length:
        seam = extended[-_FADE:] * fall + noise[:_FADE] * rise
        extended = np.concatenate((extended[:-_FADE], seam, noise[_FADE:]))
    return extended[:length]


def resample(signals: Sequence[np.ndarray], sample_rate: int) -> list[np.ndarray]:
    """Brings signals of 16 kHz to a rate in Hz."""
    return [resample_poly(signal, sample_rate, SPEECH_RATE) for signal in signals]


def fit_lengths(signals: Sequence[np.ndarray], mode: str) -> list[np.ndarray]:
    """Cuts to the shortest (`min`) or pads with zeros to the longest (`max`); each [T]."""
    lengths = [len(signal) for signal in signals]
    if mode == "min":
        return [signal[: min(lengths)] for signal in signals]
    return [np.pad(signal, (0, max(lengths) - len(signal))) for signal in signals]


def parts_of(mix_type: str, signals: Sequence[np.ndarray], n_src: int) -> list[np.ndarray]:
    """Chooses what a mixture of this type is the sum of: sources, then the noise unless it is mix_clean.

    Args:
        mix_type: one of `TYPES`.
        signals: the sources, then the noise if there is one.
        n_src: sources among them.
    """
    if mix_type == "mix_clean":
        return list(signals[:n_src])
    return [*signals[: 1 if mix_type == "mix_single" else n_src], signals[n_src]]


def add(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Adds signals [T] one after the other in the type of the first; nothing guards against clipping."""
    mixture = parts[0].copy()
    for part in parts[1:]:
        mixture += part
    return mixture


def snrs(mixture: np.ndarray, parts: Sequence[np.ndarray]) -> list[np.floating]:
    """Returns each part's power over that of the rest of the mixture, dB; float64 for a noise that was extended."""
    return [_snr(part, mixture - part) for part in parts]


def _snr(signal: np.ndarray, rest: np.ndarray) -> np.floating:
    # In the signals' type and with sums in pairs to the last step, as NumPy 2 does it; NumPy 1 widens what is no array
    # and sums the blocks of a long array one after the other.
    number = rest.dtype.type
    ratio = _power(signal) / (_power(rest) + number(_EPSILON)) + number(_EPSILON)
    # NumPy 1's log10 of float64 is up to a step off with AVX-512, NumPy 2's is not; of float32 both are the same.
    return number(10) * (number(np.log10(np.longdouble(ratio))) if number is np.float64 else np.log10(ratio))


def _power(signal: np.ndarray) -> np.floating:
    return signal.dtype.type(_sum_in_pairs(signal**2) / len(signal))


def _sum_in_pairs(values: np.ndarray) -> np.floating:
    """Sums the halves of halves down to what every NumPy sums in pairs by itself."""
    if len(values) <= _BLOCK:
        return np.add.reduce(values)
    half = len(values) // 2
    half -= half % 8
    return _sum_in_pairs(values[:half]) + _sum_in_pairs(values[half:])


def mix_row(row: MixRow, *, sample_rate: int, mode: str, mix_type: str) -> tuple[np.ndarray, np.ndarray]:
    """Makes the samples that a mixture's wavs would hold, without wavs.

    Args:
        row: of the metadata, with a noise unless `mix_type` is mix_clean.
        sample_rate: Hz.
        mode: min or max.
        mix_type: one of `TYPES`.

    Returns:
        the mixture int16 [T] and the sources int16 [C, T]; C is 1 for mix_single.
    """
    signals = fit_lengths(resample(read_scaled(row), sample_rate), mode)
    parts = parts_of(mix_type, signals, len(row.paths))
    sources = parts if mix_type == "mix_clean" else parts[:-1]
    return to_pcm16(add(parts)), np.stack([to_pcm16(source) for source in sources])


def mixed_length(row: MixRow, *, sample_rate: int, mode: str) -> int:
    """Returns the samples of a mixture from the headers of its sources.

    Raises:
        InputError: naming the key and the file that is missing or not at 16 kHz.
    """
    try:
        lengths = [-(-_frames(path) * sample_rate // SPEECH_RATE) for path in row.paths]
    except InputError as error:
        raise InputError(f"{row.key}: {error}") from error
    return min(lengths) if mode == "min" else max(lengths)
