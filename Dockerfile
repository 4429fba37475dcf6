# onramp as a sidecar: the program, its production dependencies, and Node.js, which runs the TypeScript directly.
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
# Large evicted answers return their memory to the system instead of fragmenting the heap (test/memory.live.test.ts).
ENV MALLOC_MMAP_THRESHOLD_=131072
# Clients reach a container through its published port. The admin listener stays on loopback, which a pod shares.
ENV HOST=0.0.0.0
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY proxy proxy
COPY config config
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=2s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.ADMIN_PORT || 9090}/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# No shell: signals reach the program, which drains before it exits.
ENTRYPOINT ["node", "--external-memory-accounted-in-global-limit", "proxy/main.ts"]
