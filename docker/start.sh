#!/bin/bash
# On a read-only root without a /tmp of its own, shared memory is the one place left for caches.
if [[ ! -w /tmp && -w /dev/shm ]]; then
  export TMPDIR=/dev/shm HOME=/dev/shm XDG_CACHE_HOME=/dev/shm/.cache XDG_CONFIG_HOME=/dev/shm/.config
fi
# `exec`: without it bash would stay in front of python and swallow the platform's SIGTERM.
exec python3 -m app.start
