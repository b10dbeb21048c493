import { orAborted } from '../async/abort.js';
import { TaskError } from '../errors.js';
import { listenerSecretFile, loadListenerSecret } from '../listener-secret.js';
import { lockDevFolder } from './dev-lock.js';
import { devPage, type DevLine } from './dev-page.js';
import { commandEnv, listenerUrlOf, readableUri, readDevSettings, workerEnv } from './dev-settings.js';
import { endLeftoverTasks } from './end-leftover-tasks.js';
import { holdsTasks, removeEphemeral } from './ephemeral-folder.js';
import { startStack } from './stack.js';
import { keepWorkerRunning, workerCommand } from './worker-process.js';

export interface DevOptions {
  /** One JSON line on stdout in place of a page. */
  json: boolean;
  /** False: only the stack, for a separate `codex-task worker`. */
  worker: boolean;
  /** Free ports and a fresh folder, which is removed at the end. */
  ephemeral: boolean;
}

export interface DevIo {
  stdout: { write(text: string): unknown; isTTY?: boolean };
  stderr: { write(text: string): unknown };
  /** Ends it. */
  signal: AbortSignal;
}

/** What `dev` starts; another one in tests. */
export interface DevParts {
  startStack: typeof startStack;
  workerCommand: readonly [string, ...string[]];
}

/**
 * Runs Temporal, MongoDB and a worker in the foreground until `io.signal` aborts. All of it is gone then within
 * 15 s: the worker first, which stops codex and saves what there is to save while the servers still answer.
 * @throws TaskError when a part cannot be started, and when a server ends by itself
 */
export async function runDev(
  options: DevOptions,
  given: NodeJS.ProcessEnv,
  io: DevIo,
  parts: DevParts = { startStack, workerCommand },
): Promise<void> {
  const say = (line: string) => void io.stderr.write(`${line}\n`);
  const steps: (() => Promise<unknown>)[] = [];
  try {
    const { config, env, stackFolder } = await readDevSettings(given, options.ephemeral);
    const { dataDir } = config;
    let endedWell = true;
    if (options.ephemeral) {
      steps.unshift(async () => {
        // Keeps what the worker had no time to save into a lasting database.
        const unsaved = !endedWell && given['MONGODB_URI'] && (await holdsTasks(dataDir));
        if (unsaved) say(`dev: ${dataDir} is kept, since it may hold unsaved credentials`);
        else await removeEphemeral(dataDir);
      });
    }
    steps.unshift(await lockDevFolder(stackFolder));
    await loadListenerSecret(dataDir, config.listenerSecret);
    const stack = await parts.startStack({
      folder: stackFolder,
      ephemeral: options.ephemeral,
      say,
      signal: io.signal,
      env,
    });
    steps.unshift(() => stack.close());
    if (options.worker || options.ephemeral) steps.unshift(() => endLeftoverTasks(dataDir));
    const worker = options.worker
      ? await keepWorkerRunning({
          command: parts.workerCommand,
          folder: stackFolder,
          env: workerEnv(env, stack),
          say,
          signal: io.signal,
        })
      : null;
    if (worker) steps.unshift(async () => (endedWell = await worker.stop()));
    const line: DevLine = {
      temporal: stack.temporal,
      mongodbUri: readableUri(stack.mongodbUri),
      listenerUrl: worker?.ready.listenerUrl ?? listenerUrlOf(config),
      listenerSecretFile: listenerSecretFile(dataDir),
      dataDir,
      devPid: process.pid,
      workerPid: worker?.ready.workerPid ?? null,
      env: commandEnv(env, stack),
    };
    io.stdout.write(options.json ? `${JSON.stringify(line)}\n` : devPage(line, io.stdout.isTTY === true));
    const ended = await orAborted(stack.ended, io.signal);
    say('dev: stopping the worker, then its servers');
    if (ended !== undefined) throw new TaskError('Unavailable', `${ended}; everything else is stopped`);
  } catch (error) {
    if (!io.signal.aborted) throw error;
  } finally {
    await inOrder(steps, say);
  }
}

/** Every step runs, even when earlier ones fail. */
async function inOrder(
  steps: readonly (() => Promise<unknown>)[],
  say: (line: string) => void,
): Promise<void> {
  for (const step of steps) await step().catch((error: unknown) => say(`dev: ${String(error)}`));
}
