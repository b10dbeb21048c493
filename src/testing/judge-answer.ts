import { correctionId, correctionOf } from '../input/own-ids.js';
import { badOutput, correctionText, detailsOf } from '../session/conversation/bad-output.js';
import { checkOutput } from '../session/conversation/check-output.js';
import type { TurnOutcome } from '../session/recall/turn-outcome.js';
import type { Play, PlayedTurn } from './play.js';

/**
 * Compares what a turn said last with its schema, as a host does. One that does not fit is corrected by the turn that the
 * script has next; where it has none, the model says nothing better.
 */
export function judgeAnswer(
  play: Play,
  { id, messageId, outputSchema }: PlayedTurn,
  last: TurnOutcome,
): TurnOutcome {
  if (!outputSchema) return last;
  const { finalMessage, spec, left, queue } = play;
  const checked = checkOutput(outputSchema, finalMessage);
  if (checked.fits) {
    play.output = { value: checked.value };
    return last;
  }
  const { faults } = checked;
  const attempt = (correctionOf(messageId)?.attempt ?? 0) + 1;
  if (attempt <= (spec.limits.outputRetries ?? 1) && left.length > 0 && !play.closing) {
    queue.unshift({ messageId: correctionId(attempt, id), text: correctionText(faults), outputSchema });
    return last;
  }
  play.lastError = badOutput(faults);
  return { ...last, badOutput: detailsOf(finalMessage, faults) };
}
