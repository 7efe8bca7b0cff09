"""Programs that tests launch in several processes: `FUNCTION ARGUMENT...`; not a test module itself."""

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

RANK = os.environ.get("RANK_ID", "0")


def end_well() -> None:
    print(f"rank {RANK} was here", flush=True)


def refuse() -> None:
    """Rank 1 finds wrong input."""
    if RANK == "1":
        print("train: error: wrong key", file=sys.stderr)
        sys.exit(2)
    time.sleep(60)


def fail() -> None:
    """Rank 1 has a bug."""
    if RANK == "1":
        raise RuntimeError("a bug")
    time.sleep(60)


def vanish() -> None:
    """Rank 1 ends with status 0, but not by returning."""
    if RANK == "1":
        os._exit(0)
    time.sleep(60)


def die() -> None:
    """Rank 1 is killed."""
    if RANK == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def wait_to_be_told(folder: str) -> None:
    """Notes the process's id, and on SIGTERM that it was told; half of the ranks does not listen."""

    def told(number: int, frame: object) -> None:
        (Path(folder) / f"told_{RANK}").touch()
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, told)
    (Path(folder) / f"process_{RANK}").write_text(str(os.getpid()))
    time.sleep(60)


def agree(folder: str) -> None:
    """What the ranks tell each other; and one AllReduce."""
    import mindspore as ms
    import numpy as np
    from mindspore import Parameter, Tensor

    from mindaudio_ext.config import make_config
    from mindaudio_ext.device import set_up_device
    from mindaudio_ext.errors import InputError
    from mindaudio_ext.train.distributed import AllReduceMean, agreed_config, connect

    set_up_device("CPU", 0, 1)
    ranks = connect()
    number = ranks.rank
    own = {"batch_size": 12, "seed": 5 + number, "epochs": 7 + number, "test_sets": [f"test{number}"]}
    agreed = agreed_config(make_config(own, "own"), ranks)
    try:
        agreed_config(make_config({"batch_size": 12, "lr": 0.001 * (1 + number)}, "own"), ranks)
        other_config = ""
    except InputError as error:
        other_config = str(error)
    weights = (0.5, 0.25, 0.25) if ranks.size == 3 else (1 / ranks.size,) * ranks.size
    average = AllReduceMean(ranks.size, weights[number])

    @ms.jit
    def averaged(loss: Tensor, gradients: tuple) -> tuple:
        return average(loss, gradients)

    gradients = (np.array([[1, 2, 3], [4, 5, 6]], np.float32) * (1 + number), np.full(4, 0.5 - number, np.float32))
    loss, means = averaged(Tensor(3.0 + 2 * number, ms.float32), tuple(map(Tensor, gradients)))
    rng = np.random.default_rng(number)
    parameters = [
        Parameter(Tensor(rng.standard_normal((2, 3)).astype(np.float32)), name="a"),
        Parameter(Tensor(number, ms.int32), name="count"),
    ]
    ranks.broadcast_parameters(parameters)
    try:
        ranks.broadcast_parameters([Parameter(Tensor(np.zeros(2 + number), ms.float32), name="b")])
        refused = ""
    except RuntimeError as error:
        refused = str(error)
    result = {
        "rank": number,
        "gathered": ranks.gather([number, 0.1 + number]),
        "first": ranks.broadcast(f"of {number}"),
        "share": [ranks.share(6).start, ranks.share(6).stop],
        "loss": float(loss),
        "means": [mean.asnumpy().tolist() for mean in means],
        "parameters": [parameter.asnumpy().tolist() for parameter in parameters],
        "refused": refused,
        "agreed": [agreed.seed, agreed.epochs, *agreed.test_sets],
        "other_config": other_config,
    }
    (Path(folder) / f"{number}.json").write_text(json.dumps(result))
    ranks.wait()


def train(sets: str, *configs: str) -> None:
    """Trains by each config, beside it; each rank with another seed and folder, as on another machine."""
    from mindaudio_ext.config import read_resolved
    from mindaudio_ext.device import set_up_device

    set_up_device("CPU", 0, 1)
    from mindaudio_ext.train.distributed import connect
    from mindaudio_ext.train.loop import Trainer

    ranks = connect()
    for path in map(Path, configs):
        config = dataclasses.replace(read_resolved(path), seed=ranks.rank)
        expdir = path.with_suffix("" if ranks.is_first else f".{ranks.rank}")
        Trainer(config, train_dir=Path(sets, "train"), valid_dir=Path(sets, "dev"), expdir=expdir, ranks=ranks).run()


def part() -> None:
    """The last rank ends without a word, when all have come up."""
    from mindaudio_ext.device import set_up_device

    set_up_device("CPU", 0, 1)
    from mindaudio_ext.train.distributed import connect

    ranks = connect()
    ranks.wait()
    if ranks.rank == ranks.size - 1:
        os._exit(3)
    ranks.wait()


def leave_the_others(seconds: str) -> None:
    """Rank 0 comes so much later than the others; then rank 1 ends without a word."""
    from mindaudio_ext.device import set_up_device

    set_up_device("CPU", 0, 1)
    from mindaudio_ext.train.distributed import connect

    ranks = connect()
    if ranks.is_first:
        time.sleep(float(seconds))
    ranks.wait()
    print("all here", flush=True)
    if ranks.rank == 1:
        os._exit(3)
    ranks.wait()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
