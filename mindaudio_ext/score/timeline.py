"""Who speaks when in a recording, to look at: of each speaker the reference's turns above the estimate's."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from mindaudio_ext.data.rttm import Turn
from mindaudio_ext.score.conversations import ConversationScores

_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # seconds between two numbers of the axis
_MOST_TICKS = 6  # what a telephone has room for


class Lane(NamedTuple):
    """A row of a timeline: its name, whose it is (from 1; matched speakers share a number), and its SVG."""

    name: str
    speaker: int
    picture: str


def timeline(scores: ConversationScores, *, heard: float) -> dict[str, Any]:
    """Returns what a page shows of a recording's turns.

    Args:
        scores: of the recording.
        heard: seconds from its start that the page can play.

    Returns:
        Its `seconds` and `lanes`; `ticks`, the places on its axis in per cent, and their words; and `heard`, the place
        in per cent from which on the page has no sound.
    """
    seconds = scores.seconds
    step = next((step for step in _STEPS if seconds / step <= _MOST_TICKS), _STEPS[-1])
    ticks = [(100 * at / seconds, f"{at // 60}:{at % 60:02d}") for at in range(0, int(seconds) + 1, step)]
    return {"seconds": seconds, "lanes": _lanes(scores), "ticks": ticks, "heard": 100 * min(1.0, heard / seconds)}


def _lanes(scores: ConversationScores) -> list[Lane]:
    """Returns a row or two for each source with turns, and then one for each speaker who is no source's."""
    both = {"reference": (scores.reference, scores.speakers)}
    if scores.hypothesis is not None:
        both["estimate"] = (scores.hypothesis, scores.tracks)
    rows = []
    for source in range(1, len(scores.speakers) + 1):
        own = [(f"{name} {source}", source, turns, names[source - 1]) for name, (turns, names) in both.items()]
        rows += own if any(turn.speaker == speaker for _, _, turns, speaker in own for turn in turns) else []
    for name, (turns, names) in both.items():
        others = sorted({turn.speaker for turn in turns} - set(names))
        rows += [(f"{name} {other}", len(names) + n, turns, other) for n, other in enumerate(others, 1)]
    return [
        Lane(name, number, _draw([turn for turn in turns if turn.speaker == speaker], scores.seconds, name))
        for name, number, turns, speaker in rows
    ]


def _draw(turns: Sequence[Turn], seconds: float, name: str) -> str:
    """Returns turns in a recording of so many seconds as an SVG whose width is the recording."""
    bars = "".join(
        f'<rect x="{turn.start:.3f}" width="{turn.end - turn.start:.3f}" height="1">'
        f"<title>{escape(name)}: {turn.start:.1f} to {turn.end:.1f} s</title></rect>"
        for turn in turns
    )
    spoken = sum(turn.end - turn.start for turn in turns)
    words = f"{escape(name)}: {spoken:.1f} s in {len(turns)} turns"
    return f'<svg viewBox="0 0 {seconds:.3f} 1" preserveAspectRatio="none" role="img" aria-label="{words}">{bars}</svg>'
