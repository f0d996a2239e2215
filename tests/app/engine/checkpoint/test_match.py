import pytest
import torch

from app.engine.checkpoint.files import Naming
from app.engine.checkpoint.match import match_by_suffix, rename, with_background_last
from app.engine.errors import CheckpointError

HEAD = "proposal_generator.rpn_head"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv1_w", "stem.conv1.weight"),
        ("conv1_b", "stem.conv1.bias"),
        ("conv1_gn_s", "stem.conv1.norm.weight"),
        ("res_conv1_bn_s", "stem.conv1.norm.weight"),
        ("res_conv1_bn_b", "stem.conv1.norm.bias"),
        ("res_conv1_bn_running_mean", "stem.conv1.norm.running_mean"),
        ("res2_0_branch1_w", "res2.0.shortcut.weight"),
        ("res2_0_branch1_bn_gamma", "res2.0.shortcut.norm.weight"),
        ("res2_0_branch2a_bn_beta", "res2.0.conv1.norm.bias"),
        ("res3_3_branch2b_bn_riv", "res3.3.conv2.norm.running_var"),
        ("res3_3_branch2b_bn_rm", "res3.3.conv2.norm.running_mean"),
        ("res4_22_branch2c_bn_running_var", "res4.22.conv3.norm.running_var"),
        ("res5_2_branch2c_gn_b", "res5.2.conv3.norm.bias"),
        ("fc1000_w", "fc1000.weight"),
        ("pred_w", "linear.weight"),
        ("conv_rpn_w", f"{HEAD}.conv.weight"),
        ("conv_rpn_fpn2_b", f"{HEAD}.conv.bias"),
        ("rpn_bbox_pred_fpn2_w", f"{HEAD}.anchor_deltas.weight"),
        ("rpn_cls_logits_b", f"{HEAD}.objectness_logits.bias"),
        ("bbox_pred_w", "bbox_pred.weight"),
        ("cls_score_b", "cls_score.bias"),
        ("fc6_w", "box_head.fc1.weight"),
        ("fc7_b", "box_head.fc2.bias"),
        ("head_conv1_gn_s", "box_head.conv1.norm.weight"),
        ("fpn_inner_res5_2_sum_w", "fpn_lateral5.weight"),
        ("fpn_inner_res2_2_sum_lateral_b", "fpn_lateral2.bias"),
        ("fpn_inner_res2_2_sum_lateral_gn_s", "fpn_lateral2.norm.weight"),
        ("fpn_res4_5_sum_w", "fpn_output4.weight"),
        ("fpn_res4_5_sum_gn_b", "fpn_output4.norm.bias"),
        ("_[mask]_fcn1_w", "mask_head.mask_fcn1.weight"),
        ("_mask_fcn1_w", "mask_head.mask_fcn1.weight"),
        ("mask_fcn_logits_w", "mask_head.predictor.weight"),
        ("conv5_mask_w", "mask_head.deconv.weight"),
        ("conv_fcn8_w", "roi_heads.keypoint_head.conv_fcn8.weight"),
        ("kps_score_lowres_b", "roi_heads.keypoint_head.score_lowres.bias"),
    ],
)
def test_caffe2_names(name: str, expected: str):
    assert rename([name], "caffe2") == {name: expected}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv1.weight", "stem.conv1.weight"),
        ("bn1.running_mean", "stem.conv1.norm.running_mean"),
        ("layer1.0.conv1.weight", "res2.0.conv1.weight"),
        ("layer1.0.bn3.bias", "res2.0.conv3.norm.bias"),
        ("layer2.0.downsample.0.weight", "res3.0.shortcut.weight"),
        ("layer4.0.downsample.1.running_var", "res5.0.shortcut.norm.running_var"),
        ("features.1.conv.0.1.weight", "features.1.conv.0.1.weight"),
        ("fc.weight", "fc.weight"),
    ],
)
def test_torchvision_names(name: str, expected: str):
    assert rename([name], "torchvision") == {name: expected}


@pytest.mark.parametrize("naming", ["detectron2", "pycls"])
def test_other_names_stay(naming: Naming):
    assert rename(["conv1_w", "layer1.0.bn1.bias"], naming) == {
        "conv1_w": "conv1_w",
        "layer1.0.bn1.bias": "layer1.0.bn1.bias",
    }


def test_two_names_for_one_weight_are_refused():
    with pytest.raises(CheckpointError, match="mean the same"):
        rename(["res2_0_branch1_bn_s", "res2_0_branch1_bn_gamma"], "caffe2")


def test_the_background_moves_to_the_end():
    rows = torch.arange(12.0).reshape(12, 1)

    assert with_background_last("bbox_pred.weight", rows)[0] == 4
    assert with_background_last("mask_head.predictor.weight", rows)[0] == 1
    assert with_background_last("cls_score.weight", rows).flatten().tolist() == [*range(1, 12), 0]
    assert with_background_last("fc1.weight", rows) is rows


@pytest.mark.parametrize(
    ("model", "file", "expected"),
    [
        pytest.param(["a.b"], ["a.b"], {"a.b": "a.b"}, id="equal"),
        pytest.param(["x.a.b"], ["a.b"], {"x.a.b": "a.b"}, id="prefix"),
        pytest.param(["x.a.b"], ["b", "a.b"], {"x.a.b": "a.b"}, id="longest wins"),
        pytest.param(["x.my_a.b"], ["a.b"], {}, id="only whole names"),
        pytest.param(["b"], ["a.b"], {}, id="the file may not say more"),
        pytest.param(
            ["res.l.b", "l.b"],
            ["l.b", "res.l.b"],
            {"res.l.b": "res.l.b", "l.b": "l.b"},
            id="each to its own",
        ),
        pytest.param([], ["a"], {}, id="no model"),
        pytest.param(["a"], [], {}, id="no file"),
    ],
)
def test_suffixes(model: list[str], file: list[str], expected: dict[str, str]):
    shape = (2,)
    found = match_by_suffix(dict.fromkeys(model, shape), dict.fromkeys(file, shape))

    assert found == expected


def test_one_weight_for_two_parameters_is_refused():
    with pytest.raises(CheckpointError, match=r"x\.a and y\.a"):
        match_by_suffix({"x.a": (2,), "y.a": (2,)}, {"a": (2,)})


def test_a_second_parameter_of_another_shape_does_not_count():
    found = match_by_suffix({"x.a": (2,), "y.a": (3,)}, {"a": (2,)})

    assert found == {"x.a": "a", "y.a": "a"}
