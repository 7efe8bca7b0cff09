"""The same signals in the other forms a Kaldi scp file knows: commands and places in archives."""

import kaldiio
import soundfile


def to_pipes(folder):
    """Makes every value of a data directory's scp files a command that prints the file."""
    for scp, values in _scps(folder):
        scp.write_text("".join(f"{key} cat '{value}' |\n" for key, value in values.items()))


def to_archives(folder):
    """Makes every value of a data directory's scp files a place in an archive beside them."""
    for scp, values in _scps(folder):
        with kaldiio.WriteHelper(f"ark,scp:{scp.with_suffix('.ark')},{scp}", write_function="soundfile") as writer:
            for key, value in values.items():
                samples, rate = soundfile.read(value, dtype="int16")
                writer[key] = (rate, samples)


def _scps(folder):
    for scp in sorted(folder.glob("*.scp")):
        yield scp, dict(line.split(" ", 1) for line in scp.read_text().splitlines())
