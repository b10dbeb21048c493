import { setTimeout as delay } from 'node:timers/promises';
import { lastLines } from '../../codex/codex-log.js';
import type { AppServer } from '../../codex/launch.js';
import type { Rpc } from '../../codex/rpc.js';
import { reasonOf } from '../../errors.js';
import { isAlive } from '../../host/process-identity.js';
import { stopProcess } from '../../host/stop-process.js';
import type { AccountGuard } from '../account/account-guard.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { announce } from './sandbox-warnings.js';
import { commandsThatEnd, type Troubles } from '../conversation/troubles.js';
import type { TurnCheckpoints } from '../model/turn-checkpoints.js';
import type { LiveSession, Loss } from '../model/live-session.js';

/** How long a turn gets to end before codex is ended by signals. Milliseconds. */
const QUIET_MS = 5_000;
/** How long a codex that was left gets after the first SIGTERM. Milliseconds. */
const LEFT_GRACE_MS = 1_000;
const LAST_LINES = 10;
/** How long a process whose socket closed gets to be gone. Milliseconds. */
const GONE_MS = 500;
const POLL_MS = 20;

/** What a session is made of. */
export interface SessionParts extends Pick<
  LiveSession,
  'conversation' | 'channel' | 'link' | 'record' | 'warnings'
> {
  readonly task: PreparedTask;
  readonly server: AppServer;
  readonly rpc: Rpc;
  readonly account: AccountGuard;
  readonly checkpoints: TurnCheckpoints;
  readonly troubles: Troubles;
  /** Values that no message may hold. */
  readonly secrets: readonly string[];
}

/** Watches over a session: its stop, and the end of codex without one. */
export function liveSession(parts: SessionParts): LiveSession {
  const { task, server, rpc, account, conversation, channel, link, checkpoints, record, warnings } = parts;
  const { troubles, secrets } = parts;
  let stopped: Promise<void> | null = null;
  let resolveLeft: () => void = () => undefined;
  let isLeft = false;
  const left = new Promise<void>((resolve) => (resolveLeft = resolve));
  const session: LiveSession = {
    ref: task.ref,
    conversation,
    channel,
    link,
    record,
    warnings,
    closed: false,
    left,
    lost: new Promise((resolve) => {
      void rpc.closed.then(async (reason) => {
        if (stopped || isLeft) return;
        const loss = await lossOf(task, server, reason, secrets);
        if (!loss.isAlive) account.codexDied();
        if (!stopped && !isLeft) resolve(loss);
      });
    }),
    leave(options) {
      isLeft = true;
      session.closed = true;
      conversation.leave(options);
      void channel.close();
      checkpoints.close();
      rpc.close('left');
      resolveLeft();
    },
    stop({ atOnce = false } = {}) {
      session.closed = true;
      stopped ??= stop(atOnce).catch((error: unknown) => {
        // What could not be stopped now is to be tried again.
        stopped = null;
        throw error;
      });
      return stopped;
    },
  };
  async function stop(atOnce: boolean): Promise<void> {
    // What fails ahead of the signals, as on a full disk, keeps from none of them.
    await endGently(atOnce).catch(() => undefined);
    checkpoints.close();
    const { codexHome, socket: socketPath } = task.folder;
    // Its first SIGTERM waits for a turn that nobody can interrupt any more.
    const isQuick = isLeft && !account.mayRefresh;
    try {
      await stopProcess(server, { codexHome, socketPath, ...(isQuick && { graceMs: LEFT_GRACE_MS }) });
    } finally {
      rpc.close('stopped');
      conversation.fail('CodexFailed', 'The session was stopped');
      link.close();
    }
  }
  async function endGently(atOnce: boolean): Promise<void> {
    if (atOnce) account.giveUp();
    await channel.close().catch(() => undefined);
    if (!atOnce && !isLeft) await nameWhatEnds();
    // Once it was left nothing can be asked of codex, and its turn does not end here.
    if (!atOnce && !isLeft) await account.barrier().catch(() => undefined);
    // Codex ends a refresh after a SIGTERM, and drops it when its turn is interrupted.
    if (!account.mayRefresh && !isLeft) await endTurn();
  }
  /** What a turn left running ends with codex; one that still runs is ended on somebody's word. */
  async function nameWhatEnds(): Promise<void> {
    if (conversation.runningTurn !== null) return;
    const warning = await commandsThatEnd(rpc, conversation.threadId).catch(() => null);
    if (warning === null) return;
    troubles.say(warning);
    announce([warning], task.journal);
  }
  async function endTurn(): Promise<void> {
    await conversation.close();
    const gaveUp = new AbortController();
    await Promise.race([
      conversation.whenEnded(),
      delay(QUIET_MS, undefined, { signal: gaveUp.signal }).catch(() => undefined),
    ]);
    gaveUp.abort();
  }
  return session;
}

/** A process that is killed is gone as soon as its socket is, but for the time that the system takes. */
async function lossOf(
  task: PreparedTask,
  server: AppServer,
  reason: string,
  secrets: readonly string[],
): Promise<Loss> {
  const deadline = performance.now() + GONE_MS;
  const lives = () => isAlive(server).catch(() => true);
  while ((await lives()) && performance.now() < deadline) await delay(POLL_MS);
  if (await lives()) return { isAlive: true, reason: `codex app-server closed its connection: ${reason}` };
  // Its parent hears of it a little later, on a busy machine.
  const how = await Promise.race([server.exited, delay(GONE_MS)]);
  const line = await lastLines(task.folder.codexLog, 1, secrets).catch(() => '');
  const said = line ? `; its last line: ${line}` : '';
  return { isAlive: false, reason: `codex app-server ${how ?? 'ended'}${said}` };
}

/** What went wrong, with codex's last lines. */
export async function failureText(
  task: PreparedTask,
  error: unknown,
  secrets: readonly string[],
): Promise<string> {
  const lines = await lastLines(task.folder.codexLog, LAST_LINES, secrets).catch(() => '');
  return lines ? `${reasonOf(error)}; codex said: ${lines}` : reasonOf(error);
}
