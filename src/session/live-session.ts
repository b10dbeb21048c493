import { setTimeout as delay } from 'node:timers/promises';
import { lastLines } from '../codex/codex-log.js';
import type { AppServer } from '../codex/launch.js';
import type { Rpc } from '../codex/rpc.js';
import { reasonOf } from '../errors.js';
import { isAlive } from '../host/process-identity.js';
import { stopProcess } from '../host/stop-process.js';
import type { TaskRef } from '../step-arguments.js';
import type { Conversation } from './conversation.js';
import type { HostContext } from './host-context.js';
import type { PreparedTask } from './prepare-task.js';
import type { ProcessRecord } from './process-record.js';
import type { WorkflowLink } from './workflow-link.js';

/** How long a turn gets to end before codex is ended by signals. Milliseconds. */
const QUIET_MS = 5_000;
const LAST_LINES = 10;

/** A task whose codex runs and is connected. */
export interface LiveSession {
  readonly ref: TaskRef;
  readonly conversation: Conversation;
  readonly link: WorkflowLink;
  readonly record: ProcessRecord;
  readonly warnings: string[];
  /** From here on clients may read, not act. */
  closed: boolean;
  /** Stops codex gently; resolves when it and all it started are gone. Repeatable. */
  stop(): Promise<void>;
}

/** What a session is made of. */
export interface SessionParts extends Pick<LiveSession, 'conversation' | 'link' | 'record' | 'warnings'> {
  readonly task: PreparedTask;
  readonly server: AppServer;
  readonly rpc: Rpc;
  /** Values that no message may hold. */
  readonly secrets: readonly string[];
}

/** Watches over a session: its stop, and the end of codex without one. */
export function liveSession(host: HostContext, parts: SessionParts): LiveSession {
  const { task, server, rpc, conversation, link, record, warnings, secrets } = parts;
  let stopped: Promise<void> | null = null;
  const session: LiveSession = {
    ref: task.ref,
    conversation,
    link,
    record,
    warnings,
    closed: false,
    stop() {
      session.closed = true;
      stopped ??= stop();
      return stopped;
    },
  };
  async function stop(): Promise<void> {
    await conversation.close();
    const gaveUp = new AbortController();
    await Promise.race([
      conversation.whenEnded(),
      delay(QUIET_MS, undefined, { signal: gaveUp.signal }).catch(() => undefined),
    ]);
    gaveUp.abort();
    try {
      await stopProcess(server, { codexHome: task.folder.codexHome, socketPath: task.folder.socket });
    } finally {
      rpc.close('stopped');
      conversation.fail('CodexFailed', 'The session was stopped');
      link.close();
    }
  }
  void rpc.closed.then(async (reason) => {
    if (stopped) return;
    const alive = await isAlive(server).catch(() => false);
    host.log.warn({ taskId: task.ref.taskId, reason, alive }, 'codex.disconnected');
    const text = await failureText(task, new Error(`codex app-server ended: ${reason}`), secrets);
    conversation.fail('CodexFailed', text);
  });
  return session;
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
