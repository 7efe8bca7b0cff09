"""Whether each separator learns: some hundred steps on real speech, and the improvement on speakers it has not heard.

    tools/venv/bin/python tools/bench/each_learns.py [--librispeech DIR] [--steps 300] [--nj 2] NAME ...

Two crops of 2 s a step, from mixtures of a folder in LibriSpeech's layout, with small sizes; one line for each name,
with the mean over whole validation utterances. Above 0 dB it has learnt something. Times are those of this machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BATCH_SIZE, N_VALID = 2, 30
COMMON = f"kernel_size=32 n_filters=64 segment=2.0 epochs=1 batch_size={BATCH_SIZE} lr=0.002"
SIZES = {  # separators with parameters enough for this, and no more
    "dprnn": "bottleneck_size=64 hidden_size=64 chunk_size=64 n_blocks=2",
    "dptnet": "hidden_size=64 chunk_size=64 n_blocks=1",
    "resepformer": "chunk_size=64 n_blocks=2 n_layers=2 n_heads=4 feedforward_size=256",
    "rnn": "hidden_size=128 rnn_layers=2",
    "sepformer": "bottleneck_size=64 chunk_size=64 n_blocks=1 n_layers=2 n_heads=4 feedforward_size=256",
    "sepreformer": "bottleneck_size=32 n_stages=2 n_heads=4 dropout=0",
    "skim": "hidden_size=96 chunk_size=64 n_blocks=3",
    "tcn": "bottleneck_size=64 hidden_size=128 skip_size=64 n_blocks=6 n_repeats=2",
    "tdanet": "bottleneck_size=64 hidden_size=128 n_blocks=4 n_levels=4 dropout=0",
    "tfgridnet": "bottleneck_size=16 hidden_size=32 n_blocks=2 n_heads=2 attention_size=64",
    "tiger": "bottleneck_size=32 hidden_size=64 n_blocks=4 n_levels=4 n_heads=2 sample_rate=8000 dropout=0",
}
STFT = "encoder=stft encoder_conf.window=hann encoder_conf.padding=reflect encoder_activation=linear"
AROUND = {  # where it is not encoder_activation=relu
    "sepreformer": "encoder=padded_conv encoder_activation=gelu mask_activation=mapping",
    "tdanet": "encoder=mixing_conv encoder_activation=linear stride=16",
    "tfgridnet": f"{STFT} n_filters=130 kernel_size=128 stride=64 mask_activation=mapping normalize_variance=true",
    "tiger": f"{STFT} n_filters=322 kernel_size=320 stride=80 mask_activation=complex",
}


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", choices=sorted(SIZES), help="separators")
    speech = ROOT.parent / "shared/data/librispeech_mini/LibriSpeech"
    parser.add_argument("--librispeech", type=Path, default=speech, help="speech (%(default)s)")
    parser.add_argument("--steps", type=int, default=300, help="updates (%(default)s)")
    parser.add_argument("--nj", type=int, default=2, help="processes that make the mixtures (%(default)s)")
    args = parser.parse_args()
    print("| separator | parameters | validation SI-SNRi, dB | training, s | all, s |", flush=True)
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as work:
        data = ["--librispeech", args.librispeech.resolve(), "--n_train", BATCH_SIZE * args.steps, "--n_dev", N_VALID]
        run(Path(work), "dprnn", 0, 1, *data, "--n_test", 1, "--split_speakers", "true", "--nj", args.nj)
        for name in args.names:
            run(Path(work), name, 2, 2, "--expdir", Path(work) / name)
            facts = json.loads((Path(work) / name / "model.json").read_text())
            epoch = json.loads((Path(work) / name / "history.jsonl").read_text())
            trained = BATCH_SIZE * args.steps * 2.0 / epoch["audio_seconds_per_second"]
            print(
                f"| `{name}` | {facts['parameters']} | {epoch['valid_si_snri']:.2f} | {trained:.0f} "
                f"| {epoch['seconds']:.0f} |",
                flush=True,
            )
    return 0


def run(folder: Path, name: str, first: int, last: int, *options: str | int | Path) -> None:
    """Runs stages of the engine in a folder, with the sizes of a separator; what it says is shown if it fails."""
    sizes = " ".join(f"separator_conf.{size}" for size in SIZES[name].split())
    settings = f"separator={name} {COMMON} {AROUND.get(name, 'encoder_activation=relu')} {sizes}"
    last_of_each = dict(setting.split("=", 1) for setting in settings.split())
    command = [ROOT / "run.sh", "--recipe", folder, "--config", ROOT / "conf/base.yaml"]
    command += ["--data_script", ROOT / "local/mini_librimix_data.sh", "--stage", first, "--stop_stage", last]
    command += ["--train_args", " ".join(f"{key}={value}" for key, value in last_of_each.items()), *options]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(result.stdout + result.stderr)


if __name__ == "__main__":
    sys.exit(main())
