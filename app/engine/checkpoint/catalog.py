"""Files of the names below `catalog://`: Detectron1's models and ImageNet classifiers."""

HOST = "https://dl.fbaipublicfiles.com/detectron"

_COCO = "coco_2014_train%3Acoco_2014_valminusminival"

_IMAGENET = {
    "MSRA/R-50": "MSRA/R-50.pkl",
    "MSRA/R-101": "MSRA/R-101.pkl",
    "FAIR/R-50-GN": "47261647/R-50-GN.pkl",
    "FAIR/R-101-GN": "47592356/R-101-GN.pkl",
    "FAIR/X-101-32x8d": "20171220/X-101-32x8d.pkl",
    "FAIR/X-101-64x4d": "FBResNeXt/X-101-64x4d.pkl",
    "FAIR/X-152-32x8d-IN5k": "25093814/X-152-32x8d-IN5k.pkl",
}

# Folder of the run, by job and model.
_DETECTRON1 = {
    "35857197/e2e_faster_rcnn_R-50-C4_1x": "01_33_49.iAX0mXvW",
    "35857345/e2e_faster_rcnn_R-50-FPN_1x": "01_36_30.cUF7QR7I",
    "35857890/e2e_faster_rcnn_R-101-FPN_1x": "01_38_50.sNxI7sX7",
    "36761737/e2e_faster_rcnn_X-101-32x8d-FPN_1x": "06_31_39.5MIHi1fZ",
    "35858791/e2e_mask_rcnn_R-50-C4_1x": "01_45_57.ZgkA7hPB",
    "35858933/e2e_mask_rcnn_R-50-FPN_1x": "01_48_14.DzEQe4wC",
    "35861795/e2e_mask_rcnn_R-101-FPN_1x": "02_31_37.KqyEK4tT",
    "36761843/e2e_mask_rcnn_X-101-32x8d-FPN_1x": "06_35_59.RZotkLKI",
    "37697547/e2e_keypoint_rcnn_R-50-FPN_1x": "08_42_54.kdzV35ao",
    "35998355/rpn_R-50-C4_1x": "08_00_43.njH5oD9L",
    "35998814/rpn_R-50-FPN_1x": "08_06_03.Axg0r179",
    "36225147/fast_R-50-FPN_1x": "08_39_09.L3obSdQ2",
}
_GROUP_NORM = "48616381/e2e_mask_rcnn_R-50-FPN_2x_gn"


def _detectron1_file(name: str, run: str) -> str:
    job, model = name.split("/")
    model = model.replace("fast_R-50", "fast_rcnn_R-50")
    data = (
        f"keypoints_{_COCO.replace('3Acoco', '3Akeypoints_coco')}" if "keypoint" in name else _COCO
    )
    kind = "rpn" if name == "35998355/rpn_R-50-C4_1x" else "generalized_rcnn"
    folder = f"{job}/12_2017_baselines/{model}.yaml.{run}"
    return f"{folder}/output/train/{data}/{kind}/model_final.pkl"


CATALOG = {
    **{f"ImageNetPretrained/{name}": f"ImageNetPretrained/{f}" for name, f in _IMAGENET.items()},
    **{f"Caffe2Detectron/COCO/{n}": _detectron1_file(n, run) for n, run in _DETECTRON1.items()},
    f"Caffe2Detectron/COCO/{_GROUP_NORM}": (
        "GN/48616381/04_2018_gn_baselines/e2e_mask_rcnn_R-50-FPN_2x_gn_0416.13_23_38.bTlTI97Q"
        f"/output/train/{_COCO}/generalized_rcnn/model_final.pkl"
    ),
}
"""Name below `catalog://` -> path below `HOST`."""
