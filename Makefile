# make        builds bin/mysql-proxy and bin/testbed
# make run    installs what is missing and shows the proxy before real servers
# make test   installs what is missing and runs every test
# make help   lists the rest

SHELL       := /bin/bash
GO          ?= go
FUZZTIME    ?= 10m
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.6.1

.PHONY: build help deps run test lint fuzz bench soak cover clean

build: ## build the programs into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/mysql-proxy ./cmd/testbed

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what the tests need and is missing (Debian packages)
	@cmd/testbed/install.sh test
	@for pause in 5 20 60 0; do $(GO) list -deps -test ./... >/dev/null && exit; sleep $$pause; done; exit 1 # downloads modules

run: ## primary, two replicas, the proxy and sample queries; Ctrl-C ends all
	@cmd/testbed/install.sh run
	@$(MAKE) -s build
	@bin/testbed demo

test: deps build ## go vet and every test under the race detector
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race -timeout 45m ./...
	$(GO) test ./packet ./luahooks # in full: the race detector makes some of it too long

lint: ## formatting, go vet, staticcheck
	@out=$$(gofmt -l .) && [ -z "$$out" ] || { echo "not gofmt'ed: "$$out; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

fuzz: ## every fuzz target for FUZZTIME (10m) each
	@for p in $$($(GO) list ./...); do list=$$($(GO) test -list '^Fuzz' $$p) || exit 1; \
	for f in $$(grep '^Fuzz' <<<"$$list"); do echo "== $$p $$f"; \
	$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$p || exit 1; done; done

bench: deps build ## compare the proxy with a direct connection and with others
	$(GO) run ./bench/compare

soak: deps build ## the long variants of the tests against real servers
	CGO_ENABLED=1 ENGINE_SIM=10m $(GO) test -race -count=1 -timeout 3h -run Simulation ./engine
	E2E_LONG=1 $(GO) test -count=1 -timeout 6h -v ./cmd/mysql-proxy/e2e

cover: deps build ## test coverage, by function in bin/cover.txt and as bin/cover.html
	$(GO) test -timeout 45m -coverpkg=./... -coverprofile=bin/cover.out ./...
	$(GO) tool cover -html=bin/cover.out -o bin/cover.html
	$(GO) tool cover -func=bin/cover.out | tee bin/cover.txt | tail -1

clean: ## delete what make has built and fetched
	rm -rf bin .cache
