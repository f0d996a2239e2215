# No "# syntax=" line: it would make the builder pull a frontend image. Docker >= 20.10 or
# buildah >= 1.28 build this as it stands.
ARG BASE_IMAGE=debian:bookworm-slim

# ---- base: what every stage shares -----------------------------------------------------
FROM ${BASE_IMAGE} AS base
# Versions float on purpose: the distribution's security updates are wanted.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

# ---- uv: the installer; never part of the published image ------------------------------
FROM base AS uv
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
# A certificate bundle for a package index behind a proxy: `--secret id=ca,src=FILE`.
RUN --mount=type=bind,source=requirements-uv.txt,target=/tmp/requirements-uv.txt \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements-uv.txt

# ---- weights: the default model's ImageNet weights -------------------------------------
FROM uv AS weights
# "" bakes none; files put into docker/weights are baked in any case.
ARG WEIGHTS=mobilenet_v2
WORKDIR /src
RUN --mount=type=bind,source=demo,target=/src/demo \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    mkdir -p /opt/weights; \
    for name in ${WEIGHTS}; do /opt/uv/bin/python -B -m demo.downloads "${name}" /opt/weights; done

# ---- deps: base and the environment, written once (no second copy of 6 GB) -------------
FROM base AS deps
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi; \
    export UV_CACHE_DIR=/opt/.uv-cache UV_LINK_MODE=hardlink UV_PYTHON_DOWNLOADS=never; \
    /opt/uv/bin/uv venv --python /usr/bin/python3 /opt/venv \
 && VIRTUAL_ENV=/opt/venv /opt/uv/bin/uv pip sync --require-hashes --only-binary=:all: \
      --compile-bytecode /tmp/requirements.txt \
 && rm -rf /opt/.uv-cache /opt/venv/.lock

# ---- runtime: the published image ------------------------------------------------------
FROM deps AS runtime
# Any uid may run the image, without a passwd entry, on a read-only root: caches go below /tmp
# (torch, Triton and others follow HOME and XDG_CACHE_HOME).
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONFAULTHANDLER=1 \
    HOME=/tmp USER=executor LOGNAME=executor \
    XDG_CACHE_HOME=/tmp/.cache XDG_CONFIG_HOME=/tmp/.config \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_REQUIRE_CUDA="cuda>=13.0"
COPY --from=weights /opt/weights /opt/weights
COPY docker/weights /opt/weights
COPY --chmod=0755 docker/start.sh docker/entry.sh docker/detex /usr/bin/
COPY LICENSE /app/LICENSE
COPY configs /app/configs
COPY common /app/common
COPY executor /app/executor
COPY app /app/app
WORKDIR /app
# What platforms show of the image: 2 = for projects of detection, 4 = of instance segmentation.
ARG OBJECT_TYPE=2
# Modes of a checkout depend on somebody's umask; the image's do not.
RUN python3 -m executor.templates /img-man "${OBJECT_TYPE}" \
 && python3 -m compileall -q /app \
 && find /app /img-man /opt/weights -perm /022 ! -type l -exec chmod go-w {} +
USER 10001:0
STOPSIGNAL SIGTERM
# No HEALTHCHECK: a task ends by itself and tells how far it is in monitor.txt; docs/image.md.
# `docker run IMAGE cat /img-man/manifest.yaml` prints the file and nothing else.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/bin/entry.sh"]
CMD ["/bin/bash", "/usr/bin/start.sh"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="detection-executor" \
      org.opencontainers.image.description="Trains, mines and infers object detectors" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
