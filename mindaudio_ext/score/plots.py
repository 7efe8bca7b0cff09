"""Pictures of the report: charts and waveforms as SVG that follows the page's colours, spectrograms as JPEG."""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

WIDTH, HEIGHT = 420, 260  # of a chart, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 12, 42  # left: numbers of five characters beside the title
_WAVE_COLUMNS, _WAVE_HEIGHT = 240, 40
_SPECTROGRAM_COLUMNS = 240
_RANGE_DB = 70  # below the peak; what is weaker is black


def histogram(values: np.ndarray, *, title: str, unit: str) -> str:
    """Returns how often values [N] occur, as an SVG; a line marks zero when it is within."""
    edges = np.histogram_bin_edges(values, bins=min(40, max(8, int(2 * np.sqrt(len(values))))))
    counts, _ = np.histogram(values, edges)
    x, y = _axis(edges[0], edges[-1], _LEFT, WIDTH - _RIGHT), _axis(0, counts.max(), HEIGHT - _BOTTOM, _TOP)
    bars = "".join(
        f'<rect x="{x(low):.1f}" y="{y(count):.1f}" width="{max(x(high) - x(low) - 1, 1):.1f}" '
        f'height="{y(0) - y(count):.1f}"><title>{low:.2f} to {high:.2f} {escape(unit)}: {count}</title></rect>'
        for low, high, count in zip(edges, edges[1:], counts)
    )
    return _chart(x, y, f'<g class="bars">{bars}</g>', (title, unit), ("utterances", ""))


def scatter(xs: Sequence[float], ys: Sequence[float], *, x_title: tuple[str, str], y_title: tuple[str, str]) -> str:
    """Returns points as an SVG; a line marks y = 0 when it is within. Titles are words and unit."""
    x = _axis(min(xs), max(xs), _LEFT + 6, WIDTH - _RIGHT - 6)
    y = _axis(min(ys), max(ys), HEIGHT - _BOTTOM - 6, _TOP + 6)
    dots = "".join(f"M{x(at):.1f} {y(value):.1f}h0" for at, value in zip(xs, ys))
    return _chart(x, y, f'<path class="dots" d="{dots}"/>', x_title, y_title)


class _axis:
    """Maps values low..high to places on the page, begin..end."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self.low, self.high = float(low), float(high)
        if self.low == self.high:
            self.low, self.high = self.low - 0.5, self.high + 0.5
        self.begin, self.end = begin, end

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        from matplotlib.ticker import MaxNLocator

        ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
        return [float(tick) for tick in ticks if self.low <= tick <= self.high]


def _chart(x: _axis, y: _axis, marks: str, x_title: tuple[str, str], y_title: tuple[str, str]) -> str:
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    grid = "".join(f'<path d="M{left} {y(tick):.1f}H{right}"/>' for tick in y.ticks())
    zero = f'<path class="zero" d="M{left} {y(0):.1f}H{right}"/>' if y.low < 0 < y.high else ""
    if x.low < 0 < x.high:
        zero += f'<path class="zero" d="M{x(0):.1f} {top}V{bottom}"/>'
    numbers = "".join(f'<text x="{x(t):.1f}" y="{bottom + 15}" text-anchor="middle">{t:g}</text>' for t in x.ticks())
    numbers += "".join(f'<text x="{left - 6}" y="{y(t) + 4:.1f}" text-anchor="end">{t:g}</text>' for t in y.ticks())
    x_words, y_words = (escape(", ".join(word for word in title if word)) for title in (x_title, y_title))
    titles = f'<text x="{(left + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{x_words}</text>'
    titles += f'<text transform="translate(12 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">{y_words}</text>'
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{y_words} against {x_words}">'
        f'<g class="grid">{grid}</g>{zero}{marks}<g class="numbers">{numbers}</g><g class="titles">{titles}</g></svg>'
    )


def waveform(samples: np.ndarray, peak: float, *, columns: int = _WAVE_COLUMNS) -> str:
    """Returns the outline of a signal [T] as an SVG.

    Args:
        samples: [T].
        peak: what fills the height, so that several signals can be drawn to one scale.
        columns: of the picture; each shows the least and the largest of its samples.
    """
    parts = np.array_split(samples / (peak or 1.0), min(columns, len(samples)))
    middle = _WAVE_HEIGHT / 2
    heights = [(middle - middle * part.max(), middle - middle * part.min()) for part in parts]
    step = columns / len(parts)
    path = "".join(
        f"M{(index + 0.5) * step:.4g} {high:.3g}V{max(low, high + 0.5):.3g}"
        for index, (high, low) in enumerate(heights)
    )
    return (
        f'<svg class="wave" viewBox="0 0 {columns} {_WAVE_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{path}"/></svg>'
    )


def spectrogram(samples: np.ndarray, sample_rate: int) -> str:
    """Returns the spectrogram of a signal [T] as a JPEG in a data URI: time to the right, frequency upwards."""
    length = frame_length(sample_rate)
    padded = np.pad(samples.astype(np.float64), length // 2)
    starts = np.linspace(0, max(len(padded) - length, 0), min(_SPECTROGRAM_COLUMNS, max(len(samples) // 8, 1))).astype(
        int
    )
    return draw_frames(np.pad(padded, (0, length))[starts[:, None] + np.arange(length)])


def frame_length(sample_rate: int) -> int:
    """Returns the samples of a column of a spectrogram, 32 ms."""
    return max(2 * round(0.016 * sample_rate), 32)


def draw_frames(frames: np.ndarray) -> str:
    """Returns the spectrogram of a signal's frames [S, K] as `spectrogram` does, a column for each."""
    from matplotlib.image import imsave
    from scipy.signal import get_window

    power = np.abs(np.fft.rfft(frames * get_window("hann", frames.shape[1]))) ** 2  # [S, K / 2 + 1]
    decibels = 10 * np.log10(power / max(power.max(), 1e-20) + 1e-20)
    file = io.BytesIO()
    options: dict[str, Any] = {
        "cmap": "magma",
        "vmin": -_RANGE_DB,
        "vmax": 0,
        "format": "jpeg",
        "pil_kwargs": {"quality": 50},
    }
    imsave(file, decibels.T[::-1], **options)
    return data_uri(file.getvalue(), "image/jpeg")


def data_uri(content: bytes, media_type: str) -> str:
    """Returns a file's content as an address that needs no file."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
