"""The mining task: a ranking of the candidates by the benefit of a label -> result.tsv.

N: candidates
"""

import hashlib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.engine.errors import ImageError
from app.engine.mining import STRATEGIES, MiningOptions, score_files
from app.engine.predictor import Predictor
from app.engine.trained.torch_model import open_torch_model
from app.tasks.candidate_task import CandidateTask, Result, go_through_candidates
from app.tasks.finder import Device, DeviceFinder
from app.tasks.trained_model import mining_opening, model_place
from common.progress import Progress
from executor.candidates import Candidates
from executor.dataset_reader import Asset
from executor.env import Env
from executor.hyperparameters import MiningHyperparameters, load_hyperparameters
from executor.journal import Journal
from executor.result_writer import write_mining_result
from executor.task_traits import TaskTraits
from executor.task_words import Task

logger = logging.getLogger(__name__)

GROUP_WITHOUT_MODEL = 100
"""Number of images that are recorded together if no model sets a batch size."""

TRAITS = TaskTraits(settings=MiningHyperparameters, result_file="result.tsv")


def run(env: Env, progress: Progress) -> None:
    """Score every candidate and rank them, the one to label first on top."""
    hp = load_hyperparameters(env.input.config_file, MiningHyperparameters)
    go_through_candidates(Mining(env, hp, mining_options(hp)), progress)


def mining_options(hp: MiningHyperparameters) -> MiningOptions:
    """Return the options of the strategy; warn of settings that it does not use."""
    _warn_of_unused(hp)
    return MiningOptions(
        aggregate=hp.aggregate,
        empty_policy=hp.empty_policy,
        class_weights=hp.class_weights or (),
    )


@dataclass(frozen=True)
class Mining(CandidateTask[float]):
    """The mining task: a score for each image, and a ranking."""

    hp: MiningHyperparameters
    options: MiningOptions
    task = Task.MINING

    @property
    def uses_model(self) -> bool:
        """See `CandidateTask`."""
        return STRATEGIES[self.hp.mining_algorithm].uses_model

    def open_on(self, device: Device) -> DeviceFinder[float]:
        """See `CandidateTask`."""
        if not self.uses_model:
            return ScoreFinder(self, device, None)
        opening = mining_opening(
            self.hp,
            device=device.name,
            num_images=device.num_images,
            score_threshold=self.options.score_thresh,
        )
        model = open_torch_model(model_place(self.env, self.hp), opening)
        return ScoreFinder(self, device, model.predictor)

    def result(self, _class_names: Sequence[str]) -> Result[float]:
        """See `CandidateTask`."""
        return RankingResult(self.env, self.hp)


class ScoreFinder(DeviceFinder[float]):
    """The mining score of each image."""

    def __init__(self, mining: Mining, device: Device, predictor: Predictor | None) -> None:
        self.group_size = predictor.group_size if predictor else GROUP_WITHOUT_MODEL
        self._mining = mining
        self._predictor = predictor
        self._num_workers = device.num_workers

    def find(self, paths: Iterable[Path]) -> Iterator[tuple[Path, float | ImageError]]:
        """See `DeviceFinder`."""
        return score_files(
            self._mining.hp.mining_algorithm,
            self._predictor,
            paths,
            num_workers=self._num_workers,
            seed=self._mining.hp.seed,
            options=self._mining.options,
        )


class RankingResult(Result[float]):
    """A result whose entries are scores, NaN for an image without a score."""

    def __init__(self, env: Env, hp: MiningHyperparameters) -> None:
        self._path = env.output.result_file(Task.MINING)
        self._algorithm = hp.mining_algorithm

    def entry(self, _asset: Asset, found: float | ImageError) -> str:
        """See `Result`."""
        return repr(math.nan if isinstance(found, ImageError) else found)

    def publish(self, candidates: Candidates, journal: Journal) -> None:
        """See `Result`; candidates without a score come last."""
        scores = np.fromiter(map(float, journal), dtype=np.float64, count=len(candidates))
        order = ranking(scores, (asset.image.name for asset in candidates))
        num_ranked = int(np.isfinite(scores).sum())
        names = (asset.image_text for asset in candidates.at(map(int, order)))
        ranked = zip(islice(names, num_ranked), map(float, scores[order[:num_ranked]]), strict=True)
        write_mining_result(self._path, ranked, last=names)
        logger.info(
            "mining: %d images ranked by %s; last: %d unreadable, %d to be looked at again",
            journal.num_results,
            self._algorithm,
            journal.num_done - journal.num_results,
            journal.num_open,
        )


def ranking(scores: npt.NDArray[np.float64], names: Iterable[str]) -> npt.NDArray[np.int64]:
    """Return (N,) positions of the candidates, the highest score first, NaN last.

    Equal scores are ordered by a hash of the names, not by the alphabet: similar names are often
    neighbouring frames of a film, and a platform takes a number of images from the top.
    """
    digests = (
        hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for name in names
    )
    ties = np.fromiter(
        (int.from_bytes(digest, "big") for digest in digests), dtype=np.uint64, count=len(scores)
    )
    return np.lexsort((ties, np.where(np.isfinite(scores), -scores, np.inf)))


def _warn_of_unused(hp: MiningHyperparameters) -> None:
    for key in ("aggregate", "empty_policy"):
        value, default = getattr(hp, key), MiningHyperparameters.model_fields[key].default
        if key not in STRATEGIES[hp.mining_algorithm].uses and value != default:
            logger.warning("%s %s has no effect on %s", key, value, hp.mining_algorithm)
