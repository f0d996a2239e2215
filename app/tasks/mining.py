"""The mining task: which candidates to label first -> result.tsv."""

import logging
from collections.abc import Iterator
from itertools import tee

from app.engine.errors import ImageError
from app.engine.mining import STRATEGIES, MiningOptions, score_files
from app.engine.predictor import Predictor
from app.tasks.candidates import Candidates
from app.tasks.trained_model import open_model
from app.tasks.workers import limited_workers
from executor.dataset_reader import Asset
from executor.env import Env
from executor.hyperparameters import MiningHyperparameters, load_hyperparameters
from executor.monitor import Progress, span
from executor.result_writer import write_mining_result

logger = logging.getLogger(__name__)


def run(env: Env, progress: Progress) -> None:
    """Score every candidate and rank them, the one to label first on top."""
    hp = load_hyperparameters(env.input.config_file, MiningHyperparameters)
    options = MiningOptions(
        aggregate=hp.aggregate,
        empty_policy=hp.empty_policy,
        class_weights=hp.class_weights or (),
    )
    predictor = None
    if STRATEGIES[hp.mining_algorithm].uses_model:
        predictor = open_model(env, hp, score_threshold=options.score_thresh).predictor
    progress(0.02)
    candidates = Candidates(env.input.candidate_index_file)
    unreadable: list[str] = []
    scores = list(
        _scores(hp, options, predictor, candidates, unreadable, span(progress, 0.02, 0.99))
    )
    write_mining_result(env.output.mining_result_file, scores, unreadable=unreadable)
    candidates.report()
    logger.info(
        "mining: %d images ranked by %s, %d unreadable ones last",
        len(candidates) - len(unreadable),
        hp.mining_algorithm,
        len(unreadable),
    )
    progress(1.0)


def _scores(
    hp: MiningHyperparameters,
    options: MiningOptions,
    predictor: Predictor | None,
    candidates: Candidates,
    unreadable: list[str],
    progress: Progress,
) -> Iterator[tuple[str, float]]:
    """(image as the index names it, score) of the readable ones; the others go to `unreadable`."""
    paths, assets = tee(candidates)
    results = score_files(
        hp.mining_algorithm,
        predictor,
        (asset.image for asset in paths),
        num_workers=limited_workers(hp.num_workers),
        seed=hp.seed,
        options=options,
    )
    numbered: Iterator[tuple[int, tuple[Asset, tuple[object, float | ImageError]]]]
    numbered = enumerate(zip(assets, results, strict=True), start=1)
    for number, (asset, (_, score)) in numbered:
        if isinstance(score, ImageError):
            candidates.unreadable(asset, score)
            unreadable.append(asset.image_text)
        else:
            yield asset.image_text, score
        progress(number / len(candidates))
