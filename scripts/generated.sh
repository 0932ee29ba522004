#!/bin/sh
# Fails if the generated templates are not what their sources say. It generates them anew, so after a failure the tree
# holds the right files: look at the difference and keep them.
set -eu
cd "$(dirname "$0")/.."

state() { find cmd -name '*_templ.go' -exec cksum {} + | sort -k 3; }

before=$(state)
go tool templ generate -log-level warn
after=$(state)
if [ "$before" != "$after" ]; then
	printf '%s\n' "generated: these files were stale and have been generated anew:" >&2
	{ printf '%s\n' "$before"; printf '%s\n' "$after"; } | sort | uniq -u | sed 's/^[0-9]* [0-9]* /\t/' | sort -u >&2
	exit 1
fi
