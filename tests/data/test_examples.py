"""Crops without a silent source, and dynamic mixing: pairs, levels, crops and speeds, all by (seed, epoch, place)."""

import numpy as np
import pytest

from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.examples import Crops, DynamicMixtures
from mindaudio_ext.data.kaldi_dir_writer import write_data_dir
from mindaudio_ext.data.mindrecord_writer import dump
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


def make_parts(folder, parts, *, length=1000, speakers=None):
    """Mixtures of noise; `parts` are where each source of a key is heard."""
    rng = np.random.default_rng(0)
    paths = {"mix": {}, "s1": {}, "s2": {}}
    for key, of_sources in parts.items():
        sources = np.zeros((2, length), np.int16)
        for source, part in zip(sources, of_sources):
            source[part] = rng.integers(-9000, 9000, len(source[part]))
        for name, signal in zip(paths, (sources.sum(axis=0, dtype=np.int16), *sources)):
            paths[name][key] = str(folder / f"{key}_{name}.wav")
            write_wav(paths[name][key], signal, RATE)
    write_data_dir(
        folder / "data",
        mixtures=paths["mix"],
        sources=[paths["s1"], paths["s2"]],
        num_samples=dict.fromkeys(parts, length),
        src2spk=speakers,
    )
    return dump(folder / "data", folder / "dump")[0]


WHOLE, EARLY, NOTHING = slice(None), slice(0, 150), slice(0)


def starts_of(manifest, crops, epochs):
    """Where each crop of the only mixture begins."""
    (whole, _), *_ = Crops(manifest, segment=10**6, seed=0).cut(1, [0])
    found = []
    for epoch in epochs:
        ((mixture, sources),) = crops.cut(epoch, [0])
        assert (np.ptp(sources, axis=1) > 0).all()
        (start,) = [s for s in range(len(whole) - 199) if np.array_equal(whole[s : s + 200], mixture)]
        found.append(start)
    return found


def test_crops_with_a_silent_source_are_drawn_again_and_no_other_crop_changes(tmp_path):
    manifest = make_parts(tmp_path, {"a": (WHOLE, EARLY)})
    assert manifest.silent == {}
    starts = starts_of(manifest, Crops(manifest, segment=200, seed=3), range(1, 80))
    first_draws = [int(np.random.default_rng((3, epoch, 0)).integers(801)) for epoch in range(1, 80)]
    assert [new for new, old in zip(starts, first_draws) if old < 149] == [old for old in first_draws if old < 149]
    assert max(starts) < 149 < np.mean(first_draws)
    assert len(set(starts)) > 30
    assert starts_of(manifest, Crops(manifest, segment=200, seed=3), range(40, 80)) == starts[39:]


def test_silent_sources_stay_for_a_loss_that_takes_them(tmp_path):
    manifest = make_parts(tmp_path, {"a": (WHOLE, EARLY)}, speakers={"a": ("x", "y")})
    (whole, _), *_ = Crops(manifest, segment=10**6, seed=0).cut(1, [0])
    crops, n_silent = Crops(manifest, segment=200, seed=3, keep_silent=True), 0
    for epoch in range(1, 80):
        start = int(np.random.default_rng((3, epoch, 0)).integers(801))  # the first draw, whatever is there
        ((mixture, sources),) = crops.cut(epoch, [0])
        np.testing.assert_array_equal(mixture, whole[start : start + 200])
        n_silent += (np.ptp(sources[1]) == 0) == (start >= 150)
    assert n_silent == 79
    mixtures = DynamicMixtures(manifest, segment=200, seed=3, keep_silent=True)
    made = [next(mixtures.cut(epoch, [0]))[1] for epoch in range(1, 30)]
    assert any((np.ptp(sources, axis=1) == 0).any() for sources in made)


def test_a_mixture_with_a_silent_source_gives_its_turn_to_another(tmp_path):
    manifest = make_parts(tmp_path, {"a": (WHOLE, NOTHING), "b": (WHOLE, WHOLE), "c": (slice(0, 9), slice(900, 909))})
    assert manifest.silent == {"a": (2,)}
    crops = Crops(manifest, segment=200, seed=3)
    examples = list(crops.cut(1, [0, 1, 2]))
    assert all((np.ptp(sources, axis=1) > 0).all() for _, sources in examples)
    assert len({mixture.tobytes() for mixture, _ in examples}) == 1  # each time b's, the only one that can be cut
    for place in range(3):
        ((mixture, _),) = crops.cut(1, [place])
        np.testing.assert_array_equal(mixture, examples[place][0])


def test_a_set_that_has_silence_alone_is_refused(tmp_path):
    manifest = make_parts(tmp_path, {"a": (WHOLE, NOTHING), "b": (NOTHING, WHOLE)})
    with pytest.raises(InputError, match=r"dump: 100 mixtures drawn at random have no segment in which every source"):
        list(Crops(manifest, segment=200, seed=0).cut(1, [0]))


def test_new_mixtures_have_no_silent_source(tmp_path):
    parts = {f"m{i}": (WHOLE, EARLY) for i in range(4)} | {"m4": (WHOLE, NOTHING)}
    speakers = {key: (f"{key}_1", f"{key}_2") for key in parts}
    mixtures = DynamicMixtures(make_parts(tmp_path, parts, speakers=speakers), segment=200, seed=0)
    made = [example for epoch in range(1, 13) for example in mixtures.cut(epoch, range(5))]
    assert all((np.ptp(sources, axis=1) > 0).all() for _, sources in made)
    again = [example for epoch in range(1, 13) for example in mixtures.cut(epoch, range(5))]
    assert all(np.array_equal(one, other) for (one, _), (other, _) in zip(made, again))
