# syntax=docker/dockerfile:1
# The service alone: no compiler, no demo provider, no tests. All that is kept lies in the volume /data, so that the root
# file system can be read-only:  docker run --read-only -v tts-data:/data -p 8080:8080 …
# Port 8080 serves only what is public (CA, CRL, health): tokens never cross a network in clear. For tokens set
# TTS_LISTEN__HOST=0.0.0.0 with TLS files, or with the trusted proxy that ends TLS in front (port 8443 then).
# certcache is in it too:  docker run --entrypoint certcache …
FROM node:24-bookworm-slim AS build
# For `tts version`: --build-arg SOURCE_COMMIT=$(git rev-parse HEAD). There is no git in the build.
ARG SOURCE_COMMIT
ARG SOURCE_DATE_EPOCH
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY scripts scripts
COPY ca ca
COPY plugins plugins
COPY src src
# Not by npm, which would take the Node of node_modules: what V8 compiles here is for the Node of the image.
RUN node scripts/build.ts

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    TTS_DATA_DIR=/data \
    TTS_LISTEN__PORT=8443 \
    TTS_LISTEN__PLAIN__HOST=0.0.0.0 \
    TTS_LISTEN__PLAIN__PORT=8080
WORKDIR /app
COPY --from=build /build/dist dist
RUN ln -s /app/dist/tts.js /usr/local/bin/tts \
 && ln -s /app/dist/certcache.js /usr/local/bin/certcache \
 && install -d -o node -g node -m 700 /data
USER node
VOLUME /data
EXPOSE 8080 8443
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.TTS_LISTEN__PLAIN__PORT + '/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# As `tts`, with more memory for short-lived objects (docs/operations.md).
ENTRYPOINT ["node", "--max-semi-space-size=32", "--min-semi-space-size=16", "/app/dist/tts.js"]
CMD ["serve"]
