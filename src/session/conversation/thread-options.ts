import type { Models } from '../../codex/models.js';
import type {
  ApprovalPolicy,
  OutputSchema,
  PermissionRule,
  PolicyRule,
  SessionReport,
  TaskMode,
} from '../../contract/index.js';
import type { CodexCalls } from './codex-calls.js';
import type { Journal } from '../../journal/journal.js';
import type { RecallWriter } from '../recall/recall-writer.js';
import type { Ledger } from '../../task-folder/ledger.js';
import type { HoldOutRule } from './usage-limit.js';
import type { WorkflowLink } from './workflow-link.js';
import type { RecalledEvents } from '../recall/recalled-events.js';

/** Inputs of a thread, and its settings. */
export interface ThreadOptions {
  readonly codex: CodexCalls;
  readonly journal: Pick<Journal, 'append' | 'sync' | 'flushed'>;
  readonly ledger: Ledger;
  readonly link: WorkflowLink;
  /** How many sessions of the task began on this host before. Default 0. */
  readonly session?: number;
  /** Added to each report to the workflow. */
  readonly about?: () => Partial<SessionReport>;
  /** Number of the task's app-server process. */
  readonly incarnation: number;
  readonly mode: TaskMode;
  readonly threadId: string;
  readonly workDir: string;
  /** Policy of Codex for approval requests. */
  readonly policy?: ApprovalPolicy;
  /** Whether every command of the task has the network. */
  readonly network?: boolean;
  readonly models: Models;
  /** In force when the thread was opened. */
  readonly model: string | null;
  readonly effort: string | null;
  /** From the input; sent with the first turn. */
  readonly wantedEffort: string | null;
  /** With absolute paths. */
  readonly rules: readonly PermissionRule[];
  /** Rules in Codex's own notation; the strictest match counts. */
  readonly policyRules?: readonly PolicyRule[];
  /** What the last message of each turn is to be; default: anything. */
  readonly outputSchema?: OutputSchema | undefined;
  /** Corrections of an answer that is not; default 1. */
  readonly outputRetries?: number | undefined;
  /** Milliseconds. */
  readonly turnMs: number;
  readonly idleMs: number;
  readonly onTurnEnded?: () => void;
  readonly checkpoints?: RecallWriter;
  /** Whether something else must be settled before the session ends by itself. */
  readonly holds?: () => boolean;
  /** Default: that of a task without a seed. */
  readonly holdOut?: HoldOutRule;
  /** Awaited after each turn, before another begins. Never rejects. */
  readonly betweenTurns?: () => Promise<void>;
  /** Records of an earlier process about this thread. */
  readonly recalled?: Pick<
    RecalledEvents,
    | 'turns'
    | 'usage'
    | 'otherUsage'
    | 'finalMessage'
    | 'lastTurn'
    | 'rateLimits'
    | 'requests'
    | 'messages'
    | 'refusedTurn'
  >;
}
