"""Checks, by the config alone, whether a model can be exported."""

from collections.abc import Iterable, Iterator

from app.engine.config.declared import ARCHITECTURES, FORMS
from app.engine.config.faults import Fault, Leaves

_DETECTORS = [name for name, traits in ARCHITECTURES.items() if traits.has_graph]
_FORMATS = ("BGR", "RGB", "L")


def export_faults(leaves: Leaves, forms: Iterable[str]) -> Iterator[Fault]:
    """Yield the reasons why a model cannot be exported in `forms`; some need an ONNX graph."""
    graphs = [form for form in forms if FORMS[form].needs_graph]
    if not graphs:
        return
    architecture = leaves["MODEL.META_ARCHITECTURE"]
    if architecture not in _DETECTORS:
        yield Fault(
            "MODEL.META_ARCHITECTURE",
            f"MODEL.META_ARCHITECTURE is {architecture}, which cannot be exported as ONNX: its "
            f"results are not lists of boxes; {', '.join(_DETECTORS)} can",
        )
    if leaves["TEST.AUG.ENABLED"]:
        yield Fault(
            "TEST.AUG.ENABLED",
            "TEST.AUG.ENABLED is True, but an ONNX file looks at every image once; set it to False",
        )
    if leaves["INPUT.FORMAT"] not in _FORMATS:
        yield Fault(
            "INPUT.FORMAT",
            f"INPUT.FORMAT is {leaves['INPUT.FORMAT']}, which cannot be exported as ONNX; "
            f"{', '.join(_FORMATS)} can",
        )
    if architecture == "GeneralizedRCNN":
        yield from _of_two_stages(leaves)
        yield from _of_one_stage_alone(graphs)


def _of_one_stage_alone(forms: Iterable[str]) -> Iterator[Fault]:
    for form in forms:
        if FORMS[form].one_stage:
            yield Fault(
                "MODEL.META_ARCHITECTURE",
                f"MODEL.META_ARCHITECTURE is GeneralizedRCNN, which cannot be exported as {form}: "
                "its second stage looks at boxes that remain after a suppression, and this form "
                "has none; use onnx",
            )


def _of_two_stages(leaves: Leaves) -> Iterator[Fault]:
    if leaves["MODEL.PROPOSAL_GENERATOR.NAME"] == "PrecomputedProposals":
        yield Fault(
            "MODEL.PROPOSAL_GENERATOR.NAME",
            "MODEL.PROPOSAL_GENERATOR.NAME is PrecomputedProposals, which cannot be exported as "
            "ONNX: the file could not find proposals in new images; use a network with an RPN",
        )
    if leaves["MODEL.KEYPOINT_ON"]:
        yield Fault(
            "MODEL.KEYPOINT_ON",
            "MODEL.KEYPOINT_ON is True, which cannot be exported as ONNX: keypoints are sought in "
            "heatmaps as large as each object, for which ONNX has no operator; use the weights "
            "themselves",
        )
    heads = {"MODEL.ROI_BOX_HEAD": True, "MODEL.ROI_MASK_HEAD": leaves["MODEL.MASK_ON"]}
    for head, is_there in heads.items():
        if is_there and leaves[f"{head}.POOLER_TYPE"] == "ROIPool":
            yield Fault(
                f"{head}.POOLER_TYPE",
                f"{head}.POOLER_TYPE is ROIPool, which cannot be exported as ONNX; use ROIAlignV2",
            )
