"""The folders of this product's config files and of pretrained weights."""

import os
import tempfile
from pathlib import Path

CONFIG_ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds `configs/`."""


def weights_folders() -> list[Path]:
    """Return the folders of $WEIGHTS_DIR, mounts, the image, the clone and downloads."""
    configured = os.environ.get("WEIGHTS_DIR", "").split(os.pathsep)
    downloads = Path(tempfile.gettempdir()) / "weights"
    return [
        *(Path(folder) for folder in configured if folder),
        Path("/weights"),
        Path("/opt/weights"),
        CONFIG_ROOT / ".cache/weights",
        downloads,
    ]
