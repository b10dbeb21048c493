import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import type { CodexBinary } from '../codex/binary.js';
import { childEnvironment } from '../codex/child-environment.js';
import { renderConfig } from '../codex/config-toml.js';
import { launchAppServer } from '../codex/launch.js';
import { connectRpc, type Rpc, type RpcHandlers } from '../codex/rpc.js';
import type { ProcessIdentity } from '../process/process-identity.js';
import { stopProcess } from '../process/stop-process.js';
import { writeProcessRecord, type ProcessRecord } from '../task-folder/process-record.js';
import type { TaskFolder } from '../task-folder/task-folder.js';
import { VERSION } from '../version.js';

/** A codex for its account alone: no thread is opened in it. */
export interface PrivateCodex {
  readonly rpc: Rpc;
  /** Stops it gracefully; resolves when it is gone. Idempotent. */
  stop(): Promise<void>;
}

export interface PrivateCodexOptions {
  readonly codex: CodexBinary;
  /** The worker's or the command's; codex gets an allow-list of it, and `passEnv`. */
  readonly env: NodeJS.ProcessEnv;
  readonly passEnv?: readonly string[];
  /** Hidden from sandboxed commands as a whole. */
  readonly dataDir: string;
  readonly folder: TaskFolder;
  readonly configToml: string | null;
  readonly record: (identity: ProcessIdentity) => ProcessRecord;
  readonly onNotification?: RpcHandlers['onNotification'];
  readonly signal: AbortSignal;
}

const CALL_MS = 30_000;
const METHOD_NOT_FOUND = -32601;

/** Makes the folder of a private codex, with this auth.json in its home. */
export async function makeHome(folder: TaskFolder, authJson: Buffer | null): Promise<void> {
  for (const path of [folder.root, folder.work, folder.codexHome])
    await mkdir(path, { recursive: true, mode: 0o700 });
  if (authJson) await writeFile(folder.authJson, authJson, { mode: 0o600 });
}

/**
 * Starts codex in a home that `makeHome` made and shakes hands.
 * @throws TaskError `CodexFailed`, `HostUnfit`; an `RpcError`; the signal's reason when aborted
 */
export async function launchPrivateCodex(options: PrivateCodexOptions): Promise<PrivateCodex> {
  const { codex, env, passEnv, dataDir, folder, signal } = options;
  const { home, codexHome, work, socket } = folder;
  const config = renderConfig({
    dataDir,
    workDir: work,
    workerEnv: env,
    codex: codex.path,
    codexConfig: backendOf(options.configToml),
    sandbox: { mode: 'read-only' },
    approvals: { policy: 'never' },
  });
  await writeFile(join(codexHome, 'config.toml'), config, { mode: 0o600 });
  const server = await launchAppServer({
    binary: codex.path,
    workDir: work,
    socketPath: socket,
    env: childEnvironment({ workerEnv: env, home, codexHome, passEnv }),
    logFile: folder.codexLog,
    signal,
    onSpawned: (identity) => writeProcessRecord(folder, options.record(identity)),
  });
  let rpc: Rpc | null = null;
  const stop = async () => {
    rpc?.close('stopped');
    await stopProcess(server, { codexHome, socketPath: socket });
  };
  try {
    const connected = await connectRpc(
      socket,
      {
        onNotification: options.onNotification ?? (() => undefined),
        onRequest: (id, method) =>
          connected.respondError(id, METHOD_NOT_FOUND, `${method} is not handled here`),
      },
      { signal },
    );
    rpc = connected;
    await connected.call('initialize', HANDSHAKE, { timeoutMs: CALL_MS, signal });
    connected.notify('initialized');
    return { rpc: connected, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Of a seed's settings only where its backend is: another model provider would hide the account. */
function backendOf(configToml: string | null): Record<string, unknown> {
  if (configToml === null) return {};
  try {
    const url = parse(configToml)['chatgpt_base_url'];
    return typeof url === 'string' ? { chatgpt_base_url: url } : {};
  } catch {
    // The task that uses the settings reports what is wrong with them.
    return {};
  }
}

const HANDSHAKE = {
  clientInfo: { name: 'codex_task_worker', title: 'codex-task-worker', version: VERSION },
  capabilities: { experimentalApi: true },
};
