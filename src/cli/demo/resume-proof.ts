import { earlierMessages, lastUserText, RECALL_PROMPT, type ModelRequest } from '../../dev/model-server.js';
import { printable, type Paint } from '../output.js';

/** A message of the conversation as the model was given it. */
export interface GivenMessage {
  role: string;
  text: string;
}

/**
 * What the model was given of the time before, when it was last asked for the word: an empty list when the model
 * is the real one, of which nobody knows. Null: the word was not among it.
 */
export function memoryOf(requests: readonly ModelRequest[] | null, word: string): GivenMessage[] | null {
  if (requests === null) return [];
  const asked = requests.findLast((request) => lastUserText(request) === RECALL_PROMPT);
  if (!asked) return null;
  const given = earlierMessages(asked);
  const told = given.findIndex(({ role, text }) => role === 'user' && text.includes(word));
  return told === -1 ? null : given.slice(told);
}

/** The same for people. */
export function describeMemory(memory: readonly GivenMessage[], paint: Paint): string {
  if (memory.length === 0) return '';
  const lines = memory
    .filter(isSaid)
    .map(({ role, text }) => `    ${paint.dim(`${role}:`)} ${oneLine(text)}`);
  return ['  because its request held, from before:', ...lines].join('\n');
}

/** Codex tells the model about its surroundings in messages of its own. */
const isSaid = ({ role, text }: GivenMessage): boolean =>
  role !== 'developer' && !/^(<|# AGENTS\.md)/.test(text);

const oneLine = (text: string): string => {
  const line = printable(text).replaceAll('\n', ' ⏎ ');
  return line.length > 100 ? `${line.slice(0, 100)}…` : line;
};
