import type { HookRequestAnswer } from '../../contract/index.js';
import type { SessionReports } from '../conversation/session-reports.js';
import type { TurnQueue } from '../conversation/turn-queue.js';

/** Connects a session with its caller besides messages and permissions: the agent's log, and hooks. */
export interface AgentChannel {
  /** Whether something must be settled before the session may end by itself. */
  readonly holds: boolean;
  turnEnded(): void;
  start(to: ChannelTarget): Promise<void>;
  /** Takes a hook's answer. Idempotent. */
  answer(answer: HookRequestAnswer): Promise<void>;
  /** Reports a stored file of a client to the caller: `path` below work, its size in bytes. */
  uploaded(path: string, bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** The part of a thread that the channel uses. */
export interface ChannelTarget {
  accept(message: { messageId: string; text: string }, options: { reopen: true }): Promise<unknown>;
  readonly turns: Pick<TurnQueue, 'conclude' | 'reconsider'>;
  readonly reports: Pick<SessionReports, 'setProgress'>;
}
