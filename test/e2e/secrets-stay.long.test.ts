import proto from '@temporalio/proto';
import type { Payload } from '@temporalio/common';
import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { assistantMessage, commandCall, modelProvider, outputsOfTurn } from '../../src/dev/model-server.js';
import { payloadCodec } from '../../src/codec/payload-codec.js';
import { payloadKeysFrom } from '../../src/codec/payload-keys.js';
import { operatorToken } from '../../src/listener-secret.js';
import { downloadSnapshot } from '../../src/snapshots/download-snapshot.js';
import { insertSeed } from '../../src/store/seeds.js';
import { listSnapshots } from '../../src/store/snapshots.js';
import { runCli } from '../cli/run-cli.js';
import { makeFolder } from '../support/folders.js';
import { useRealStack } from './real-stack.js';

const mark = (what: string) => `marked-${what}-${randomUUID()}`;

/** One for each place that holds a secret. */
const SECRETS = {
  'auth.json': mark('account'),
  passEnv: mark('pass-env'),
  'an MCP server’s environment': mark('mcp-env'),
  'a bearer token of an MCP server': mark('mcp-header'),
  'a header of a provider': mark('provider'),
  'the listener’s secret': mark('listener'),
  'the key of seeds': Buffer.from('marked-key-of-seeds-32-bytes-abc').toString('base64'),
  'the key of payloads': Buffer.from('marked-key-of-payloads-32-bytes1').toString('base64'),
};
const stack = useRealStack(() => ({
  PASSED: SECRETS.passEnv,
  CODEX_TASK_LISTENER_SECRET: SECRETS['the listener’s secret'],
  CODEX_TASK_SEED_KEY: `k1:${SECRETS['the key of seeds']}`,
  CODEX_TASK_PAYLOAD_KEY: `p1:${SECRETS['the key of payloads']}`,
  CODEX_TASK_LOG: 'trace',
}));

/** Settings of a seed with secrets: a server that says all it knows and ends, one that answers nothing. */
const CONFIG_TOML = `
[mcp_servers.loud]
command = "/bin/sh"
args = ["-c", "env >&2; env; exit 1"]
env_vars = ["PASSED"]
env = { TOKEN = "${SECRETS['an MCP server’s environment']}" }

[mcp_servers.remote]
url = "http://127.0.0.1:9/mcp"
http_headers = { Authorization = "Bearer ${SECRETS['a bearer token of an MCP server']}" }

[model_providers.other]
name = "other"
base_url = "http://127.0.0.1:9/v1"
http_headers = { Authorization = "Bearer ${SECRETS['a header of a provider']}" }
`;

/** A command that shows all that it can find. */
const PEEP =
  'env; cat /proc/*/environ ~/.codex/auth.json ~/../home/.codex/* ../home/.codex/* ../../../listener-secret ../codex.log ' +
  '../journal/*; echo peeped';

it(
  'a marked secret, wherever it is set, is in nothing that a task leaves or shows',
  { timeout: 180_000 },
  async () => {
    const pool = randomUUID();
    await insertSeed(stack.store, {
      authJson: Buffer.from(JSON.stringify({ OPENAI_API_KEY: SECRETS['auth.json'] })),
      configToml: Buffer.from(CONFIG_TOML),
      pool,
    });
    const taskId = `task-${pool}`;
    stack.play((request) => {
      const outputs = outputsOfTurn(request);
      return [outputs.length === 0 ? commandCall(PEEP) : assistantMessage(`saw ${outputs.join('')}`)];
    });
    await stack.client.start(taskId, {
      credential: { pool },
      codexConfig: modelProvider(stack.model.url),
      passEnv: ['PASSED'],
      prompt: 'look around',
    });
    const task = stack.client.handle(taskId);
    const events: unknown[] = [];
    for await (const event of task.events()) events.push(event);
    const result = await task.result();
    expect(result.finalMessage).toContain('peeped');

    const env = { ...stack.line.env, CODEX_TASK_PAYLOAD_KEY: `p1:${SECRETS['the key of payloads']}` };
    const secret = await stack.listenerSecret();
    const metrics = await fetch(`${stack.line.listenerUrl}/metrics`, {
      headers: { authorization: `Bearer ${operatorToken(secret)}` },
    });
    const workflow = stack.temporal.client.workflow.getHandle(taskId);
    const history = await workflow.fetchHistory();
    const encoded = proto.temporal.api.history.v1.History.encode(history).finish();
    const cli = async (...words: string[]) => JSON.stringify(await runCli(stack.folder, words, { env }));
    const outputs: Record<string, string> = {
      history: Buffer.from(encoded).toString('latin1'),
      'history, decrypted': await decrypted(history),
      'memo and attributes': JSON.stringify((await workflow.describe()).raw),
      result: JSON.stringify(result),
      status: JSON.stringify(await task.status()),
      events: JSON.stringify(events),
      'worker’s log': stack.said(),
      metrics: await metrics.text(),
      'codex-task show': await cli('show', taskId, '--json'),
      'codex-task seeds list': await cli('seeds', 'list', '--json'),
      'codex-task snapshots list': await cli('snapshots', 'list', '--json'),
      ...(await snapshotOf(taskId)),
    };
    expect(metrics.status).toBe(200);
    const found = Object.entries(outputs).flatMap(([output, text]) =>
      Object.entries(SECRETS).flatMap(([place, value]) =>
        text.includes(value) ? [`${place} in ${output}`] : [],
      ),
    );
    expect(found).toEqual([]);
  },
);

/** What the payloads of a history say. */
async function decrypted(history: object): Promise<string> {
  const payloads: Payload[] = [];
  const collect = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
    if ('metadata' in value && 'data' in value) payloads.push(value as Payload);
    else Object.values(value).forEach(collect);
  };
  collect(history);
  const keys = payloadKeysFrom(`p1:${SECRETS['the key of payloads']}`);
  const texts = (await payloadCodec(keys, 'refuse').decode(payloads)).map(({ data }) =>
    Buffer.from(data ?? []).toString(),
  );
  expect(texts.join('')).toContain('look around');
  return texts.join('\n');
}

/** Each file of the task's newest snapshot, by name. */
async function snapshotOf(key: string): Promise<Record<string, string>> {
  const [snapshot] = await listSnapshots(stack.store, key);
  const folder = await makeFolder();
  const path = await downloadSnapshot(stack.store, snapshot!, join(folder.path, 'snapshot'));
  const names = await readdir(path, { recursive: true, withFileTypes: true });
  const files = names.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
  const texts = await Promise.all(
    files.map(async (file) => [
      `snapshot’s ${file.slice(path.length + 1).replace(/sessions\/.*/, 'sessions')}`,
      await readFile(file, 'latin1'),
    ]),
  );
  await folder.remove();
  return Object.fromEntries(texts) as Record<string, string>;
}
