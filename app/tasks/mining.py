"""The mining task: which candidates to label first -> result.tsv.

N: candidates
"""

import hashlib
import logging
import math
from collections.abc import Iterable
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from app.engine.errors import ImageError
from app.engine.mining import STRATEGIES, MiningOptions, score_files
from app.tasks.candidates import Candidates
from app.tasks.devices import device_ids, device_names
from app.tasks.finder import DeviceFinder, open_finder
from app.tasks.journals import open_journal
from app.tasks.torch_model import open_torch_model
from app.tasks.workers import limited_workers
from executor.dataset_reader import Asset
from executor.env import Env, Task
from executor.hyperparameters import MiningHyperparameters, load_hyperparameters
from executor.journal import Journal
from executor.monitor import Progress, span
from executor.result_writer import write_mining_result

logger = logging.getLogger(__name__)

GROUP_WITHOUT_MODEL = 100
"""Images that are recorded as finished together where no model sets the pace."""


def run(env: Env, progress: Progress) -> None:
    """Score every candidate and rank them, the one to label first on top."""
    hp = load_hyperparameters(env.input.config_file, MiningHyperparameters)
    options = MiningOptions(
        aggregate=hp.aggregate,
        empty_policy=hp.empty_policy,
        class_weights=hp.class_weights or (),
    )
    _warn_of_unused(hp)
    uses_model = STRATEGIES[hp.mining_algorithm].uses_model
    devices = device_names(device_ids(hp)) if uses_model else ["cpu"]
    num_workers = limited_workers(hp.num_workers, processes=len(devices))
    candidates = Candidates(env.input.candidate_index_file)
    with (
        open_journal(env, Task.MINING, hp, uses_model=uses_model) as take_up_journal,
        open_finder(
            partial(_open, env, hp, options, len(candidates), num_workers), devices
        ) as finder,
    ):
        journal = take_up_journal()
        progress(0.02)
        candidates.work_through(journal, finder, _entry, progress=span(progress, 0.02, 0.98))
        _publish(env, candidates, journal)
    logger.info(
        "mining: %d images ranked by %s; last: %d unreadable, %d to be looked at again",
        journal.num_results,
        hp.mining_algorithm,
        journal.num_done - journal.num_results,
        journal.num_open,
    )
    progress(1.0)


def _open(
    env: Env,
    hp: MiningHyperparameters,
    options: MiningOptions,
    num_images: int,
    num_workers: int,
    device: str,
) -> DeviceFinder[float]:
    predictor, group_size = None, GROUP_WITHOUT_MODEL
    if STRATEGIES[hp.mining_algorithm].uses_model:
        model = open_torch_model(
            env, hp, device=device, score_threshold=options.score_thresh, num_images=num_images
        )
        predictor, group_size = model.predictor, model.predictor.group_size
    find = partial(
        score_files,
        hp.mining_algorithm,
        predictor,
        num_workers=num_workers,
        seed=hp.seed,
        options=options,
    )
    return DeviceFinder(find, group_size)


def _warn_of_unused(hp: MiningHyperparameters) -> None:
    for key in ("aggregate", "empty_policy"):
        value, default = getattr(hp, key), MiningHyperparameters.model_fields[key].default
        if key not in STRATEGIES[hp.mining_algorithm].uses and value != default:
            logger.warning("%s %s has no effect on %s", key, value, hp.mining_algorithm)


def _entry(_asset: Asset, score: float | ImageError) -> str:
    return repr(math.nan if isinstance(score, ImageError) else score)


def _publish(env: Env, candidates: Candidates, journal: Journal) -> None:
    """Write result.tsv from the journal's scores; last come candidates that have none."""
    scores = np.fromiter(map(float, journal), dtype=np.float64, count=len(candidates))
    order = ranking(scores, (asset.image.name for asset in candidates))
    num_ranked = int(np.isfinite(scores).sum())
    names = (asset.image_text for asset in candidates.pick(map(int, order)))
    ranked = zip(islice(names, num_ranked), map(float, scores[order[:num_ranked]]), strict=True)
    write_mining_result(env.output.mining_result_file, ranked, last=names)


def ranking(scores: npt.NDArray[np.float64], names: Iterable[str]) -> npt.NDArray[np.int64]:
    """(N,) positions of the candidates, the highest score first, those that are NaN last.

    Equal scores come in an order that depends on the names but follows no alphabet: neighbours in
    name are often neighbours in a film, and a platform takes the first so many of the list.
    """
    digests = (
        hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for name in names
    )
    ties = np.fromiter(
        (int.from_bytes(digest, "big") for digest in digests), dtype=np.uint64, count=len(scores)
    )
    return np.lexsort((ties, np.where(np.isfinite(scores), -scores, np.inf)))
