"""A small LibriSpeech and WHAM of noise, with LibriMix's metadata, for tests."""

import numpy as np
import soundfile


def noise(length, *, seed, level=0.1):
    return (np.random.default_rng(seed).standard_normal(length) * level).clip(-1, 1).astype(np.float32)


def make_corpus(root, *, n_src=2, n_mixtures=6, sets=("train-clean-100", "dev-clean", "test-clean")):
    """Makes root/LibriSpeech, root/wham_noise and root/metadata; gives root. Sources have 9000 to 13 000 samples."""
    soundfile_write(root / "wham_noise/tr/long.wav", np.stack([noise(14000, seed=1), noise(14000, seed=2)], axis=1))
    soundfile_write(root / "wham_noise/tr/short.wav", noise(8500, seed=3))
    for offset, name in enumerate(sets):
        lines = []
        for i in range(n_mixtures):
            names = [f"{100 * (offset + 1) + 10 * i + j}-7-{i:04d}" for j in range(n_src)]
            fields = ["_".join(names)]
            for j, utterance in enumerate(names):
                path = f"{name}/{utterance.split('-')[0]}/7/{utterance}.flac"
                length = 9000 + 1000 * ((i + 3 * j) % 5)
                soundfile_write(root / "LibriSpeech" / path, noise(length, seed=1000 * offset + 10 * i + j))
                fields += [path, f"{0.5 + 0.1 * j + 0.01 * i:.12f}"]
            fields += [f"tr/{'long' if i % 2 else 'short'}.wav", "0.25"]
            lines.append(",".join(fields))
        columns = [f"source_{j}_{what}" for j in range(1, n_src + 1) for what in ("path", "gain")]
        head = ",".join(["mixture_ID", *columns, "noise_path", "noise_gain"])
        metadata = root / "metadata" / f"libri{n_src}mix_{name}.csv"
        metadata.parent.mkdir(parents=True, exist_ok=True)
        metadata.write_text("\n".join([head, *lines]) + "\n")
        info = metadata.with_name(f"libri{n_src}mix_{name}_info.csv")
        heads = [f"speaker_{j}_{what}" for j in range(1, n_src + 1) for what in ("ID", "sex")]
        rows = [
            [line.split(",")[0], *(v for k in line.split(",")[0].split("_") for v in (f"{k.split('-')[0]}.0", "F"))]
            for line in lines
        ]
        info.write_text("\n".join(",".join(row) for row in [["mixture_ID", *heads], *rows]) + "\n")
    return root


def soundfile_write(path, samples, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")
