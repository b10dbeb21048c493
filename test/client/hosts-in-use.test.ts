import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { TaskClient } from '../../src/client/task-client.js';
import { hostsInUse } from '../../src/client/hosts-in-use.js';
import { range } from '../support/range.js';

const never = new AbortController().signal;

/** Running tasks, and what each says of its host; counts how many are asked at a time. */
function tasksThatSay(count: number, hostOf: (n: number) => Promise<string | null>) {
  const seen = { asked: 0, now: 0, most: 0 };
  const tasks = {
    async *list() {
      for (const n of range(1, count)) {
        await turn();
        yield { taskId: String(n) };
      }
    },
    handle: (taskId: string) => ({
      async status() {
        seen.asked++;
        seen.most = Math.max(seen.most, ++seen.now);
        try {
          return { host: await hostOf(Number(taskId)) };
        } finally {
          seen.now--;
        }
      },
    }),
  };
  return { seen, tasks: tasks as unknown as TaskClient };
}

test('asks every running task, many at a time but within a bound', async () => {
  const { seen, tasks } = tasksThatSay(200, async (n) => {
    for (let i = 0; i < 5; i++) await turn();
    return n % 50 === 0 ? null : `host-${n % 3}`;
  });
  expect([...(await hostsInUse(tasks, never))].sort()).toEqual(['host-0', 'host-1', 'host-2']);
  expect(seen.asked).toBe(200);
  expect(seen.most).toBeGreaterThan(4);
  expect(seen.most).toBeLessThanOrEqual(16);
});

test('gives no answer, and asks no more tasks, when one does not name its host', async () => {
  const { seen, tasks } = tasksThatSay(1_000, async (n) => {
    if (n === 3) throw new Error('no answer');
    return 'h';
  });
  await expect(hostsInUse(tasks, never)).rejects.toThrow('no answer');
  const { asked } = seen;
  for (let i = 0; i < 20; i++) await turn();
  expect(seen.asked).toBeLessThanOrEqual(asked + 16);
});

test('gives no answer when one deadline for all tasks passes', async () => {
  const ending = new AbortController();
  const { tasks } = tasksThatSay(1_000, async (n) => {
    if (n === 20) ending.abort(new Error('too late'));
    return 'h';
  });
  await expect(hostsInUse(tasks, ending.signal)).rejects.toThrow('too late');
});
