"""Test the effects of kills, stops and failing disks: `python -m verification.reliability`."""
