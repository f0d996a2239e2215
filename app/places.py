"""Where this product looks for its config files and for pretrained weights."""

import os
import tempfile
from pathlib import Path

CONFIG_ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds `configs/`."""


def weights_folders() -> list[Path]:
    """Folders of $WEIGHTS_DIR, then those mounted, baked in, beside the code, and downloaded."""
    configured = os.environ.get("WEIGHTS_DIR", "").split(os.pathsep)
    downloads = Path(tempfile.gettempdir()) / "weights"
    return [
        *(Path(folder) for folder in configured if folder),
        Path("/weights"),
        Path("/opt/weights"),
        CONFIG_ROOT / ".cache/weights",
        downloads,
    ]
