# Everyday commands. Each checks what it needs first, installs it where it may, or says what to install.

.PHONY: help demo test race long screenshots lint fmt generate bench deps vendor-check restore-drill
.DEFAULT_GOAL := help

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## run the whole product with a database, a simulated provider and sample tenants; ARGS="--listen 127.0.0.1:9000"
	@scripts/deps.sh demo
	go run ./cmd/tenantpilot demo $(ARGS)

test: ## run all tests; ARGS="-run Start ./domain" narrows them
	@scripts/deps.sh test
	go test $(or $(ARGS),./...)

race: ## run all tests under the race detector
	@scripts/deps.sh test
	go test -race $(or $(ARGS),./...)

long: ## run the tests that are worth more time with it: a rebuild of 1,000,000 events, 1,000 random changes to the log
	@scripts/deps.sh test
	TENANTPILOT_LONG_TESTS=1 go test -count=1 -v -timeout 60m -run 'TestReadersNoticeNothingOfARebuild|TestRandomTamperingIsCaught' ./projections ./cmd/tenantpilot

screenshots: ## picture every page in both themes, on a desk and on a phone; ARGS="/some/folder" says where
	@scripts/deps.sh test
	TENANTPILOT_SCREENSHOTS=$(or $(ARGS),$(CURDIR)/screenshots) go test -count=1 -run 'Browser|Keyboard|WithoutScripts|Live|KeysTheme' ./cmd/tenantpilot/...

lint: ## check formatting, vet and linters; the first run builds the linter, some minutes
	@scripts/deps.sh lint
	@scripts/lint.sh

fmt: ## format all Go files
	go tool -modfile=tools/go.mod golangci-lint fmt ./...

generate: ## turn templates into Go
	go tool templ generate

bench: ## measure starts against a database of its own
	@scripts/deps.sh demo
	go run ./cmd/tenantpilot bench start $(ARGS)

deps: ## install or name what the tests need
	@scripts/deps.sh test

vendor-check: ## compare vendored front-end files with their manifest
	go test -count=1 ./cmd/tenantpilot/internal/web/static

restore-drill: ## dump the running demo, or restore a backup (ARGS="--dump FILE"), into a server of its own and check it
	go run ./cmd/tenantpilot restore-drill $(ARGS)
