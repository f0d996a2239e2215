#!/bin/bash
# `exec`: without it bash would stay in front of python and swallow the platform's SIGTERM.
exec python3 -m app.start
