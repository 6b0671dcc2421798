# The relay as an image: the dependencies are built apart from the source, and only the program goes on.
# Any base will do that has a Rust toolchain, a C compiler and a CA bundle (build), or the same libc (runtime).
ARG BUILD_IMAGE=rust:1-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# Debug information would be five sixths of the program.
ENV CARGO_PROFILE_RELEASE_DEBUG=false \
    CARGO_PROFILE_RELEASE_STRIP=symbols

# An empty crate with our dependencies: this layer is built again only when they change.
COPY Cargo.toml Cargo.lock ./
COPY crates/mapping/Cargo.toml crates/mapping/
RUN mkdir src crates/mapping/src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs crates/mapping/src/lib.rs \
 && cargo build --release --locked

COPY . .
# Copied files keep their date, which may be older than the empty crate's: without a new one cargo would keep that.
RUN touch src/main.rs src/lib.rs crates/mapping/src/lib.rs \
 && cargo build --release --locked

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="accoil-relay" \
      org.opencontainers.image.description="Segment and Amplitude events in, Accoil calls out, nothing lost on the way" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"

# The number is fixed so that a volume can be prepared for it, and named by number so that
# an orchestrator can see that it is not root.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin relay \
 && install --directory --owner=relay --group=relay --mode=0750 /data
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/accoil-relay /usr/local/bin/accoil-relay

# A container's loopback cannot be reached from outside; the outbox must outlive the container. The admin listener
# stays on loopback until it has a token: docs/operations.md says how to reach it.
ENV ACCOIL_RELAY_SERVER__LISTEN=0.0.0.0:8080 \
    ACCOIL_RELAY_OUTBOX__URL=sqlite:/data/relay.db
EXPOSE 8080 8081
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["accoil-relay", "healthcheck"]
ENTRYPOINT ["accoil-relay"]
CMD ["serve"]
