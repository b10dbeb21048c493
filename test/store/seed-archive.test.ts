import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterEach, describe, expect, test } from 'vitest';
import {
  fingerprint,
  isValidAuth,
  MAX_SEED_BYTES,
  packSeed,
  replaceAuth,
  unpackSeed,
} from '../../src/store/seed-archive.js';

const run = promisify(execFile);
const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

/** Made by Python's tarfile: auth.json, config.toml, a folder with a long non-ASCII name in it, a link; PAX times. */
const BY_PYTHON_TARFILE =
  'H4sIAI0+BWsC/+2Yu2rDMBiFNecpjPbIuv1WEgjt2LFvUEyixK4vMrYCKSFv1q0vVvUCJYQMbbED8f95sPHiwZzzccRiFt8/pvsHm65tS3qBf3HpzrnSP88f7wWXQpJoTwZg1/m0DZ8n40TOosrnlV0KMwfgAEoxoY0RMz0hyM3DVm5t93G68xl77lzdV/4TrS/nHyQRoLiQKgEDIf+hADSJOOa/dw7Uu8LWHV0caGs3re2yp883dEE3raumzYvPXE2PR8zKTeYf/Y/+R/+P3f8rV2/yLfOuKq/gf3nmfyUN+n8IqvD7y2gZ0W3jp8CAYurR/+j/UftfiXnwf4JNMB7/d0Vell3cX/4NwOX8h+dT/3Ntwv4HzP8o+l+COet/KbD/hyBsvahJfbY8LYK31+tcrFpPUElX6/+7fxB+3V/3H4fT/pdcGTz/HYTC2gZThfsP9x/uP5TtaP1f5nXR0+nv9/4z5hf7T4kk+F/2eiqN+UcQZNy8Azl9i1UAKAAA';

/** The same folder by `tar -czf - .`: every name begins with `./`. */
const BY_GNU_TAR =
  'H4sIAAAAAAAAA+3W3WqDMBgGYI93FZLzxiQaA4XCLsB7GKX1b2oiamGj9M52thtblCHYMcTRxIHf0wNLKSTkzRuDPcc4ognOh6d2/xy+U+4TyvyQi/5/IaXEcbn5qTnOpe2OjevaGOo/wh4+qXP8ZnIbLM9fMAH5WzHm3xZ5WbZGtsHi/CnhgkL+Nuj8vedIyTTKZWFojD7gMAh+zZ/RYLIX9G4Rff8jQ/OZgPwn/f/8WOeDq/PaS7FJNvKf6z8hfHr+c0L1keASGwuw8f4XcVw/rT0JsJqx/6V+/+NOVeXjxxjuf0IsuP/5LNT3P3ZSMslTQ7P6tvH+j/kbXOvZ85+xu/xpwOD8t6LS4ZfuwUVp3e045gheBpsy9v946TL82ir5+DFm+89/9J8yCv234Yo6VcSyRfsrauKkidvsZfgF7VHSqGpXv3eZkuh2W3umAAAAAAAAAAAAAOAvvgC+6GXXACgAAA==';

/** By `tar -czf - -T /dev/null`: what is captured of a home without files. */
const EMPTY = 'H4sIAAAAAAAAA+3BAQ0AAADCoPdPbQ43oAAAAAAAAAAAAIA3A5reHScAKAAA';

const AUTH = Buffer.from('{"tokens":{"refresh_token":"from-python"}}');
const CONFIG = Buffer.from('model = "gpt-5.5"\n');
const NEW_AUTH = Buffer.from('{"tokens":{"refresh_token":"rotated"}}');
const LONG_NAME = `.codex/skills/${'ü'.repeat(60)}.md`;

/** Names and contents as Python's tarfile reads them. */
async function listWithPython(
  archive: Buffer,
): Promise<[name: string, type: string, content: string | null][]> {
  const folder = await mkdtemp(join(tmpdir(), 'seed-'));
  folders.push(folder);
  await writeFile(join(folder, 'seed.tar.gz'), archive);
  const script = [
    'import json, sys, tarfile',
    'with tarfile.open(sys.argv[1], "r:gz") as tar:',
    '  read = lambda m: tar.extractfile(m).read().decode() if m.isfile() else m.linkname or None',
    '  print(json.dumps([[m.name, m.type.decode(), read(m)] for m in tar.getmembers()]))',
  ].join('\n');
  const { stdout } = await run('python3', ['-c', script, join(folder, 'seed.tar.gz')]);
  return JSON.parse(stdout) as [string, string, string | null][];
}

