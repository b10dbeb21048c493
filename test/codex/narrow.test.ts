import { expect, test } from 'vitest';
import { errorKind, readNotification, readRequest, readResult } from '../../src/codex/narrow.js';

test('a notification that is read is narrowed; unknown and malformed ones are not', () => {
  const turn = { id: 'u', status: 'completed', items: [{ type: 'agentMessage', id: 'i', text: 't' }] };
  const params = { threadId: 't', turn };
  expect(readNotification('turn/completed', params)).toEqual({ method: 'turn/completed', params });
  // Its id and status are read; its items, which other versions leave out, are not.
  const { items: _, ...bare } = turn;
  expect(readNotification('turn/completed', { threadId: 't', turn: bare })).toBeDefined();
  const { status: __, ...unended } = turn;
  expect(readNotification('turn/completed', { threadId: 't', turn: unended })).toBeUndefined();
  expect(readNotification('turn/completed', null)).toBeUndefined();
  expect(readNotification('skills/changed', {})).toBeUndefined();
  expect(readNotification('constructor', {})).toBeUndefined();
  expect(readNotification('serverRequest/resolved', { threadId: 't', requestId: 0 })).toBeDefined();
});

test('a request that is answered is narrowed, any other is not', () => {
  const params = { threadId: 't', turnId: 'u', itemId: 'i' };
  expect(readRequest('item/fileChange/requestApproval', params)).toBeDefined();
  expect(readRequest('item/permissions/requestApproval', params)).toBeUndefined();
  expect(readRequest('attestation/generate', {})).toBeUndefined();
});

test('a result without a required field is a failure of codex', () => {
  expect(readResult('turn/steer', { turnId: 'u', more: 1 }).turnId).toBe('u');
  expect(() => readResult('turn/steer', {})).toThrow(
    expect.objectContaining({
      code: 'CodexFailed',
      message: expect.stringContaining('turn/steer') as string,
    }) as Error,
  );
});

test('an error gets one name, whether codex sends it as text or as an object', () => {
  expect(errorKind('usageLimitExceeded')).toBe('usageLimitExceeded');
  expect(errorKind({ responseTooManyFailedAttempts: { httpStatusCode: 429 } })).toBe(
    'responseTooManyFailedAttempts',
  );
  expect(errorKind(null)).toBe('other');
});
