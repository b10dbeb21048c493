import type { ApprovalPolicy, PermissionRule, PolicyRule } from '../../contract/index.js';
import type { Journal } from '../../journal/journal.js';
import type { RecallWriter } from '../recall/recall-writer.js';
import type { Ledger } from '../../task-folder/ledger.js';
import type { WorkflowLink } from './workflow-link.js';
import type { RecalledEvents } from '../recall/recalled-events.js';

/** The id of a request of codex, its own. */
export type CodexId = string | number;

/** Inputs of the permission gate. */
export interface GateOptions {
  readonly journal: Pick<Journal, 'append'>;
  readonly ledger: Ledger;
  readonly checkpoints?: Pick<RecallWriter, 'noteRequest'>;
  /** Records of an earlier process about this thread. */
  readonly recalled?: Pick<RecalledEvents, 'requests'>;
  readonly link: WorkflowLink;
  /** Number of the task's app-server process: Codex's request ids begin at 0 in each. */
  readonly incarnation: number;
  /** With absolute paths. */
  readonly rules: readonly PermissionRule[];
  /** Rules in Codex's own notation; the strictest match counts. */
  readonly policyRules?: readonly PolicyRule[];
  readonly workDir: string;
  readonly policy?: ApprovalPolicy;
  /** Whether every command of the task has the network. */
  readonly network?: boolean;
  readonly changesOf: (itemId: unknown) => unknown;
  readonly commandOf?: (itemId: unknown) => string | undefined;
  /** Called when the turn of a request's item is over: Codex does not end that item. */
  readonly onCut: (itemId: unknown) => void;
  /**
   * Tells the model the reason of a denial; resolves when Codex has it, or gets it as the next message. Never
   * rejects.
   */
  readonly tell: (requestId: string, text: string) => Promise<void>;
  /** Called when the first request opens and when none is open any more. */
  readonly onOpen: (isOpen: boolean) => void;
  readonly answers: {
    respond(id: CodexId, result: unknown): void;
    respondError(id: CodexId, code: number, message: string): void;
  };
}
