"""Draws a mixture of two utterances and the two voices made of it: waveforms and spectrograms.

    tools/venv/bin/python tools/picture.py A.flac B.flac picture.png

The first 5 s of both are mixed at one level and separated by `--model`, or by the default model. The improvement of
SI-SNR is printed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindaudio_ext.data.audio import read_audio
from mindaudio_ext.errors import command
from mindaudio_ext.files import atomic_path
from mindaudio_ext.inference.recording import resampled
from mindaudio_ext.inference.separator import Separator
from mindaudio_ext.metrics.si_snr import si_snr

SECONDS = 5.0
TITLES = ("mixture", "voice 1", "voice 2")
COLOURS = ("#555555", "#1f77b4", "#d6604d")


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("utterances", nargs=2, metavar="FILE", help="two utterances, each of one person alone")
    made.add_argument("picture", type=Path, help="the PNG to write")
    made.add_argument("--model", help="an experiment or the name of a model in the box")
    return made


def run(args: argparse.Namespace) -> None:
    """Mixes, separates, draws."""
    separator = Separator.load(args.model)
    rate = separator.config.sample_rate
    sources = mixed_at_one_level([read_utterance(path, rate) for path in args.utterances])
    mixture = sources.sum(axis=0)
    estimates = separator.separate(mixture, rate)
    scores, before = _scores(estimates, sources), _scores(np.stack([mixture, mixture]), sources)
    if scores.trace() < scores[::-1].trace():
        estimates, scores = estimates[::-1], scores[::-1]
    draw([mixture, *estimates], rate, args.picture)
    print(f"{args.picture}: SI-SNR improvement {np.mean(scores.diagonal() - before.diagonal()):.1f} dB")


def read_utterance(path: str, rate: int) -> np.ndarray:
    """Returns the first seconds of a file at a rate, [T]."""
    samples, its_rate = read_audio(path)
    return np.concatenate(list(resampled([samples[: round(SECONDS * its_rate)]], its_rate, rate)))


def mixed_at_one_level(utterances: Sequence[np.ndarray]) -> np.ndarray:
    """Returns utterances of one length and energy, [C, T], whose sum is within full scale."""
    n_samples = min(map(len, utterances))
    sources = np.stack([samples[:n_samples] / np.std(samples[:n_samples]) for samples in utterances])
    return (0.9 * sources / np.abs(sources.sum(axis=0)).max()).astype(np.float32)


def draw(signals: Sequence[np.ndarray], rate: int, path: Path) -> None:
    """Writes the picture: a column for each signal, its waveform above its spectrogram."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(signals), figsize=(9, 2.8), sharex=True, height_ratios=(1, 2), squeeze=False)
    for (wave, spectrogram), signal, title, colour in zip(axes.T, signals, TITLES, COLOURS):
        seconds = np.arange(len(signal)) / rate
        wave.plot(seconds, signal, linewidth=0.4, color=colour)
        wave.set(title=title, ylim=(-1, 1), yticks=[])
        options: dict[str, Any] = {"NFFT": 256, "Fs": rate, "noverlap": 192, "cmap": "magma", "vmin": -100, "vmax": -40}
        spectrogram.specgram(signal, **options)
        spectrogram.set(xlabel="s", yticks=[])
    axes[1, 0].set(ylabel="kHz", yticks=[0, 2000, 4000], yticklabels=["0", "2", "4"])
    figure.tight_layout(pad=0.4)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png", pil_kwargs={"optimize": True})
    pyplot.close(figure)
    _to_64_colours(path)


def _to_64_colours(path: Path) -> None:
    """Makes the file about a third as long; nobody sees the difference."""
    from PIL import Image

    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(64)
    with atomic_path(path) as temporary:
        reduced.save(temporary, format="png", optimize=True)


def _scores(estimates: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Returns the SI-SNR of each estimate against each source, dB, [C, C]."""
    return np.array([[float(si_snr(estimate=e, reference=s)) for s in sources] for e in estimates])


main = command(parser, run)

if __name__ == "__main__":
    main()
