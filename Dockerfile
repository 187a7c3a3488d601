# Everything that compiles stays in the first stage.
FROM node:24.11.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
# The optional packages are the embedded PostgreSQL and compilers of other machines: a container has DATABASE_URL.
RUN npm run build && npm prune --omit=dev --omit=optional --ignore-scripts

FROM node:24.11.0-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# Nothing is written to the file system: run it with --read-only.
USER node
EXPOSE 3000
ENV ORDERLOG_HOST=0.0.0.0 ORDERLOG_TRUSTED_NETWORK=true
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:3000/health/live').then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--max-semi-space-size=32", "--no-allocation-site-pretenuring", "dist/platform/cli.js"]
CMD ["start"]
