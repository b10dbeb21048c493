import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PermissionDecision } from '../../../src/contract/index.js';
import { applyPatch, commandCall, functionCall } from '../../../src/dev/model-server.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { startRealSession, type RealSession } from '../real-session.js';
import { answers, calls } from '../scripts.js';

const MCP_SERVER = join(import.meta.dirname, 'mcp-server.mjs');
const withMcp = { mcp_servers: { notes: { command: process.execPath, args: [MCP_SERVER] } } };

/** Sends a message, decides its first request, and waits for the end of the turn. */
async function decided(session: RealSession, decision: Omit<PermissionDecision, 'requestId'>) {
  await session.thread.accept({ messageId: 'm1', text: 'go' });
  const request = await session.asked();
  await session.thread.permissions.decide({ requestId: request.requestId, ...decision });
  await session.turns(1);
  expect(session.answered()).toMatchObject([
    {
      type: 'x-optio-permission-answered',
      request_id: request.requestId,
      behavior: decision.behavior,
      decidedBy: decision.decidedBy ?? 'signal',
    },
  ]);
  return request;
}

const textOf = (path: string) => readFile(path, 'utf8').catch(() => null);

describe('a command', () => {
  const escalated = commandCall('echo new > file', { escalated: true, justification: 'because' });

  test('runs in the workdir when it is allowed', async () => {
    const session = await startRealSession(calls(escalated));
    const request = await decided(session, { behavior: 'allow' });
    expect(request).toMatchObject({
      requestId: '1-0',
      kind: 'command',
      openedAt: expect.any(String) as string,
    });
    expect(request.summary).toContain('outside the sandbox');
    expect(await textOf(join(session.folder.work, 'file'))).toBe('new\n');
    const shown = session.events.find(({ id }) => id === '1-0');
    expect(shown).toEqual({
      method: 'item/commandExecution/requestApproval',
      id: '1-0',
      params: request.input,
      'x-optio-at': expect.any(Number) as number,
    });
  });

  test('does not run when it is denied, and the model is told why in the same turn', async () => {
    // The model may leave out why; codex then gives no reason.
    const unjustified = commandCall('echo new > file', { escalated: true });
    const session = await startRealSession(answers([unjustified]));
    const asked = await decided(session, {
      behavior: 'deny',
      message: 'Use another way.',
      decidedBy: 'http',
    });
    expect(asked.summary).toMatch(
      /^Run outside the sandbox, free to read and write .* without the network: \S*bash -lc/,
    );
    expect(await textOf(join(session.folder.work, 'file'))).toBeNull();
    expect(session.events.filter(({ method }) => method === 'turn/started')).toHaveLength(1);
    expect(JSON.stringify(session.model.requests.at(-1)?.body.input)).toContain('Use another way.');
    expect(session.thread.totals.finalMessage).not.toBeNull();
  });
});

describe('a file change outside the workdir', () => {
  const start = async () => {
    const path = join(await testFolder(), 'x.txt');
    const patch = applyPatch(`*** Begin Patch\n*** Add File: ${path}\n+hello\n*** End Patch\n`);
    return { path, session: await startRealSession(calls(patch)) };
  };

  test('shows its diff and is applied when allowed', async () => {
    const { path, session } = await start();
    const request = await decided(session, { behavior: 'allow' });
    expect(request).toMatchObject({
      kind: 'fileChange',
      input: { changes: [{ path, kind: { type: 'add' }, diff: 'hello\n' }] },
    });
    expect(request.summary).toContain(path);
    expect(await textOf(path)).toBe('hello\n');
  });

  test('is not applied when denied', async () => {
    const { path, session } = await start();
    await decided(session, { behavior: 'deny' });
    expect(await textOf(path)).toBeNull();
  });
});

test('a file change inside the workdir is applied without a request', async () => {
  const patch = applyPatch('*** Begin Patch\n*** Add File: in.txt\n+hello\n*** End Patch\n');
  const session = await startRealSession(calls(patch));
  await session.thread.accept({ messageId: 'm1', text: 'go' });
  await session.turns(1);
  expect(await textOf(join(session.folder.work, 'in.txt'))).toBe('hello\n');
  expect(session.signals.some(({ name }) => name === 'permissionRequested')).toBe(false);
});

describe('a question to the user', () => {
  const start = () =>
    startRealSession(
      calls(
        functionCall('request_user_input', {
          questions: [
            {
              id: 'q1',
              header: 'Colour',
              question: 'Which one?',
              options: [
                { label: 'Red (Recommended)', description: 'warm' },
                { label: 'Blue', description: 'cold' },
              ],
            },
          ],
        }),
      ),
      {},
      { features: { default_mode_request_user_input: true } },
    );

  test('gets the given answer', async () => {
    const session = await start();
    const request = await decided(session, {
      behavior: 'allow',
      updatedInput: { answers: { q1: { answers: ['Blue'] } } },
    });
    expect(request).toMatchObject({ kind: 'userInput', summary: 'Answer: Which one?' });
    expect(session.thread.totals.finalMessage).toContain('Blue');
  });

  test('gets no answer when denied', async () => {
    const session = await start();
    await decided(session, { behavior: 'deny' });
    expect(session.thread.totals.finalMessage).not.toContain('Blue');
    expect(session.events.at(-1)).toMatchObject({ params: { turn: { status: 'completed' } } });
  });
});

