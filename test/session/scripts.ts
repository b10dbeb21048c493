import {
  assistantMessage,
  outputsOfTurn,
  type ModelAnswer,
  type ModelRequest,
  type ModelScript,
  type ResponseItem,
  type Step,
} from '../../src/dev/model-server.js';

/** A model that makes these calls one after another, and then says what it was told of the last one. */
export const calls =
  (...items: (ResponseItem | Step)[]): ModelScript =>
  (request) => {
    const outputs = outputsOfTurn(request);
    const next = items[outputs.length];
    return next ? [next] : [assistantMessage(outputs.at(-1) ?? 'done')];
  };

/** A model that answers its first, second, … request by the first, second, … of these, later ones with "done". */
export const answers =
  (...each: (ModelAnswer | ((request: ModelRequest) => ModelAnswer))[]): ModelScript =>
  (request, n) => {
    const answer = each[n - 1] ?? [assistantMessage('done')];
    return typeof answer === 'function' ? answer(request) : answer;
  };
