#!/bin/sh
# Everything that can be said about the code without running it. All checks run; any complaint fails.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0

# Exactly the files of this module; generated ones are gofmt's business too.
unformatted=$(gofmt -l -s .) || status=1
if [ -n "$unformatted" ]; then
	printf '%s\n' "lint: not formatted (make fmt):" "$unformatted" >&2
	status=1
fi

go vet ./... || status=1
go tool -modfile=tools/go.mod golangci-lint run ./... || status=1
exit $status
