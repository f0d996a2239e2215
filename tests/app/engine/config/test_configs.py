"""Every file below configs/."""

from pathlib import Path

import pytest

from app.engine.config import load_config

CONFIGS = Path(__file__).parents[4] / "configs"
FILES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml"))

DETECTRON2_FOLDERS = {
    ".": 4,
    "COCO-Detection": 16,
    "COCO-InstanceSegmentation": 11,
    "COCO-Keypoints": 5,
    "COCO-PanopticSegmentation": 4,
    "Cityscapes": 1,
    "Detectron1-Comparisons": 3,
    "LVISv0.5-InstanceSegmentation": 3,
    "LVISv1-InstanceSegmentation": 3,
    "Misc": 13,
    "PascalVOC-Detection": 2,
    "quick_schedules": 27,
}
ADDED = {"COCO-Detection": 1, "COCO-InstanceSegmentation": 2}


def test_every_file_of_detectron2_has_its_twin():
    assert sum(DETECTRON2_FOLDERS.values()) == 92
    for folder, count in DETECTRON2_FOLDERS.items():
        assert len(list((CONFIGS / folder).glob("*.yaml"))) == count + ADDED.get(folder, 0), folder


@pytest.mark.parametrize("name", FILES)
def test_it_loads_and_its_dump_loads_back(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cfg = load_config(CONFIGS / name)
    (tmp_path / "config.yaml").write_text(cfg.dump())

    assert load_config(tmp_path / "config.yaml") == cfg
    assert not caplog.messages
    assert all(step <= cfg.SOLVER.MAX_ITER for step in cfg.SOLVER.STEPS)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param(
            "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
            {
                "MODEL.META_ARCHITECTURE": "RetinaNet",
                "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.0,
                "SOLVER.BASE_LR": 0.01,
                "SOLVER.STEPS": (60000, 80000),
                "SOLVER.MAX_ITER": 90000,
            },
            id="RetinaNet",
        ),
        pytest.param(
            "Misc/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv.yaml",
            {
                "MODEL.RESNETS.DEPTH": 152,
                "MODEL.RESNETS.DEFORM_ON_PER_STAGE": [False, True, True, True],
                "SOLVER.BASE_LR": 0.16,
                "INPUT.MIN_SIZE_TRAIN": (640, 864),
            },
            id="X152",
        ),
        pytest.param(
            "LVISv1-InstanceSegmentation/mask_rcnn_R_101_FPN_1x.yaml",
            {
                "MODEL.ROI_HEADS.NUM_CLASSES": 1203,
                "TEST.DETECTIONS_PER_IMAGE": 300,
                "SOLVER.MAX_ITER": 180000,
            },
            id="LVIS",
        ),
        pytest.param(
            "new_baselines/mask_rcnn_regnety_4gf_dds_FPN_400ep_LSJ.yaml",
            {
                "MODEL.REGNETS.SE_RATIO": 0.25,
                "MODEL.REGNETS.NORM": "SyncBN",
                "SOLVER.MAX_ITER": 737500,
                "SOLVER.WARMUP_ITERS": 2000,
            },
            id="LSJ",
        ),
    ],
)
def test_some_values(name: str, values: dict[str, object]):
    leaves = dict(load_config(CONFIGS / name).leaves())

    assert {key: leaves[key] for key in values} == values
