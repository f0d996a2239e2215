import pytest

from app.engine.config import check_supported, get_config
from app.engine.config.support import CHOICES, REFUSED
from app.engine.config.unknown import PROJECTS, explain_unknown
from app.engine.config.upgrade import RENAMED
from app.engine.errors import ConfigError

KNOWN = dict(get_config().leaves())
_SSD = ["MODEL.META_ARCHITECTURE", "SSD", "INPUT.FIXED_SIZE", [300, 300]]


def test_tables_speak_of_keys_that_exist():
    assert set(CHOICES) | set(REFUSED) | set(RENAMED.values()) <= set(KNOWN)
    assert not set(PROJECTS) & set(KNOWN)
    assert not set(RENAMED) & set(KNOWN)


def test_the_defaults_are_supported():
    check_supported(get_config())


@pytest.mark.parametrize("key", CHOICES)
def test_other_values_are_refused_with_the_right_ones(key: str):
    cfg = get_config()
    wrong = 17 if isinstance(CHOICES[key][0], int) else "Nonsense"
    cfg.merge_from_list([key, wrong])

    with pytest.raises(ConfigError, match=f"{key}.*must be one of"):
        check_supported(cfg)


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, reasons in REFUSED.items() for value in reasons]
)
def test_refused_values_come_with_their_reason(key: str, value: str):
    cfg = get_config()
    cfg.merge_from_list([key, value])

    with pytest.raises(ConfigError, match=f"{value}.*{REFUSED[key][value]}"):
        check_supported(cfg)


@pytest.mark.parametrize("key", PROJECTS)
def test_keys_of_projects_are_known_by_project(key: str):
    assert PROJECTS[key] in explain_unknown(key, KNOWN)
    assert PROJECTS[key] in explain_unknown(f"{key}.ANY", KNOWN)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param(["MODEL.PIXEL_STD", [1.0]], "one of each per channel", id="mean and std"),
        pytest.param(["INPUT.FORMAT", "L"], "INPUT.FORMAT L 1 channels", id="grey with three"),
        pytest.param(
            ["MODEL.META_ARCHITECTURE", "RetinaNet", "MODEL.MASK_ON", True],
            "MODEL.MASK_ON is True, but RetinaNet",
            id="masks of one stage",
        ),
        pytest.param(
            ["MODEL.META_ARCHITECTURE", "FCOS", "MODEL.KEYPOINT_ON", True],
            "MODEL.KEYPOINT_ON is True, but FCOS",
            id="keypoints of one stage",
        ),
        pytest.param(["MODEL.LOAD_PROPOSALS", True], "with PrecomputedProposals", id="proposals"),
        pytest.param(
            ["MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"],
            "or False with RPN",
            id="no proposals",
        ),
        pytest.param(["INPUT.RECOMPUTE_BOXES", True], "MODEL.MASK_ON True", id="boxes of masks"),
        pytest.param(
            ["INPUT.FIXED_SIZE", [300, 300], "INPUT.LSJ.ENABLED", True],
            r"INPUT.LSJ.ENABLED resizes .* another way, but INPUT.FIXED_SIZE is \[300, 300\]",
            id="one size and jitter",
        ),
        pytest.param(
            ["INPUT.FIXED_SIZE", [300, 300], "TEST.AUG.ENABLED", True],
            "TEST.AUG.ENABLED looks at images in several sizes",
            id="one size and test-time augmentation",
        ),
        pytest.param(
            ["MODEL.META_ARCHITECTURE", "SSD"],
            r"INPUT.FIXED_SIZE is \[\], but SSD needs one size for all images",
            id="SSD without its size",
        ),
        pytest.param(
            [*_SSD, "MODEL.SSD.SCALES", [0.2, 0.9]],
            "MODEL.SSD.SCALES has 2 entries for 6 feature maps; give 7",
            id="scales of priors",
        ),
        pytest.param(
            [*_SSD, "MODEL.SSD.ASPECT_RATIOS", [[2.0], [2.0, 3.0]]],
            "MODEL.SSD.ASPECT_RATIOS has 2 entries for 6 feature maps; give 1 or 6",
            id="ratios of priors",
        ),
        pytest.param(
            [*_SSD, "MODEL.SSD.STEPS", [8, 16]],
            "MODEL.SSD.STEPS has 2 entries for 6 feature maps; give 0 or 6",
            id="steps of priors",
        ),
    ],
)
def test_values_that_do_not_go_together(overrides: list[object], message: str):
    cfg = get_config()
    cfg.merge_from_list(overrides)

    with pytest.raises(ConfigError, match=message):
        check_supported(cfg)
