import type { HookRequestAnswer } from '../../contract/index.js';
import type { SessionReports } from '../conversation/session-reports.js';
import type { TurnQueue } from '../conversation/turn-queue.js';

/** What goes on between a session and its caller beside messages and permissions: the agent's log, and hooks. */
export interface AgentChannel {
  /** Whether something is to be settled before the session may end by itself. */
  readonly holds: boolean;
  turnEnded(): void;
  start(to: ChannelTarget): Promise<void>;
  /** Takes a hook's answer. Idempotent. */
  answer(answer: HookRequestAnswer): Promise<void>;
  /** A client stored a file, of which the caller is told: `path` below work, its size in bytes. */
  uploaded(path: string, bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** The part of a thread that the channel acts on. */
export interface ChannelTarget {
  accept(message: { messageId: string; text: string }, options: { reopen: true }): Promise<unknown>;
  readonly turns: Pick<TurnQueue, 'conclude' | 'reconsider'>;
  readonly reports: Pick<SessionReports, 'setProgress'>;
}
