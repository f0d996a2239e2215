#!/usr/bin/env bash
# Build the image: docker/build.sh [NAME]
#
# BASE_IMAGE  what it stands on (default debian:bookworm-slim)
# DOCKER      the docker program (default docker)
# BUILD_ARGS  more arguments of `docker build`, for example: --build-arg WEIGHTS=, or
#             --build-arg OBJECT_TYPE=4 for an image that registers for instance segmentation
#
# The machine's certificates reach the build as a secret, for package indices behind a proxy: they
# are in no layer and no history.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${1:-detection-executor:latest}
base=${BASE_IMAGE:-debian:bookworm-slim}
certificates=/etc/ssl/certs/ca-certificates.crt

# Up to version 22 docker itself speaks to BuildKit, later it needs the buildx plugin for that. The
# old builder, which it would fall back to, does not know `RUN --mount`.
speaks_buildkit() {
  local version
  "$1" buildx version >/dev/null 2>&1 && return
  version=$("$1" version --format '{{.Client.Version}}' 2>/dev/null) && ((${version%%.*} < 23))
}

docker=
for candidate in "${DOCKER:-docker}" /usr/bin/docker; do
  if speaks_buildkit "$candidate"; then
    docker=$candidate
    break
  fi
done
if [[ -z $docker ]]; then
  echo "build: no docker client here can use BuildKit; install the buildx plugin" >&2
  exit 1
fi

arguments=(--build-arg "BASE_IMAGE=$base")
arguments+=(--build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)")
[[ -s $certificates ]] && arguments+=(--secret "id=ca,src=$certificates")
# An engine without a bridge (docker/engine.sh) builds on the machine's network or on none.
"$docker" network inspect bridge >/dev/null 2>&1 || arguments+=(--network host)
# shellcheck disable=SC2206  # words on purpose
arguments+=(${BUILD_ARGS:-})
DOCKER_BUILDKIT=1 exec "$docker" build --progress=plain "${arguments[@]}" -t "$image" . </dev/null
