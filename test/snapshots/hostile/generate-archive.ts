import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import { REMOVED } from '../../../src/snapshots/snapshot-manifest.js';

/** One snapshot: its archive, and what changed since, oldest first. */
export interface HostileSnapshot {
  readonly archives: Buffer[];
  readonly layout: number;
  readonly contentBytes: number | null;
}

/** Numbers below a bound. */
export type Random = (below: number) => number;

const pick = <T>(random: Random, choices: readonly T[]): T => choices[random(choices.length)]!;

/**
 * A snapshot that somebody made who wants something written, linked or read outside.
 * @param outside a folder that must stay as it is
 */
export async function generateSnapshot(random: Random, outside: string): Promise<HostileSnapshot> {
  const isMild = random(3) > 0;
  const archives = [];
  for (let left = 1 + (random(3) === 0 ? 1 + random(2) : 0); left > 0; left--)
    archives.push(await generateArchive(random, outside, isMild));
  return {
    archives,
    layout: pick(random, [2, 2, 2, 1]),
    contentBytes: random(8) === 0 ? random(5_000) : null,
  };
}

async function generateArchive(random: Random, outside: string, isMild: boolean): Promise<Buffer> {
  const tar = pack();
  const names: string[] = [];
  for (let left = 1 + random(isMild ? 4 : 12); left > 0; left--) {
    const name =
      isMild && random(15) > 0 ? `work/${plainName(random, 1 + random(3))}` : oddName(random, outside, names);
    names.push(name);
    addMember(tar, random, name, () => linkTarget(random, outside, names), isMild);
  }
  if (random(5) === 0) {
    const removed = JSON.stringify(Array.from({ length: random(4) }, () => oddName(random, outside, names)));
    tar.entry({ name: REMOVED }, pick(random, [removed, removed, '[1, null]', '{', 'null']));
  }
  tar.finalize();
  return spoil(random, await buffer(tar), isMild);
}

function addMember(
  tar: ReturnType<typeof pack>,
  random: Random,
  name: string,
  target: () => string,
  isMild: boolean,
): void {
  const type = pick<Header['type']>(random, isMild ? MILD_TYPES : TYPES);
  const mtime = pick(random, [
    undefined,
    new Date(0),
    new Date(-1e12),
    new Date(8e15),
    new Date(random(2e9) * 1000),
  ]);
  const pax =
    random(6) === 0 ? { mtime: pick(random, ['1e400', '-1', 'x', '9'.repeat(30), '1.5', '']) } : undefined;
  const header = {
    name,
    type,
    mode: pick(random, [0o644, 0o755, 0, 0o7777, random(0o10000)]),
    ...(mtime && { mtime }),
    ...(pax && { pax }),
    ...(type === 'symlink' || type === 'link' ? { linkname: target() } : {}),
    ...(type?.endsWith('device') ? { devmajor: 8, devminor: 0 } : {}),
  } as Header;
  if (type === 'file' || type === 'contiguous-file')
    tar.entry(header, pick(random, ['', 'text', 'x'.repeat(random(3_000)), '\0'.repeat(70_000)]));
  else tar.entry({ ...header, size: 0 });
}

const MILD_TYPES: Header['type'][] = [
  'file',
  'file',
  'file',
  'directory',
  'symlink',
  'symlink',
  'link',
  'fifo',
];
const TYPES: Header['type'][] = [
  ...['file', 'file', 'directory', 'directory', 'symlink', 'symlink', 'symlink', 'link', 'link', 'fifo'],
  ...['contiguous-file', 'character-device', 'block-device'],
] as Header['type'][];

/** Few, so that they meet; some differ by case or by form of their letters only. */
const WORDS = [
  'a',
  'a',
  'b',
  'b',
  'c',
  'A',
  'B',
  'é',
  'e\u0301',
  'ﬀ',
  'ff',
  'İ',
  'ı',
  ' ',
  'a\n',
  '\u202e',
  '~',
  '-rf',
  '*',
];
const ODD_WORDS = [
  ...WORDS,
  '.',
  '..',
  '...',
  '',
  '..\\..',
  'x'.repeat(255),
  'x'.repeat(300),
  '\ud800',
  'a\0b',
  'é'.repeat(130),
];

