# syntax=docker/dockerfile:1
# The image of pods: proxy, agent and init container in one, in the place of Istio's proxyv2. docker, podman and buildah build it:
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/remora:TAG .
#   podman build -t localhost/remora:dev .
#   docker build --target distroless -t localhost/remora:dev-distroless .
#
# BASE_IMAGE   what the proxy stands on: a Debian or Ubuntu; iptables, iproute2 and nftables are added where they are missing
# BUILD_IMAGE  a Debian with npm and a node that runs it; the image carries the Node that package-lock.json pins
# Secrets, both optional: `npmrc` (a registry of your own), `ca` (PEM, its certificate authority).
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim
ARG BUILD_IMAGE=docker.io/library/node:26-bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
RUN tools= \
 && for tool in strip:binutils iptables:iptables ip:iproute2 nft:nftables; do \
      command -v "${tool%:*}" >/dev/null || tools="$tools ${tool#*:}"; \
    done \
 && if ! ldconfig -p | grep -q libatomic.so.1; then tools="$tools libatomic1"; fi \
 && if [ -n "$tools" ]; then \
      apt-get update && apt-get install -y --no-install-recommends ca-certificates $tools && rm -rf /var/lib/apt/lists/*; \
    fi
COPY package.json package-lock.json ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    --mount=type=secret,id=ca,target=/run/ca.pem \
    if [ -s /run/ca.pem ]; then export NODE_EXTRA_CA_CERTS=/run/ca.pem; fi; \
    npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN scripts/image-root /image && scripts/image-root --distroless /distroless

# No shell, no package manager, no base: the files of glibc, iptables, ip and nft that the programs need, and no others.
FROM scratch AS distroless
COPY --from=build /distroless/ /
COPY --from=build /image/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ISTIO_META_ISTIO_PROXY_SHA=remora \
    NODE_OPTIONS=--disable-warning=ExperimentalWarning
LABEL org.opencontainers.image.title="Remora" \
      org.opencontainers.image.description="An Envoy-compatible sidecar proxy with its own pilot-agent, without a shell" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /
STOPSIGNAL SIGTERM
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/pilot-agent"]

FROM ${BASE_IMAGE} AS proxy
RUN tools= \
 && for tool in iptables:iptables ip:iproute2 nft:nftables update-ca-certificates:ca-certificates; do \
      command -v "${tool%:*}" >/dev/null || tools="$tools ${tool#*:}"; \
    done \
 && if ! ldconfig -p | grep -q libatomic.so.1; then tools="$tools libatomic1"; fi \
 && if [ -n "$tools" ]; then \
      apt-get update && apt-get install -y --no-install-recommends $tools && rm -rf /var/lib/apt/lists/*; \
    fi \
 && (grep -q '^istio-proxy:' /etc/passwd || echo 'istio-proxy:x:1337:1337::/:/usr/sbin/nologin' >>/etc/passwd) \
 && (grep -q '^istio-proxy:' /etc/group || echo 'istio-proxy:x:1337:' >>/etc/group)
COPY --from=build /image/ /
ENV ISTIO_META_ISTIO_PROXY_SHA=remora \
    NODE_OPTIONS=--disable-warning=ExperimentalWarning
LABEL org.opencontainers.image.title="Remora" \
      org.opencontainers.image.description="An Envoy-compatible sidecar proxy with its own pilot-agent" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /
STOPSIGNAL SIGTERM
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/pilot-agent"]
