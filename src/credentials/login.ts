import { randomBytes } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../async/pause.js';
import { firstToSettle } from '../async/first-to-settle.js';
import { readAuthFacts } from '../codex/auth-json.js';
import type { CodexBinary } from '../codex/binary.js';
import { readNotification } from '../codex/narrow.js';
import type { Rpc } from '../codex/rpc.js';
import { reasonOf, TaskError } from '../errors.js';
import { lockFolder } from '../process/folder-lock.js';
import type { Log } from '../log.js';
import { reapProcess } from '../task-folder/process-record.js';
import { readAuth } from '../session/account/read-auth.js';
import { removeFolder } from '../task-folder/remove-folder.js';
import { folderNamed, taskFolder, tasksFolder } from '../task-folder/task-folder.js';
import { isValidAuth } from '../store/seed-archive.js';
import { accountInfo, type AccountInfo } from '../codex/account-info.js';
import { launchPrivateCodex, makeHome, type PrivateCodex } from './private-codex.js';

/** What a person needs to log in, in whatever browser. */
export interface DeviceCode {
  verificationUrl: string;
  userCode: string;
}

export interface NewLogin {
  authJson: Buffer;
  account: AccountInfo;
}

export interface LoginOptions<T> {
  readonly codex: CodexBinary;
  readonly env: NodeJS.ProcessEnv;
  readonly dataDir: string;
  readonly log: Log;
  /** Milliseconds that the person has; the code itself lives 15 minutes. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onCode: (code: DeviceCode) => void;
  /** Stores the new login; its home is removed after that. */
  readonly capture: (login: NewLogin) => Promise<T>;
}

const START_MS = 30_000;
const CANCEL_MS = 2_000;
/** Where codex logs in instead of OpenAI's; for tests and for companies' own issuers. */
const ISSUER_VARIABLES = ['CODEX_APP_SERVER_LOGIN_ISSUER', 'CODEX_APP_SERVER_LOGIN_CLIENT_ID'];

/**
 * Logs in with codex's own device code in a clean home, which is gone with its codex afterwards, whatever happened. The
 * next login removes what a killed one left.
 * @throws TaskError `HostUnfit` while another login runs on this data folder, `CodexFailed` when it is refused or
 * nobody logs in in time; the signal's reason when aborted
 */
export async function loginWithDeviceCode<T>(options: LoginOptions<T>): Promise<T> {
  const root = join(options.dataDir, 'login');
  await mkdir(root, { recursive: true, mode: 0o700 });
  const lock = lockFolder(root, 'login');
  if (!lock)
    throw new TaskError('HostUnfit', `Another login runs on ${root}: end it, or set CODEX_TASK_DATA_DIR`);
  try {
    await removeLeftovers(root, options.log);
    return await login(options, root);
  } finally {
    lock.release();
  }
}

async function removeLeftovers(root: string, log: Log): Promise<void> {
  for (const name of await readdir(tasksFolder(root)).catch(() => [])) {
    const folder = folderNamed(root, name);
    await reapProcess(folder, log);
    await removeFolder(folder.root);
  }
}

async function login<T>(options: LoginOptions<T>, root: string): Promise<T> {
  const { codex: binary, env, dataDir, signal } = options;
  const folder = taskFolder(root, `login-${randomBytes(4).toString('hex')}`);
  const ended = whenEnded();
  let codex: PrivateCodex | null = null;
  try {
    await makeHome(folder, null);
    codex = await launchPrivateCodex({
      codex: binary,
      env,
      passEnv: ISSUER_VARIABLES,
      dataDir,
      folder,
      configToml: null,
      signal,
      onNotification: ended.seen,
      record: (identity) => ({
        ...identity,
        socket: folder.socket,
        codexVersion: binary.version,
        taskId: folder.taskId,
        launchedAt: new Date().toISOString(),
        runId: 'login',
        hostId: 'login',
      }),
    });
    const error = await waitForPerson(codex.rpc, options, ended.error);
    await codex.stop();
    const authJson = await readAuth(folder);
    // The login may hold though codex could not find its backend afterwards.
    if (!authJson || !isValidAuth(authJson))
      throw new TaskError('CodexFailed', `The login failed: ${error ?? 'codex wrote no auth.json'}`);
    const facts = readAuthFacts(authJson)!;
    return await captureOrKeep(options, root, { authJson, account: accountInfo(facts, null) });
  } finally {
    await codex?.stop();
    await removeFolder(folder.root);
  }
}

/** Keeps next to the homes what cannot be stored, so that nobody has to log in twice. */
async function captureOrKeep<T>({ capture }: LoginOptions<T>, root: string, login: NewLogin): Promise<T> {
  try {
    return await capture(login);
  } catch (error) {
    const path = join(root, `auth-${randomBytes(4).toString('hex')}.json`);
    await writeFile(path, login.authJson, { mode: 0o600, flag: 'wx' });
    throw new TaskError(
      error instanceof TaskError ? error.code : 'Unavailable',
      `The login could not be stored (${reasonOf(error)}); it is kept in ${path}: codex-task seeds add --auth-json ${path} --move --pool …`,
      { cause: error },
    );
  }
}

/** Codex's reason why it failed; null: it did not. */
async function waitForPerson(
  rpc: Rpc,
  { onCode, timeoutMs, signal }: LoginOptions<unknown>,
  ended: Promise<string | null>,
): Promise<string | null> {
  const answer = await rpc.call(
    'account/login/start',
    { type: 'chatgptDeviceCode' },
    { timeoutMs: START_MS, signal },
  );
  if (answer.type !== 'chatgptDeviceCode')
    throw new TaskError('CodexFailed', `codex began a login of type ${answer.type}`);
  const { loginId, verificationUrl, userCode } = answer;
  onCode({ verificationUrl, userCode });
  const codexEnds = async (): Promise<never> => {
    throw new TaskError('CodexFailed', `codex ended: ${await rpc.closed}`);
  };
  const timeEnds = async (over: AbortSignal): Promise<never> => {
    await pause(timeoutMs, over);
    over.throwIfAborted();
    throw new TaskError('CodexFailed', `Nobody logged in within ${timeoutMs / 1000} s`);
  };
  try {
    return await firstToSettle([() => ended, codexEnds, timeEnds], signal);
  } catch (error) {
    await rpc.call('account/login/cancel', { loginId }, { timeoutMs: CANCEL_MS }).catch(() => undefined);
    throw error;
  }
}

function whenEnded() {
  let end!: (error: string | null) => void;
  const error = new Promise<string | null>((resolve) => (end = resolve));
  return {
    error,
    seen: (method: string, params: unknown): void => {
      const event = readNotification(method, params);
      if (event?.method !== 'account/login/completed') return;
      end(event.params.success ? null : (event.params.error ?? 'codex does not say why'));
    },
  };
}
