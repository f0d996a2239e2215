"""Cascade R-CNN (https://arxiv.org/abs/1712.00726): each stage refines the previous boxes.

N: images, M: boxes of all images, K: foreground classes
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from app.engine.config import CfgNode
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.matcher import Matcher
from app.engine.modeling.roi_heads.assignment import LabelledProposals, label_proposals
from app.engine.modeling.roi_heads.box_head import FastRCNNConvFCHead
from app.engine.modeling.roi_heads.box_predictor import BoxPredictions, BoxPredictor
from app.engine.modeling.roi_heads.standard import StandardROIHeads
from app.engine.structures import boxes as box_ops
from app.engine.structures.detections import Detections
from app.engine.structures.targets import Proposals


class CascadeROIHeads(StandardROIHeads):
    """Several box heads, each trained at a higher IoU threshold with its own matcher."""

    box_head: nn.ModuleList
    box_predictor: nn.ModuleList
    matchers: list[Matcher]

    @classmethod
    def from_config(cls, cfg: CfgNode, shapes: Mapping[str, ShapeSpec]) -> Self:
        """The heads of `MODEL.ROI_BOX_CASCADE_HEAD`."""
        heads = super().from_config(cfg, shapes)
        heads.matchers = [Matcher([iou], [0, 1]) for iou in cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS]
        return heads

    @classmethod
    def _box_branch(cls, cfg: CfgNode, channels: int) -> tuple[nn.Module, nn.Module]:
        heads, predictors = nn.ModuleList(), nn.ModuleList()
        for weights in cfg.MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS:
            head = FastRCNNConvFCHead.from_config(cfg, channels)
            heads.append(head)
            predictors.append(BoxPredictor.from_config(cfg, head.out_dim, box_weights=weights))
        return heads, predictors

    def _box_losses(
        self, maps: Sequence[Tensor], proposals: list[LabelledProposals]
    ) -> tuple[dict[str, Tensor], list[LabelledProposals]]:
        losses: dict[str, Tensor] = {}
        labelled = proposals
        for stage, predictor in enumerate(self._predictors()):
            predictions = self._predict_stage(stage, maps, [p.boxes for p in labelled])
            of_stage = predictor.losses(predictions, labelled)
            losses |= {f"{name}_stage{stage}": loss for name, loss in of_stage.items()}
            if stage + 1 < len(self.matchers):
                boxes = self._refine(predictor, predictions, [p.boxes for p in labelled])
                labelled = self._relabel(stage + 1, boxes, labelled)
        return losses, proposals

    def _detect_boxes(
        self, maps: Sequence[Tensor], proposals: Sequence[Proposals], *, keep_class_probs: bool
    ) -> list[Detections]:
        predictors = self._predictors()
        probs: list[Tensor] = []
        current = list(proposals)
        for stage, predictor in enumerate(predictors):
            predictions = self._predict_stage(stage, maps, [p.boxes for p in current])
            probs.append(predictor.probs(predictions))
            if stage + 1 < len(predictors):
                boxes = self._refine(predictor, predictions, [p.boxes for p in current])
                current = [
                    replace(p, boxes=box_ops.clip(b, p.image_size))
                    for p, b in zip(current, boxes, strict=True)
                ]
        mean = torch.stack(probs).sum(dim=0) * (1.0 / len(probs))
        return predictors[-1].detect(
            predictions, current, probs=mean, keep_class_probs=keep_class_probs
        )

    def _predictors(self) -> list[BoxPredictor]:
        return [module for module in self.box_predictor if isinstance(module, BoxPredictor)]

    def _predict_stage(
        self, stage: int, maps: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> BoxPredictions:
        x = self.box_pooler(maps, boxes)
        if x.requires_grad:
            # The losses of all stages are summed; unscaled, the maps would get a larger gradient.
            x = _ScaleGradient.apply(x, 1.0 / len(self.box_head))
        predictions: BoxPredictions = self.box_predictor[stage](self.box_head[stage](x))
        return predictions

    @torch.no_grad()
    def _refine(
        self,
        predictor: BoxPredictor,
        predictions: BoxPredictions,
        boxes: Sequence[Tensor],
    ) -> list[Tensor]:
        together = torch.cat(list(boxes))
        # The deltas are class-agnostic, so the class has no effect.
        classes = torch.zeros(len(together), dtype=torch.int64, device=together.device)
        refined = predictor.refine(predictions, together, classes)
        return list(torch.split(refined, [len(b) for b in boxes]))

    def _relabel(
        self, stage: int, boxes: Sequence[Tensor], proposals: Sequence[LabelledProposals]
    ) -> list[LabelledProposals]:
        """Match the refined boxes again, without sampling; empty boxes are dropped."""
        relabelled = []
        for of_image, refined in zip(proposals, boxes, strict=True):
            clipped = box_ops.clip(refined, of_image.image_size)
            relabelled.append(
                label_proposals(
                    clipped[box_ops.nonempty(clipped)],
                    of_image.image_size,
                    of_image.ground_truth,
                    self.matchers[stage],
                    self.sampler.num_classes,
                )
            )
        return relabelled


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        return grads[0] * ctx.scale, None
