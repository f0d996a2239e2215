"""The detection engine; it reports to nobody.

ONNX Runtime keeps a device id and a database of events for its makers below the cache folder, from
the moment that it is imported. It asks this variable then, so the variable is set before any module
of the engine can import it.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
