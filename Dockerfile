# syntax=docker/dockerfile:1
# docker-compose.yml says which version.
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# The build below needs the sources; nothing is built at install.
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
# git for the tasks themselves; bubblewrap for codex's sandbox, which docker-compose.yml says more about; tini, since
# what commands leave behind comes to process 1, and node does not reap it.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends bubblewrap ca-certificates git tini \
  && rm -rf /var/lib/apt/lists/* \
  && install --directory --owner node --group node --mode 700 /data
WORKDIR /app
COPY --from=build /app ./
RUN chmod +x lib/cli/main.js && ln -s /app/lib/cli/main.js /usr/local/bin/codex-task
# Nothing in a container outlives it: codex is stopped gently rather than left running.
ENV NODE_ENV=production \
  CODEX_TASK_DRAIN=stop \
  CODEX_TASK_DATA_DIR=/data \
  CODEX_TASK_LISTEN=0.0.0.0:8787
USER node
VOLUME /data
EXPOSE 8787
ENTRYPOINT ["tini", "--"]
CMD ["codex-task", "worker"]
