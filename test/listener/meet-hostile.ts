import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { onceLate } from '../../src/async/time-limit.js';
import { seeded } from '../support/seeded.js';
import { hostileClient, hostileKinds, type Hostile } from './hostile-requests.js';
import { post, serveLiveTask, type ServedTask } from './serve-task.js';

/** How long a whole request may wait for its answer. */
const ANSWER_MS = 20_000;
const AT_ONCE = 20;
const MAX_GROWTH = 400 * 1024 * 1024;

/**
 * Lets `count` hostile clients at a listener, and asserts what must hold of all of them: each whole request is answered
 * with a documented status, nothing is a fault of ours, nothing secret is told, nothing stays open, memory is bounded, and
 * others are served. Gives the number of answers by status.
 */
export async function meetHostile(seed: number, count: number): Promise<Map<number, number>> {
  const task = await serveLiveTask({ limits: { uploadBytes: 100_000 } });
  task.session.open.add('r');
  const faults: unknown[] = [];
  const note = (fault: unknown) => void faults.push(fault);
  for (const event of ['unhandledRejection', 'uncaughtExceptionMonitor'] as const) {
    process.on(event, note);
    onTestFinished(() => void process.off(event, note));
  }
  const { password, operator } = task;
  const secrets = [password, operator, Buffer.from(`optio:${password}`).toString('base64')];
  const documented = documentedStatuses();
  const random = seeded(seed);
  const statuses = new Map<number, number>();
  const seen = new Set<string>();
  await isServed(task);
  const openBefore = openFiles();
  const rssBefore = process.memoryUsage().rss;
  let rss = rssBefore;
  for (let done = 0; done < count; done += AT_ONCE) {
    const clients = Array.from({ length: AT_ONCE }, () => hostileClient(random, task));
    const answers = await Promise.all(clients.map((client) => answersTo(task, client)));
    for (const [i, said] of answers.entries()) {
      const client = clients[i]!;
      const name = `${client.kind}: ${Buffer.concat(client.writes).toString('latin1').slice(0, 700)}`;
      const codes = statusesIn(said);
      for (const secret of secrets) expect(said.includes(secret), name).toBe(false);
      for (const code of codes) {
        expect(documented, name).toContain(code);
        expect(code, name).not.toBe(500);
        statuses.set(code, (statuses.get(code) ?? 0) + 1);
      }
      // After an answer that ends the connection nobody reads on; who ends its side first is taken for gone.
      const awaited = client.halfCloses ? codes.length : client.whole;
      if (codes.length < awaited) expect(said, name).toMatch(/^Connection: close\r$/im);
      if (awaited > 0) expect(codes.length, name).toBeGreaterThan(0);
      seen.add(client.kind);
    }
    rss = Math.max(rss, process.memoryUsage().rss);
    await isServed(task);
  }
  expect(faults).toEqual([]);
  expect([...seen].toSorted()).toEqual(hostileKinds().toSorted());
  expect(rss - rssBefore).toBeLessThan(MAX_GROWTH);
  await expect.poll(openFiles).toBeLessThanOrEqual(openBefore);
  expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  return statuses;
}

/** All that is answered until the connection ends; ours ends once each whole request has its answer. */
async function answersTo(
  { origin }: ServedTask,
  { kind, writes, whole, halfCloses }: Hostile,
): Promise<string> {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1');
  let said = '';
  const over = new Promise<void>((resolve, reject) => {
    const answered = onceLate(ANSWER_MS, () =>
      reject(new Error(`${kind}: no answer to ${Buffer.concat(writes).toString('latin1').slice(0, 700)}`)),
    );
    const done = () => {
      answered();
      resolve();
    };
    socket.on('error', () => undefined).on('close', done);
    socket.on('data', (data) => {
      said += data.toString('latin1');
      if (whole > 0 && statusesIn(said).length >= whole) done();
    });
  });
  for (const each of writes) {
    if (socket.destroyed) break;
    if (!socket.write(each)) await Promise.race([once(socket, 'drain').catch(() => undefined), over]);
    await turn();
  }
  // Of what is not whole nobody waits for an answer.
  if (halfCloses || whole === 0) socket.end();
  try {
    await over;
  } finally {
    socket.destroy();
  }
  return said;
}

const statusesIn = (said: string): number[] =>
  [...said.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, code]) => Number(code)).filter((code) => code !== 100);

async function isServed(task: ServedTask): Promise<void> {
  expect((await post(task, 'send', { text: 'well' }, { connection: 'close' })).status).toBe(200);
}

const openFiles = (): number => readdirSync('/proc/self/fd').length;

function documentedStatuses(): Set<number> {
  const page = readFileSync(new URL('../../docs/listener.md', import.meta.url), 'utf8');
  return new Set([...page.matchAll(/^\|[^|]*\| (\d{3}) +\|/gm)].map(([, code]) => Number(code)));
}
