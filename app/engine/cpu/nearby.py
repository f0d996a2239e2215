"""RetinaNet's boxes, computed only near likely objects, because most cells have none.

N, H, W: images, height and width of a map; A: anchors at a cell; S: the best pairs of a level
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from app.engine.cpu.winograd import WinogradConv2d
from app.engine.modeling.meta_arch._dense_filter import BestPairs, by_anchor, take
from app.engine.modeling.meta_arch.retinanet import RetinaNet


class NearbyRetinaNet(RetinaNet):
    """A `RetinaNet` that computes boxes only in tiles near anchors above the score threshold."""

    def deltas_of(self, feature: Tensor, level: int, best: BestPairs) -> Tensor:
        """Like `RetinaNet.deltas_of`; deltas of scores below the threshold are not valid."""
        tower = self.head.bbox_subnet
        convs = [module for module in tower if isinstance(module, WinogradConv2d)]
        if 2 * len(convs) != len(tower):  # norms need all cells
            return super().deltas_of(feature, level, best)
        count, _, height, width = feature.shape
        # Slightly lower, because the exact comparison of scores comes later.
        score = torch.tensor(self.detection_filter.score_thresh, dtype=torch.float64)
        threshold = score.logit().item() - 1e-3
        image, number = (best.scores > threshold).nonzero(as_tuple=True)
        cells = torch.zeros((count, height * width), dtype=torch.bool)
        num_anchors = self.head.bbox_pred.out_channels // 4
        cells[image, best.anchors[image, number] // num_anchors] = True
        cells, x = cells.view(count, height, width), feature
        for reach, conv in zip(range(len(convs), 0, -1), convs, strict=True):
            x = F.relu_(conv.near(x, _grown(cells, reach)))
        return take(by_anchor(self.head.bbox_pred(x), 4), best.anchors)


def _grown(cells: Tensor, reach: int) -> Tensor:
    """Add all cells that are at most `reach` rows and columns away: (N, H, W) bool."""
    near = F.max_pool2d(cells[:, None].float(), 2 * reach + 1, stride=1, padding=reach)
    return near[:, 0] > 0
