"""Files of sound as bytes, as programs write them to a file or a pipe."""

import io

import numpy as np
import soundfile

_V1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def voice(n_samples: int, rate: int = 16_000) -> np.ndarray:
    """Returns a tone that comes and goes, with some noise: encoders with a variable bit rate vary it."""
    time = np.arange(n_samples) / rate
    level = np.abs(np.sin(2 * np.pi * 1.3 * time)) ** 3
    tone = 0.3 * np.sin(2 * np.pi * 220 * time + 5 * np.sin(2 * np.pi * 3 * time))
    return (level * (tone + 0.02 * np.random.default_rng(n_samples).standard_normal(n_samples))).astype(np.float32)


def encode(samples: np.ndarray, kind: str, rate: int = 16_000, **options: object) -> bytes:
    """Returns a file of a kind of soundfile's, or `VORBIS` or `OPUS`, which are in Ogg."""
    if kind in ("VORBIS", "OPUS"):
        kind, options = "OGG", options | {"subtype": kind}
    elif kind not in ("MP3", "FLAC") and "subtype" not in options:
        options |= {"subtype": "PCM_16"}
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **options)
    return file.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Returns the samples of one whole file, as soundfile reads it at once."""
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


def mp3(samples: np.ndarray, rate: int = 16_000, mode: str = "VARIABLE") -> bytes:
    """Returns an MP3 file; its first frame is a Xing frame, which tells how many follow."""
    return encode(samples, "MP3", rate, compression_level=0.5, bitrate_mode=mode)


def mp3_frames(data: bytes) -> list[bytes]:
    """Takes an MP3 file apart, the Xing frame first."""
    frames, place = [], 0
    while place < len(data):
        is_v1 = data[place + 1] >> 3 & 3 == 3
        rate = (44100, 48000, 32000)[data[place + 2] >> 2 & 3] // {3: 1, 2: 2, 0: 4}[data[place + 1] >> 3 & 3]
        kbits = (_V1_KBITS if is_v1 else _V2_KBITS)[data[place + 2] >> 4]
        length = (144_000 if is_v1 else 72_000) * kbits // rate + (data[place + 2] >> 1 & 1)
        frames.append(data[place : place + length])
        place += length
    return frames


def without_xing(data: bytes) -> bytes:
    """Returns an MP3 file as programs write it to a pipe: without the frame that tells how many there are."""
    return b"".join(mp3_frames(data)[1:])


def with_id3(data: bytes) -> bytes:
    """Returns a file behind an ID3v2 tag of 300 bytes."""
    return b"ID3\x04\x00\x00\x00\x00\x02\x2c" + bytes(300) + data


def patched(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    """Returns data with some bytes replaced: place, bytes."""
    changed = bytearray(data)
    for place, new in changes:
        changed[place : place + len(new)] = new
    return bytes(changed)


def flac_by_pipe(data: bytes) -> bytes:
    """Returns a FLAC file as `ffmpeg -f flac -` writes it: no sizes of frames, number of samples, or MD5."""
    total = bytes([data[21] & 0xF0]) + bytes(4)
    return patched(data, (12, bytes(6)), (21, total), (26, bytes(16)))
