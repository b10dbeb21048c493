import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/dev/package-root.js';

/** Which attempts each row of the table stands for; one that goes well makes its cell “yes”. */
export const ROWS: Readonly<Record<string, readonly string[]>> = {
  'read its account, Codex’s home, its journal': [
    'read account',
    'read codex home',
    'read journal',
    'account through /proc',
    'account without its cover',
    'codex home without its cover',
    'account by a mount',
    'account by a device',
    'a descriptor left open',
  ],
  'read the listener’s secret, or answer its own request': [
    'read secret',
    'approve itself',
    'socket of codex',
    'sockets of all codexes',
  ],
  'read the environment or memory of worker, guard, Codex': [
    'environment of any process',
    'memory of the worker',
    'trace the worker',
  ],
  'read ended tasks, workdirs set aside, logins under way, the embedded database': [
    'read ended',
    'read unsaved',
    'read login',
    'read database',
    'socket of the data folder',
  ],
  'read another task’s folder, its account too': [
    'read work of b',
    'read account of b',
    'read journal of b',
    'read work of a later task',
  ],
  'read its own task’s record': ['read record'],
  'read the home of the worker’s user': ['read the home'],
  'read or change temporary files of other tasks and of the host': [
    'read temp of others',
    'read lasting temp of others',
    'read shared memory of others',
    'write temp of others',
    'write lasting temp of others',
  ],
  'read what else the worker’s user can': ['read of the machine'],
  'write the workdir': ['write work'],
  'write its caches and temporary files': ['write cache', 'write temp'],
  'write its account, Codex’s home, its instructions, its journal, the listener’s secret': [
    'write account',
    'write codex home',
    'write instructions',
    'write journal',
    'write secret',
    'replace account',
    'replace codex home',
  ],
  'write its own task’s record': ['write record', 'write deadline'],
  'write another task’s folder, the data folder': [
    'write work of b',
    'write account of b',
    'write data folder',
  ],
  'write what else the worker’s user can': ['write the user', 'write the home'],
  'change home or PATH of what runs outside': ['write own HOME', 'write own PATH', 'write an entry of PATH'],
  'change `.git`, `.codex` and `.agents` of the workdir': [
    'write hooks',
    'write git config',
    'write project config',
    'write skills',
  ],
  'change the project’s AGENTS.md and programs': ['write project instructions', 'write project programs'],
  'connect to loopback: listener, Temporal, MongoDB': ['tcp'],
  'connect to unix sockets of the user': ['unix socket', 'abstract socket'],
  'end worker or guard': ['end the worker'],
  'get its account into a snapshot or a download': [
    'snapshot of the account',
    'download of a link',
    'download of a hard',
    'download of a copy',
  ],
  'get another task’s account into a snapshot': ['snapshot of another’s account'],
};

/** Attempts that only prepare one that is looked at from outside, and what depends on the worker's user. */
export const PREPARING = [
  'settings of the kernel',
  'link to the account',
  'hard link to the account',
  'copy of the account',
  "copy of another's account",
];

/** The cells of the table in docs/security.md, by column and row. */
export function expectedTable(): Record<string, Record<string, string>> {
  const text = readFileSync(join(packageRoot, 'docs', 'security.md'), 'utf8');
  const [, after = ''] = text.split('## What an agent can reach\n');
  const lines = after
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => line.startsWith('|'));
  const [head = [], , ...rows] = lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return Object.fromEntries(
    head
      .slice(1)
      .map((column, index) => [
        column,
        Object.fromEntries(rows.map(([row = '', ...cells]) => [row, cells[index] ?? ''])),
      ]),
  );
}
