import { readdir, readFile } from 'node:fs/promises';
import proto from '@temporalio/proto';
import { describe, expect, it } from 'vitest';
import { operatorToken } from '../../src/listener-secret.js';
import { runCli } from '../cli/run-cli.js';
import { key } from '../workflows/encrypted.js';
import { useRealStack } from './real-stack.js';
import { asksFor, openRequest, realTasks } from './real-tasks.js';

const KEY = key('k1');
const stack = useRealStack(() => ({ CODEX_TASK_PAYLOAD_KEY: KEY }));
const { start } = realTasks(() => stack);
const MARK = 'marked-secret';

/** Command lines of processes of this stack that have the key in their environment. */
async function processesWithKey(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const read = (pid: string, what: string) => readFile(`/proc/${pid}/${what}`, 'utf8').catch(() => '');
  const found = await Promise.all(
    pids.map(async (pid) => {
      const holds = (await read(pid, 'environ')).includes(KEY);
      return holds ? [(await read(pid, 'cmdline')).replaceAll('\0', ' ')] : [];
    }),
  );
  return found.flat();
}

describe('a stack with a key for payloads', () => {
  it('runs a task that Temporal cannot read, shows it with the key and leaks no key', async () => {
    stack.play(asksFor(`env; echo ${MARK}`));
    const { task } = await start({ prompt: MARK });
    const { requestId, summary } = await openRequest(task);
    expect(summary).toContain(MARK);
    // Codex runs, and the guard.
    const holders = await processesWithKey();
    expect(holders.length).toBeGreaterThan(0);
    expect(holders.filter((line) => !/cli\/main\.js (dev|worker)/.test(line))).toEqual([]);

    const env = { ...stack.line.env, CODEX_TASK_PAYLOAD_KEY: KEY };
    const approved = await runCli(stack.folder, ['approve', task.taskId, requestId, '--json'], { env });
    expect(approved).toMatchObject({ code: 0 });
    const { finalMessage } = await task.result();
    expect(finalMessage).toContain(MARK);
    expect(finalMessage).not.toContain('CODEX_TASK_PAYLOAD_KEY');

    const history = await stack.temporal.client.workflow.getHandle(task.taskId).fetchHistory();
    const bytes = proto.temporal.api.history.v1.History.encode(history).finish();
    expect(Buffer.from(bytes).includes(MARK)).toBe(false);

    const without = await runCli(stack.folder, ['show', task.taskId], {
      env: { ...stack.line.env, CODEX_TASK_PAYLOAD_KEY: '' },
    });
    expect(without).toMatchObject({ code: 2 });
    expect(without.stderr).toMatch(/encrypted with the key "k1", which CODEX_TASK_PAYLOAD_KEY does not open/);

    const [first] = history.events ?? [];
    const [payload] = first?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    const response = await fetch(`${stack.line.listenerUrl}/codec/decode`, {
      method: 'POST',
      headers: { authorization: `Bearer ${operatorToken(await stack.listenerSecret())}` },
      body: JSON.stringify({
        payloads: [proto.temporal.api.common.v1.Payload.create(payload!).toJSON()],
      }),
    });
    const { payloads } = (await response.json()) as { payloads: [{ data: string }] };
    expect(JSON.parse(Buffer.from(payloads[0].data, 'base64').toString())).toMatchObject({ prompt: MARK });
  });
});
