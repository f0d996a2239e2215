"""What kills, stops and failing disks do to a run: `python -m verification.reliability`."""
