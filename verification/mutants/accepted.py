# ruff: noqa: E501
"""Changes that no test notices, each with the reason why no test has to; judged one by one.

*Equivalent*: the change has no visible effect. *Accepted*: the effect is visible, but a test would
cost more than the mistake.
"""

ACCEPTED: dict[tuple[str, str, str], str] = {
    (
        "app/engine/cpu/onednn.py",
        "",
        "…24, 40), 36 * 24, (72, 36 * 40), (72,)), → …24, 40), 36 * 24, (72, 37 * 40), (72,)),",
    ): "Accepted: the shape on which an operator is tried; each shape that works tells as much.",
    (
        "app/engine/cpu/onednn.py",
        "",
        '…eometry((1, 1), (2, 2), (1, 1), 1), "relu"), → …eometry((1, 1), (2, 2), (2, 1), 1), "relu"),',
    ): "Accepted: the stride with which an operator is tried; each tells as much.",
    (
        "app/engine/cpu/onednn.py",
        "_packed_groups",
        "filters, *geometry, [1, groups * channels, 1, r… → filters, *geometry, [2, groups * channels, 1, r…",
    ): "Accepted: the shape for which filters are packed; other shapes give the same numbers.",
    (
        "app/engine/cpu/prepare.py",
        "give_back_free_memory",
        "if trim is not None: → if trim is None:",
    ): "Accepted: memory is given back later; no number depends on it.",
    (
        "app/engine/cpu/winograd.py",
        "",
        "…OST_CHANNEL_PAIRS = 300000 → …OST_CHANNEL_PAIRS = 300001",
    ): "Accepted: from which width on tiles are worth it; the numbers are the same.",
    (
        "app/engine/cpu/winograd_transforms.py",
        "_gathering_steps",
        "…torch.arange(len(matrix[0])) → …torch.arange(len(matrix[1]))",
    ): "Equivalent: all rows of a matrix have the same length.",
    (
        "app/engine/evaluation/inference.py",
        "_Clock.log",
        "…self.num_batches - index - 1))) → …self.num_batches - index + 1)))",
    ): "Accepted: only the remaining time in the log depends on it.",
    (
        "app/engine/evaluation/inference.py",
        "_Clock.timed",
        "self.done += 1 → self.done -= 1",
    ): "Accepted: only figures of speed in the log depend on it.",
    (
        "app/engine/evaluation/inference.py",
        "_Clock.timed",
        "…t.fromkeys(self.seconds, 0.0) → …t.fromkeys(self.seconds, 1.0)",
    ): "Accepted: only figures of speed in the log depend on it.",
    (
        "app/engine/evaluation/lvis.py",
        "LvisEvaluator._evaluate",
        "…ype=iou_type), iou_type, print_function=logger.debug, lvis_style=True) → …ype=iou_type), iou_type, lvis_style=True)",
    ): "Accepted: where a summary that nobody reads by program is printed.",
    (
        "app/engine/evaluation/operating_point.py",
        "match_classes",
        "…ts = np.zeros(num_classes, dtype=np.int64) → …ts = np.zeros(num_classes)",
    ): "Equivalent: the sums become whole numbers in the last line.",
    (
        "app/engine/evaluation/visualize.py",
        "_box",
        "pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 +… → pen.rectangle((x0 + 1, y0 - 1, x1 + 1, y1 +…",
    ): "Accepted: the dark edge around a box, two pixels narrower.",
    (
        "app/engine/evaluation/visualize.py",
        "_dashed",
        "length = math.hypot(end[0] - start[0], end[1] - st… → length = math.hypot(end[1] - start[0], end[1] - st…",
    ): "Accepted: the spacing of a dashed line.",
    (
        "app/engine/evaluation/visualize.py",
        "_dashed",
        "…fill=_DARK, width=line + 1) → …fill=_DARK, width=line + 2)",
    ): "Accepted: a dashed line one pixel wider.",
    (
        "app/engine/evaluation/visualize.py",
        "_dashed",
        "…th, min(1.0, (2 * i + 1) * dash / length) → …th, min(1.0, (2 * i + 1) / dash / length)",
    ): "Accepted: the spacing of a dashed line.",
    (
        "app/engine/evaluation/visualize.py",
        "_enlarged",
        "…4000 / max(image.shape[:2]))) → …4000 / max(image.shape[:3])))",
    ): "Equivalent: the number of colours is never the largest of the three sides.",
    (
        "app/engine/evaluation/visualize.py",
        "_labels",
        "…8, round(min(size_wh) / 32))))) → …8, round(min(size_wh) / 33)))))",
    ): "Accepted: letters a little smaller.",
    (
        "app/engine/evaluation/visualize.py",
        "_labels",
        "…ARK if _luminance(color) > 0.45 else _WHITE → …ARK if _luminance(color) <= 0.45 else _WHITE",
    ): "Accepted: dark or light letters on a label.",
    (
        "app/engine/evaluation/visualize.py",
        "_tight_cell",
        "…for p, scale in pairs), 1) → …for p, scale in pairs), 2)",
    ): "Accepted: a cell of a picture is at least two pixels wide, not one.",
    (
        "app/engine/evaluation/visualize.py",
        "mosaic",
        "return np.full((1, 1, 3), 255, dtype=np.uint8… → return np.full((1, 2, 3), 255, dtype=np.uint8…",
    ): "Accepted: the picture of no pictures, a pixel wider.",
    (
        "app/engine/evaluation/voc.py",
        "_match",
        "…e[row], taken[nearest] = 1, True → …e[row], taken[nearest] = 2, True",
    ): "Equivalent: only its sign is read.",
    (
        "app/engine/layers/conv.py",
        "init_kaiming",
        "…t(module), mode='fan_out', nonlinearity='relu') → …t(module), mode='fan_out')",
    ): "Equivalent: the gain of a leaky ReLU without leak is that of a ReLU.",
    (
        "app/engine/layers/conv_cells.py",
        "convs_at_cells",
        "…dex.masked_fill(~inside, 0)].masked_fill(~inside, l… → …dex.masked_fill(~inside, 1)].masked_fill(~inside, l…",
    ): "Equivalent: what is taken there is overwritten by the second masked_fill.",
    (
        "app/engine/mining/aldd.py",
        "_weights",
        "…ptions.class_weights or (1.0,) * len(by_class) → …ptions.class_weights or (2.0,) * len(by_class)",
    ): "Equivalent: weights are divided by their sum.",
    (
        "app/engine/modeling/backbones/_torchvision.py",
        "_FoldingSequential.forward",
        "elif type(module) is nn.Conv2d and isinstance(af… → elif type(module) is not nn.Conv2d and isinstance(af…",
    ): "Accepted: a convolution and its norm in two steps give the same numbers, slower.",
    (
        "app/engine/modeling/backbones/mobilenet.py",
        "InvertedResidual.__init__",
        "…de=stride, groups=width), → …de=stride, groups=width),",
    ): "Equivalent: two equal arguments changed places; such changes are no longer made.",
    (
        "app/engine/modeling/backbones/regnet.py",
        "SqueezeExcitation.__init__",
        "nn.ReLU(inplace=True), → nn.ReLU(inplace=False),",
    ): "Equivalent: the same numbers; in place saves memory.",
    (
        "app/engine/modeling/build.py",
        "build_detector",
        "model.to(memory_format=torch.channels_last) → pass",
    ): "Accepted: how maps lie in memory; the numbers are the same.",
    (
        "app/engine/modeling/matcher.py",
        "Matcher.match_boxes",
        "…boxes, max(1, _MAX_PAIRS // len(gt_boxes))) → …boxes, max(1, _MAX_PAIRS * len(gt_boxes)))",
    ): "Accepted: how many pairs are computed at once; the numbers are the same.",
    (
        "app/engine/modeling/meta_arch/_dense.py",
        "DenseHead.__init__",
        "…t.append(nn.ReLU(inplace=True)) → …t.append(nn.ReLU(inplace=False))",
    ): "Equivalent: the same numbers; in place saves memory.",
    (
        "app/engine/modeling/proposals.py",
        "ProposalFilter._best",
        "…f_level.float().topk(topk, dim=1) → …f_level.float().topk(topk)",
    ): "Equivalent: the last dimension is 1, and it is the default.",
    (
        "app/engine/modeling/roi_heads/res5.py",
        "Res5ROIHeads.detect_boxes",
        "keep_class_probs: bool = False, → keep_class_probs: bool = True,",
    ): "The default has gone since: every caller says whether it wants class vectors.",
    (
        "common/processes.py",
        "die_with",
        "…EATHSIG, signal.SIGKILL, 0, 0, 0) → …EATHSIG, signal.SIGKILL, 1, 0, 0)",
    ): "Equivalent: this call of the system reads two arguments only.",
    (
        "common/progress.py",
        "ticking",
        "…arget=run, name='ticking', daemon=True) → …arget=run, name='ticking')",
    ): "Accepted: the thread is ended by its block; as a daemon it would also end with a crash.",
    (
        "executor/hyperparameters.py",
        "Hyperparameters",
        "…ConfigDict(frozen=True, extra='ignore', use_attribute_docstrings=T… → …ConfigDict(frozen=True, use_attribute_docstrings=T…",
    ): "Equivalent: pydantic's default.",
    (
        "executor/output_files.py",
        "atomic_writer",
        "…errors='surrogateescape', newline='\\n') → …errors='surrogateescape')",
    ): "Equivalent: Linux ends lines with the same sign.",
    (
        "executor/output_lock.py",
        "_opened",
        "…_CREAT | os.O_CLOEXEC, 438) → …_CREAT | os.O_CLOEXEC, 439)",
    ): "Accepted: a right to run a file that holds nothing.",
    (
        "executor/output_lock.py",
        "_opened",
        "…s.open(path, os.O_RDONLY | os.O_CLOEXEC) → …s.open(path, os.O_RDONLY & os.O_CLOEXEC)",
    ): "Equivalent: O_RDONLY is 0, and Python opens every file as if with O_CLOEXEC.",
}
"""File, function and change, as in the records -> the reason."""
