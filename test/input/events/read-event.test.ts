import { describe, expect, it } from 'vitest';
import { isRequest, type NamedEvent } from '../../../src/contract/index.js';
import { readEvent } from '../../../src/input/events/read-event.js';
import { seeded } from '../../support/seeded.js';
import { mutated } from '../../support/mutated.js';
import { realJournals } from '../../view/journals.js';

const inTurn = { threadId: 'th', turnId: 'tu' };
const message = { type: 'agentMessage', id: 'm', text: 'hello' };

/** What a caller reads of an event: it compiles only where each case has the type of its name. */
function toldBy({ name, event }: NamedEvent): unknown {
  switch (name) {
    case 'item/completed':
      return event.params.item.type === 'commandExecution'
        ? event.params.item.exitCode
        : event.params.item.id;
    case 'item/agentMessage/delta':
      return event.params.delta.length;
    case 'turn/completed':
      return event.params.turn.status satisfies 'completed' | 'interrupted' | 'failed' | 'inProgress';
    case 'item/commandExecution/requestApproval':
    case 'item/fileChange/requestApproval':
      return [event.id.length, event.params.itemId.length];
    case 'x-optio-permission-answered':
      return [event.request_id.length, event.behavior satisfies 'allow' | 'deny'];
    case 'x-optio-unsupported':
      return event.method.length;
    case 'x-optio-late':
      return event.event.method.length;
    case 'unknown':
      return event['anything'] ?? null;
    default:
      return undefined;
  }
}

describe('readEvent', () => {
  it('names every event of real tasks that this version knows, unchanged', () => {
    expect(realJournals.size).toBeGreaterThan(3);
    const unknown = new Set<unknown>();
    for (const journal of realJournals.values())
      for (const { event } of journal) {
        const named = readEvent({ ...event });
        expect(named.event).toEqual(event);
        if (named.name === 'unknown') unknown.add(named.event['method'] ?? named.event['type']);
        else expect(named.name).toBe('type' in event ? event.type : 'method' in event && event.method);
      }
    // Codex sends these beside what the contract has types for.
    expect([...unknown].sort()).toEqual([
      'remoteControl/status/changed',
      'thread/readState/changed',
      'thread/reverted',
    ]);
  });

  it.each([
    [
      'a notification',
      'item/completed',
      { method: 'item/completed', params: { ...inTurn, item: message } },
      'm',
    ],
    [
      'a request',
      'item/fileChange/requestApproval',
      { method: 'item/fileChange/requestApproval', id: '0-1', params: { ...inTurn, itemId: 'f' } },
      [3, 1],
    ],
    [
      'ours',
      'x-optio-permission-answered',
      { type: 'x-optio-permission-answered', request_id: 'r', behavior: 'deny', decidedBy: 'rule' },
      [1, 'deny'],
    ],
    [
      'ours that names a method of codex',
      'x-optio-unsupported',
      { type: 'x-optio-unsupported', method: 'turn/completed' },
      14,
    ],
    [
      'with fields of a later version',
      'turn/completed',
      {
        method: 'turn/completed',
        later: 1,
        params: { later: 2, threadId: 'th', turn: { id: 'tu', items: [], status: 'failed', later: 3 } },
      },
      'failed',
    ],
  ])('gives %s its name and its type', (_, name, event, told) => {
    expect(readEvent(event)).toEqual({ name, event });
    expect(toldBy(readEvent(event))).toEqual(told);
  });

  it.each([
    ['a method that is not known', { method: 'fs/changed', params: {} }],
    ['a type that is not known', { type: 'x-optio-new' }],
    ['nothing', {}],
    ['no parameters', { method: 'turn/completed' }],
    [
      'an item without its text',
      { method: 'item/completed', params: { ...inTurn, item: { ...message, text: 1 } } },
    ],
    [
      'an item that is not known',
      { method: 'item/started', params: { ...inTurn, item: { type: 'new', id: 'n' } } },
    ],
    [
      'a request without an id',
      { method: 'item/fileChange/requestApproval', params: { ...inTurn, itemId: 'f' } },
    ],
    ['a notification with an id', { method: 'warning', id: '1', params: { message: 'm' } }],
    [
      'a decision that is neither',
      { type: 'x-optio-permission-answered', request_id: 'r', behavior: 'x', decidedBy: 'y' },
    ],
    [
      'a late event that is none',
      { type: 'x-optio-late', event: { method: 'item/completed', params: null } },
    ],
    ['a name of Object’s', { method: 'constructor', params: {} }],
    ['a mark that is none', { method: 'warning', params: { message: 'm' }, 'x-optio-history': 'yes' }],
  ])('calls %s unknown, as it came', (_, event) => {
    expect(readEvent(event)).toEqual({ name: 'unknown', event });
    expect(toldBy(readEvent(event))).toBeNull();
  });

  it('lets no event through to a caller that breaks the type of its name', () => {
    const random = seeded(7);
    let unknown = 0;
    for (const journal of realJournals.values())
      for (const { event } of journal)
        for (let n = 0; n < 20; n++) {
          const named = readEvent(mutated(event, random));
          expect(() => toldBy(named)).not.toThrow();
          if (named.name === 'unknown') unknown++;
        }
    expect(unknown).toBeGreaterThan(100);
  });

  it('tells requests from other events', () => {
    const request = readEvent({
      method: 'item/fileChange/requestApproval',
      id: '1',
      params: { ...inTurn, itemId: 'f' },
    });
    expect(isRequest(request) && request.event.id).toBe('1');
    expect(isRequest(readEvent({ method: 'new/request', id: '1', params: {} }))).toBe(false);
    expect(isRequest(readEvent({ type: 'x-optio-unsupported', method: 'new/request' }))).toBe(false);
    expect(isRequest(readEvent({ method: 'warning', params: { message: 'm' } }))).toBe(false);
  });
});
