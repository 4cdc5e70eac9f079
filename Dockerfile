# Two stages: the compiler stays behind, what remains is the program, the certificates and a user who is not root.
FROM docker.io/library/rust:1-slim-bookworm AS build
WORKDIR /src
# The dependencies change less often than the sources: they are built first, so that the layer is kept.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -rf src
COPY src src
RUN touch src/main.rs src/lib.rs && cargo build --release --locked

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/ripcord /usr/local/bin/ripcord
# 65532 is the user "nonroot" of the base image; as a number, so that runAsNonRoot can be checked.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/ripcord"]
CMD ["run", "--config", "/etc/ripcord/ripcord.yaml"]
