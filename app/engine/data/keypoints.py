"""Left and right of keypoints: which index becomes which when an image is mirrored."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.engine.data.transforms import FlipHorizontal, Transform
from app.engine.structures.boxes import Size

COCO_PERSON = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""Names of COCO's 17 person keypoints."""


def flip_indices(names: Sequence[str]) -> list[int]:
    """Index of each keypoint's mirror image, told by "left" and "right" in the names."""
    positions = {name: i for i, name in enumerate(names)}

    def mirrored(name: str) -> str:
        if "left" in name:
            return name.replace("left", "right")
        return name.replace("right", "left")

    return [positions.get(mirrored(name), i) for i, name in enumerate(names)]


def transform_keypoints(
    transforms: Sequence[Transform],
    keypoints: npt.NDArray[np.float32],
    size: Size,
    mirrored: Sequence[int],
) -> npt.NDArray[np.float32]:
    """(G, num_keypoints, 3) -> the same in an image of `size`.

    What leaves the image loses its visibility; what is not visible lies at 0, 0 (COCO's rule).
    mirrored  as of `flip_indices`; used when the image was mirrored an odd number of times
    """
    points = keypoints[..., :2].astype(np.float64).reshape(-1, 2)
    for transform in transforms:
        points = transform.points(points)
    inside = np.logical_and(points >= 0, points <= np.array([size[1], size[0]])).all(axis=-1)
    visibility = np.where(inside, keypoints[..., 2].reshape(-1), 0)
    moved = np.column_stack((points, visibility)).reshape(keypoints.shape)
    if sum(isinstance(transform, FlipHorizontal) for transform in transforms) % 2:
        moved = moved[:, list(mirrored)]
    moved[moved[..., 2] == 0] = 0
    return moved.astype(np.float32)
