# make test    install what the tests need (by apt on Debian; a real API server, cached outside the tree) and run them all
# make image   build the container image
# make bench   measure (see benches/)

IMAGE ?= ripcord:dev

.PHONY: test image bench

test:
	bash tests/install.sh
	cargo test --lib --bins --tests

image:
	docker build --tag $(IMAGE) .

bench:
	cargo bench
