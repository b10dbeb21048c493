import { EventEmitter, once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { followEvents, type EventPlace, type FollowOptions } from '../../src/client/follow-events.js';
import { TaskError } from '../../src/errors.js';
import { elapse } from '../support/elapse.js';
import { standStill } from '../support/stand-still.js';
import {
  closed,
  frame,
  startEventServer,
  status,
  stream,
  type Answer,
  type EventServer,
} from './event-server.js';

const servers: EventServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function serve(...answers: Answer[]): Promise<EventServer> {
  const server = await startEventServer(...answers);
  servers.push(server);
  return server;
}

const sourceOf = (locate: () => EventPlace | Promise<EventPlace>, idleMs?: number) => ({
  taskId: 't1',
  authorization: 'Basic xyz',
  locate: async () => locate(),
  ...(idleMs !== undefined && { idleMs }),
});
const running = (server: EventServer) => sourceOf(() => ({ url: server.url, ended: false }));

/** A promise, and what fulfils it. */
function departure(): [Promise<unknown>, () => void] {
  const emitter = new EventEmitter();
  return [once(emitter, 'left'), () => emitter.emit('left')];
}

async function idsOf(source: Parameters<typeof followEvents>[0], options?: FollowOptions): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of followEvents(source, options)) ids.push(id);
  return ids;
}

