import { setTimeout as delay } from 'node:timers/promises';
import { within } from '../../async/within.js';
import { lastLines } from '../../codex/codex-log.js';
import type { AppServer } from '../../codex/launch.js';
import type { Rpc } from '../../codex/rpc.js';
import { reasonOf } from '../../errors.js';
import { isAlive } from '../../process/process-identity.js';
import { stopProcess } from '../../process/stop-process.js';
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
  'thread' | 'channel' | 'link' | 'record' | 'warnings'
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
export const liveSession = (parts: SessionParts): LiveSession => new ConnectedSession(parts);

class ConnectedSession implements LiveSession {
  readonly ref: LiveSession['ref'];
  readonly thread: LiveSession['thread'];
  readonly channel: LiveSession['channel'];
  readonly link: LiveSession['link'];
  readonly record: LiveSession['record'];
  readonly warnings: string[];
  readonly lost: Promise<Loss>;
  readonly left: Promise<void>;
  closed = false;
  #stopped: Promise<void> | null = null;
  #isLeft = false;
  #resolveLeft: () => void = () => undefined;

  constructor(private readonly parts: SessionParts) {
    this.ref = parts.task.ref;
    this.thread = parts.thread;
    this.channel = parts.channel;
    this.link = parts.link;
    this.record = parts.record;
    this.warnings = parts.warnings;
    this.left = new Promise<void>((resolve) => (this.#resolveLeft = resolve));
    this.lost = new Promise((resolve) => {
      void parts.rpc.closed.then(async (reason) => {
        if (this.#stopped || this.#isLeft) return;
        const loss = await lossOf(parts.task, parts.server, reason, parts.secrets);
        if (!loss.isAlive) parts.account.codexDied();
        if (!this.#stopped && !this.#isLeft) resolve(loss);
      });
    });
  }

  leave(options: { isGone: boolean }): void {
    this.#isLeft = true;
    this.closed = true;
    this.thread.leave(options);
    void this.channel.close();
    this.parts.checkpoints.close();
    this.parts.rpc.close('left');
    this.#resolveLeft();
  }

  stop({ atOnce = false } = {}): Promise<void> {
    this.closed = true;
    this.#stopped ??= this.#stop(atOnce).catch((error: unknown) => {
      // What could not be stopped now is to be tried again.
      this.#stopped = null;
      throw error;
    });
    return this.#stopped;
  }

  async #stop(atOnce: boolean): Promise<void> {
    const { task, server, rpc, account, checkpoints } = this.parts;
    // What fails ahead of the signals, as on a full disk, keeps from none of them.
    await this.#endGently(atOnce).catch(() => undefined);
    checkpoints.close();
    const { codexHome, socket: socketPath } = task.folder;
    // Its first SIGTERM waits for a turn that nobody can interrupt any more.
    const isQuick = this.#isLeft && !account.mayRefresh;
    try {
      await stopProcess(server, { codexHome, socketPath, ...(isQuick && { graceMs: LEFT_GRACE_MS }) });
    } finally {
      rpc.close('stopped');
      this.thread.fail('CodexFailed', 'The session was stopped');
      this.link.close();
    }
  }

  async #endGently(atOnce: boolean): Promise<void> {
    const { account } = this.parts;
    if (atOnce) account.giveUp();
    await this.channel.close().catch(() => undefined);
    if (!atOnce && !this.#isLeft) await this.#nameWhatEnds();
    // Once it was left nothing can be asked of codex, and its turn does not end here.
    if (!atOnce && !this.#isLeft) await account.barrier().catch(() => undefined);
    // Codex ends a refresh after a SIGTERM, and drops it when its turn is interrupted.
    if (!account.mayRefresh && !this.#isLeft) await this.#endTurn();
  }

  /** What a turn left running ends with codex; one that still runs is ended on somebody's word. */
  async #nameWhatEnds(): Promise<void> {
    const { task, rpc, troubles } = this.parts;
    if (this.thread.turns.runningId !== null) return;
    const warning = await commandsThatEnd(rpc, this.thread.id).catch(() => null);
    if (warning === null) return;
    troubles.say(warning);
    announce([warning], task.journal);
  }

  async #endTurn(): Promise<void> {
    this.thread.turns.close();
    await within(QUIET_MS, this.thread.turns.whenEnded());
  }
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
  const how = server.exited && (await within(GONE_MS, server.exited));
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
