import { setTimeout as delay } from 'node:timers/promises';
import type { UserInput } from '../../codex/protocol.js';
import { RpcClosed } from '../../codex/rpc-errors.js';
import type { TaskMessage } from '../../contract/index.js';
import { reasonOf } from '../../errors.js';
import type { Journal } from '../../journal/journal.js';
import type { Ledger, LedgerRecord } from '../../task-folder/ledger.js';
import type { MessageQueue } from './message-queue.js';
import type { CodexCalls } from './codex-calls.js';
import { keepImages } from './image-inputs.js';
import type { ModelChoice } from './model-choice.js';
import type { OutputRule } from './output-rule.js';
import type { RunningTurn } from './running-turn.js';
import { appendEvent } from '../../journal/append-event.js';

const STEER_MS = 30_000;
const RETRY_MS = 500;

export interface SendOptions {
  readonly codex: Pick<CodexCalls, 'call'>;
  readonly journal: Pick<Journal, 'append' | 'flushed'>;
  readonly ledger: Pick<Ledger, 'write'>;
  readonly queue: MessageQueue;
  readonly choice: ModelChoice;
  readonly output: Pick<OutputRule, 'schemaFor' | 'mayJoin'>;
  readonly threadId: string;
  readonly workDir: string;
}

/** The current turn queue that a message is sent from. */
interface SendingLine {
  readonly turn: RunningTurn | null;
  readonly isOver: boolean;
}

/**
 * Asks Codex for the turn of a message, once that is recorded. Never rejects: when Codex refuses it, the turn is over
 * and clients are told.
 */
export async function startTurn(
  turn: RunningTurn,
  message: TaskMessage,
  options: SendOptions,
  turns: SendingLine,
): Promise<void> {
  const { workDir, choice, journal, ledger, queue } = options;
  const { messageId } = message;
  try {
    const input = inputOf(message.text, await keepImages(message.images, workDir));
    const isOver = () => turns.turn !== turn;
    await note(ledger, { t: 'turn', messageId }, isOver, () => queue.putFirst(message));
    queue.takeOut(messageId);
    const override = choice.next();
    const outputSchema = options.output.schemaFor(message);
    await turn.start(input, messageId, { ...override, ...(outputSchema && { outputSchema }) });
    choice.taken(override);
  } catch (error) {
    if (turns.turn !== turn || turn.id !== null) return;
    // Codex or its connection is gone: whoever detects that decides about the message.
    if (error instanceof RpcClosed) return;
    appendEvent(journal, { type: 'x-optio-turn-rejected', messageId, reason: reasonOf(error) });
    // A sender that was told may repeat it, and a later worker must not. Without a reader it stays open.
    void journal
      .flushed()
      .then(() => note(ledger, { t: 'accepted', messageId }, () => turns.isOver))
      .catch(() => undefined);
    turn.rejected(error);
  }
}

/**
 * Puts a message into a running turn.
 * @throws when none runs or it ends first, or the error of Codex
 */
export async function steerTurn(
  turn: RunningTurn | null,
  message: TaskMessage,
  { codex, ledger, threadId, workDir, output }: SendOptions,
): Promise<void> {
  const { messageId, text, images } = message;
  const expectedTurnId = await turn?.begun;
  if (!turn || !expectedTurnId) throw new Error('no turn runs');
  if (!output.mayJoin(message, turn.firstMessage)) throw new Error('its answer is to have another schema');
  const input = inputOf(text, await keepImages(images, workDir));
  await ledger.write({ t: 'turn', messageId });
  const params = { threadId, expectedTurnId, input, clientUserMessageId: messageId };
  await codex.call('turn/steer', params, { timeoutMs: STEER_MS });
}

/**
 * Appends the record, retrying while the disk is full (warned once).
 * @throws the disk's error, when `isOver` by then
 */
async function note(
  ledger: SendOptions['ledger'],
  record: LedgerRecord,
  isOver: () => boolean,
  onFull = () => {},
): Promise<void> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await ledger.write(record);
    } catch (error) {
      if (isFirst) onFull();
      if (isOver()) throw error;
      await delay(RETRY_MS);
    }
  }
}

const inputOf = (text: string, images: readonly string[]): UserInput[] => [
  { type: 'text', text },
  ...images.map((path) => ({ type: 'localImage' as const, path })),
];
