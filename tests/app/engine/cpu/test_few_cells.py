"""Losses at few cells against the same losses at all of them."""

from pathlib import Path

import pytest
import torch

from app.engine.config import get_config, load_config
from app.engine.cpu import few_cells
from app.engine.cpu.few_cells import FewCellsRetinaNet, FewCellsRPN, box_deltas_at
from app.engine.cpu.prepare import prepare_for_training
from app.engine.layers.shape_spec import ShapeSpec
from app.engine.modeling.build import build_detector
from app.engine.modeling.meta_arch._dense import DenseHead
from app.engine.structures.sample import Sample
from app.engine.structures.targets import GroundTruth

CONFIGS = Path(__file__).parents[4] / "configs"


def small_rpn(num_samples):
    cfg = get_config()
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3"]
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = num_samples
    torch.manual_seed(1)
    return FewCellsRPN.from_config(cfg, {"p2": ShapeSpec(4, 4), "p3": ShapeSpec(4, 8)})


def small_features():
    torch.manual_seed(2)
    return {"p2": torch.rand(2, 4, 8, 8), "p3": torch.rand(2, 4, 4, 4)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_samples", [pytest.param(6, id="some"), pytest.param(0, id="none")])
def test_few_samples_train_as_if_all_cells_did(monkeypatch, dtype, num_samples):
    truths = [
        GroundTruth(torch.tensor([[0.0, 0, 9, 8], [20, 18, 32, 32]]), torch.zeros(2).long()),
        GroundTruth(torch.tensor([[4.0, 4, 21, 19]]), torch.zeros(1).long()),
    ]
    results = []
    for cells_for_a_sample in (0, 10**9):  # by cells; everywhere
        monkeypatch.setattr(few_cells, "_CELLS_FOR_A_SAMPLE", cells_for_a_sample)
        rpn = small_rpn(num_samples)
        features = {name: map_.requires_grad_() for name, map_ in small_features().items()}
        torch.manual_seed(3)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            proposals, losses = rpn.losses(features, [(32, 32)] * 2, truths)
        total = losses["loss_rpn_cls"] * 2 + losses["loss_rpn_loc"]
        if num_samples:
            total.backward()
            inputs = [*rpn.parameters(), *features.values()]
            assert all(tensor.grad is not None for tensor in inputs)
            results.append([total.detach(), *(tensor.grad for tensor in inputs)])
        assert len(proposals) == 2
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for few, everywhere in zip(*results, strict=True) if results else ():
        scale = float(everywhere.abs().max())
        torch.testing.assert_close(few, everywhere, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("with_objects", [True, False])
def test_boxes_are_learned_at_few_cells_as_at_all(monkeypatch, dtype, with_objects):
    torch.manual_seed(0)
    head = DenseHead(
        num_levels=2,
        in_channels=4,
        channels=6,
        num_convs=2,
        num_anchors=3,
        num_classes=2,
        norm="",
        prior_prob=0.01,
    )
    features = [
        torch.rand(2, 4, 24, 32).requires_grad_(),
        torch.rand(2, 4, 12, 16).requires_grad_(),
    ]
    cells = [torch.tensor([3, 3, 800, 1500]), torch.tensor([], dtype=torch.int64)]
    if not with_objects:
        cells[0] = cells[0][:0]
    inputs = [*head.bbox_subnet.parameters(), *head.bbox_pred.parameters(), features[0]]
    results = []
    for dense in (0, 10**9):
        monkeypatch.setattr(few_cells, "_DENSE", dense)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            deltas = box_deltas_at(head, features, cells)
        assert deltas.shape == (len(cells[0]), 12)
        gradients = torch.autograd.grad(deltas.float().sin().sum(), inputs, allow_unused=True)
        results.append([deltas.detach().float(), *(g for g in gradients if g is not None)])
    assert len(results[0]) == len(results[1]) >= 7
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    for few, everywhere in zip(*results, strict=True):
        scale = float(everywhere.abs().max()) if everywhere.numel() else 0.0
        torch.testing.assert_close(few, everywhere, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("objects", [0, 2])
def test_a_retinanet_learns_as_the_plain_one_does(objects):
    small = ["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64]
    small += ["MODEL.FPN.OUT_CHANNELS", 32, "MODEL.RETINANET.NUM_CONVS", 1, "MODEL.DEVICE", "cpu"]
    torch.manual_seed(0)
    boxes = torch.tensor([[8.0, 8, 40, 40], [100, 60, 140, 120]])[:objects]
    truth = GroundTruth(boxes, torch.arange(objects))
    samples = [
        Sample(torch.randint(0, 256, (3, 160, 192)).byte(), (160, 192), t)
        for t in (truth, GroundTruth(boxes[:1], torch.zeros(len(boxes[:1])).long()))
    ]
    results = []
    for prepared in (False, True):
        torch.manual_seed(1)
        model = build_detector(load_config(CONFIGS / "Base-RetinaNet.yaml", [*map(str, small)]))
        if prepared:
            prepare_for_training(model, by_tiles=False)
            assert type(model) is FewCellsRetinaNet
        losses = model.train().losses(samples)
        torch.stack(list(losses.values())).sum().backward()
        grads = [p.grad for p in model.parameters() if p.requires_grad]
        results.append((losses, grads))
    for name, loss in results[0][0].items():
        torch.testing.assert_close(results[1][0][name], loss, rtol=1e-4, atol=1e-6)
    for plain, few in zip(*(grads for _, grads in results), strict=True):
        scale = float(plain.abs().max())
        torch.testing.assert_close(few, plain, rtol=1e-3, atol=1e-3 * scale + 1e-7)
