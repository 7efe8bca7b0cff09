"""What simulated conversations are to be like, and what they are like."""

from dataclasses import dataclass, field, fields

SHORTEST_PAUSE = 0.2  # seconds: a shorter one is within a piece
SHORTEST_OVERLAP = 0.1
SHORTEST_SOLO = 0.2
# Limits of what is heard beside the speech; here, because a config is read without NumPy.
LOWEST_SNR, HIGHEST_SNR = -20.0, 60.0  # dB
SHORTEST_RT60, LONGEST_RT60 = 0.1, 1.0  # seconds; the images of longer ones are too many


@dataclass(frozen=True)
class Statistics:
    """What conversations are to be like.

    Attributes:
        silence: share of the time in which nobody speaks.
        overlap: share in which two speak; never more do.
        mean_pause: seconds, exponential above 0.2 s.
        mean_overlap: seconds, exponential above 0.1 s.
        backchannels: share of the overlaps that are within another's turn; the others are interruptions.
        same_speaker: share of the pauses after which the same person goes on.
        monologues: share of the stretches of one speaker that are five times as long as the others.
        talk: relative shares of talk of the speakers, the first one's first; empty: all alike.
    """

    silence: float = 0.15
    overlap: float = 0.15
    mean_pause: float = 0.6
    mean_overlap: float = 0.8
    backchannels: float = 0.4
    same_speaker: float = 0.4
    monologues: float = 0.05
    talk: tuple[float, ...] = ()

    def problem(self, n_speakers: int = 2) -> str | None:
        """Says why conversations of so many speakers cannot be like this; None when they can."""
        for name in ("silence", "overlap", "backchannels", "same_speaker", "monologues"):
            if not 0 <= getattr(self, name) <= 1:
                return f"{name}: a share from 0 to 1 is expected, got {getattr(self, name):g}"
        if not SHORTEST_PAUSE < self.mean_pause <= 60:
            return f"mean_pause: more than {SHORTEST_PAUSE} s is expected, got {self.mean_pause:g}"
        if not SHORTEST_OVERLAP < self.mean_overlap <= 60:
            return f"mean_overlap: more than {SHORTEST_OVERLAP} s is expected, got {self.mean_overlap:g}"
        if self.silence + self.overlap >= 1:
            return f"silence and overlap: {self.silence:g} and {self.overlap:g} leave no time for one speaker"
        if self.silence < 0.01:
            return f"silence: at least 0.01 is expected, got {self.silence:g}; every conversation ends with some"
        changes = (1 - self.same_speaker) * self.silence + (1 - self.backchannels) * self.overlap
        if n_speakers > 1 and changes < 0.001:
            return "same_speaker and backchannels: no turn ever goes to another speaker; ask for less of them"
        if self.talk and (len(self.talk) < n_speakers or not all(0.05 <= share <= 20 for share in self.talk)):
            return f"talk: {n_speakers} numbers from 0.05 to 20 are expected, got {list(self.talk)}"
        solo = self.mean_solo(n_speakers)
        if solo < SHORTEST_SOLO + 0.1:
            return (
                f"silence, overlap and their means ask for stretches of one speaker of {solo:.2f} s, "
                f"less than {SHORTEST_SOLO + 0.1:g} s; ask for longer pauses or overlaps, or for less of them"
            )
        return None

    def of(self, n_speakers: int) -> "Statistics":
        """Returns what of this can be had with so many speakers: one alone never overlaps, and always goes on."""
        if n_speakers > 1:
            return self
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return Statistics(**values | {"overlap": 0.0, "same_speaker": 1.0, "talk": ()})

    def events(self, n_speakers: int = 2) -> float:
        """Pauses and overlaps a second."""
        overlap = self.overlap if n_speakers > 1 else 0.0
        return self.silence / self.mean_pause + overlap / self.mean_overlap

    def mean_solo(self, n_speakers: int = 2) -> float:
        """Seconds of a stretch of one speaker."""
        overlap = self.overlap if n_speakers > 1 else 0.0
        return (1 - self.silence - overlap) / self.events(n_speakers)


@dataclass
class Tally:
    """What conversations have: of times in samples, and of how many events."""

    samples: int = 0
    silent: int = 0
    overlapped: int = 0
    pauses: int = 0
    overlaps: int = 0
    backchannels: int = 0
    same_speaker: int = 0
    changes: int = 0  # pauses after which somebody speaks
    talk: list[int] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Adds another's counts."""
        for one in fields(self):
            if one.name != "talk":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        size = max(len(self.talk), len(other.talk))
        both = [talk + [0] * (size - len(talk)) for talk in (self.talk, other.talk)]
        self.talk = [a + b for a, b in zip(*both)]

    def since(self, before: "Tally") -> "Tally":
        """Returns what was counted after `before`, from which this went on; its talk as it is."""
        counts = {one.name: getattr(self, one.name) for one in fields(self)}
        earlier = {one.name: getattr(before, one.name) for one in fields(self) if one.name != "talk"}
        return Tally(**counts | {name: counts[name] - count for name, count in earlier.items()})

    def lines(self, asked: Statistics, rate: int) -> list[str]:
        """Says what was asked for, what there is and by how many per cent that is more, a line each."""
        found = {
            "silence": (self.silent, self.samples),
            "overlap": (self.overlapped, self.samples),
            "mean_pause": (self.silent / rate, self.pauses),
            "mean_overlap": (self.overlapped / rate, self.overlaps),
            "backchannels": (self.backchannels, self.overlaps),
            "same_speaker": (self.same_speaker, self.changes),
        }
        return [_line(name, getattr(asked, name), count, total) for name, (count, total) in found.items()]


def _line(name: str, asked: float, count: float, total: float) -> str:
    if not total:
        return f"{name}: none"
    more = f" ({100 * (count / total / asked - 1):+.1f} %)" if asked else ""
    return f"{name}: asked {asked:.3f}, measured {count / total:.3f}{more}"
