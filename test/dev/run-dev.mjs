// `codex-task dev --json --ephemeral` with the worker that FAKE_WORKER names, from the built package that
// PACKAGE names.
const { runDev } = await import(`${process.env.PACKAGE}/lib/dev/dev.js`);
const { startStack } = await import(`${process.env.PACKAGE}/lib/dev/stack.js`);

const controller = new AbortController();
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => controller.abort());
const { stdout, stderr } = process;
await runDev(
  { json: true, worker: true, ephemeral: true },
  process.env,
  { stdout, stderr, signal: controller.signal },
  { startStack, workerCommand: [process.execPath, process.env.FAKE_WORKER] },
);
