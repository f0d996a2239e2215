"""Export for detectron2: what its config can express, and what is refused."""

import logging
from dataclasses import replace

from app.engine.export import EXPORTERS


def test_a_depth_that_detectron2_does_not_know_is_told(job, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    EXPORTERS["detectron2"](replace(job, directory=tmp_path))
    assert "INPUT.BITS_PER_SAMPLE 12" in caplog.text
    assert "BITS_PER_SAMPLE" not in (tmp_path / "config.yaml").read_text()
    caplog.clear()
    plain = job.cfg.clone()
    plain.defrost()
    plain.INPUT.BITS_PER_SAMPLE = 0
    EXPORTERS["detectron2"](replace(job, cfg=plain, directory=tmp_path))
    assert not caplog.text


def test_only_the_weights_of_an_architecture_that_detectron2_lacks(job, tmp_path, caplog):
    cfg = job.cfg.clone()
    cfg.defrost()
    cfg.MODEL.META_ARCHITECTURE = "WeightedRetinaNet"
    (path,) = EXPORTERS["detectron2"](replace(job, cfg=cfg, directory=tmp_path))
    assert path.name == "model_final.pth"
    assert "META_ARCHITECTURE WeightedRetinaNet" in caplog.text
