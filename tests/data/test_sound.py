"""Sound is read to its true end, whatever its header says, and a file that was cut is named."""

import io
import os
import re

import numpy as np
import pytest
import soundfile
from sound_files import decode, encode, flac_by_pipe, mp3, mp3_frames, patched, voice, with_id3, without_xing

from mindaudio_ext.data import mpeg
from mindaudio_ext.data.audio import read_audio
from mindaudio_ext.data.flac import _samples_by_header
from mindaudio_ext.data.parts import Source
from mindaudio_ext.data.sound import open_sound
from mindaudio_ext.errors import InputError

FIRST, SECOND = voice(20_000), voice(9000)
WAV = encode(FIRST, "WAV")
UNKNOWN = b"\xff" * 4


def read(folder, data):
    """Returns the samples of a file with these bytes."""
    (folder / "x").write_bytes(data)
    return read_audio(folder / "x")[0]


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize(("rate", "in_a_frame"), [(8000, 576), (16_000, 576), (44_100, 1152)])
def test_mp3_without_a_length_is_read_to_its_last_frame(tmp_path, rate, in_a_frame, mode):
    whole = mp3(voice(58_752, rate), rate, mode)
    found = read(tmp_path, without_xing(whole))
    assert len(found) == in_a_frame * (len(mp3_frames(whole)) - 1)
    # Without the Xing frame the encoder's and decoder's delay of 1105 samples is not known.
    np.testing.assert_allclose(found[1105 : 1105 + 58_752], decode(whole), atol=1e-4)
    assert len(read(tmp_path, with_id3(without_xing(whole)))) == len(found)


@pytest.mark.parametrize("told", [0, 20, 64, 66])
def test_mp3_with_a_wrong_length_is_read_to_its_last_frame(tmp_path, told):
    whole = mp3(voice(36_000))
    assert len(mp3_frames(whole)) == 66
    place = whole.find(b"Xing") + 8
    found = read(tmp_path, patched(whole, (place, told.to_bytes(4, "big"))))
    # The delays that it tells hold for as many frames as it tells.
    assert len(found) == 36_000 if told == 20 else 65 * 576
    with pytest.raises(InputError, match="is truncated"):
        read(tmp_path, patched(whole, (place, (67).to_bytes(4, "big"))))


def test_mp3_that_begins_or_goes_on_with_something_else(tmp_path):
    frames = mp3_frames(mp3(voice(36_000)))
    sound = b"".join(frames[1:])
    assert len(read(tmp_path, b"hello" * 20 + sound + b"TAG" + bytes(125))) == 37_440
    assert len(read(tmp_path, sound + bytes(1000))) == 37_440
    assert len(read(tmp_path, b"".join(frames[1:30]) + bytes(50) + b"".join(frames[30:]))) == 37_440


