// A worker that does nothing. It prints its ready line and, where the test asks for it, tells the file in
// FAKE_WORKER_LOG what it was started with and, when it is stopped, whether its servers still answer.
import { appendFileSync } from 'node:fs';
import { connect } from 'node:net';

const {
  FAKE_WORKER_LOG,
  FAKE_WORKER_FAILS,
  FAKE_WORKER_END,
  TEMPORAL_ADDRESS,
  MONGODB_URI,
  CODEX_TASK_LISTEN,
} = process.env;
const log = (event) => {
  if (FAKE_WORKER_LOG) appendFileSync(FAKE_WORKER_LOG, `${JSON.stringify(event)}\n`);
};

log({ event: 'started', env: process.env });
if (FAKE_WORKER_FAILS) process.exit(3);

process.on('SIGTERM', async () => {
  const [host, port] = TEMPORAL_ADDRESS.split(':');
  const socket = decodeURIComponent(/^mongodb:\/\/([^/]+)/.exec(MONGODB_URI)[1]);
  log({
    event: 'stopping',
    temporal: await answers({ host, port }),
    mongodb: await answers({ path: socket }),
  });
  process.exit(Number(FAKE_WORKER_END ?? 0));
});
setInterval(() => undefined, 60_000);
const listenerUrl = `http://${CODEX_TASK_LISTEN}`;
process.stdout.write(`${JSON.stringify({ workerPid: process.pid, hostId: 'fake', listenerUrl })}\n`);

function answers(target) {
  return new Promise((resolve) => {
    const socket = connect(target, () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
