import type { ServedTask } from './serve-task.js';

/** What a shape is chosen with. */
export interface Choices {
  readonly task: ServedTask;
  /** Below `limit`. */
  readonly number: (limit: number) => number;
  readonly pick: <T>(...choices: readonly T[]) => T;
  readonly bytes: (most: number) => Buffer;
}
export type Made = { writes: readonly Buffer[]; whole: number };

export function choices(random: () => number): Omit<Choices, 'task'> {
  const number = (limit: number) => Math.floor(random() * limit);
  return {
    number,
    pick: (...given) => given[number(given.length)]!,
    bytes: (most) => Buffer.from(Array.from({ length: number(most) }, () => number(256))),
  };
}

const JSON_ROUTES = ['send', 'permission', 'model', 'control', 'interrupt'] as const;

interface Request {
  readonly method?: string;
  readonly target?: string;
  readonly version?: string;
  /** null: none. */
  readonly host?: string | null;
  readonly headers?: readonly string[];
  readonly body?: Buffer;
  readonly whole?: 0 | 1;
  /** Leaves the connection open. */
  readonly keeps?: boolean;
}

/** One request, with a credential as a rule. */
export function one({ pick, task }: Choices, request: Request): Made {
  const { body = Buffer.from('{"text":"x"}'), headers = [], version = 'HTTP/1.1', host = 'x' } = request;
  const { method = 'POST', target = `/tasks/t1/${pick(...JSON_ROUTES)}`, whole = 1, keeps } = request;
  const isFramed = headers.some((header) => /content-length|transfer-encoding/i.test(header));
  const credential = pick('right', 'right', 'right', 'wrong', 'odd', 'none');
  const authorization = {
    right: [`Authorization: ${task.auth.authorization}`],
    wrong: ['Authorization: Bearer xyz'],
    odd: [
      `Authorization: ${pick('Basic', 'Basic !!!', `Basic ${'A'.repeat(6_000)}`, 'Bearer  a b', '\tBearer x')}`,
    ],
    none: [],
  }[credential];
  const head = [
    `${method} ${target}${version === '' ? '' : ` ${version}`}`,
    ...(host === null ? [] : [`Host: ${host}`]),
    ...authorization,
    ...(keeps ? [] : ['Connection: close']),
    ...headers,
    ...(isFramed ? [] : [`Content-Length: ${body.length}`]),
  ];
  return { writes: [Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), body], whole };
}
