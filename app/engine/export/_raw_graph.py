"""A one-stage detector up to its decoded boxes and scores: no selection and no control flow.

N: images, C: channels, H, W: height and width, R: anchors of all levels, K: classes
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from app.engine.export._parts import anchors_at
from app.engine.modeling.anchors import AnchorGenerator
from app.engine.modeling.meta_arch._dense_filter import by_anchor, decode
from app.engine.modeling.meta_arch.fcos import FCOS
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.modeling.meta_arch.ssd import SSD
from app.engine.structures.size import Size


class RawGraph(nn.Module):
    """RetinaNet, FCOS or SSD from float pixels to the boxes and scores of all anchors.

    size  height and width of all images, whose anchors are then constants; None: any size
    """

    def __init__(self, detector: RetinaNet | FCOS | SSD, size: Size | None) -> None:
        super().__init__()
        self.detector = detector
        self.size = size
        for level, anchors in enumerate(self._constant_anchors()):
            self.register_buffer(f"anchors_{level}", anchors)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) float32 in 0..255 -> boxes (N, R, 4), scores (N, R, K).

        Boxes are x0 y0 x1 y1 in pixels of the input, and may reach beyond it.
        """
        detector = self.detector
        features = self._features((images - detector.pixel_mean) / detector.pixel_std)
        sizes = [(feature.shape[2], feature.shape[3]) for feature in features]
        boxes, scores = [], []
        for level, (probs, deltas) in enumerate(self._predict(features)):
            anchors = self._anchors(level, sizes)
            boxes.append(decode(detector.coder, deltas, anchors.expand_as(deltas)))
            scores.append(probs)
        return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)

    def _features(self, x: Tensor) -> list[Tensor]:
        maps = self.detector.backbone(x)
        return [maps[name] for name in self.detector.in_features]

    def _predict(self, features: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return scores (N, R, K) and deltas (N, R, 4) of each level; SSD's levels are joined."""
        detector, num_classes = self.detector, self.detector.num_classes
        if isinstance(detector, SSD):
            logits, deltas = detector.predict(features)
            return [(detector.probs(logits)[..., :num_classes], deltas)]
        if isinstance(detector, FCOS):
            return [
                (
                    _joint(by_anchor(logits, num_classes), by_anchor(centerness, 1)),
                    by_anchor(deltas, 4),
                )
                for logits, deltas, centerness in zip(*detector.predict(features), strict=True)
            ]
        levels = zip(detector.head.class_logits(features), features, strict=True)
        return [
            (
                by_anchor(logits, num_classes).sigmoid(),
                by_anchor(detector.head.level_deltas(feature, level), 4),
            )
            for level, (logits, feature) in enumerate(levels)
        ]

    def _anchors(self, level: int, sizes: Sequence[Size]) -> Tensor:
        """Return the anchors of a level of maps of these sizes: (1, R, 4)."""
        if self.size is not None:
            return self.get_buffer(f"anchors_{level}")
        generator = self.detector.anchor_generator
        assert isinstance(generator, AnchorGenerator), "SSD has one size"
        height, width = sizes[level]
        index = torch.arange(height * width * generator.num_anchors[level])[None]
        return anchors_at(generator, level, index, sizes)

    @torch.no_grad()
    def _constant_anchors(self) -> list[Tensor]:
        if self.size is None:
            return []
        channels = self.detector.pixel_mean.numel()
        features = self._features(torch.zeros(1, channels, *self.size))
        levels = self.detector.anchor_generator(features)
        if isinstance(self.detector, SSD):
            levels = [torch.cat(levels)]
        return [anchors[None] for anchors in levels]


def _joint(logits: Tensor, centerness: Tensor) -> Tensor:
    """Return FCOS's scores: (N, R, K), (N, R, 1) -> (N, R, K)."""
    return (logits.sigmoid() * centerness.sigmoid()).sqrt()
