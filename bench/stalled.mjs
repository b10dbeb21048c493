// Ten subscribers that read, without and with one beside them that never does.
import { connect } from 'node:net';
import { here, startChild } from './lib.mjs';

const EVENTS = 60_000;
const SKIP = 200;

/** CPU per delivery to the ten, and the most that was queued for the one. */
export async function besideStalled(stalled) {
  const server = startChild([process.execPath, here('stalled-server.mjs')]);
  const { url } = await server.wait('url');
  const { port, hostname } = new URL(url);
  const silent = stalled ? connect(Number(port), hostname).pause() : null;
  silent?.write('GET /stalled HTTP/1.1\r\nHost: bench\r\n\r\n');
  const options = { url: `${url}/events`, subscribers: 10, skip: SKIP, count: EVENTS };
  const client = startChild([process.execPath, here('sse-client.mjs'), JSON.stringify(options)]);
  await client.wait('connected');
  server.send({ cmd: 'emit', n: SKIP, size: 500 });
  await client.wait('warm');
  const before = server.cpuSeconds();
  server.send({ cmd: 'emit', n: EVENTS, size: 500, rate: 0, burst: 50 });
  const done = await client.wait('done');
  const cpuUs = ((server.cpuSeconds() - before) * 1e6) / done.deliveries;
  server.send({ cmd: 'queued' });
  const { queued } = await server.wait('queued');
  silent?.destroy();
  await server.quit();
  if (done.wrong > 0) throw new Error(`${done.wrong} events were missing or out of order`);
  return { cpuUs, perS: done.deliveries / done.wall, queuedMb: queued / 1e6 };
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  console.log(await besideStalled(false), await besideStalled(true));
