import { arrayOf, numberOrNull, objectOf, textOf, textOrNull, type Fields } from './fields.js';
import type { FileChange, PlanItem, ViewItem } from './types.js';

/** What an event says of an item beside the item itself. */
export type Place = Pick<ViewItem, 'key' | 'threadId' | 'turnId' | 'at' | 'isOpen' | 'isCut' | 'isHistory'>;

/**
 * An item of codex as a view has it. What is spread comes last in each object: with fields after it V8 (Node 20) takes 20
 * times as long.
 */
export function itemOf(place: Place, item: Fields): ViewItem {
  const itemId = textOf(item['id']);
  const status = textOf(item['status']);
  switch (item['type']) {
    case 'userMessage':
      return {
        kind: 'message',
        role: 'user',
        itemId,
        text: messageText(item),
        images: imagesOf(item),
        phase: null,
        messageId: textOrNull(item['clientId']),
        ...place,
      };
    case 'agentMessage':
      return {
        kind: 'message',
        role: 'agent',
        itemId,
        text: textOf(item['text']),
        images: [],
        phase: textOrNull(item['phase']),
        messageId: null,
        ...place,
      };
    case 'reasoning':
      return {
        kind: 'reasoning',
        itemId,
        summary: arrayOf(item['summary']).map(textOf).join(PARAGRAPH),
        text: arrayOf(item['content']).map(textOf).join(PARAGRAPH),
        ...place,
      };
    case 'commandExecution':
      return {
        kind: 'command',
        itemId,
        command: textOf(item['command']),
        cwd: textOf(item['cwd']),
        status,
        output: textOf(item['aggregatedOutput']),
        exitCode: numberOrNull(item['exitCode']),
        durationMs: numberOrNull(item['durationMs']),
        ...place,
      };
    case 'fileChange':
      return { kind: 'fileChange', itemId, status, changes: changesOf(item['changes']), ...place };
    case 'mcpToolCall':
      return {
        kind: 'mcp',
        itemId,
        server: textOf(item['server']),
        tool: textOf(item['tool']),
        arguments: item['arguments'],
        status,
        error: textOrNull(objectOf(item['error'])['message']),
        progress: '',
        ...place,
      };
    case 'plan':
      return { kind: 'plan', text: textOf(item['text']), steps: [], ...place };
    default:
      return { kind: 'other', itemId, type: textOf(item['type']), item, ...place };
  }
}

export const changesOf = (value: unknown): FileChange[] =>
  arrayOf(value).map((each) => {
    const { path, kind, diff } = objectOf(each);
    const { type, move_path: movedTo } = objectOf(kind);
    return {
      path: textOf(path),
      change: textOf(type ?? kind),
      movedTo: textOrNull(movedTo),
      diff: textOf(diff),
    };
  });

export const stepsOf = (value: unknown): PlanItem['steps'] =>
  arrayOf(value).map((each) => {
    const { step, status } = objectOf(each);
    return { step: textOf(step), status: textOf(status) };
  });

export const PARAGRAPH = '\n\n';

/** An earlier version of the original wrote a message's text beside its type. */
function messageText({ text, content }: Fields): string {
  if (typeof text === 'string') return text;
  const parts = arrayOf(content).map(objectOf);
  return parts.map((part) => (part['type'] === 'text' ? textOf(part['text']) : '')).join('');
}

const imagesOf = ({ content }: Fields): string[] =>
  arrayOf(content)
    .map(objectOf)
    .filter(({ type }) => type !== 'text')
    .map(({ type, path, url }) => textOf(path) || textOf(url) || textOf(type));
