import type { LedgerRecord } from '../../src/task-folder/ledger.js';
import { seeded } from '../support/seeded.js';

/** A ledger that grows as that of a task does, at random. */
export interface Grown {
  readonly messageIds: readonly string[];
  readonly turnIds: readonly string[];
  readonly changeIds: readonly string[];
  readonly interruptIds: readonly string[];
  readonly requestIds: readonly string[];
  readonly hookRequestIds: readonly string[];
  /** So many records more. */
  go(count: number): LedgerRecord[];
  /** Messages of the turn that ended last. */
  needed(): ReadonlySet<string>;
  /** That turn is done again. */
  takeBack(): LedgerRecord[];
}

export function growLedger(seed: number): Grown {
  const random = seeded(seed);
  const below = (n: number) => Math.floor(random() * n);
  const messageIds: string[] = [];
  const turnIds = ['u0'];
  const changeIds: string[] = [];
  const interruptIds: string[] = [];
  const requestIds: string[] = [];
  const hookRequestIds: string[] = [];
  let waiting: string[] = [];
  const begun: string[] = [];
  let inTurn: string[] = [];
  let [processes, line, n] = [0, 0, 0];
  let token = 'token0';
  let hasPosition = false;

  const id = (ids: string[], name: string) => {
    ids.push(`${name}${ids.length}`);
    return ids.at(-1)!;
  };
  const turnId = () => turnIds.at(-1)!;
  const protocol = (after?: number): LedgerRecord => ({
    t: 'protocol',
    token,
    line,
    position: { ino: 1, offset: below(50), skipping: false },
    ...(after !== undefined && { after }),
  });
  const take = (messageId: string): LedgerRecord => {
    waiting.push(messageId);
    return { t: 'message', message: { messageId, text: `text ${n++}` } };
  };
  const STEPS: readonly [weight: number, step: () => LedgerRecord[]][] = [
    [20, () => [take(id(messageIds, 'm'))]],
    [
      20,
      () => {
        const [messageId] = waiting.splice(below(Math.min(waiting.length, 2)), 1);
        if (messageId === undefined) return [];
        begun.push(messageId);
        return [{ t: 'turn', messageId }];
      },
    ],
    [
      20,
      () => {
        const [messageId] = begun.splice(0, 1);
        if (messageId === undefined) return [];
        inTurn.push(messageId);
        return [{ t: 'accepted', messageId }];
      },
    ],
    [
      10,
      () => {
        inTurn = [];
        id(turnIds, 'u');
        return [];
      },
    ],
    [2, () => [{ t: 'suspended', turnId: turnId() }]],
    [2, () => takeBack()],
    [1, () => [{ t: 'stopped' }]],
    [1, () => [{ t: 'overdue', turnId: turnId() }]],
    [1, () => [{ t: 'lost', turns: below(3), losses: { alone: below(3), withWorker: below(3) } }]],
    [2, () => [{ t: 'process', incarnation: ++processes }]],
    [1, () => [{ t: 'boot', id: `boot${n++}` }]],
    [2, () => [{ t: 'thread', threadId: `thread${n++}`, model: null }]],
    [
      8,
      () => [
        {
          t: 'answered',
          decision: { requestId: id(requestIds, '1-'), behavior: 'allow', message: `${n++}` },
        },
      ],
    ],
    [
      6,
      () => {
        const change = { id: below(2) ? 'model' : 'reasoning_effort', value: `v${n++}` };
        return [{ t: 'control', change, ...(below(3) && { changeId: id(changeIds, 'c') }) }];
      },
    ],
    [
      6,
      () => {
        const isRunning = below(2) === 0;
        const messageId = isRunning ? inTurn[0] : waiting[0];
        const aim = { turnId: isRunning ? turnId() : null, messageId: messageId ?? null };
        return [{ t: 'interrupt', id: id(interruptIds, 'i'), ...aim }];
      },
    ],
    [
      8,
      () => {
        if (hasPosition) line += below(5);
        hasPosition = true;
        return [protocol()];
      },
    ],
    [
      1,
      () => {
        if (!hasPosition) return [];
        token = `token${n++}`;
        return [protocol(line + below(3))];
      },
    ],
    [
      6,
      () => {
        if (hookRequestIds.length > 400 || below(2)) {
          const upload = `upload-${n++}`;
          hookRequestIds.push(upload);
          return [{ t: 'hookRequest', hookRequest: { id: upload, kind: 'upload', path: 'a', bytes: 1 } }];
        }
        const call = `${token}-${++line}`;
        hookRequestIds.push(call);
        return [
          { t: 'hookRequest', hookRequest: { id: call, kind: 'callerMessage', keyword: 'K', message: 'm' } },
        ];
      },
    ],
    [
      6,
      () =>
        hookRequestIds.length === 0
          ? []
          : [{ t: 'settled', id: hookRequestIds[below(hookRequestIds.length)]! }],
    ],
    // Of an upload that was settled the workflow has the answer.
    [
      1,
      () =>
        hookRequestIds
          .filter((each) => !each.startsWith('upload'))
          .slice(-below(9))
          .slice(0, 1)
          .map((id) => ({ t: 'owed', id })),
    ],
    [1, () => [{ t: 'owed', id: `elsewhere-${below(5)}` }]],
    [1, () => [{ t: 'settled', id: `elsewhere-${below(5)}` }]],
  ];
  const bag = STEPS.flatMap(([weight, step]) => Array.from({ length: weight }, () => step));

  function takeBack(): LedgerRecord[] {
    const lost = inTurn;
    inTurn = [];
    waiting = [...lost, ...waiting];
    return lost.length === 0 ? [] : [{ t: 'again', turnId: turnId(), messageIds: lost }];
  }

  return {
    messageIds,
    turnIds,
    changeIds,
    interruptIds,
    requestIds,
    hookRequestIds,
    go(count) {
      const records: LedgerRecord[] = [];
      if (messageIds.length === 0 && (count > 1_000 || below(2))) records.push(take('prompt'));
      if (below(10) === 0) records.push({ t: 'close' });
      while (records.length < count) records.push(...bag[below(bag.length)]!());
      if (below(10) === 0) records.push({ t: 'verdict', is: 'error', text: `${n++}` }, { t: 'ending' });
      return records;
    },
    needed: () => new Set(inTurn),
    takeBack,
  };
}
