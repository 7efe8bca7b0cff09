"""A test set through an exported graph: preprocess to `.bin`, infer, postprocess to wavs and scores."""

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from mindaudio_ext.corpora.librimix_set import make_librimix_data, mixture_folder
from mindaudio_ext.data.audio import write_wav
from mindaudio_ext.data.kaldi_dir import Entry, read_data_dir
from mindaudio_ext.data.parallel import parallel_map
from mindaudio_ext.errors import InputError
from mindaudio_ext.experiment import SCORED_FILES, Experiment, SeparatedSet
from mindaudio_ext.export.io_lists import ChunkedUtterance, Layout, read_bin, read_list, write_list
from mindaudio_ext.export.kit import Kit, KitGraph
from mindaudio_ext.export.kit_chunks import count_chunks, join, split_mixture
from mindaudio_ext.files import atomic_path, sha256_of, write_text
from mindaudio_ext.inference.level import limit_peak
from mindaudio_ext.journal import journal_line
from mindaudio_ext.keys import set_name
from mindaudio_ext.output_folder import OutputFolder
from mindaudio_ext.score.results import write_results
from mindaudio_ext.score.score import chosen_metrics, score_set, write_scores
from mindaudio_ext.score.summary import summarise


@dataclasses.dataclass(frozen=True)
class Work:
    """Where a test set's files are: `inputs` serve all graphs of one length, `results` are of one backend.

    `allow_pipes` is whether values of the data directory that are commands may be run.
    """

    data: Path
    inputs: Path
    results: Path
    allow_pipes: bool = False

    @property
    def outputs(self) -> Path:
        """The folder of the graph's estimates."""
        return self.results / "outputs"

    def folders(self) -> tuple[OutputFolder, OutputFolder]:
        """Returns `inputs` and `results` as folders that the kit makes."""
        return (
            OutputFolder(self.inputs, "folder of inputs", partial(_known_by_names, names=_INPUTS)),
            OutputFolder(self.results, "folder of results", partial(_known_by_names, names=_RESULTS)),
        )


# What is in these folders, by which those from before there were marks are known.
_INPUTS = re.compile(r"(\.tmp\.)?(\d{6}\.bin|inputs\.txt)")
_RESULTS = re.compile(rf"(\.tmp\.)?(outputs|{SCORED_FILES})")


def _known_by_names(folder: Path, *, names: re.Pattern[str]) -> tuple[str, ...] | None:
    return () if all(names.fullmatch(name) for name in os.listdir(folder)) else None


def open_test_set(
    test: Path, folder: Path, *, graph: KitGraph, backend: str, num_spks: int, allow_pipes: bool = False
) -> Work:
    """Returns the places of a test set, with a data directory of a set that is none itself.

    Args:
        test: a data directory or a set folder of LibriMix.
        folder: for all that is made.
        graph: the length of the chunks.
        backend: its results are kept apart from those of others.
        num_spks: sources of each mixture.
        allow_pipes: run the commands in the data directory.

    Raises:
        InputError: `test` is neither, or not whole; or a folder of the user's is where one is to be made.
    """
    data = test
    if not (test / "wav.scp").is_file():
        if mixture_folder(test) is None:
            raise InputError(f"{test}: neither a Kaldi directory (wav.scp) nor a LibriMix set (mix_clean/, s1/, s2/)")
        data = folder / "data" / set_name(test)
        make_librimix_data(test, data, num_spks=num_spks)
    work = Work(data, folder / f"inputs_{graph.samples}", folder / backend, allow_pipes)
    for made in work.folders():
        made.claim()
    return work


def preprocess(work: Work, *, graph: KitGraph, kit: Kit, nj: int) -> None:
    """Writes the chunks of every mixture to a `.bin` of its own, and `inputs.txt` last.

    Raises:
        InputError: no data directory, or a mixture that cannot be read.
    """
    entries = read_data_dir(work.data, allow_pipes=work.allow_pipes).entries()
    (work.inputs / "inputs.txt").unlink(missing_ok=True)
    write = partial(_write_chunks, folder=work.inputs, length=graph.samples, sample_rate=kit.config.sample_rate)
    done = parallel_map(write, list(enumerate(entries)), nj=nj, title=f"preprocess {set_name(work.data)}")
    layout = Layout("float32", graph.samples, kit.config.num_spks)
    write_list(work.inputs / "inputs.txt", layout, list(done))


def _write_chunks(job: tuple[int, Entry], *, folder: Path, length: int, sample_rate: int) -> ChunkedUtterance:
    number, entry = job
    mixture = entry.read_input(sample_rate)
    chunks = split_mixture(mixture, length)
    file = f"{number:06d}.bin"  # a key may hold what a file's name cannot
    with atomic_path(folder / file) as temporary:
        chunks.astype("<f4").tofile(temporary)
    return ChunkedUtterance(entry.key, file, len(mixture), len(chunks))


