"""A detector that looks at large photographs tile by tile and merges what it finds.

R: objects of a tile, M: objects of a photograph, J: keypoints, K: classes
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Self

import torch
from torch import Tensor

from app.engine.config import CfgNode, class_section
from app.engine.data.images.reading import Pixels
from app.engine.data.loading.ahead import ahead
from app.engine.data.loading.mapper import TestMapper
from app.engine.errors import DoesNotFitError
from app.engine.modeling.detector import Detector, WrappedDetector
from app.engine.smaller_batches import in_batches
from app.engine.structures.detections import Detections, to_cpu
from app.engine.structures.sample import Sample
from app.engine.structures.tiles import TileGrid
from app.engine.tiles.collector import Collector, MergeRule, views
from app.engine.tiles.merge import Merged

Detect = Callable[[list[Sample]], list[Detections]]


class TiledDetector(WrappedDetector):
    """Runs another detector on the tiles of photographs that are not cut yet (`Sample.is_uncut`).

    Other samples pass unchanged. Detections of photographs are on the CPU.

    batch_size  largest number of tiles at once; shrinks when memory runs out
    """

    def __init__(
        self,
        model: Detector,
        grid: TileGrid,
        rule: MergeRule,
        *,
        resized: Callable[[Pixels], Sample],
        batch_size: int = 1,
    ) -> None:
        """`resized` makes the network's input of the pixels of a tile."""
        super().__init__(model)
        self.grid = grid
        self.rule = rule
        self.batch_size = batch_size
        self._resized = resized

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Self:
        """Tiles are a way to use a model, not a model: see `tiled`."""
        raise NotImplementedError

    @torch.no_grad()
    def detect(self, samples: list[Sample]) -> list[Detections]:
        """Return the detections of each image, in pixels of its `original_size`."""
        return self._detect(samples, self.model.detect)

    @torch.no_grad()
    def detect_boxes(self, samples: list[Sample]) -> list[Detections]:
        """Return detections without masks and keypoints."""
        return self._detect(samples, self.model.detect_boxes)

    def tiles(self, photograph: Sample) -> Iterator[list[Sample]]:
        """Yield batches of network inputs: of the tiles and, if asked for, the whole picture."""
        inputs: Iterator[Sample] = self._inputs(photograph)
        if self.device.type == "cuda":
            inputs = ahead(inputs, depth=2 * self.batch_size)
        while batch := list(islice(inputs, self.batch_size)):
            yield batch

    def _inputs(self, photograph: Sample) -> Iterator[Sample]:
        pixels = photograph.image.permute(1, 2, 0).cpu().numpy()
        for view in views(self.grid, photograph.original_size):
            part = self._resized(pixels[view.y0 : view.y1, view.x0 : view.x1])
            yield replace(part, image_id=photograph.image_id)

    def _detect(self, samples: list[Sample], detect: Detect) -> list[Detections]:
        self.model.keep_class_probs = self.keep_class_probs
        plain = [sample for sample in samples if not sample.is_uncut]
        found = iter(detect(plain) if plain else [])
        return [self._merged(s, detect) if s.is_uncut else next(found) for s in samples]

    def _merged(self, photograph: Sample, detect: Detect) -> Detections:
        collector = Collector(self.grid, photograph.original_size, self.rule)
        found: list[Detections] = []
        for view, of_view in zip(collector.views, self._by_tile(photograph, detect), strict=True):
            masks = None if of_view.masks is None else of_view.masks.numpy()
            boxes, scores, classes = of_view.boxes, of_view.scores, of_view.classes
            collector.add(view, boxes.numpy(), scores.numpy(), classes.numpy(), masks)
            found.append(replace(_moved(of_view, view.x0, view.y0), masks=None))
        return _united(found, collector)

    def _by_tile(self, photograph: Sample, detect: Detect) -> Iterator[Detections]:
        """Yield what is found in each view; one batch of them is in memory at a time."""
        for batch in self.tiles(photograph):
            for found in in_batches(self, batch, lambda tiles: to_cpu(detect(tiles))):
                if isinstance(found, DoesNotFitError):
                    raise found
                yield found


def tiled(model: Detector, cfg: CfgNode, *, batch_size: int = 1) -> Detector:
    """Wrap `model`, without a copy, to cut photographs as `INPUT.TILES` says; itself if never."""
    grid = TileGrid.from_config(cfg)
    if grid is None:
        return model
    limit = int(cfg.TEST.DETECTIONS_PER_IMAGE)
    rule = MergeRule(
        float(cfg.MODEL[class_section(cfg)].NMS_THRESH_TEST), None if limit < 0 else limit
    )
    resized = TestMapper.from_config(cfg).resized
    return TiledDetector(model, grid, rule, resized=resized, batch_size=batch_size)


def _moved(found: Detections, x0: int, y0: int) -> Detections:
    """Return keypoints of a tile at their places in the photograph; boxes are moved elsewhere."""
    if found.keypoints is None:
        return found
    return replace(found, keypoints=found.keypoints + found.keypoints.new_tensor((x0, y0, 0)))


def _united(found: Sequence[Detections], collector: Collector) -> Detections:
    """Return the objects of the photograph: each has the class vector of its best part."""
    merged = collector.merged()
    best = torch.from_numpy(merged.best)
    probs = _joined([d.class_probs for d in found])
    keypoints = _joined([d.keypoints for d in found])
    masks = collector.masks(merged)
    return Detections(
        collector.size,
        torch.from_numpy(merged.boxes),
        torch.cat([d.scores for d in found])[best],
        torch.cat([d.classes for d in found])[best],
        class_probs=None if probs is None else probs[best],
        masks=None if masks is None else torch.from_numpy(masks),
        keypoints=None if keypoints is None else _best_keypoints(keypoints, merged),
    )


def _joined(values: Iterable[Tensor | None]) -> Tensor | None:
    present = [value for value in values if value is not None]
    return torch.cat(present) if present else None


def _best_keypoints(keypoints: Tensor, merged: Merged) -> Tensor:
    """Take each keypoint from the part of the object that is surest of it: -> (M, J, 3)."""
    chosen = []
    for part in merged.parts:
        candidates = keypoints[torch.from_numpy(part)]
        surest = candidates[..., 2].argmax(dim=0)
        chosen.append(candidates[surest, torch.arange(candidates.shape[1])])
    return torch.stack(chosen) if chosen else keypoints[:0]