describe('followEvents', () => {
  it('yields events as they are, under their names, and ends with x-optio-closed', async () => {
    const events = [
      { method: 'warning', params: { message: 'ä\u2028ö' } },
      { id: 'r1', method: 'x' },
      closed,
    ];
    const server = await serve(stream(events.map((event, i) => frame(i + 1, event))));
    const seen = [];
    for await (const event of followEvents(running(server))) seen.push(event);
    const names = ['warning', 'unknown', 'x-optio-closed'];
    expect(seen).toEqual(events.map((event, i) => ({ id: i + 1, name: names[i], event })));
    expect(server.requests).toEqual([{ url: '/tasks/t1/events', last: undefined, auth: 'Basic xyz' }]);
  });

  it('continues at the newest id after a cut and after an end without x-optio-closed', async () => {
    const server = await serve(
      stream([frame(4, {}), frame(5, {})], 'cut'),
      stream([frame(6, {})], 'end'),
      stream([frame(7, closed)]),
    );
    expect(await idsOf(running(server), { lastEventId: 3 })).toEqual([4, 5, 6, 7]);
    expect(server.requests.map(({ last }) => last)).toEqual(['3', '5', '6']);
  });

  it('joins frames that arrive in pieces, even within a character', async () => {
    const bytes = Buffer.from(frame(1, { text: '€😀' }) + frame(2, closed));
    const server = await serve((response) => {
      response.writeHead(200);
      const send = (at: number): void => {
        if (at >= bytes.length) return void response.end();
        response.write(bytes.subarray(at, at + 1), () => setImmediate(send, at + 1));
      };
      send(0);
    });
    const seen = [];
    for await (const { event } of followEvents(running(server))) seen.push(event);
    expect(seen).toEqual([{ text: '€😀' }, closed]);
  });

  it('ends when the listener has no events left', async () => {
    const server = await serve(status(204));
    expect(await idsOf(running(server), { lastEventId: 9 })).toEqual([]);
    expect(server.requests).toHaveLength(1);
  });

  it('asks where the task is when its listener is gone, and continues there', async () => {
    const old = await serve(stream([frame(1, {})], 'cut'));
    const next = await serve(stream([frame(2, {}), frame(3, closed)]));
    let asked = 0;
    const source = sourceOf(() => ({ url: (asked += 1) === 1 ? old.url : next.url, ended: false }));
    const ids: number[] = [];
    for await (const { id } of followEvents(source)) {
      ids.push(id);
      if (id === 1) await old.close();
    }
    expect(ids).toEqual([1, 2, 3]);
    expect(asked).toBe(2);
  });

  it('waits for a host, and retries temporary refusals', async () => {
    const server = await serve(status(503), status(404), stream([frame(1, closed)]));
    const places: EventPlace[] = [
      { url: null, ended: false },
      { url: server.url, ended: false },
    ];
    const reasons: string[] = [];
    const source = sourceOf(() => places[Math.min(reasons.length, 1)] as EventPlace);
    expect(await idsOf(source, { onRetry: (reason) => reasons.push(reason) })).toEqual([1]);
    expect(reasons[0]).toBe('no host has the task yet');
    expect(reasons[1]).toMatch(/answered 503/);
    expect(reasons[2]).toMatch(/does not have task t1/);
  });

  it('stays with the last listener while nobody can tell where the task is', async () => {
    const server = await serve(status(503), stream([frame(1, closed)]));
    let asked = 0;
    const source = sourceOf(() => {
      if ((asked += 1) > 1) throw new TaskError('Unavailable', 'Temporal is out of reach');
      return { url: server.url, ended: false };
    });
    expect(await idsOf(source)).toEqual([1]);
  });

  it('retries the last listener while it looks for the task, then moves there', async () => {
    const old = await serve(
      stream([frame(1, {})], 'end'),
      status(503),
      stream([frame(2, {})], 'end'),
      status(404),
    );
    const next = await serve(stream([frame(3, closed)]));
    let answer: (place: EventPlace) => void = () => undefined;
    const places = [{ url: old.url, ended: false }, new Promise<EventPlace>((resolve) => (answer = resolve))];
    let asked = 0;
    const source = sourceOf(() => places[asked++]!);
    const ids: number[] = [];
    for await (const { id } of followEvents(source)) {
      ids.push(id);
      if (id === 2) answer({ url: next.url, ended: false });
    }
    expect(ids).toEqual([1, 2, 3]);
    expect(asked).toBe(2);
  });

  it('closes a silent connection and connects again', async () => {
    const server = await serve((response, request) =>
      request.headers['last-event-id'] === '1'
        ? stream([frame(2, closed)])(response, request)
        : stream([frame(1, {})], 'assignment')(response, request),
    );
    const reasons: string[] = [];
    const source = sourceOf(() => ({ url: server.url, ended: false }), 100);
    expect(await idsOf(source, { onRetry: (reason) => reasons.push(reason) })).toEqual([1, 2]);
    // On a busy machine others may be as slow as that.
    expect(new Set(reasons)).toEqual(new Set([`The event stream of ${server.url} was silent for 0.1 s`]));
  });

  it('does not take its own standstill for a silent connection', async () => {
    let rest: () => void = () => undefined;
    const server = await serve((response, request) => {
      stream([frame(1, {})], 'assignment')(response, request);
      rest = () => response.write(frame(2, closed));
    });
    const source = sourceOf(() => ({ url: server.url, ended: false }), 200);
    const ids: number[] = [];
    for await (const { id } of followEvents(source)) {
      ids.push(id);
      // By then it waits for the next event, which is there before it can look at the time again.
      if (id === 1)
        setImmediate(() => {
          rest();
          standStill(300);
        });
    }
    expect(ids).toEqual([1, 2]);
    expect(server.requests).toHaveLength(1);
  });

  it('does not take a slow reader for a silent connection', async () => {
    const server = await serve(stream([frame(1, {}), frame(2, closed)]));
    const source = sourceOf(() => ({ url: server.url, ended: false }), 1_000);
    const ids: number[] = [];
    for await (const { id } of followEvents(source)) {
      ids.push(id);
      if (id === 1) await elapse(1_500);
    }
    expect(ids).toEqual([1, 2]);
    expect(server.requests).toHaveLength(1);
  });

  it('ends without an error when stopped, and releases the connection', async () => {
    const [gone, left] = departure();
    const server = await serve((response, request) => {
      request.on('close', () => left());
      stream([frame(1, {})], 'assignment')(response, request);
    });
    const stop = new AbortController();
    const ids: number[] = [];
    for await (const { id } of followEvents(running(server), { signal: stop.signal })) {
      ids.push(id);
      stop.abort();
    }
    expect(ids).toEqual([1]);
    await gone;
  });

  it('releases the connection when the reader leaves', async () => {
    const [gone, left] = departure();
    const server = await serve((response, request) => {
      request.on('close', () => left());
      stream([frame(1, {})], 'assignment')(response, request);
    });
    for await (const _ of followEvents(running(server))) break;
    await gone;
  });

  it.each<[string, Answer, Partial<EventPlace>, string]>([
    ['a wrong password', status(401), {}, 'BadInput'],
    ['what is no event stream of ours', stream(['data: hello\n\n']), {}, 'BadInput'],
    ['an ended task whose events are gone', status(404), { ended: true }, 'NotFound'],
    ['an ended task whose listener is down', status(503), { ended: true }, 'Unavailable'],
  ])('fails on %s', async (_what, answer, place, code) => {
    const server = await serve(answer);
    const source = sourceOf(() => ({ url: server.url, ended: false, ...place }));
    await expect(idsOf(source)).rejects.toMatchObject({ name: 'TaskError', code });
  });

  it('fails when there is no such task, and ends for one that never had a host', async () => {
    const missing = sourceOf(() => {
      throw new TaskError('NotFound', 'no task t1');
    });
    await expect(idsOf(missing)).rejects.toMatchObject({ code: 'NotFound' });
    expect(await idsOf(sourceOf(() => ({ url: null, ended: true })))).toEqual([]);
  });
});
