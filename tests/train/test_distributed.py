"""Ranks agree, and average as one would by hand."""

import json
import socket
import threading
import time

import numpy as np
import pytest
from test_launch import run

from mindaudio_ext.config import make_config
from mindaudio_ext.errors import InputError
from mindaudio_ext.train.distributed import Ranks, accept_ranks, agreed_config, call_rank_0
from mindaudio_ext.train.launch import free_port


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each of three ranks has seen."""
    folder = tmp_path_factory.mktemp("agree")
    done = run(folder / "log", "agree", folder, ngpu=3)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(3)]


def test_gradients_are_averaged_as_by_hand(results):
    """Factors 1, 2, 3 of one matrix; 0.5, -0.5, -1.5; losses 3, 5, 7; the first counts half, the others a quarter."""
    for result in results:
        assert result["loss"] == 4.5
        assert result["means"] == [[[1.75, 3.5, 5.25], [7, 8.75, 10.5]], [-0.25] * 4]


def test_ranks_agree(results):
    for rank, result in enumerate(results):
        assert result["rank"] == rank
        assert result["gathered"] == [[0, 0.1], [1, 1.1], [2, 2.1]]
        assert result["first"] == "of 0"
    assert [result["share"] for result in results] == [[0, 2], [2, 4], [4, 6]]


def test_all_have_the_parameters_of_rank_0(results):
    expected = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32).tolist()
    assert [result["parameters"] for result in results] == [[expected, 0]] * 3


def test_a_rank_with_another_model_is_named(results):
    assert [result["refused"] for result in results] == ["rank 1 has other parameters than rank 0"] * 3


def test_all_have_the_config_of_rank_0(results):
    """Its seed, and what a training may change; anything else must be the same."""
    assert [result["agreed"] for result in results] == [[5, 7, "test0"]] * 3
    refused = ["", *(f"lr: {0.001 * (1 + rank)} on rank {rank}, 0.001 on rank 0; expected the same" for rank in (1, 2))]
    assert [result["other_config"] for result in results] == refused


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(InputError, match="batch_size: 2 crops a step cannot be shared among 3 processes"):
        agreed_config(make_config({"batch_size": 2}, "test"), Ranks(0, 3))
    config = make_config({"batch_size": 6, "accum_steps": 2}, "test")
    with pytest.raises(InputError, match="accum_steps: 2 does not divide the share of each of 4 processes in the 6"):
        agreed_config(config, Ranks(0, 4))


def test_a_config_is_the_same_when_it_is_agreed_on():
    deeper = {"init_from": "first.ckpt", "init_blocks": [0, 0], "separator_conf": {"n_blocks": 2}}
    config = make_config(deeper | {"test_sets": ["one", "two"]}, "test")
    assert agreed_config(config, Ranks()) == config


def test_shares_differ_by_one_at_most():
    assert [Ranks(rank, 3).share(8) for rank in range(3)] == [slice(0, 2), slice(2, 5), slice(5, 8)]
    assert [Ranks(rank, 3).share(6) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_who_does_not_know_the_key_is_no_rank_and_keeps_none_waiting():
    address = "127.0.0.1", free_port()
    accepted = {}
    waiting = threading.Thread(target=lambda: accepted.update(accept_ranks(address, 1, b"secret")))
    waiting.start()
    while True:
        try:
            silent, rude = (socket.create_connection(address) for _ in range(2))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    rude.sendall(b"\0\0\0\1" + b"1" * 100)
    with pytest.raises(InputError, match="MINDAUDIO_EXT_KEY: rank 1 has another one than rank 0"):
        call_rank_0(address, 1, b"guess")
    assert accepted == {}
    line = call_rank_0(address, 1, b"secret")
    waiting.join()
    assert list(accepted) == [1]
    line.send_bytes(b"here")
    assert accepted[1].recv_bytes() == b"here"
    silent.close()
    rude.close()


@pytest.mark.slow
@pytest.mark.needs("--all")
def test_a_late_rank_is_waited_for_and_a_dead_one_is_not(tmp_path):
    """MindSpore's collectives give up after 30 s on a CPU."""
    done = run(tmp_path / "log", "leave_the_others", 40)
    assert done.returncode == 1
    assert "all here" in done.stderr
    assert f"rank 1 ended with exit status 3; its log: {tmp_path}/log/worker_1.log" in done.stderr


def test_a_single_process_is_all_ranks():
    ranks = Ranks()
    assert (ranks.is_first, ranks.gather(3), ranks.broadcast("x")) == (True, [3], "x")
    assert ranks.share(4) == slice(0, 4)
    ranks.broadcast_parameters([])
