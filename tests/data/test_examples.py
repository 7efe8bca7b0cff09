"""Dynamic mixing: pairs, levels, crops and speeds, reproducible from (seed, epoch, place)."""

import numpy as np
import pytest

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.examples import DynamicMixtures
from mindaudio_ext.data.kaldi_dir import write_data_dir
from mindaudio_ext.data.mindrecord import dump
from mindaudio_ext.data.mixture import loudness
from mindaudio_ext.errors import InputError

RATE, SECONDS, SEGMENT = 8000, 2, 12000
SPEAKERS = {"m0": ("a", "b"), "m1": ("a", "c"), "m2": ("d", "b"), "m3": ("a", "d"), "m4": ("c", "a")}


def make(folder, speakers, *, seconds=SECONDS):
    """Mixtures of tones: 200 Hz and 40 Hz more for each further signal, so that a spectrum tells which one it is."""
    paths = {"mix": {}, "s1": {}, "s2": {}}
    time = np.arange(seconds * RATE) / RATE
    for row, key in enumerate(SPEAKERS):
        tones = [0.1 * np.sin(2 * np.pi * (200 + 40 * (2 * row + c)) * time) for c in range(2)]
        for name, signal in zip(paths, (sum(tones), *tones)):
            paths[name][key] = str(folder / f"{key}_{name}.wav")
            write_wav(paths[name][key], signal.astype(np.float32), RATE)
    write_data_dir(
        folder / "data",
        mixtures=paths["mix"],
        sources=[paths["s1"], paths["s2"]],
        num_samples=dict.fromkeys(SPEAKERS, len(time)),
        src2spk=speakers,
    )
    return dump(folder / "data", folder / "dump")[0]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make(tmp_path_factory.mktemp("set"), SPEAKERS)


def examples(manifest, epoch=1, places=range(5), **options):
    return list(DynamicMixtures(manifest, segment=SEGMENT, seed=7, **options).cut(epoch, places))


def frequency(signal):
    """Hz of the largest line of the spectrum."""
    return np.argmax(np.abs(np.fft.rfft(signal * np.hanning(len(signal)), 8 * RATE))) / 8


def test_each_source_comes_once_an_epoch_with_another_speaker(manifest):
    mixtures = DynamicMixtures(manifest, segment=SEGMENT, seed=7)
    epochs = [mixtures.groups(epoch) for epoch in range(1, 30)]
    for groups in epochs:
        assert sorted(groups.ravel().tolist()) == list(range(10))
        for first, second in groups:
            speakers = [SPEAKERS[f"m{signal // 2}"][signal % 2] for signal in (first, second)]
            assert speakers[0] != speakers[1]
    assert len({tuple(groups.ravel()) for groups in epochs}) > 20


def test_the_signals_are_those_that_were_drawn(manifest):
    groups = DynamicMixtures(manifest, segment=SEGMENT, seed=7).groups(3)
    found = [[frequency(source) for source in sources] for _, sources in examples(manifest, 3)]
    np.testing.assert_allclose(found, 200 + 40 * groups, atol=1)


def test_levels_are_librimix_s_and_the_sources_add_up(manifest):
    levels = []
    for epoch in range(1, 21):
        for mixture, sources in examples(manifest, epoch):
            assert mixture.shape == (SEGMENT,)
            np.testing.assert_allclose(sources.sum(axis=0), mixture, atol=1.01 / 32768)
            levels += [loudness(source, RATE) for source in sources]
    # 200 levels, uniform from -33 to -25 LUFS: mean -29 +- 0.16. A tone's crop has the loudness of the whole.
    assert min(levels) > -33.05
    assert max(levels) < -24.95
    assert abs(np.mean(levels) + 29) < 0.6
    assert np.std(levels) == pytest.approx(8 / np.sqrt(12), abs=0.3)


def test_an_example_depends_on_epoch_and_place_alone(manifest):
    whole, part, other = examples(manifest, 2), examples(manifest, 2, range(3, 5)), examples(manifest, 4, range(3, 5))
    for (mixture, sources), (again, same), (new, _) in zip(whole[3:], part, other):
        np.testing.assert_array_equal(mixture, again)
        np.testing.assert_array_equal(sources, same)
        assert (mixture != new).any()


def test_speeds_are_drawn_from_whole_per_cents(manifest):
    groups = DynamicMixtures(manifest, segment=SEGMENT, seed=7).groups(1)
    speeds = []
    for epoch in range(1, 13):
        groups = DynamicMixtures(manifest, segment=SEGMENT, seed=7).groups(epoch)
        for (mixture, sources), group in zip(examples(manifest, epoch, speed_perturb=0.05), groups):
            assert len(mixture) == SEGMENT
            speeds += [frequency(s) / (200 + 40 * signal) for s, signal in zip(sources, group)]
    per_cents = np.round(np.array(speeds) * 100)
    assert set(per_cents) == set(range(95, 106))
    np.testing.assert_allclose(np.array(speeds) * 100, per_cents, atol=0.3)


def test_short_sources_give_short_mixtures(tmp_path):
    manifest = make(tmp_path, SPEAKERS, seconds=1)
    lengths = {len(mixture) for epoch in range(1, 9) for mixture, _ in examples(manifest, epoch, speed_perturb=0.05)}
    assert max(lengths) <= round(RATE / 0.95) + 1
    assert min(lengths) >= RATE / 1.06


def test_without_speakers(tmp_path):
    manifest = make(tmp_path, None)
    with pytest.raises(InputError, match="dynamic_mixing needs the speakers; its data directory has no src2spk"):
        DynamicMixtures(manifest, segment=SEGMENT, seed=0)
