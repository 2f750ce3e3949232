# The service on one machine, as `npm start` runs it. Alone it asks for API keys; compose.yaml, which publishes it to this
# machine only, runs it open. test/container follows these steps.
FROM node:22-bookworm-slim

# The runtime does not start without the certificates of the system, which the slim base lacks. The full base has them,
# and some hundred megabytes of compilers and libraries that nothing here uses.
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*

WORKDIR /app
RUN chown node:node /app
USER node

COPY --chown=node:node package.json package-lock.json .npmrc ./
RUN npm ci && npm cache clean --force

COPY --chown=node:node LICENSE wrangler.toml tsconfig.json ./
COPY --chown=node:node migrations migrations
COPY --chown=node:node public public
COPY --chown=node:node scripts scripts
COPY --chown=node:node src src
# What a volume is mounted on gives it its owner.
RUN mkdir -p .wrangler/state

EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=10s --timeout=5s CMD ["node", "-e", "fetch('http://localhost:8000/health/ready').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--disable-warning=ExperimentalWarning", "scripts/start.ts", "--ip", "0.0.0.0", "--var", "AUTH_MODE:required"]
