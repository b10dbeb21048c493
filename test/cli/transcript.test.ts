import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { createTranscript } from '../../src/cli/transcript.js';

const paint = pc.createColors(false);

function read(...events: object[]): string {
  const transcript = createTranscript('t1', paint);
  return events.map((event, i) => transcript({ id: i + 1, event })).join('');
}

const delta = (itemId: string, text: string) => ({
  method: 'item/agentMessage/delta',
  params: { itemId, delta: text },
});
const item = (fields: object, method = 'item/completed') => ({ method, params: { item: fields } });
const message = (id: string, text: string) => item({ type: 'agentMessage', id, text });
const command = (fields: object) =>
  item({ type: 'commandExecution', id: 'c', command: 'ls', status: 'completed', exitCode: 0, ...fields });

describe('the transcript', () => {
  it('shows what the user said', () => {
    const content = [
      { type: 'text', text: 'Do it\nnow' },
      { type: 'localImage', path: 'a.png' },
    ];
    expect(read(item({ type: 'userMessage', id: 'u', content }))).toBe('› Do it\n  now [a.png]\n');
  });

  it('streams a message once', () => {
    expect(read(delta('m', 'Hel'), delta('m', 'lo'), message('m', 'Hello'))).toBe('Hello\n');
    expect(read(delta('m', 'Hel'), message('m', 'Hello there'))).toBe('Hello there\n');
    expect(read(message('m', 'Hello'))).toBe('Hello\n');
  });

  it('shows a whole message that differs from its stream', () => {
    expect(read(delta('m', 'Hex'), message('m', 'Hello'))).toBe('Hex\nHello\n');
    expect(read(delta('a', 'One'), delta('b', 'Two'), message('a', 'One!'), message('b', 'Two'))).toBe(
      'One\nTwo\nOne!\nTwo\n',
    );
  });

  it('ends the line of a message that another event interrupts', () => {
    expect(read(delta('m', 'Hel'), command({ aggregatedOutput: 'a\n' }), message('m', 'Hello'))).toBe(
      'Hel\n$ ls\n  a\nHello\n',
    );
  });

  it('shows commands with output, exit code and refusal', () => {
    expect(read(command({ aggregatedOutput: 'a\nb\n' }))).toBe('$ ls\n  a\n  b\n');
    expect(read(command({ aggregatedOutput: null }))).toBe('$ ls\n');
    expect(read(command({ status: 'failed', exitCode: 2, aggregatedOutput: 'no' }))).toBe(
      '$ ls\n  no\n  exit code 2\n',
    );
    expect(read(command({ status: 'declined', exitCode: null }))).toBe('$ ls\n  declined\n');
  });

  it('shows the end of a long output', () => {
    const lines = Array.from({ length: 30 }, (_, i) => `line ${i}`);
    const text = read(command({ aggregatedOutput: lines.join('\n') }));
    expect(text).toContain('… 10 lines before\n  line 10\n');
    expect(text).toMatch(/line 29\n$/);
  });

  it('shows file changes', () => {
    const changes = [
      { path: 'a', kind: { type: 'add' }, diff: '+x' },
      { path: 'b', kind: { type: 'update', move_path: 'c' }, diff: '' },
      { path: 'd', kind: { type: 'delete' }, diff: '' },
    ];
    expect(read(item({ type: 'fileChange', id: 'f', status: 'completed', changes }))).toBe(
      '+ a\n~ b → c\n- d\n',
    );
    expect(read(item({ type: 'fileChange', id: 'f', status: 'declined', changes: [changes[0]] }))).toBe(
      '+ a declined\n',
    );
  });

  /** What codex tells of every request besides. */
  const place = { threadId: 'th', turnId: 'tu' };

  it('shows a request with what to type', () => {
    const request = {
      id: 'r7',
      method: 'item/commandExecution/requestApproval',
      params: { ...place, itemId: 'c', command: 'touch /opt/x', reason: 'need it' },
    };
    const text = read(request, {
      type: 'x-optio-permission-answered',
      request_id: 'r7',
      behavior: 'allow',
      decidedBy: 'cli',
    });
    expect(text).toMatch(/^\? Run .*touch \/opt\/x \(need it\)\n/);
    expect(text).toContain('\n    codex-task approve t1 r7\n    codex-task deny t1 r7\n');
    expect(text).toMatch(/✓ allowed by cli\n$/);
  });

  it('shows the diff of the file change that a request is about', () => {
    const changes = [{ path: '/opt/x', kind: { type: 'add' }, diff: '+hello\n+world\n' }];
    const begun = {
      method: 'item/started',
      params: { ...place, item: { type: 'fileChange', id: 'f', changes } },
    };
    const text = read(begun, {
      id: '0-1',
      method: 'item/fileChange/requestApproval',
      params: { ...place, itemId: 'f' },
    });
    expect(text).toContain('? Change /opt/x\n    +hello\n    +world\n    codex-task approve t1 0-1\n');
  });

  it('shows what a turn or a gap cut off, and the whole once it comes', () => {
    const began = {
      method: 'turn/started',
      params: { threadId: 'th', turn: { id: 'tu', status: 'inProgress' } },
    };
    const inTurn = (method: string, fields: object) => ({ method, params: { ...place, ...fields } });
    const said = inTurn('item/agentMessage/delta', { itemId: 'm', delta: 'Hel' });
    const ended = {
      method: 'turn/completed',
      params: { threadId: 'th', turn: { id: 'tu', status: 'interrupted' } },
    };
    expect(read(began, said, ended)).toBe('Hel\n— turn interrupted\n');
    const transcript = createTranscript('t1', paint);
    const told = (id: number, event: object) => transcript({ id, event });
    told(1, began);
    told(2, said);
    expect(told(9, { type: 'x-optio-gap', from: 3, to: 9 })).toBe(
      '\n! events 3 to 9 were lost with their host\n',
    );
    expect(told(10, inTurn('item/agentMessage/delta', { itemId: 'm', delta: 'ld' }))).toBe('');
    expect(told(10, said)).toBe('');
    const whole = { type: 'agentMessage', id: 'm', text: 'Hello world' };
    expect(told(11, inTurn('item/completed', { item: whole }))).toBe('Hello world\n');
  });

  it('shows a command whose end came after its turn in its place in time, once', () => {
    const running = { type: 'commandExecution', id: 'c', command: 'sleep 9', status: 'inProgress' };
    const late = {
      method: 'item/completed',
      params: { ...place, item: { ...running, status: 'completed', exitCode: 0 } },
    };
    expect(
      read(
        { type: 'x-optio-late', event: late },
        {
          type: 'x-optio-late',
          event: { method: 'item/agentMessage/delta', params: { ...place, itemId: 'm', delta: 'x' } },
        },
      ),
    ).toBe('$ sleep 9\n');
  });

  it('shows how turns and the task end', () => {
    expect(read({ method: 'turn/completed', params: { turn: { id: 'tu', status: 'completed' } } })).toBe(
      '— turn completed\n',
    );
    expect(
      read({
        method: 'turn/completed',
        params: { turn: { id: 'tu', status: 'failed', error: { message: 'limit' } } },
      }),
    ).toBe('— turn failed: limit\n');
    expect(read({ type: 'x-optio-closed', reason: 'close', outcome: 'closed' })).toBe('■ ended: closed\n');
    expect(read({ type: 'x-optio-gap', from: 5, to: 9_999 })).toBe(
      '! events 5 to 9999 were lost with their host\n',
    );
  });

  it('removes control characters from what others wrote', () => {
    const text = read(
      delta('m', '\x1b[2Ja\x07'),
      message('m', '\x1b[2Ja\x07'),
      command({ command: 'a\x1b]0;t\x07b' }),
    );
    expect(text).toBe('[2Ja\n$ a]0;tb\n');
  });

  it('ignores events that it does not know', () => {
    expect(
      read(
        {},
        { method: 'thread/tokenUsage/updated', params: null },
        { type: 'x-optio-new' },
        item({ type: 'new' }),
      ),
    ).toBe('');
  });
});
