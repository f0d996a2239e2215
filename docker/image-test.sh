#!/usr/bin/env bash
# Build the image for real and test it for real: docker/image-test.sh [NAME]
#
# Uses the engine that is there; else starts one of its own (docker/engine.sh) and removes it with
# everything it kept, or only stops it when ENGINE_KEEP=1. Stands on BASE_IMAGE where a registry
# has it, else on a stand-in made of Debian's packages.
#
# PYTHON      a Python with requirements-dev.txt (default .venv/bin/python)
# TEST_ARGS   more arguments of pytest
# REPORT      a file that the figures are added to as one JSON line
#
# Exit status 77: no engine can start here; the last line says why. Nothing has been tested then.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${1:-detection-executor:latest}
wanted_base=${BASE_IMAGE:-debian:bookworm-slim}
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
own_engine=
sampler=

say() { printf '== image: %s\n' "$*"; }

clean_up() {
  if [[ -n $sampler ]]; then kill "$sampler" 2>/dev/null || true; fi
  if [[ -n $own_engine && -z ${ENGINE_KEEP:-} ]]; then docker/engine.sh purge; fi
  if [[ -n $own_engine && -n ${ENGINE_KEEP:-} ]]; then docker/engine.sh down; fi
  rm -rf "$work"
}
trap clean_up EXIT

find_engine() {
  if command -v docker >/dev/null && docker version >/dev/null 2>&1; then return; fi
  own_engine=yes
  DOCKER_HOST=$(docker/engine.sh up) || {
    local status=$?
    own_engine=
    say "SKIPPED, nothing was built or tested (the reason is above)"
    exit "$status"
  }
  export DOCKER_HOST
}

# The least free space on the engine's disk, in bytes, while this runs.
watch_disk() {
  local folder=$1 least free
  least=$(df --output=avail -B1 "$folder" | tail -n 1)
  while :; do
    echo "$least" >"$work/least"
    sleep 1
    free=$(df --output=avail -B1 "$folder" | tail -n 1)
    ((free >= least)) || least=$free
  done
}

find_base() {
  if docker image inspect "$wanted_base" >/dev/null 2>&1 ||
    timeout 120 docker pull -q "$wanted_base" >/dev/null 2>&1; then
    base=$wanted_base
  else
    say "no registry has $wanted_base for us; standing on Debian's packages instead"
    base=$(docker/engine.sh base)
  fi
}

find_engine
folder=$(docker info --format '{{.DockerRootDir}}')
[[ -d $folder ]] || folder=/
before=$(df --output=avail -B1 "$folder" | tail -n 1)
watch_disk "$folder" &
sampler=$!

find_base
ready=$SECONDS
if ! BASE_IMAGE=$base docker/build.sh "$image" >"$work/build.log" 2>&1; then
  tail -n 40 "$work/build.log"
  say "the build FAILED"
  exit 1
fi
built=$SECONDS
say "built in $((built - ready)) s, after $ready s for engine and base"

"$python" docker/documents.py sizes "$image"
"$python" docker/documents.py sbom "$image"
# shellcheck disable=SC2086  # words on purpose
EXECUTOR_IMAGE=$image OMP_NUM_THREADS=1 "$python" -m pytest -q -n 2 --dist loadfile -m image \
  --durations=8 tests/image tests/client ${TEST_ARGS:-} | tee "$work/tests.log"
tested=$SECONDS

kill "$sampler"
size=$(docker image inspect -f '{{.Size}}' "$image")
peak=$((before - $(cat "$work/least")))
checks=$(grep -oE '[0-9]+ passed' "$work/tests.log" | tail -n 1)
say "engine and base $ready s, build $((built - ready)) s, tests $((tested - built)) s ($checks)," \
  "image $((size / 1000000)) MB, peak disk $((peak / 1000000)) MB"
if [[ -n ${REPORT:-} ]]; then
  printf '{"prepare_s": %d, "build_s": %d, "test_s": %d, "image_bytes": %d, "peak_bytes": %d}\n' \
    "$ready" "$((built - ready))" "$((tested - built))" "$size" "$peak" >>"$REPORT"
fi
