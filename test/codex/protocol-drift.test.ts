import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { checkCodexVersion, CODEX_VERSION, findCodex } from '../../src/codex/binary.js';
import { makeFolder } from '../support/folders.js';
import { SchemaCheck, type Bundle } from './schema-check.js';

const PROTOCOL = join(import.meta.dirname, '../../src/codex/protocol.ts');

let schema: string;

beforeAll(async () => {
  const folder = await makeFolder();
  const { path } = await findCodex(process.env);
  await promisify(execFile)(
    path,
    ['app-server', 'generate-json-schema', '--experimental', '--out', folder.path],
    { env: { PATH: process.env['PATH'], HOME: folder.path, CODEX_HOME: folder.path } },
  );
  schema = await readFile(join(folder.path, 'codex_app_server_protocol.schemas.json'), 'utf8');
  await folder.remove();
});

/** The differences between our types and a schema. */
function differences(text: string): string[] {
  const check = new SchemaCheck(JSON.parse(text) as Bundle, PROTOCOL);
  for (const { method, type } of [
    ...check.methods('ServerNotifications'),
    ...check.methods('CodexNotifications'),
  ]) {
    const ref = check.paramsOf('ServerNotification', method);
    if (ref) check.compareNamed(type, ref, 'read');
  }
  for (const { method, type } of check.methods('ClientCalls')) {
    const ref = check.paramsOf('ClientRequest', method);
    if (!ref) continue;
    check.compareNamed(check.member(type, 'params'), ref, 'sent');
    check.compareNamed(check.member(type, 'result'), resultOf(ref), 'read');
  }
  for (const { method, type } of check.methods('CodexRequests')) {
    const ref = check.paramsOf('ServerRequest', method);
    if (ref) check.compareNamed(type, ref, 'read');
  }
  for (const { method, type } of check.methods('ServerRequests')) {
    const ref = check.paramsOf('ServerRequest', method);
    if (!ref) continue;
    check.compareNamed(check.member(type, 'params'), ref, 'read');
    check.compareNamed(check.member(type, 'result'), resultOf(ref), 'sent');
  }
  return check.faults;
}

/** Definitions of results: those that answer codex lie at the top, those that answer us beside the rest. */
function resultOf(params: string): string {
  return params.replace(/Params$/, 'Response');
}

test('the schema of the pinned Codex has every method, field and value of ours', () => {
  expect(differences(schema)).toEqual([]);
});

test.each([
  ['a renamed method', '"turn/steer"', '"turn/nudge"', 'ClientRequest turn/steer: no such method'],
  [
    'a renamed field of a call',
    '"clientUserMessageId"',
    '"clientMessageId"',
    'TurnStartParams.clientUserMessageId: no such field',
  ],
  [
    'a renamed field of an item',
    '"aggregatedOutput"',
    '"output"',
    '.item(commandExecution).aggregatedOutput: no such field',
  ],
  [
    'a renamed value',
    '"usageLimitExceeded"',
    '"usageExceeded"',
    '.codexErrorInfo: no value "usageLimitExceeded"',
  ],
  ['a renamed item', '"agentMessage"', '"assistantMessage"', '(agentMessage): no such object'],
  [
    'a renamed error object',
    '"responseTooManyFailedAttempts"',
    '"tooManyAttempts"',
    '.codexErrorInfo: no such object',
  ],
  ['a renamed decision', '"acceptForSession"', '"acceptAlways"', '.decision: no value "acceptForSession"'],
])('%s is noticed', (_, before, after, fault) => {
  const found = differences(schema.replaceAll(before, after));
  expect(
    found.some((line) => line.includes(fault)),
    found.join('\n'),
  ).toBe(true);
});

test('the pinned package, the version named in the code and the binary agree', async () => {
  const manifest = await readFile(join(import.meta.dirname, '../../package.json'), 'utf8');
  const { dependencies } = JSON.parse(manifest) as { dependencies: Record<string, string> };
  expect(dependencies['@openai/codex']).toBe(CODEX_VERSION);
  const { path, version } = await findCodex();
  expect(version).toBe(CODEX_VERSION);
  expect(await checkCodexVersion(path)).toBe(CODEX_VERSION);
});
