"""Where pretrained weights are looked for."""

import os
import tempfile
from pathlib import Path

from app.tasks.engine_config import CONFIG_ROOT


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
