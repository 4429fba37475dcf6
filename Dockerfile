# onramp as a sidecar: the program, its production dependencies, and Node to run the TypeScript as it is.
#
#   docker build -t onramp .
#   docker run --rm -p 8080:8080 -e DATABASE_URL=postgres://… -v ./my-config:/app/config:ro onramp

FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:26-slim
WORKDIR /app
ENV NODE_ENV=production
# Large answers that are evicted give their memory back, instead of leaving holes in the heap (test/memory.live.test.ts).
ENV MALLOC_MMAP_THRESHOLD_=131072
# Inside a container the way in is the published port. The admin listener stays on loopback: for a sidecar that is its pod.
ENV HOST=0.0.0.0
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY proxy proxy
COPY config config
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=2s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.ADMIN_PORT || 9090}/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# No shell in between: signals reach the program, which drains before it ends.
ENTRYPOINT ["node", "--external-memory-accounted-in-global-limit", "proxy/main.ts"]
