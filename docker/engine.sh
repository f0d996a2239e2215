#!/usr/bin/env bash
# A Docker engine for one test run on a machine that has none: root, Debian, nothing but apt.
#
#   docker/engine.sh up      start it (installed by apt if need be); prints its DOCKER_HOST
#   docker/engine.sh base    make a stand-in for debian:bookworm-slim; prints its name
#   docker/engine.sh down    stop it; images and layers stay
#   docker/engine.sh purge   stop it and delete everything it kept
#
# ENGINE_ROOT  where all of its state lies (default /var/tmp/detection-executor-engine)
#
# Exit status 77: this machine cannot run an engine; the last line says why. Nothing of the
# machine's network is touched: no bridge, no packet filter, no forwarding. Hence a container has
# no network unless it is given the machine's own (`--network host`), which a build needs.
set -euo pipefail

root=${ENGINE_ROOT:-/var/tmp/detection-executor-engine}
run=$root/run
base=localhost/debian:bookworm-slim
export DOCKER_HOST=unix://$run/docker.sock

say() { printf 'engine: %s\n' "$*" >&2; }

unable() {
  say "$*"
  exit 77
}

# `pid` of the daemon that this script started; fails when it is gone (its file may outlive it).
daemon_pid() {
  local pid
  pid=$(cat "$run/dockerd.pid" 2>/dev/null) || return 1
  [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */dockerd ]] && echo "$pid"
}

# A daemon that was killed leaves mounts, a pid file and sockets behind, and the next one stumbles
# over each of them. Images and layers are elsewhere and stay.
clear_remains() {
  local mounts
  mapfile -t mounts < <(awk -v under="$root/" 'index($2, under) == 1 {print $2}' /proc/mounts)
  local i
  for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do umount --lazy "${mounts[i]}" || true; done
  rm -rf "$run"
}

install_packages() {
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || unable "${missing[*]} missing and no apt-get to install it"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # policy-rc.d keeps the package's own service, with its bridge and its rules, from starting.
  local policy=/usr/sbin/policy-rc.d made_policy=
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made_policy=yes
  fi
  local failed=
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >"$root/apt.log" 2>&1 || failed=yes
  if [[ -n $made_policy ]]; then rm -f "$policy"; fi
  if [[ -n $failed ]]; then
    tail -n 5 "$root/apt.log" >&2
    unable "apt cannot install ${missing[*]}"
  fi
}

up() {
  [[ $(uname -s) == Linux ]] || unable "the engine needs Linux"
  ((EUID == 0)) || unable "the engine needs root"
  mkdir -p "$root"
  if ! daemon_pid >/dev/null || ! docker version >/dev/null 2>&1; then
    grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null ||
      unable "the kernel has no overlay file system"
    install_packages
    down
    start_daemon
  fi
  echo "$DOCKER_HOST"
}

start_daemon() {
  mkdir -p "$run" "$root/data"
  # A session of its own and no descriptor of ours: a CI runner must not wait for the daemon.
  setsid dockerd --data-root "$root/data" --exec-root "$run/exec" --pidfile "$run/dockerd.pid" \
    --host "$DOCKER_HOST" --storage-driver overlay2 --bridge none --iptables=false \
    --ip6tables=false --ip-masq=false --ip-forward=false --userland-proxy=false \
    </dev/null >"$root/dockerd.log" 2>&1 &
  local i
  for ((i = 0; i < 300; i++)); do
    if docker version >/dev/null 2>&1; then
      say "$(docker version --format 'Docker {{.Server.Version}}') in $root"
      return
    fi
    sleep 0.1
  done
  tail -n 5 "$root/dockerd.log" >&2
  down
  unable "dockerd does not start here; its last lines are above"
}

down() {
  local pid i
  if pid=$(daemon_pid); then
    # Of an interrupted test; a container that stops slowly would outlive the daemon.
    docker ps -q | xargs -r docker kill >/dev/null || true
    kill "$pid"
    for ((i = 0; i < 300; i++)); do
      daemon_pid >/dev/null || break
      sleep 0.1
    done
  fi
  clear_remains
}

# Debian's own packages, without what the public slim image leaves out, too.
make_base() {
  if ! docker image inspect "$base" >/dev/null 2>&1; then
    say "making $base from Debian's packages"
    mmdebstrap --quiet --variant=minbase --dpkgopt='path-exclude=/usr/share/man/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
      --dpkgopt='path-include=/usr/share/doc/*/copyright' bookworm - "$(debian_sources)" |
      docker import --change 'CMD ["bash"]' - "$base" >/dev/null
  fi
  echo "$base"
}

# The machine's own sources where they are of the same release (they may name a mirror).
debian_sources() {
  local file=/etc/apt/sources.list.d/debian.sources
  if [[ -r $file ]] && grep -q '^Suites:.*bookworm' "$file"; then
    echo "$file"
  else
    echo 'deb http://deb.debian.org/debian bookworm main'
  fi
}

case ${1:-} in
  up) up ;;
  base) make_base ;;
  down) down ;;
  purge)
    down
    rm -rf "$root"
    ;;
  *)
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
