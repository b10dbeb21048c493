import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { findCodex } from '../../src/codex/binary.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import type { Store } from '../../src/store/mongo.js';
import { HostTasks } from '../../src/session/model/host-tasks.js';
import { insertSeed, readSeed } from '../../src/store/seeds.js';
import { testFolder } from '../support/folders.js';
import type { OAuthServer } from '../support/oauth-server.js';

export interface TestHost {
  host: HostContext;
  dataDir: string;
  /** What was logged, in order. */
  logged: Record<string, unknown>[];
}

/** What a worker's steps work with, on a data folder of the test's own; no workflow runs. */
export async function testHost(store: Store, env: NodeJS.ProcessEnv, leaseTtlMs = 60_000): Promise<TestHost> {
  const dataDir = await testFolder();
  await mkdir(join(dataDir, 'tasks'), { mode: 0o700 });
  const logged: Record<string, unknown>[] = [];
  const log = pino(
    { level: 'trace' },
    { write: (line: string) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const host = {
    config: { dataDir, commandEnv: [] },
    hostId: 'h1',
    store,
    log,
    codex: await findCodex(),
    env: { ...process.env, ...env },
    leaseTtlMs,
    tasks: new HostTasks(1),
    accounts: { saved: 0, quarantined: 0 },
    guard: () => undefined,
    hostLease: { isHeld: () => true, whenHeld: () => Promise.resolve(), isToEvict: () => false },
    isRunning: () => Promise.resolve(false),
    hostsInUse: () => Promise.resolve(new Set<string>()),
    signalWorkflow: () => Promise.resolve('workflow-gone' as const),
  } as unknown as HostContext;
  return { host, dataDir, logged };
}

/** A seed whose codex finds its backend at the server. */
export const seedFor = (store: Store, oauth: OAuthServer, authJson: Buffer, pool = 'p'): Promise<string> =>
  insertSeed(store, {
    authJson,
    configToml: Buffer.from(`chatgpt_base_url = "${oauth.backendUrl}"\n`),
    pool,
  });

export const authOf = async (store: Store, seedId: string): Promise<Buffer> => {
  const seed = await readSeed(store, seedId);
  return seed!.authJson!;
};

export const refreshTokenOf = (authJson: Buffer): string =>
  (JSON.parse(authJson.toString()) as { tokens: { refresh_token: string } }).tokens.refresh_token;

/** Names below the tasks' folder; none once all is put back. */
export const taskFolders = (dataDir: string): Promise<string[]> => readdir(join(dataDir, 'tasks'));

/** Paths of the files below a folder that hold a text. */
export async function filesWith(folder: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile()) continue;
    const content = await readFile(path).catch(() => null);
    if (content?.includes(text)) found.push(path);
  }
  return found;
}
