import type { Command } from 'commander';
import type { NewLogin } from '../../credentials/login.js';
import { TaskError } from '../../errors.js';
import type { Store } from '../../store/mongo.js';
import type { CliIo } from '../io.js';
import { printable, type Output } from '../output.js';
import { withStore } from '../with-store.js';
import { collectMetadata } from './metadata.js';

interface LoginFlags {
  pool: string;
  metadata?: Record<string, unknown>;
  timeout: string;
  json?: true;
}

/** `codex-task seeds login` */
export function addSeedLogin(seeds: Command, io: CliIo): void {
  seeds
    .command('login')
    .description("log in to a ChatGPT account with codex's device code and store it as a new seed")
    .requiredOption('--pool <pool>', 'the pool to add it to')
    .option('--metadata <key=value>', 'metadata to store with the seed (repeatable)', collectMetadata)
    .option('--timeout <minutes>', 'how long to wait for the login', '15')
    .option('--json', 'JSON lines: the code, then the seed')
    .action((flags: LoginFlags) => login(flags, io));
}

async function login({ pool, metadata = {}, timeout, json }: LoginFlags, io: CliIo): Promise<void> {
  const output = io.output(json);
  const timeoutMs = minutesOf(timeout) * 60_000;
  const [{ loginWithDeviceCode }, { findCodex }, { readConfig }, { createLog }] = await Promise.all([
    import('../../credentials/login.js'),
    import('../../codex/binary.js'),
    import('../../config.js'),
    import('../../log.js'),
  ]);
  const { dataDir } = readConfig(io.env);
  const codex = await findCodex(io.env);
  const signal = io.untilSignal();
  // The database is asked first: a person's login must not be in vain.
  const { seedId, account } = await withStore(io, (store) =>
    loginWithDeviceCode({
      codex,
      env: io.env,
      dataDir,
      log: createLog('silent'),
      timeoutMs,
      signal,
      onCode: (code) => showCode(code, output),
      capture: (found) => capture(store, pool, metadata, found),
    }),
  );
  output.result(
    { seedId, pool, account },
    `${output.paint.green('stored')} ${seedId} in pool ${printable(pool)}: ${printable(account.summary)}`,
  );
}

function showCode(code: { verificationUrl: string; userCode: string }, output: Output): void {
  const { verificationUrl, userCode } = code;
  output.result(
    code,
    `Open ${output.paint.bold(printable(verificationUrl))} in any browser and enter ${output.paint.bold(printable(userCode))}`,
  );
  output.note('Waiting for the login; Ctrl-C ends it.');
}

async function capture(store: Store, pool: string, notes: Record<string, unknown>, found: NewLogin) {
  const { insertSeed } = await import('../../store/seeds.js');
  const { authJson, account } = found;
  const metadata = { ...notes, accounts: [account] };
  return { seedId: await insertSeed(store, { authJson, pool, metadata }), account };
}

function minutesOf(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) > 0) return Number(text);
  throw new TaskError('BadInput', `--timeout: expected minutes from 1 to 999, got ${JSON.stringify(text)}`);
}
