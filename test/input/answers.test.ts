import { describe, expect, test } from 'vitest';
import type { PermissionKind } from '../../src/contract/index.js';
import { answerFault } from '../../src/input/answers.js';

const TOOL_CALL = { _meta: { codex_approval_kind: 'mcp_tool_call' } };
const NO_OBJECT = 'updated_input: expected an object';

describe('the answer of a decision', () => {
  test.each<[PermissionKind, object, string | null]>([
    ['permissions', { permissions: { network: { enabled: true } } }, NO_OBJECT],
    ['elicitation', { mode: 'form', requestedSchema: { properties: { name: {} } } }, NO_OBJECT],
    ['userInput', { questions: [] }, NO_OBJECT],
    ['elicitation', TOOL_CALL, null],
    ['command', { command: 'true' }, null],
    ['stdin', { command: 'true' }, null],
    ['tool', {}, null],
    ['fileChange', {}, null],
  ])('reads %s %j: a value that is no object becomes %j', (kind, input, expected) => {
    for (const updatedInput of ['text', '', [], 7, 0, true, false])
      expect(answerFault(kind, { ...input }, { behavior: 'allow', updatedInput })).toBe(expected);
    for (const updatedInput of [null, undefined])
      expect(answerFault(kind, { ...input }, { behavior: 'allow', updatedInput })).toBeNull();
    expect(answerFault(kind, { ...input }, { behavior: 'deny', updatedInput: 'text' })).toBeNull();
  });
});