describe('archive', () => {
  test.each([
    ['the Python package', BY_PYTHON_TARFILE],
    ['tar, with ./ before each name', BY_GNU_TAR],
  ])('reads what %s made and ignores other members', async (_, base64) => {
    expect(await unpackSeed(Buffer.from(base64, 'base64'))).toEqual({ authJson: AUTH, configToml: CONFIG });
  });

  test('reads an empty archive as one without members', async () => {
    const none = { authJson: null, configToml: null };
    expect(await unpackSeed(Buffer.from(EMPTY, 'base64'))).toEqual(none);
    expect(await unpackSeed(await packSeed({}))).toEqual(none);
  });

  test('gives back what was packed, byte for byte', async () => {
    const members = { authJson: AUTH, configToml: Buffer.from([0, 255, 10, 13]) };
    expect(await unpackSeed(await packSeed(members))).toEqual(members);
    expect(await unpackSeed(await packSeed({ authJson: AUTH }))).toEqual({
      authJson: AUTH,
      configToml: null,
    });
  });

  test('is read by Python under the names it expects', async () => {
    expect(await listWithPython(await packSeed({ authJson: AUTH, configToml: CONFIG }))).toEqual([
      ['.codex/auth.json', '0', AUTH.toString()],
      ['.codex/config.toml', '0', CONFIG.toString()],
    ]);
  });

  test.each([
    ['the Python package', BY_PYTHON_TARFILE, ''],
    ['tar', BY_GNU_TAR, './'],
  ])('replaces auth.json and leaves every other member of %s unchanged', async (_, base64, dot) => {
    const archive = Buffer.from(base64, 'base64');
    const replaced = await replaceAuth(archive, NEW_AUTH);
    expect(await unpackSeed(replaced)).toEqual({ authJson: NEW_AUTH, configToml: CONFIG });
    const isAuth = ([name]: [string, ...unknown[]]) => name === `${dot}.codex/auth.json`;
    const others = (await listWithPython(archive)).filter((member) => !isAuth(member));
    expect(others).toContainEqual([`${dot}${LONG_NAME}`, '0', 'keep\n']);
    expect(others).toContainEqual([`${dot}.codex/link.toml`, '2', 'config.toml']);
    expect(await listWithPython(replaced)).toEqual([
      ...others,
      ['.codex/auth.json', '0', NEW_AUTH.toString()],
    ]);
  });

  test('reads the last of two members with one name, and writes one', async () => {
    const writer = pack();
    writer.entry({ name: '.codex/auth.json' }, '{"OPENAI_API_KEY":"old"}');
    writer.entry({ name: './.codex/auth.json' }, AUTH);
    writer.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of writer as AsyncIterable<Buffer>) chunks.push(chunk);
    const archive = gzipSync(Buffer.concat(chunks));
    expect((await unpackSeed(archive)).authJson).toEqual(AUTH);
    expect(await listWithPython(await replaceAuth(archive, NEW_AUTH))).toEqual([
      ['.codex/auth.json', '0', NEW_AUTH.toString()],
    ]);
  });

  test.each([
    ['no gzip', () => Buffer.from('nonsense')],
    ['nothing', () => Buffer.alloc(0)],
    ['gzip of no tar', () => gzipSync(Buffer.alloc(2048, 'x'))],
    ['half an archive', () => Buffer.from(BY_PYTHON_TARFILE, 'base64').subarray(0, 200)],
    ['a tar cut in a member', () => gzipSync(Buffer.concat([tarOf(AUTH).subarray(0, 520)]))],
    ['more than the limit', () => gzipSync(Buffer.alloc(MAX_SEED_BYTES + 512))],
  ])('refuses %s without repeating a byte of it', async (_, make) => {
    for (const read of [unpackSeed, (bytes: Buffer) => replaceAuth(bytes, NEW_AUTH)]) {
      const failure: unknown = await read(make()).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 'BadInput' });
      expect(String(failure)).toMatch(/^TaskError: Not a seed archive/);
      expect(String(failure)).not.toMatch(/refresh_token|rotated|from-python/);
    }
  });
});

/** A tar of one file, by hand. */
function tarOf(content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write('.codex/auth.json');
  header.write('0000600\0' + '0000000\0' + '0000000\0', 100);
  header.write(
    content.length.toString(8).padStart(11, '0') + '\0' + '0'.repeat(11) + '\0' + ' '.repeat(8) + '0',
    124,
  );
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(sum.toString(8).padStart(6, '0') + '\0 ', 148);
  return Buffer.concat([header, content, Buffer.alloc(512 - content.length), Buffer.alloc(1024)]);
}

describe('fingerprint', () => {
  const tokens = '{"tokens":{"refresh_token":"a"}}';

  test.each([tokens, '{"OPENAI_API_KEY":"sk"}', '{"tokens":null,"OPENAI_API_KEY":"sk"}', '\ufeff' + tokens])(
    'is the hash of the bytes of the credential %j',
    (text) => {
      const bytes = Buffer.from(text);
      expect(isValidAuth(bytes)).toBe(true);
      expect(fingerprint(bytes)).toBe(createHash('sha256').update(bytes).digest('hex'));
    },
  );

  test('changes with the content', () => {
    expect(fingerprint(Buffer.from(tokens))).not.toBe(fingerprint(Buffer.from(tokens + ' ')));
  });

  test.each([
    '',
    'garbage',
    '{}',
    '[]',
    '[{"tokens":1}]',
    'null',
    '"tokens"',
    '{"tokens":null}',
    '{"tokens":',
  ])('is null for %j', (text) => expect(fingerprint(Buffer.from(text))).toBeNull());

  test('is null for bytes that are no UTF-8', () => {
    expect(fingerprint(Buffer.from('7b22746f6b656e73223a22ff227d', 'hex'))).toBeNull();
  });
});
