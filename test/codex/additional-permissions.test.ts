import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { describeRequest } from '../../src/codex/requests.js';
import { startTestCodex, type TestCodex } from './test-codex.js';

const ESCALATED = { sandbox_permissions: 'require_escalated', justification: 'because' };
const askingFor = (additional_permissions: object) => ({
  sandbox_permissions: 'with_additional_permissions',
  additional_permissions,
  justification: 'because',
});

/** A port of loopback that says hello to whoever connects. */
async function greetingPort(): Promise<number> {
  const listener = createServer((socket) => socket.end('hello\n')).listen(0, '127.0.0.1');
  onTestFinished(() => void listener.close());
  await once(listener, 'listening');
  return (listener.address() as AddressInfo).port;
}

/** Runs a command that asks for more; what the model was told, and how it was asked for. */
async function runAsking(codex: TestCodex, command: string, more: object, decision: 'accept' | 'decline') {
  codex.received.length = 0;
  await codex.startTurn(command, more as Record<string, unknown>);
  const { id, method, params } = await codex.saw('item/commandExecution/requestApproval');
  codex.rpc.respond(id!, { decision });
  await codex.saw('turn/completed');
  const told = JSON.stringify(codex.model.requests.at(-1)?.body['input']);
  const context = { policy: 'on-request', network: false } as const;
  return { told, summary: describeRequest(method, params, undefined, context)?.summary ?? '' };
}

test('an approved command gets the network and paths it asked for, and no others', async () => {
  const port = await greetingPort();
  const codex = await startTestCodex({ approvals: 'on-request' });
  const command = `(exec 3<>/dev/tcp/127.0.0.1/${port} && cat <&3); cat ${codex.codexHome}/auth.json; echo done`;
  const network = askingFor({ network: { enabled: true } });

  const allowed = await runAsking(codex, command, network, 'accept');
  expect(allowed.told).toContain('hello');
  expect(allowed.summary).toMatch(/^Run in the sandbox, with more rights \[network to any host\]: /);
  const denied = await runAsking(codex, command, network, 'decline');
  expect(denied.told.split('hello').length).toBe(allowed.told.split('hello').length);
  const escalated = await runAsking(codex, command, ESCALATED, 'accept');
  expect(escalated.summary).toMatch(/^Run outside the sandbox, .* without the network: /);
  expect(escalated.told.split('hello').length).toBe(allowed.told.split('hello').length);
  expect(escalated.told).not.toContain('key-of-task-a');
});

test('an approved command outside the sandbox is described as such', async () => {
  const codex = await startTestCodex({ approvals: 'on-request' });
  const command = `grep -E "CapEff|NoNewPrivs|Seccomp:" /proc/self/status; touch ${join(codex.dataDir, 'tasks/b/work/by-a')} && echo WROTE; echo b > /dev/tcp/127.0.0.1/9`;
  const { told } = await runAsking(codex, command, ESCALATED, 'accept');
  expect(told).toMatch(/CapEff:\\t0+\\n/);
  expect(told).toMatch(/NoNewPrivs:\\t1/);
  expect(told).toMatch(/Seccomp:\\t2/);
  expect(told).toContain('WROTE');
  expect(told).toMatch(/socket|Network is unreachable|Operation not permitted/);
});
