import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { Interrupted } from '../../src/cli/exit-codes.js';
import type { CliIo } from '../../src/cli/io.js';
import { createOutput } from '../../src/cli/output.js';
import { run } from '../../src/cli/program.js';
import { isAlive, type ProcessIdentity } from '../../src/process/process-identity.js';
import { readProcessRecord } from '../../src/task-folder/process-record.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { listSeeds } from '../../src/store/seed-info.js';
import { insertSeed } from '../../src/store/seeds.js';
import { useStore } from '../store/support.js';
import { testFolder } from '../support/folders.js';
import { startOAuthServer, type OAuthServer } from '../support/oauth-server.js';
import { until } from '../support/until.js';
import { authOf } from './host.js';

const use = useStore();
let oauth: OAuthServer;
let dataDir: string;
beforeEach(async () => {
  oauth = await startOAuthServer();
  dataDir = await testFolder();
});

/** OpenAI's device login as codex uses it; the person takes part when `person` says so. */
async function startIssuer(): Promise<{ url: string; person: 'away' | 'here' | 'refuses'; login: Buffer }> {
  const issuer = { url: '', person: 'away' as const, login: oauth.login() };
  const server = createServer((request, response) => {
    request.resume();
    const send = (status: number, body: object) => json(response, status, body);
    if (request.url === '/api/accounts/deviceauth/usercode')
      return send(200, { device_auth_id: 'd1', user_code: 'ABCD-1234', interval: '1' });
    const person: string = issuer.person;
    if (request.url === '/api/accounts/deviceauth/token')
      return person === 'here'
        ? send(200, { authorization_code: 'code', code_challenge: 'c', code_verifier: 'v' })
        : send(person === 'away' ? 403 : 400, {});
    if (request.url === '/oauth/token') {
      const { tokens } = JSON.parse(issuer.login.toString()) as { tokens: object };
      return send(200, tokens);
    }
    send(404, {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  issuer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return issuer;
}

const json = (response: ServerResponse, status: number, body: object) =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

/** Starts `codex-task seeds login` in this process. */
function login(issuer: string, args: string[] = ['--pool', 'work']) {
  const said = { out: '', err: '' };
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  stdout.on('data', (data: Buffer) => (said.out += data.toString()));
  stderr.on('data', (data: Buffer) => (said.err += data.toString()));
  const streams = { stdout, stderr } as unknown as Parameters<typeof createOutput>[1];
  const stop = new AbortController();
  const io: CliIo = {
    env: {
      ...process.env,
      CODEX_APP_SERVER_LOGIN_ISSUER: issuer,
      MONGODB_URI: use.uri,
      CODEX_TASK_MONGO_PREFIX: use.store.prefix,
      CODEX_TASK_DATA_DIR: dataDir,
    },
    stdin: new PassThrough(),
    output: (isJson) => createOutput(isJson === true, streams),
    untilSignal: () => stop.signal,
  };
  const code = run(['seeds', 'login', ...args], io);
  const codeShown = () => until('the code', () => said.out.includes('ABCD-1234'));
  return { said, code, codeShown, interrupt: () => stop.abort(new Interrupted('SIGINT')) };
}

const homes = () => readdir(join(dataDir, 'login', 'tasks'));

async function codexOf(): Promise<ProcessIdentity> {
  const [name] = await homes();
  return (await readProcessRecord(taskFolder(join(dataDir, 'login'), name!)))!;
}

it('shows the code, stores the login in the pool, and leaves no home, codex or token', async () => {
  const issuer = await startIssuer();
  const { said, code, codeShown } = login(issuer.url, ['--pool', 'work', '--metadata', 'owner=me', '--json']);
  await codeShown();
  const codex = await codexOf();
  Object.assign(issuer, { person: 'here' });
  expect(await code).toBe(0);
  const [shown, stored] = said.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(shown).toEqual({ verificationUrl: `${issuer.url}/codex/device`, userCode: 'ABCD-1234' });
  expect(stored).toMatchObject({ pool: 'work', account: { email: 'acc-1@example.org', plan: 'plus' } });
  const [seed] = await listSeeds(use.store, 'work');
  expect(seed).toMatchObject({
    seedId: stored!['seedId'],
    state: 'free',
    metadata: { owner: 'me', accounts: [{ account_id: 'acc-1' }] },
  });
  expect(oauth.isGood(await authOf(use.store, seed!.seedId))).toBe(true);
  expect(await homes()).toEqual([]);
  expect(await isAlive(codex)).toBe(false);
  expect(said.out + said.err).not.toMatch(/rt-acc|eyJ/);
});

it('tells people what to do and what was stored', async () => {
  const issuer = await startIssuer();
  Object.assign(issuer, { person: 'here' });
  const { said, code } = login(issuer.url);
  expect(await code).toBe(0);
  expect(said.out).toMatch(
    /^Open http:\S+\/codex\/device in any browser and enter ABCD-1234\nstored [0-9a-f]{24} in pool work: acc-1@example\.org \(plus\)\n$/,
  );
});

it('keeps a login that cannot be stored, and names its place', async () => {
  const issuer = await startIssuer();
  // As after any failure of the database: this login is there already.
  await insertSeed(use.store, { authJson: issuer.login, pool: 'work' });
  Object.assign(issuer, { person: 'here' });
  const { said, code } = login(issuer.url);
  expect(await code).toBe(2);
  const path = /kept in (\S+\.json)/.exec(said.err)![1]!;
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(oauth.isGood(await readFile(path))).toBe(true);
  expect(await homes()).toEqual([]);
  expect(said.out + said.err).not.toMatch(/rt-acc|eyJ/);
});

it.each([
  ['by Ctrl-C', 130, (started: ReturnType<typeof login>) => started.interrupt()],
  ['by a refusal', 1, (_: unknown, issuer: object) => void Object.assign(issuer, { person: 'refuses' })],
])('stores nothing and leaves nothing when ended %s', async (_name, exitCode, end) => {
  const issuer = await startIssuer();
  const started = login(issuer.url);
  await started.codeShown();
  const codex = await codexOf();
  end(started, issuer);
  expect(await started.code).toBe(exitCode);
  expect(await homes()).toEqual([]);
  expect(await isAlive(codex)).toBe(false);
  expect(await listSeeds(use.store)).toEqual([]);
});

it('refuses a second login at the same time, and removes what a killed one left', async () => {
  const left = join(dataDir, 'login', 'tasks', 'login-of-a-killed-one');
  await mkdir(left, { recursive: true });
  await writeFile(join(left, 'auth.json'), '{}');
  const issuer = await startIssuer();
  const first = login(issuer.url);
  await first.codeShown();
  expect(await homes()).toHaveLength(1);
  expect(await homes()).not.toContain('login-of-a-killed-one');
  const second = login(issuer.url);
  expect(await second.code).toBe(1);
  expect(second.said.err).toContain('Another login runs');
  first.interrupt();
  expect(await first.code).toBe(130);
});

it.each([
  [['--pool', 'p', '--metadata', 'owner'], '--metadata: expected key=value, got "owner"'],
  [['--pool', 'p', '--timeout', '0'], '--timeout: expected minutes from 1 to 999, got "0"'],
])('refuses %j before anything is started', async (args, message) => {
  const { said, code } = login('http://127.0.0.1:1', args);
  expect(await code).toBe(2);
  expect(said.err).toBe(`codex-task: ${message}\n`);
});
