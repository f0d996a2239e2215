#!/bin/sh
# The entry point: options are detex's (`docker run IMAGE --help`), any other command runs as it is.
case ${1-} in -*) exec detex "$@" ;; esac
exec "$@"
