"""The model of /in/models, opened as infer or mining needs it."""

from app.engine.errors import ObjectKindError
from app.engine.trained.opening import Kind, ModelPlace, OpenedModel, Opening, open_model
from executor.env import Env
from executor.errors import ObjectTypeError
from executor.hyperparameters import InferHyperparameters, MiningHyperparameters


def model_place(env: Env, hp: InferHyperparameters | MiningHyperparameters) -> ModelPlace:
    """Return where the task's model is looked for."""
    return ModelPlace(env.input.models_dir, tuple(hp.model_params_path))


def infer_opening(
    hp: InferHyperparameters, *, device: str, num_images: int, kind: Kind = "boxes"
) -> Opening:
    """Return how infer opens its model."""
    return Opening(
        device=device,
        num_images=num_images,
        batch_size=hp.batch_size,
        score_threshold=hp.conf_threshold,
        image_size=hp.image_size,
        tile_size=hp.tile_size,
        tile_overlap=hp.tile_overlap,
        precision=hp.precision,
        backend=hp.backend,
        kind=kind,
        class_names=hp.class_names,
    )


def mining_opening(
    hp: MiningHyperparameters, *, device: str, num_images: int, score_threshold: float
) -> Opening:
    """Return how mining opens its model: in torch, and every image is looked at once."""
    return Opening(
        device=device,
        num_images=num_images,
        batch_size=hp.batch_size,
        score_threshold=score_threshold,
        image_size=hp.image_size,
        tile_size=hp.tile_size,
        tile_overlap=hp.tile_overlap,
        precision=hp.precision,
        backend="torch",
        kind="boxes",
        class_names=hp.class_names,
        views=False,
    )


def open_infer_model(
    env: Env, hp: InferHyperparameters, *, device: str, num_images: int, kind: Kind = "boxes"
) -> OpenedModel:
    """Open the model of /in/models for a stream of `num_images`.

    Raises CheckpointError if there is no usable model, ObjectTypeError if it finds no objects of
    this kind.
    """
    opening = infer_opening(hp, device=device, num_images=num_images, kind=kind)
    try:
        return open_model(model_place(env, hp), opening)
    except ObjectKindError as error:
        if kind != "masks":
            raise
        raise ObjectTypeError(
            f"object_type 4 asks for instance segmentation but {error}, or object_type 2"
        ) from error