describe('a request for more permissions', () => {
  const start = async () => {
    const folder = await testFolder();
    const wish = functionCall('request_permissions', {
      reason: 'to write',
      permissions: { file_system: { write: [folder] } },
    });
    const path = join(folder, 'file');
    const session = await startRealSession(
      calls(wish, commandCall(`echo new > ${path}`)),
      {},
      { features: { request_permissions_tool: true } },
    );
    return { session, path };
  };

  test('is granted when allowed', async () => {
    const { session, path } = await start();
    expect(await decided(session, { behavior: 'allow' })).toMatchObject({ kind: 'permissions' });
    expect(await textOf(path)).toBe('new\n');
  });

  test('grants nothing when denied', async () => {
    const { session, path } = await start();
    await decided(session, { behavior: 'deny' });
    expect(await textOf(path)).toBeNull();
  });
});

describe('an MCP server', () => {
  const tool = (name: string) => functionCall(name, {}, { namespace: 'mcp__notes' });

  test('has its tool called when that is allowed', async () => {
    const session = await startRealSession(calls(tool('note')), {}, withMcp);
    expect(await decided(session, { behavior: 'allow' })).toMatchObject({
      kind: 'elicitation',
      summary: 'notes: Allow the notes MCP server to run tool "note"?',
    });
    expect(session.thread.totals.finalMessage).toContain('noted');
  });

  test('does not have its tool called when that is denied', async () => {
    const session = await startRealSession(calls(tool('note')), {}, withMcp);
    await decided(session, { behavior: 'deny' });
    expect(session.thread.totals.finalMessage).toContain('rejected');
  });

  test('is asked once about a tool that is allowed for the session', async () => {
    const session = await startRealSession(calls(tool('note'), tool('note')), {}, withMcp);
    await decided(session, { behavior: 'allow', scope: 'session' });
    expect(session.thread.totals.finalMessage).toContain('noted');
  });

  test.each([
    [{ behavior: 'allow', updatedInput: { content: { colour: 'blue' } } } as const, '"accept"', 'blue'],
    [{ behavior: 'deny' } as const, '"decline"', ''],
  ])('asks the user: %j', async (decision, action, content) => {
    const session = await startRealSession(calls(tool('ask')), {}, withMcp);
    const { thread } = session;
    await thread.accept({ messageId: 'm1', text: 'go' });
    await thread.permissions.decide({ requestId: (await session.asked()).requestId, behavior: 'allow' });
    const question = await session.asked(2);
    expect(question).toMatchObject({ kind: 'elicitation', summary: 'notes: Which colour?' });
    await thread.permissions.decide({ requestId: question.requestId, ...decision });
    await session.turns(1);
    expect(thread.totals.finalMessage?.replaceAll('\\', '')).toContain(`"action":${action}`);
    expect(thread.totals.finalMessage).toContain(content);
  });
});

test('a rule decides on the host, and the workflow is told later in a batch', async () => {
  const session = await startRealSession(
    calls(
      commandCall('echo one', { escalated: true, justification: 'x' }),
      commandCall('rm file', { escalated: true, justification: 'x' }),
    ),
    {
      approvals: {
        rules: [
          { kind: 'command', commandPrefix: ['echo'], then: 'allow' },
          { commandPrefix: ['rm'], then: 'deny' },
        ],
      },
    },
  );
  await session.thread.accept({ messageId: 'm1', text: 'go' });
  await session.turns(1);
  expect(session.answered().map(({ behavior, decidedBy }) => [behavior, decidedBy])).toEqual([
    ['allow', 'rule'],
    ['deny', 'rule'],
  ]);
  const told = await until('the record', () =>
    session.signals.find(({ name }) => name === 'permissionsRecorded'),
  );
  expect(told.argument).toMatchObject([
    { requestId: '1-0', kind: 'command', behavior: 'allow', decidedBy: 'rule' },
    { requestId: '1-1', kind: 'command', behavior: 'deny', decidedBy: 'rule' },
  ]);
  expect(session.signals.some(({ name }) => name === 'permissionRequested')).toBe(false);
});

test('an interrupt closes the open request', async () => {
  const session = await startRealSession(
    calls(commandCall('echo x > file', { escalated: true, justification: 'x' })),
  );
  await session.thread.accept({ messageId: 'm1', text: 'go' });
  const { requestId } = await session.asked();
  await session.thread.interrupt();
  await session.turns(1);
  expect(session.answered()).toMatchObject([
    { request_id: requestId, behavior: 'deny', decidedBy: 'interrupt' },
  ]);
  await until('settled', () => session.signals.find(({ name }) => name === 'permissionSettled'));
  await session.thread.permissions.decide({ requestId, behavior: 'allow' });
  expect(session.answered()).toHaveLength(1);
  expect(await textOf(join(session.folder.work, 'file'))).toBeNull();
});
