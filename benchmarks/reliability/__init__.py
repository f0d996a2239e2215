"""How the product withstands kills, stops and failing disks: `python -m benchmarks.reliability`."""