const plainName = (random: Random, depth: number): string =>
  Array.from({ length: depth }, () => pick(random, WORDS)).join('/');

function oddName(random: Random, outside: string, names: readonly string[]): string {
  const depth = pick(random, [1, 1, 2, 3, 4]);
  const rest = Array.from({ length: depth }, () => pick(random, ODD_WORDS)).join('/');
  return pick(random, [
    () => `work/${rest}`,
    () => `work/${plainName(random, depth)}`,
    () => `./work//${rest}/`,
    () => `work/${'d/'.repeat(pick(random, [20, 20, 20, 20, 200, 2_500]))}f`,
    () => `work/../../../../outside/${rest}`,
    () => `WORK/${rest}`,
    () => `home/.codex/sessions/${rest}`,
    () =>
      `home/.codex/${pick(random, ['config.toml', 'auth.json', 'AGENTS.md', 'sessions', '../../process.json'])}`,
    () => `home/${rest}`,
    () => `${outside}/${rest}`,
    () => `/${rest}`,
    () => rest,
    () =>
      pick(random, [
        'work',
        '.',
        './',
        'work/',
        'home',
        'process.json',
        'journal/ledger.jsonl',
        '.git/../work/a',
      ]),
    () => `${names.length > 0 ? pick(random, names) : 'work/a'}/${plainName(random, 1)}`,
    () => (names.length > 0 ? pick(random, names) : 'work/a'),
  ])();
}

function linkTarget(random: Random, outside: string, names: readonly string[]): string {
  return pick(random, [
    () => outside,
    () => `${outside}/secret`,
    () => `${'../'.repeat(1 + random(7))}outside/${pick(random, ['', 'secret', 'folder'])}`,
    () => `${'../'.repeat(1 + random(3))}home/.codex/auth.json`,
    () => '/etc/passwd',
    () => '/proc/self/fd/0',
    () => pick(random, ['.', '..', 'a', 'b', 'a/b', './a/../..']),
    () => (names.length > 0 ? pick(random, names) : 'work/a'),
    () => oddName(random, outside, names),
  ])();
}

const BLOCK = 512;
/** GNU's sparse, multi-volume and long-name types, global headers, and kinds that nobody knows. */
const ODD_FLAGS = ['S', 'M', 'V', 'L', 'K', 'x', 'g', 'D', 'N', '7', 'Z', '\0', '2', '1', '5'];

/** Damages an archive as no program that writes one would. */
function spoil(random: Random, tar: Buffer, isMild: boolean): Buffer {
  if (random(isMild ? 8 : 3) > 0) return gzipSync(tar, { level: 1 });
  const headers: number[] = [];
  for (let at = 0; at + BLOCK <= tar.length; at += BLOCK)
    if (tar.toString('latin1', at + 257, at + 262) === 'ustar') headers.push(at);
  const at = pick(random, headers);
  const flip = (bytes: Buffer) => {
    for (let left = 1 + random(4); left > 0; left--) bytes[random(bytes.length)] = random(256);
    return bytes;
  };
  return pick(random, [
    () => gzipSync(signed(tar, at, (header) => void header.write(pick(random, ODD_FLAGS), 156, 'latin1'))),
    () =>
      gzipSync(
        signed(
          tar,
          at,
          (header) =>
            void header.write(
              pick(random, ['77777777777', '-0000000001', '\x80\0\0\0\0\0\0\x7f\xff\xff\xff\xff', 'zzz']),
              124,
              'latin1',
            ),
        ),
      ),
    () => gzipSync(signed(tar, at, (header) => void flip(header.subarray(0, 345)))),
    () => gzipSync(flip(tar)),
    () => gzipSync(tar.subarray(0, random(tar.length))),
    () => {
      const all = gzipSync(tar);
      return all.subarray(0, random(all.length));
    },
    () => flip(gzipSync(tar)),
    () => Buffer.concat([gzipSync(tar), gzipSync(tar)]),
    () => Buffer.concat([gzipSync(tar), Buffer.from('more')]),
    () => tar,
  ])();
}

/** Changes a header and makes its checksum right again. */
export function signed(tar: Buffer, at: number, change: (header: Buffer) => void): Buffer {
  const header = tar.subarray(at, at + BLOCK);
  change(header);
  header.fill(' ', 148, 156);
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return tar;
}