@dataclasses.dataclass(frozen=True)
class Result:
    """What a graph gives on a test set: mean SI-SNRi in dB, utterances, seconds of speech and of inference."""

    si_snri: float
    n_scored: int
    n_utts: int
    audio_seconds: float
    seconds: float


def postprocess(
    work: Work,
    *,
    kit: Kit,
    mindir: Path,
    backend: str,
    device_target: Literal["CPU", "Ascend"],
    command_line: str,
    nj: int,
) -> Result:
    """Joins the estimates to wavs in `separated_<set>` and scores them: `scores_<set>.csv` and RESULTS.md, as stage 4.

    Raises:
        InputError: the outputs are not whole, of another set, or not finite.
    """
    layout, utterances = read_list(work.outputs / "outputs.txt")
    entries = read_data_dir(work.data, allow_pipes=work.allow_pipes).entries()
    _require_same_set(work, entries, utterances, layout)
    name, config = set_name(work.data), kit.config
    results = Experiment(work.results)
    separated = results.separated(name)
    made_by = f"{mindir.name}, backend {backend}, chunks of {layout.samples / config.sample_rate:g} s joined"
    head = {"checkpoint": made_by, "sha256": sha256_of(mindir)}
    write_text(separated.journal, journal_line(head))  # RESULTS.md quotes it
    write = partial(
        _write_wavs,
        outputs=work.outputs,
        out=separated.wavs,
        layout=layout,
        sample_rate=config.sample_rate,
        at_level=config.has_levels,
    )
    _write_set(separated, parallel_map(write, list(zip(entries, utterances)), nj=nj, title=f"postprocess {name}"))
    scores = score_set(
        separated_dir=separated.path,
        data_dir=work.data,
        num_spks=layout.num_spks,
        sample_rate=config.sample_rate,
        metrics=chosen_metrics(config),
        nj=nj,
        allow_pipes=work.allow_pipes,
    )
    write_scores(scores, results.scores(name))
    ran_on = dataclasses.replace(config, device_target=device_target)
    write_results(work.results, ran_on, [scores], command_line=command_line)
    summary = summarise(scores)
    audio_seconds = sum(each.num_samples for each in utterances) / config.sample_rate
    seconds = sum(each.seconds or 0.0 for each in utterances)
    return Result(summary.improvements["si_snr"].mean, summary.n_scored, summary.n_utts, audio_seconds, seconds)


def _write_set(separated: SeparatedSet, written: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """Lists the wavs of each key in `spkN.scp`."""
    lists: dict[int, list[str]] = defaultdict(list)
    for key, paths in written:
        for source, path in enumerate(paths, 1):
            lists[source].append(f"{key} {path}\n")
    for source, lines in lists.items():
        write_text(separated.scp(source), "".join(lines))


def _require_same_set(work: Work, entries: list[Entry], utterances: list[ChunkedUtterance], layout: Layout) -> None:
    of_data = [(each.key, each.num_samples, count_chunks(each.num_samples, layout.samples)) for each in entries]
    of_outputs = [(each.key, each.num_samples, each.chunks) for each in utterances]
    if of_data != of_outputs:
        differing = next(
            (ours[0] for ours, theirs in zip(of_data, of_outputs) if ours != theirs), f"{len(of_outputs)} utterances"
        )
        raise InputError(
            f"{work.outputs / 'outputs.txt'}: is not of {work.data} as it is now ({differing}); "
            "preprocess and infer again"
        )


def _write_wavs(
    job: tuple[Entry, ChunkedUtterance], *, outputs: Path, out: Path, layout: Layout, sample_rate: int, at_level: bool
) -> tuple[str, tuple[str, ...]]:
    """Joins and writes an utterance's estimates, fitting levels unless they are right; gives its key and the paths."""
    entry, utterance = job
    path = outputs / utterance.file
    estimates = read_bin(path, layout.dtype, (utterance.chunks, layout.num_spks, layout.samples))  # [K, C, S]
    if not np.isfinite(estimates).all():
        raise InputError(f"{path}: the graph's estimates of {entry.key} have NaN or infinity")
    joined = limit_peak(join(estimates, entry.read_input(sample_rate), at_level=at_level))  # [C, T]
    paths = []
    for source, estimate in enumerate(joined, 1):
        wav = out / f"{Path(utterance.file).stem}_s{source}.wav"
        write_wav(wav, estimate, sample_rate)
        paths.append(os.path.abspath(wav))
    return entry.key, tuple(paths)
