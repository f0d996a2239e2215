# ruff: noqa: E501
"""Changes that no test notices, each with the reason why no test has to; judged one by one.

*Equivalent*: the change has no visible effect. *Accepted*: the effect is visible, but a test would
cost more than the mistake.
"""

ACCEPTED: dict[tuple[str, str, str], str] = {
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
        "app/engine/cpu/winograd_windows.py",
        "_whole_maps",
        "…* TILE + 1) // (height + 1) if shared else most //… → …* TILE + 1) // (height + 2) if shared else most //…",
    ): "Accepted: how much is computed at once; the numbers are the same.",
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
        "_labels",
        "…8, round(min(size_wh) / 32))))) → …8, round(min(size_wh) / 33)))))",
    ): "Accepted: letters a little smaller.",
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
        "app/engine/layers/focal.py",
        "",
        "_BLOCK = 1 << 18 → _BLOCK = 1 << 19",
    ): "Accepted: how much is computed at once; the numbers are the same.",
    (
        "app/engine/modeling/backbones/_torchvision.py",
        "_FoldingSequential.forward",
        "elif type(module) is nn.Conv2d and isinstance(af… → elif type(module) is not nn.Conv2d and isinstance(af…",
    ): "Accepted: a convolution and its norm in two steps give the same numbers, slower.",
    (
        "app/engine/modeling/backbones/regnet.py",
        "SqueezeExcitation.__init__",
        "nn.ReLU(inplace=True), → nn.ReLU(inplace=False),",
    ): "Equivalent: the same numbers; in place saves memory.",
    (
        "executor/output_files.py",
        "atomic_writer",
        "…errors='surrogateescape', newline='\\n') → …errors='surrogateescape')",
    ): "Equivalent: Linux ends lines with the same sign.",
    (
        "executor/output_lock.py",
        "_opened",
        "…s.open(path, os.O_RDONLY | os.O_CLOEXEC) → …s.open(path, os.O_RDONLY & os.O_CLOEXEC)",
    ): "Equivalent: O_RDONLY is 0, and Python opens every file as if with O_CLOEXEC.",
}
"""File, function and change, as in the records -> the reason."""
