import { assistantMessage, commandCall, type ModelAnswer } from './model-items.js';
import { outputsOfTurn, type ModelRequest } from './model-request.js';

const GREETING = 'Hello from codex';

/**
 * A model for demonstrations: for each message it asks to run a command outside the sandbox that writes `hello.txt`,
 * and then reports the outcome.
 */
export function demoScript(request: ModelRequest): ModelAnswer {
  const outputs = outputsOfTurn(request);
  if (outputs.length === 0) {
    const justification = 'Write hello.txt into the task folder and show it';
    return [
      commandCall(`echo '${GREETING}' > hello.txt && cat hello.txt`, { escalated: true, justification }),
    ];
  }
  const done = outputs.some((output) => output.includes(GREETING));
  return [
    assistantMessage(
      done ? `Done: hello.txt says "${GREETING}".` : 'I left it: the command was not allowed.',
    ),
  ];
}
