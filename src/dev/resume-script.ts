import { assistantMessage, commandCall, type ModelAnswer } from './model-items.js';
import { earlierUserTexts, lastUserText, outputsOfTurn, type ModelRequest } from './model-request.js';

/** Tells a task a word to remember, and asks for it. */
export const rememberPrompt = (word: string): string =>
  `Remember this word: ${word}. Also write it into word.txt with a shell command, and say when it is there.`;
export const RECALL_PROMPT =
  'Which word did I tell you to remember? Answer from our conversation; then print word.txt with a shell command and say what it holds.';

/** The word that this text tells to remember; null: it tells none. */
export const wordToldIn = (text: string): string | null =>
  /Remember this word: ([\w-]+)/.exec(text)?.[1] ?? null;

/**
 * A model for demonstrations of resuming. It knows nothing but what its request holds: a word that an earlier
 * message told, and what its commands put out.
 */
export function resumeScript(request: ModelRequest): ModelAnswer {
  const outputs = outputsOfTurn(request);
  const told = wordToldIn(lastUserText(request));
  if (told !== null) {
    if (outputs.length === 0) return [commandCall(`echo '${told}' > word.txt && cat word.txt`)];
    const isThere = outputs.some((output) => output.includes(told));
    return [
      assistantMessage(
        isThere ? `I have written ${told} into word.txt.` : 'The command failed: word.txt is not written.',
      ),
    ];
  }
  if (outputs.length === 0) return [commandCall('cat word.txt')];
  const known = earlierUserTexts(request)
    .map(wordToldIn)
    .findLast((word) => word !== null);
  const answer = known
    ? `You told me to remember ${known}.`
    : 'Nobody told me a word: this is the first I hear.';
  return [assistantMessage(`${answer} word.txt holds: ${printed(outputs.join('\n'))}`)];
}

/** What a command printed, without what codex writes before it. */
const printed = (output: string): string => output.slice(output.lastIndexOf('Output:\n') + 8).trim();
