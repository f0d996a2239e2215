"""What a user asks `detex prepare` for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from app.engine.data.formats import Conventions

Rule = Literal["auto", "source", "random", "folder", "time"]
"""How images are divided. auto: as the source does, else at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """All arguments of one call.

    source           a folder, or one annotation file or data.yaml
    out              the folder to make
    images           the folder of the images, if it is another one than the source's
    layout           name of the source's layout; '' to recognise it
    class_names      the classes to keep, in this order; all of them if there are none
    rule, val, seed  the division: by what, the share for validation, and the random numbers
    conventions      what the files do not say about their boxes
    accepted_smells  names of smells that the user has found to be harmless
    model            a models folder to copy, or None
    config_file      the model that the new config.yaml names
    replace          whether an earlier result in `out` is replaced
    """

    source: Path
    out: Path
    images: Path | None = None
    layout: str = ""
    class_names: tuple[str, ...] = ()
    rule: Rule = "auto"
    val: float = 0.2
    seed: int = 0
    conventions: Conventions = field(default_factory=Conventions)
    accepted_smells: tuple[str, ...] = ()
    model: Path | None = None
    config_file: str = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"
    replace: bool = False
