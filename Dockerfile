# The image of Relay: one static program and nothing else. It is built before, by
#
#   rustup target add x86_64-unknown-linux-gnu
#   RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target x86_64-unknown-linux-gnu
#   docker build --tag REGISTRY/relay:0.1.0 .
#
# REGISTRY is one that the cluster pulls from; the tag is the version that the chart asks for (appVersion in its Chart.yaml).
# The test bed makes the same image without Docker: tests/bed/images.
FROM scratch
COPY target/x86_64-unknown-linux-gnu/release/relay /relay
USER 65532:65532
ENTRYPOINT ["/relay"]