def test_layer_2_of_a_variable_bit_rate(tmp_path):
    frames = [b"\xff\xfd" + bytes([index << 4, 0xC0]) for index in (8, *[4] * 50)]  # silence at 128 and at 64 kbit/s
    data = b"".join(frame.ljust(144 * kbits * 1000 // 44100, b"\0") for frame, kbits in zip(frames, [128, *[64] * 50]))
    assert len(decode(data)) < 51 * 1152
    assert len(read(tmp_path, data)) == 51 * 1152


def test_mp3_in_a_wav(tmp_path):
    sound = without_xing(mp3(voice(36_000)))
    form = b"fmt " + (30).to_bytes(4, "little") + b"\x55\0\1\0" + (16_000).to_bytes(4, "little")
    form += (4000).to_bytes(4, "little") + b"\1\0\0\0" + bytes.fromhex("0c00 0100 0200 0000 4002 0100 7105")
    length = len(sound).to_bytes(4, "little")
    data = b"RIFF" + (len(sound) + 50).to_bytes(4, "little") + b"WAVE" + form + b"data" + length + sound
    assert len(read(tmp_path, data)) == 37_440


@pytest.mark.parametrize("kind", ["VORBIS", "OPUS", "FLAC", "MP3", "WAV"])
def test_chains_are_read_to_the_end_of_the_last(tmp_path, kind):
    first, second = encode(FIRST, kind), encode(SECOND, kind)
    found = read(tmp_path, first + second + first)
    expected = np.concatenate([decode(first), decode(second), decode(first)])
    assert len(expected) == 49_000
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_chains_with_tags_and_without_lengths(tmp_path):
    first, second = mp3(FIRST), mp3(SECOND)
    n_first, n_second = (576 * (len(mp3_frames(data)) - 1) for data in (first, second))
    tag = b"TAG" + bytes(125)
    assert len(read(tmp_path, with_id3(first) + tag + with_id3(second) + tag)) == 29_000
    assert len(read(tmp_path, without_xing(first) + without_xing(second))) == n_first + n_second
    assert len(read(tmp_path, first + without_xing(second))) == 20_000 + n_second
    assert len(read(tmp_path, flac_by_pipe(encode(FIRST, "FLAC")) + encode(SECOND, "FLAC"))) == 29_000


@pytest.mark.parametrize("kind", ["VORBIS", "OPUS", "FLAC", "MP3", "WAV"])
def test_a_chain_that_changes_is_named(tmp_path, kind):
    first = encode(FIRST, kind)
    says = f"x: is several files in a row, .*16000 Hz and 1 .*from byte {len(first)} on 8000 Hz and 2; cut it there"
    with pytest.raises(InputError, match=says):
        read(tmp_path, first + encode(np.stack([SECOND, SECOND], axis=1), kind, 8000))


@pytest.mark.parametrize(("riff", "data"), [
    (None, 0), (None, UNKNOWN), (0, None), (0, 0), (UNKNOWN, UNKNOWN), (0, UNKNOWN), (36, 0), (36, None),
    (UNKNOWN, 0), (b"\x24\xf0\xff\x7f", b"\x00\xf0\xff\x7f"),
])  # fmt: skip
def test_wav_by_pipe(tmp_path, riff, data):
    lengths = [(4, riff), (40, data)]
    changes = [
        (place, value if isinstance(value, bytes) else value.to_bytes(4, "little"))
        for place, value in lengths
        if value is not None
    ]
    np.testing.assert_array_equal(read(tmp_path, patched(WAV, *changes)), decode(WAV))


def test_a_wav_without_sound_is_empty(tmp_path):
    head = patched(WAV[:44], (4, (54).to_bytes(4, "little")), (40, bytes(4)))
    for data in (head, head + b"LIST\x0a\0\0\0" + bytes(10)):
        with pytest.raises(InputError, match="x: is empty"):
            read(tmp_path, data)


def _aiff(data):
    common, sound = data.find(b"COMM"), data.find(b"SSND")
    return patched(data, (4, bytes(4)), (common + 10, bytes(4)), (sound + 4, bytes(4)))


@pytest.mark.parametrize(("kind", "by_pipe"), [
    ("FLAC", flac_by_pipe),
    ("FLAC", lambda data: with_id3(flac_by_pipe(data))),
    ("FLAC", lambda data: flac_by_pipe(data) + b"TAG" + bytes(125)),
    ("FLAC", lambda data: patched(data, (24, (5000).to_bytes(2, "big")))),  # a total that is too small
    ("RF64", lambda data: patched(data, (20, bytes(24)))),
    ("RF64", lambda data: patched(data, (20, UNKNOWN * 6))),
    ("AU", lambda data: patched(data, (8, UNKNOWN))),
    ("AU", lambda data: patched(data, (8, bytes(4)))),
    ("CAF", lambda data: patched(data, (data.find(b"data") + 4, UNKNOWN * 2))),
    ("W64", lambda data: patched(data, (16, UNKNOWN * 2), (data.find(b"data") + 16, UNKNOWN + b"\xff\xff\xff\x7f"))),
    ("AIFF", _aiff),
])  # fmt: skip
def test_other_formats_by_pipe(tmp_path, kind, by_pipe):
    whole = encode(FIRST, kind)
    np.testing.assert_array_equal(read(tmp_path, by_pipe(whole)), decode(whole))


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "MP3", "VORBIS", "OPUS"])
def test_a_file_that_was_cut_is_named_wherever_it_was_cut(tmp_path, kind):
    data = encode(voice(3000), kind)
    for place in [*range(1, 60, 7), *np.random.default_rng(0).integers(60, len(data), 20), len(data) - 1]:
        with pytest.raises(InputError, match=r"x: .*(truncated|empty|cannot be read)"):
            read(tmp_path, data[:place])


@pytest.mark.parametrize("data", [
    flac_by_pipe(encode(FIRST, "FLAC")), without_xing(mp3(FIRST)), with_id3(without_xing(mp3(FIRST))),
    patched(encode(FIRST, "WAV"), (40, UNKNOWN)), patched(encode(FIRST, "WAV", subtype="PCM_24"), (40, UNKNOWN)),
], ids=["FLAC", "MP3", "MP3 with a tag", "WAV", "WAV of 24 bits"])  # fmt: skip
def test_what_a_pipe_wrote_and_was_cut_is_named(tmp_path, data):
    with pytest.raises(InputError, match="x: is truncated"):
        read(tmp_path, data[:-1])


def test_reading_in_blocks_decodes_as_reading_at_once(tmp_path):
    from mindaudio_ext.inference.recording import Recording

    whole = mp3(voice(200_000))  # longer than a block
    (tmp_path / "x.mp3").write_bytes(whole)
    recording = Recording(tmp_path / "x.mp3")
    found = np.concatenate(list(recording.blocks()))
    assert recording.n_samples == len(found) == 200_000
    np.testing.assert_allclose(found, decode(whole), atol=1e-6)


def test_a_recording_is_told_the_length_it_has(tmp_path):
    from mindaudio_ext.inference.recording import Recording

    stereo = np.stack([FIRST, FIRST[::-1]], axis=1)
    for name, data in {
        "flac": flac_by_pipe(encode(stereo, "FLAC")),
        "ogg": encode(stereo[:8000], "OPUS") + encode(stereo[8000:], "OPUS"),
    }.items():
        (tmp_path / name).write_bytes(data)
        recording = Recording(tmp_path / name, 1)
        assert recording.n_samples == sum(len(block) for block in recording.blocks()) == 20_000


