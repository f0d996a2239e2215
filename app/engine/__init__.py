"""The detection engine, with the telemetry of libraries turned off.

When ONNX Runtime is imported, it starts to write a device id and a database of events for its
vendor to the cache folder, unless this variable is set. So the variable is set before any module of
the engine can import ONNX Runtime.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
