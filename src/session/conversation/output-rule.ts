import { isDeepStrictEqual } from 'node:util';
import type { OutputSchema, TaskMessage } from '../../contract/index.js';
import { correctionId, correctionOf } from '../../input/own-ids.js';
import { appendEvent } from '../../journal/append-event.js';
import type { Journal } from '../../journal/journal.js';
import type { LedgerRecord } from '../../task-folder/ledger.js';
import type { RecalledEvents } from '../recall/recalled-events.js';
import type { RecallWriter } from '../recall/recall-writer.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';
import { badOutput, correctionText, detailsOf } from './bad-output.js';
import { checkOutput } from './check-output.js';
import type { MessageQueue } from './message-queue.js';

/** What the last turn came to. */
export interface Answered {
  /** The last agent message of the last turn. */
  finalMessage: string | null;
  /** What that is, where it fits the schema that it was asked with. */
  output?: { readonly value: unknown } | undefined;
  lastError?: string;
}

export interface OutputRuleOptions {
  readonly journal: Pick<Journal, 'append' | 'flushed'>;
  readonly queue: Pick<MessageQueue, 'take' | 'pushNext' | 'hurry'>;
  /** Gets what fits. */
  readonly progress: Answered;
  /** What an earlier process wrote down. */
  readonly past: readonly LedgerRecord[];
  readonly recalled: Pick<RecalledEvents, 'messages' | 'refusedTurn'> | undefined;
  readonly checkpoints: Pick<RecallWriter, 'outputRefused'> | undefined;
  /** The input's. */
  readonly outputSchema: OutputSchema | undefined;
  /** Corrections of one answer. */
  readonly outputRetries: number;
}

/** What the last messages of turns are to be. */
export interface OutputRule {
  /** The schema to begin the turn of a message with; undefined: none. */
  schemaFor(message: TaskMessage): OutputSchema | undefined;
  /** Whether a message may join the turn that began with this one: with a schema of its own only where it is the same. */
  mayJoin(message: TaskMessage, first: string | undefined): boolean;
  /**
   * Compares the last message of a turn that is over with its schema; null: there is nothing to compare. One that does not
   * fit is told once, over workers too, and corrected in a turn that comes next, unless that was done often enough: then
   * the outcome says so. Never rejects.
   */
  judge(last: TurnOutcome, isClosing: boolean): Promise<Pick<TurnOutcome, 'badOutput'>> | null;
}

/** A turn that is over, and what it was asked for. */
interface Asked {
  readonly turnId: string;
  readonly messageId: string;
  readonly schema: OutputSchema;
}

export function openOutputRule(options: OutputRuleOptions): OutputRule {
  const { past, recalled, outputSchema, outputRetries } = options;
  /** The message whose turn began last here. */
  let newest: { messageId: string; schema: OutputSchema | undefined } | null = null;
  let toldOf = recalled?.refusedTurn ?? null;

  const schemaOf = (messageId: string): OutputSchema | undefined => {
    if (newest?.messageId === messageId) return newest.schema;
    const record = past.findLast((each) => each.t === 'message' && each.message.messageId === messageId);
    return (record?.t === 'message' ? record.message.outputSchema : undefined) ?? outputSchema;
  };

  async function judge(asked: Asked, isClosing: boolean): Promise<Pick<TurnOutcome, 'badOutput'>> {
    const { turnId, messageId, schema } = asked;
    const text = options.progress.finalMessage;
    const checked = checkOutput(schema, text);
    if (checked.fits) {
      options.progress.output = { value: checked.value };
      return {};
    }
    const { faults } = checked;
    const attempt = (correctionOf(messageId)?.attempt ?? 0) + 1;
    const willRetry = attempt <= outputRetries && !isClosing;
    if (toldOf !== turnId) {
      toldOf = turnId;
      appendEvent(options.journal, { type: 'x-optio-output-refused', turnId, attempt, faults, willRetry });
      options.checkpoints?.outputRefused(turnId);
      // Once the correction is under way nobody would tell it any more.
      await options.journal.flushed().catch(() => undefined);
    }
    if (!willRetry) {
      if (!isClosing) options.progress.lastError = badOutput(faults);
      return { badOutput: detailsOf(text, faults) };
    }
    await correct({
      messageId: correctionId(attempt, turnId),
      text: correctionText(faults),
      outputSchema: schema,
    });
    return {};
  }

  /** Where it cannot be written down a next worker judges the answer again. */
  async function correct(message: TaskMessage): Promise<void> {
    const taken = await options.queue.take(message).catch(() => message);
    if (taken) options.queue.pushNext(taken);
    // An earlier process has written it down.
    else options.queue.hurry(message.messageId);
  }

  return {
    schemaFor({ messageId, outputSchema: own }) {
      newest = { messageId, schema: own ?? outputSchema };
      return newest.schema;
    },
    mayJoin: ({ outputSchema: own }, first) =>
      own === undefined || isDeepStrictEqual(own, first === undefined ? undefined : schemaOf(first)),
    judge(last, isClosing) {
      if (last.id === null || last.status !== 'completed' || last.timedOut) return null;
      const turnId = last.id;
      const messageId = last.messageId ?? firstOf(recalled, turnId);
      const schema = messageId === undefined ? undefined : schemaOf(messageId);
      if (messageId === undefined || schema === undefined) return null;
      return judge({ turnId, messageId, schema }, isClosing);
    },
  };
}

/** The message that a turn of an earlier process began with. */
const firstOf = (recalled: OutputRuleOptions['recalled'], turnId: string): string | undefined =>
  [...(recalled?.messages ?? [])].find(([, into]) => into === turnId)?.[0];
