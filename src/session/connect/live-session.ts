import { setTimeout as delay } from 'node:timers/promises';
import { within } from '../../async/within.js';
import { lastLines } from '../../codex/codex-log.js';
import type { AppServer } from '../../codex/launch.js';
import type { Rpc } from '../../codex/rpc.js';
import { reasonOf } from '../../errors.js';
import { isAlive } from '../../process/process-identity.js';
import { stopProcess } from '../../process/stop-process.js';
import type { CodexAccount } from '../account/codex-account.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { announce } from './sandbox-warnings.js';
import { commandsThatEnd, type Troubles } from '../conversation/troubles.js';
import type { TurnCheckpoints } from '../model/turn-checkpoints.js';
import type { LiveSession, Loss } from '../model/live-session.js';

/** How long a turn gets to end before codex is ended by signals. Milliseconds. */
const QUIET_MS = 5_000;
/** How long a detached Codex has after the first SIGTERM. Milliseconds. */
const SUPERSEDED_GRACE_MS = 1_000;
const LAST_LINES = 10;
/** How long a process may take to end after its socket has closed. Milliseconds. */
const GONE_MS = 500;
const POLL_MS = 20;

/** Parts of a session. */
export interface SessionParts extends Pick<
  LiveSession,
  'thread' | 'channel' | 'link' | 'record' | 'warnings'
> {
  readonly task: PreparedTask;
  readonly server: AppServer;
  readonly rpc: Rpc;
  readonly account: CodexAccount;
  readonly checkpoints: TurnCheckpoints;
  readonly troubles: Troubles;
  /** Secrets that no message may hold. */
  readonly secrets: readonly string[];
}

/** Watches a session: its stop, and the end of Codex without a stop. */
export const liveSession = (parts: SessionParts): LiveSession => new ConnectedSession(parts);

class ConnectedSession implements LiveSession {
  readonly ref: LiveSession['ref'];
  readonly thread: LiveSession['thread'];
  readonly channel: LiveSession['channel'];
  readonly link: LiveSession['link'];
  readonly record: LiveSession['record'];
  readonly warnings: string[];
  readonly lost: Promise<Loss>;
  readonly superseded: Promise<void>;
  closed = false;
  #stopped: Promise<void> | null = null;
  #isSuperseded = false;
  #resolveSuperseded: () => void = () => undefined;

  constructor(private readonly parts: SessionParts) {
    this.ref = parts.task.ref;
    this.thread = parts.thread;
    this.channel = parts.channel;
    this.link = parts.link;
    this.record = parts.record;
    this.warnings = parts.warnings;
    this.superseded = new Promise<void>((resolve) => (this.#resolveSuperseded = resolve));
    this.lost = new Promise((resolve) => {
      void parts.rpc.closed.then(async (reason) => {
        if (this.#stopped || this.#isSuperseded) return;
        const loss = await lossOf(parts.task, parts.server, reason, parts.secrets);
        if (!loss.isAlive) parts.account.codexDied();
        if (!this.#stopped && !this.#isSuperseded) resolve(loss);
      });
    });
  }

  leave(options: { isGone: boolean }): void {
    this.#isSuperseded = true;
    this.closed = true;
    this.thread.leave(options);
    void this.channel.close();
    this.parts.checkpoints.close();
    this.parts.rpc.close('superseded');
    this.#resolveSuperseded();
  }

  stop({ atOnce = false } = {}): Promise<void> {
    this.closed = true;
    this.#stopped ??= this.#stop(atOnce).catch((error: unknown) => {
      // A failed stop can be repeated.
      this.#stopped = null;
      throw error;
    });
    return this.#stopped;
  }

  async #stop(atOnce: boolean): Promise<void> {
    const { task, server, rpc, account, checkpoints } = this.parts;
    // Signals follow even when an earlier act fails, as on a full disk.
    await this.#endGently(atOnce).catch(() => undefined);
    checkpoints.close();
    const { codexHome, socket: socketPath } = task.folder;
    // Its first SIGTERM waits for a turn that nobody can interrupt any more.
    const isQuick = this.#isSuperseded && !account.mayRefresh;
    try {
      await stopProcess(server, { codexHome, socketPath, ...(isQuick && { graceMs: SUPERSEDED_GRACE_MS }) });
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
    if (!atOnce && !this.#isSuperseded) await this.#nameWhatEnds();
    // A detached session can ask Codex for nothing, and its turn does not end here.
    if (!atOnce && !this.#isSuperseded) await account.barrier().catch(() => undefined);
    // Codex ends a refresh after a SIGTERM, but drops it when its turn is interrupted.
    if (!account.mayRefresh && !this.#isSuperseded) await this.#endTurn();
  }

  /** Commands left running by a turn end with Codex; a running turn is ended on request. */
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

/** A killed process is gone as soon as its socket is, but for a short delay of the system. */
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
  // The parent is notified a little later on a busy machine.
  const how = server.exited && (await within(GONE_MS, server.exited));
  const line = await lastLines(task.folder.codexLog, 1, secrets).catch(() => '');
  const said = line ? `; its last line: ${line}` : '';
  return { isAlive: false, reason: `codex app-server ${how ?? 'ended'}${said}` };
}

/** The failure, with Codex's last lines. */
export async function failureText(
  task: PreparedTask,
  error: unknown,
  secrets: readonly string[],
): Promise<string> {
  const lines = await lastLines(task.folder.codexLog, LAST_LINES, secrets).catch(() => '');
  return lines ? `${reasonOf(error)}; codex said: ${lines}` : reasonOf(error);
}