def test_soundfile_alone_loses_the_end(tmp_path):
    """The reason for all this; when it fails, soundfile has learnt to read on."""
    chain = encode(FIRST, "OPUS") + encode(SECOND, "OPUS")
    (tmp_path / "x").write_bytes(chain)
    assert soundfile.info(tmp_path / "x").frames == 20_000
    assert len(decode(without_xing(mp3(voice(58_752))))) < 58_752


@pytest.mark.parametrize("kind", ["NIST", "VOC", "IRCAM", "MAT4", "MAT5"])
def test_quiet_samples_of_other_formats_are_no_mpeg(tmp_path, kind):
    """A sample of -1 has the bytes that an MPEG frame begins with; of eight such noises one or more looked like it."""
    for seed in range(8):
        path = tmp_path / f"{seed}.bin"
        samples = np.random.default_rng(seed).normal(0, 30, 40_000).astype(np.int16)
        soundfile.write(path, samples, 16000, format=kind, subtype="PCM_16")
        with open_sound(path) as sound:
            assert (sound.sample_rate, sound.n_samples) == (16000, 40_000)


def test_thousands_of_wavs_in_a_row(tmp_path):
    one = io.BytesIO()
    soundfile.write(one, np.zeros(10, np.int16), 8000, format="WAV")
    (tmp_path / "long.wav").write_bytes(2000 * one.getvalue())
    with open_sound(tmp_path / "long.wav") as sound:
        assert sound.n_samples == 20_000


@pytest.mark.parametrize(("kind", "form", "wanted"), [("RIFF", "AVI ", "WAVE"), ("FORM", "ILBM", "AIFF")])
def test_what_is_no_sound_is_not_told_as_truncated(tmp_path, kind, form, wanted):
    with pytest.raises(InputError, match=rf"x: is no sound; it is {kind} of the form '{form}', not '{wanted}'"):
        read(tmp_path, patched(WAV, (0, kind.encode()), (8, form.encode())))


def test_only_what_can_be_a_header_is_looked_at(monkeypatch):
    looked_at = []
    monkeypatch.setattr(mpeg, "_frame_at", lambda source, place: looked_at.append(place))
    assert mpeg.mpeg_parts(Source(io.BytesIO(b"\xff" * 300_000)), 0, 300_000) == []
    assert looked_at == [0]


def test_what_is_searched_as_a_header_is_what_can_be_one():
    for second in range(256):
        for third in range(256):
            source = Source(io.BytesIO(bytes([0xFF, second, third, 0])))
            assert (mpeg._frame_at(source, 0) is None) == (source.find(mpeg._HEADER, 0) < 0)


def test_the_decoder_says_nothing_of_a_chain(tmp_path, capfd):
    data = mp3(voice(20_000))
    for chain in (data + data, data + bytes(300), data + with_id3(data)):
        read(tmp_path, chain)
    assert capfd.readouterr() == ("", "")


class CountedReads(io.BytesIO):
    """Adds up the bytes that are read of it."""

    n_read = 0

    def read(self, size=-1):
        """Reads and counts."""
        found = super().read(size)
        self.n_read += len(found)
        return found


def test_what_only_looks_like_a_header_of_flac_is_none(tmp_path):
    """Sound holds the two bytes of a header by chance; those that follow may be reserved."""
    whole = encode(FIRST, "FLAC")
    assert len(read(tmp_path, whole + b"\xff\xf8\x00\x00" + bytes(20))) == len(read(tmp_path, whole))
    rng = np.random.default_rng(0)
    found = [_samples_by_header(b"\xff\xf8" + rng.bytes(14), 4096) for _ in range(20_000)]
    assert sum(samples is not None for samples in found) < 200  # one in 256 has its checksum by chance


def test_a_flac_is_searched_once():
    noise = np.random.default_rng(0).integers(-9999, 9999, 200_000).astype(np.int16)
    file = CountedReads(encode(noise, "FLAC"))
    source = Source(file)
    assert source.find(re.compile(rb"fLaCfLaC"), 0) == -1
    assert source.size > 5 << 16
    assert file.n_read < source.size + (1 << 12)


def test_headers_without_a_frame_are_not_read_again_and_again():
    file = CountedReads(b"\xff\xfb\x90\x64" * 75_000)
    assert mpeg.mpeg_parts(Source(file), 0, 300_000) == []
    assert file.n_read < 1 << 20


@pytest.mark.parametrize("make", [lambda: open("._", "wb").close(), lambda: os.mkdir(".AppleDouble")])
@pytest.mark.parametrize("change", [lambda data: data, without_xing, with_id3])
def test_mp3_is_read_beside_what_looks_like_a_resource_fork(tmp_path, monkeypatch, make, change):
    monkeypatch.chdir(tmp_path)
    data = change(mp3(voice(12_000)))
    expected = read(tmp_path, data)
    make()
    assert len(expected) >= 12_000
    assert np.array_equal(read(tmp_path, data), expected)
