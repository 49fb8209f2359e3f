# The image of Relay: one static program and nothing else. It is built before, by
#
#   rustup target add x86_64-unknown-linux-gnu
#   RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target x86_64-unknown-linux-gnu
#   docker build --tag relay .
#
# The test bed makes the same image without Docker: tests/bed/images.
FROM scratch
COPY target/x86_64-unknown-linux-gnu/release/relay /relay
USER 65532:65532
ENTRYPOINT ["/relay"]
