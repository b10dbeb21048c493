import {
  assistantMessage,
  commandCall,
  fail,
  lastUserText,
  outputsOfTurn,
  startModelServer,
  streamedMessage,
  usageLimitReached,
  type ModelAnswer,
  type ModelServer,
} from '../../src/dev/model-server.js';
import type { Phase } from './plan.js';

/** A message of a run, as the model finds it in its text. */
export interface Asked {
  taskId: string;
  message: number;
  kind: string;
}

export const textOf = ({ taskId, message, kind }: Asked): string => `${taskId} ${message} ${kind}`;

export const answerTo = ({ taskId, message }: Asked): string => `${taskId} ${message} is done`;

/** The line that a message's command appends to `runs.txt`. */
export const runLine = (message: number): string => `run-${message}`;

const PIECES = 40;
/** Long enough for a fault while the task is parked. */
const LIMITED_MS = 6_000;

/** A model that does what messages ask, and tells where it is with each. */
export async function startChaosModel(
  reached: (asked: Asked, phase: Phase) => Promise<void>,
): Promise<ModelServer> {
  /** By message: the access token that is refused for it. */
  const refused = new Map<string, string | undefined>();
  /** By message: when its account has quota again, in ms since the epoch. */
  const limited = new Map<string, number>();
  return startModelServer({
    async script(request): Promise<ModelAnswer> {
      const text = lastUserText(request);
      const [taskId = '', message = '', kind = ''] = text.split(' ');
      const asked = { taskId, message: Number(message), kind };
      await reached(asked, 'model-asked');
      if (kind === 'refresh') {
        const token = request.headers.authorization;
        if (!refused.has(text)) refused.set(text, token);
        if (refused.get(text) === token) return [fail(401)];
      }
      if (kind === 'limit') {
        const resetsAt = limited.get(text) ?? Date.now() + LIMITED_MS;
        limited.set(text, resetsAt);
        if (Date.now() < resetsAt) return [usageLimitReached(new Date(resetsAt))];
      }
      if (kind === 'stream') return [streamedMessage(pieces(asked, reached))];
      if (kind === 'command' && outputsOfTurn(request).length === 0)
        return [commandCall(`echo ${runLine(asked.message)} >> runs.txt`, ASKING)];
      return [assistantMessage(answerTo(asked))];
    },
  });
}

const ASKING = { escalated: true, justification: 'to count' };

async function* pieces(asked: Asked, reached: (asked: Asked, phase: Phase) => Promise<void>) {
  for (let i = 0; i < PIECES; i++) {
    if (i === PIECES / 2) await reached(asked, 'streaming');
    yield `${i} `;
  }
  yield answerTo(asked);
}
